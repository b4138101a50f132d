//! One turn of input: every whole packet that was read, in order.
//!
//! Order inside a turn: all publications are routed into one parcel, the parcel
//! is handed to its recipients, one batch is appended (recipients' entries
//! first, what the publisher's session must remember last), and the turn's
//! answers wait for that batch's position together.

use std::num::NonZeroU16;
use std::task::Context;

use crate::codec::{self, DecodeError, Frame, Packet, PacketType};
use crate::delivery::{Progress, Publisher};
use crate::identity::refusal::Stage;
use crate::identity::switch::{OnForbiddenPublish, OnForbiddenSubscribe, Retain};
use crate::mqtt::{MessageView, ReasonCode, RetainHandling, TopicName};
use crate::session::{Acknowledged, Answer, Grant, Inbound, Output, Violation, Wish};
use crate::store::{Batch, Op, Position, StoredMessage};
use crate::telemetry::metrics::Counter;

use super::super::{encode, lent::Buffers, remember};
use super::{Connection, Ending, Parts};

/// Bytes of frames that were handled, and how the turn goes on.
struct Handled {
    bytes: usize,
    /// A fan-out must be completed first, or the client's rate is used up.
    stopped: bool,
}

impl Connection {
    /// Makes what earlier turns left over the input. It is moved, not copied:
    /// a packet that comes byte by byte must not cost its length each time.
    /// Gives the buffer that is lent meanwhile.
    pub(super) fn go_on_with_partial(&mut self, buffers: &mut Buffers) -> Option<Vec<u8>> {
        buffers.input.clear();
        let own = (!self.partial.is_empty()).then(|| std::mem::take(&mut self.partial))?;
        Some(std::mem::replace(&mut buffers.input, own))
    }

    /// Keeps what is left behind the first `handled` bytes of the input.
    pub(super) fn keep_partial(&mut self, handled: usize, buffers: &mut Buffers, lent: Option<Vec<u8>>) {
        self.partial = match lent {
            Some(lent) => {
                let mut own = std::mem::replace(&mut buffers.input, lent);
                own.drain(..handled.min(own.len()));
                own
            }
            None => buffers.input.get(handled..).unwrap_or_default().to_vec(),
        };
        buffers.input.clear();
    }

    /// Takes every whole packet of the input; what is left is kept.
    pub(super) fn work_off(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
        lent: Option<Vec<u8>>,
    ) -> Result<(), Ending> {
        let input = std::mem::take(&mut buffers.input);
        let handled = self.handle_all(cx, &input, buffers);
        buffers.input = input;
        let bytes = handled.as_ref().map_or(usize::MAX, |handled| handled.bytes);
        self.keep_partial(bytes, buffers, lent);
        self.unread |= matches!(&handled, Ok(Handled { stopped: true, .. }));
        handled.map(|_| ())
    }

    fn handle_all(&mut self, cx: &mut Context<'_>, input: &[u8], buffers: &mut Buffers) -> Result<Handled, Ending> {
        let limit = self.parts.admission.tenant.switches.max_packet as usize;
        let (mut bytes, mut packets) = (0, 0);
        let mut outcome = Ok(());
        let most = self.published.saturating_add(self.allowance());
        let mut is_used_up = false;
        while self.leaving.is_none() && self.fanout.is_none() && self.unappended.is_none() {
            let rest = input.get(bytes..).unwrap_or_default();
            let frame = match codec::peek(rest, limit) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(malformed(error));
                    break;
                }
            };
            let is_publish = PacketType::from_first(frame.first) == Some(PacketType::Publish);
            is_used_up = is_publish && (self.published >= most || self.must_wait_for_room(frame.first, cx));
            if is_used_up {
                break;
            }
            bytes += frame.len;
            packets += 1;
            outcome = self.handle(&frame, cx, buffers);
            if outcome.is_err() {
                break;
            }
        }
        if packets > 0 {
            // Whole packets count as a sign of life, not bytes [MQTT-3.1.2-22].
            self.heard = self.parts.node.clock.now();
        }
        Counter::PacketsReceived.add(packets);
        // What came before a breach was well formed: it is routed all the same.
        let stopped = self.hand_over(cx, buffers);
        outcome.map(|()| Handled { bytes, stopped: stopped || is_used_up })
    }

    fn handle(&mut self, frame: &Frame<'_>, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        let version = self.version();
        match PacketType::from_first(frame.first) {
            Some(PacketType::Publish) => {
                let publish = codec::Publish::decode(frame, version).map_err(malformed)?;
                publish.check_from_client().map_err(malformed)?;
                self.handle_publish(&publish, buffers)
            }
            _ => self.handle_cold(frame, cx, buffers),
        }
    }

    fn version(&self) -> crate::mqtt::Version {
        self.session.as_ref().map_or(crate::mqtt::Version::V4, |session| session.terms().version)
    }

    fn handle_publish(&mut self, publish: &codec::Publish<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        self.published += 1;
        Counter::received(publish.qos.bits()).one();
        Counter::PublishBytesReceived.add(publish.payload.len() as u64);
        let Some(session) = &mut self.session else { return Ok(()) };
        let levels = session.terms().max_topic_levels;
        let written = publish.topic.map_or("", TopicName::as_str);
        let alias = publish.topic_alias.map(NonZeroU16::get);
        let resolved: Option<Box<str>> = match alias {
            Some(alias) => Some(session.resolve_alias(alias, written).map_err(Ending::Violated)?.into()),
            None => None,
        };
        let topic = match &resolved {
            Some(text) => TopicName::new(text).ok(),
            None => publish.topic,
        };
        let Some(topic) = topic else { return Err(Ending::Violated(Violation::TopicAlias(0))) };
        let inbound = session.on_publish(publish).map_err(Ending::Violated)?;
        let Inbound::Route(answer) = inbound else { return Ok(()) };
        if topic.as_str().bytes().filter(|byte| *byte == b'/').count() >= levels {
            return Err(Ending::Violated(Violation::TopicLevels(levels)));
        }
        let Self { parts, slots, .. } = self;
        let rights = &parts.admission.rights;
        let slots = slots.get_or_insert_default();
        let Some(slot) = slots.find(topic, &parts.domain, &parts.mailbox, rights) else { return Ok(()) };
        let permit = match slot.permit {
            Ok(permit) => permit,
            Err(_) => return self.deny_publish(topic.as_str(), answer),
        };
        let mut message = publish.view(topic, forwarded(publish, &mut buffers.properties));
        message.retain &= parts.admission.tenant.switches.retain == Retain::Store;
        if message.retain {
            let Some(position) = retain(parts, &message) else {
                Counter::RetainedRefused.one();
                answer.into_iter().for_each(|answer| session.refuse(answer, ReasonCode::QuotaExceeded));
                return Ok(());
            };
            self.retained_at = self.retained_at.max(position);
            // Kept first, routed then: who has subscribed since the slot was
            // found may have looked before the message was kept.
            slots.renew(topic, &parts.domain, &parts.mailbox);
        }
        let Some(slot) = slots.last() else { return Ok(()) };
        tracing::trace!(
            connection = parts.entered.control.id(),
            topic = topic.as_str(),
            bytes = message.payload.len(),
            "publish"
        );
        buffers.turn.add(&message, &slot.route, encode::common, &permit);
        Ok(())
    }

    fn deny_publish(&mut self, topic: &str, answer: Option<Answer>) -> Result<(), Ending> {
        Counter::MessagesDenied.one();
        self.tell_of_denial(Stage::Publish, topic);
        let is_v5 = self.version().is_v5();
        match (answer, &mut self.session, self.parts.admission.tenant.switches.on_forbidden_publish) {
            (Some(answer), Some(session), _) if is_v5 => session.refuse(answer, ReasonCode::NotAuthorized),
            (_, _, OnForbiddenPublish::Drop) => {}
            _ => return Err(Ending::Forbidden(ReasonCode::NotAuthorized)),
        }
        Ok(())
    }

    fn handle_cold(&mut self, frame: &Frame<'_>, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        let packet = Packet::decode_from_client(frame, self.version()).map_err(malformed)?;
        let Some(session) = &mut self.session else { return Ok(()) };
        match packet {
            Packet::Ack(ack) => {
                if let Acknowledged::Finished { .. } = session.on_acknowledgement(&ack).map_err(Ending::Violated)? {
                    self.parts.outgoing.let_go(ack.packet_id.get());
                }
                return Ok(());
            }
            other => session.handle_packet(other).map_err(Ending::Violated)?,
        }
        while let Some(output) = self.session.as_mut().and_then(|session| session.poll_output()) {
            self.act(output, cx, buffers)?;
        }
        Ok(())
    }

    fn act(&mut self, output: Output, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        match output {
            Output::Pong => {
                // Written with the next output: the socket may be full now.
                self.pongs += 1;
            }
            Output::Disconnect { with_will } => self.leaving = Some(Ending::Disconnected { with_will }),
            Output::Subscribe { packet_id, wishes } => {
                // Publications of this turn that came first are not for it.
                self.hand_over(cx, buffers);
                let mut grants = Vec::with_capacity(wishes.len());
                for wish in wishes {
                    grants.push(self.grant(wish)?);
                }
                if let Some(session) = &mut self.session {
                    session.handle_granted(packet_id, grants);
                }
            }
            Output::Unsubscribe { filters } => self.parts.domain.unsubscribe(filters.iter(), &self.parts.mailbox),
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish) -> Result<Grant, Ending> {
        let (subscription, existed) = match wish {
            Wish::Refused(reason) => {
                if reason == ReasonCode::QuotaExceeded {
                    Counter::SubscriptionsBeyond.one();
                }
                return Ok(Grant::Refused(reason));
            }
            Wish::Subscribe { subscription, existed } => (subscription, existed),
        };
        if !existed && !self.parts.domain.may_subscribe() {
            Counter::SubscriptionsBeyond.one();
            return Ok(Grant::Refused(ReasonCode::QuotaExceeded));
        }
        let Ok(permit) = self.parts.admission.rights.subscribe(&subscription.filter) else {
            Counter::SubscriptionsDenied.one();
            self.tell_of_denial(Stage::Subscribe, subscription.filter.as_str());
            return match self.parts.admission.tenant.switches.on_forbidden_subscribe {
                OnForbiddenSubscribe::Suback80 => Ok(Grant::Refused(ReasonCode::NotAuthorized)),
                OnForbiddenSubscribe::Close => Err(Ending::Forbidden(ReasonCode::NotAuthorized)),
            };
        };
        let wants_retained = match subscription.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !existed,
            RetainHandling::Never => false,
        };
        let search =
            if wants_retained && subscription.filter.share().is_none() { self.mark(&subscription) } else { None };
        let mut options = subscription.options;
        // A bridge's own publications are not sent back to it (MQTT-CON-07).
        options.no_local |= self.parts.bridge;
        self.parts.domain.subscribe(
            &subscription.filter,
            self.parts.mailbox.clone(),
            options,
            subscription.id,
            &permit,
        );
        search.into_iter().for_each(|search| self.searches.push(search));
        Ok(Grant::Granted(subscription))
    }

    /// Hands the turn's messages to their recipients. Answers whether that has
    /// to be gone on with.
    fn hand_over(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> bool {
        if self.fanout.is_some() || self.unappended.is_some() {
            return true;
        }
        if buffers.turn.is_empty() {
            return self.append_or_wait(Batch::default(), None, cx);
        }
        let now = self.parts.node.clock.unix_millis();
        let mut fanout =
            buffers.turn.finish(Publisher { queue: &self.parts.queue, epoch: self.parts.domain.epoch(), now });
        if fanout.advance() == Progress::More {
            self.fanout = Some(Box::new(fanout));
            cx.waker().wake_by_ref();
            return true;
        }
        self.complete(fanout, cx)
    }

    /// Counts stored messages that are finished. Nobody waits for this: if it
    /// is lost, the client gets a repetition.
    pub(super) fn note_finished(&mut self) {
        let Some(session) = &mut self.session else { return };
        let unsent = self.parts.outgoing.lowest_unsent();
        let finished = session.outbound_mut().drain_finished();
        let count = finished.len() as u64;
        if count == 0 {
            return;
        }
        let finished: Vec<u64> = finished.collect();
        self.parts.queue.finished(&finished);
        let up_to = session.outbound().oldest().map_or(unsent, |oldest| oldest.min(unsent));
        // What is finished behind a message that is not ends here too: one that
        // is never acknowledged must not keep all others in the store.
        let sparse = finished.into_iter().filter(|seq| *seq >= up_to).collect();
        let _ = self
            .parts
            .domain
            .append(Batch { ops: vec![Op::Advance { session: self.parts.queue.uid(), up_to, sparse }] });
    }
}

/// Replaces the retained message of a topic, before it is routed. Nothing when
/// the tenant's bound is reached.
fn retain(parts: &Parts, message: &MessageView<'_>) -> Option<Position> {
    let now = parts.node.clock.unix_millis();
    let domain = &parts.domain;
    let log = |kept: Option<&StoredMessage>| {
        domain.append(Batch { ops: vec![remember::retained(domain.tenant(), message.topic, kept)] })
    };
    domain.retained.set(message, parts.new_message(), now, log).ok()
}

/// The properties that are passed on: as they lie, or picked out into `scratch`.
fn forwarded<'a>(publish: &codec::Publish<'a>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    match publish.forwardable() {
        Some(properties) => properties,
        None => {
            scratch.clear();
            publish.copy_forwardable(scratch);
            scratch
        }
    }
}

fn malformed(error: DecodeError) -> Ending {
    Ending::Violated(Violation::Malformed(error))
}
