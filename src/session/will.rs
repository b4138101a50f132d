//! The message that is published for a client that can no longer do it.

use crate::mqtt::{MessageView, Qos, TopicName};

/// A will, kept from CONNECT on. Source: MQTT 5.0 sections 3.1.2.5, 3.1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to; checked at CONNECT.
    pub topic: Box<str>,
    /// The application's bytes.
    pub payload: Box<[u8]>,
    /// The quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds to wait before it is published.
    pub delay: u32,
    /// Properties that are passed on, in wire form [MQTT-3.1.3-10].
    pub properties: Box<[u8]>,
    /// Its message expiry in seconds.
    pub expiry: Option<u32>,
}

impl Will {
    /// The will as a message; nothing if its topic is none.
    #[must_use]
    pub fn message(&self) -> Option<MessageView<'_>> {
        Some(MessageView {
            topic: TopicName::new(&self.topic).ok()?,
            qos: self.qos,
            retain: self.retain,
            properties: &self.properties,
            expiry: self.expiry,
            payload: &self.payload,
        })
    }
}
