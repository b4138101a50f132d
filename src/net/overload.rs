//! Whether the node holds too much, or is too late.
//!
//! What lives here: two watches, on resident memory and on how late a timer
//! fires, and what they say to everybody. What does not: what is given up for
//! it (`listener` turns newcomers away, `connection::pace` reads publishers
//! less). Invariant: established clients are served whatever is said here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::identity::reason::Reason;
use crate::shutdown::Tasks;
use crate::telemetry::resident::resident;

use super::shared::Node;

/// Between two looks.
const STEP: Duration = Duration::from_millis(200);

/// Steps between two summaries of the log lines that were left out.
const SUMMARY: u32 = 5;

/// What the watches said last.
#[derive(Debug)]
pub struct Overload {
    /// The memory that there is.
    total: u64,
    short_of_memory: AtomicBool,
    late: AtomicBool,
    /// How late the last timer fired, in microseconds.
    lag: AtomicU64,
}

impl Overload {
    /// Nothing yet, where there are `total` bytes of memory.
    #[must_use]
    pub const fn new(total: u64) -> Self {
        Self { total, short_of_memory: AtomicBool::new(false), late: AtomicBool::new(false), lag: AtomicU64::new(0) }
    }

    /// The memory that there is, in bytes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Whether resident memory stands above its mark.
    #[must_use]
    pub fn is_short_of_memory(&self) -> bool {
        self.short_of_memory.load(Ordering::Relaxed)
    }

    /// How late the last timer fired: what a client waits for its turn.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_micros(self.lag.load(Ordering::Relaxed))
    }

    /// Why newcomers are turned away, if they are.
    #[must_use]
    pub fn refuses(&self) -> Option<Reason> {
        match (self.is_short_of_memory(), self.late.load(Ordering::Relaxed)) {
            (true, _) => Some(Reason::MemoryFull),
            (false, true) => Some(Reason::Overloaded),
            (false, false) => None,
        }
    }

    /// Compares resident memory with its mark. What was above it is below
    /// again a sixteenth beneath.
    fn weigh(&self, resident: u64, mark: u64) {
        let was = self.is_short_of_memory();
        let is = resident > if was { mark - mark / 16 } else { mark };
        self.short_of_memory.store(is, Ordering::Relaxed);
        let (resident, mark) = (resident >> 20, mark >> 20);
        if is && !was {
            tracing::warn!(
                resident_mib = resident,
                max_memory_mib = mark,
                "memory is short: newcomers are turned away and publishers are read less; \
                 raise limits.max_memory, or lower the bounds in [queues]"
            );
        } else if was && !is {
            tracing::info!(resident_mib = resident, max_memory_mib = mark, "memory is no longer short");
        }
    }

    /// Compares how late a timer fired with what is allowed. Who was late is
    /// in time again at half of it.
    fn clock(&self, lag: Duration, most: Duration) {
        self.lag.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let was = self.late.load(Ordering::Relaxed);
        let is = lag > if was { most / 2 } else { most };
        self.late.store(is, Ordering::Relaxed);
        let (lag, most) = (lag.as_millis(), most.as_millis());
        if is && !was {
            tracing::warn!(
                lag_ms = lag,
                max_lag_ms = most,
                "the broker is overloaded: newcomers are turned away until turns come in time; \
                 give it more cores, let clients wait longer before they reconnect, or raise limits.max_lag"
            );
        } else if was && !is {
            tracing::info!(lag_ms = lag, max_lag_ms = most, "the broker is no longer overloaded");
        }
    }
}

/// Watches until `tasks` is told to stop.
pub async fn watch(node: Arc<Node>, tasks: Tasks) {
    let mut stop = tasks.stop_signal();
    for step in 1_u32.. {
        let due = node.clock.now() + STEP;
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        if step.is_multiple_of(SUMMARY) {
            node.refusals.tell_of_held_back();
        }
        let settings = node.settings.load();
        // A timer counts in whole milliseconds.
        let lag = node.clock.now().saturating_duration_since(due + Duration::from_millis(1));
        node.overload.clock(lag, settings.max_lag);
        if let Some(resident) = resident() {
            node.overload.weigh(resident.now, settings.max_memory.of(node.overload.total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_short_is_so_until_there_is_some_room() {
        let overload = Overload::new(1 << 30);
        for (resident, short) in [(100, false), (161, true), (155, true), (150, false), (160, false)] {
            overload.weigh(resident << 20, 160 << 20);
            assert_eq!(overload.is_short_of_memory(), short, "{resident} MiB");
            assert_eq!(overload.refuses(), short.then_some(Reason::MemoryFull));
        }
    }

    #[test]
    fn who_was_late_turns_newcomers_away_until_in_time_again() {
        let overload = Overload::new(1 << 30);
        for (lag, late) in [(10, false), (101, true), (60, true), (40, false), (90, false)] {
            overload.clock(Duration::from_millis(lag), Duration::from_millis(100));
            assert_eq!(overload.refuses(), late.then_some(Reason::Overloaded), "{lag} ms");
            assert_eq!(overload.lag(), Duration::from_millis(lag));
        }
    }
}
