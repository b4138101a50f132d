//! From the settings of all tenants to a snapshot.
//!
//! What lives here: what settings may not say, and the tables that make
//! look-ups quick. What does not: the snapshot itself (`trust`), the
//! requirements on one anchor (`anchor`). Invariant: every mistake is found
//! and named at once; with one mistake there is no snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::anchor::{Anchor, AnchorError};
use super::certificate::{Fingerprint, Serial};
use super::policy::TenantRights;
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
    pub(super) fn add(&mut self, settings: &TenantSettings) {
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
            accounts: settings
                .accounts
                .iter()
                .map(|account| (account.name.clone(), Arc::new(account.clone())))
                .collect(),
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
        })
    }
}
