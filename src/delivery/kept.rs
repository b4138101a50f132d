//! How much of a session queue the store keeps.
//!
//! What lives here: the count, and the gauges that all counts add up to. What
//! does not: the entries (`store`). Invariant: what was added to the gauges is
//! taken away when the count goes, with its queue.

use crate::telemetry::metrics::Gauge;

/// Entries of one queue that are in the store and not finished.
#[derive(Debug, Default)]
pub(super) struct Kept {
    messages: u64,
    bytes: u64,
}

impl Kept {
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
        Gauge::StoredMessages.add(messages.cast_signed());
        Gauge::StoredBytes.add(bytes.cast_signed());
    }

    /// Sizes of single entries are not kept: the mean stands in for them.
    pub(super) fn forget(&mut self, count: u64) {
        let count = count.min(self.messages);
        let mean = self.bytes.checked_div(self.messages).unwrap_or(0);
        let bytes = if self.messages == count { self.bytes } else { mean * count };
        self.messages -= count;
        self.bytes -= bytes;
        Gauge::StoredMessages.add(-count.cast_signed());
        Gauge::StoredBytes.add(-bytes.cast_signed());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget(self.messages);
    }
}
