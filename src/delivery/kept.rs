//! How much of a session queue the store keeps.
//!
//! What lives here: the count, and the sums that all counts add up to. What
//! does not: the entries (`store`). Invariant: what was added to the sums is
//! taken away when the count goes, with its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::store::Load;
use crate::telemetry::metrics::Gauge;

use super::budget::{Budget, Charge};

/// What an entry of a store in memory costs beside its message: the indexes
/// that find it.
const ENTRY: u64 = 256;

/// Entries of one queue that are in the store and not finished.
#[derive(Debug)]
pub(super) struct Kept {
    messages: u64,
    bytes: u64,
    sum: Arc<KeptSum>,
    /// Where the store keeps its entries in memory.
    charge: Option<Charge>,
}

/// What the queues of one tenant keep in all.
#[derive(Debug, Default)]
pub struct KeptSum {
    messages: AtomicI64,
    bytes: AtomicI64,
}

impl KeptSum {
    /// Messages and bytes.
    #[must_use]
    pub fn now(&self) -> (u64, u64) {
        let read = |sum: &AtomicI64| u64::try_from(sum.load(Ordering::Relaxed)).unwrap_or(0);
        (read(&self.messages), read(&self.bytes))
    }

    /// A queue holds so much from now on.
    pub(super) fn enter(&self, load: Load) {
        self.add(load.messages.cast_signed(), load.bytes.cast_signed());
    }

    /// A queue does not hold it any more.
    pub(super) fn leave(&self, load: Load) {
        self.add(-load.messages.cast_signed(), -load.bytes.cast_signed());
    }

    fn add(&self, messages: i64, bytes: i64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Gauge::StoredMessages.add(messages);
        Gauge::StoredBytes.add(bytes);
    }
}

impl Kept {
    /// What was found in the store; where the store is memory, `budget` is
    /// charged.
    pub(super) fn found(budget: &Arc<Budget>, sum: &Arc<KeptSum>, load: Load) -> Self {
        let charge = budget.charges_stored().then(|| Charge::new(budget));
        sum.enter(load);
        let mut kept = Self { messages: load.messages, bytes: load.bytes, sum: Arc::clone(sum), charge };
        kept.settle();
        kept
    }

    /// What the node is charged with for it.
    pub(super) fn charged(&self) -> u64 {
        self.charge.as_ref().map_or(0, Charge::bytes)
    }

    fn settle(&mut self) {
        let bytes = self.bytes + self.messages * ENTRY;
        self.charge.iter_mut().for_each(|charge| charge.set(bytes));
    }

    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether a queue with these bounds has room for so much more. One message
    /// may always be kept, however long it is.
    pub(super) const fn has_room(&self, messages: u64, bytes: u64, bounds: (u64, u64)) -> bool {
        self.messages + messages <= bounds.0 && (self.bytes + bytes <= bounds.1 || self.messages == 0)
    }

    pub(super) fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
        self.settle();
        self.sum.add(messages.cast_signed(), bytes.cast_signed());
    }

    /// Sizes of single entries are not kept: the mean stands in for them.
    pub(super) fn forget(&mut self, count: u64) {
        let count = count.min(self.messages);
        let mean = self.bytes.checked_div(self.messages).unwrap_or(0);
        let bytes = if self.messages == count { self.bytes } else { mean * count };
        self.messages -= count;
        self.bytes -= bytes;
        self.settle();
        if count > 0 {
            self.sum.add(-count.cast_signed(), -bytes.cast_signed());
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget(self.messages);
    }
}
