//! The subscriptions of a session, and what SUBSCRIBE asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};

use crate::codec::{self, DecodeError};
use crate::mqtt::{ReasonCode, SubscriptionOptions, TopicFilter, Version};

use super::{Terms, Violation};

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What is subscribed to.
    pub filter: TopicFilter,
    /// How it is to be delivered.
    pub options: SubscriptionOptions,
    /// The identifier that deliveries carry.
    pub id: Option<NonZeroU32>,
}

/// One filter of SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It may be subscribed to, if rights allow it.
    Subscribe {
        /// What is asked for.
        subscription: Subscription,
        /// The same filter was subscribed to before.
        existed: bool,
    },
    /// It is refused before rights are asked.
    Refused(ReasonCode),
}

/// The answer to one wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// It is subscribed, with the options as granted.
    Granted(Subscription),
    /// It is not.
    Refused(ReasonCode),
}

impl Grant {
    /// The code in SUBACK.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::Granted(subscription) => ReasonCode::granted(subscription.options.qos),
            Self::Refused(reason) => *reason,
        }
    }
}

/// The subscriptions of one session, by filter.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_filter: BTreeMap<Box<str>, Subscription>,
}

impl Subscriptions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_filter.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_filter.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.by_filter.values()
    }

    /// The one with this filter.
    #[must_use]
    pub fn find(&self, filter: &str) -> Option<&Subscription> {
        self.by_filter.get(filter)
    }

    pub(super) fn insert(&mut self, subscription: Subscription) {
        self.by_filter.insert(Box::from(subscription.filter.as_str()), subscription);
    }

    pub(super) fn remove(&mut self, filter: &str) -> Option<Subscription> {
        self.by_filter.remove(filter)
    }

    fn contains(&self, filter: &str) -> bool {
        self.by_filter.contains_key(filter)
    }
}

/// Whether the client takes an answer with a code for each of so many filters
/// [MQTT-3.1.2-24].
pub(super) fn check_answer(filters: usize, terms: &Terms) -> Result<(), Violation> {
    let remaining = u32::try_from(filters).unwrap_or(u32::MAX).saturating_add(3);
    let len = remaining as usize + 1 + codec::varint_len(remaining);
    if len > terms.max_packet_out as usize { Err(Violation::AnswerTooLong(terms.max_packet_out)) } else { Ok(()) }
}

/// SUBACK.
pub(super) fn suback(packet_id: NonZeroU16, grants: &[Grant], version: Version) -> Vec<u8> {
    let reasons: Vec<_> = grants.iter().map(Grant::reason).collect();
    let codes = reasons.as_slice().into();
    let mut packet = Vec::new();
    codec::SubAck { packet_id, properties: codec::Properties::EMPTY, codes }.encode(version, &mut packet);
    packet
}

/// Reads the filters of SUBSCRIBE, in order.
pub(super) fn wishes(
    subscribe: &codec::Subscribe<'_>,
    held: &Subscriptions,
    terms: &Terms,
) -> Result<Vec<Wish>, Violation> {
    check_answer(subscribe.filters.iter().count(), terms)?;
    let mut room = terms.max_subscriptions.saturating_sub(held.len());
    let mut wishes = Vec::new();
    // As if each filter came in a packet of its own [MQTT-3.8.4-5].
    let mut wished = BTreeSet::new();
    let id = subscribe.properties.subscription_ids().next().and_then(NonZeroU32::new);
    for entry in subscribe.filters.iter() {
        let filter =
            TopicFilter::new(entry.filter).map_err(|error| Violation::Malformed(DecodeError::TopicFilter(error)))?;
        let existed = held.contains(filter.as_str()) || wished.contains(entry.filter);
        wishes.push(if filter.levels() > terms.max_topic_levels {
            Wish::Refused(ReasonCode::TopicFilterInvalid)
        } else if !existed && room == 0 {
            Wish::Refused(ReasonCode::QuotaExceeded)
        } else {
            room -= usize::from(!existed);
            wished.insert(entry.filter);
            Wish::Subscribe { subscription: Subscription { filter, options: entry.options, id }, existed }
        });
    }
    Ok(wishes)
}
