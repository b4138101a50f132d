//! Tenants: those of the configuration, and those made over the API.

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::state::State;
use crate::ca::record::TenantRow;
use crate::identity::switch::Profile;
use crate::identity::tenant::TenantSettings;

/// A tenant that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTenant {
    /// Its name.
    pub id: String,
    /// Its profile.
    pub profile: Profile,
    /// The TLS server name under which clients mean it.
    pub domain: Option<String>,
}

/// What is to change of a tenant; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Whether its clients may connect.
    pub enabled: Option<bool>,
    /// The TLS server name; `Some(None)` takes it away.
    pub domain: Option<Option<String>>,
    /// The revision that the change was made for.
    pub if_revision: Option<u64>,
}

/// A tenant as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantView {
    /// All that connections know of it.
    pub settings: TenantSettings,
    /// Whether its clients may connect.
    pub enabled: bool,
    /// Whether the configuration file makes it.
    pub configured: bool,
    /// When it was made, in milliseconds since 1970; none when it is
    /// configured.
    pub created_at: Option<u64>,
    /// Counts its changes.
    pub revision: u64,
}

impl Authority {
    /// The tenants that the caller may see, in order of their names.
    ///
    /// # Errors
    /// The caller may see none.
    pub fn tenants(&self, caller: &Caller) -> Result<Vec<TenantView>, Fault> {
        caller.needs_scope(Scope::TenantsRead)?;
        let state = self.state();
        let mine = |name: &String| caller.tenant.as_deref().is_none_or(|own| own == name);
        Ok(state.tenant_names().iter().filter(|name| mine(name)).filter_map(|name| view(&state, name)).collect())
    }

    /// One tenant.
    ///
    /// # Errors
    /// It is not there, or not the caller's.
    pub fn tenant(&self, caller: &Caller, id: &str) -> Result<TenantView, Fault> {
        caller.needs(Scope::TenantsRead, id)?;
        view(&self.state(), id).ok_or_else(|| no_tenant(id))
    }

    /// The tenant of this name, whoever asks: for the checks of a request that
    /// nobody signed (CEN-CSR-02).
    #[must_use]
    pub fn find_tenant(&self, id: &str) -> Option<TenantView> {
        view(&self.state(), id)
    }

    /// Whether there is such a tenant, whoever asks.
    #[must_use]
    pub fn has_tenant(&self, id: &str) -> bool {
        self.state().has(id)
    }

    /// The tenant whose domain this is.
    #[must_use]
    pub fn tenant_of_domain(&self, domain: &str) -> Option<String> {
        let state = self.state();
        let is = |own: Option<&String>| own.is_some_and(|own| own.eq_ignore_ascii_case(domain));
        let configured = state.configured.values().find(|tenant| is(tenant.domain.as_ref()));
        let made = || state.tenants.iter().find(|row| is(row.domain.as_ref())).map(|row| row.id.clone());
        configured.map(|tenant| tenant.id.to_string()).or_else(made)
    }

    /// The first tenant of a profile by its name: the only one, mostly.
    #[must_use]
    pub fn first_tenant(&self, profile: Profile) -> Option<String> {
        self.state().tenants_of(profile).into_iter().next()
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// Its name is taken or cannot be one, or its domain is another's.
    pub async fn create_tenant(&self, caller: &Caller, new: NewTenant) -> Result<TenantView, Fault> {
        caller.needs_everywhere(Scope::TenantsWrite)?;
        check_id(&new.id)?;
        let id = new.id.clone();
        self.change(caller, "tenant.create", move |draft| {
            draft.concerns(&new.id);
            if draft.state.settings(&new.id).is_some() {
                return Err(Fault::new(Kind::AlreadyExists, format!("tenant {} exists already", new.id)));
            }
            let profile = Some(new.profile.to_string());
            let domain = new.domain.map(|domain| domain.to_ascii_lowercase());
            draft.put(TenantRow { id: new.id, profile, domain, enabled: true, created_at: draft.now, revision: 1 });
            Ok(())
        })
        .await?;
        view(&self.state(), &id).ok_or_else(|| no_tenant(&id))
    }

    /// Changes a tenant. Of a configured one only `enabled`.
    ///
    /// # Errors
    /// It is not there, or the configuration file says otherwise.
    pub async fn change_tenant(&self, caller: &Caller, id: &str, change: TenantChange) -> Result<TenantView, Fault> {
        caller.needs(Scope::TenantsWrite, id)?;
        self.change(caller, "tenant.change", |draft| {
            let mut row = row_of(draft, id)?;
            expect_revision(change.if_revision, row.revision, "tenant", id)?;
            if let Some(domain) = change.domain {
                if row.profile.is_none() {
                    return Err(configured("tenant", id));
                }
                row.domain = domain.map(|domain| domain.to_ascii_lowercase());
            }
            row.enabled = change.enabled.unwrap_or(row.enabled);
            row.revision += 1;
            draft.put(row);
            Ok(())
        })
        .await?;
        view(&self.state(), id).ok_or_else(|| no_tenant(id))
    }

    /// Deletes a tenant that was made over the API, and what belongs to it.
    ///
    /// # Errors
    /// It is not there, or configured.
    pub async fn delete_tenant(&self, caller: &Caller, id: &str) -> Result<(), Fault> {
        caller.needs_everywhere(Scope::TenantsWrite)?;
        self.change(caller, "tenant.delete", |draft| {
            draft.concerns(id);
            let row = draft.state.tenants.get(&[id]).filter(|row| row.profile.is_some());
            let Some(row) = row else {
                let there = draft.state.configured.contains_key(id);
                return Err(if there { configured("tenant", id) } else { no_tenant(id) });
            };
            draft.remove(row.as_ref());
            remove_belongings(draft, id);
            Ok(())
        })
        .await
    }
}

fn remove_belongings(draft: &mut Draft<'_>, id: &str) {
    let state = draft.state;
    state.anchors.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.accounts.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.revocations.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.crls.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.keys.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.options.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.device_requests.of(&[id]).for_each(|row| draft.remove(row.as_ref()));
    state.tokens.iter().filter(|row| row.tenant == id).for_each(|row| draft.remove(row.as_ref()));
    state.enrolments.iter().filter(|row| row.tenant == id).for_each(|row| draft.remove(row.as_ref()));
}

/// The row of a tenant; that of a configured one begins empty.
fn row_of(draft: &mut Draft<'_>, id: &str) -> Result<TenantRow, Fault> {
    draft.concerns(id);
    if let Some(row) = draft.state.tenants.get(&[id]) {
        return Ok(row.as_ref().clone());
    }
    if !draft.state.configured.contains_key(id) {
        return Err(no_tenant(id));
    }
    Ok(TenantRow { id: id.to_owned(), profile: None, domain: None, enabled: true, created_at: draft.now, revision: 0 })
}

fn view(state: &State, id: &str) -> Option<TenantView> {
    let row = state.tenants.get(&[id]);
    Some(TenantView {
        settings: state.settings(id)?,
        enabled: row.is_none_or(|row| row.enabled),
        configured: state.configured.contains_key(id),
        created_at: row.filter(|row| row.profile.is_some()).map(|row| row.created_at),
        revision: row.map_or(0, |row| row.revision),
    })
}

pub(super) fn no_tenant(id: &str) -> Fault {
    Fault::new(Kind::NoTenant, format!("there is no tenant {id}"))
}

pub(super) fn configured(what: &str, name: &str) -> Fault {
    Fault::new(Kind::Configured, format!("{what} {name} is made by the configuration file"))
        .but("change it there and reload the broker")
}

/// Lets a change pass that was made for the revision that holds.
pub(super) fn expect_revision(wanted: Option<u64>, holds: u64, what: &str, name: &str) -> Result<(), Fault> {
    if wanted.is_none_or(|wanted| wanted == holds) {
        return Ok(());
    }
    Err(Fault::new(Kind::Stale, format!("{what} {name} was changed meanwhile")).but("read it again, then change it"))
}

/// A tenant's name stands in user names and topics.
fn check_id(id: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 64 && id.chars().all(good) && id != "management" {
        return Ok(());
    }
    Err(Fault::in_field(Kind::Invalid, "id", format!("{id:?} cannot name a tenant"))
        .but("use 1 to 64 letters, digits, hyphens, underscores and dots"))
}
