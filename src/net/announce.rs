//! What the broker itself publishes, below `$SYS`.
//!
//! What lives here: its messages made retained and given to whoever subscribed.
//! What does not: what they say. Invariant: nothing of it is stored, and no
//! topic elsewhere can be published to from here.

use crate::delivery::{Domain, Kind, Mailbox, Overflow, Progress, Publisher, Turn};
use crate::identity::policy::Permit;
use crate::mqtt::{MessageId, MessageView, Qos, TopicName};

use super::encode;
use super::shared::{Node, Resting};

/// The broker's voice in the topic space of one tenant.
#[derive(Debug)]
pub struct Voice(Mailbox);

impl Voice {
    /// A voice that has said nothing.
    #[must_use]
    pub fn new(domain: &Domain<Resting>) -> Self {
        Self(Mailbox(domain.new_queue(Kind::Volatile, Overflow::DropNewest)))
    }

    /// Publishes texts by topic, retained, with QoS 0. A topic that is not
    /// below `$SYS` is left out.
    pub fn say<'a>(&self, node: &Node, domain: &Domain<Resting>, words: impl Iterator<Item = (&'a str, &'a str)>) {
        let now = node.clock.unix_millis();
        let Self(mailbox) = self;
        let uid = mailbox.0.uid();
        let mut turn = Turn::default();
        for (topic, text) in words {
            let Ok(topic) = TopicName::new(topic) else { continue };
            let Some(permit) = Permit::of_the_broker(topic) else { continue };
            let payload = text.as_bytes();
            let message =
                MessageView { topic, qos: Qos::AtMostOnce, retain: true, properties: &[], expiry: None, payload };
            let id = MessageId { publisher: uid.0, epoch: domain.epoch(), counter: mailbox.0.count_published(1) };
            domain.retained.set_own(&message, id, now);
            // The slot first: a subscriber that comes in between has the message twice, not never.
            let route = domain.route(topic, mailbox);
            if !route.is_empty() {
                turn.add(&message, &route, encode::common, &permit);
            }
        }
        if turn.is_empty() {
            return;
        }
        let mut fanout = turn.finish(Publisher { queue: &mailbox.0, epoch: domain.epoch(), now });
        while fanout.advance() == Progress::More {}
        let batch = fanout.take_batch();
        debug_assert!(batch.is_empty(), "QoS 0 is never stored");
        fanout.appended_at(domain.append(batch));
    }

    /// Takes back all that was said: it is retained no longer.
    pub fn fall_silent(&self, domain: &Domain<Resting>) {
        domain.retained.forget_own();
    }
}
