//! A device that proves itself by its certificate outside of MQTT.
//!
//! What lives here: the same demands as at CONNECT, as far as they do not
//! concern MQTT (C8Y-JWT-01). What does not: the handshake (`https`), what the
//! proof is good for (`control`). Invariant: whoever would be refused at
//! CONNECT for its certificate is refused here, for the same reason.

use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use super::admission::{No, Peer};
use super::certificate::unix_seconds;
use super::conditions;
use super::path::Verdict;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::{ClientId, TenantId};

/// Certificates that are looked at, the device's own among them (TRUST-04).
const LONGEST: usize = 10;

/// A device whose certificate is good.
#[derive(Clone, Debug)]
pub struct ProvedDevice {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name: the CN of its certificate.
    pub name: Arc<str>,
    /// Whether it is known already; if not, it may become known by itself.
    pub is_known: bool,
}

/// Judges the chain of `peer`, with `more` certificates that were not sent in
/// the handshake.
///
/// # Errors
/// The refusal, as it is to be recorded.
pub fn prove(
    snapshot: &TrustSnapshot,
    peer: &Peer,
    more: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<ProvedDevice, Box<Refusal>> {
    let Some(own) = peer.chain.as_deref().filter(|chain| !chain.is_empty()) else {
        let no = No::because(Reason::NoCertificate, "no certificate was sent in the handshake");
        return Err(Box::new(no.at_connect(now).at(peer)));
    };
    let rest = more.iter().filter(|certificate| !own.contains(certificate));
    let chain: Vec<CertificateDer<'_>> = own.iter().chain(rest).take(LONGEST).cloned().collect();
    let verdict = snapshot
        .judge(&chain, peer.scope(snapshot).map(|tenant| &tenant.id), unix_seconds(now))
        .map_err(|failure| Box::new(Refusal::of_chain(Stage::Connect, &failure, now).at(peer)))?;
    admit(snapshot, &verdict).map_err(|no| {
        let mut refusal = no.at_connect(now).at(peer);
        refusal.certificate = Some(Arc::clone(&verdict.facts));
        refusal.anchor = Some(Arc::clone(&verdict.anchor.name));
        refusal.tenant = Some(verdict.tenant.clone());
        Box::new(refusal)
    })
}

fn admit(snapshot: &TrustSnapshot, verdict: &Verdict) -> Result<ProvedDevice, No> {
    let unknown = || No::because(Reason::SubscriptionInactive, format!("tenant {} is gone", verdict.tenant));
    let tenant: &Arc<Tenant> = snapshot.tenant(&verdict.tenant).ok_or_else(unknown)?;
    conditions::check_enabled(tenant)?;
    let name = conditions::single_common_name(&verdict.facts)?;
    let id = ClientId::new(name);
    conditions::check_device(tenant, &id, &id)?;
    let is_known = snapshot.devices().of(&tenant.id).contains(name);
    match conditions::check_registration(snapshot.devices(), tenant, verdict, name)? {
        Some(name) => Ok(ProvedDevice { tenant: tenant.id.clone(), name, is_known }),
        None => Err(No::because(Reason::NotRegistered, "certificates of this tenant name no single device")),
    }
}
