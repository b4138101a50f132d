//! What travels inside a PUBLISH, seen without a copy.

use super::{Qos, TopicName};

/// An application message as it lies in somebody's buffer.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// Where it is published to.
    pub topic: TopicName<'a>,
    /// The quality of service that the publisher chose.
    pub qos: Qos,
    /// The publisher's RETAIN flag.
    pub retain: bool,
    /// MQTT 5.0 properties that a server passes on unaltered, in wire form:
    /// all of them but topic alias, message expiry and subscription
    /// identifiers. Empty for the older versions.
    pub properties: &'a [u8],
    /// Seconds that the message may wait, as received [MQTT-3.3.2-5].
    pub expiry: Option<u32>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// What names a publication for ever: no queue takes the same one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The publisher's session.
    pub publisher: u64,
    /// The epoch of the node that owned the session then.
    pub epoch: u32,
    /// Counts the session's publications.
    pub counter: u64,
}

/// What MQTT 5.0 lets a subscriber ask of one filter (section 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest quality of service to deliver with.
    pub qos: Qos,
    /// Do not send a client its own publications back [MQTT-3.8.3-3].
    pub no_local: bool,
    /// Keep the publisher's RETAIN flag when forwarding [MQTT-3.3.1-13].
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// What a subscription of MQTT 3.x asks for.
    #[must_use]
    pub const fn of_qos(qos: Qos) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    /// The option byte of SUBSCRIBE.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.qos.bits()
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }

    /// Reads an option byte; `None` when a reserved bit or value is used
    /// [MQTT-3.8.3-5].
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        let Some(qos) = Qos::from_bits(bits & 3) else { return None };
        let retain_handling = match bits >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::Never,
            _ => return None,
        };
        Some(Self { qos, no_local: bits & 4 != 0, retain_as_published: bits & 8 != 0, retain_handling })
    }
}

/// When the retained messages of a filter are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE [MQTT-3.3.1-9].
    Send = 0,
    /// Only when the subscription did not exist [MQTT-3.3.1-10].
    SendIfNew = 1,
    /// Not at all [MQTT-3.3.1-11].
    Never = 2,
}
