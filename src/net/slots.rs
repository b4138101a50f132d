//! What a connection remembers of the topics that it publishes to.
//!
//! One look-up answers rights and route. Invariant: a slot is used only while
//! the rights' version and the route's epochs are the ones that it was made
//! with.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::delivery::{Domain, Mailbox, Route};
use crate::identity::policy::{Denied, Permit, Publish, Rights};
use crate::mqtt::TopicName;
use crate::telemetry::metrics::Counter;

use super::shared::Resting;

/// Topics that one connection may have in mind.
const MOST: usize = 1024;

/// Bytes of topics that one connection may have in mind: a topic may be 64 KiB
/// long.
const MOST_BYTES: usize = 256 * 1024;

/// The answer for one topic.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The permit, or why there is none.
    pub permit: Result<Permit<Publish>, Denied>,
    /// Who receives.
    pub route: Arc<Route>,
}

#[derive(Debug)]
struct Kept {
    topic: Box<str>,
    slot: Slot,
    used: u32,
}

/// The slots of one connection.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_topic: HashMap<Box<str>, usize, RandomState>,
    kept: Vec<Kept>,
    last: usize,
    clock: u32,
    bytes: usize,
}

impl Slots {
    /// The slot of `topic`, made or renewed if need be.
    pub(super) fn find(
        &mut self,
        topic: TopicName<'_>,
        domain: &Domain<Resting>,
        mailbox: &Mailbox,
        rights: &Rights,
    ) -> Option<&Slot> {
        let index = match self.kept.get(self.last) {
            Some(kept) if *kept.topic == *topic.as_str() => Some(self.last),
            _ => self.by_topic.get(topic.as_str()).copied(),
        };
        let (index, is_known) = match index {
            Some(index) => (index, true),
            None => (self.add(topic, domain, mailbox, rights), false),
        };
        self.last = index;
        self.clock = self.clock.wrapping_add(1);
        let kept = self.kept.get_mut(index)?;
        kept.used = self.clock;
        if domain.is_current(&kept.slot.route) {
            if is_known {
                Counter::SlotHits.one();
            }
        } else {
            Counter::SlotMisses.one();
            kept.slot.route = domain.route(topic, mailbox);
        }
        Some(&kept.slot)
    }

    /// The slot that was found last.
    pub(super) fn last(&self) -> Option<&Slot> {
        Some(&self.kept.get(self.last)?.slot)
    }

    /// Renews the slot that was found last, for `topic`, if need be.
    pub(super) fn renew(&mut self, topic: TopicName<'_>, domain: &Domain<Resting>, mailbox: &Mailbox) {
        if let Some(kept) = self.kept.get_mut(self.last)
            && !domain.is_current(&kept.slot.route)
        {
            kept.slot.route = domain.route(topic, mailbox);
        }
    }

    fn add(&mut self, topic: TopicName<'_>, domain: &Domain<Resting>, mailbox: &Mailbox, rights: &Rights) -> usize {
        Counter::SlotMisses.one();
        let slot = Slot { permit: rights.publish(topic), route: domain.route(topic, mailbox) };
        let kept = Kept { topic: topic.as_str().into(), slot, used: self.clock };
        if self.bytes + topic.as_str().len() > MOST_BYTES {
            self.clear();
        }
        self.bytes += topic.as_str().len();
        let index = match self.kept.len() {
            MOST => self.evict(),
            index => index,
        };
        self.by_topic.insert(kept.topic.clone(), index);
        match self.kept.get_mut(index) {
            Some(place) => *place = kept,
            None => self.kept.push(kept),
        }
        index
    }

    /// The place of the slot that was not used for the longest time.
    fn evict(&mut self) -> usize {
        let ages = self.kept.iter().map(|kept| self.clock.wrapping_sub(kept.used));
        let oldest = ages.enumerate().max_by_key(|(_, age)| *age).map_or(0, |(index, _)| index);
        if let Some(kept) = self.kept.get(oldest) {
            self.bytes -= kept.topic.len();
            self.by_topic.remove(&kept.topic);
        }
        oldest
    }

    /// Forgets everything: the rights have changed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
