//! The thread that says when messages are due.
//!
//! What lives here: waiting to within a few microseconds, which tokio's millisecond timers cannot.
//! What does not: sending. Invariant: a pacer that comes late releases everything that is due, so
//! that the load stays what was asked for.

use std::hint::spin_loop;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::publisher::Pace;
use super::run::Run;
use crate::shutdown::Tasks;

/// The kernel wakes a sleeper up to this much too late (its timer slack is 50 µs): the rest is spun.
const SLACK: Duration = Duration::from_micros(80);
/// Above a rate at which it would spin for ever, messages are due in bursts so far apart.
const BURST: Duration = Duration::from_micros(500);

/// How far apart the bursts are when a message is due every `step`; zero when each is due on its own.
#[must_use]
pub fn burst(step: Duration) -> Duration {
    if step > SLACK * 2 { Duration::ZERO } else { BURST }
}

/// Starts the pacer of `paces`, which take turns; it ends when the run stops publishing.
///
/// # Errors
/// The system has no room for another thread.
pub fn start(tasks: &Tasks, run: &Arc<Run>, paces: Vec<Arc<Pace>>) -> std::io::Result<()> {
    let run = Arc::clone(run);
    tasks.spawn_thread("pacer", move || pace(&run, &paces))?;
    Ok(())
}

fn pace(run: &Run, paces: &[Arc<Pace>]) {
    let (never, nobody) = (Mutex::new(()), Condvar::new());
    for sequence in 0.. {
        for pace in paces {
            let due = pace.due_at(sequence);
            while let Some(early) = due.checked_sub(run.elapsed()).filter(|early| !early.is_zero()) {
                if !run.is_publishing() {
                    return;
                }
                match early.checked_sub(SLACK) {
                    Some(sleep) => {
                        let guard = never.lock().unwrap_or_else(PoisonError::into_inner);
                        drop(nobody.wait_timeout(guard, sleep));
                    }
                    None => spin_loop(),
                }
            }
            pace.release();
        }
        if !run.is_publishing() || paces.is_empty() {
            return;
        }
    }
}
