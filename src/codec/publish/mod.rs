//! PUBLISH. Source: MQTT 5.0 section 3.3.
//!
//! What lives here: the packet as it is read. Beside it: how deliveries are
//! written (`encode`), and where a written frame is patched (`parts`). What
//! does not: routing, aliases in use. Invariant: the topic was checked once
//! and nothing is copied.

mod encode;
mod parts;

pub use encode::{Alias, Outgoing, encode, encoded_len};
pub use parts::FrameParts;

use super::DecodeError;
use super::frame::{Frame, PacketType};
use super::properties::{Place, Properties};
use super::reader::Reader;
use crate::mqtt::{MessageView, Qos, TopicName, Version};
use std::num::NonZeroU16;

/// An application message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether the sender has tried before.
    pub dup: bool,
    /// The quality of service.
    pub qos: Qos,
    /// The RETAIN flag.
    pub retain: bool,
    /// The packet identifier; `None` exactly at QoS 0 [MQTT-2.2.1-2].
    pub packet_id: Option<NonZeroU16>,
    /// The topic; `None` only with an alias.
    pub topic: Option<TopicName<'a>>,
    /// The topic alias.
    pub topic_alias: Option<NonZeroU16>,
    /// Seconds that the message may wait.
    pub expiry: Option<u32>,
    /// All properties as received.
    pub properties: Properties<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
    per_hop: bool,
}

impl<'a> Publish<'a> {
    /// Decodes PUBLISH.
    ///
    /// # Errors
    /// The first breach that is found.
    #[inline]
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        if !frame.is_publish() {
            return Err(DecodeError::UnknownPacketType(frame.first >> 4));
        }
        let qos = Qos::from_bits(frame.first >> 1 & 3).ok_or(DecodeError::PublishQos)?;
        let dup = frame.first & 8 != 0;
        if dup && qos == Qos::AtMostOnce {
            return Err(DecodeError::DupAtQos0);
        }
        let mut body = Reader::new(frame, PacketType::Publish);
        let topic = body.topic()?;
        let packet_id = if qos == Qos::AtMostOnce { None } else { Some(body.packet_id()?) };
        let (properties, seen) =
            if version.is_v5() { Properties::read(&mut body, Place::Publish)? } else { Default::default() };
        let topic = if topic.is_empty() && version.is_v5() {
            seen.topic_alias.ok_or(DecodeError::NoTopic)?;
            None
        } else {
            Some(TopicName::new(topic).map_err(DecodeError::TopicName)?)
        };
        Ok(Self {
            dup,
            qos,
            retain: frame.first & 1 != 0,
            packet_id,
            topic,
            topic_alias: seen.topic_alias,
            expiry: seen.expiry,
            properties,
            payload: body.rest(),
            per_hop: seen.per_hop,
        })
    }

    /// The properties that a server passes on, when they are all of those
    /// received; otherwise [`Properties::copy_forwardable`] gives them.
    #[must_use]
    pub const fn forwardable(&self) -> Option<&'a [u8]> {
        if self.per_hop { None } else { Some(self.properties.as_bytes()) }
    }

    /// Appends the properties that a server passes on.
    pub fn copy_forwardable(&self, out: &mut Vec<u8>) {
        match self.forwardable() {
            Some(all) => out.extend_from_slice(all),
            None => self.properties.copy_forwardable(out),
        }
    }

    /// The message in this packet, for `topic` (its own, or what the alias
    /// stands for) and the forwardable `properties`.
    #[must_use]
    pub const fn view(&self, topic: TopicName<'a>, properties: &'a [u8]) -> MessageView<'a> {
        let Self { qos, retain, expiry, payload, .. } = *self;
        MessageView { topic, qos, retain, properties, expiry, payload }
    }

    /// Refuses what only a server may put in a PUBLISH [MQTT-3.3.4-6].
    ///
    /// # Errors
    /// [`DecodeError::SubscriptionIdFromClient`].
    #[inline]
    pub fn check_from_client(&self) -> Result<(), DecodeError> {
        if self.per_hop && self.properties.subscription_ids().next().is_some() {
            return Err(DecodeError::SubscriptionIdFromClient);
        }
        Ok(())
    }

    /// Appends the packet as it is, aliases and all.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let packet_id = self.packet_id.map(NonZeroU16::get);
        let topic = self.topic.map_or("", TopicName::as_str);
        encode::write(
            out,
            version,
            self.first(),
            &encode::Body {
                topic,
                packet_id,
                hop: &[],
                subscription_ids: &[],
                properties: self.properties.as_bytes(),
                payload: self.payload,
            },
        );
    }

    fn first(&self) -> u8 {
        encode::first(self.dup, self.qos, self.retain)
    }
}
