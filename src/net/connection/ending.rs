//! Why a connection ends, and what is said, counted and kept for each reason.

use std::sync::Arc;

use crate::delivery::Bound;
use crate::identity::refusal::Refusal;
use crate::mqtt::ReasonCode;
use crate::session::Violation;
use crate::telemetry::metrics::Counter;

use super::super::websocket::{self, Breach};

/// Why a connection ends.
#[derive(Debug)]
pub(in crate::net) enum Ending {
    /// DISCONNECT.
    Disconnected { with_will: bool },
    /// The stream ended or failed.
    Lost(Option<std::io::ErrorKind>),
    /// The client broke the rules of WebSocket.
    Misframed(Breach),
    /// The client broke the protocol.
    Violated(Violation),
    /// Another connection claimed the session.
    TakenOver,
    /// Trust no longer admits it.
    Refused(Box<Refusal>),
    /// A publication or subscription without the right, where the profile
    /// closes for it.
    Forbidden(ReasonCode),
    /// Somebody who runs the broker, or one of its platforms, ended it.
    Dismissed(Arc<str>),
    /// The broker stops.
    ShutDown,
    /// A bug of ours; the task is unwinding.
    Panicked,
}

impl Ending {
    /// What DISCONNECT of MQTT 5.0 says; nothing when the client left first.
    pub(super) fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Disconnected { .. } | Self::Lost(_) | Self::Misframed(_) => None,
            Self::Violated(violation) => Some(violation.reason()),
            Self::TakenOver => Some(ReasonCode::SessionTakenOver),
            Self::Refused(refusal) => Some(match refusal.reason.connack() {
                ReasonCode::NotAuthorized => ReasonCode::NotAuthorized,
                _ => ReasonCode::AdministrativeAction,
            }),
            Self::Forbidden(reason) => Some(*reason),
            Self::Dismissed(_) => Some(ReasonCode::AdministrativeAction),
            Self::ShutDown => Some(ReasonCode::ServerShuttingDown),
            Self::Panicked => Some(ReasonCode::UnspecifiedError),
        }
    }

    /// What it is counted as, when somebody should look at it.
    pub(super) fn count(&self) {
        match self {
            Self::TakenOver => Counter::SessionsTakenOver.one(),
            Self::Refused(_) => Counter::TrustWithdrawn.one(),
            Self::Violated(violation) => counter_of(violation).one(),
            Self::Misframed(_) => Counter::OtherViolations.one(),
            Self::Dismissed(_) => Counter::ConnectionsDismissed.one(),
            Self::Disconnected { .. } | Self::Lost(_) | Self::Forbidden(_) | Self::ShutDown | Self::Panicked => {}
        }
    }

    /// What the close frame of a WebSocket says.
    pub(super) const fn close_code(&self) -> u16 {
        match self {
            Self::Disconnected { .. } | Self::Lost(_) | Self::TakenOver => websocket::NORMAL,
            Self::Violated(_) | Self::Misframed(_) => websocket::PROTOCOL_ERROR,
            Self::Refused(_) | Self::Forbidden(_) | Self::Dismissed(_) => websocket::POLICY,
            Self::ShutDown | Self::Panicked => websocket::GOING_AWAY,
        }
    }

    /// Whether the client is given time to read why. Nobody is whom trust no
    /// longer admits.
    pub(super) const fn lingers(&self) -> bool {
        matches!(self, Self::Violated(_) | Self::Misframed(_) | Self::Forbidden(_) | Self::Dismissed(_))
    }

    pub(super) fn keeps_will(&self) -> bool {
        !matches!(self, Self::Disconnected { with_will: false })
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Disconnected { .. } => "the client disconnected".to_owned(),
            Self::Lost(None) => "the client closed the stream".to_owned(),
            Self::Lost(Some(kind)) => format!("the stream failed: {kind}"),
            Self::Misframed(breach) => breach.to_string(),
            Self::Violated(violation) => violation.to_string(),
            Self::TakenOver => "another connection of the same client took over".to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Forbidden(_) => "a publication or subscription without the right to it".to_owned(),
            Self::Dismissed(why) => why.to_string(),
            Self::ShutDown => "the broker stops".to_owned(),
            Self::Panicked => "an internal error".to_owned(),
        }
    }
}

fn counter_of(violation: &Violation) -> Counter {
    match violation {
        Violation::KeepAlive => Counter::KeepAliveExpired,
        Violation::Malformed(error) if error.reason() == ReasonCode::PacketTooLarge => Counter::PacketsTooLarge,
        Violation::Malformed(_) => Counter::MalformedPackets,
        Violation::ReceiveMaximum(_) => Counter::ReceiveMaximumExceeded,
        Violation::QueuesFull => Counter::QueuesFull,
        Violation::SlowReader => Counter::SlowReaders,
        Violation::PublishRate(_) => Counter::PublishRates,
        Violation::TopicAlias(_) => Counter::TopicAliases,
        Violation::TopicLevels(_) => Counter::TopicLevels,
        _ => Counter::OtherViolations,
    }
}

/// How a session ends that must not lose what met `bound`.
pub(super) fn overflow(bound: Bound) -> Ending {
    Ending::Violated(match bound {
        Bound::Ring => Violation::SlowReader,
        Bound::Node => Violation::QueuesFull,
    })
}
