//! UNSUBSCRIBE. Source: MQTT 5.0 section 3.10.
//!
//! What lives here: the packet and its list of filters. What does not: what
//! ends with it. Invariant: a decoded list has at least one filter and every
//! filter keeps the rules of section 4.7.

use super::frame::{Frame, PacketType};
use super::properties::Properties;
use super::reader::Reader;
use super::{DecodeError, writer};
use crate::mqtt::{TopicFilter, Version};
use std::fmt;
use std::num::NonZeroU16;

/// A client no longer asks for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// What UNSUBACK answers with.
    pub packet_id: NonZeroU16,
    /// User properties; MQTT 5.0 only.
    pub properties: Properties<'a>,
    /// The filters to end, in order.
    pub filters: Names<'a>,
}

/// The filters of UNSUBSCRIBE, in wire form or as a list to be sent.
#[derive(Clone, Copy)]
pub struct Names<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Wire(&'a [u8]),
    List(&'a [&'a str]),
}

impl<'a> From<&'a [&'a str]> for Names<'a> {
    fn from(list: &'a [&'a str]) -> Self {
        Self(Source::List(list))
    }
}

impl<'a> Names<'a> {
    /// The filters in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (wire, list) = match self.0 {
            Source::Wire(wire) => (wire, [].as_slice()),
            Source::List(list) => ([].as_slice(), list),
        };
        let mut body = Reader::over(wire, PacketType::Unsubscribe);
        // The wire form was checked when it was read: the first error is its end.
        std::iter::from_fn(move || body.topic().ok()).chain(list.iter().copied())
    }
}

impl PartialEq for Names<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Names<'_> {}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Unsubscribe<'a> {
    /// Decodes UNSUBSCRIBE.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.expect(PacketType::Unsubscribe, version)?;
        let mut body = Reader::new(frame, PacketType::Unsubscribe);
        let packet_id = body.packet_id()?;
        let properties = if version.is_v5() { Properties::read_all(&mut body)? } else { Properties::EMPTY };
        if body.is_empty() {
            return Err(DecodeError::EmptyList(PacketType::Unsubscribe));
        }
        let filters = Names(Source::Wire(body.rest()));
        while !body.is_empty() {
            TopicFilter::check(body.topic()?).map_err(DecodeError::TopicFilter)?;
        }
        Ok(Self { packet_id, properties, filters })
    }

    /// Appends the packet.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::Unsubscribe, |out| {
            writer::two(out, self.packet_id.get());
            if version.is_v5() {
                self.properties.encode(out);
            }
            for filter in self.filters.iter() {
                writer::text(out, filter);
            }
        });
    }
}
