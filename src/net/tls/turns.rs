//! Whose handshake may take a processor now.
//!
//! What lives here: the turn that a handshake waits for before each of its
//! costly steps. What does not: how many handshakes there may be (`limits`).
//! Invariant: between two such steps on a worker everything else that is ready
//! there runs first, so a thousand devices that come at once cost an
//! established connection the time of a step or two.

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Turns of the handshakes of a node.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Turns {
    /// As many at once as the current runtime has workers to run them: no
    /// processor idles while a handshake waits.
    #[must_use]
    pub fn of_runtime() -> Self {
        let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self(Semaphore::new(workers.max(1)))
    }

    /// The next turn, given back when it is dropped.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.0.acquire().await.ok();
        // The runtime goes on with a task that yields when it has looked for
        // events and run what they made ready.
        tokio::task::yield_now().await;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;
    use crate::shutdown::Tasks;

    const STEPS: usize = 60;

    /// Somebody whom every step makes ready sees each of them, or two.
    #[tokio::test]
    async fn between_two_steps_others_have_their_turn() {
        let (turns, made) = (Arc::new(Turns::of_runtime()), Arc::new(Notify::new()));
        let (steps, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = Tasks::new();
        let (all, ready, worst) = (Arc::clone(&steps), Arc::clone(&made), Arc::clone(&most));
        tasks.spawn("established", async move {
            let mut seen = 0;
            while seen < STEPS {
                ready.notified().await;
                let now = all.load(Relaxed);
                worst.fetch_max(now - seen, Relaxed);
                seen = now;
            }
        });
        for _ in 0..STEPS / 3 {
            let (turns, steps, made) = (Arc::clone(&turns), Arc::clone(&steps), Arc::clone(&made));
            tasks.spawn("handshake", async move {
                for _ in 0..3 {
                    let _turn = turns.take().await;
                    steps.fetch_add(1, Relaxed);
                    made.notify_one();
                }
            });
        }
        tasks.drained(Duration::from_secs(60)).await.unwrap();
        assert!(most.load(Relaxed) <= 2, "{} steps in a row", most.load(Relaxed));
    }
}
