//! The words of the MQTT standards as checked types.
//!
//! What lives here: quality of service, reason codes, topics, client
//! identifiers, protocol versions and the view of an application message.
//! What does not: bytes on the wire (`codec`), state (`session`). Invariant:
//! a value of one of these types has passed the checks that its name implies.

mod client_id;
mod message;
mod qos;
mod reason;
mod topic;
mod version;

pub use client_id::{ClientId, TenantId};
pub use message::{MessageId, MessageView, RetainHandling, SubscriptionOptions};
pub use qos::Qos;
pub use reason::ReasonCode;
pub use topic::{TopicError, TopicFilter, TopicName, matches};
pub use version::Version;
