//! May the holder of a certificate have another one for the same name?
//!
//! What lives here: the judgement of a chain that is shown for renewal. What
//! does not: issuing (`ca`), connecting (`admission`). Invariant: who was taken
//! back, by certificate, name or device, is given nothing.

use std::sync::Arc;
use std::time::SystemTime;

use super::admission::{No, Peer};
use super::certificate::{CertificateFacts, unix_seconds};
use super::conditions;
use super::principal::Lineage;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::TenantId;

/// What a certificate proves about whoever wants the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewable {
    /// Where it belongs.
    pub tenant: TenantId,
    /// Its CN.
    pub common_name: String,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// What the chain of `peer` proves; nothing when it sent none. An anchor that
/// is good for renewal only is enough.
///
/// # Errors
/// Why the chain is not accepted.
pub fn renewable(snapshot: &TrustSnapshot, peer: &Peer, now: SystemTime) -> Result<Option<Renewable>, Box<Refusal>> {
    let Some((chain, leaf)) = peer.chain.as_deref().zip(peer.leaf()) else { return Ok(None) };
    let prefer = peer.scope(snapshot).map(|tenant| &tenant.id);
    let verdict = snapshot
        .judge_for_renewal(chain, prefer, unix_seconds(now))
        .map_err(|failure| Box::new(Refusal::of_chain(Stage::Renewal, &failure, now).at(peer)))?;
    let checked = match verdict.lineage {
        Lineage::Tenant => check(snapshot, &verdict.tenant, &verdict.facts),
        Lineage::Platform(_) => {
            let detail = "the certificate is one of an operator's CA, which renews it itself";
            Err(No::because(Reason::NotRegistered, detail))
        }
    };
    match checked {
        Ok(common_name) => {
            Ok(Some(Renewable { tenant: verdict.tenant.clone(), common_name, certificate: leaf.to_vec() }))
        }
        Err(no) => {
            let mut refusal = Refusal::new(Stage::Renewal, no.reason, no.detail, now).at(peer);
            refusal.tenant = Some(verdict.tenant.clone());
            refusal.certificate = Some(Arc::clone(&verdict.facts));
            refusal.anchor = Some(Arc::clone(&verdict.anchor.name));
            Err(Box::new(refusal))
        }
    }
}

/// Whether the device of this name may have a certificate of its tenant, but
/// for what vouches for it.
///
/// # Errors
/// Why it may not, in words.
pub fn check_name(snapshot: &TrustSnapshot, tenant: &str, name: &str) -> Result<(), String> {
    let Some(tenant) = snapshot.tenant_named(tenant) else { return Err(format!("there is no tenant {tenant}")) };
    check_device(snapshot, tenant, name).map_err(|no| format!("{}: {}", no.reason, no.detail))
}

fn check(snapshot: &TrustSnapshot, tenant: &TenantId, facts: &CertificateFacts) -> Result<String, No> {
    let name = conditions::single_common_name(facts)?;
    match snapshot.tenant(tenant) {
        Some(tenant) => check_device(snapshot, tenant, name).map(|()| name.to_owned()),
        None => Err(No::because(Reason::NoTenant, format!("the tenant {tenant} is gone"))),
    }
}

fn check_device(snapshot: &TrustSnapshot, tenant: &Tenant, name: &str) -> Result<(), No> {
    conditions::check_enabled(tenant)?;
    conditions::check_taken_back(tenant, name)?;
    match snapshot.devices().of(&tenant.id).find(name) {
        Some(known) if !known.enabled => Err(conditions::disabled_device(name)),
        _ => Ok(()),
    }
}
