//! Publications from the client: what is new, what is a repetition, and how
//! many are unfinished.

use crate::codec::AckKind;
use crate::mqtt::{Qos, ReasonCode};

use super::{Answer, Ring, Violation};

/// What to do with a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Route it; the answer, if QoS asks for one, waits in the ring.
    Route(Option<Answer>),
    /// It was routed before [MQTT-4.3.3-10]; the answer is repeated.
    Repeat,
}

/// The QoS 2 identifiers that were received and not released, and the count
/// of what is unfinished.
#[derive(Debug, Default)]
pub struct Received {
    /// Sorted: a handful of identifiers at most times, 65,535 at worst.
    held: Vec<u16>,
    /// QoS 1 publications whose PUBACK has not left.
    unanswered: u32,
}

impl Received {
    pub(super) fn on_publish(
        &mut self,
        qos: Qos,
        packet_id: u16,
        limit: Option<u16>,
        answers: &mut Ring,
    ) -> Result<Inbound, Violation> {
        match qos {
            Qos::AtMostOnce => Ok(Inbound::Route(None)),
            Qos::AtLeastOnce => {
                self.check(limit)?;
                self.unanswered += 1;
                Ok(Inbound::Route(Some(answers.push(AckKind::PubAck, packet_id))))
            }
            Qos::ExactlyOnce => match self.held.binary_search(&packet_id) {
                Ok(_) => {
                    answers.push(AckKind::PubRec, packet_id);
                    Ok(Inbound::Repeat)
                }
                Err(index) => {
                    self.check(limit)?;
                    self.held.insert(index, packet_id);
                    Ok(Inbound::Route(Some(answers.push(AckKind::PubRec, packet_id))))
                }
            },
        }
    }

    fn check(&self, limit: Option<u16>) -> Result<(), Violation> {
        let unfinished = self.unanswered as usize + self.held.len();
        match limit {
            Some(limit) if unfinished >= usize::from(limit) => Err(Violation::ReceiveMaximum(limit)),
            _ => Ok(()),
        }
    }

    /// Takes PUBREL and tells whether its identifier was held. PUBCOMP is the
    /// answer in either case [MQTT-4.3.3-11].
    pub(super) fn on_pubrel(&mut self, packet_id: u16, answers: &mut Ring) -> bool {
        let known = self.forget(packet_id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        answers.push_pubcomp(packet_id, reason);
        known
    }

    pub(super) fn hold(&mut self, packet_id: u16) {
        if let Err(index) = self.held.binary_search(&packet_id) {
            self.held.insert(index, packet_id);
        }
    }

    pub(super) fn forget(&mut self, packet_id: u16) -> bool {
        match self.held.binary_search(&packet_id) {
            Ok(index) => {
                self.held.remove(index);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn on_answered(&mut self, kind: AckKind, _reason: ReasonCode) {
        if kind == AckKind::PubAck {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    pub(super) fn forget_unacknowledged(&mut self) {
        self.unanswered = 0;
        self.held.shrink_to_fit();
    }
}
