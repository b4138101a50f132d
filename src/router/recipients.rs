//! The router's answer.
//!
//! What lives here: recipients merged per session, and the groups that get one
//! copy each. What does not: the choice of a group's member (`shared`).
//! Invariant: no recipient is listed twice.

use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::shared::Group;
use super::subscribers::Subscription;
use super::trie::Frontier;
use crate::mqtt::Qos;

/// Somebody who receives one copy, whatever the number of filters that match
/// [MQTT-3.3.4-2].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient<R> {
    /// Who.
    pub handle: R,
    /// The highest quality of service of the filters that match
    /// [MQTT-3.3.4-2].
    pub qos: Qos,
    /// Whether one of them wants the publisher's RETAIN flag kept
    /// [MQTT-3.3.1-13].
    pub retain_as_published: bool,
    /// Their subscription identifiers, one for each filter that has one, in
    /// the order of the walk; one that is used twice is listed twice
    /// [MQTT-3.3.4-3] [MQTT-3.3.4-4].
    pub ids: Vec<NonZeroU32>,
}

/// Who receives a message; filled by [`Router::route`](super::Router::route).
#[derive(Debug)]
pub struct Route<R> {
    /// One copy each.
    pub recipients: Vec<Recipient<R>>,
    /// One copy for one member each.
    pub groups: Vec<Group<R>>,
    pub(super) frontier: Frontier,
    /// Places in `recipients` by handle, made once there are many.
    seen: HashTable<u32>,
    hasher: RandomState,
}

/// Up to here the list is searched one by one.
const LISTED: usize = 16;

impl<R> Default for Route<R> {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            groups: Vec::new(),
            frontier: Frontier::default(),
            seen: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

impl<R> Route<R> {
    /// Whether nobody receives the message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.groups.is_empty()
    }

    /// Forgets the answer, keeps the memory.
    pub fn clear(&mut self) {
        self.recipients.clear();
        self.groups.clear();
        self.seen.clear();
    }
}

impl<R: Clone + Eq + Hash> Route<R> {
    /// Adds the holders of one filter.
    pub(super) fn merge(&mut self, subscriptions: &[Subscription<R>], publisher: Option<&R>) {
        // The holders of one filter differ, so the first filter needs no search.
        let first = self.recipients.is_empty();
        for subscription in subscriptions {
            if subscription.options.no_local && publisher == Some(&subscription.handle) {
                continue;
            }
            let known = if first { None } else { self.find(&subscription.handle) };
            match known.and_then(|at| self.recipients.get_mut(at)) {
                Some(recipient) => recipient.add(subscription),
                None => self.recipients.push(Recipient::new(subscription)),
            }
        }
    }

    fn find(&mut self, handle: &R) -> Option<usize> {
        if self.recipients.len() <= LISTED {
            return self.recipients.iter().position(|recipient| recipient.handle == *handle);
        }
        let Self { recipients, seen, hasher, .. } = self;
        let hash_at = |&at: &u32| recipients.get(at as usize).map_or(0, |found| hasher.hash_one(&found.handle));
        for at in seen.len()..recipients.len() {
            let at = at as u32;
            seen.insert_unique(hash_at(&at), at, hash_at);
        }
        let is_it = |&at: &u32| recipients.get(at as usize).is_some_and(|found| found.handle == *handle);
        seen.find(hasher.hash_one(handle), is_it).map(|&at| at as usize)
    }
}

impl<R: Clone> Recipient<R> {
    fn new(subscription: &Subscription<R>) -> Self {
        Self {
            handle: subscription.handle.clone(),
            qos: subscription.options.qos,
            retain_as_published: subscription.options.retain_as_published,
            ids: subscription.id.into_iter().collect(),
        }
    }

    fn add(&mut self, subscription: &Subscription<R>) {
        self.qos = self.qos.max(subscription.options.qos);
        self.retain_as_published |= subscription.options.retain_as_published;
        self.ids.extend(subscription.id);
    }
}
