//! Whether a path is still good, for all that was taken back.
//!
//! What lives here: the tenant's revocations and the revocation lists of the
//! path's issuers, asked about every certificate below the anchor (TRUST-10).
//! What does not: the other checks of a path (`path`), what a live connection
//! does with the answer (`readmission`). Invariant: it costs look-ups and no
//! signature, so that it is asked again for every connection, remembered
//! verdict or not.

use super::anchor::Anchor;
use super::certificate::{Certificate, Fingerprint, Serial, date};
use super::crl::CrlSettings;
use super::name::CommonName;
use super::reason::Reason;
use super::revocation::{Marks, Revocations, Revoked};
use super::switch::StaleCrl;
use super::trust::Tenant;

/// What names one certificate of a path.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its subject, for people.
    pub subject: String,
    /// Its serial number.
    pub serial: Serial,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Fingerprint,
}

impl Link {
    pub(super) fn of(certificate: &Certificate<'_>) -> Self {
        Self {
            subject: certificate.subject_text(),
            serial: certificate.serial.clone(),
            fingerprint: Fingerprint::of(certificate.der()),
            key: Fingerprint::of(certificate.public_key()),
        }
    }
}

/// A path that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'i> {
    /// The tenant that the path leads to.
    pub tenant: &'i Tenant,
    /// The tenant that the anchor belongs to.
    pub owner: &'i Tenant,
    pub anchor: &'i Anchor,
    /// The certificates below the anchor, the leaf's first.
    pub links: &'i [Link],
    /// The leaf's.
    pub common_name: &'i CommonName,
    /// Seconds since 1970.
    pub now: i64,
}

/// How far a path may be relied on that nothing speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every list that was asked is a current one.
    Current,
    /// One of them should have been replaced.
    Stale,
}

impl Inquiry<'_> {
    /// Asks about every certificate.
    pub fn decide(&self) -> Result<Standing, (Reason, String)> {
        let apart = (self.owner.id != self.tenant.id).then_some(&*self.owner.revocations);
        for revocations in std::iter::once(&*self.tenant.revocations).chain(apart) {
            self.check_revocations(revocations)?;
        }
        self.check_lists(self.owner.crls_below(self.anchor.facts.fingerprint))
    }

    fn check_revocations(&self, revocations: &Revocations) -> Result<(), (Reason, String)> {
        let anchor = self.anchor.facts.fingerprint;
        for Link { subject, serial, fingerprint, key } in self.links {
            let marks = Marks { serial, fingerprint: *fingerprint, key: *key, anchor };
            if let Some((by, revoked)) = revocations.of_certificate(marks) {
                return Err((
                    Reason::Revoked,
                    told(&format!("{subject}, serial {serial}, was revoked by its {by}"), revoked),
                ));
            }
        }
        if let CommonName::One(name) = self.common_name
            && let Some(revoked) = revocations.of_common_name(name).or_else(|| revocations.of_device([name.as_str()]))
        {
            let what = format!("the name \"{}\" was revoked", name.escape_debug());
            return Err((Reason::Revoked, told(&what, revoked)));
        }
        Ok(())
    }

    /// Each certificate is looked up in the lists of the CA that signed it.
    fn check_lists(&self, lists: &[CrlSettings]) -> Result<Standing, (Reason, String)> {
        let mut standing = Standing::Current;
        for (index, link) in self.links.iter().enumerate() {
            let issuer = self.links.get(index + 1).map(|issuer| issuer.key);
            for list in lists.iter().filter(|list| list.issuer == issuer) {
                if list.serials.contains(&link.serial) {
                    let (subject, serial) = (&link.subject, &link.serial);
                    let detail = format!("{subject}, serial {serial}, is on the revocation list {}", list.source);
                    return Err((Reason::Revoked, detail));
                }
                if !list.is_stale(self.now) {
                    continue;
                }
                if self.anchor.stale_crl == StaleCrl::Hard {
                    return Err((Reason::CrlStale, self.anchor.tell_of_stale(list)));
                }
                standing = Standing::Stale;
            }
        }
        Ok(standing)
    }
}

fn told(what: &str, revoked: Revoked) -> String {
    format!("{what} on {} ({})", date(revoked.since), revoked.reason)
}
