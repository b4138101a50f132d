//! What is due later: the end of sessions, wills that wait.
//!
//! One heap and one sleeping task for a node, instead of a timer for each.
//! What lives here: what is due, and when. What does not: whether it is still
//! wanted then; whoever takes it asks. Invariant: nothing is due too soon, nor
//! later than a millisecond behind its time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::clock::Clock;

/// A whole second behind the start of an [`Agenda`], in a quarter of an
/// [`Instant`]: every session that sleeps has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u32);

impl Moment {
    /// After a life of 136 years.
    pub const NEVER: Self = Self(u32::MAX);
}

/// Things in the order in which they are due; of those that are due at the
/// same time, any is first.
#[derive(Debug)]
pub struct Agenda<T> {
    clock: Clock,
    /// What times are counted from.
    start: Instant,
    due: Mutex<BinaryHeap<Due<T>>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Due<T> {
    /// Milliseconds behind the start.
    at: u64,
    what: T,
}

impl<T> Agenda<T> {
    /// With nothing in it.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let (due, earlier) = (Mutex::new(BinaryHeap::new()), Notify::new());
        Self { clock: clock.clone(), start: clock.now(), due, earlier }
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Due<T>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind_start(&self, after: Duration) -> Duration {
        self.clock.now().saturating_duration_since(self.start).saturating_add(after)
    }

    /// The second that is complete in `after` from now.
    pub fn moment(&self, after: Duration) -> Moment {
        Moment(u32::try_from(self.behind_start(after).as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Enters `what`, due in `after` from now.
    pub fn schedule(&self, after: Duration, what: T) {
        let time = self.behind_start(after);
        // What is due at once must be so for whoever asks next.
        let at = if after.is_zero() { time.as_millis() } else { time.as_nanos().div_ceil(1_000_000) };
        self.enter(u64::try_from(at).unwrap_or(u64::MAX), what);
    }

    /// Enters `what`, due at `moment`.
    pub fn schedule_at(&self, moment: Moment, what: T) {
        self.enter(u64::from(moment.0) * 1000, what);
    }

    fn enter(&self, at: u64, what: T) {
        let mut due = self.lock();
        let is_first = due.peek().is_none_or(|first| at < first.at);
        due.push(Due { at, what });
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    fn time(&self, at: u64) -> Instant {
        self.start + Duration::from_millis(at)
    }

    /// Waits until `before` the moment.
    pub async fn wait_until(&self, before: Duration, moment: Moment) {
        let at = self.time(u64::from(moment.0) * 1000);
        tokio::time::sleep_until(at.checked_sub(before).unwrap_or(at).into()).await;
    }

    /// How many things are in it.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next thing that is due already.
    pub fn overdue(&self) -> Option<T> {
        self.first().ok()
    }

    /// The first thing, or when it is due.
    fn first(&self) -> Result<T, Option<Instant>> {
        let mut due = self.lock();
        let first = due.peek_mut().ok_or(None)?;
        let at = self.time(first.at);
        if at <= self.clock.now() { Ok(PeekMut::pop(first).what) } else { Err(Some(at)) }
    }

    /// The next thing that is due, once it is.
    pub async fn next(&self) -> T {
        loop {
            let first = match self.first() {
                Ok(what) => return what,
                Err(first) => first,
            };
            match first {
                None => self.earlier.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }
}

/// The heap's greatest is the earliest.
impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<T> Eq for Due<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_due_first_comes_first_and_nothing_too_soon() {
        let clock = Clock::system();
        let agenda = Agenda::new(&clock);
        let begin = clock.now();
        for after in [40, 0, 20] {
            agenda.schedule(Duration::from_millis(after), after);
        }
        let soon = agenda.moment(Duration::from_millis(1));
        agenda.schedule_at(soon, 1000);
        for expected in [0, 20, 40, 1000] {
            assert_eq!(agenda.next().await, expected);
            assert!(clock.now() - begin >= Duration::from_millis(expected.min(900)), "{expected} came too soon");
        }
        assert!(agenda.is_empty());
        // One for every session that ends soon.
        assert_eq!(size_of::<Due<[u64; 4]>>(), 40);
    }
}
