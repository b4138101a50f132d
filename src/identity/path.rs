//! The checks of a whole path, and what they yield.
//!
//! What lives here: length, dates, path lengths, key usage, key and version of
//! a path whose signatures hold (TRUST-04 to TRUST-07, TRUST-10), the verdict,
//! the failure and the trace of steps. What does not: finding the path
//! (`chain`). Invariant: the checks run in the order of the specification and
//! by the switches of the tenant that the path leads to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::anchor::Anchor;
use super::certificate::{Certificate, CertificateFacts, Missing, date, system_time};
use super::chain::Court;
use super::name::CommonName;
use super::principal::Lineage;
use super::reason::Reason;
use super::revoked::{Inquiry, Link, Standing};
use super::switch::{AnchorInChain, AnchorKind, V1};
use super::trust::Tenant;
use crate::mqtt::TenantId;

/// A chain that leads to a usable anchor.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The tenant that it leads to.
    pub tenant: TenantId,
    /// Where it ends.
    pub anchor: Arc<Anchor>,
    /// Which names it may be compared with.
    pub lineage: Lineage,
    /// The device's certificate.
    pub facts: Arc<CertificateFacts>,
    /// The certificates below the anchor, the leaf's first.
    pub links: Vec<Link>,
    /// Every certificate of the path is valid from then on.
    pub not_before: i64,
    /// Every certificate of the path is valid until then.
    pub not_after: i64,
}

impl Verdict {
    /// Whether every certificate of the path is valid at `now`, seconds since
    /// 1970.
    #[must_use]
    pub const fn is_valid_at(&self, now: i64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The end of the path's life.
    #[must_use]
    pub fn expires(&self) -> std::time::SystemTime {
        system_time(self.not_after)
    }
}

/// Why a chain was refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// What was found, in words.
    pub detail: String,
    /// The device's certificate, if it could be read.
    pub facts: Option<Arc<CertificateFacts>>,
    /// The anchor that the path would have ended in.
    pub anchor: Option<Arc<Anchor>>,
    /// The issuer that is not there, when that is the reason.
    pub missing: Option<Missing>,
    /// The tenant that was known without the certificate.
    pub scope: Option<TenantId>,
}

impl Failure {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self { reason, detail: detail.into(), facts: None, anchor: None, missing: None, scope: None })
    }

    pub(super) fn about(mut self: Box<Self>, leaf: &Certificate<'_>) -> Box<Self> {
        self.facts = Some(leaf.facts());
        self
    }

    pub(super) fn lacking(mut self: Box<Self>, missing: Missing) -> Box<Self> {
        self.missing = Some(missing);
        self
    }

    pub(super) fn under(mut self: Box<Self>, anchor: &Arc<Anchor>) -> Box<Self> {
        self.anchor = Some(Arc::clone(anchor));
        self
    }

    /// How far the path came before it failed; the reason breaks ties, so that
    /// the order of the certificates does not show.
    pub(super) const fn rank(&self) -> (u8, u8) {
        let progress = match self.reason {
            Reason::UnknownIssuer => 0,
            Reason::NotCa => 1,
            Reason::WeakSignature | Reason::SignatureAlgorithm => 2,
            Reason::AnchorDisabled | Reason::AnchorRenewOnly | Reason::AnchorUnproved => 3,
            _ => 4,
        };
        (progress, self.reason as u8)
    }
}

/// One step of the judgement, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it passed, else why not.
    pub outcome: Result<(), Reason>,
    /// What was found.
    pub text: String,
}

/// The steps, when somebody wants to read them.
#[derive(Debug, Default)]
pub struct Trace(Option<Kept>);

/// What a trace keeps.
#[derive(Debug, Default)]
struct Kept {
    steps: Vec<Step>,
    /// Whose anchors have signed something.
    met: BTreeSet<TenantId>,
}

impl Trace {
    /// Keeps nothing and costs nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Keeps every step.
    #[must_use]
    pub const fn on() -> Self {
        Self(Some(Kept { steps: Vec::new(), met: BTreeSet::new() }))
    }

    /// The steps so far, and the tenants whose anchors have signed something.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Step>, BTreeSet<TenantId>) {
        self.0.map(|kept| (kept.steps, kept.met)).unwrap_or_default()
    }

    pub(super) fn step(&mut self, name: &'static str, outcome: Result<(), Reason>, text: impl FnOnce() -> String) {
        if let Some(kept) = &mut self.0 {
            kept.steps.push(Step { name, outcome, text: text() });
        }
    }

    /// Notes that `anchor` has signed something.
    pub(super) fn meet(&mut self, anchor: &Anchor) {
        if let Some(kept) = &mut self.0 {
            kept.met.insert(anchor.tenant.clone());
        }
    }
}

/// A path whose signatures hold: the leaf, its intermediates and the anchor.
struct Path<'p> {
    /// Leaf first, without the anchor.
    below: &'p [&'p Certificate<'p>],
    /// What was sent behind the leaf.
    sent: &'p [Certificate<'p>],
    anchor: &'p Arc<Anchor>,
    tenant: &'p Tenant,
    /// The tenant that the anchor belongs to.
    owner: &'p Tenant,
    now: i64,
    /// Whether somebody reads what passed.
    explain: bool,
}

type Checked = Result<String, (Reason, String)>;
type Check = fn(&Path<'_>) -> Checked;

/// Checks a path; `below` runs from the leaf to the certificate under the
/// anchor, or is the anchor itself where that is the leaf.
pub(super) fn check(
    court: &Court<'_>,
    below: &[&Certificate<'_>],
    sent: &[Certificate<'_>],
    anchor: &Arc<Anchor>,
    trace: &mut Trace,
) -> Result<Verdict, Box<Failure>> {
    let Some(leaf) = below.first() else {
        return Err(Failure::new(Reason::NoCertificate, "no certificate was sent"));
    };
    let tenant = match tenant_of(court, leaf, anchor) {
        Ok(tenant) => tenant,
        Err(failure) => {
            trace.step("tenant", Err(failure.reason), || failure.detail.clone());
            return Err(failure.under(anchor));
        }
    };
    let owner = court.owner(anchor)?;
    let path = Path { below, sent, anchor, tenant, owner, now: court.now, explain: trace.0.is_some() };
    for (name, check) in CHECKS {
        match check(&path) {
            Ok(text) => trace.step(name, Ok(()), || text),
            Err((reason, detail)) => {
                trace.step(name, Err(reason), || detail.clone());
                return Err(Failure::new(reason, detail).under(anchor));
            }
        }
    }
    Ok(path.verdict(leaf))
}

/// TRUST-04's checks, in its order.
const CHECKS: &[(&str, Check)] = &[
    ("chain length", |path| path.check_length()),
    ("validity", |path| path.check_dates()),
    ("path length", |path| path.check_path_lengths()),
    ("extended key usage", |path| path.check_usage()),
    ("end entity", |path| path.check_end_entity()),
    ("version", |path| path.check_version()),
    ("critical extensions", |path| path.check_critical()),
    ("key", |path| path.check_key()),
    ("anchor sent", |path| path.check_anchor_sent()),
    ("revocation", |path| path.check_revocation()),
];

/// A platform CA signs for the tenants of its profile; the leaf's CN says
/// which. Every other anchor signs for its own tenant.
fn tenant_of<'c>(
    court: &'c Court<'c>,
    leaf: &Certificate<'_>,
    anchor: &Anchor,
) -> Result<&'c Arc<Tenant>, Box<Failure>> {
    let owner = court.owner(anchor)?;
    if anchor.kind != AnchorKind::Operator {
        return Ok(owner);
    }
    let CommonName::One(name) = &leaf.common_name else {
        return Err(Failure::new(Reason::CnMissing, "under a platform CA the CN has to name the tenant"));
    };
    let tenant = court.snapshot.tenant_named(name).filter(|tenant| tenant.profile == owner.profile);
    tenant.ok_or_else(|| {
        let profile = owner.profile;
        Failure::new(Reason::NoTenant, format!("the CN \"{}\" is no tenant of profile {profile}", name.escape_debug()))
    })
}

impl Path<'_> {
    /// Whether the leaf is itself the anchor.
    fn is_pinned(&self) -> bool {
        self.below.first().is_some_and(|leaf| leaf.der() == self.anchor.certificate.der())
    }

    fn certificates(&self) -> impl Iterator<Item = &Certificate<'_>> {
        let anchor = (!self.is_pinned()).then_some(&self.anchor.certificate);
        self.below.iter().copied().chain(anchor)
    }

    fn leaf(&self) -> impl Iterator<Item = &Certificate<'_>> {
        self.below.iter().take(1).copied()
    }

    /// A check that holds; the text is made only for a reader.
    fn passed(&self, text: impl FnOnce() -> String) -> Checked {
        Ok(if self.explain { text() } else { String::new() })
    }

    fn check_length(&self) -> Checked {
        let (length, limit) = (self.certificates().count(), self.tenant.switches.max_chain_length);
        if length > limit {
            let detail = format!("{length} certificates from leaf to anchor; max_chain_length is {limit}");
            return Err((Reason::ChainTooLong, detail));
        }
        self.passed(|| format!("{length} of at most {limit} certificates"))
    }

    fn check_dates(&self) -> Checked {
        for certificate in self.certificates() {
            if self.now < certificate.not_before {
                let (subject, from) = (certificate.subject_text(), date(certificate.not_before));
                return Err((
                    Reason::NotYetValid,
                    format!("{subject} is not valid before {from}; it is {}", date(self.now)),
                ));
            }
            if self.now > certificate.not_after {
                let (subject, until) = (certificate.subject_text(), date(certificate.not_after));
                return Err((Reason::Expired, format!("{subject} expired on {until}; it is {}", date(self.now))));
            }
        }
        self.passed(|| {
            let until = self.certificates().map(|certificate| certificate.not_after).min().unwrap_or_default();
            format!("all are valid at {}, until {}", date(self.now), date(until))
        })
    }

    fn check_path_lengths(&self) -> Checked {
        for (between, certificate) in self.certificates().skip(1).enumerate() {
            let Some(limit) = certificate.basic_constraints.and_then(|constraints| constraints.path_length) else {
                continue;
            };
            if between > usize::try_from(limit).unwrap_or(usize::MAX) {
                let subject = certificate.subject_text();
                let detail = format!("{between} CA certificates below {subject}, whose pathlen is {limit}");
                return Err((Reason::PathLength, detail));
            }
        }
        self.passed(|| "no constraint is broken".to_owned())
    }

    fn check_usage(&self) -> Checked {
        match self.leaf().find_map(|leaf| leaf.client_auth) {
            None => self.passed(|| "none given".to_owned()),
            Some(true) => self.passed(|| "has clientAuth or any".to_owned()),
            Some(false) => {
                Err((Reason::ExtendedKeyUsage, "the extended key usage has neither clientAuth nor any".to_owned()))
            }
        }
    }

    fn check_end_entity(&self) -> Checked {
        let ca = self.leaf().any(|leaf| leaf.basic_constraints.is_some_and(|constraints| constraints.ca));
        if ca && !self.is_pinned() {
            return Err((Reason::CaLeaf, "the device's certificate is a CA (CA:TRUE)".to_owned()));
        }
        self.passed(|| if ca { "a CA, but pinned as an anchor" } else { "no CA" }.to_owned())
    }

    fn check_version(&self) -> Checked {
        let version = self.leaf().map(|leaf| leaf.version).next().unwrap_or_default();
        if version < 3 && self.tenant.switches.x509_v1_leaf == V1::Refuse {
            return Err((Reason::X509Version, format!("the device's certificate is of version {version}")));
        }
        self.passed(|| format!("version {version}"))
    }

    fn check_critical(&self) -> Checked {
        for certificate in self.certificates() {
            if let Some(oid) = &certificate.unknown_critical {
                let detail = format!("{} has the critical extension {oid}", certificate.subject_text());
                return Err((Reason::CriticalExtension, detail));
            }
        }
        self.passed(|| "all are understood".to_owned())
    }

    fn check_key(&self) -> Checked {
        let policy = self.tenant.switches.key_policy;
        for certificate in self.certificates().skip(1) {
            if let Err(reason) = certificate.key.check_strength() {
                return Err((reason, format!("{} has the key {}", certificate.subject_text(), certificate.key)));
            }
        }
        for leaf in self.leaf() {
            if let Err(reason) = leaf.key.check(policy) {
                return Err((reason, format!("the key is {}; key_policy is {policy}", leaf.key)));
            }
        }
        self.passed(|| format!("taken by key_policy {policy}"))
    }

    fn check_anchor_sent(&self) -> Checked {
        if self.tenant.switches.anchor_in_chain == AnchorInChain::Either {
            return self.passed(|| "not demanded".to_owned());
        }
        let anchor = self.anchor.certificate.der();
        if self.is_pinned() || self.sent.iter().any(|sent| sent.der() == anchor) {
            return self.passed(|| "it was".to_owned());
        }
        let detail = format!("the anchor {} was not sent; anchor_in_chain is required", self.anchor.summary());
        Err((Reason::MissingAnchor, detail))
    }

    fn links(&self) -> Vec<Link> {
        self.below.iter().map(|certificate| Link::of(certificate)).collect()
    }

    fn check_revocation(&self) -> Checked {
        let Path { tenant, owner, anchor, now, .. } = *self;
        let Some(leaf) = self.below.first() else { return self.passed(String::new) };
        let links = self.links();
        let inquiry = Inquiry { tenant, owner, anchor, links: &links, common_name: &leaf.common_name, now };
        match inquiry.decide()? {
            Standing::Current => self.passed(|| "none is revoked".to_owned()),
            Standing::Stale => {
                self.passed(|| "none is revoked, by a list that is stale (stale_crl is soft)".to_owned())
            }
        }
    }

    fn verdict(&self, leaf: &Certificate<'_>) -> Verdict {
        let lineage = match self.anchor.kind {
            AnchorKind::Operator => Lineage::Platform(Arc::clone(&self.anchor.name)),
            AnchorKind::Uploaded | AnchorKind::Configured | AnchorKind::Issuer => Lineage::Tenant,
        };
        Verdict {
            tenant: self.tenant.id.clone(),
            anchor: Arc::clone(self.anchor),
            lineage,
            facts: leaf.facts(),
            links: self.links(),
            not_before: self.certificates().map(|certificate| certificate.not_before).max().unwrap_or(i64::MAX),
            not_after: self.certificates().map(|certificate| certificate.not_after).min().unwrap_or(i64::MIN),
        }
    }
}
