//! The table of properties. Source: MQTT 5.0 section 2.2.2.2.
//!
//! What lives here: identifiers, types and places. What does not: reading.
//! Invariant: every property of the standard stands here exactly once.

use super::Place;
use std::fmt;

/// The data type of a property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A byte that is 0 or 1.
    Flag,
    /// Two bytes, any value.
    Two,
    /// Two bytes, not 0.
    TwoNotZero,
    /// Four bytes, any value.
    Four,
    /// Four bytes, not 0.
    FourNotZero,
    /// A variable byte integer, not 0.
    Varint,
    /// A UTF-8 string.
    Text,
    /// A UTF-8 string that is a topic name.
    Topic,
    /// Binary data.
    Binary,
    /// Two UTF-8 strings.
    Pair,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $kind:ident, [$($place:ident)*];)*) => {
        /// The properties of MQTT 5.0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $($(#[$doc])* $name = $code,)*
        }

        impl PropertyId {
            /// Every property there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Reads an identifier; `None` if the standard knows no such one.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that the standard gives it.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub(super) const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                }
            }

            /// The places where it may stand, one bit each.
            const fn places(self) -> u16 {
                match self {
                    $(Self::$name => 0 $(| Place::$place.bit())*,)*
                }
            }
        }
    };
}

table! {
    /// Whether the payload is UTF-8.
    PayloadFormatIndicator = 0x01, "payload format indicator", Flag, [Publish Will];
    /// How many seconds the message may wait.
    MessageExpiryInterval = 0x02, "message expiry interval", Four, [Publish Will];
    /// What the payload is.
    ContentType = 0x03, "content type", Text, [Publish Will];
    /// Where an answer is expected.
    ResponseTopic = 0x08, "response topic", Topic, [Publish Will];
    /// What tells the requester which request was answered.
    CorrelationData = 0x09, "correlation data", Binary, [Publish Will];
    /// Which subscription a message matched.
    SubscriptionIdentifier = 0x0B, "subscription identifier", Varint, [Publish Subscribe];
    /// How many seconds the session outlives its connection.
    SessionExpiryInterval = 0x11, "session expiry interval", Four, [Connect ConnAck Disconnect];
    /// The client identifier that the server chose.
    AssignedClientIdentifier = 0x12, "assigned client identifier", Text, [ConnAck];
    /// The keep alive, in seconds, that the server wants.
    ServerKeepAlive = 0x13, "server keep alive", Two, [ConnAck];
    /// The name of the extended authentication.
    AuthenticationMethod = 0x15, "authentication method", Text, [Connect ConnAck Auth];
    /// What the extended authentication exchanges.
    AuthenticationData = 0x16, "authentication data", Binary, [Connect ConnAck Auth];
    /// Whether reason strings are welcome.
    RequestProblemInformation = 0x17, "request problem information", Flag, [Connect];
    /// How many seconds the will waits.
    WillDelayInterval = 0x18, "will delay interval", Four, [Will];
    /// Whether response information is welcome.
    RequestResponseInformation = 0x19, "request response information", Flag, [Connect];
    /// A base for response topics.
    ResponseInformation = 0x1A, "response information", Text, [ConnAck];
    /// Another server to use.
    ServerReference = 0x1C, "server reference", Text, [ConnAck Disconnect];
    /// For a human reader.
    ReasonString = 0x1F, "reason string", Text, [ConnAck Ack SubAck UnsubAck Disconnect Auth];
    /// How many unfinished publications of QoS 1 and 2 are taken.
    ReceiveMaximum = 0x21, "receive maximum", TwoNotZero, [Connect ConnAck];
    /// The highest topic alias that is taken.
    TopicAliasMaximum = 0x22, "topic alias maximum", Two, [Connect ConnAck];
    /// A number that stands for the topic.
    TopicAlias = 0x23, "topic alias", TwoNotZero, [Publish];
    /// The highest quality of service that is served.
    MaximumQos = 0x24, "maximum QoS", Flag, [ConnAck];
    /// Whether retained messages are served.
    RetainAvailable = 0x25, "retain available", Flag, [ConnAck];
    /// A name and a value, for the application.
    UserProperty = 0x26, "user property", Pair,
        [Connect ConnAck Publish Will Ack Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth];
    /// The largest packet that is taken, in bytes.
    MaximumPacketSize = 0x27, "maximum packet size", FourNotZero, [Connect ConnAck];
    /// Whether wildcards are served.
    WildcardSubscriptionAvailable = 0x28, "wildcard subscription available", Flag, [ConnAck];
    /// Whether subscription identifiers are served.
    SubscriptionIdentifierAvailable = 0x29, "subscription identifier available", Flag, [ConnAck];
    /// Whether shared subscriptions are served.
    SharedSubscriptionAvailable = 0x2A, "shared subscription available", Flag, [ConnAck];
}

impl PropertyId {
    /// Whether it may stand in `place`.
    pub(super) const fn is_allowed_in(self, place: Place) -> bool {
        self.places() & place.bit() != 0
    }

    /// Whether it may stand in `place` more than once.
    pub(super) const fn may_repeat_in(self, place: Place) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionIdentifier => matches!(place, Place::Publish),
            _ => false,
        }
    }

    /// Whether it is meant for the next hop only, so that a server does not
    /// pass it on as it came.
    pub(super) const fn is_per_hop(self) -> bool {
        matches!(
            self,
            Self::TopicAlias | Self::MessageExpiryInterval | Self::SubscriptionIdentifier | Self::WillDelayInterval
        )
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
