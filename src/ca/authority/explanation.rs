//! Why would this certificate be refused, by all that is kept?
//!
//! What lives here: what only the rows say beside the judgement, which is that
//! of connections (`identity::explain`): the entry of a revocation list, and
//! the row of a device. What does not: printing (`control`). Invariant: nothing
//! here decides; it adds to a decision that was made, and changes nothing.

use std::sync::Arc;

use super::Authority;
use crate::ca::crl::{self, Limits};
use crate::ca::record::CrlRow;
use crate::identity::certificate::{CertificateFacts, date};
use crate::identity::explain::{Inquiry, Report, Step, explain};
use crate::identity::fingerprint::Fingerprint;
use crate::identity::name::CommonName;
use crate::identity::pem::{self, PemError};
use crate::identity::reason::Reason;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::TenantId;
use crate::store::rows::DeviceRow;

use super::devices::known_of;
use super::state::configured_id;

/// A report with what the rows say.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// What connections would be told.
    pub report: Report,
    /// The device that the certificate names, if it is known.
    pub device: Option<(String, DeviceRow)>,
}

impl Explanation {
    /// As [`Report::for_tenant`].
    #[must_use]
    pub fn for_tenant(self, tenant: &TenantId) -> Self {
        let report = self.report.for_tenant(tenant);
        let device = self.device.filter(|_| report.anchor.is_some());
        Self { report, device }
    }
}

impl Authority {
    /// Judges a chain by `snapshot`, and adds what the rows say.
    ///
    /// # Errors
    /// The text holds no certificates.
    pub fn explain(&self, inquiry: &Inquiry<'_>, snapshot: &TrustSnapshot) -> Result<Explanation, PemError> {
        let mut report = explain(inquiry, snapshot)?;
        if report.reason() == Some(Reason::Revoked) {
            let chain = pem::certificates(inquiry.pem)?;
            let facts: Vec<_> = chain.iter().filter_map(|der| CertificateFacts::of_der(der)).collect();
            let told = self.listed_by(&report, &facts);
            let place = report.steps.len().saturating_sub(1);
            report.steps.splice(place..place, told);
        }
        let device = self.device_of(&report);
        Ok(Explanation { report, device })
    }

    /// Lets `snapshot` know of the device that the chain names: for one that
    /// no broker has filled with what the store holds.
    pub fn tell_devices(&self, pem: &[u8], snapshot: &TrustSnapshot) {
        let leaf = pem::certificates(pem).ok().and_then(|chain| CertificateFacts::of_der(chain.first()?));
        let Some(CommonName::One(name)) = leaf.as_ref().map(|facts| &facts.common_name) else { return };
        for tenant in snapshot.tenants() {
            if let Ok(Some(row)) = self.device_row(tenant.id.as_str(), name) {
                snapshot.devices().of(&tenant.id).insert(name, known_of(&row));
            }
        }
    }

    fn device_of(&self, report: &Report) -> Option<(String, DeviceRow)> {
        let CommonName::One(name) = &report.certificate.as_ref()?.common_name else { return None };
        let tenant = report.tenant.as_ref().or_else(|| Some(&report.anchor.as_ref()?.tenant))?;
        Some((name.clone(), self.device_row(tenant.as_str(), name).ok()??))
    }

    /// What the revocation lists of the report's anchor say of these
    /// certificates: connections know only that they are listed.
    fn listed_by(&self, report: &Report, chain: &[Arc<CertificateFacts>]) -> Vec<Step> {
        let Some(anchor) = &report.anchor else { return Vec::new() };
        let lists = self.lists_of(&anchor.tenant, anchor.facts.fingerprint);
        let mut told = Vec::new();
        for row in lists {
            let limits = Limits { bytes: row.der.len(), ..Limits::default() };
            let Some(list) = crl::read(&row.der, &limits).ok().and_then(|lists| lists.into_iter().next()) else {
                continue;
            };
            for entry in list.taken_before().entries() {
                let is_of = |facts: &&Arc<CertificateFacts>| {
                    facts.issuer == anchor.facts.subject && facts.serial.significant() == entry.serial.significant()
                };
                if let Some(facts) = chain.iter().find(is_of) {
                    let (since, reason, source) = (date(entry.since), entry.reason, &row.source);
                    let text = format!("{} is on the list {source} since {since} ({reason})", facts.subject);
                    told.push(Step { name: "revocation list", outcome: Err(Reason::Revoked), text });
                }
            }
        }
        told
    }

    fn lists_of(&self, tenant: &TenantId, anchor: Fingerprint) -> Vec<Arc<CrlRow>> {
        let state = self.state();
        let uploaded = state.anchors.of(&[tenant.as_str()]).find(|row| Fingerprint::of(&row.der) == anchor);
        let id = uploaded.map_or_else(|| configured_id(anchor), |row| row.id.clone());
        state.crls.of(&[tenant.as_str(), &id]).cloned().collect()
    }
}
