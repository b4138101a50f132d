//! The one pass that checks properties.
//!
//! What lives here: places, repetitions, ranges. What does not: types, which
//! `next` reads. Invariant: what passes here is read later without errors.

use super::super::frame::PacketType;
use super::super::reader::Reader;
use super::id::Kind;
use super::{Place, PropertyId, Value, next};
use crate::codec::DecodeError;
use crate::mqtt::TopicName;
use std::num::NonZeroU16;

/// What the pass has met that a PUBLISH needs at once.
#[derive(Clone, Copy, Default)]
pub(in crate::codec) struct Seen {
    /// The topic alias.
    pub topic_alias: Option<NonZeroU16>,
    /// The message expiry in seconds.
    pub expiry: Option<u32>,
    /// Whether any property is for the next hop only.
    pub per_hop: bool,
    /// One bit per property identifier.
    ids: u64,
}

impl Seen {
    /// Whether `id` was met.
    pub(in crate::codec) const fn has(&self, id: PropertyId) -> bool {
        self.ids & 1 << id as u8 != 0
    }
}

/// Checks the properties of `packet`.
pub(super) fn check(raw: &[u8], packet: PacketType, place: Place) -> Result<Seen, DecodeError> {
    let mut body = Reader::over(raw, packet);
    let mut seen = Seen::default();
    while !body.is_empty() {
        let (id, value) = next(&mut body).map_err(|error| match error {
            DecodeError::Truncated(packet) => DecodeError::PropertyLength(packet),
            error => error,
        })?;
        if !id.is_allowed_in(place) {
            return Err(DecodeError::PropertyNotAllowed { packet, property: id });
        }
        if seen.has(id) && !id.may_repeat_in(place) {
            return Err(DecodeError::DuplicateProperty(id));
        }
        check_value(id, value)?;
        seen.note(id, value);
    }
    if seen.has(PropertyId::AuthenticationData) && !seen.has(PropertyId::AuthenticationMethod) {
        return Err(DecodeError::AuthenticationDataWithoutMethod);
    }
    Ok(seen)
}

impl Seen {
    fn note(&mut self, id: PropertyId, value: Value<'_>) {
        self.ids |= 1 << id as u8;
        self.per_hop |= id.is_per_hop();
        match (id, value) {
            (PropertyId::TopicAlias, Value::Number(alias)) => self.topic_alias = NonZeroU16::new(alias as u16),
            (PropertyId::MessageExpiryInterval, Value::Number(seconds)) => self.expiry = Some(seconds),
            _ => {}
        }
    }
}

fn check_value(id: PropertyId, value: Value<'_>) -> Result<(), DecodeError> {
    let in_range = match (id.kind(), value) {
        (Kind::Flag, Value::Number(number)) => number <= 1,
        (Kind::TwoNotZero | Kind::FourNotZero | Kind::Varint, Value::Number(number)) => number != 0,
        (Kind::Topic, Value::Text(text)) => {
            return TopicName::new(text).map(|_| ()).map_err(DecodeError::ResponseTopic);
        }
        _ => true,
    };
    match (in_range, id) {
        (true, _) => Ok(()),
        (false, PropertyId::TopicAlias) => Err(DecodeError::TopicAliasZero),
        (false, _) => Err(DecodeError::PropertyValue(id)),
    }
}
