//! PUBACK, PUBREC, PUBREL, PUBCOMP. Source: MQTT 5.0 sections 3.4 to 3.7.
//!
//! What lives here: the four packets of one shape. What does not: which of
//! them is due (`session`). Invariant: before MQTT 5.0 the reason is success.

use super::frame::{Frame, PacketType};
use super::properties::Properties;
use super::reader::Reader;
use super::{DecodeError, reasons, writer};
use crate::mqtt::{ReasonCode, Version};
use std::num::NonZeroU16;

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// Answers a PUBLISH of QoS 1.
    PubAck,
    /// Answers a PUBLISH of QoS 2.
    PubRec,
    /// Answers PUBREC.
    PubRel,
    /// Answers PUBREL.
    PubComp,
}

impl AckKind {
    /// The packet type of this acknowledgement.
    #[must_use]
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }
}

/// One of the four acknowledgements of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which one.
    pub kind: AckKind,
    /// The packet identifier of the PUBLISH.
    pub packet_id: NonZeroU16,
    /// How it went; success before MQTT 5.0.
    pub reason: ReasonCode,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement without properties.
    #[must_use]
    pub const fn new(kind: AckKind, packet_id: NonZeroU16, reason: ReasonCode) -> Self {
        Self { kind, packet_id, reason, properties: Properties::EMPTY }
    }

    pub(super) fn decode_as(kind: AckKind, frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet = kind.packet_type();
        let mut body = Reader::new(frame, packet);
        let packet_id = body.packet_id()?;
        if !version.is_v5() || body.is_empty() {
            body.end()?;
            return Ok(Self::new(kind, packet_id, ReasonCode::Success));
        }
        let reason = reasons::read(packet, body.byte()?)?;
        let properties = Properties::read_optional(&mut body)?;
        body.end()?;
        Ok(Self { kind, packet_id, reason, properties })
    }

    /// Appends the packet; the shortest form that says the same.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let packet_id = self.packet_id.get();
        if !version.is_v5() || (self.reason == ReasonCode::Success && self.properties.is_empty()) {
            let [high, low] = packet_id.to_be_bytes();
            out.extend_from_slice(&[self.kind.packet_type().first(), 2, high, low]);
            return;
        }
        writer::packet(out, self.kind.packet_type(), |out| {
            writer::two(out, packet_id);
            out.push(self.reason.code());
            self.properties.encode_optional(out);
        });
    }
}
