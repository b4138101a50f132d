//! What the member of a shared subscription leaves behind.
//!
//! What lives here: messages of a member that has gone, given to another one.
//! What does not: what it leaves (`net` knows what was sent). Invariant: a
//! message is taken from one queue and entered into another in one batch, so
//! that a crash leaves it in exactly one of them.

use std::sync::Arc;

use crate::mqtt::{MessageView, TopicFilter, TopicName};
use crate::store::{Op, StoredMessage};
use crate::telemetry::metrics::Counter;

use super::route::choose_other;
use super::{Domain, Encode, Mailbox, Progress, Publisher, Recipient, Route, Turn};

/// A message that was chosen for a member and did not reach it, or was not
/// acknowledged.
#[derive(Clone, Debug)]
pub struct Left {
    /// The message.
    pub message: Arc<StoredMessage>,
    /// The publisher's RETAIN flag, as far as it is known.
    pub retain: bool,
    /// The shared subscription.
    pub group: TopicFilter,
    /// Its number in the queue, if that keeps it.
    pub seq: Option<u64>,
}

/// Who may have what a member leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heirs {
    /// Members that are connected.
    Present,
    /// Also members that are away: the one that leaves does not return.
    All,
}

/// Messages that are passed on in one batch.
const SLICE: usize = 1024;

impl<S: Send + 'static> Domain<S> {
    /// Gives what `from` leaves to other members of the groups, and answers the
    /// numbers that its queue holds no more. What nobody takes stays where it
    /// is; what no queue holds is lost then, and counted.
    pub fn pass_on(&self, from: &Mailbox, left: &[Left], heirs: Heirs, encode: Encode, now: u64) -> Vec<u64> {
        left.chunks(SLICE).flat_map(|left| self.pass_slice(from, left, heirs, encode, now)).collect()
    }

    fn pass_slice(&self, from: &Mailbox, left: &[Left], heirs: Heirs, encode: Encode, now: u64) -> Vec<u64> {
        let mut turn = Turn::default();
        let mut passed = Vec::new();
        for one in left.iter().filter(|left| left.message.expires_at.is_none_or(|at| at > now)) {
            match self.find_heir(from, one, heirs) {
                Some((topic, route, heir)) => {
                    turn.pass_on(&view(one, topic, now), &route, heir, encode);
                    passed.extend(one.seq);
                }
                None => Counter::MessagesUnrouted.add(u64::from(one.seq.is_none())),
            }
        }
        if turn.is_empty() {
            return passed;
        }
        let mut fanout = turn.finish(Publisher { queue: &from.0, epoch: self.epoch(), now });
        while fanout.advance() == Progress::More {}
        let mut batch = fanout.take_batch();
        if !passed.is_empty() {
            from.0.pass(&passed);
            batch.push(Op::Advance { session: from.0.uid(), up_to: 0, sparse: passed.clone() });
        }
        fanout.appended_at(self.append(batch));
        passed
    }

    fn find_heir<'l>(
        &self,
        from: &Mailbox,
        left: &'l Left,
        heirs: Heirs,
    ) -> Option<(TopicName<'l>, Arc<Route>, Recipient)> {
        let topic = TopicName::new(&left.message.topic).ok()?;
        let group = self.group(&left.group)?;
        let heir = choose_other(&group, left.message.qos, from, heirs == Heirs::All)?;
        Some((topic, Arc::new(Route::of_group(group, self.stamp(topic))), heir))
    }
}

fn view<'l>(left: &'l Left, topic: TopicName<'l>, now: u64) -> MessageView<'l> {
    let seconds = |at: u64| u32::try_from(at.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX);
    let Left { message, retain, .. } = left;
    MessageView {
        topic,
        qos: message.qos,
        retain: *retain,
        properties: &message.properties,
        expiry: message.expires_at.map(seconds),
        payload: &message.payload,
    }
}
