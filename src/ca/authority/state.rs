//! What the control plane holds in memory, and the snapshot that it makes.
//!
//! What lives here: the shelves, reading them at the start, and the tenants'
//! settings as connections are to see them. What does not: rows that only the
//! store keeps, such as issued certificates. Invariant: the shelves are what
//! the rows of the store say, no more and no less.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::OpenError;
use super::options::OFFLINE_LIST;
use super::shelf::Shelf;
use crate::ca::record::{
    AccountRow, AnchorRow, AnchorStatus, CrlRow, DeviceRequestRow, EnrolmentRow, KeyRow, KeyUse, LogoutRow, NoticeRow,
    OptionRow, Record, RequestRow, RevocationKind, RevocationRow, TenantRow, TokenRow,
};
use crate::identity::account::Account;
use crate::identity::crl::CrlSettings;
use crate::identity::fingerprint::{Fingerprint, Serial};
use crate::identity::revocation::{Revocation, RevocationTarget};
use crate::identity::switch::{AnchorKind, AnchorState, Profile, RevocationReason, Role, StaleCrl};
use crate::identity::tenant::{AnchorSettings, Switches, TenantSettings};
use crate::identity::trust::{TrustError, TrustSnapshot};
use crate::mqtt::TenantId;
use crate::store::Store;

/// Rows that are read at once at the start.
const PAGE: usize = 1000;

/// A change of one shelf, and at the same time what undoes one.
pub(super) struct Edit(Box<dyn FnOnce(&mut State) -> Edit + Send>);

/// Whose connections a row matters to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of its tenant.
    Tenant,
    /// Those of every tenant: a certificate is an anchor of one of them only.
    Everybody,
}

/// A kind of row that is kept in memory.
pub(super) trait Kept: Record {
    /// How far connections are judged by it.
    const REACH: Reach;

    fn shelf(state: &State) -> &Shelf<Self>;
    fn shelf_mut(state: &mut State) -> &mut Shelf<Self>;

    /// Puts `row` under `key`, or takes away what is there.
    fn edit(key: Vec<u8>, row: Option<Arc<Self>>) -> Edit {
        Edit(Box::new(move |state| {
            let old = Self::shelf_mut(state).set(&key, row);
            Self::edit(key, old)
        }))
    }
}

/// Writes the shelves with whose connections they matter to.
macro_rules! shelves {
    ($($field:ident: $row:ty, reaches $reach:ident;)*) => {
        /// The control plane's memory.
        pub(super) struct State {
            pub(super) configured: BTreeMap<String, TenantSettings>,
            audit_number: AtomicU32,
            $(pub(super) $field: Shelf<$row>,)*
        }

        $(impl Kept for $row {
            const REACH: Reach = Reach::$reach;

            fn shelf(state: &State) -> &Shelf<Self> {
                &state.$field
            }

            fn shelf_mut(state: &mut State) -> &mut Shelf<Self> {
                &mut state.$field
            }
        })*

        impl State {
            /// Reads all shelves.
            pub(super) fn read(store: &dyn Store, configured: &[TenantSettings]) -> Result<Self, OpenError> {
                let mut state = Self {
                    configured: BTreeMap::new(), audit_number: AtomicU32::new(0), $($field: Shelf::default(),)*
                };
                state.configure(configured);
                $(fill::<$row>(store, &mut state)?;)*
                Ok(state)
            }
        }
    };
}

shelves! {
    tenants: TenantRow, reaches Everybody;
    anchors: AnchorRow, reaches Everybody;
    accounts: AccountRow, reaches Tenant;
    revocations: RevocationRow, reaches Tenant;
    crls: CrlRow, reaches Tenant;
    tokens: TokenRow, reaches Nobody;
    enrolments: EnrolmentRow, reaches Nobody;
    keys: KeyRow, reaches Everybody;
    options: OptionRow, reaches Tenant;
    logouts: LogoutRow, reaches Nobody;
    device_requests: DeviceRequestRow, reaches Nobody;
    requests: RequestRow, reaches Nobody;
    notices: NoticeRow, reaches Nobody;
}

fn fill<R: Kept>(store: &dyn Store, state: &mut State) -> Result<(), OpenError> {
    each::<R, OpenError>(store, &[], |row| {
        let key = row.key();
        R::shelf_mut(state).set(&key, Some(Arc::new(row)));
        Ok(())
    })
}

/// Hands over every row of a kind whose first fields are these.
pub(super) fn each<R: Record, E>(
    store: &dyn Store,
    fields: &[&str],
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E>
where
    E: From<crate::store::StoreError> + From<crate::ca::record::RecordError>,
{
    let prefix = R::prefix_of(fields);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(R::TABLE, &prefix, after.as_deref(), PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for row in &rows {
            take(R::decode(&row.value)?)?;
        }
    }
}

impl State {
    /// Takes other configured tenants; answers the old ones.
    pub(super) fn configure(&mut self, configured: &[TenantSettings]) -> BTreeMap<String, TenantSettings> {
        let configured = configured.iter().map(|tenant| (tenant.id.as_str().to_owned(), tenant.clone())).collect();
        std::mem::replace(&mut self.configured, configured)
    }

    /// Makes the edits; answers what undoes them.
    pub(super) fn apply(&mut self, edits: Vec<Edit>) -> Vec<Edit> {
        let mut undo: Vec<Edit> = edits.into_iter().map(|edit| edit.0(self)).collect();
        undo.reverse();
        undo
    }

    /// Tells audit lines of one moment apart.
    pub(super) fn next_audit_number(&self) -> u32 {
        self.audit_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there is such a tenant.
    pub(super) fn has(&self, tenant: &str) -> bool {
        let made = || self.tenants.get(&[tenant]).is_some_and(|row| row.profile.is_some());
        self.configured.contains_key(tenant) || made()
    }

    /// The names of all tenants.
    pub(super) fn tenant_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.configured.keys().cloned().collect();
        names.extend(self.tenants.iter().filter(|row| row.profile.is_some()).map(|row| row.id.clone()));
        names.sort();
        names.dedup();
        names
    }

    /// A tenant as connections are to see it: what is configured, with what
    /// was made over the API beside it.
    pub(super) fn settings(&self, tenant: &str) -> Option<TenantSettings> {
        let row = self.tenants.get(&[tenant]);
        let mut settings = match self.configured.get(tenant) {
            Some(configured) => configured.clone(),
            None => {
                let profile: Profile = row?.profile.as_deref()?.parse().ok()?;
                let mut made = TenantSettings::new(TenantId::new(tenant), profile);
                made.domain.clone_from(&row?.domain);
                made
            }
        };
        settings.anchors.extend(self.anchors.of(&[tenant]).filter_map(|row| self.anchor_settings(row)));
        settings.anchors.extend(self.own_authorities(tenant, settings.profile));
        settings.revocations.extend(
            self.revocations.of(&[tenant]).filter(|row| self.is_in_force(row)).filter_map(|row| revocation(row)),
        );
        settings.accounts.extend(self.accounts.of(&[tenant]).map(|row| account(row)));
        for anchor in &mut settings.anchors {
            anchor.crls.extend(self.crls_of(tenant, &anchor.der));
        }
        settings.enabled &= row.is_none_or(|row| row.enabled);
        Some(settings)
    }

    fn crls_of(&self, tenant: &str, anchor: &[u8]) -> Vec<CrlSettings> {
        if self.crls.of(&[tenant]).next().is_none() {
            return Vec::new();
        }
        let uploaded = self.anchors.of(&[tenant]).find(|row| row.der == anchor).map(|row| row.id.clone());
        let id = uploaded.unwrap_or_else(|| configured_id(Fingerprint::of(anchor)));
        self.crls.of(&[tenant, &id]).filter_map(|row| row.settings().cloned()).collect()
    }

    /// The CAs that are kept here: the tenant's own, and that of the operator,
    /// which signs for every tenant of Centiloc and stands with the first.
    fn own_authorities(&self, tenant: &str, profile: Profile) -> Vec<AnchorSettings> {
        let is_first = || self.tenants_of(Profile::Centiloc).first().is_some_and(|first| first == tenant);
        let own = self.keys.get(&[tenant, KeyUse::Issuer.as_str()]).map(|row| (row, AnchorKind::Issuer));
        let operator =
            (profile == Profile::Centiloc && is_first()).then(|| self.keys.get(&["", KeyUse::Operator.as_str()]));
        let operator = operator.flatten().map(|row| (row, AnchorKind::Operator));
        let settings = |(row, kind): (&Arc<KeyRow>, AnchorKind)| AnchorSettings {
            name: format!("the broker's {} CA", row.used_for.as_str()),
            der: row.certificate.clone(),
            source: "made here".to_owned(),
            kind,
            state: AnchorState::Enabled,
            proved: true,
            auto_registration: true,
            stale_crl: StaleCrl::Soft,
            crls: Vec::new(),
        };
        own.into_iter().chain(operator).map(settings).collect()
    }

    /// The tenants of a profile, by name.
    pub(super) fn tenants_of(&self, profile: Profile) -> Vec<String> {
        let has = |name: &String| match self.configured.get(name) {
            Some(configured) => configured.profile == profile,
            None => self.tenants.get(&[name]).is_some_and(|row| row.profile.as_deref() == Some(profile.as_str())),
        };
        self.tenant_names().into_iter().filter(has).collect()
    }

    /// C8Y-CRL-01: what stands in the tenant's list counts when that is
    /// switched on.
    fn is_in_force(&self, row: &RevocationRow) -> bool {
        let on = || {
            self.options
                .get(&[&row.tenant, OFFLINE_LIST.0, OFFLINE_LIST.1])
                .is_some_and(|option| option.value == "true")
        };
        !row.listed || on()
    }

    /// TRUST-09: an anchor that does not count blocks nobody. Of several such
    /// uploads of one certificate the oldest is shown in explanations.
    fn anchor_settings(&self, row: &AnchorRow) -> Option<AnchorSettings> {
        if !self.counts(row) && self.is_known_elsewhere(row) {
            return None;
        }
        let named_alike = |other: &&Arc<AnchorRow>| other.name == row.name && other.id < row.id;
        let name = match row.name.is_empty() || self.anchors.of(&[&row.tenant]).any(|other| named_alike(&other)) {
            true => format!("{} ({})", row.name, row.id),
            false => row.name.clone(),
        };
        Some(AnchorSettings {
            name,
            der: row.der.clone(),
            source: "uploaded".to_owned(),
            kind: AnchorKind::Uploaded,
            state: row.status.into(),
            proved: row.is_proved(),
            auto_registration: row.auto_registration,
            stale_crl: row.stale_crl.into(),
            crls: Vec::new(),
        })
    }

    /// Whether devices are admitted through the anchor, but for its dates.
    fn counts(&self, row: &AnchorRow) -> bool {
        let pop_required = || self.tenant_switches(&row.tenant).is_some_and(|switches| switches.pop_required);
        row.status != AnchorStatus::Disabled && (row.is_proved() || !pop_required())
    }

    fn is_known_elsewhere(&self, row: &AnchorRow) -> bool {
        let age = |row: &AnchorRow| (row.created_at, row.id.clone());
        let shown_instead = |other: &AnchorRow| self.counts(other) || age(other) < age(row);
        let uploaded = self.anchors.iter().filter(|other| other.der == row.der && other.id != row.id);
        let configured = self.configured.values().flat_map(|tenant| &tenant.anchors);
        uploaded.into_iter().any(|other| shown_instead(other))
            || configured.into_iter().any(|anchor| anchor.der == row.der)
    }

    fn tenant_switches(&self, tenant: &str) -> Option<Switches> {
        match self.configured.get(tenant) {
            Some(configured) => Some(configured.switches.clone()),
            None => Some(self.tenants.get(&[tenant])?.profile.as_deref()?.parse::<Profile>().ok()?.switches()),
        }
    }

    /// A snapshot that differs from `old` in one tenant.
    pub(super) fn snapshot_beside(&self, old: &TrustSnapshot, tenant: &str) -> Result<TrustSnapshot, Vec<TrustError>> {
        match self.settings(tenant) {
            Some(settings) => old.with_tenants(&[settings], &[]),
            None => old.with_tenants(&[], &[TenantId::new(tenant)]),
        }
    }

    /// All tenants as one snapshot.
    pub(super) fn snapshot(&self) -> Result<TrustSnapshot, Vec<TrustError>> {
        let settings: Vec<TenantSettings> = self.tenant_names().iter().filter_map(|name| self.settings(name)).collect();
        TrustSnapshot::build(&settings)
    }
}

/// The identifier of an anchor that the configuration names: the beginning of
/// its SHA-256.
pub(super) fn configured_id(anchor: Fingerprint) -> String {
    anchor.to_string().chars().take(24).collect()
}

fn revocation(row: &RevocationRow) -> Option<Revocation> {
    let target = match row.kind {
        RevocationKind::Serial => {
            let anchor = match &row.anchor {
                Some(anchor) => Some(Fingerprint::from_hex(anchor)?),
                None => None,
            };
            RevocationTarget::Serial { anchor, serial: Serial::from_hex(&row.value)? }
        }
        RevocationKind::Fingerprint => RevocationTarget::Fingerprint(Fingerprint::from_hex(&row.value)?),
        RevocationKind::Key => RevocationTarget::Key(Fingerprint::from_hex(&row.value)?),
        RevocationKind::CommonName => RevocationTarget::CommonName(row.value.clone()),
        RevocationKind::Device => RevocationTarget::Device(row.value.clone()),
    };
    let since = i64::try_from(row.since / 1000).unwrap_or(i64::MAX);
    Some(Revocation { target, since, reason: row.reason.parse().unwrap_or(RevocationReason::Unspecified) })
}

fn account(row: &AccountRow) -> Account {
    Account {
        name: row.name.clone(),
        hash: row.hash.clone(),
        role: row.role.parse().unwrap_or(Role::Device),
        enabled: row.enabled,
        grant: row.grant.iter().filter_map(|digits| Fingerprint::from_hex(digits)).collect(),
    }
}
