//! The protocol state of a client: a machine without input or output.
//!
//! What lives here: packet identifiers, windows, what was received and not
//! released, subscriptions, the will, topic aliases, and which answers may
//! leave. What does not: bytes from a socket (`net`), rights (`identity`),
//! routes (`router`, `delivery`), the disk (`store`). Invariant: an answer
//! that promises something durable leaves only when its driver says that the
//! position behind it is durable.
//!
//! # The contract
//!
//! A driver owns the session and calls it; the session calls nobody, reads no
//! clock and takes no lock. There are two lanes.
//!
//! **Hot**, for PUBLISH and the acknowledgements of publications:
//!
//! 1. [`Session::on_publish`] judges one PUBLISH and answers by value. For
//!    [`Inbound::Route`] the driver routes the message; if it may not be
//!    routed, [`Session::refuse`] puts the reason into the waiting answer.
//! 2. [`Session::on_acknowledgement`] takes PUBACK, PUBREC, PUBREL and PUBCOMP.
//! 3. [`Outbound::begin`] gives the packet identifier for the next
//!    outgoing QoS 1 or 2 message, or nothing while the window is full.
//! 4. After it has appended the turn's batch the driver calls
//!    [`Session::answers_wait_for`] with its position, and
//!    [`Session::release`] writes every answer that is durable, in order.
//!
//! **Cold**, for everything else: one input, then drain.
//!
//! 5. [`Session::handle_packet`] takes SUBSCRIBE, UNSUBSCRIBE, PINGREQ,
//!    DISCONNECT and what must not come.
//! 6. [`Session::poll_output`] gives what the driver must do, until it gives
//!    nothing. A wish to subscribe is answered with
//!    [`Session::handle_granted`].
//! 7. [`Session::drain_changes`] gives what a session that can be resumed must
//!    remember; the driver puts it into its next batch.
//!
//! A session that outlives its connection is detached by
//! [`Session::detach`] and attached to the next one by [`Session::attach`];
//! [`Session::resend`] then names what was in flight.

mod acks;
mod alias;
mod alias_out;
mod contract;
mod inbound;
mod outbound;
mod subscribe;
mod timers;
mod violation;
mod will;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroU16;

pub use acks::{Answer, Ring};
pub use alias::Aliases;
pub use alias_out::OutgoingAliases;
pub use contract::{Change, Output, Terms};
pub use inbound::{Inbound, Received};
pub use outbound::{Acknowledged, InFlight, Outbound, Stage};
pub use subscribe::{Grant, Subscription, Subscriptions, Wish};
pub use timers::KeepAlive;
pub use violation::Violation;
pub use will::Will;

use crate::codec::{self, Packet};
use crate::mqtt::{ClientId, Qos, ReasonCode};

/// The protocol state of one client.
#[derive(Debug)]
pub struct Session {
    client_id: ClientId,
    terms: Terms,
    resumable: bool,
    /// Whether an earlier connection made it resumable: the store knows it.
    stored: bool,
    received: Received,
    answers: Ring,
    outbound: Outbound,
    subscriptions: Subscriptions,
    aliases: Aliases,
    /// Those that we set; made when the first is asked for.
    aliases_out: Option<Box<OutgoingAliases>>,
    will: Option<Box<Will>>,
    outputs: VecDeque<Output>,
    changes: Vec<Change>,
    /// An answer of this turn repeats an earlier one.
    repeats: bool,
    /// The highest position that an answer waited for.
    highest: u64,
}

impl Session {
    /// A new session without history.
    #[must_use]
    pub fn new(client_id: ClientId, terms: Terms) -> Self {
        let mut session = Self {
            client_id,
            resumable: false,
            stored: false,
            received: Received::default(),
            answers: Ring::default(),
            outbound: Outbound::new(terms.send_window),
            subscriptions: Subscriptions::default(),
            aliases: Aliases::new(terms.topic_alias_maximum),
            aliases_out: None,
            will: None,
            outputs: VecDeque::new(),
            changes: Vec::new(),
            repeats: false,
            highest: 0,
            terms,
        };
        session.resumable = session.terms.session_expiry > 0;
        session.stored = session.resumable;
        session
    }

    /// Begins a connection: the old one's answers and aliases are void, its
    /// messages in flight are to be resent [MQTT-4.4.0-1].
    pub fn attach(&mut self, terms: Terms, will: Option<Box<Will>>) {
        self.outbound.set_window(terms.send_window);
        self.aliases = Aliases::new(terms.topic_alias_maximum);
        self.aliases_out = None;
        self.answers = Ring::default();
        self.outputs.clear();
        self.resumable = terms.session_expiry > 0;
        self.stored |= self.resumable;
        self.will = will;
        self.terms = terms;
    }

    /// Ends a connection: what belonged to it alone is let go.
    pub fn detach(&mut self) {
        self.answers = Ring::default();
        self.aliases = Aliases::new(0);
        self.aliases_out = None;
        self.outputs = VecDeque::new();
        self.received.forget_unacknowledged();
        self.outbound.shrink();
    }

    /// Ends a subscription that the client did not end itself.
    pub fn end_subscription(&mut self, filter: &crate::mqtt::TopicFilter) {
        if self.subscriptions.remove(filter.as_str()).is_some() && self.resumable {
            self.changes.push(Change::Unsubscribed(filter.clone()));
        }
    }

    /// Keeps no spare capacity.
    pub fn trim(&mut self) {
        self.answers.trim();
        self.outbound.shrink();
        self.outputs.shrink_to_fit();
        self.changes.shrink_to_fit();
    }

    /// Under which name the session is kept.
    #[must_use]
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// What the present connection agreed on.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether the session outlives its connection.
    #[must_use]
    pub const fn is_resumable(&self) -> bool {
        self.resumable
    }

    /// Whether a store may hold something of it.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        self.stored
    }

    /// The subscriptions.
    #[must_use]
    pub const fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Puts back a subscription that a store remembered.
    pub fn restore_subscription(&mut self, subscription: Subscription) {
        self.subscriptions.insert(subscription);
    }

    /// Puts back a received QoS 2 identifier that a store remembered.
    pub fn restore_received(&mut self, packet_id: u16) {
        self.received.hold(packet_id);
    }

    /// Puts back the will that a store remembered.
    pub fn restore_will(&mut self, will: Box<Will>) {
        self.will = Some(will);
    }

    /// The will, taken away.
    pub fn take_will(&mut self) -> Option<Box<Will>> {
        self.will.take()
    }

    /// The will of the present connection.
    #[must_use]
    pub fn will(&self) -> Option<&Will> {
        self.will.as_deref()
    }

    /// What is in flight to the client.
    #[must_use]
    pub const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// What is in flight to the client, to change it.
    pub const fn outbound_mut(&mut self) -> &mut Outbound {
        &mut self.outbound
    }

    /// Gives the topic of `alias`, or learns it when `topic` is not empty
    /// (MQTT 5.0 section 3.3.2.3.4).
    ///
    /// # Errors
    /// [`Violation::TopicAlias`] when the alias is out of range or unknown.
    pub fn resolve_alias<'a>(&'a mut self, alias: u16, topic: &'a str) -> Result<&'a str, Violation> {
        self.aliases.resolve(alias, topic)
    }

    /// The aliases that we may set on this connection, and how many; nothing
    /// where the client takes none.
    pub fn outgoing_aliases(&mut self) -> Option<(&mut OutgoingAliases, u16)> {
        let maximum = self.terms.outgoing_aliases;
        (maximum > 0).then(|| (&mut **self.aliases_out.get_or_insert_default(), maximum))
    }

    /// Judges an incoming PUBLISH.
    ///
    /// # Errors
    /// [`Violation::ReceiveMaximum`] when the client leaves more unfinished
    /// than was announced [MQTT-3.3.4-7].
    pub fn on_publish(&mut self, publish: &codec::Publish<'_>) -> Result<Inbound, Violation> {
        let qos = publish.qos;
        let limit = self.terms.version.is_v5().then_some(self.terms.receive_maximum);
        let inbound =
            self.received.on_publish(qos, publish.packet_id.map_or(0, NonZeroU16::get), limit, &mut self.answers)?;
        self.repeats |= inbound == Inbound::Repeat;
        if self.resumable
            && let Inbound::Route(_) = inbound
            && qos == Qos::ExactlyOnce
        {
            let packet_id = publish.packet_id.map_or(0, NonZeroU16::get);
            self.changes.push(Change::Inbound { packet_id, held: true });
        }
        Ok(inbound)
    }

    /// Turns the answer to a publication into a refusal. The answer of the
    /// older versions cannot carry it and stays an acceptance.
    pub fn refuse(&mut self, answer: Answer, reason: ReasonCode) {
        let Some(packet_id) = self.answers.refuse(answer, reason) else { return };
        if self.terms.version.is_v5() && reason.is_error() && self.received.forget(packet_id) && self.resumable {
            self.changes.push(Change::Inbound { packet_id, held: false });
        }
    }

    /// Takes PUBACK, PUBREC, PUBREL or PUBCOMP.
    ///
    /// # Errors
    /// When the identifier belongs to nothing that waits for such a packet.
    pub fn on_acknowledgement(&mut self, ack: &codec::Ack<'_>) -> Result<Acknowledged, Violation> {
        let packet_id = ack.packet_id.get();
        match ack.kind {
            codec::AckKind::PubAck => self.outbound.on_puback(packet_id),
            codec::AckKind::PubRec => {
                let refused = ack.reason.is_error();
                let done = self.outbound.on_pubrec(packet_id, refused)?;
                match done {
                    Acknowledged::Release { seq } => {
                        self.changes.extend(self.resumable.then_some(Change::Released { seq }));
                        self.answers.push_pubrel(packet_id, ReasonCode::Success);
                    }
                    // Nothing follows a refusal, of whatever it was.
                    Acknowledged::Unknown if !refused => {
                        self.answers.push_pubrel(packet_id, ReasonCode::PacketIdentifierNotFound);
                    }
                    _ => {}
                }
                Ok(done)
            }
            codec::AckKind::PubRel => {
                let known = self.received.on_pubrel(packet_id, &mut self.answers);
                self.repeats |= !known;
                if known && self.resumable {
                    self.changes.push(Change::Inbound { packet_id, held: false });
                }
                Ok(Acknowledged::Answered)
            }
            codec::AckKind::PubComp => self.outbound.on_pubcomp(packet_id),
        }
    }

    /// Takes every packet that is neither PUBLISH nor its acknowledgement.
    ///
    /// # Errors
    /// A [`Violation`] ends the connection with its reason code.
    pub fn handle_packet(&mut self, packet: Packet<'_>) -> Result<(), Violation> {
        match packet {
            Packet::PingReq => self.outputs.push_back(Output::Pong),
            Packet::Subscribe(subscribe) => {
                let wishes = subscribe::wishes(&subscribe, &self.subscriptions, &self.terms)?;
                self.outputs.push_back(Output::Subscribe { packet_id: subscribe.packet_id, wishes });
            }
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(&unsubscribe)?,
            Packet::Disconnect(disconnect) => self.handle_disconnect(&disconnect)?,
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            Packet::Auth(_) => return Err(Violation::Authentication),
            _ => return Err(Violation::Unexpected),
        }
        Ok(())
    }

    /// Answers a wish to subscribe: stores what was granted and queues SUBACK.
    pub fn handle_granted(&mut self, packet_id: NonZeroU16, grants: Vec<Grant>) {
        self.answers.push_packet(subscribe::suback(packet_id, &grants, self.terms.version));
        for grant in grants {
            let Grant::Granted(subscription) = grant else { continue };
            self.subscriptions.insert(subscription.clone());
            if self.resumable {
                self.changes.push(Change::Subscribed(subscription));
            }
        }
    }

    fn handle_unsubscribe(&mut self, unsubscribe: &codec::Unsubscribe<'_>) -> Result<(), Violation> {
        subscribe::check_answer(unsubscribe.filters.iter().count(), &self.terms)?;
        let mut reasons = Vec::new();
        let mut filters = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let ended = self.subscriptions.remove(filter);
            reasons.push(match &ended {
                Some(_) => ReasonCode::Success,
                None => ReasonCode::NoSubscriptionExisted,
            });
            filters.extend(ended.map(|subscription| subscription.filter));
        }
        if self.resumable {
            self.changes.extend(filters.iter().cloned().map(Change::Unsubscribed));
        }
        let mut packet = Vec::new();
        let properties = codec::Properties::EMPTY;
        let codes = reasons.as_slice().into();
        codec::UnsubAck { packet_id: unsubscribe.packet_id, properties, codes }.encode(self.terms.version, &mut packet);
        self.answers.push_packet(packet);
        self.outputs.push_back(Output::Unsubscribe { filters });
        Ok(())
    }

    fn handle_disconnect(&mut self, disconnect: &codec::Disconnect<'_>) -> Result<(), Violation> {
        if let Some(expiry) = disconnect.properties.session_expiry() {
            if self.terms.session_expiry == 0 && expiry > 0 {
                return Err(Violation::SessionExpiryRaised);
            }
            self.terms.session_expiry = expiry.min(self.terms.session_expiry_cap);
            self.resumable = self.terms.session_expiry > 0;
        }
        let with_will = disconnect.reason != ReasonCode::Success;
        if !with_will {
            self.will = None;
        }
        self.outputs.push_back(Output::Disconnect { with_will });
        Ok(())
    }

    /// The next thing that the driver must do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Everything to remember, at once.
    pub fn drain_changes(&mut self) -> impl Iterator<Item = Change> + '_ {
        self.changes.drain(..)
    }

    /// Whether there is something to remember.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether what is to remember takes space that it does not give back.
    #[must_use]
    pub fn will_grow(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Inbound { held: true, .. } | Change::Subscribed(_)))
    }

    /// Queues a packet of the driver's behind the answers that wait, such as
    /// CONNACK.
    pub fn push_answer(&mut self, packet: Vec<u8>) {
        self.answers.push_packet(packet);
    }

    /// All answers queued so far wait for `position`. A repeated answer waits
    /// for what the first one waited for: a connection that was lost in between
    /// does not make it durable.
    pub fn answers_wait_for(&mut self, position: u64) {
        let position = if std::mem::take(&mut self.repeats) { position.max(self.highest) } else { position };
        self.highest = self.highest.max(position);
        self.answers.wait_for(position);
    }

    /// Queues PUBREL for what was released on an earlier connection
    /// [MQTT-4.4.0-1]; called once, behind CONNACK. It waits for what the first
    /// PUBREL waited for. If it left sooner and the broker were killed, the
    /// message would be published again under an identifier that the client
    /// has let go, and come twice.
    pub fn release_again(&mut self) {
        let flights = self.outbound.in_flight();
        for flight in flights.into_iter().filter(|flight| flight.stage == Stage::Released) {
            self.answers.push_pubrel(flight.packet_id, ReasonCode::Success);
            self.repeats = true;
        }
        self.answers_wait_for(0);
    }

    /// The first position that an answer waits for.
    #[must_use]
    pub fn waiting_for(&self) -> Option<u64> {
        self.answers.waiting_for()
    }

    /// Writes every answer whose position is at most `durable`, in order, and
    /// tells how many there were.
    pub fn release(&mut self, durable: u64, out: &mut Vec<u8>) -> u64 {
        self.answers.release(durable, self.terms.version, out, &mut self.received)
    }

    /// How many answers were queued since the connection began.
    #[must_use]
    pub fn answers_queued(&self) -> u64 {
        self.answers.queued()
    }

    /// How many answers have left since the connection began.
    #[must_use]
    pub const fn answers_gone(&self) -> u64 {
        self.answers.gone()
    }

    /// How many answers wait; a long one counts for several.
    #[must_use]
    pub fn answers_waiting(&self) -> usize {
        self.answers.weight()
    }

    /// What was in flight when the last connection ended, in the order in
    /// which it was sent [MQTT-4.6.0-1]. What was released is published no more:
    /// see [`Session::release_again`].
    #[must_use]
    pub fn resend(&self) -> Vec<InFlight> {
        self.outbound.in_flight()
    }
}
