//! From the certificates that a client sent to a verdict.
//!
//! What lives here: the search for a path to an anchor (TRUST-04), signature
//! by signature. What does not: the checks of a whole path (`path`), what the
//! verdict means for a connection (`admission`). Invariant: the answer does not depend on the order of
//! the certificates behind the first, and its cost is bounded whatever is sent.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::anchor::{Anchor, Purpose};
use super::certificate::{Certificate, Fingerprint, date};
use super::path::{self, Failure, Trace, Verdict};
use super::reason::Reason;
use super::signature::{self, Outcome};
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::TenantId;

/// Certificates that are read of a client's chain (TRUST-04).
pub const MAX_SENT: usize = 10;

/// Signatures that one chain may cost. A straight chain costs one per link;
/// only names that were made to collide cost more.
const MAX_SIGNATURES: u32 = 40;

/// Steps of the search, for chains that collide without costing signatures.
const MAX_STEPS: u32 = 400;

/// What a chain is judged by.
#[derive(Clone, Copy)]
pub struct Court<'a> {
    /// Who is trusted.
    pub snapshot: &'a TrustSnapshot,
    /// The tenant whose anchors are tried first, where two anchors have the
    /// same name and key.
    pub prefer: Option<&'a TenantId>,
    /// The time, seconds since 1970.
    pub now: i64,
    /// What the chain is to prove.
    pub purpose: Purpose,
}

impl Court<'_> {
    /// Judges `sent`, the certificates in the order in which they were sent.
    ///
    /// # Errors
    /// The reason for the refusal, and what is known about the leaf.
    pub fn judge(&self, sent: &[CertificateDer<'_>], trace: &mut Trace) -> Result<Verdict, Box<Failure>> {
        let Some((leaf, others)) = sent.split_first() else {
            return Err(Failure::new(Reason::NoCertificate, "no certificate was sent"));
        };
        let leaf = Certificate::read(leaf.clone())
            .map_err(|reason| Failure::new(Reason::Encoding, format!("the first certificate sent: {reason}")))?;
        trace.step("read", Ok(()), || {
            format!("{}, issued by {}, version {}, {}", leaf.subject_text(), leaf.issuer_text(), leaf.version, leaf.key)
        });
        if sent.len() > MAX_SENT {
            let detail = format!("{} certificates were sent; at most {MAX_SENT} are read", sent.len());
            return Err(Failure::new(Reason::ChainTooLong, detail).about(&leaf));
        }
        let others: Vec<_> = others.iter().filter_map(|der| Certificate::read(der.clone()).ok()).collect();
        self.find(&leaf, &others, trace).map_err(|failure| failure.about(&leaf))
    }

    fn find(
        &self,
        leaf: &Certificate<'_>,
        others: &[Certificate<'_>],
        trace: &mut Trace,
    ) -> Result<Verdict, Box<Failure>> {
        if let Some(anchor) = self.snapshot.anchor_with(Fingerprint::of(leaf.der())) {
            return self.pinned(leaf, anchor, trace);
        }
        let mut search = Search {
            court: self,
            others,
            path: vec![leaf],
            signatures: MAX_SIGNATURES,
            steps: MAX_STEPS,
            failure: None,
            trace,
        };
        match search.extend() {
            Some(verdict) => Ok(verdict),
            None => Err(search.failure.unwrap_or_else(|| Failure::new(Reason::UnknownIssuer, "no path was found"))),
        }
    }

    /// The leaf is byte for byte an anchor.
    fn pinned(&self, leaf: &Certificate<'_>, anchor: &Arc<Anchor>, trace: &mut Trace) -> Result<Verdict, Box<Failure>> {
        let owner = self.owner(anchor)?;
        trace.meet(anchor);
        if let Some(failure) = self.unusable(anchor, owner) {
            return Err(failure);
        }
        let allowed = owner.switches.anchor_may_be_leaf;
        trace.step("anchor", if allowed { Ok(()) } else { Err(Reason::CaLeaf) }, || {
            format!("the certificate is itself the anchor {}", anchor.summary())
        });
        if !allowed {
            let detail = "the device presents a trust anchor itself, which anchor_may_be_leaf = false forbids";
            return Err(Failure::new(Reason::CaLeaf, detail).under(anchor));
        }
        path::check(self, &[leaf], &[], anchor, trace)
    }

    /// The tenant that the anchor was given to.
    pub(super) fn owner(&self, anchor: &Anchor) -> Result<&Arc<Tenant>, Box<Failure>> {
        let tenant = self.snapshot.tenant(&anchor.tenant);
        tenant.ok_or_else(|| Failure::new(Reason::NoTenant, format!("there is no tenant \"{}\"", anchor.tenant)))
    }

    /// Why an anchor that signed does not count (TRUST-03).
    fn unusable(&self, anchor: &Arc<Anchor>, owner: &Tenant) -> Option<Box<Failure>> {
        let reason = anchor.unusable(self.purpose, owner.switches.pop_required, self.now)?;
        let what = match reason {
            Reason::AnchorDisabled => "is disabled".to_owned(),
            Reason::AnchorRenewOnly => "is good for renewing certificates only".to_owned(),
            Reason::AnchorUnproved => "waits for its proof of possession".to_owned(),
            Reason::NotYetValid => format!("is not valid before {}", date(anchor.facts.not_before)),
            _ => format!("expired on {}", date(anchor.facts.not_after)),
        };
        Some(Failure::new(reason, format!("the anchor {} {what}", anchor.summary())).under(anchor))
    }
}

/// A depth-first search from the leaf upwards. Anchors are tried before
/// intermediates; the first path that passes every check is taken, so that a
/// dead end among the extra certificates does no harm.
struct Search<'s, 'c> {
    court: &'s Court<'s>,
    others: &'c [Certificate<'c>],
    path: Vec<&'c Certificate<'c>>,
    signatures: u32,
    steps: u32,
    failure: Option<Box<Failure>>,
    trace: &'s mut Trace,
}

impl<'c> Search<'_, 'c> {
    fn extend(&mut self) -> Option<Verdict> {
        let current = *self.path.last()?;
        self.spend_step()?;
        let before = self.failure.is_some();
        let anchors = self.court.snapshot.anchors_named(&current.issuer, self.court.prefer);
        for anchor in anchors {
            if let Some(verdict) = self.try_anchor(current, anchor) {
                return Some(verdict);
            }
        }
        for candidate in self.others.iter().filter(|candidate| candidate.subject == current.issuer) {
            if self.path.iter().any(|used| used.der() == candidate.der()) {
                continue;
            }
            if let Some(verdict) = self.try_intermediate(current, candidate) {
                return Some(verdict);
            }
        }
        if !before && self.failure.is_none() {
            self.dead_end(current);
        }
        None
    }

    fn try_anchor(&mut self, current: &Certificate<'_>, anchor: &Arc<Anchor>) -> Option<Verdict> {
        if !anchor.signs() || !self.signed_by(current, &anchor.certificate) {
            return None;
        }
        self.trace.meet(anchor);
        self.trace.step("anchor", Ok(()), || {
            format!(
                "{} is signed by the anchor {} of tenant {}",
                current.subject_text(),
                anchor.summary(),
                anchor.tenant
            )
        });
        let checked = self.court.owner(anchor).and_then(|owner| match self.court.unusable(anchor, owner) {
            Some(failure) => {
                self.trace.step("anchor is usable", Err(failure.reason), || failure.detail.clone());
                Err(failure)
            }
            None => path::check(self.court, &self.path, self.others, anchor, self.trace),
        });
        checked.map_err(|failure| self.note(failure)).ok()
    }

    fn try_intermediate(&mut self, current: &Certificate<'_>, candidate: &'c Certificate<'c>) -> Option<Verdict> {
        if let Some(why) = not_an_issuer(candidate) {
            let detail = format!("the intermediate {} {why}", candidate.subject_text());
            self.note(Failure::new(Reason::NotCa, detail));
            return None;
        }
        if !self.signed_by(current, candidate) {
            return None;
        }
        self.trace.step("intermediate", Ok(()), || {
            format!("{} is signed by {}, which was sent too", current.subject_text(), candidate.subject_text())
        });
        self.path.push(candidate);
        let verdict = self.extend();
        self.path.pop();
        verdict
    }

    fn signed_by(&mut self, current: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
        let Some(left) = self.signatures.checked_sub(1) else {
            self.note(too_complex());
            return false;
        };
        self.signatures = left;
        let outcome = signature::check(current, issuer.public_key());
        if outcome == Outcome::Good {
            return true;
        }
        let failure = not_signed(current, issuer, &outcome);
        self.trace.step("signature", Err(failure.reason), || failure.detail.clone());
        self.note(failure);
        false
    }

    fn spend_step(&mut self) -> Option<()> {
        match self.steps.checked_sub(1) {
            Some(left) => self.steps = left,
            None => {
                self.note(too_complex());
                return None;
            }
        }
        Some(())
    }

    /// Nobody of the issuer's name is there.
    fn dead_end(&mut self, current: &Certificate<'_>) {
        let (subject, issuer) = (current.subject_text(), current.issuer_text());
        let detail = if current.is_self_issued() {
            format!("{subject} is self-signed and no trust anchor")
        } else {
            format!("{subject} was issued by {issuer}, which is no trust anchor and was not sent")
        };
        self.trace.step("issuer", Err(Reason::UnknownIssuer), || detail.clone());
        let failure = Failure::new(Reason::UnknownIssuer, detail);
        self.note(if current.is_self_issued() { failure } else { failure.lacking(current.issuer_wanted()) });
    }

    /// Keeps the failure that came furthest.
    fn note(&mut self, failure: Box<Failure>) {
        if self.failure.as_ref().is_none_or(|known| known.rank() < failure.rank()) {
            self.failure = Some(failure);
        }
    }
}

fn not_signed(current: &Certificate<'_>, issuer: &Certificate<'_>, outcome: &Outcome) -> Box<Failure> {
    let subject = current.subject_text();
    match outcome {
        Outcome::Weak(name) => Failure::new(Reason::WeakSignature, format!("{subject} is signed with {name}")),
        Outcome::Unknown(oid) => {
            Failure::new(Reason::SignatureAlgorithm, format!("{subject} is signed with the algorithm {oid}"))
        }
        Outcome::Good | Outcome::Bad => Failure::new(
            Reason::UnknownIssuer,
            format!("{} is known, but with another key than the one that signed {subject}", issuer.subject_text()),
        )
        .lacking(current.issuer_wanted()),
    }
}

fn too_complex() -> Box<Failure> {
    Failure::new(Reason::ChainTooComplex, "too many of the certificates sent bear the same names")
}

fn not_an_issuer(candidate: &Certificate<'_>) -> Option<&'static str> {
    match candidate.basic_constraints {
        _ if candidate.version < 3 => Some("is of X.509 version 1"),
        Some(constraints) if constraints.ca => {
            (candidate.signs_certificates == Some(false)).then_some("has a key usage without keyCertSign")
        }
        _ => Some("is no CA"),
    }
}
