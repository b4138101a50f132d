//! Whether a cached route is still right.
//!
//! What lives here: counters that subscriptions raise and caches compare. What
//! does not: the caches. Invariant: a route that was computed before a change
//! is not current after it.
//!
//! # The order of things
//!
//! A writer changes the router under its lock, *then* raises, then queues
//! SUBACK or UNSUBACK. A reader takes a stamp, *then* computes the route under
//! the lock, and keeps both.
//!
//! - The stamp was read before the raise: it differs from the counter from the
//!   raise on, so the route, stale or not, is thrown away. Nothing is wrong.
//! - The stamp holds the raised value: the load (acquire) read from the raise
//!   (release), so the change happened before the route was computed.
//!
//! So no route is both stale and current. Raising first would allow just that:
//! stamp with the new value, route from the old table. And a subscriber that
//! has its SUBACK can tell a publisher so: the raise comes before the release
//! of the queue's lock behind which the SUBACK leaves, hence before anything
//! that a client does in answer to it.
//!
//! Filters are put to 256 counters by the hash of their first level, so that
//! clients which subscribe to their own topics leave the caches of others warm;
//! filters that begin with a wildcard concern every topic and have their own.

use std::array;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::mqtt::{TopicFilter, TopicName};

const SHARDS: usize = 256;

/// What [`Epochs`] said when a route was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    shard: u8,
    named: u64,
    wild: u64,
}

/// The counters of one tenant.
#[derive(Debug)]
pub struct Epochs {
    named: [AtomicU64; SHARDS],
    wild: AtomicU64,
    hasher: RandomState,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { named: array::from_fn(|_| AtomicU64::new(0)), wild: AtomicU64::new(0), hasher: RandomState::default() }
    }
}

impl Epochs {
    /// Take it before the route is computed.
    #[must_use]
    pub fn stamp(&self, topic: TopicName<'_>) -> Stamp {
        let shard = self.shard(topic.as_str());
        Stamp { shard, named: self.counter(shard).load(Ordering::Acquire), wild: self.wild.load(Ordering::Acquire) }
    }

    /// Whether nothing that concerns the topic has changed since.
    #[must_use]
    pub fn is_current(&self, stamp: &Stamp) -> bool {
        self.counter(stamp.shard).load(Ordering::Acquire) == stamp.named
            && self.wild.load(Ordering::Acquire) == stamp.wild
    }

    /// Call it when `filter` has been entered, replaced or removed, and before
    /// the client is told. The addition is a release; it needs no more, as
    /// nothing is read here that the change depends on.
    pub fn raise(&self, filter: &TopicFilter) {
        let path = filter.path();
        let counter = if path.starts_with(['+', '#']) { &self.wild } else { self.counter(self.shard(path)) };
        counter.fetch_add(1, Ordering::Release);
    }

    fn shard(&self, path: &str) -> u8 {
        let first = path.split('/').next().unwrap_or_default();
        // The upper bits: foldhash mixes them best.
        (self.hasher.hash_one(first) >> 56) as u8
    }

    fn counter(&self, shard: u8) -> &AtomicU64 {
        self.named.get(usize::from(shard)).unwrap_or(&self.wild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    fn topic(text: &str) -> TopicName<'_> {
        TopicName::new(text).unwrap()
    }

    #[test]
    fn a_stamp_ends_with_the_next_filter_that_could_match() {
        for (raised, asked) in [
            ("a/b", "a/b"),
            ("a/+/c", "a/x"),
            ("a/#", "a"),
            ("+/b", "a/b"),
            ("#", "x"),
            ("$share/g/a/b", "a/b"),
            ("/a", "/x"),
        ] {
            let epochs = Epochs::default();
            let stamp = epochs.stamp(topic(asked));
            assert!(epochs.is_current(&stamp));
            epochs.raise(&filter(raised));
            assert!(!epochs.is_current(&stamp), "{raised} concerns {asked}");
            assert!(epochs.is_current(&epochs.stamp(topic(asked))));
        }
    }

    /// All orders of "change, raise" against "stamp, route": a route that lacks
    /// the change is never current once the change was raised. Raising first
    /// breaks it, which shows that the check can fail.
    #[test]
    fn no_order_of_events_leaves_a_stale_route_current() {
        let orders = [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]];
        let stale_and_current = |change_at: usize, order: &[usize; 4]| {
            let (epochs, name) = (Epochs::default(), topic("a/b"));
            let (mut table, mut stamp, mut route) = (false, None, None);
            let mut steps = [0, 0];
            for &party in order {
                match (party, steps[party]) {
                    (0, step) if step == change_at => table = true,
                    (0, _) => epochs.raise(&filter("a/+")),
                    (_, 0) => stamp = Some(epochs.stamp(name)),
                    (_, _) => route = Some(table),
                }
                steps[party] += 1;
            }
            route == Some(false) && epochs.is_current(&stamp.unwrap())
        };
        assert!(!orders.iter().any(|order| stale_and_current(0, order)));
        assert!(orders.iter().any(|order| stale_and_current(1, order)));
    }

    #[test]
    fn most_other_first_levels_stay_current() {
        let epochs = Epochs::default();
        let names: Vec<_> = (0..1000).map(|n| format!("device-{n}/state")).collect();
        let stamps: Vec<_> = names.iter().map(|name| epochs.stamp(topic(name))).collect();
        epochs.raise(&filter("someone/else"));
        let current = stamps.iter().filter(|stamp| epochs.is_current(stamp)).count();
        assert!(current > 950, "{current} of 1000");
    }
}
