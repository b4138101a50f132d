//! A session queue as that of a member of shared subscriptions.
//!
//! What lives here: whether it can take a message, and what it was chosen for.
//! What does not: the choice (`route`).

use std::sync::atomic::Ordering;

use super::OpenQueue;
use crate::delivery::Kind;
use crate::mqtt::{Qos, TopicFilter};
use crate::router::Readiness;

impl OpenQueue {
    /// What it can do with a message of effective `qos` that it is chosen for.
    pub(in crate::delivery) fn readiness(&self, qos: Qos) -> Readiness {
        let inner = self.lock();
        let promised = self.promised.load(Ordering::Relaxed);
        let length = |waiting: u64| usize::try_from(waiting + promised).unwrap_or(usize::MAX);
        let (kept, in_flight) = (inner.kept.messages(), self.in_flight.load(Ordering::Relaxed));
        let in_ring = inner.pushed_messages - self.taken_messages.load(Ordering::Relaxed);
        match (inner.connected, inner.kind) {
            (true, _) => {
                // What the ring had no room for waits in the store.
                let waiting = length(in_ring.max(kept.saturating_sub(in_flight)));
                let room = match qos {
                    Qos::AtMostOnce => self.ring_messages / 2,
                    _ => self.window.load(Ordering::Relaxed).saturating_sub(in_flight),
                };
                if (waiting as u64) < room { Readiness::Ready } else { Readiness::Busy(waiting) }
            }
            (false, Kind::Persistent) if qos > Qos::AtMostOnce => Readiness::Waiting(length(kept)),
            (false, _) => Readiness::Absent,
        }
    }

    /// Whether nobody reads.
    pub(in crate::delivery) fn is_away(&self) -> bool {
        !self.lock().connected
    }

    /// Says that it was chosen for a message.
    pub(in crate::delivery) fn promise(&self) {
        self.promised.fetch_add(1, Ordering::Relaxed);
    }

    /// The message that it was chosen for has come, or goes to another.
    pub(in crate::delivery) fn keep_promise(&self) {
        self.promised.fetch_sub(1, Ordering::Relaxed);
    }

    /// What the reader has sent and its client has not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Says how much the reader has in flight, and how much it may have.
    pub fn note_window(&self, window: u16, in_flight: usize) {
        // Publishers read the line: it is written only when something changes.
        for (cell, value) in [(&self.window, window.into()), (&self.in_flight, in_flight as u64)] {
            if cell.load(Ordering::Relaxed) != value {
                cell.store(value, Ordering::Relaxed);
            }
        }
    }

    /// What waits here for members of groups, by number; not what is in the
    /// ring alone.
    #[must_use]
    pub fn lent(&self) -> Vec<(u64, TopicFilter)> {
        self.lock().lent.entries()
    }

    /// Says that the store has an entry from an earlier start that was taken for
    /// `group`.
    pub fn lend(&self, seq: u64, group: &TopicFilter) {
        self.lock().lent.enter(seq, 1, group);
    }

    /// Another member of their groups has these entries now.
    pub(in crate::delivery) fn pass(&self, passed: &[u64]) {
        let mut inner = self.lock();
        let oldest = inner.oldest_unsent;
        inner.lent.pass(passed, oldest);
        inner.kept.forget(passed.len() as u64);
    }
}
