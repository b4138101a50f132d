//! What a session is given, what it asks for, and what it must remember.

use std::num::NonZeroU16;

use crate::mqtt::{TopicFilter, Version};

use super::{Subscription, Wish};

/// What CONNECT and the configuration fixed for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The protocol version of the connection.
    pub version: Version,
    /// Outgoing QoS 1 and 2 messages that may be in flight: the smaller of
    /// the client's Receive Maximum and our own bound.
    pub send_window: u16,
    /// Incoming QoS 1 and 2 messages that may be unfinished.
    pub receive_maximum: u16,
    /// The longest packet that the client takes, in bytes.
    pub max_packet_out: u32,
    /// Topic aliases that the client may use.
    pub topic_alias_maximum: u16,
    /// Topic aliases that we may set: what the client takes, up to our own
    /// bound.
    pub outgoing_aliases: u16,
    /// Subscriptions that the client may hold.
    pub max_subscriptions: usize,
    /// Levels that a topic or filter may have.
    pub max_topic_levels: usize,
    /// Whether reason strings may be sent on any packet [MQTT-3.1.2-29].
    pub problem_information: bool,
    /// Seconds that the session outlives the connection; `u32::MAX` never
    /// ends, 0 ends with the connection.
    pub session_expiry: u32,
    /// The longest session expiry that the tenant allows, in seconds.
    pub session_expiry_cap: u32,
}

impl Terms {
    /// The terms of a session whose client is away: the next connection brings
    /// others.
    #[must_use]
    pub const fn at_rest(session_expiry: u32) -> Self {
        Self {
            version: Version::V4,
            send_window: 1,
            receive_maximum: 1,
            max_packet_out: u32::MAX,
            topic_alias_maximum: 0,
            outgoing_aliases: 0,
            max_subscriptions: 0,
            max_topic_levels: 0,
            problem_information: false,
            session_expiry,
            session_expiry_cap: session_expiry,
        }
    }
}

/// What the driver must do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The client leaves in order; the will is published only if it asks.
    Disconnect {
        /// DISCONNECT carried reason 0x04.
        with_will: bool,
    },
    /// Write PINGRESP.
    Pong,
    /// Ask for the right to subscribe, subscribe, and answer with
    /// [`Session::handle_granted`](super::Session::handle_granted).
    Subscribe {
        /// Belongs to the answer.
        packet_id: NonZeroU16,
        /// In the order of the packet.
        wishes: Vec<Wish>,
    },
    /// Take these filters out of the router.
    Unsubscribe {
        /// The paths as they were subscribed.
        filters: Vec<TopicFilter>,
    },
}

/// What a session that can be resumed must remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A QoS 2 publication was received, or released.
    Inbound {
        /// The client's packet identifier.
        packet_id: u16,
        /// Received and not released.
        held: bool,
    },
    /// PUBREC arrived: PUBREL is what is resent from now on.
    Released {
        /// The entry of the session queue.
        seq: u64,
    },
    /// A subscription was made or changed.
    Subscribed(Subscription),
    /// A subscription ended.
    Unsubscribed(TopicFilter),
}
