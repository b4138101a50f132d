//! Whether a queue has room, and what becomes of what finds none.
//!
//! What lives here: its own bounds and the node's together, and the publishers
//! that wait until a ring is emptier. What does not: the order of the queue
//! (`queue`), the sharing of the node's bound (`budget`). Invariant: what is
//! turned away is counted with the bound that it met.

use std::sync::atomic::Ordering;
use std::task::Waker;

use crate::telemetry::metrics::Counter;

use super::{Bound, Inner, Item, Kind, OpenQueue, Pushed};

/// Items of a ring are charged to the node in steps of so many: fewer are as
/// good as none.
const STEP: u64 = 64;

impl OpenQueue {
    /// There is no room: QoS 0 goes; what is stored is read from the store;
    /// the rest cannot be lost quietly, so its session ends.
    pub(super) fn turn_away(&self, inner: &mut Inner, messages: u64, durable: u32, bound: Bound, pushed: &mut Pushed) {
        let counter = match bound {
            Bound::Ring => Counter::DroppedSlow,
            Bound::Node => Counter::DroppedNode,
        };
        match inner.kind {
            Kind::Persistent => {
                inner.spilled = true;
                counter.add(messages - u64::from(durable));
            }
            Kind::Volatile => {
                counter.add(messages);
                if durable > 0 && self.overflowed().is_none() {
                    self.overflowed.store(bound as u8, Ordering::Release);
                    // It may wait for its socket, or for an acknowledgement.
                    pushed.wake = inner.task.take().or_else(|| inner.reader.take());
                }
            }
        }
    }

    /// Whether the store may keep so much more while the client is connected.
    pub(super) fn may_keep(&self, inner: &Inner, count: u32, bytes: u64) -> bool {
        let bounds = (self.offline_messages + self.ring_messages, self.offline_bytes + self.ring_bytes);
        inner.kept.has_room(count.into(), bytes, bounds) && self.node_keeps(inner, bytes)
    }

    /// Whether there is room for so much more in the store.
    pub(super) fn keeps(&self, inner: &Inner, count: u32, bytes: u64) -> bool {
        match inner.connected {
            true => self.may_keep(inner, count, bytes),
            false => self.has_offline_room(inner, count, bytes) && self.node_keeps(inner, bytes),
        }
    }

    /// Whether the bounds for clients that are away leave room for so much more.
    pub(super) fn has_offline_room(&self, inner: &Inner, count: u32, bytes: u64) -> bool {
        inner.kept.has_room(count.into(), bytes, (self.offline_messages, self.offline_bytes))
    }

    /// Whether the node has room for so much more in a store that is memory.
    pub(super) fn node_keeps(&self, inner: &Inner, bytes: u64) -> bool {
        !self.budget.charges_stored() || self.budget.admits(inner.kept.charged(), bytes)
    }

    /// What counts messages that the store may not keep.
    pub(super) fn cause(&self, inner: &Inner, count: u32, bytes: u64) -> Counter {
        match self.node_keeps(inner, bytes) || count == 0 {
            true => Counter::DroppedAway,
            false => Counter::DroppedNode,
        }
    }

    /// Charges the ring's items, in steps.
    pub(super) fn charge_items(&self, inner: &mut Inner) {
        let waiting = inner.pushed_items - self.taken_items.load(Ordering::Relaxed);
        let wanted = waiting / STEP * STEP * size_of::<Item>() as u64;
        let charged = inner.charge.bytes();
        if wanted > charged || charged - wanted > STEP * size_of::<Item>() as u64 {
            inner.charge.set(wanted);
        }
    }

    pub(super) fn release_waiters(&self, taken: u64) {
        let mut inner = self.lock();
        if (inner.pushed_messages - taken) * 4 > self.ring_messages {
            return;
        }
        self.has_waiters.store(false, Ordering::Relaxed);
        let waiters = std::mem::take(&mut inner.waiters);
        drop(inner);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Whether the ring is less than half full.
    pub fn has_room(&self) -> bool {
        let inner = self.lock();
        (inner.pushed_messages - self.taken_messages.load(Ordering::Relaxed)) * 2 <= self.ring_messages
    }

    /// Asks to be woken when the ring is three quarters empty again.
    pub fn wait_for_room(&self, waker: &Waker) {
        let mut inner = self.lock();
        if inner.waiters.len() < 4096 && !inner.waiters.iter().any(|other| other.will_wake(waker)) {
            inner.waiters.push(waker.clone());
        }
        self.has_waiters.store(true, Ordering::Release);
    }
}
