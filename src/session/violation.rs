//! What a peer does wrong, and the reason code that it is told.

use crate::codec::DecodeError;
use crate::mqtt::ReasonCode;

/// A breach of the protocol. It ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// So many filters that the answer would be longer than the client takes
    /// [MQTT-3.1.2-24].
    #[error("the answer would be longer than {0} bytes, the client's maximum packet size; name fewer filters")]
    AnswerTooLong(u32),
    /// AUTH without an authentication method in CONNECT [MQTT-4.12.0-7].
    #[error("AUTH, though CONNECT named no authentication method")]
    Authentication,
    /// Nothing was heard for one and a half keep-alive times
    /// [MQTT-3.1.2-22].
    #[error("nothing was heard within one and a half times the keep alive")]
    KeepAlive,
    /// The bytes are no packet.
    #[error("{0}")]
    Malformed(DecodeError),
    /// More publications within a second than allowed, for too long.
    #[error("more than {0} publications a second, for longer than publish_rate_patience allows")]
    PublishRate(u32),
    /// All queues of the node are full, and this one is among the longest.
    #[error(
        "the client reads too slowly: all queues together hold queues.total_bytes, and its own more than its share"
    )]
    QueuesFull,
    /// More unfinished publications than the Receive Maximum [MQTT-3.3.4-7].
    #[error("more than {0} unfinished publications")]
    ReceiveMaximum(u16),
    /// A second CONNECT [MQTT-3.1.0-2].
    #[error("a second CONNECT")]
    SecondConnect,
    /// DISCONNECT gave a session expiry, though CONNECT gave none (section
    /// 3.14.2.2.2).
    #[error("DISCONNECT sets a session expiry, though CONNECT asked for none")]
    SessionExpiryRaised,
    /// More messages wait than a session that cannot be resumed may have.
    #[error("the client reads too slowly: its queue is full")]
    SlowReader,
    /// The alias is 0, above the maximum, or unknown (section 3.3.2.3.4).
    #[error("topic alias {0} is out of range or was never set")]
    TopicAlias(u16),
    /// More levels than are served.
    #[error("a topic with more than {0} levels")]
    TopicLevels(usize),
    /// A packet that only a server sends.
    #[error("a packet that only servers send")]
    Unexpected,
}

impl Violation {
    /// What DISCONNECT of MQTT 5.0 says.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::AnswerTooLong(_) => ReasonCode::PacketTooLarge,
            Self::KeepAlive => ReasonCode::KeepAliveTimeout,
            Self::Malformed(error) => error.reason(),
            Self::PublishRate(_) => ReasonCode::MessageRateTooHigh,
            Self::ReceiveMaximum(_) => ReasonCode::ReceiveMaximumExceeded,
            Self::QueuesFull | Self::SlowReader => ReasonCode::QuotaExceeded,
            Self::TopicAlias(_) => ReasonCode::TopicAliasInvalid,
            Self::TopicLevels(_) => ReasonCode::TopicNameInvalid,
            Self::Authentication | Self::SecondConnect | Self::SessionExpiryRaised | Self::Unexpected => {
                ReasonCode::ProtocolError
            }
        }
    }
}
