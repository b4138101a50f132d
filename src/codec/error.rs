//! Why bytes are no packet.
//!
//! What lives here: one variant per breach and the reason code that answers
//! it. What does not: breaches of order or state (`session`). Invariant: every
//! variant has a sentence that names what is wrong, and a reason code.

use super::frame::PacketType;
use super::properties::PropertyId;
use crate::mqtt::{ReasonCode, TopicError};

/// A breach of the standard that one packet alone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The remaining length does not end within four bytes (section 1.5.5).
    #[error("the remaining length has more than four bytes")]
    LengthTooLong,
    /// A variable byte integer that has a shorter form [MQTT-1.5.5-1].
    #[error("a variable byte integer is written longer than it needs to be")]
    LengthOverlong,
    /// Longer than the receiver allows, the fixed header counted.
    #[error("the packet has {len} bytes, {max} are allowed")]
    PacketTooLarge {
        /// The whole packet, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// Packet type 0, or 15 (AUTH) before MQTT 5.0.
    #[error("packet type {0} does not exist in this version")]
    UnknownPacketType(u8),
    /// Reserved flags of the fixed header [MQTT-2.1.3-1].
    #[error("{packet} has the reserved flags {flags:#06b} in its fixed header")]
    FixedHeaderFlags {
        /// Which packet.
        packet: PacketType,
        /// The low four bits of the first byte.
        flags: u8,
    },
    /// A packet that only the other side may send.
    #[error("{0} is never sent by a client")]
    NotFromClient(PacketType),
    /// The packet ends within a field.
    #[error("{0} ends in the middle of a field")]
    Truncated(PacketType),
    /// Bytes stand behind the last field.
    #[error("{0} has bytes behind its last field")]
    TrailingBytes(PacketType),
    /// Text that is not UTF-8 [MQTT-1.5.4-1].
    #[error("a text is not well-formed UTF-8")]
    NotUtf8,
    /// U+0000 in a text [MQTT-1.5.4-2].
    #[error("a text holds the null character")]
    NullCharacter,
    /// Packet identifier 0 [MQTT-2.2.1-3].
    #[error("{0} has the packet identifier 0")]
    PacketIdZero(PacketType),

    /// Neither `MQTT` nor `MQIsdp` [MQTT-3.1.2-1].
    #[error("the protocol name of CONNECT is neither MQTT nor MQIsdp")]
    ProtocolName,
    /// A level that goes with none of the three versions [MQTT-3.1.2-2].
    #[error("CONNECT asks for protocol level {0}; levels 3, 4 and 5 are served")]
    UnsupportedLevel(u8),
    /// Bit 0 of the connect flags [MQTT-3.1.2-3].
    #[error("CONNECT sets the reserved bit of its flags")]
    ConnectReservedFlag,
    /// Will QoS or will retain without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13].
    #[error("CONNECT sets will QoS or will retain without the will flag")]
    WillFlagsWithoutWill,
    /// Will QoS 3 [MQTT-3.1.2-12].
    #[error("CONNECT has the will QoS 3")]
    WillQos,
    /// Before MQTT 5.0 a password needs a user name (3.1.1: MQTT-3.1.2-22).
    #[error("CONNECT has a password, but no user name")]
    PasswordWithoutUserName,
    /// Reserved acknowledge flags [MQTT-3.2.2-1].
    #[error("CONNACK has the reserved acknowledge flags {0:#04x}")]
    ConnAckFlags(u8),
    /// Session present with a refusal [MQTT-3.2.2-6].
    #[error("CONNACK refuses, yet says that a session is present")]
    SessionPresentWithRefusal,

    /// QoS 3 in PUBLISH [MQTT-3.3.1-4].
    #[error("PUBLISH has QoS 3")]
    PublishQos,
    /// DUP with QoS 0 [MQTT-3.3.1-2].
    #[error("PUBLISH has DUP set at QoS 0")]
    DupAtQos0,
    /// A topic name against section 4.7.
    #[error("the topic name {0}")]
    TopicName(TopicError),
    /// A will topic against section 4.7.
    #[error("the will topic {0}")]
    WillTopic(TopicError),
    /// A response topic against section 4.7 [MQTT-3.3.2-14].
    #[error("the response topic {0}")]
    ResponseTopic(TopicError),
    /// Neither topic nor alias (section 3.3.2.1).
    #[error("PUBLISH has neither a topic name nor a topic alias")]
    NoTopic,
    /// Topic alias 0 [MQTT-3.3.2-8].
    #[error("PUBLISH has the topic alias 0")]
    TopicAliasZero,
    /// A client's PUBLISH with a subscription identifier [MQTT-3.3.4-6].
    #[error("a client's PUBLISH has a subscription identifier")]
    SubscriptionIdFromClient,

    /// A filter against section 4.7.
    #[error("a topic filter {0}")]
    TopicFilter(TopicError),
    /// Nothing to subscribe to or from [MQTT-3.8.3-2] [MQTT-3.10.3-2].
    #[error("{0} has no topic filter")]
    EmptyList(PacketType),
    /// Reserved bits of the subscription options [MQTT-3.8.3-5].
    #[error("SUBSCRIBE has the reserved bits {0:#04x} in its options")]
    SubscriptionReserved(u8),
    /// QoS 3 in SUBSCRIBE (section 3.8.3.1).
    #[error("SUBSCRIBE asks for QoS 3")]
    SubscriptionQos,
    /// Retain handling 3 (section 3.8.3.1).
    #[error("SUBSCRIBE asks for retain handling 3")]
    SubscriptionRetainHandling,
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("SUBSCRIBE sets No Local on a shared subscription")]
    NoLocalOnShared,

    /// A reason or return code that this packet cannot have.
    #[error("{packet} has the code {code:#04x}, which it cannot have")]
    ReasonCode {
        /// Which packet.
        packet: PacketType,
        /// The code as received.
        code: u8,
    },
    /// A property identifier that does not exist (section 2.2.2.2).
    #[error("property {0:#04x} does not exist")]
    UnknownProperty(u32),
    /// A property that this packet cannot have (section 2.2.2.2).
    #[error("{packet} cannot have the property {property}")]
    PropertyNotAllowed {
        /// Which packet; CONNECT also for the properties of its will.
        packet: PacketType,
        /// Which property.
        property: PropertyId,
    },
    /// A property twice that may come once.
    #[error("the property {0} comes more than once")]
    DuplicateProperty(PropertyId),
    /// A value outside the property's range.
    #[error("the property {0} has a value that is not allowed")]
    PropertyValue(PropertyId),
    /// The property length reaches past the end, or a property past the
    /// property length.
    #[error("the properties of {0} do not fit in their length")]
    PropertyLength(PacketType),
    /// Authentication data without a method (section 3.1.2.11.10).
    #[error("authentication data comes without an authentication method")]
    AuthenticationDataWithoutMethod,
    /// AUTH needs a method (section 3.15.2.2.2).
    #[error("AUTH has no authentication method")]
    NoAuthenticationMethod,
}

impl DecodeError {
    /// The reason code of the DISCONNECT or CONNACK that answers the breach.
    /// Source: MQTT 5.0 sections 2.4 and 4.13.
    #[must_use]
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::LengthTooLong
            | Self::LengthOverlong
            | Self::UnknownPacketType(_)
            | Self::FixedHeaderFlags { .. }
            | Self::Truncated(_)
            | Self::TrailingBytes(_)
            | Self::NotUtf8
            | Self::NullCharacter
            | Self::ConnectReservedFlag
            | Self::WillFlagsWithoutWill
            | Self::WillQos
            | Self::PasswordWithoutUserName
            | Self::ConnAckFlags(_)
            | Self::PublishQos
            | Self::DupAtQos0
            | Self::SubscriptionReserved(_)
            | Self::UnknownProperty(_)
            | Self::PropertyNotAllowed { .. }
            | Self::PropertyLength(_) => ReasonCode::MalformedPacket,
            Self::NotFromClient(_)
            | Self::PacketIdZero(_)
            | Self::SessionPresentWithRefusal
            | Self::NoTopic
            | Self::SubscriptionIdFromClient
            | Self::EmptyList(_)
            | Self::SubscriptionQos
            | Self::SubscriptionRetainHandling
            | Self::NoLocalOnShared
            | Self::ReasonCode { .. }
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_)
            | Self::ResponseTopic(_)
            | Self::AuthenticationDataWithoutMethod
            | Self::NoAuthenticationMethod => ReasonCode::ProtocolError,
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::ProtocolName | Self::UnsupportedLevel(_) => ReasonCode::UnsupportedProtocolVersion,
            Self::TopicName(_) | Self::WillTopic(_) => ReasonCode::TopicNameInvalid,
            Self::TopicFilter(_) => ReasonCode::TopicFilterInvalid,
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// One value per variant, in the order of the enum.
    const ALL: &[DecodeError] = &[
        DecodeError::LengthTooLong,
        DecodeError::LengthOverlong,
        DecodeError::PacketTooLarge { len: 2, max: 1 },
        DecodeError::UnknownPacketType(0),
        DecodeError::FixedHeaderFlags { packet: PacketType::Connect, flags: 1 },
        DecodeError::NotFromClient(PacketType::ConnAck),
        DecodeError::Truncated(PacketType::Connect),
        DecodeError::TrailingBytes(PacketType::Connect),
        DecodeError::NotUtf8,
        DecodeError::NullCharacter,
        DecodeError::PacketIdZero(PacketType::PubAck),
        DecodeError::ProtocolName,
        DecodeError::UnsupportedLevel(6),
        DecodeError::ConnectReservedFlag,
        DecodeError::WillFlagsWithoutWill,
        DecodeError::WillQos,
        DecodeError::PasswordWithoutUserName,
        DecodeError::ConnAckFlags(2),
        DecodeError::SessionPresentWithRefusal,
        DecodeError::PublishQos,
        DecodeError::DupAtQos0,
        DecodeError::TopicName(TopicError::Empty),
        DecodeError::WillTopic(TopicError::Empty),
        DecodeError::ResponseTopic(TopicError::Empty),
        DecodeError::NoTopic,
        DecodeError::TopicAliasZero,
        DecodeError::SubscriptionIdFromClient,
        DecodeError::TopicFilter(TopicError::Empty),
        DecodeError::EmptyList(PacketType::Subscribe),
        DecodeError::SubscriptionReserved(4),
        DecodeError::SubscriptionQos,
        DecodeError::SubscriptionRetainHandling,
        DecodeError::NoLocalOnShared,
        DecodeError::ReasonCode { packet: PacketType::PubAck, code: 1 },
        DecodeError::UnknownProperty(0),
        DecodeError::PropertyNotAllowed { packet: PacketType::PubAck, property: PropertyId::TopicAlias },
        DecodeError::DuplicateProperty(PropertyId::TopicAlias),
        DecodeError::PropertyValue(PropertyId::ReceiveMaximum),
        DecodeError::PropertyLength(PacketType::PubAck),
        DecodeError::AuthenticationDataWithoutMethod,
        DecodeError::NoAuthenticationMethod,
    ];

    /// Section 4.13: the codes that a breach may be answered with.
    #[test]
    fn every_breach_has_a_sentence_of_its_own_and_an_error_code() {
        let sentences: BTreeSet<String> = ALL.iter().map(ToString::to_string).collect();
        assert_eq!(sentences.len(), ALL.len());
        for error in ALL {
            assert!(error.reason().is_error(), "{error}");
            assert!(error.to_string().len() > 15, "{error}");
        }
    }

    /// The source of this file lists the variants; the list above keeps up.
    #[test]
    fn the_list_of_variants_is_complete() {
        let source = include_str!("error.rs");
        let (_, body) = source.split_once("pub enum DecodeError {").unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let variants = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let variants = variants.filter(|line| line.trim_start().starts_with(char::is_uppercase));
        assert_eq!(variants.count(), ALL.len());
    }
}
