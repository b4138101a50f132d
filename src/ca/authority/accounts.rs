//! Accounts that are made over the API. Their passwords come hashed.

use std::sync::Arc;

use super::Authority;
use super::access::{Scope, Scopes};
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::tenants::{configured, expect_revision, no_tenant};
use crate::ca::record::AccountRow;
use crate::identity::account::{Account, check_name};
use crate::identity::switch::Role;

/// An account that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Its name, without the tenant.
    pub name: String,
    /// The password's hash.
    pub hash: String,
    /// What it is for towards MQTT.
    pub role: Role,
    /// What it may do over the API.
    pub scopes: Vec<String>,
}

/// What is to change of an account; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The hash of a new password.
    pub hash: Option<String>,
    /// What it is for towards MQTT.
    pub role: Option<Role>,
    /// What it may do over the API.
    pub scopes: Option<Vec<String>>,
    /// Whether it may be used.
    pub enabled: Option<bool>,
    /// The revision that the change was made for.
    pub if_revision: Option<u64>,
}

impl Authority {
    /// The accounts of a tenant: configured ones (as rows without revision)
    /// and those made over the API. The empty tenant is the whole broker.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn accounts(&self, caller: &Caller, tenant: &str) -> Result<Vec<Arc<AccountRow>>, Fault> {
        may(caller, Scope::AccountsRead, tenant)?;
        let state = self.state();
        if !tenant.is_empty() && state.settings(tenant).is_none() {
            return Err(no_tenant(tenant));
        }
        let from_file = state.configured.get(tenant).map(|tenant| tenant.accounts.as_slice()).unwrap_or_default();
        let mut all: Vec<_> = from_file.iter().map(|account| Arc::new(of_file(tenant, account))).collect();
        all.extend(state.accounts.of(&[tenant]).cloned());
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The account behind a user name, for the check of its password:
    /// whoever asks. The empty tenant is the whole broker.
    #[must_use]
    pub fn find_account(&self, tenant: &str, name: &str) -> Option<Arc<AccountRow>> {
        let state = self.state();
        if let Some(row) = state.accounts.get(&[tenant, name]) {
            return Some(Arc::clone(row));
        }
        let account = state.configured.get(tenant)?.accounts.iter().find(|account| account.name == name)?;
        Some(Arc::new(of_file(tenant, account)))
    }

    /// Makes an account. The caller cannot give what it does not have.
    ///
    /// # Errors
    /// The name is taken or cannot be one.
    pub async fn create_account(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewAccount,
    ) -> Result<Arc<AccountRow>, Fault> {
        may(caller, Scope::AccountsWrite, tenant)?;
        check_name(&new.name).map_err(|error| Fault::in_field(Kind::Invalid, "name", error.to_string()))?;
        check_scopes(caller, &new.scopes)?;
        self.change(caller, "account.create", |draft| {
            draft.concerns(tenant);
            if !tenant.is_empty() && draft.state.settings(tenant).is_none() {
                return Err(no_tenant(tenant));
            }
            let from_file = draft.state.configured.get(tenant);
            let taken = from_file.is_some_and(|tenant| tenant.accounts.iter().any(|account| account.name == new.name));
            if taken || draft.state.accounts.get(&[tenant, &new.name]).is_some() {
                return Err(Fault::new(Kind::NameTaken, format!("the account {} exists already", new.name)));
            }
            Ok(draft.put(AccountRow {
                tenant: tenant.to_owned(),
                name: new.name,
                hash: new.hash,
                role: new.role.to_string(),
                scopes: new.scopes,
                enabled: true,
                grant: Vec::new(),
                created_at: draft.now,
                revision: 1,
            }))
        })
        .await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// It is not there, is configured, or was changed meanwhile.
    pub async fn change_account(
        &self,
        caller: &Caller,
        tenant: &str,
        name: &str,
        change: AccountChange,
    ) -> Result<Arc<AccountRow>, Fault> {
        may(caller, Scope::AccountsWrite, tenant)?;
        if let Some(scopes) = &change.scopes {
            check_scopes(caller, scopes)?;
        }
        self.change(caller, "account.change", |draft| {
            draft.concerns(tenant);
            let mut row = made(draft.state, tenant, name)?.as_ref().clone();
            check_scopes(caller, &row.scopes)?; // a lesser one does not take over a greater one
            expect_revision(change.if_revision, row.revision, "account", name)?;
            row.hash = change.hash.unwrap_or(row.hash);
            row.role = change.role.map_or(row.role, |role| role.to_string());
            row.scopes = change.scopes.unwrap_or(row.scopes);
            row.enabled = change.enabled.unwrap_or(row.enabled);
            row.revision += 1;
            Ok(draft.put(row))
        })
        .await
    }

    /// Deletes an account.
    ///
    /// # Errors
    /// It is not there, or configured.
    pub async fn delete_account(&self, caller: &Caller, tenant: &str, name: &str) -> Result<(), Fault> {
        may(caller, Scope::AccountsWrite, tenant)?;
        self.change(caller, "account.delete", |draft| {
            draft.concerns(tenant);
            let row = made(draft.state, tenant, name)?;
            check_scopes(caller, &row.scopes)?;
            draft.remove(row.as_ref());
            Ok(())
        })
        .await
    }
}

/// The empty tenant is the whole broker.
pub(super) fn may(caller: &Caller, scope: Scope, tenant: &str) -> Result<(), Fault> {
    if tenant.is_empty() { caller.needs_everywhere(scope) } else { caller.needs(scope, tenant) }
}

/// Nobody grants what they lack.
pub(super) fn check_scopes(caller: &Caller, scopes: &[String]) -> Result<Scopes, Fault> {
    let wanted = Scopes::read(scopes.iter().map(String::as_str))
        .map_err(|error| Fault::in_field(Kind::Invalid, "scopes", error.to_string()))?;
    if caller.scopes.covers(wanted) {
        return Ok(wanted);
    }
    let detail = format!("{} cannot grant scopes that it does not have", caller.name);
    Err(Fault::in_field(Kind::Forbidden, "scopes", detail))
}

/// The row of an account that the API made.
fn made(state: &super::state::State, tenant: &str, name: &str) -> Result<Arc<AccountRow>, Fault> {
    if let Some(row) = state.accounts.get(&[tenant, name]) {
        return Ok(Arc::clone(row));
    }
    let from_file = state.configured.get(tenant);
    if from_file.is_some_and(|tenant| tenant.accounts.iter().any(|account| account.name == name)) {
        return Err(configured("account", name));
    }
    Err(Fault::not_found("account", name))
}

/// A configured operator may do over the API what operators do; others may
/// not use it.
fn of_file(tenant: &str, account: &Account) -> AccountRow {
    let scopes = match account.role {
        Role::Operator => vec!["admin".to_owned()],
        Role::Application | Role::Device => Vec::new(),
    };
    AccountRow {
        tenant: tenant.to_owned(),
        name: account.name.clone(),
        hash: account.hash.clone(),
        role: account.role.to_string(),
        scopes,
        enabled: account.enabled,
        grant: Vec::new(),
        created_at: 0,
        revision: 0,
    }
}
