//! SUBSCRIBE. Source: MQTT 5.0 section 3.8.
//!
//! What lives here: the packet and its list of filters. What does not: the
//! subscriptions that it makes. Invariant: a decoded list has at least one
//! filter and every filter keeps the rules of section 4.7.

use super::frame::{Frame, PacketType};
use super::properties::Properties;
use super::reader::Reader;
use super::{DecodeError, writer};
use crate::mqtt::{SubscriptionOptions, TopicFilter, Version};
use std::fmt;
use std::num::NonZeroU16;

/// A client asks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// What SUBACK answers with.
    pub packet_id: NonZeroU16,
    /// Subscription identifier and user properties; MQTT 5.0 only.
    pub properties: Properties<'a>,
    /// What it asks for, in order.
    pub filters: Filters<'a>,
}

/// One entry of SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// A filter of section 4.7, as the client wrote it.
    pub filter: &'a str,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

/// The entries of SUBSCRIBE, in wire form or as a list to be sent.
#[derive(Clone, Copy)]
pub struct Filters<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Wire(&'a [u8]),
    List(&'a [Subscription<'a>]),
}

impl<'a> From<&'a [Subscription<'a>]> for Filters<'a> {
    fn from(list: &'a [Subscription<'a>]) -> Self {
        Self(Source::List(list))
    }
}

impl<'a> Filters<'a> {
    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let (wire, list) = match self.0 {
            Source::Wire(wire) => (wire, [].as_slice()),
            Source::List(list) => ([].as_slice(), list),
        };
        let mut body = Reader::over(wire, PacketType::Subscribe);
        // The wire form was checked when it was read: the first error is its end.
        std::iter::from_fn(move || entry(&mut body).ok()).chain(list.iter().copied())
    }
}

impl PartialEq for Filters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Filters<'_> {}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn entry<'a>(body: &mut Reader<'a>) -> Result<Subscription<'a>, DecodeError> {
    let filter = body.topic()?;
    let bits = body.byte()?;
    let options = SubscriptionOptions::from_bits(bits).ok_or(match bits {
        0x40.. => DecodeError::SubscriptionReserved(bits & 0xC0),
        _ if bits & 3 == 3 => DecodeError::SubscriptionQos,
        _ => DecodeError::SubscriptionRetainHandling,
    })?;
    Ok(Subscription { filter, options })
}

fn check(entry: &Subscription<'_>, version: Version) -> Result<(), DecodeError> {
    let bits = entry.options.bits();
    if !version.is_v5() && bits > 2 {
        return Err(DecodeError::SubscriptionReserved(bits & 0xFC));
    }
    TopicFilter::check(entry.filter).map_err(DecodeError::TopicFilter)?;
    if entry.options.no_local && entry.filter.starts_with("$share/") {
        return Err(DecodeError::NoLocalOnShared);
    }
    Ok(())
}

impl<'a> Subscribe<'a> {
    /// Decodes SUBSCRIBE.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.expect(PacketType::Subscribe, version)?;
        let mut body = Reader::new(frame, PacketType::Subscribe);
        let packet_id = body.packet_id()?;
        let properties = if version.is_v5() { Properties::read_all(&mut body)? } else { Properties::EMPTY };
        if body.is_empty() {
            return Err(DecodeError::EmptyList(PacketType::Subscribe));
        }
        let filters = Filters(Source::Wire(body.rest()));
        while !body.is_empty() {
            check(&entry(&mut body)?, version)?;
        }
        Ok(Self { packet_id, properties, filters })
    }

    /// Appends the packet; MQTT 3.x keeps of the options only the QoS.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let mask = if version.is_v5() { 0xFF } else { 0x03 };
        writer::packet(out, PacketType::Subscribe, |out| {
            writer::two(out, self.packet_id.get());
            if version.is_v5() {
                self.properties.encode(out);
            }
            for entry in self.filters.iter() {
                writer::text(out, entry.filter);
                out.push(entry.options.bits() & mask);
            }
        });
    }
}
