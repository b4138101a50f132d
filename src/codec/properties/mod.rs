//! Properties of MQTT 5.0. Source: section 2.2.2.
//!
//! What lives here: the raw properties of a packet, checked once and read on
//! demand. What does not: their effect. Invariant: a `Properties` value holds
//! only properties that its packet may have, each with a value in range.

mod buf;
mod check;
mod id;

pub use buf::PropertiesBuf;
pub use id::PropertyId;

use super::frame::PacketType;
use super::reader::Reader;
use super::{DecodeError, writer};
use check::Seen;
use id::Kind;
use std::fmt;

/// The properties of one packet as they lie in its buffer.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a>(&'a [u8]);

/// The value of one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A byte, two or four bytes, or a variable byte integer.
    Number(u32),
    /// A UTF-8 string.
    Text(&'a str),
    /// Binary data.
    Binary(&'a [u8]),
    /// Name and value of a user property.
    Pair(&'a str, &'a str),
}

/// Where properties stand: a packet type, or the will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Will,
    Connect,
    ConnAck,
    Publish,
    Ack,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl Place {
    const fn bit(self) -> u16 {
        1 << self as u16
    }

    const fn of(packet: PacketType) -> Self {
        match packet {
            PacketType::Connect => Self::Connect,
            PacketType::ConnAck => Self::ConnAck,
            PacketType::Publish => Self::Publish,
            PacketType::Subscribe => Self::Subscribe,
            PacketType::SubAck => Self::SubAck,
            PacketType::Unsubscribe => Self::Unsubscribe,
            PacketType::UnsubAck => Self::UnsubAck,
            PacketType::Disconnect => Self::Disconnect,
            PacketType::Auth => Self::Auth,
            // The pings have no properties and never come here.
            PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubRel
            | PacketType::PubComp
            | PacketType::PingReq
            | PacketType::PingResp => Self::Ack,
        }
    }
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self(&[]);

    /// Reads length and properties, and checks them.
    pub(super) fn read(body: &mut Reader<'a>, place: Place) -> Result<(Self, Seen), DecodeError> {
        let len = body.varint()? as usize;
        let raw = body.take(len).map_err(|_| DecodeError::PropertyLength(body.packet()))?;
        Ok((Self(raw), check::check(raw, body.packet(), place)?))
    }

    /// As [`Properties::read`], for a packet that needs no more than the checks.
    pub(super) fn read_all(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read(body, Place::of(body.packet())).map(|(properties, _)| properties)
    }

    /// As [`Properties::read_all`], where the length may be missing at the end.
    pub(super) fn read_optional(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if body.is_empty() { Ok(Self::EMPTY) } else { Self::read_all(body) }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The wire form, without the length in front.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// All properties in order.
    pub fn iter(&self) -> impl Iterator<Item = (PropertyId, Value<'a>)> + use<'a> {
        self.spans().map(|(id, value, _)| (id, value))
    }

    /// All properties in order, each with its bytes.
    fn spans(&self) -> impl Iterator<Item = (PropertyId, Value<'a>, &'a [u8])> + use<'a> {
        // The packet is named in errors only, and these bytes were checked.
        let mut body = Reader::over(self.0, PacketType::Publish);
        std::iter::from_fn(move || {
            let before = body.rest();
            let (id, value) = next(&mut body).ok()?;
            Some((id, value, before.get(..before.len() - body.rest().len())?))
        })
    }

    /// Whether `id` is among them.
    #[must_use]
    pub fn has(&self, id: PropertyId) -> bool {
        self.find(id).is_some()
    }

    /// The first value of `id`.
    #[must_use]
    pub fn find(&self, id: PropertyId) -> Option<Value<'a>> {
        self.iter().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// The user properties in order [MQTT-3.3.2-18].
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The subscription identifiers: at most one in SUBSCRIBE, any number in
    /// a server's PUBLISH.
    pub fn subscription_ids(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|(id, value)| match (id, value) {
            (PropertyId::SubscriptionIdentifier, Value::Number(number)) => Some(number),
            _ => None,
        })
    }

    /// Appends what a server passes on unaltered: all but topic alias,
    /// message expiry, subscription identifiers and will delay.
    pub fn copy_forwardable(&self, out: &mut Vec<u8>) {
        for (id, _, bytes) in self.spans() {
            if !id.is_per_hop() {
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Appends length and properties.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        writer::varint(out, u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(self.0);
    }

    /// As [`Properties::encode`], where the length may be left out.
    pub(super) fn encode_optional(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            self.encode(out);
        }
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $id:ident, $variant:ident($value:ident) -> $type:ty, $give:expr;)*) => {
        impl<'a> Properties<'a> {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> Option<$type> {
                match self.find(PropertyId::$id)? {
                    Value::$variant($value) => Some($give),
                    _ => None,
                }
            })*
        }
    };
}

accessors! {
    /// How many seconds the session outlives its connection.
    session_expiry: SessionExpiryInterval, Number(n) -> u32, n;
    /// How many unfinished publications the sender takes.
    receive_maximum: ReceiveMaximum, Number(n) -> u16, n as u16;
    /// The largest packet, in bytes, that the sender takes.
    maximum_packet_size: MaximumPacketSize, Number(n) -> u32, n;
    /// The highest topic alias that the sender takes.
    topic_alias_maximum: TopicAliasMaximum, Number(n) -> u16, n as u16;
    /// Whether the client wants reason strings.
    request_problem_information: RequestProblemInformation, Number(n) -> bool, n == 1;
    /// Whether the client wants response information.
    request_response_information: RequestResponseInformation, Number(n) -> bool, n == 1;
    /// The name of the extended authentication.
    authentication_method: AuthenticationMethod, Text(text) -> &'a str, text;
    /// What the extended authentication exchanges.
    authentication_data: AuthenticationData, Binary(bytes) -> &'a [u8], bytes;
    /// How many seconds the will waits.
    will_delay: WillDelayInterval, Number(n) -> u32, n;
    /// How many seconds the message may wait.
    message_expiry: MessageExpiryInterval, Number(n) -> u32, n;
    /// Whether the payload is UTF-8.
    payload_is_text: PayloadFormatIndicator, Number(n) -> bool, n == 1;
    /// What the payload is.
    content_type: ContentType, Text(text) -> &'a str, text;
    /// Where an answer is expected.
    response_topic: ResponseTopic, Text(text) -> &'a str, text;
    /// What tells which request was answered.
    correlation_data: CorrelationData, Binary(bytes) -> &'a [u8], bytes;
    /// A sentence for a human reader.
    reason_string: ReasonString, Text(text) -> &'a str, text;
    /// Another server to use.
    server_reference: ServerReference, Text(text) -> &'a str, text;
    /// The client identifier that the server chose.
    assigned_client_id: AssignedClientIdentifier, Text(text) -> &'a str, text;
    /// The keep alive, in seconds, that the server wants.
    server_keep_alive: ServerKeepAlive, Number(n) -> u16, n as u16;
    /// A base for response topics.
    response_information: ResponseInformation, Text(text) -> &'a str, text;
    /// 0 or 1 when QoS 2, or 1 and 2, are not served.
    maximum_qos: MaximumQos, Number(n) -> u8, n as u8;
    /// Whether retained messages are served.
    retain_available: RetainAvailable, Number(n) -> bool, n == 1;
    /// Whether wildcards are served.
    wildcard_subscription_available: WildcardSubscriptionAvailable, Number(n) -> bool, n == 1;
    /// Whether subscription identifiers are served.
    subscription_id_available: SubscriptionIdentifierAvailable, Number(n) -> bool, n == 1;
    /// Whether shared subscriptions are served.
    shared_subscription_available: SharedSubscriptionAvailable, Number(n) -> bool, n == 1;
}

/// Reads one property; texts are checked, ranges are not.
fn next<'a>(body: &mut Reader<'a>) -> Result<(PropertyId, Value<'a>), DecodeError> {
    let code = body.varint()?;
    let id = PropertyId::from_code(code).ok_or(DecodeError::UnknownProperty(code))?;
    let value = match id.kind() {
        Kind::Flag => Value::Number(body.byte()?.into()),
        Kind::Two | Kind::TwoNotZero => Value::Number(body.two()?.into()),
        Kind::Four | Kind::FourNotZero => Value::Number(body.four()?),
        Kind::Varint => Value::Number(body.varint()?),
        Kind::Text | Kind::Topic => Value::Text(body.text()?),
        Kind::Binary => Value::Binary(body.binary()?),
        Kind::Pair => Value::Pair(body.text()?, body.text()?),
    };
    Ok((id, value))
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
