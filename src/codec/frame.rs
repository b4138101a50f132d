//! Where a packet ends.
//!
//! What lives here: the fixed header and the variable byte integer. What does
//! not: the packets' bodies. Invariant: a packet that is too large, of no type
//! or with reserved flags is refused before its body has arrived.

use super::{DecodeError, v3};
use crate::mqtt::Version;
use std::fmt;

/// The largest value of a variable byte integer (section 1.5.5).
pub const VARINT_MAX: u32 = 268_435_455;

/// A whole packet in somebody's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags.
    pub first: u8,
    /// Everything behind the remaining length.
    pub body: &'a [u8],
    /// The length of the whole packet in bytes, the fixed header included.
    pub len: usize,
}

/// The control packet types. Source: MQTT 5.0 section 2.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Reads the type from the first byte of a packet; `None` for type 0.
    #[must_use]
    pub const fn from_first(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of this packet with the flags that it must have; those
    /// of PUBLISH are zero here.
    #[must_use]
    pub const fn first(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }

    /// The name that the standard gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Frame<'_> {
    /// Whether this is a PUBLISH, the packet of the hot lane.
    #[inline]
    #[must_use]
    pub const fn is_publish(&self) -> bool {
        self.first >> 4 == PacketType::Publish as u8
    }

    /// The packet's type, when its flags are those of `version`.
    pub(super) fn packet_type(&self, version: Version) -> Result<PacketType, DecodeError> {
        let packet = packet_type(self.first)?;
        let flags = self.first & 0x0F;
        if packet == PacketType::Publish || self.first == packet.first() || v3::is_repeat(version, packet, flags) {
            Ok(packet)
        } else {
            Err(DecodeError::FixedHeaderFlags { packet, flags })
        }
    }

    /// As [`Frame::packet_type`], when only one type will do.
    pub(super) fn expect(&self, wanted: PacketType, version: Version) -> Result<(), DecodeError> {
        match self.packet_type(version)? {
            packet if packet == wanted => Ok(()),
            packet => Err(DecodeError::UnknownPacketType(packet as u8)),
        }
    }
}

fn packet_type(first: u8) -> Result<PacketType, DecodeError> {
    PacketType::from_first(first).ok_or(DecodeError::UnknownPacketType(first >> 4))
}

/// Looks for a whole packet at the head of `input`; `None` means that more
/// bytes are needed. `max_packet` counts the whole packet in bytes, and a
/// packet of exactly that size is accepted.
///
/// # Errors
/// A fixed header that no version allows, or a packet longer than
/// `max_packet`: both are known before the body is there.
#[inline]
pub fn peek(input: &[u8], max_packet: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    check_first(first)?;
    let Some((remaining, rest)) = varint(rest)? else { return Ok(None) };
    let header = input.len() - rest.len();
    let len = header + remaining as usize;
    if len > max_packet {
        return Err(DecodeError::PacketTooLarge { len, max: max_packet });
    }
    let Some((body, _)) = rest.split_at_checked(remaining as usize) else { return Ok(None) };
    Ok(Some(Frame { first, body, len }))
}

/// Refuses a first byte that is right in no version.
#[inline]
fn check_first(first: u8) -> Result<(), DecodeError> {
    // PUBLISH, the packet that comes most, checks its flags while it is read.
    if first >> 4 == PacketType::Publish as u8 {
        return Ok(());
    }
    let packet = packet_type(first)?;
    let flags = first & 0x0F;
    if first == packet.first() || v3::is_repeat(Version::V3, packet, flags) {
        return Ok(());
    }
    Err(DecodeError::FixedHeaderFlags { packet, flags })
}

/// Reads a variable byte integer and gives the rest; `None` when it is cut
/// off. Source: section 1.5.5.
///
/// # Errors
/// More than four bytes, or more than the value needs [MQTT-1.5.5-1].
#[inline]
pub fn varint(input: &[u8]) -> Result<Option<(u32, &[u8])>, DecodeError> {
    let Some((&byte, mut rest)) = input.split_first() else { return Ok(None) };
    let mut value = u32::from(byte & 0x7F);
    let mut byte = byte;
    for shift in [7, 14, 21] {
        if byte < 0x80 {
            return Ok(Some((value, rest)));
        }
        let Some((&next, tail)) = rest.split_first() else { return Ok(None) };
        if next == 0 {
            return Err(DecodeError::LengthOverlong);
        }
        value |= u32::from(next & 0x7F) << shift;
        (byte, rest) = (next, tail);
    }
    if byte < 0x80 { Ok(Some((value, rest))) } else { Err(DecodeError::LengthTooLong) }
}

/// How many bytes `value` takes as a variable byte integer.
#[must_use]
pub const fn varint_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::writer;

    /// [MQTT-1.5.5-1]: the table of section 1.5.5.
    #[test]
    fn lengths_are_written_as_short_as_they_can_be_and_read_back() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (VARINT_MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = Vec::new();
            writer::varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint_len(value), bytes.len());
            assert_eq!(varint(bytes), Ok(Some((value, [].as_slice()))));
            for len in 0..bytes.len() {
                assert_eq!(varint(&bytes[..len]), Ok(None));
            }
        }
    }

    #[test]
    fn a_frame_ends_where_its_length_says() {
        let input = [0x30, 3, 0, 1, b'a', 0xC0, 0];
        let frame = peek(&input, 5).unwrap().unwrap();
        assert_eq!((frame.first, frame.body, frame.len), (0x30, [0, 1, b'a'].as_slice(), 5));
        assert_eq!(peek(&[], 5), Ok(None));
        assert_eq!(peek(&[0xC0], 0), Ok(None));
    }

    #[test]
    fn every_packet_type_knows_its_first_byte() {
        for kind in 1..16_u8 {
            let packet = PacketType::from_first(kind << 4).unwrap();
            assert_eq!((packet as u8, packet.first() >> 4), (kind, kind));
        }
        assert_eq!(PacketType::from_first(0x0F), None);
    }
}
