//! Who is trusted, as one immutable snapshot behind one pointer.
//!
//! What lives here: the snapshot of all tenants, the pointer that is swapped,
//! and its version. What does not: reading configuration (`config`), keeping
//! uploaded anchors (`store`). Invariant: a snapshot never changes; a change
//! that cannot be made whole leaves the old one in place and says why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;

use super::anchor::{Anchor, AnchorError};
use super::certificate::{Fingerprint, Serial};
use super::chain::Court;
use super::path::{Failure, Trace, Verdict};
use super::policy::TenantRights;
use super::rule::Rule;
use super::switch::Profile;
use super::tenant::{Switches, TenantSettings};
use super::verdicts::Verdicts;
use crate::mqtt::TenantId;

/// A tenant as connections see it.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The profile that it started from.
    pub profile: Profile,
    /// Its switches.
    pub switches: Switches,
    /// The server name under which clients mean it.
    pub domain: Option<String>,
    /// Its anchors, usable or not.
    pub anchors: Vec<Arc<Anchor>>,
    /// What its clients may do.
    pub rights: TenantRights,
    /// How ClientIds are checked.
    pub rule: Rule,
    revoked: HashSet<Serial>,
    registered: HashSet<String>,
}

impl Tenant {
    /// Whether a certificate of this serial was taken back (TRUST-10).
    #[must_use]
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        !self.revoked.is_empty() && self.revoked.contains(serial)
    }

    /// Whether the device was registered before its first connection
    /// (AUTH-13).
    #[must_use]
    pub fn is_registered(&self, device: &str) -> bool {
        self.registered.contains(device)
    }

    /// Whether chains are judged alike by this tenant and `other`.
    fn judges_like(&self, other: &Self) -> bool {
        self.switches == other.switches
            && self.profile == other.profile
            && self.revoked == other.revoked
            && self.anchors.len() == other.anchors.len()
            && self.anchors.iter().zip(&other.anchors).all(|(own, others)| is_same_anchor(own, others))
    }
}

fn is_same_anchor(one: &Anchor, other: &Anchor) -> bool {
    one.facts.fingerprint == other.facts.fingerprint
        && one.name == other.name
        && (one.enabled, one.proved, one.platform, one.auto_registration)
            == (other.enabled, other.proved, other.platform, other.auto_registration)
}

/// Why settings make no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A certificate cannot be an anchor.
    #[error("{0}")]
    Anchor(#[from] AnchorError),
    /// Two tenants of one name.
    #[error("tenant {0} is there twice; give each tenant an own id")]
    TwoTenants(TenantId),
    /// More anchors than the tenant may have (TRUST-02).
    #[error("tenant {tenant} has {found} anchors; max_anchors is {limit}; remove one or raise max_anchors")]
    TooManyAnchors {
        /// The tenant.
        tenant: TenantId,
        /// How many it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// One certificate, two owners (TRUST-09).
    #[error("the certificate of {one} is already an anchor as {other}; a certificate belongs to one tenant, once")]
    SharedAnchor {
        /// The later one.
        one: String,
        /// The earlier one.
        other: String,
    },
    /// Two anchors of one name.
    #[error("tenant {tenant} has two anchors named \"{name}\"; give each an own name")]
    TwoAnchors {
        /// The tenant.
        tenant: TenantId,
        /// The name.
        name: String,
    },
    /// Two tenants of one server name.
    #[error("the domain {domain} belongs to the tenants {one} and {other}; a domain belongs to one tenant")]
    SharedDomain {
        /// The server name.
        domain: String,
        /// One tenant.
        one: TenantId,
        /// The other.
        other: TenantId,
    },
}

/// All that a connection is judged by.
#[derive(Debug)]
pub struct TrustSnapshot {
    version: u64,
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    by_subject: HashMap<Vec<u8>, Vec<Arc<Anchor>>>,
    by_fingerprint: HashMap<Fingerprint, Arc<Anchor>>,
    domains: HashMap<String, TenantId>,
    verdicts: Arc<Verdicts>,
}

impl TrustSnapshot {
    /// Makes a snapshot of all tenants.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn build(settings: &[TenantSettings]) -> Result<Self, Vec<TrustError>> {
        let mut builder = Builder::default();
        for tenant in settings {
            builder.add(tenant);
        }
        builder.finish()
    }

    /// Counts the changes of trust; 0 before the snapshot was published.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// A tenant by its name.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// A tenant by its name as text.
    #[must_use]
    pub fn tenant_named(&self, id: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// The tenant that is meant by a TLS server name.
    #[must_use]
    pub fn tenant_of_domain(&self, server_name: &str) -> Option<&Arc<Tenant>> {
        let id = match server_name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.domains.get(&server_name.to_ascii_lowercase()),
            false => self.domains.get(server_name),
        };
        self.tenants.get(id?)
    }

    /// All tenants, in the order of their names.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// All anchors, usable or not.
    pub fn anchors(&self) -> impl Iterator<Item = &Arc<Anchor>> {
        self.tenants.values().flat_map(|tenant| tenant.anchors.iter())
    }

    pub(super) fn anchors_named<'s>(
        &'s self,
        subject: &[u8],
        prefer: Option<&'s TenantId>,
    ) -> impl Iterator<Item = &'s Arc<Anchor>> + use<'s> {
        let all = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        let preferred = move |anchor: &&Arc<Anchor>| Some(&anchor.tenant) == prefer;
        all.iter().filter(preferred).chain(all.iter().filter(move |anchor| !preferred(anchor)))
    }

    pub(super) fn anchor_with(&self, fingerprint: Fingerprint) -> Option<&Arc<Anchor>> {
        self.by_fingerprint.get(&fingerprint)
    }

    /// Judges a chain, or remembers the verdict on it (PERF-04). `prefer` is
    /// the tenant whose anchors are tried first; `now` counts seconds since
    /// 1970.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn judge(
        &self,
        sent: &[CertificateDer<'_>],
        prefer: Option<&TenantId>,
        now: i64,
    ) -> Result<Arc<Verdict>, Box<Failure>> {
        let key = Verdicts::key(sent, prefer);
        if let Some(verdict) = self.verdicts.find(&key).filter(|verdict| verdict.is_valid_at(now)) {
            return Ok(verdict);
        }
        let verdict = Arc::new(Court { snapshot: self, prefer, now }.judge(sent, &mut Trace::off())?);
        self.verdicts.remember(key, Arc::clone(&verdict));
        Ok(verdict)
    }

    /// Whether a verdict of an older snapshot would be the same now. It costs
    /// no signature: those that were checked once stay right. `old` is the
    /// tenant as the verdict saw it. If not, the chain has to be judged again.
    #[must_use]
    pub fn still_holds(&self, verdict: &Verdict, old: &Tenant, now: i64) -> bool {
        let Some(tenant) = self.tenant(&verdict.tenant) else { return false };
        let Some(anchor) = self.by_fingerprint.get(&verdict.anchor.facts.fingerprint) else { return false };
        let Some(owner) = self.tenant(&anchor.tenant) else { return false };
        is_same_anchor(anchor, &verdict.anchor)
            && anchor.tenant == verdict.anchor.tenant
            && (tenant.profile == old.profile && tenant.switches == old.switches)
            && anchor.unusable(owner.switches.pop_required, now).is_none()
            && !verdict.serials.iter().any(|serial| tenant.is_revoked(serial))
            && verdict.is_valid_at(now)
    }

    /// Whether every chain is judged as by `other`.
    fn judges_like(&self, other: &Self) -> bool {
        self.tenants.len() == other.tenants.len()
            && self
                .tenants
                .values()
                .zip(other.tenants.values())
                .all(|(own, others)| own.id == others.id && own.judges_like(others))
    }

    /// Whether an anchor that counted in `old` does not count any more.
    fn lost_an_anchor_of(&self, old: &Self) -> bool {
        old.anchors().filter(|anchor| anchor.enabled).any(|anchor| {
            let now = self.by_fingerprint.get(&anchor.facts.fingerprint);
            !now.is_some_and(|now| now.enabled && now.tenant == anchor.tenant)
        })
    }
}

/// Collects tenants and what is wrong with them.
#[derive(Default)]
struct Builder {
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    by_subject: HashMap<Vec<u8>, Vec<Arc<Anchor>>>,
    by_fingerprint: HashMap<Fingerprint, Arc<Anchor>>,
    domains: HashMap<String, TenantId>,
    errors: Vec<TrustError>,
}

impl Builder {
    fn add(&mut self, settings: &TenantSettings) {
        if self.tenants.contains_key(&settings.id) {
            self.errors.push(TrustError::TwoTenants(settings.id.clone()));
            return;
        }
        self.count_anchors(settings);
        self.add_domain(settings);
        let mut anchors: Vec<Arc<Anchor>> = Vec::new();
        for anchor in &settings.anchors {
            match Anchor::new(&settings.id, &settings.switches, anchor) {
                Ok(anchor) if anchors.iter().any(|other| other.name == anchor.name) => {
                    let name = anchor.name.to_string();
                    self.errors.push(TrustError::TwoAnchors { tenant: settings.id.clone(), name });
                }
                Ok(anchor) => anchors.extend(self.add_anchor(anchor)),
                Err(error) => self.errors.push(error.into()),
            }
        }
        let tenant = Tenant {
            id: settings.id.clone(),
            profile: settings.profile,
            switches: settings.switches.clone(),
            domain: settings.domain.clone(),
            anchors,
            rights: TenantRights::new(settings.profile, &settings.switches.acl, settings.id.as_str()),
            rule: Rule {
                kind: settings.switches.identity_rule,
                allow_bare_cn: settings.switches.allow_bare_cn,
                tenant: settings.id.clone(),
            },
            revoked: settings.revoked.iter().map(|serial| Serial(serial.as_slice().into())).collect(),
            registered: HashSet::new(),
        };
        self.tenants.insert(settings.id.clone(), Arc::new(tenant));
    }

    fn count_anchors(&mut self, settings: &TenantSettings) {
        let found = settings.anchors.iter().filter(|anchor| !anchor.platform).count();
        let limit = settings.switches.max_anchors;
        if limit > 0 && found > limit {
            self.errors.push(TrustError::TooManyAnchors { tenant: settings.id.clone(), found, limit });
        }
    }

    fn add_domain(&mut self, settings: &TenantSettings) {
        let Some(domain) = &settings.domain else { return };
        let domain = domain.to_ascii_lowercase();
        if let Some(other) = self.domains.insert(domain.clone(), settings.id.clone()) {
            self.errors.push(TrustError::SharedDomain { domain, one: other, other: settings.id.clone() });
        }
    }

    fn add_anchor(&mut self, anchor: Anchor) -> Option<Arc<Anchor>> {
        let anchor = Arc::new(anchor);
        if let Some(other) = self.by_fingerprint.get(&anchor.facts.fingerprint) {
            let full_name = |anchor: &Anchor| format!("tenant {}, anchor \"{}\"", anchor.tenant, anchor.name);
            self.errors.push(TrustError::SharedAnchor { one: full_name(&anchor), other: full_name(other) });
            return None;
        }
        self.by_fingerprint.insert(anchor.facts.fingerprint, Arc::clone(&anchor));
        self.by_subject.entry(anchor.certificate.subject.clone()).or_default().push(Arc::clone(&anchor));
        Some(anchor)
    }

    fn finish(self) -> Result<TrustSnapshot, Vec<TrustError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        Ok(TrustSnapshot {
            version: 0,
            tenants: self.tenants,
            by_subject: self.by_subject,
            by_fingerprint: self.by_fingerprint,
            domains: self.domains,
            verdicts: Arc::new(Verdicts::default()),
        })
    }
}

/// What a publication of trust changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What holds now.
    pub snapshot: Arc<TrustSnapshot>,
    /// Whether an anchor was removed or disabled: session tickets that were
    /// made before are worthless then, and their keys have to go.
    pub anchor_gone: bool,
}

/// The pointer to the current snapshot.
#[derive(Debug)]
pub struct Trust {
    current: ArcSwap<TrustSnapshot>,
    version: AtomicU64,
    /// One publication at a time.
    publishing: Mutex<()>,
}

impl Trust {
    /// Starts with `first`, as version 1.
    #[must_use]
    pub fn new(mut first: TrustSnapshot) -> Self {
        first.version = 1;
        Self { current: ArcSwap::from_pointee(first), version: AtomicU64::new(1), publishing: Mutex::new(()) }
    }

    /// What holds now.
    #[must_use]
    pub fn current(&self) -> Arc<TrustSnapshot> {
        self.current.load_full()
    }

    /// The version of what holds now: one load, for the start of each turn.
    /// Whoever reads a new version finds at least that snapshot in
    /// [`Trust::current`].
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Lets `next` hold from now on.
    pub fn publish(&self, mut next: TrustSnapshot) -> Change {
        let _one = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        next.version = old.version + 1;
        if next.judges_like(&old) {
            next.verdicts = Arc::clone(&old.verdicts);
        }
        let anchor_gone = next.lost_an_anchor_of(&old);
        let snapshot = Arc::new(next);
        self.current.store(Arc::clone(&snapshot));
        self.version.store(snapshot.version, Ordering::Release);
        Change { snapshot, anchor_gone }
    }
}
