//! What all queues of a node may hold together.
//!
//! What lives here: the bound in bytes, what is charged to it, and how it is
//! shared when there is too little. What does not: what happens to who asks for
//! more (`queue`). Invariant: what was charged is given back exactly once, when
//! its [`Charge`] is dropped.
//!
//! Below half of the bound a queue asks only its own. Above it nobody gets more
//! than an equal share of the other half, so that those who read slowly lose
//! first and who keeps up is served to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A share is never smaller: below it a queue is as good as empty.
const LEAST: u64 = 16 * 1024;

/// What all queues of a node may hold together.
#[derive(Debug)]
pub struct Budget {
    /// In bytes.
    most: u64,
    used: AtomicU64,
    queues: AtomicU64,
    charges_stored: bool,
}

impl Budget {
    /// At most `most` bytes. `charges_stored` says that the store, too, keeps
    /// its entries in memory.
    #[must_use]
    pub const fn new(most: u64, charges_stored: bool) -> Self {
        Self { most, used: AtomicU64::new(0), queues: AtomicU64::new(0), charges_stored }
    }

    /// The bound in bytes.
    #[must_use]
    pub const fn most(&self) -> u64 {
        self.most
    }

    /// The bytes that are charged now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether entries of the store count.
    pub(super) const fn charges_stored(&self) -> bool {
        self.charges_stored
    }

    pub(super) fn open_queue(&self) {
        self.queues.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn close_queue(&self) {
        self.queues.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a queue that holds `held` bytes may hold `more`. One that holds
    /// nothing may always take something: its reader keeps up.
    pub(super) fn admits(&self, held: u64, more: u64) -> bool {
        let used = self.used().saturating_add(more);
        if held == 0 || used <= self.most / 2 {
            return true;
        }
        used <= self.most && held.saturating_add(more) <= self.share()
    }

    /// What each queue may hold when there is too little for all.
    #[must_use]
    pub fn share(&self) -> u64 {
        (self.most / 2 / self.queues.load(Ordering::Relaxed).max(1)).max(LEAST)
    }
}

/// What one holder is charged with.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    #[must_use]
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// With `bytes` from now on.
    pub fn set(&mut self, bytes: u64) {
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_half_of_the_bound_nobody_gets_more_than_a_share() {
        let budget = Arc::new(Budget::new(1 << 20, false));
        (0..4).for_each(|_| budget.open_queue());
        let mut slow = Charge::new(&budget);
        slow.set(500 << 10);
        assert!(budget.admits(500 << 10, 10 << 10), "below half a queue asks its own bound only");
        slow.set(600 << 10);
        assert!(!budget.admits(600 << 10, 1));
        assert!(budget.admits(64 << 10, 64 << 10), "a share is half of the bound by four");
        assert!(!budget.admits(64 << 10, 65 << 10));
        slow.set(1 << 20);
        assert!(!budget.admits(1, 1));
        assert!(budget.admits(0, 1), "who keeps up is served");
        drop(slow);
        assert_eq!(budget.used(), 0);
    }
}
