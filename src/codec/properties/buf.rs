//! Properties that are to be sent.
//!
//! What lives here: a buffer and one setter per property. What does not: which
//! of them a packet may have; the caller knows what it sends. Invariant: every
//! property is written in the type that the standard gives it.

use super::{Properties, PropertyId};
use crate::codec::writer;
use crate::mqtt::TopicName;

/// Owned properties, in the order in which they were added. A text longer
/// than 65,535 bytes is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf(Vec<u8>);

impl PropertiesBuf {
    /// No properties.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The properties as packets take them.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    fn id(&mut self, id: PropertyId) -> &mut Vec<u8> {
        self.0.push(id as u8);
        &mut self.0
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $id:ident, ($($arg:ident: $type:ty),+), $out:ident => $write:expr;)*) => {
        impl PropertiesBuf {
            $($(#[$doc])*
            pub fn $name(&mut self, $($arg: $type),+) -> &mut Self {
                let $out = self.id(PropertyId::$id);
                $write;
                self
            })*
        }
    };
}

setters! {
    /// How many seconds the session outlives its connection.
    session_expiry: SessionExpiryInterval, (seconds: u32), out => writer::four(out, seconds);
    /// How many unfinished publications the sender takes; 0 becomes 1.
    receive_maximum: ReceiveMaximum, (count: u16), out => writer::two(out, count.max(1));
    /// The largest packet, in bytes, that the sender takes; 0 becomes 1.
    maximum_packet_size: MaximumPacketSize, (bytes: u32), out => writer::four(out, bytes.max(1));
    /// The highest topic alias that the sender takes.
    topic_alias_maximum: TopicAliasMaximum, (highest: u16), out => writer::two(out, highest);
    /// Whether the client wants reason strings.
    request_problem_information: RequestProblemInformation, (wanted: bool), out => out.push(wanted.into());
    /// Whether the client wants response information.
    request_response_information: RequestResponseInformation, (wanted: bool), out => out.push(wanted.into());
    /// The name of the extended authentication.
    authentication_method: AuthenticationMethod, (method: &str), out => writer::text(out, method);
    /// What the extended authentication exchanges.
    authentication_data: AuthenticationData, (data: &[u8]), out => writer::binary(out, data);
    /// How many seconds the will waits.
    will_delay: WillDelayInterval, (seconds: u32), out => writer::four(out, seconds);
    /// How many seconds the message may wait.
    message_expiry: MessageExpiryInterval, (seconds: u32), out => writer::four(out, seconds);
    /// Whether the payload is UTF-8.
    payload_is_text: PayloadFormatIndicator, (text: bool), out => out.push(text.into());
    /// What the payload is.
    content_type: ContentType, (text: &str), out => writer::text(out, text);
    /// Where an answer is expected.
    response_topic: ResponseTopic, (topic: TopicName<'_>), out => writer::text(out, topic.as_str());
    /// What tells which request was answered.
    correlation_data: CorrelationData, (data: &[u8]), out => writer::binary(out, data);
    /// A sentence for a human reader.
    reason_string: ReasonString, (text: &str), out => writer::text(out, text);
    /// Another server to use.
    server_reference: ServerReference, (text: &str), out => writer::text(out, text);
    /// The client identifier that the server chose.
    assigned_client_id: AssignedClientIdentifier, (text: &str), out => writer::text(out, text);
    /// The keep alive, in seconds, that the server wants.
    server_keep_alive: ServerKeepAlive, (seconds: u16), out => writer::two(out, seconds);
    /// A base for response topics.
    response_information: ResponseInformation, (text: &str), out => writer::text(out, text);
    /// 0 or 1 when QoS 2, or 1 and 2, are not served.
    maximum_qos: MaximumQos, (highest: u8), out => out.push(highest.min(1));
    /// Whether retained messages are served.
    retain_available: RetainAvailable, (available: bool), out => out.push(available.into());
    /// Whether wildcards are served.
    wildcard_subscription_available: WildcardSubscriptionAvailable, (available: bool), out => out.push(available.into());
    /// Whether subscription identifiers are served.
    subscription_id_available: SubscriptionIdentifierAvailable, (available: bool), out => out.push(available.into());
    /// Whether shared subscriptions are served.
    shared_subscription_available: SharedSubscriptionAvailable, (available: bool), out => out.push(available.into());
    /// Which subscription; 0 becomes 1.
    subscription_id: SubscriptionIdentifier, (number: u32), out => writer::varint(out, number.max(1));
    /// A name and a value, for the application.
    user_property: UserProperty, (name: &str, value: &str), out => {
        writer::text(out, name);
        writer::text(out, value);
    };
}
