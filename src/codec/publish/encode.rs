//! How a PUBLISH is written.
//!
//! What lives here: deliveries to a subscriber, of every shape. What does not:
//! the choice of the shape. Invariant: the buffer grows once, by exactly
//! `encoded_len`, and nothing is written twice.

use crate::codec::frame::{PacketType, VARINT_MAX, varint_len};
use crate::codec::properties::PropertyId;
use crate::codec::writer;
use crate::mqtt::{Qos, TopicName, Version};
use std::num::NonZeroU16;

/// A message on its way to one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Whether it was sent before; must be false at QoS 0.
    pub dup: bool,
    /// The quality of service to deliver with.
    pub qos: Qos,
    /// The RETAIN flag.
    pub retain: bool,
    /// The packet identifier. Above QoS 0 `None` writes 0, a gap for
    /// [`super::FrameParts`] to fill in; at QoS 0 it is ignored.
    pub packet_id: Option<NonZeroU16>,
    /// Where it was published to.
    pub topic: TopicName<'a>,
    /// The topic alias; MQTT 5.0 only.
    pub alias: Option<Alias>,
    /// Seconds that it may still wait; MQTT 5.0 only.
    pub expiry: Option<u32>,
    /// The subscriptions that it matched; MQTT 5.0 only.
    pub subscription_ids: &'a [u32],
    /// Properties that are passed on, in wire form; MQTT 5.0 only.
    pub properties: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// How a delivery uses a topic alias (section 3.3.2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// The topic is sent and this number stands for it from now on.
    Announce(NonZeroU16),
    /// The number is sent instead of the topic.
    Use(NonZeroU16),
}

/// The parts of a PUBLISH behind its fixed header.
pub(super) struct Body<'a> {
    pub topic: &'a str,
    pub packet_id: Option<u16>,
    /// Alias and expiry, already in wire form.
    pub hop: &'a [u8],
    pub subscription_ids: &'a [u32],
    pub properties: &'a [u8],
    pub payload: &'a [u8],
}

/// The lengths that the header needs.
struct Lengths {
    properties: usize,
    remaining: usize,
}

/// The first byte of a PUBLISH.
pub(super) const fn first(dup: bool, qos: Qos, retain: bool) -> u8 {
    PacketType::Publish.first() | (dup as u8) << 3 | qos.bits() << 1 | retain as u8
}

/// Appends `message` in the form of `version`. A message that no packet can
/// hold (above 268,435,455 bytes) must be kept away by the caller's limit.
#[inline]
pub fn encode(out: &mut Vec<u8>, version: Version, message: &Outgoing<'_>) {
    let (hop, used) = message.hop();
    let body = message.body(version, hop.get(..used).unwrap_or_default());
    write(out, version, first(message.dup, message.qos, message.retain), &body);
}

/// The length in bytes of the whole packet that [`encode`] would write.
#[must_use]
pub fn encoded_len(version: Version, message: &Outgoing<'_>) -> usize {
    let (hop, used) = message.hop();
    let remaining = message.body(version, hop.get(..used).unwrap_or_default()).lengths(version).remaining;
    1 + varint_len(clamped(remaining)) + remaining
}

impl<'a> Outgoing<'a> {
    /// Alias and expiry in wire form, and how many bytes of it count.
    #[inline]
    fn hop(&self) -> ([u8; 8], usize) {
        let mut bytes = [0; 8];
        let mut used = 0;
        let mut put = |part: &[u8]| {
            for (slot, byte) in bytes.iter_mut().skip(used).zip(part) {
                *slot = *byte;
            }
            used += part.len();
        };
        if let Some(Alias::Announce(alias) | Alias::Use(alias)) = self.alias {
            let [high, low] = alias.get().to_be_bytes();
            put(&[PropertyId::TopicAlias as u8, high, low]);
        }
        if let Some(seconds) = self.expiry {
            put(&[PropertyId::MessageExpiryInterval as u8]);
            put(&seconds.to_be_bytes());
        }
        (bytes, used)
    }

    #[inline]
    fn body<'b>(&'b self, version: Version, hop: &'b [u8]) -> Body<'b> {
        let packet_id = match self.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => Some(self.packet_id.map_or(0, NonZeroU16::get)),
        };
        let Self { subscription_ids, properties, payload, .. } = *self;
        Body { topic: self.topic_sent(version), packet_id, hop, subscription_ids, properties, payload }
    }

    const fn topic_sent(&self, version: Version) -> &'a str {
        match self.alias {
            Some(Alias::Use(_)) if version.is_v5() => "",
            _ => self.topic.as_str(),
        }
    }
}

impl Body<'_> {
    #[inline]
    fn lengths(&self, version: Version) -> Lengths {
        let mut remaining = 2 + self.topic.len() + if self.packet_id.is_some() { 2 } else { 0 } + self.payload.len();
        let mut properties = 0;
        if version.is_v5() {
            let ids: usize = self.subscription_ids.iter().map(|id| 1 + varint_len(*id)).sum();
            properties = self.hop.len() + ids + self.properties.len();
            remaining += varint_len(clamped(properties)) + properties;
        }
        Lengths { properties, remaining }
    }
}

fn clamped(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(VARINT_MAX).min(VARINT_MAX)
}

/// Appends a PUBLISH.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, version: Version, first: u8, body: &Body<'_>) {
    let lengths = body.lengths(version);
    out.reserve(5 + lengths.remaining);
    out.push(first);
    writer::varint(out, clamped(lengths.remaining));
    writer::binary(out, body.topic.as_bytes());
    if let Some(packet_id) = body.packet_id {
        writer::two(out, packet_id);
    }
    if version.is_v5() {
        writer::varint(out, clamped(lengths.properties));
        out.extend_from_slice(body.hop);
        for id in body.subscription_ids {
            out.push(PropertyId::SubscriptionIdentifier as u8);
            writer::varint(out, *id);
        }
        out.extend_from_slice(body.properties);
    }
    out.extend_from_slice(body.payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, change: impl FnOnce(&mut Outgoing<'static>)) -> Vec<u8> {
        let mut message = Outgoing {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            packet_id: NonZeroU16::new(0x0102),
            topic: TopicName::new("t/x").unwrap(),
            alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: b"hi",
        };
        change(&mut message);
        let mut out = Vec::new();
        encode(&mut out, version, &message);
        assert_eq!(out.len(), encoded_len(version, &message));
        out
    }

    #[test]
    fn the_common_shape_is_written_byte_for_byte() {
        assert_eq!(written(Version::V4, |_| {}), b"\x32\x09\0\x03t/x\x01\x02hi");
        assert_eq!(written(Version::V5, |_| {}), b"\x32\x0a\0\x03t/x\x01\x02\0hi");
        let qos_0 = |message: &mut Outgoing<'_>| message.qos = Qos::AtMostOnce;
        assert_eq!(written(Version::V3, qos_0), b"\x30\x07\0\x03t/xhi");
    }

    #[test]
    fn a_missing_identifier_leaves_a_gap_to_patch() {
        assert_eq!(written(Version::V4, |message| message.packet_id = None), b"\x32\x09\0\x03t/x\0\0hi");
    }

    #[test]
    fn what_only_5_0_knows_is_left_out_before() {
        let all = |message: &mut Outgoing<'static>| {
            message.alias = NonZeroU16::new(3).map(Alias::Use);
            message.expiry = Some(5);
            message.subscription_ids = &[1, 200];
            message.properties = &[1, 1];
        };
        assert_eq!(written(Version::V4, all), written(Version::V4, |_| {}));
        let hop = b"\x23\0\x03\x02\0\0\0\x05\x0b\x01\x0b\xc8\x01\x01\x01";
        let want = [b"\x32\x16\0\0\x01\x02\x0f", hop.as_slice(), b"hi"].concat();
        assert_eq!(written(Version::V5, all), want);
        let announced = written(Version::V5, |message| message.alias = NonZeroU16::new(3).map(Alias::Announce));
        assert_eq!(announced, b"\x32\x0d\0\x03t/x\x01\x02\x03\x23\0\x03hi");
    }
}
