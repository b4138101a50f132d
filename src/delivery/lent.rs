//! Which entries of a session queue belong to shared subscriptions.
//!
//! What lives here: for each such entry the group that it was taken for, so that
//! another member can have it. What does not: the choice (`route`), the passing
//! on (`passing`). Invariant: what stands here is in the store and not finished,
//! so there is no more of it than the bounds of the queue allow.

use std::collections::{BTreeMap, BTreeSet};

use crate::mqtt::TopicFilter;

/// Entries of one queue by number, with their group.
#[derive(Debug, Default)]
pub(super) struct Lent {
    groups: BTreeMap<u64, TopicFilter>,
    /// Numbers not sent that were passed on: the queue holds them no more.
    passed: BTreeSet<u64>,
}

impl Lent {
    /// Entries from `first` on were taken for `group`.
    pub(super) fn enter(&mut self, first: u64, count: u32, group: &TopicFilter) {
        self.groups.extend((first..first + u64::from(count)).map(|seq| (seq, group.clone())));
    }

    /// What was taken for groups, in order.
    pub(super) fn entries(&self) -> Vec<(u64, TopicFilter)> {
        self.groups.iter().map(|(seq, group)| (*seq, group.clone())).collect()
    }

    /// Entries are finished.
    pub(super) fn finish(&mut self, finished: &[u64]) {
        if !self.groups.is_empty() {
            finished.iter().for_each(|seq| drop(self.groups.remove(seq)));
        }
    }

    /// Another member has these now.
    pub(super) fn pass(&mut self, passed: &[u64], oldest_unsent: u64) {
        self.finish(passed);
        self.passed.extend(passed.iter().filter(|seq| **seq >= oldest_unsent));
    }

    /// Up to `count` numbers from `oldest` on that the queue holds, to be
    /// evicted.
    pub(super) fn evict(&mut self, oldest: u64, end: u64, count: u64) -> Vec<u64> {
        let held = (oldest..end).filter(|seq| !self.passed.contains(seq));
        let evicted: Vec<u64> = held.take(usize::try_from(count).unwrap_or(usize::MAX)).collect();
        self.finish(&evicted);
        self.forget_below(evicted.last().map_or(end, |last| last + 1));
        evicted
    }

    /// Nothing below `oldest` can be evicted any more.
    pub(super) fn forget_below(&mut self, oldest: u64) {
        if !self.passed.is_empty() {
            self.passed = self.passed.split_off(&oldest);
        }
    }
}
