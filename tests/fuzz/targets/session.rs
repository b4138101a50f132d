//! A session that is told anything, in any order.

use std::collections::{BTreeSet, VecDeque};

use certus::codec::{AckKind, Packet, PacketType, peek};
use certus::mqtt::{ClientId, Qos, ReasonCode, Version};
use certus::session::{Acknowledged, Answer, Change, Grant, Inbound, Output, Session, Stage, Terms, Wish};

use super::Script;

/// An answer that must leave, with the position that it was told to wait for.
struct Due {
    kind: PacketType,
    packet_id: u16,
    position: Option<u64>,
}

/// A session and what it owes.
struct Played {
    session: Session,
    due: VecDeque<Due>,
    last: Option<Answer>,
    position: u64,
    durable: u64,
    next: u64,
}

/// The first bytes are the terms, the rest is a script: packets of the client,
/// deliveries, positions, and connections that come and go.
pub fn session(input: &[u8]) {
    let mut script = Script(input);
    let terms = terms(&mut script);
    let session = Session::new(ClientId::new("c"), terms);
    let mut played = Played { session, due: VecDeque::new(), last: None, position: 0, durable: 0, next: 0 };
    while !script.is_over() {
        played.step(&mut script);
        played.holds();
    }
}

fn terms(script: &mut Script<'_>) -> Terms {
    let version = [Version::V3, Version::V4, Version::V5][usize::from(script.byte() % 3)];
    let window = 1 + u16::from(script.byte() % 8);
    Terms {
        version,
        send_window: window,
        receive_maximum: window,
        max_packet_out: 20 + 4 * u32::from(script.byte()),
        topic_alias_maximum: 2,
        outgoing_aliases: 0,
        max_subscriptions: 3,
        max_topic_levels: 4,
        problem_information: true,
        session_expiry: u32::from(script.byte() % 2) * 60,
        session_expiry_cap: 1000,
    }
}

impl Played {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 12 {
            0..=3 => {
                let bytes = script.bytes().to_vec();
                self.packets(&bytes);
            }
            4 => self.publish(script),
            5 => self.acknowledge(script),
            6 => self.deliver(script),
            7 => self.wait(script.byte()),
            8 => self.release(script.byte()),
            9 => self.refuse(script.byte()),
            10 => self.reconnect(script),
            _ => {
                self.session.trim();
                let finished = self.session.outbound_mut().drain_finished().len();
                assert!(finished as u64 <= self.next);
            }
        }
        self.outputs();
        self.changes();
    }

    /// A PUBLISH of any quality, written short so that a script finds it soon.
    fn publish(&mut self, script: &mut Script<'_>) {
        let (flags, id) = (script.byte() % 16, script.byte() % 8);
        let mut packet = vec![0x30 | flags, 5, 0, 1, b't', 0, id];
        if self.session.terms().version.is_v5() {
            packet[1] += 1;
            packet.push(0);
        }
        self.packets(&packet);
    }

    fn acknowledge(&mut self, script: &mut Script<'_>) {
        let (kind, id) = ([0x40, 0x50, 0x62, 0x70][usize::from(script.byte() % 4)], script.byte() % 8);
        let reason = script.byte();
        let refused = self.session.terms().version.is_v5() && reason.is_multiple_of(4);
        let packet = if refused { vec![kind, 3, 0, id, 0x80] } else { vec![kind, 2, 0, id] };
        self.packets(&packet);
    }

    /// Every whole packet of `bytes`, as far as they are packets of a client.
    fn packets(&mut self, bytes: &[u8]) {
        let version = self.session.terms().version;
        let mut rest = bytes;
        while let Ok(Some(frame)) = peek(rest, 512) {
            rest = &rest[frame.len..];
            let Ok(packet) = Packet::decode_from_client(&frame, version) else { return };
            if !self.packet(packet) {
                return self.lose();
            }
        }
    }

    /// Whether the connection may go on.
    fn packet(&mut self, packet: Packet<'_>) -> bool {
        match packet {
            Packet::Publish(publish) => {
                if let (Some(alias), Some(topic)) = (publish.topic_alias, publish.topic)
                    && self.session.resolve_alias(alias.get(), topic.as_str()).is_err()
                {
                    return false;
                }
                let id = publish.packet_id.map_or(0, std::num::NonZeroU16::get);
                match self.session.on_publish(&publish) {
                    Err(_) => return false,
                    Ok(Inbound::Route(None)) => assert_eq!(publish.qos, Qos::AtMostOnce),
                    Ok(Inbound::Route(Some(answer))) => {
                        self.last = Some(answer);
                        let kind =
                            if publish.qos == Qos::AtLeastOnce { PacketType::PubAck } else { PacketType::PubRec };
                        self.owe(kind, id);
                    }
                    Ok(Inbound::Repeat) => self.owe(PacketType::PubRec, id),
                }
                true
            }
            Packet::Ack(ack) => {
                let Ok(done) = self.session.on_acknowledgement(&ack) else { return false };
                match (ack.kind, done) {
                    (AckKind::PubRel, _) => self.owe(PacketType::PubComp, ack.packet_id.get()),
                    (AckKind::PubRec, Acknowledged::Release { .. }) => {
                        self.owe(PacketType::PubRel, ack.packet_id.get())
                    }
                    (AckKind::PubRec, Acknowledged::Unknown) if !ack.reason.is_error() => {
                        self.owe(PacketType::PubRel, ack.packet_id.get());
                    }
                    _ => {}
                }
                true
            }
            Packet::Unsubscribe(unsubscribe) => {
                let good = self.session.handle_packet(packet).is_ok();
                if good {
                    self.owe(PacketType::UnsubAck, unsubscribe.packet_id.get());
                }
                good
            }
            other => self.session.handle_packet(other).is_ok(),
        }
    }

    fn owe(&mut self, kind: PacketType, packet_id: u16) {
        self.due.push_back(Due { kind, packet_id, position: None });
    }

    /// Grants what is wished for.
    fn outputs(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Subscribe { packet_id, wishes } => {
                    let grants = wishes.into_iter().map(|wish| match wish {
                        Wish::Subscribe { subscription, .. } => Grant::Granted(subscription),
                        Wish::Refused(reason) => Grant::Refused(reason),
                    });
                    self.session.handle_granted(packet_id, grants.collect());
                    self.owe(PacketType::SubAck, packet_id.get());
                }
                Output::Disconnect { with_will } => assert!(with_will || self.session.will().is_none()),
                Output::Pong | Output::Unsubscribe { .. } => {}
            }
        }
    }

    /// Only a session that lasts has something to remember.
    fn changes(&mut self) {
        let lasts = self.session.is_resumable() || self.session.is_stored();
        for change in self.session.drain_changes() {
            assert!(lasts, "{change:?}");
            assert!(!matches!(change, Change::Inbound { packet_id: 0, .. }));
        }
    }

    fn deliver(&mut self, script: &mut Script<'_>) {
        let (stored, qos) = (script.byte().is_multiple_of(2), script.byte());
        let qos = if qos.is_multiple_of(2) { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        // A session's queue keeps places, or does not, for as long as it lives.
        let seq = (stored && self.session.is_stored()).then_some(self.next);
        let room = self.session.outbound().has_room();
        match self.session.outbound_mut().begin(seq, qos) {
            Some(id) => {
                assert!(room && id != 0);
                self.next += 1;
            }
            None => assert!(!room),
        }
    }

    fn wait(&mut self, step: u8) {
        self.position += u64::from(step % 3);
        self.session.answers_wait_for(self.position);
        let position = self.position;
        self.due.iter_mut().for_each(|due| _ = due.position.get_or_insert(position));
    }

    /// What leaves is what is due, in order, and nothing before its time.
    fn release(&mut self, step: u8) {
        self.durable = self.position.min(self.durable + u64::from(step % 4));
        let mut out = Vec::new();
        let mut count = self.session.release(self.durable, &mut out);
        let (mut rest, version) = (out.as_slice(), self.session.terms().version);
        while let Some(frame) = peek(rest, usize::MAX).expect("good packets") {
            rest = &rest[frame.len..];
            assert!(frame.len <= self.session.terms().max_packet_out as usize);
            let due = self.due.pop_front().expect("something was due");
            assert!(due.position.is_some_and(|position| position <= self.durable), "it left before its time");
            let packet = Packet::decode(&frame, version).expect("a good packet");
            let id = match packet {
                Packet::Ack(ack) => ack.packet_id,
                Packet::SubAck(suback) => suback.packet_id,
                Packet::UnsubAck(unsuback) => unsuback.packet_id,
                other => panic!("{other:?} answers nothing"),
            };
            assert_eq!((packet.packet_type(), id.get()), (due.kind, due.packet_id));
            count -= 1;
        }
        assert!(rest.is_empty() && count == 0);
        // A repeated answer may wait for longer than it was told, but not for more than was ever named.
        let ready = self.due.front().is_some_and(|due| due.position.is_some());
        assert!(!ready || self.durable < self.position, "it could have left");
    }

    fn refuse(&mut self, reason: u8) {
        let reason =
            if reason.is_multiple_of(2) { ReasonCode::NotAuthorized } else { ReasonCode::NoMatchingSubscribers };
        if let Some(answer) = self.last.take() {
            self.session.refuse(answer, reason);
        }
    }

    fn lose(&mut self) {
        while self.session.poll_output().is_some() {}
        self.session.detach();
        self.changes();
        let terms = self.session.terms().clone();
        self.session.attach(terms, None);
        self.due.clear();
        self.last = None;
        let released = self.session.resend().into_iter().filter(|flight| flight.stage == Stage::Released);
        let released: Vec<_> = released.collect();
        self.session.release_again();
        for flight in released {
            self.due.push_back(Due { kind: PacketType::PubRel, packet_id: flight.packet_id, position: Some(0) });
        }
    }

    fn reconnect(&mut self, script: &mut Script<'_>) {
        self.session.detach();
        let terms = Terms { version: self.session.terms().version, ..terms(script) };
        self.session.attach(terms, None);
        self.lose();
    }

    fn holds(&self) {
        let (session, flights) = (&self.session, self.session.resend());
        let ids: BTreeSet<_> = flights.iter().map(|flight| flight.packet_id).collect();
        assert_eq!(ids.len(), flights.len(), "two messages in flight share an identifier");
        assert_eq!(flights.len(), session.outbound().unfinished());
        assert!(flights.len() <= 8);
        assert!(session.subscriptions().len() <= 3, "{}", session.subscriptions().len());
        assert_eq!(session.answers_queued() - session.answers_gone(), self.due.len() as u64);
        assert!(session.answers_waiting() >= self.due.len());
    }
}
