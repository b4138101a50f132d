//! Who receives a message: filters in, recipients out.
//!
//! What lives here: the subscriptions of one tenant ([`Router`]), the counters
//! by which cached answers are known to be current ([`Epochs`]) and the index
//! of retained messages ([`Retained`]). What does not: queues, packets, locks
//! (`delivery` puts one around each). Invariant: [`Router::route`] names
//! exactly those who hold a filter that [`crate::mqtt::matches`] the topic,
//! each once, in an order that depends on the subscriptions alone.

mod epochs;
mod exact;
mod index;
mod recipients;
mod retained;
mod shared;
mod subscribers;
mod trie;

pub use epochs::{Epochs, Stamp};
pub use recipients::{Recipient, Route};
pub use retained::{Retained, RetainedSlice};
pub use shared::{Group, Readiness};
pub use subscribers::{Subscribers, Subscription};

use std::hash::Hash;
use std::num::NonZeroU32;

use crate::mqtt::{SubscriptionOptions, TopicFilter, TopicName};
use index::Index;
use shared::Groups;

/// Whether a subscription is a new one [MQTT-3.8.4-3].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// The recipient did not hold this filter.
    New,
    /// The recipient held it; options and identifier are replaced.
    Replaced,
}

/// The subscriptions of one tenant. `R` names a recipient; it is cloned into
/// every answer, so it should be a pointer.
#[derive(Debug)]
pub struct Router<R> {
    plain: Index<Subscribers<R>>,
    shared: Index<Groups<R>>,
    subscriptions: usize,
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self { plain: Index::default(), shared: Index::default(), subscriptions: 0 }
    }
}

impl<R: Clone + Eq + Hash> Router<R> {
    /// Enters a subscription, or replaces the one that `recipient` has under
    /// the same filter [MQTT-3.8.4-3]. Raise the [`Epochs`] afterwards.
    pub fn subscribe(
        &mut self,
        filter: &TopicFilter,
        recipient: R,
        options: SubscriptionOptions,
        id: Option<NonZeroU32>,
    ) -> Subscribed {
        let subscription = Subscription { handle: recipient, options, id };
        let new = match filter.share() {
            None => self.plain.change(filter.path(), |subscribers| subscribers.insert(subscription)),
            Some(_) => self.shared.change(filter.path(), |groups| groups.insert(filter, subscription)),
        };
        self.subscriptions += usize::from(new);
        if new { Subscribed::New } else { Subscribed::Replaced }
    }

    /// Removes the subscription that `recipient` has under exactly this
    /// filter [MQTT-3.10.4-1]; answers whether there was one.
    pub fn unsubscribe(&mut self, filter: &TopicFilter, recipient: &R) -> bool {
        let path = filter.path();
        let removed = match filter.share() {
            None => self.plain.edit(path, |subscribers| (subscribers.remove(recipient), subscribers.is_empty())),
            Some(_) => self.shared.edit(path, |groups| (groups.remove(filter, recipient), groups.is_empty())),
        };
        self.subscriptions -= usize::from(removed);
        removed
    }

    /// Fills `out` with everybody who receives a message to `topic`; what was
    /// in it is dropped, its memory is used again. Subscriptions of
    /// `publisher` that ask for it are left out [MQTT-3.8.3-3].
    pub fn route(&self, topic: TopicName<'_>, publisher: Option<&R>, out: &mut Route<R>) {
        out.clear();
        let mut frontier = std::mem::take(&mut out.frontier);
        self.plain.visit(topic, &mut frontier, |subscribers| out.merge(subscribers.as_slice(), publisher));
        self.shared.visit(topic, &mut frontier, |groups| out.groups.extend(groups.iter().cloned()));
        out.frontier = frontier;
    }

    /// The group of a shared filter as it is now.
    #[must_use]
    pub fn group(&self, filter: &TopicFilter) -> Option<Group<R>> {
        self.shared.get(filter.path())?.find(filter).cloned()
    }

    /// The number of subscriptions, members of groups included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether nobody has subscribed to anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }
}

#[cfg(test)]
mod tests;
