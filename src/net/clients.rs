//! The clients that are in, as others see them.
//!
//! What lives here: what is told of one live connection, the list of them page
//! by page, and who has to look again when trust has changed. What does not:
//! the handle and the index (`control`), the connection's own state
//! (`connection`). Invariant: nobody here waits for a connection or takes a
//! lock that one holds while it works; a list costs what is on its page, and
//! one look at each connection in front of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::delivery::SessionQueue;
use crate::identity::admission::{Admission, Peer};
use crate::identity::certificate::Fingerprint;
use crate::identity::principal::Principal;
use crate::identity::readmission::is_concerned;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::{ClientId, TenantId, Version};

use super::control::{Command, Control, Live};

/// What others may look at while a connection works.
#[derive(Debug)]
pub(super) struct Client {
    pub peer: Arc<Peer>,
    /// As what it was let in; a change of trust replaces it.
    pub admission: ArcSwap<Admission>,
    pub queue: Arc<SessionQueue>,
    /// When its CONNECT was accepted.
    pub since: SystemTime,
    pub clean_start: bool,
    /// Seconds; 0 = none.
    pub keep_alive: u16,
    /// Seconds that its session outlives it.
    pub session_expiry: u32,
    pub subscriptions: AtomicUsize,
}

/// A live connection, for people and programs.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its number in logs; grows, and never comes back.
    pub id: u64,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its ClientId.
    pub client_id: ClientId,
    /// Who it was proved to be.
    pub principal: Principal,
    /// The account that was proved, alone or beside a certificate.
    pub account: Option<String>,
    /// The CN of its certificate.
    pub common_name: Option<String>,
    /// The device that it is known as.
    pub device: Option<Arc<str>>,
    /// The serial number of its certificate, in hexadecimal digits.
    pub serial: Option<String>,
    /// SHA-256 of its certificate.
    pub fingerprint: Option<Fingerprint>,
    /// The anchor that its chain ends in: name and SHA-256.
    pub anchor: Option<(Arc<str>, Fingerprint)>,
    /// When its certificate, or one above it, ends.
    pub not_after: Option<SystemTime>,
    /// Where the client is.
    pub address: SocketAddr,
    /// The listener that it came in by.
    pub listener: Arc<str>,
    /// Whether it speaks in WebSocket frames.
    pub websocket: bool,
    /// `1.2` or `1.3`; `None` without TLS.
    pub tls: Option<&'static str>,
    /// The protocol version.
    pub version: Version,
    /// Clean Session or Clean Start.
    pub clean_start: bool,
    /// The keep alive that holds, in seconds; 0 = none.
    pub keep_alive: u16,
    /// Seconds that its session outlives it.
    pub session_expiry: u32,
    /// When its CONNECT was accepted.
    pub since: SystemTime,
    /// Its subscriptions.
    pub subscriptions: usize,
    /// Messages that wait for it.
    pub queued: u64,
    /// Messages that it has not acknowledged yet.
    pub in_flight: u64,
}

/// Which connections are wanted; what is not set asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// With this ClientId.
    pub client_id: Option<String>,
    /// With this CN.
    pub common_name: Option<String>,
    /// Of this device.
    pub device: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// Whose chain ends in this anchor.
    pub anchor: Option<Fingerprint>,
    /// Whose certificate has this SHA-256 fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// By this listener.
    pub listener: Option<String>,
}

impl ClientFilter {
    fn takes(&self, client: &Client) -> bool {
        let admission = client.admission.load();
        let certificate = admission.certificate.as_ref().map(|facts| facts.fingerprint);
        let anchor = admission.anchor.as_ref().map(|anchor| anchor.facts.fingerprint);
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        self.tenant.as_ref().is_none_or(|tenant| admission.tenant.id == *tenant)
            && is(&self.client_id, Some(admission.client_id.as_str()))
            && is(&self.common_name, admission.principal.common_name())
            && is(&self.device, admission.device.as_deref())
            && is(&self.account, admission.account.as_ref().map(|account| account.name.as_str()))
            && is(&self.listener, Some(&client.peer.listener.name))
            && (self.anchor.is_none() || anchor == self.anchor)
            && (self.fingerprint.is_none() || certificate == self.fingerprint)
    }
}

impl Live {
    /// The connections of clients that are in, in the order of their numbers,
    /// behind the number `after`, at most `limit`.
    #[must_use]
    pub fn clients(&self, filter: &ClientFilter, after: u64, limit: usize) -> Vec<Connected> {
        // The smallest numbers so far: the index knows no order.
        let mut page: BTreeMap<u64, Arc<Control>> = BTreeMap::new();
        self.each(|control| {
            let is_late = page.len() >= limit && page.last_key_value().is_none_or(|(last, _)| control.id() > *last);
            let Some(client) = control.client().filter(|_| control.id() > after && !is_late) else { return };
            if filter.takes(client) {
                page.insert(control.id(), Arc::clone(control));
                if page.len() > limit {
                    page.pop_last();
                }
            }
        });
        page.values().filter_map(|control| Some(connected(control.id(), control.client()?))).collect()
    }

    /// How many clients are in that `filter` takes.
    #[must_use]
    pub fn count(&self, filter: &ClientFilter) -> usize {
        let mut count = 0;
        self.each(|control| count += usize::from(control.client().is_some_and(|client| filter.takes(client))));
        count
    }

    /// How many live connections each of these devices of `tenant` has; those
    /// that have none are left out. One look at each connection.
    #[must_use]
    pub fn count_by_device(&self, tenant: &TenantId, devices: &BTreeSet<String>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.each(|control| {
            let Some(client) = control.client() else { return };
            let admission = client.admission.load();
            let device = admission.device.as_deref().filter(|_| admission.tenant.id == *tenant);
            if let Some(device) = device.and_then(|device| devices.get(device)) {
                *counts.entry(device.clone()).or_default() += 1;
            }
        });
        counts
    }

    /// Tells those whom `snapshot` does not admit as it did, and those that are
    /// still on their way in: nobody else is disturbed. Answers how many were
    /// told.
    pub fn review(&self, snapshot: &TrustSnapshot, now: SystemTime) -> usize {
        let mut concerned = Vec::new();
        self.each(|control| {
            let is_concerned = control
                .client()
                .is_none_or(|client| is_concerned(snapshot, &client.peer, &client.admission.load(), now));
            if is_concerned {
                concerned.push(Arc::clone(control));
            }
        });
        concerned.iter().for_each(|control| control.tell(Command::Recheck));
        concerned.len()
    }
}

fn connected(id: u64, client: &Client) -> Connected {
    let admission = client.admission.load();
    let (certificate, peer) = (admission.certificate.as_deref(), &client.peer);
    Connected {
        id,
        tenant: admission.tenant.id.clone(),
        client_id: admission.client_id.clone(),
        principal: admission.principal.clone(),
        account: admission.account.as_ref().map(|account| account.name.clone()),
        common_name: admission.principal.common_name().map(str::to_owned),
        device: admission.device.clone(),
        serial: certificate.map(|facts| facts.serial.to_string()),
        fingerprint: certificate.map(|facts| facts.fingerprint),
        anchor: admission.anchor.as_ref().map(|anchor| (Arc::clone(&anchor.name), anchor.facts.fingerprint)),
        not_after: admission.verdict.as_ref().map(|verdict| verdict.expires()),
        address: peer.address,
        listener: Arc::clone(&peer.listener.name),
        websocket: peer.listener.websocket,
        tls: peer.tls,
        version: admission.version,
        clean_start: client.clean_start,
        keep_alive: client.keep_alive,
        session_expiry: client.session_expiry,
        since: client.since,
        subscriptions: client.subscriptions.load(Ordering::Relaxed),
        queued: client.queue.depth(),
        in_flight: client.queue.in_flight(),
    }
}
