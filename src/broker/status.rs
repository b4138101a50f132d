//! What a running broker says about itself.
//!
//! What lives here: the questions of the control plane that change nothing.
//! What does not: how the answers look to people (`control`). Invariant: asking
//! disturbs no client: nothing here takes a lock that a delivery holds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::reason::Reason;
use crate::mqtt::TenantId;
use crate::net::HttpsSettings;

use super::Handle;

/// Whether a broker can be given work, and if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What keeps it from taking work, each with what can be done; nothing
    /// when it is ready.
    pub reasons: Vec<String>,
}

impl Handle {
    /// Whether clients can come and be served.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.node.tasks.is_stopping() {
            reasons.push("the broker is stopping".to_owned());
        } else if self.accepting.running() < self.listeners.len() {
            reasons
                .push("a listener accepts no more: see the log for its last words, and restart the broker".to_owned());
        }
        if self.node.store.is_latched() {
            reasons.push(crate::store::StoreError::Latched.to_string());
        } else if let Some(refusal) = self.node.store.refuses() {
            reasons.push(refusal.to_string());
        }
        if let Some(reason) = self.node.overload.refuses() {
            reasons.push(format!("newcomers are turned away ({reason}): {}", reason.remedy()));
        }
        Readiness { reasons }
    }

    /// What all queues hold together, in bytes; its bound is
    /// `queues.total_bytes`.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.node.budget.used()
    }

    /// How late a client's turn comes now; its bound is `limits.max_lag`.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.node.overload.lag()
    }

    /// For how long it has been running.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.node.clock.now().saturating_duration_since(self.started)
    }

    /// How many refusals there were, by their reason.
    #[must_use]
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        Reason::ALL.iter().map(|reason| (reason.as_str(), self.node.refusals.count(*reason))).collect()
    }

    /// How many clients are connected, by tenant and listener.
    #[must_use]
    pub fn clients(&self) -> Vec<(TenantId, Arc<str>, usize)> {
        self.node.census.by_place()
    }

    /// The bounds that hold, by the keys that set them; times in seconds.
    #[must_use]
    pub fn bounds(&self) -> Vec<(&'static str, f64)> {
        let (net, delivery) = (self.node.settings.load(), &*self.queues);
        let count = |number: usize| number as f64;
        let https = self.https.as_ref().map(|door| https_bounds(&door.settings())).unwrap_or_default();
        let mut bounds = vec![
            ("limits.backlog", net.backlog.into()),
            ("limits.max_connections", count(net.max_connections)),
            ("limits.max_connections_per_address", count(net.max_connections_per_address)),
            ("limits.max_connect_rate_per_address", net.max_connect_rate_per_address.into()),
            ("limits.max_handshakes", count(net.max_handshakes)),
            ("limits.max_handshakes_per_address", count(net.max_handshakes_per_address)),
            ("limits.handshake_timeout", net.handshake_timeout.as_secs_f64()),
            ("limits.connect_timeout", net.connect_timeout.as_secs_f64()),
            ("limits.max_connect_bytes", count(net.max_connect_bytes)),
            ("limits.max_devices", count(net.max_devices)),
            ("limits.max_password_checks", count(net.max_password_checks)),
            ("limits.max_memory", net.max_memory.of(self.node.overload.total()) as f64),
            ("limits.max_refusals_kept", count(net.max_refusals_kept)),
            ("limits.max_refusal_lines", net.max_refusal_lines.into()),
            ("limits.max_lag", net.max_lag.as_secs_f64()),
            ("session.max_inflight", net.max_inflight.into()),
            ("session.receive_maximum", net.receive_maximum.into()),
            ("session.topic_alias_maximum", net.topic_alias_maximum.into()),
            ("session.outgoing_topic_aliases", net.outgoing_topic_aliases.into()),
            ("session.max_subscriptions", count(net.max_subscriptions)),
            ("session.max_topic_levels", count(net.max_topic_levels)),
            ("session.max_keep_alive", net.max_keep_alive.into()),
            ("session.max_publish_rate", net.max_publish_rate.into()),
            ("session.publish_rate_patience", net.publish_rate_patience.as_secs_f64()),
            ("sys_interval", net.sys_interval.as_secs_f64()),
            ("queues.ring_messages", count(delivery.ring_messages)),
            ("queues.ring_bytes", count(delivery.ring_bytes)),
            ("queues.offline_messages", count(delivery.offline_messages)),
            ("queues.offline_bytes", count(delivery.offline_bytes)),
            ("queues.total_bytes", self.node.budget.most() as f64),
            ("queues.retained_messages", count(delivery.retained_messages)),
            ("queues.retained_bytes", count(delivery.retained_bytes)),
            ("queues.retained_memory", count(delivery.retained_memory)),
            ("queues.subscriptions", count(delivery.subscriptions)),
            ("queues.takeover_timeout", delivery.takeover_timeout.as_secs_f64()),
        ];
        bounds.extend(https);
        bounds
    }

    /// The addresses that are listened on, of one name after the other.
    #[must_use]
    pub fn listening(&self) -> Vec<(String, SocketAddr)> {
        let mqtt = self.listeners.iter().map(|listener| (listener.scope.name.to_string(), listener.address()));
        mqtt.chain(self.https.iter().map(|door| (door.name().to_owned(), door.address()))).collect()
    }
}

fn https_bounds(https: &HttpsSettings) -> Vec<(&'static str, f64)> {
    let count = |number: usize| number as f64;
    vec![
        ("https.max_connections", count(https.max_connections)),
        ("https.max_connections_per_address", count(https.max_connections_per_address)),
        ("https.max_connect_rate_per_address", https.max_connect_rate_per_address.into()),
        ("https.max_request_rate_per_address", https.max_request_rate_per_address.into()),
        ("https.max_handshakes", count(https.max_handshakes)),
        ("https.handshake_timeout", https.handshake_timeout.as_secs_f64()),
        ("https.head_timeout", https.head_timeout.as_secs_f64()),
        ("https.request_timeout", https.request_timeout.as_secs_f64()),
        ("https.password_memory", https.password_memory.as_secs_f64()),
        ("https.write_timeout", https.write_timeout.as_secs_f64()),
        ("https.max_head_bytes", count(https.max_head_bytes)),
        ("https.max_body_bytes", count(https.max_body_bytes)),
        ("https.max_certificate_requests_per_minute", f64::from(https.max_certificate_requests_per_minute)),
        ("https.max_csv_bytes", count(https.max_csv_bytes)),
        ("https.max_crl_bytes", count(https.max_crl_bytes)),
    ]
}
