//! The answers that wait until what they promise is durable.
//!
//! One ring, first in first out, so that answers leave in the order of the
//! packets that they answer [MQTT-4.6.0-2] [MQTT-4.6.0-3].

use std::collections::VecDeque;
use std::num::NonZeroU16;

use crate::codec::{Ack, AckKind};
use crate::mqtt::{ReasonCode, Version};

use super::Received;

/// Names an answer that waits in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(u64);

#[derive(Debug)]
struct Waiting {
    position: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Ack { kind: AckKind, packet_id: u16, reason: ReasonCode },
    Packet(Vec<u8>),
}

/// The position of an answer whose batch was not appended yet.
const UNDECIDED: u64 = u64::MAX;

/// Answers in order, each with the position that it waits for.
#[derive(Debug, Default)]
pub struct Ring {
    waiting: VecDeque<Waiting>,
    first: u64,
    undecided: usize,
    /// Bytes of the packets among them.
    bytes: usize,
}

/// Bytes of packets that count as one more answer: about what an
/// acknowledgement takes here.
const WEIGHT: usize = 32;

impl Ring {
    pub(super) fn push(&mut self, kind: AckKind, packet_id: u16) -> Answer {
        self.push_body(Body::Ack { kind, packet_id, reason: ReasonCode::Success })
    }

    pub(super) fn push_pubrel(&mut self, packet_id: u16, reason: ReasonCode) {
        self.push_body(Body::Ack { kind: AckKind::PubRel, packet_id, reason });
    }

    pub(super) fn push_pubcomp(&mut self, packet_id: u16, reason: ReasonCode) {
        self.push_body(Body::Ack { kind: AckKind::PubComp, packet_id, reason });
    }

    pub(super) fn push_packet(&mut self, packet: Vec<u8>) {
        self.bytes += packet.len();
        self.push_body(Body::Packet(packet));
    }

    fn push_body(&mut self, body: Body) -> Answer {
        let answer = Answer(self.first + self.waiting.len() as u64);
        self.waiting.push_back(Waiting { position: UNDECIDED, body });
        self.undecided += 1;
        answer
    }

    /// Writes `reason` into a waiting PUBACK or PUBREC and tells its packet
    /// identifier.
    pub(super) fn refuse(&mut self, answer: Answer, refusal: ReasonCode) -> Option<u16> {
        let index = usize::try_from(answer.0.checked_sub(self.first)?).ok()?;
        match &mut self.waiting.get_mut(index)?.body {
            Body::Ack { packet_id, reason, .. } => {
                *reason = refusal;
                Some(*packet_id)
            }
            Body::Packet(_) => None,
        }
    }

    /// Everything pushed since the last call waits for `position`. Positions
    /// never fall: an answer waits for all that stands before it.
    pub(super) fn wait_for(&mut self, position: u64) {
        for waiting in self.waiting.iter_mut().rev().take(self.undecided) {
            waiting.position = position;
        }
        self.undecided = 0;
    }

    pub(super) fn trim(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// How many were queued since the connection began.
    pub(super) fn queued(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// How many have left since the connection began.
    pub(super) const fn gone(&self) -> u64 {
        self.first
    }

    pub(super) fn waiting_for(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.position)
    }

    /// How many wait; long packets, such as a SUBACK of many codes, count
    /// for as many acknowledgements as would take their space.
    pub(super) fn weight(&self) -> usize {
        self.waiting.len() + self.bytes / WEIGHT
    }

    pub(super) fn release(
        &mut self,
        durable: u64,
        version: Version,
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> u64 {
        let before = self.first;
        while let Some(waiting) = self.waiting.front()
            && waiting.position <= durable
        {
            match &waiting.body {
                Body::Packet(packet) => {
                    self.bytes -= packet.len();
                    out.extend_from_slice(packet);
                }
                Body::Ack { kind, packet_id, reason } => {
                    if let Some(packet_id) = NonZeroU16::new(*packet_id) {
                        Ack::new(*kind, packet_id, *reason).encode(version, out);
                    }
                    received.on_answered(*kind, *reason);
                }
            }
            self.waiting.pop_front();
            self.first += 1;
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 1024 {
            self.waiting = VecDeque::new();
        }
        self.first - before
    }
}
