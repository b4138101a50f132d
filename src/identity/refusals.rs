//! Where verdicts are kept: the ring of refusals, counters, audit lines.
//!
//! What lives here: the one place that writes a refusal or an acceptance to
//! the log. What does not: deciding (`admission`, `verifier`). Invariant: each
//! verdict is counted and logged once, but for a flood of refusals, which gets
//! a line that says how many more there were; the ring never holds more than its
//! bound.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::telemetry::gate::Gate;

use super::admission::{Admission, Peer};
use super::reason::Reason;
use super::refusal::Refusal;

/// Refusals that are kept unless configured otherwise.
pub const DEFAULT_KEPT: usize = 1024;

/// The last refusals and the number of all of them.
#[derive(Debug)]
pub struct Refusals {
    kept: usize,
    ring: Mutex<VecDeque<Arc<Refusal>>>,
    counts: Vec<AtomicU64>,
    accepted: AtomicU64,
    lines: Gate,
}

/// The kind of lines about connections that broke the protocol, behind those of
/// the reasons.
const ENDING: usize = Reason::ALL.len();

impl Default for Refusals {
    fn default() -> Self {
        Self::new(DEFAULT_KEPT)
    }
}

impl Refusals {
    /// Keeps the last `kept` refusals.
    #[must_use]
    pub fn new(kept: usize) -> Self {
        Self {
            kept,
            ring: Mutex::new(VecDeque::new()),
            counts: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            accepted: AtomicU64::new(0),
            lines: Gate::new(ENDING + 1),
        }
    }

    /// Lets so many lines through within a second, for each reason and source
    /// network; 0 = all.
    pub fn limit_lines(&self, most: u32) {
        self.lines.open(most);
    }

    /// Whether a line is written about a client at `address` that broke the
    /// protocol.
    #[must_use]
    pub fn may_tell_of_ending(&self, address: IpAddr, now: SystemTime) -> bool {
        self.lines.admits(ENDING, Some(address), now)
    }

    /// Tells of the lines that were held back since the last call.
    pub fn tell_of_held_back(&self) {
        for (kind, count) in self.lines.held_back() {
            let reason = Reason::ALL.get(kind).map_or("protocol_breach", |reason| reason.as_str());
            tracing::warn!(
                target: "certus::audit",
                reason,
                count,
                "{count} more lines with the reason {reason} were left out; \
                 certus_refusals_total and certus_violations_total count all, limits.max_refusal_lines bounds the lines"
            );
        }
    }

    /// Logs, counts and keeps a refusal.
    pub fn record(&self, refusal: impl Into<Arc<Refusal>>) -> Arc<Refusal> {
        let refusal = refusal.into();
        let address = refusal.peer.map(|peer| peer.ip());
        if self.lines.admits(refusal.reason.index(), address, refusal.time) {
            log_refusal(&refusal);
        }
        if let Some(count) = self.counts.get(refusal.reason.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.truncate(self.kept.saturating_sub(1));
        if self.kept > 0 {
            ring.push_front(Arc::clone(&refusal));
        }
        refusal
    }

    /// Logs and counts an accepted connection.
    pub fn accepted(&self, peer: &Peer, admission: &Admission) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        log_acceptance(peer, admission);
    }

    /// The last refusals, newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<Refusal>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// How many refusals there were for `reason`.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts.get(reason.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn accepted_count(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn log_refusal(refusal: &Refusal) {
    let certificate = refusal.certificate.as_deref();
    tracing::warn!(
        target: "certus::audit",
        verdict = "refused",
        stage = refusal.stage.as_str(),
        reason = refusal.reason.as_str(),
        address = refusal.peer.map(tracing::field::display),
        listener = refusal.listener.as_deref(),
        tenant = refusal.tenant.as_ref().map(tracing::field::display),
        client_id = refusal.client_id.as_deref(),
        serial = certificate.map(|facts| tracing::field::display(&facts.serial)),
        anchor = refusal.anchor.as_deref(),
        tls = refusal.tls,
        "{refusal}"
    );
}

fn log_acceptance(peer: &Peer, admission: &Admission) {
    let certificate = admission.certificate.as_deref();
    let address: SocketAddr = peer.address;
    tracing::info!(
        target: "certus::audit",
        verdict = "accepted",
        %address,
        listener = &*peer.listener.name,
        tenant = %admission.tenant.id,
        client_id = admission.client_id.as_str(),
        cn = admission.principal.common_name(),
        account = admission.principal.account(),
        serial = certificate.map(|facts| tracing::field::display(&facts.serial)),
        anchor = admission.anchor.as_ref().map(|anchor| &*anchor.name),
        tls = peer.tls,
        "accepted {} as \"{}\" from {address}",
        admission.principal,
        admission.client_id.as_str().escape_debug()
    );
}
