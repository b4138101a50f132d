//! The record of one refusal.
//!
//! What lives here: what a person needs to mend a refused connection, as one
//! log line and as JSON. What does not: the reasons (`reason`), where the
//! records are kept (`refusals`). Invariant: a record is made where the
//! refusal is decided and never changed; nothing in its text can break a log
//! line, whatever the client sent.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::admission::{Admission, Peer};
use super::certificate::{CertificateFacts, Missing, date, unix_seconds};
use super::name::CommonName;
use super::path::Failure;
use super::reason::Reason;
use crate::mqtt::TenantId;

/// How far the connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The socket was accepted.
    Accept,
    /// In the TLS handshake.
    Handshake,
    /// At CONNECT.
    Connect,
    /// After CONNACK: trust changed, or the certificate expired.
    Live,
    /// At a publication; the connection may go on.
    Publish,
    /// At a subscription; the connection may go on.
    Subscribe,
    /// When a certificate was to be renewed over EST.
    Renewal,
}

impl Stage {
    /// All of them, in the order in which a connection meets them.
    pub const ALL: &'static [Self] =
        &[Self::Accept, Self::Handshake, Self::Connect, Self::Live, Self::Publish, Self::Subscribe, Self::Renewal];

    /// The name in logs and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Handshake => "handshake",
            Self::Connect => "connect",
            Self::Live => "live",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Renewal => "renewal",
        }
    }
}

/// Everything that is known about one refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its number, from 1, in the order in which refusals were kept; 0 before
    /// that.
    pub id: u64,
    /// When.
    pub time: SystemTime,
    /// How far the connection had come.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// What was found, in words.
    pub detail: String,
    /// From where.
    pub peer: Option<SocketAddr>,
    /// The listener's name.
    pub listener: Option<Arc<str>>,
    /// The tenant, as far as it was known.
    pub tenant: Option<TenantId>,
    /// `1.2` or `1.3`, as far as the handshake came to it.
    pub tls: Option<&'static str>,
    /// The server name that the client asked for.
    pub server_name: Option<Arc<str>>,
    /// The device's certificate.
    pub certificate: Option<Arc<CertificateFacts>>,
    /// The issuer that is not there, when that is the reason.
    pub missing: Option<Missing>,
    /// The name of the anchor that its chain leads to.
    pub anchor: Option<Arc<str>>,
    /// The ClientId asked for.
    pub client_id: Option<String>,
    /// The ClientId that would have been accepted.
    pub expected: Option<String>,
    /// The user name that was given.
    pub user_name: Option<String>,
    /// The topic or filter that was refused.
    pub topic: Option<String>,
}

impl Refusal {
    /// A refusal of which no more is known yet.
    #[must_use]
    pub fn new(stage: Stage, reason: Reason, detail: impl Into<String>, time: SystemTime) -> Self {
        Self {
            id: 0,
            time,
            stage,
            reason,
            detail: detail.into(),
            peer: None,
            listener: None,
            tenant: None,
            tls: None,
            server_name: None,
            certificate: None,
            missing: None,
            anchor: None,
            client_id: None,
            expected: None,
            user_name: None,
            topic: None,
        }
    }

    /// The refusal of a chain.
    #[must_use]
    pub fn of_chain(stage: Stage, failure: &Failure, time: SystemTime) -> Self {
        let mut refusal = Self::new(stage, failure.reason, failure.detail.clone(), time);
        refusal.certificate.clone_from(&failure.facts);
        refusal.tenant.clone_from(&failure.scope);
        refusal.missing.clone_from(&failure.missing);
        if let Some(anchor) = &failure.anchor {
            refusal.anchor = Some(Arc::clone(&anchor.name));
            refusal.tenant = Some(anchor.tenant.clone());
        }
        refusal
    }

    /// With what is known of the connection.
    #[must_use]
    pub fn at(mut self, peer: &Peer) -> Self {
        self.peer = Some(peer.address);
        self.listener = Some(Arc::clone(&peer.listener.name));
        self.tls = peer.tls;
        self.server_name.clone_from(&peer.server_name);
        self
    }

    /// A publication or subscription to `topic` that a client which is in may
    /// not make.
    #[must_use]
    pub fn of_denial(
        stage: Stage,
        topic: &str,
        detail: String,
        who: &Admission,
        peer: &Peer,
        time: SystemTime,
    ) -> Self {
        let reason = if stage == Stage::Subscribe { Reason::SubscribeForbidden } else { Reason::PublishForbidden };
        let mut refusal = Self::new(stage, reason, detail, time).at(peer).asking(who.client_id.as_str());
        refusal.topic = Some(topic.to_owned());
        refusal.tenant = Some(who.tenant.id.clone());
        refusal.certificate.clone_from(&who.certificate);
        refusal.anchor = who.anchor.as_ref().map(|anchor| Arc::clone(&anchor.name));
        refusal
    }

    /// With the ClientId that the client asked for.
    #[must_use]
    pub fn asking(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.to_owned());
        self
    }

    /// Whether only the registration of the device is missing, or switched
    /// off.
    #[must_use]
    pub const fn is_about_registration(&self) -> bool {
        matches!(self.reason, Reason::NotRegistered | Reason::DeviceDisabled)
    }

    /// The reason string of MQTT 5.0: reason, detail and remedy.
    #[must_use]
    pub fn reason_string(&self) -> String {
        match &self.expected {
            Some(expected) => format!("{}: expected {expected}; {}", self.reason, self.reason.remedy()),
            None => format!("{}: {}; {}", self.reason, self.detail.escape_debug(), self.reason.remedy()),
        }
    }

    /// The record as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "time": date(unix_seconds(self.time)),
            "verdict": "refused",
            "stage": self.stage.as_str(),
            "reason": self.reason.as_str(),
            "detail": self.detail,
            "remedy": self.reason.remedy(),
            "address": self.peer.map(|peer| peer.to_string()),
            "listener": self.listener.as_deref(),
            "tenant": self.tenant.as_ref().map(TenantId::as_str),
            "tls": self.tls,
            "server_name": self.server_name.as_deref(),
            "certificate": self.certificate.as_deref().map(certificate_json),
            "missing_issuer": self.missing.as_ref().map(|missing| json!({
                "subject": missing.subject,
                "key_id": missing.key_id,
            })),
            "anchor": self.anchor.as_deref(),
            "client_id": self.client_id,
            "expected_client_id": self.expected,
            "user_name": self.user_name,
            "topic": self.topic,
        })
    }

    fn write_certificate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(facts) = &self.certificate else { return Ok(()) };
        write!(f, " subject=\"{}\" issuer=\"{}\"", facts.subject, facts.issuer)?;
        write!(f, " serial={} fingerprint={}", facts.serial, facts.fingerprint)?;
        write!(f, " not_before={} not_after={}", date(facts.not_before), date(facts.not_after))?;
        write!(f, " version={} key=\"{}\"", facts.version, facts.key)
    }
}

/// A certificate's facts as JSON.
#[must_use]
pub fn certificate_json(facts: &CertificateFacts) -> Value {
    let common_name = match &facts.common_name {
        CommonName::One(name) => Some(name.as_str()),
        _ => None,
    };
    json!({
        "subject": facts.subject,
        "issuer": facts.issuer,
        "common_name": common_name,
        "serial": facts.serial.to_string(),
        "fingerprint": facts.fingerprint.to_string(),
        "not_before": date(facts.not_before),
        "not_after": date(facts.not_after),
        "version": facts.version,
        "key": facts.key.to_string(),
    })
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused at {}: {}: {};", self.stage.as_str(), self.reason, Safe(&self.detail))?;
        write_field(f, "address", self.peer)?;
        write_field(f, "listener", self.listener.as_ref())?;
        write_field(f, "tenant", self.tenant.as_ref())?;
        write_field(f, "tls", self.tls)?;
        write_quoted(f, "server_name", self.server_name.as_deref())?;
        self.write_certificate(f)?;
        let missing = self.missing.as_ref();
        write_quoted(f, "missing_issuer", missing.map(|missing| missing.subject.as_str()))?;
        write_field(f, "missing_key_id", missing.and_then(|missing| missing.key_id.as_deref()))?;
        write_quoted(f, "anchor", self.anchor.as_deref())?;
        write_quoted(f, "client_id", self.client_id.as_deref())?;
        write_field(f, "expected", self.expected.as_deref())?;
        write_quoted(f, "user_name", self.user_name.as_deref())?;
        write_quoted(f, "topic", self.topic.as_deref())?;
        write!(f, "; remedy: {}", self.reason.remedy())
    }
}

/// A text in which control characters are escaped, and nothing else is.
struct Safe<'a>(&'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character.is_control() {
            true => write!(f, "{}", character.escape_default()),
            false => write!(f, "{character}"),
        })
    }
}

fn write_field(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl Display>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}={value}"),
        None => Ok(()),
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&str>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {name}=\"{}\"", value.escape_debug()),
        None => Ok(()),
    }
}
