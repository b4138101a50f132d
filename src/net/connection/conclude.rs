//! How a connection ends: the last words, the will, the session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{ConnAck, Disconnect, PropertiesBuf};
use crate::delivery::{Domain, Item, Mailbox, Parked, Publisher, Returned};
use crate::identity::policy::Rights;
use crate::identity::switch::OnForbiddenPublish;
use crate::mqtt::{ClientId, MessageId, ReasonCode};
use crate::session::{Session, Will};
use crate::store::{Batch, StoredMessage};
use crate::telemetry::metrics::Counter;

use super::super::due::Away;
use super::super::shared::{Node, Resting};
use super::super::{encode, remember};
use super::farewell::Farewell;
use super::{Connection, Ending, Parts, heritage};

impl Connection {
    /// Ends the connection: last words, will, session. Nobody is waited for.
    pub(super) fn conclude(&mut self, ending: Ending) {
        let next = self.parts.outgoing.lowest_unsent();
        if self.session.as_ref().is_some_and(|session| session.is_resumable()) {
            self.finish_searches();
        }
        let Some(mut session) = self.session.take() else { return };
        self.finish_turn(&mut session);
        self.log(&ending, &session);
        if self.say_goodbye(&ending, &mut session) && ending.lingers() {
            self.farewell = Some(Box::new(Farewell::new()));
        }
        let ring = self.parts.queue.disconnect(next);
        self.leave_to_others(&ending, &mut session, ring);
        let will_waits = self.settle_will(&ending, &mut session);
        session.detach();
        self.give_back(session, next, will_waits);
    }

    /// Members of shared subscriptions get what this one has not done, unless
    /// its client is back already or everybody leaves.
    fn leave_to_others(&mut self, ending: &Ending, session: &mut Session, ring: VecDeque<Item>) {
        let stays = match ending {
            Ending::TakenOver => session.is_resumable(),
            Ending::ShutDown => true,
            _ => false,
        };
        if !stays {
            let Parts { domain, mailbox, outgoing, node, .. } = &mut self.parts;
            heritage::leave(domain, mailbox, session, outgoing, ring, node.clock.unix_millis());
        }
    }

    fn log(&self, ending: &Ending, session: &Session) {
        ending.count();
        let control = &self.parts.entered.control;
        let (client_id, tenant) = (session.client_id().as_str(), self.parts.domain.tenant().as_str());
        let (connection, peer) = (control.id(), control.peer());
        match ending {
            Ending::Refused(refusal) => {
                self.parts.node.refusals.record((**refusal).clone());
            }
            Ending::Violated(_) | Ending::Misframed(_) | Ending::Forbidden(_)
                if !self.parts.node.refusals.may_tell_of_ending(peer.ip(), self.parts.node.clock.wall()) => {}
            Ending::Violated(_) | Ending::Misframed(_) | Ending::Forbidden(_) | Ending::Panicked => {
                tracing::warn!(connection, %peer, tenant, client_id, reason = ending.text(), "connection closed");
            }
            _ => tracing::info!(connection, %peer, tenant, client_id, reason = ending.text(), "connection closed"),
        }
    }

    /// Answers whether there are words on their way.
    fn say_goodbye(&mut self, ending: &Ending, session: &mut Session) -> bool {
        if !self.parts.transport.is_clean() {
            return false;
        }
        let mut said = false;
        if let Some(reason) = ending.reason() {
            let mut words = Vec::new();
            if self.greet(ending, session, &mut words) {
                self.last_words(ending, reason, session, &mut words);
            }
            let sent = self.parts.transport.send(&words);
            said = !words.is_empty() && sent.is_ok();
            Counter::AnswersSent.add(u64::from(said));
        }
        // A client that left first can tell this end from a stream cut off.
        self.parts.transport.close(ending.close_code());
        said && self.parts.transport.is_clean()
    }

    /// Nothing goes before CONNACK [MQTT-3.2.0-1]: when it has not left yet, it
    /// does so now, or says itself that the connection is refused. Answers
    /// whether more may follow.
    fn greet(&self, ending: &Ending, session: &mut Session, words: &mut Vec<u8>) -> bool {
        if let Ending::Refused(refusal) = ending
            && !self.greeted
        {
            ConnAck::refusal(refusal.reason.connack()).encode(session.terms().version, words);
            return false;
        }
        // What came before a breach is answered in front of its reason.
        let answers = session.release(self.parts.node.store.durable().0, words);
        Counter::AnswersSent.add(answers);
        self.greeted || answers > 0
    }

    fn last_words(&self, ending: &Ending, reason: ReasonCode, session: &Session, words: &mut Vec<u8>) {
        let version = session.terms().version;
        let is_signalled = self.parts.admission.tenant.switches.on_forbidden_publish
            == OnForbiddenPublish::Connack5Close
            && matches!(ending, Ending::Forbidden(_) | Ending::Refused(_) | Ending::Dismissed(_) | Ending::ShutDown);
        if version.is_v5() {
            let mut properties = PropertiesBuf::new();
            if session.terms().problem_information {
                properties.reason_string(&ending.text());
            }
            let packet = Disconnect { reason, properties: properties.as_properties() };
            let start = words.len();
            packet.encode(version, words);
            if words.len() - start > session.terms().max_packet_out as usize {
                words.truncate(start);
                Disconnect::new(reason).encode(version, words);
            }
        } else if is_signalled {
            // AUTH-12: a second CONNACK says that the connection ends.
            ConnAck::refusal(reason).encode(version, words);
        }
    }

    /// Publishes the will now, or says that it waits for its delay.
    fn settle_will(&self, ending: &Ending, session: &mut Session) -> Option<u32> {
        if !ending.keeps_will() {
            session.take_will();
            return None;
        }
        let delay = session.will()?.delay;
        // A will never waits longer than its session [MQTT-3.1.3-9].
        let delay = delay.min(session.terms().session_expiry);
        if delay > 0 {
            return Some(delay);
        }
        let will = session.take_will()?;
        publish_will(&self.parts.node, &self.parts.domain, &self.parts.mailbox, &self.parts.admission.rights, &will);
        None
    }

    fn give_back(&self, mut session: Box<Session>, next: u64, will_waits: Option<u32>) {
        let now = self.parts.node.clock.unix_millis();
        let domain = &self.parts.domain;
        let key = &self.parts.admission.session_key;
        let generation = self.parts.generation;
        if !session.is_resumable() {
            end_session(domain, key, &mut session, &self.parts.mailbox, now);
            domain.registry.hand_back(key, generation, None);
            return;
        }
        // Before the next owner can write: the last row is the one that counts.
        let left_at = Some(self.parts.node.clock.unix_millis());
        let uid = self.parts.queue.uid();
        let row = remember::session(domain.tenant(), uid, &self.parts.admission, &self.parts.peer, &session, left_at);
        let _ = domain.append(Batch { ops: vec![row] });
        let expiry = session.terms().session_expiry;
        let rights = Arc::clone(&self.parts.admission.rights);
        let queued_before = self.parts.outgoing.queued_before();
        let resting = Resting { session, rights, queued_before };
        let agenda = &self.parts.node.agenda;
        let ends = agenda.end(expiry, Duration::ZERO);
        let parked = Parked { session: resting, queue: Arc::clone(&self.parts.queue), next, ends };
        let Returned::Rests(generation) = domain.registry.hand_back(key, generation, Some(parked)) else { return };
        let away = Away { domain: Arc::clone(domain), key: key.clone(), generation };
        agenda.enter(away, Duration::ZERO, will_waits, expiry, ends);
    }
}

/// Takes a session out of the router and the store. What it was to do as a
/// member of groups goes to the other members.
pub(in crate::net) fn end_session(
    domain: &Domain<Resting>,
    key: &ClientId,
    session: &mut Session,
    mailbox: &Mailbox,
    now: u64,
) {
    domain.unsubscribe(session.subscriptions().iter().map(|subscription| &subscription.filter), mailbox);
    if session.is_stored() {
        heritage::bequeath(domain, mailbox, session, now);
        let mut batch = Batch::default();
        remember::ended(&mut batch, domain.tenant(), key, mailbox.0.uid(), session.subscriptions().iter());
        let _ = domain.append(batch);
    }
}

/// Publishes a will with the rights of the client that left it
/// (MQTT-WILL-02).
pub(in crate::net) fn publish_will(
    node: &Node,
    domain: &Domain<Resting>,
    mailbox: &Mailbox,
    rights: &Rights,
    will: &Will,
) {
    let Some(message) = will.message() else { return };
    let Ok(permit) = rights.publish(message.topic) else {
        tracing::warn!(tenant = domain.tenant().as_str(), topic = &*will.topic, "a will was not published: no right");
        return;
    };
    Counter::WillsPublished.one();
    let now = node.clock.unix_millis();
    let uid = mailbox.0.uid();
    let publisher = Publisher { queue: &mailbox.0, epoch: domain.epoch(), now };
    if message.retain {
        let id = MessageId { publisher: uid.0, epoch: domain.epoch(), counter: mailbox.0.count_published(1) };
        let log = |kept: Option<&StoredMessage>| {
            domain.append(Batch { ops: vec![remember::retained(domain.tenant(), message.topic, kept)] })
        };
        if domain.retained.set(&message, id, now, log).is_err() {
            Counter::RetainedRefused.one();
            tracing::warn!(tenant = domain.tenant().as_str(), topic = &*will.topic, "a will was not retained: full");
        }
    }
    let _ = domain.publish(&message, mailbox, publisher, encode::common, &permit);
}
