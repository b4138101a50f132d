//! SUBACK and UNSUBACK. Source: MQTT 5.0 sections 3.9 and 3.11.
//!
//! What lives here: the two packets with a code per filter. What does not:
//! the decisions. Invariant: the codes stand in the order of the filters
//! [MQTT-3.9.3-1] [MQTT-3.11.3-1].

use super::frame::{Frame, PacketType};
use super::properties::Properties;
use super::reader::Reader;
use super::{DecodeError, reasons, v3, writer};
use crate::mqtt::{ReasonCode, Version};
use std::fmt;
use std::num::NonZeroU16;

/// Answers SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The packet identifier of the SUBSCRIBE.
    pub packet_id: NonZeroU16,
    /// Reason string and user properties; MQTT 5.0 only.
    pub properties: Properties<'a>,
    /// One code per filter; MQTT 3.x knows one failure only.
    pub codes: Codes<'a>,
}

/// Answers UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The packet identifier of the UNSUBSCRIBE.
    pub packet_id: NonZeroU16,
    /// Reason string and user properties; MQTT 5.0 only.
    pub properties: Properties<'a>,
    /// One code per filter; none before MQTT 5.0.
    pub codes: Codes<'a>,
}

/// A list of reason codes, in wire form or to be sent.
#[derive(Clone, Copy)]
pub struct Codes<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Wire(&'a [u8]),
    List(&'a [ReasonCode]),
}

impl<'a> From<&'a [ReasonCode]> for Codes<'a> {
    fn from(list: &'a [ReasonCode]) -> Self {
        Self(Source::List(list))
    }
}

impl<'a> Codes<'a> {
    /// The codes in order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        let (wire, list) = match self.0 {
            Source::Wire(wire) => (wire, [].as_slice()),
            Source::List(list) => ([].as_slice(), list),
        };
        wire.iter().filter_map(|code| ReasonCode::from_code(*code)).chain(list.iter().copied())
    }
}

impl PartialEq for Codes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Codes<'_> {}

impl fmt::Debug for Codes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> SubAck<'a> {
    /// Decodes SUBACK.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet = PacketType::SubAck;
        let (packet_id, properties, body) = head(frame, version, packet)?;
        if body.is_empty() {
            return Err(DecodeError::Truncated(packet));
        }
        for &code in body {
            if version.is_v5() {
                reasons::read(packet, code)?;
            } else if !v3::is_suback_code(code) {
                return Err(DecodeError::ReasonCode { packet, code });
            }
        }
        Ok(Self { packet_id, properties, codes: Codes(Source::Wire(body)) })
    }

    /// Appends the packet; before MQTT 5.0 every failure is 0x80.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::SubAck, |out| {
            writer::two(out, self.packet_id.get());
            if version.is_v5() {
                self.properties.encode(out);
                out.extend(self.codes.iter().map(ReasonCode::code));
            } else {
                out.extend(self.codes.iter().map(v3::suback_code));
            }
        });
    }
}

impl<'a> UnsubAck<'a> {
    /// Decodes UNSUBACK.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet = PacketType::UnsubAck;
        let (packet_id, properties, body) = head(frame, version, packet)?;
        if version.is_v5() == body.is_empty() {
            return Err(if body.is_empty() {
                DecodeError::Truncated(packet)
            } else {
                DecodeError::TrailingBytes(packet)
            });
        }
        for &code in body {
            reasons::read(packet, code)?;
        }
        Ok(Self { packet_id, properties, codes: Codes(Source::Wire(body)) })
    }

    /// Appends the packet; codes are written for MQTT 5.0 only.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::UnsubAck, |out| {
            writer::two(out, self.packet_id.get());
            if version.is_v5() {
                self.properties.encode(out);
                out.extend(self.codes.iter().map(ReasonCode::code));
            }
        });
    }
}

type Head<'a> = (NonZeroU16, Properties<'a>, &'a [u8]);

/// Packet identifier and properties, and what stands behind them.
fn head<'a>(frame: &Frame<'a>, version: Version, packet: PacketType) -> Result<Head<'a>, DecodeError> {
    frame.expect(packet, version)?;
    let mut body = Reader::new(frame, packet);
    let packet_id = body.packet_id()?;
    let properties = if version.is_v5() { Properties::read_all(&mut body)? } else { Properties::EMPTY };
    Ok((packet_id, properties, body.rest()))
}
