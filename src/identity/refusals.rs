//! Where verdicts are kept: the ring of refusals, those who follow it,
//! counters, audit lines.
//!
//! What lives here: the one place that writes a refusal or an acceptance to
//! the log. What does not: deciding (`admission`, `verifier`). Invariant: each
//! verdict is counted and logged once, but for a flood of refusals, which gets
//! a line that says how many more there were; the ring never holds more than its
//! bound.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;

use super::admission::{Admission, Peer};
use super::certificate::Fingerprint;
use super::name::CommonName;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};
use crate::mqtt::TenantId;
use crate::telemetry::gate::Gate;

/// Refusals that are kept unless configured otherwise.
pub const DEFAULT_KEPT: usize = 1024;

/// Refusals that wait for whoever follows them; who is slower misses some and
/// is told so.
const FOLLOWED: usize = 256;

/// Which refusals are wanted; what is not set asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct RefusalFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// For this reason.
    pub reason: Option<Reason>,
    /// At this stage.
    pub stage: Option<Stage>,
    /// Of clients that asked for this ClientId.
    pub client_id: Option<String>,
    /// Of certificates with this CN.
    pub common_name: Option<String>,
    /// Of the certificate with this SHA-256 fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// From this address.
    pub address: Option<IpAddr>,
    /// With a smaller number than this.
    pub before: Option<u64>,
    /// With a greater number than this.
    pub after: Option<u64>,
}

impl RefusalFilter {
    /// Whether it is one of those that are wanted.
    #[must_use]
    pub fn takes(&self, refusal: &Refusal) -> bool {
        let certificate = refusal.certificate.as_deref();
        let named = |name: &String| matches!(certificate.map(|facts| &facts.common_name), Some(CommonName::One(found)) if found == name);
        self.tenant.as_ref().is_none_or(|tenant| refusal.tenant.as_ref() == Some(tenant))
            && self.reason.is_none_or(|reason| refusal.reason == reason)
            && self.stage.is_none_or(|stage| refusal.stage == stage)
            && self.client_id.as_ref().is_none_or(|client_id| refusal.client_id.as_ref() == Some(client_id))
            && self.common_name.as_ref().is_none_or(named)
            && self.fingerprint.is_none_or(|mark| certificate.is_some_and(|facts| facts.fingerprint == mark))
            && self.address.is_none_or(|address| refusal.peer.is_some_and(|peer| peer.ip() == address))
            && self.before.is_none_or(|before| refusal.id < before)
            && self.after.is_none_or(|after| refusal.id > after)
    }
}

/// The last refusals and the number of all of them.
#[derive(Debug)]
pub struct Refusals {
    kept: AtomicUsize,
    ring: Mutex<Ring>,
    followers: broadcast::Sender<Arc<Refusal>>,
    counts: Vec<AtomicU64>,
    accepted: AtomicU64,
    lines: Gate,
}

/// Newest first.
#[derive(Debug, Default)]
struct Ring {
    refusals: VecDeque<Arc<Refusal>>,
    last_id: u64,
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
            kept: AtomicUsize::new(kept),
            ring: Mutex::default(),
            followers: broadcast::Sender::new(FOLLOWED),
            counts: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            accepted: AtomicU64::new(0),
            lines: Gate::new(ENDING + 1),
        }
    }

    /// Keeps the last `kept` refusals from now on.
    pub fn keep(&self, kept: usize) {
        self.kept.store(kept, Ordering::Relaxed);
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
        self.count_one(refusal.reason);
        self.keep_one(refusal)
    }

    /// Counts a denied publication or subscription. Logs and keeps it too,
    /// unless there were many of its kind just now: one client may be denied a
    /// million times, and must not drive the refusals of others out of the ring.
    /// `make` is asked only then.
    pub fn deny(&self, reason: Reason, address: IpAddr, now: SystemTime, make: impl FnOnce() -> Refusal) {
        self.count_one(reason);
        if self.lines.admits(reason.index(), Some(address), now) {
            let refusal = Arc::new(make());
            log_refusal(&refusal);
            self.keep_one(refusal);
        }
    }

    fn count_one(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn keep_one(&self, refusal: Arc<Refusal>) -> Arc<Refusal> {
        let kept = self.kept.load(Ordering::Relaxed);
        let mut ring = self.ring();
        ring.last_id += 1;
        let refusal = Arc::new(Refusal { id: ring.last_id, ..Arc::unwrap_or_clone(refusal) });
        ring.refusals.truncate(kept.saturating_sub(1));
        if kept > 0 {
            ring.refusals.push_front(Arc::clone(&refusal));
        }
        // In the order of their numbers. Nobody may follow.
        let _ = self.followers.send(Arc::clone(&refusal));
        refusal
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs and counts an accepted connection.
    pub fn accepted(&self, peer: &Peer, admission: &Admission) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        log_acceptance(peer, admission);
    }

    /// The last refusals that `filter` takes, newest first, at most `limit`.
    #[must_use]
    pub fn recent(&self, filter: &RefusalFilter, limit: usize) -> Vec<Arc<Refusal>> {
        let ring = self.ring();
        ring.refusals.iter().filter(|refusal| filter.takes(refusal)).take(limit).cloned().collect()
    }

    /// Follows the refusals from now on, each with its number.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Refusal>> {
        self.followers.subscribe()
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
