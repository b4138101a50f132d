//! From the settings of all tenants to a snapshot.
//!
//! What lives here: what settings may not say, and the tables that make
//! look-ups quick. What does not: the snapshot itself (`trust`), the
//! requirements on one anchor (`anchor`). Invariant: every mistake is found
//! and named at once; with one mistake there is no snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::account::Account;
use super::anchor::{Anchor, AnchorError};
use super::certificate::Fingerprint;
use super::crl::CrlSettings;
use super::policy::TenantRights;
use super::revocation::Revocations;
use super::rule::Rule;
use super::tenant::TenantSettings;
use super::trust::{Tenant, TrustSnapshot};
use super::verdicts::Verdicts;
use crate::mqtt::TenantId;

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

/// Collects tenants and what is wrong with them.
#[derive(Default)]
pub(super) struct Builder {
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    by_subject: HashMap<Vec<u8>, Vec<Arc<Anchor>>>,
    by_fingerprint: HashMap<Fingerprint, Arc<Anchor>>,
    domains: HashMap<String, TenantId>,
    errors: Vec<TrustError>,
}

impl Builder {
    /// Takes a tenant over as it is.
    pub(super) fn keep(&mut self, tenant: &Arc<Tenant>) {
        for anchor in &tenant.anchors {
            self.enter(anchor);
        }
        if let Some(domain) = &tenant.domain {
            self.domains.insert(domain.to_ascii_lowercase(), tenant.id.clone());
        }
        self.tenants.insert(tenant.id.clone(), Arc::clone(tenant));
    }

    /// Adds a tenant as `settings` describe it; `old` is what it was before.
    pub(super) fn add(&mut self, settings: &TenantSettings, old: Option<&Tenant>) {
        if self.tenants.contains_key(&settings.id) {
            self.errors.push(TrustError::TwoTenants(settings.id.clone()));
            return;
        }
        self.count_anchors(settings);
        self.add_domain(settings);
        // What a certificate has to be to become an anchor hangs on the switches.
        let same = old.filter(|old| old.profile == settings.profile && old.switches == settings.switches);
        let anchors = self.add_anchors(settings, same);
        let rights = || TenantRights::new(settings.profile, &settings.switches.acl, settings.id.as_str());
        let tenant = Tenant {
            id: settings.id.clone(),
            profile: settings.profile,
            enabled: settings.enabled,
            switches: settings.switches.clone(),
            domain: settings.domain.clone(),
            crls: crls(settings, &anchors),
            anchors,
            rights: same.map_or_else(|| Arc::new(rights()), |same| Arc::clone(&same.rights)),
            rule: Rule {
                kind: settings.switches.identity_rule,
                allow_bare_cn: settings.switches.allow_bare_cn,
                tenant: settings.id.clone(),
            },
            accounts: accounts(settings, old),
            revocations: Arc::new(Revocations::new(&settings.revocations)),
        };
        self.tenants.insert(settings.id.clone(), Arc::new(tenant));
    }

    fn add_anchors(&mut self, settings: &TenantSettings, same: Option<&Tenant>) -> Vec<Arc<Anchor>> {
        let mut anchors: Vec<Arc<Anchor>> = Vec::new();
        let mut names = HashSet::new();
        let known: HashMap<&str, &Arc<Anchor>> =
            same.iter().flat_map(|same| &same.anchors).map(|anchor| (&*anchor.name, anchor)).collect();
        for entry in &settings.anchors {
            if !names.insert(entry.name.as_str()) {
                self.errors.push(TrustError::TwoAnchors { tenant: settings.id.clone(), name: entry.name.clone() });
                continue;
            }
            let known = known.get(entry.name.as_str()).filter(|known| known.is_of(entry));
            let anchor = match known {
                Some(known) => Ok(Arc::clone(known)),
                None => Anchor::new(&settings.id, &settings.switches, entry).map(Arc::new),
            };
            match anchor {
                Ok(anchor) => anchors.extend(self.add_anchor(anchor)),
                Err(error) => self.errors.push(error.into()),
            }
        }
        anchors
    }

    fn count_anchors(&mut self, settings: &TenantSettings) {
        let found = settings.anchors.iter().filter(|anchor| anchor.kind.counts()).count();
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

    fn add_anchor(&mut self, anchor: Arc<Anchor>) -> Option<Arc<Anchor>> {
        if let Some(other) = self.by_fingerprint.get(&anchor.facts.fingerprint) {
            let full_name = |anchor: &Anchor| format!("tenant {}, anchor \"{}\"", anchor.tenant, anchor.name);
            self.errors.push(TrustError::SharedAnchor { one: full_name(&anchor), other: full_name(other) });
            return None;
        }
        self.enter(&anchor);
        Some(anchor)
    }

    fn enter(&mut self, anchor: &Arc<Anchor>) {
        self.by_fingerprint.insert(anchor.facts.fingerprint, Arc::clone(anchor));
        self.by_subject.entry(anchor.certificate.subject.clone()).or_default().push(Arc::clone(anchor));
    }

    pub(super) fn finish(self) -> Result<TrustSnapshot, Vec<TrustError>> {
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
            devices: Arc::default(),
        })
    }
}

/// The lists below each anchor. An issuer that is the anchor itself is left
/// out, so that a look-up needs not know the anchor's key.
fn crls(settings: &TenantSettings, anchors: &[Arc<Anchor>]) -> HashMap<Fingerprint, Arc<[CrlSettings]>> {
    let with_lists = settings.anchors.iter().filter(|entry| !entry.crls.is_empty());
    let found = with_lists.filter_map(|entry| {
        let anchor = anchors.iter().find(|anchor| *anchor.name == *entry.name)?;
        let own = Fingerprint::of(anchor.certificate.public_key());
        let lists = entry.crls.iter().cloned();
        let lists = lists.map(|list| CrlSettings { issuer: list.issuer.filter(|issuer| *issuer != own), ..list });
        Some((anchor.facts.fingerprint, lists.collect()))
    });
    found.collect()
}

fn accounts(settings: &TenantSettings, old: Option<&Tenant>) -> HashMap<String, Arc<Account>> {
    let accounts = settings.accounts.iter().map(|account| {
        let known = old.and_then(|old| old.accounts.get(&account.name)).filter(|known| ***known == *account);
        (account.name.clone(), known.map_or_else(|| Arc::new(account.clone()), Arc::clone))
    });
    accounts.collect()
}
