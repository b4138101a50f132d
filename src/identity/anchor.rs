//! Trust anchors.
//!
//! What lives here: an anchor in use, and the requirements that a certificate
//! has to meet to become one (TRUST-08). What does not: which chains end in it
//! (`chain`). Invariant: what is an anchor here has been read whole and may
//! sign, or may at least be a device's own pinned certificate.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::certificate::{Certificate, CertificateFacts, date};
use super::crl::CrlSettings;
use super::reason::Reason;
use super::switch::{AnchorKind, AnchorState, StaleCrl, V1};
use super::tenant::{AnchorSettings, Switches};
use crate::mqtt::TenantId;

/// A certificate that chains may end in.
#[derive(Debug)]
pub struct Anchor {
    /// What people call it.
    pub name: Arc<str>,
    /// The tenant that it was given to.
    pub tenant: TenantId,
    /// Whether a first connection through it makes the device known.
    pub auto_registration: bool,
    /// Where it came from, and whom it may sign for.
    pub kind: AnchorKind,
    /// What it is good for.
    pub state: AnchorState,
    /// What people are told about it.
    pub facts: Arc<CertificateFacts>,
    pub(super) proved: bool,
    pub(super) stale_crl: StaleCrl,
    pub(super) certificate: Certificate<'static>,
}

/// What a chain is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// That its holder may connect.
    Connect,
    /// That its holder may have a new certificate for the same name: an anchor
    /// that is good for renewal only is enough.
    Renew,
}

/// Why a certificate cannot be an anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant {tenant}, anchor \"{anchor}\" ({origin}): {problem}; {remedy}")]
pub struct AnchorError {
    /// The tenant.
    pub tenant: TenantId,
    /// The anchor's name.
    pub anchor: String,
    /// Where the certificate came from.
    pub origin: String,
    /// What is wrong.
    pub problem: String,
    /// What would work.
    pub remedy: &'static str,
}

impl Anchor {
    /// Takes `settings` as an anchor of `tenant`. An anchor that has expired is
    /// taken: it refuses its devices by name, and does not keep the broker
    /// from starting.
    ///
    /// # Errors
    /// Says which requirement the certificate does not meet.
    pub fn new(tenant: &TenantId, switches: &Switches, settings: &AnchorSettings) -> Result<Self, AnchorError> {
        let error = |problem: String, remedy| AnchorError {
            tenant: tenant.clone(),
            anchor: settings.name.clone(),
            origin: settings.source.clone(),
            problem,
            remedy,
        };
        let certificate = Certificate::read(CertificateDer::from(settings.der.clone()))
            .map_err(|reason| error(reason.to_string(), Reason::Encoding.remedy()))?;
        check(&certificate, switches).map_err(|(problem, remedy)| error(problem, remedy))?;
        Ok(Self {
            name: Arc::from(settings.name.as_str()),
            tenant: tenant.clone(),
            auto_registration: settings.auto_registration,
            kind: settings.kind,
            state: settings.state,
            facts: certificate.facts(),
            proved: settings.proved,
            stale_crl: settings.stale_crl,
            certificate,
        })
    }

    /// Why the anchor does not count for `purpose` at `now` (seconds since
    /// 1970), if so (TRUST-03).
    #[must_use]
    pub fn unusable(&self, purpose: Purpose, pop_required: bool, now: i64) -> Option<Reason> {
        if self.state == AnchorState::Disabled {
            Some(Reason::AnchorDisabled)
        } else if self.state == AnchorState::RenewOnly && purpose != Purpose::Renew {
            Some(Reason::AnchorRenewOnly)
        } else if pop_required && !self.proved {
            Some(Reason::AnchorUnproved)
        } else if now < self.certificate.not_before {
            Some(Reason::NotYetValid)
        } else if now > self.certificate.not_after {
            Some(Reason::Expired)
        } else {
            None
        }
    }

    /// Whether it is this anchor, unchanged but for its revocation lists.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let told =
            |anchor: &Self| (anchor.kind, anchor.state, anchor.proved, anchor.auto_registration, anchor.stale_crl);
        self.facts.fingerprint == other.facts.fingerprint
            && self.tenant == other.tenant
            && self.name == other.name
            && told(self) == told(other)
    }

    /// Whether `settings` describe this anchor.
    pub(super) fn is_of(&self, settings: &AnchorSettings) -> bool {
        *self.name == *settings.name
            && (self.kind, self.state, self.proved) == (settings.kind, settings.state, settings.proved)
            && (self.auto_registration, self.stale_crl) == (settings.auto_registration, settings.stale_crl)
            && self.certificate.der() == settings.der
    }

    /// Whether it may sign other certificates; else it is a pinned device.
    #[must_use]
    pub fn signs(&self) -> bool {
        is_ca(&self.certificate) || self.certificate.version < 3
    }

    /// What becomes of its certificates when a revocation list is stale.
    #[must_use]
    pub const fn stale_crl(&self) -> StaleCrl {
        self.stale_crl
    }

    /// What is wrong with a list below it that is stale.
    #[must_use]
    pub fn tell_of_stale(&self, list: &CrlSettings) -> String {
        let until = list.next_update.map_or_else(String::new, date);
        let (source, summary) = (&list.source, self.summary());
        format!("the revocation list {source} below the anchor {summary} should have been replaced by {until}")
    }

    /// One line for people: name, subject and end.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("\"{}\" ({}, until {})", self.name, self.facts.subject, date(self.facts.not_after))
    }
}

pub(super) fn is_ca(certificate: &Certificate<'_>) -> bool {
    certificate.basic_constraints.is_some_and(|constraints| constraints.ca)
}

fn check(certificate: &Certificate<'_>, switches: &Switches) -> Result<(), (String, &'static str)> {
    if let Some(oid) = &certificate.unknown_critical {
        return Err((format!("has the critical extension {oid}"), Reason::CriticalExtension.remedy()));
    }
    if let Err(reason) = certificate.key.check_strength() {
        return Err((format!("has a key of the kind {}", certificate.key), reason.remedy()));
    }
    if certificate.version < 3 {
        return check_version_1(certificate, switches);
    }
    if !is_ca(certificate) {
        if switches.anchor_may_be_leaf {
            return Ok(()); // a device's own certificate, pinned
        }
        return Err(("is no CA: basicConstraints CA:TRUE is missing".to_owned(), Reason::NotCa.remedy()));
    }
    if certificate.signs_certificates == Some(false) && !switches.anchor_may_be_leaf {
        return Err(("may not sign: its key usage lacks keyCertSign".to_owned(), Reason::NotCa.remedy()));
    }
    if !certificate.is_self_issued() && !switches.anchor_may_be_intermediate {
        return Err((
            "is an intermediate CA".to_owned(),
            "use the self-signed root, or set anchor_may_be_intermediate = true",
        ));
    }
    Ok(())
}

fn check_version_1(certificate: &Certificate<'_>, switches: &Switches) -> Result<(), (String, &'static str)> {
    if switches.x509_v1_anchor == V1::Refuse {
        return Err((
            "is of X.509 version 1".to_owned(),
            "make the CA as version 3 (`openssl req -x509 -addext basicConstraints=critical,CA:TRUE`), or set x509_v1_anchor = \"allow\"",
        ));
    }
    if !certificate.is_self_issued() {
        return Err(("is of X.509 version 1 and not self-signed".to_owned(), "use the self-signed root"));
    }
    Ok(())
}
