//! Who is trusted, as one immutable snapshot behind one pointer.
//!
//! What lives here: the snapshot of all tenants, the pointer that is swapped,
//! and its version. What does not: reading configuration (`config`), keeping
//! uploaded anchors (`store`). Invariant: a snapshot never changes; a change
//! that cannot be made whole leaves the old one in place and says why.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;

use super::account::Account;
use super::anchor::{Anchor, Purpose};
use super::assembly::Builder;
pub use super::assembly::TrustError;
use super::certificate::Fingerprint;
use super::chain::Court;
use super::crl::CrlSettings;
use super::devices::DeviceBook;
use super::path::{Failure, Trace, Verdict};
use super::policy::TenantRights;
use super::revocation::{Revocations, Revoked};
use super::revoked::{Inquiry, Standing};
use super::rule::Rule;
use super::switch::{AnchorState, Profile};
use super::tenant::{Switches, TenantSettings};
use super::verdicts::Verdicts;
use crate::mqtt::TenantId;
use crate::telemetry::metrics::Counter;

/// A tenant as connections see it.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The profile that it started from.
    pub profile: Profile,
    /// Whether its clients may come in.
    pub enabled: bool,
    /// Its switches.
    pub switches: Switches,
    /// The server name under which clients mean it.
    pub domain: Option<String>,
    /// Its anchors, usable or not.
    pub anchors: Vec<Arc<Anchor>>,
    /// What its clients may do.
    pub rights: Arc<TenantRights>,
    /// How ClientIds are checked.
    pub rule: Rule,
    pub(super) accounts: HashMap<String, Arc<Account>>,
    pub(super) revocations: Arc<Revocations>,
    /// The revocation lists below each anchor that has any.
    pub(super) crls: HashMap<Fingerprint, Arc<[CrlSettings]>>,
}

impl Tenant {
    /// The revocation lists below one of its anchors.
    #[must_use]
    pub fn crls_below(&self, anchor: Fingerprint) -> &[CrlSettings] {
        self.crls.get(&anchor).map(|lists| &**lists).unwrap_or_default()
    }

    /// Whether a device, by one of its names, was taken back.
    pub(super) fn revoked_device<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<Revoked> {
        self.revocations.of_device(names)
    }

    /// The account of this name, usable or not.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// Whether chains are judged alike by this tenant and `other`, but for
    /// what was taken back.
    fn judges_like(&self, other: &Self) -> bool {
        self.switches == other.switches
            && self.profile == other.profile
            && self.anchors.len() == other.anchors.len()
            && self
                .anchors
                .iter()
                .zip(&other.anchors)
                .all(|(own, others)| Arc::ptr_eq(own, others) || own.is_as(others))
    }
}

/// All that a connection is judged by.
#[derive(Debug)]
pub struct TrustSnapshot {
    pub(super) version: u64,
    pub(super) tenants: BTreeMap<TenantId, Arc<Tenant>>,
    pub(super) by_subject: HashMap<Vec<u8>, Vec<Arc<Anchor>>>,
    pub(super) by_fingerprint: HashMap<Fingerprint, Arc<Anchor>>,
    pub(super) domains: HashMap<String, TenantId>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) devices: Arc<DeviceBook>,
}

impl TrustSnapshot {
    /// Makes a snapshot of all tenants.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn build(settings: &[TenantSettings]) -> Result<Self, Vec<TrustError>> {
        let mut builder = Builder::default();
        for tenant in settings {
            builder.add(tenant, None);
        }
        builder.finish()
    }

    /// Makes a snapshot that differs from this one in the tenants of `changed`
    /// and lacks those of `removed`. Every other tenant is taken over as it is,
    /// and of a changed one each anchor that stayed the same.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn with_tenants(&self, changed: &[TenantSettings], removed: &[TenantId]) -> Result<Self, Vec<TrustError>> {
        let mut builder = Builder::default();
        let stays = |id: &TenantId| !removed.contains(id) && !changed.iter().any(|settings| settings.id == *id);
        for tenant in self.tenants.values().filter(|tenant| stays(&tenant.id)) {
            builder.keep(tenant);
        }
        for settings in changed {
            builder.add(settings, self.tenants.get(&settings.id).map(|tenant| &**tenant));
        }
        let next = builder.finish()?;
        Ok(Self { devices: Arc::clone(&self.devices), ..next })
    }

    /// The devices that are known, of every tenant. Snapshots that follow each
    /// other share them: they change without a new snapshot.
    #[must_use]
    pub const fn devices(&self) -> &Arc<DeviceBook> {
        &self.devices
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

    /// The revocation lists in use, each with the anchor that it is below.
    pub fn revocation_lists(&self) -> impl Iterator<Item = (&Arc<Anchor>, &CrlSettings)> {
        self.tenants.values().flat_map(|tenant| {
            let used = tenant.anchors.iter().filter(|anchor| anchor.state != AnchorState::Disabled);
            used.flat_map(|anchor| tenant.crls_below(anchor.facts.fingerprint).iter().map(move |list| (anchor, list)))
        })
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
        let remembered = self.verdicts.find(&key).filter(|verdict| verdict.is_valid_at(now));
        if let Some((verdict, standing)) = remembered.and_then(|verdict| {
            let standing = self.standing_of(&verdict, now)?;
            Some((verdict, standing))
        }) {
            Counter::CrlStaleAccepted.add(u64::from(standing == Standing::Stale));
            return Ok(verdict);
        }
        let court = Court { snapshot: self, prefer, now, purpose: Purpose::Connect };
        let verdict = Arc::new(court.judge(sent, &mut Trace::off())?);
        let is_stale = self.standing_of(&verdict, now) == Some(Standing::Stale);
        Counter::CrlStaleAccepted.add(u64::from(is_stale));
        self.verdicts.remember(key, Arc::clone(&verdict));
        Ok(verdict)
    }

    /// Judges a chain whose holder wants a new certificate for the same name:
    /// as [`TrustSnapshot::judge`], but an anchor that is good for renewal only
    /// is enough.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn judge_for_renewal(
        &self,
        sent: &[CertificateDer<'_>],
        prefer: Option<&TenantId>,
        now: i64,
    ) -> Result<Verdict, Box<Failure>> {
        Court { snapshot: self, prefer, now, purpose: Purpose::Renew }.judge(sent, &mut Trace::off())
    }

    /// How far a verdict may still be relied on; `None` when something that it
    /// rests on was taken back.
    fn standing_of(&self, verdict: &Verdict, now: i64) -> Option<Standing> {
        let anchor = &verdict.anchor;
        let (tenant, owner) = (self.tenant(&verdict.tenant)?, self.tenant(&anchor.tenant)?);
        let Verdict { links, facts, .. } = verdict;
        Inquiry { tenant, owner, anchor, links, common_name: &facts.common_name, now }.decide().ok()
    }

    /// Whether a verdict of an older snapshot would be the same now. It costs
    /// no signature: those that were checked once stay right. `old` is the
    /// tenant as the verdict saw it. If not, the chain has to be judged again.
    #[must_use]
    pub fn still_holds(&self, verdict: &Verdict, old: &Tenant, now: i64) -> bool {
        let Some(tenant) = self.tenant(&verdict.tenant) else { return false };
        let Some(anchor) = self.by_fingerprint.get(&verdict.anchor.facts.fingerprint) else { return false };
        let Some(owner) = self.tenant(&anchor.tenant) else { return false };
        (Arc::ptr_eq(anchor, &verdict.anchor) || anchor.is_as(&verdict.anchor))
            && (Arc::ptr_eq(&tenant.rights, &old.rights)
                || (tenant.profile == old.profile && tenant.switches == old.switches))
            && anchor.unusable(Purpose::Connect, owner.switches.pop_required, now).is_none()
            && verdict.is_valid_at(now)
            && self.standing_of(verdict, now).is_some()
    }

    /// Whether every chain is judged as by `other`.
    fn judges_like(&self, other: &Self) -> bool {
        self.tenants.len() == other.tenants.len()
            && self
                .tenants
                .values()
                .zip(other.tenants.values())
                .all(|(own, others)| Arc::ptr_eq(own, others) || (own.id == others.id && own.judges_like(others)))
    }

    /// Whether handshakes are offered as by `other`.
    fn shakes_like(&self, other: &Self) -> bool {
        let offers = |tenant: &Tenant| (tenant.switches.client_cert, tenant.switches.send_ca_names);
        let alike = |own: &Arc<Tenant>, others: &Arc<Tenant>| {
            Arc::ptr_eq(own, others)
                || (own.id == others.id
                    && own.domain == others.domain
                    && offers(own) == offers(others)
                    && own.judges_like(others))
        };
        self.tenants.len() == other.tenants.len()
            && self.tenants.values().zip(other.tenants.values()).all(|(own, others)| alike(own, others))
    }

    /// Whether an anchor that counted in `old` does not count any more.
    fn lost_an_anchor_of(&self, old: &Self) -> bool {
        let counts = |anchor: &Anchor| anchor.state == AnchorState::Enabled;
        old.anchors().filter(|anchor| counts(anchor)).any(|anchor| {
            let now = self.by_fingerprint.get(&anchor.facts.fingerprint);
            !now.is_some_and(|now| counts(now) && now.tenant == anchor.tenant)
        })
    }
}

/// What a publication of trust changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What holds now.
    pub snapshot: Arc<TrustSnapshot>,
    /// Whether handshakes have to be offered otherwise: other names of anchors,
    /// other server names, another insistence on certificates.
    pub handshakes: bool,
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
        next.devices = Arc::clone(&old.devices);
        if next.judges_like(&old) {
            next.verdicts = Arc::clone(&old.verdicts);
        }
        let anchor_gone = next.lost_an_anchor_of(&old);
        let handshakes = !next.shakes_like(&old);
        let snapshot = Arc::new(next);
        self.current.store(Arc::clone(&snapshot));
        self.version.store(snapshot.version, Ordering::Release);
        Change { snapshot, handshakes, anchor_gone }
    }
}
