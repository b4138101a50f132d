//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! What lives here: framing, one borrowed struct per control packet, the
//! properties, and what the older versions do differently (`v3`). What does
//! not: the order in which packets may come (`session`), sockets, clocks.
//! Invariant: no input panics, nothing is copied while decoding, and a value
//! that was decoded has passed every check that one packet alone allows.

pub mod ack;
pub mod auth;
pub mod connack;
pub mod connect;
pub mod disconnect;
mod error;
pub mod frame;
mod packet;
pub mod properties;
pub mod publish;
mod reader;
mod reasons;
pub mod suback;
pub mod subscribe;
pub mod unsubscribe;
mod v3;
mod writer;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use error::DecodeError;
pub use frame::{Frame, PacketType, peek, varint_len};
pub use packet::Packet;
pub use properties::{Properties, PropertiesBuf, PropertyId, Value};
pub use publish::{Outgoing, Publish};
pub use suback::{Codes, SubAck, UnsubAck};
pub use subscribe::{Filters, Subscribe, Subscription};
pub use unsubscribe::{Names, Unsubscribe};
