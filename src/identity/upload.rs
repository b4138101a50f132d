//! May this certificate be uploaded as a trust anchor?
//!
//! What lives here: the requirements on an upload that a configured anchor
//! does not have, because a person waits for the answer (TRUST-08, MC-CA-05,
//! MC-CA-07). What does not: the requirements on every anchor (`anchor`).
//! Invariant: what passes here makes a snapshot, unless somebody else owns it.

use std::time::SystemTime;

use super::anchor::{Anchor, AnchorError, is_ca};
use super::certificate::{date, unix_seconds};
use super::name::CommonName;
use super::reason::Reason;
use super::signature::{self, Outcome};
use super::tenant::{AnchorSettings, Switches};
use crate::mqtt::TenantId;

impl Anchor {
    /// Takes `settings` as an anchor that somebody uploads at `now`.
    ///
    /// # Errors
    /// Says which requirement the certificate does not meet.
    pub fn upload(
        tenant: &TenantId,
        switches: &Switches,
        settings: &AnchorSettings,
        now: SystemTime,
    ) -> Result<Self, AnchorError> {
        let anchor = Self::new(tenant, switches, settings)?;
        let refuse = |problem: String, remedy| {
            Err(AnchorError {
                tenant: tenant.clone(),
                anchor: settings.name.clone(),
                origin: settings.source.clone(),
                problem,
                remedy,
            })
        };
        let certificate = &anchor.certificate;
        let now = unix_seconds(now);
        if now > certificate.not_after {
            return refuse(format!("expired on {}", date(certificate.not_after)), Reason::Expired.remedy());
        }
        // TRUST-08: a device's own certificate is pinned by the configuration, or is CA:TRUE as thin-edge makes it.
        if certificate.version >= 3 && !is_ca(certificate) {
            return refuse("is no CA: basicConstraints CA:TRUE is missing".to_owned(), Reason::NotCa.remedy());
        }
        if !matches!(certificate.common_name, CommonName::One(_)) {
            return refuse("has no single common name (CN)".to_owned(), "make the CA with one CN in its subject");
        }
        if !certificate.is_self_issued() {
            return Ok(anchor); // who signed it is not known here
        }
        match signature::check(certificate, certificate.public_key()) {
            Outcome::Good => Ok(anchor),
            Outcome::Bad => refuse(
                "is not signed by its own key, though issuer and subject are equal".to_owned(),
                "copy it again, whole",
            ),
            Outcome::Weak(name) => refuse(format!("is signed with {name}"), Reason::WeakSignature.remedy()),
            Outcome::Unknown(oid) => {
                refuse(format!("is signed by the unknown algorithm {oid}"), Reason::SignatureAlgorithm.remedy())
            }
        }
    }
}
