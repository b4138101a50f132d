//! Tokens of the API, and one-time tokens of enrolment.
//!
//! What lives here: making, checking and ending them. What does not: where a
//! request carries one (`control/api`). Invariant: a secret is shown once and
//! kept as its digest; a look-up compares digests in constant time, and tells
//! an unknown token from a wrong one neither by answer nor by work.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::access::{Scope, Scopes};
use super::accounts::{check_scopes, may};
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::{Authority, random};
use crate::ca::record::{EnrolmentRow, TokenRow};

/// What every token of the API begins with, so that scanners find lost ones.
const PREFIX: &str = "certus_";
/// What every token of enrolment begins with.
const ENROLMENT_PREFIX: &str = "certus-enrol_";
/// The most tokens of each kind.
const MOST: usize = 10_000;

/// A token that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// How long it lasts; none is for ever.
    pub lasts: Option<Duration>,
}

/// A token as callers see it.
pub type TokenView = Arc<TokenRow>;

/// A token and its only showing.
#[derive(Clone, Debug)]
pub struct Presented<R> {
    /// What is kept of it.
    pub row: Arc<R>,
    /// What its owner has to keep.
    pub secret: Zeroizing<String>,
}

impl Authority {
    /// The tokens of a tenant; the empty tenant is the whole broker.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn tokens(&self, caller: &Caller, tenant: &str) -> Result<Vec<TokenView>, Fault> {
        may(caller, Scope::AccountsRead, tenant)?;
        Ok(self.state().tokens.iter().filter(|row| row.tenant == tenant).cloned().collect())
    }

    /// Makes a token. The caller cannot give what it does not have.
    ///
    /// # Errors
    /// A scope is unknown or too much.
    pub async fn create_token(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewToken,
    ) -> Result<Presented<TokenRow>, Fault> {
        may(caller, Scope::AccountsWrite, tenant)?;
        check_scopes(caller, &new.scopes)?;
        if new.name.trim().is_empty() || new.name.chars().count() > 255 {
            return Err(Fault::in_field(Kind::Invalid, "name", "a token's name has 1 to 255 characters"));
        }
        let id = random::hex(8)?;
        let secret = random::secret(32)?;
        let row = self
            .change(caller, "token.create", |draft| {
                draft.concerns(tenant);
                if !tenant.is_empty() && draft.state.settings(tenant).is_none() {
                    return Err(super::tenants::no_tenant(tenant));
                }
                let old: Vec<_> = draft.state.tokens.iter().filter(|row| has_ended(row, draft.now)).cloned().collect();
                old.iter().for_each(|row| draft.remove(row.as_ref()));
                if draft.state.tokens.iter().count() - old.len() >= MOST {
                    return Err(
                        Fault::new(Kind::LimitReached, format!("there are {MOST} tokens already")).but("delete some")
                    );
                }
                Ok(draft.put(TokenRow {
                    id: id.clone(),
                    tenant: tenant.to_owned(),
                    name: new.name,
                    hash: random::sha256_hex(secret.as_bytes()),
                    scopes: new.scopes,
                    expires_at: new.lasts.map(|lasts| ends(draft.now, lasts)),
                    created_at: draft.now,
                }))
            })
            .await?;
        Ok(Presented { row, secret: Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str())) })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// It is not there.
    pub async fn delete_token(&self, caller: &Caller, id: &str) -> Result<(), Fault> {
        caller.needs_scope(Scope::AccountsWrite)?;
        self.change(caller, "token.delete", |draft| {
            let row = draft.state.tokens.get(&[id]).cloned().ok_or_else(|| Fault::not_found("token", id))?;
            may(caller, Scope::AccountsWrite, &row.tenant).map_err(|_| Fault::not_found("token", id))?;
            draft.concerns(&row.tenant);
            draft.remove(row.as_ref());
            Ok(())
        })
        .await
    }

    /// Who presents this token, if it is one and holds.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Option<Caller> {
        let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
        let row = self.state().tokens.get(&[id]).cloned();
        let right = is_secret(row.as_ref().map_or("", |row| &row.hash), secret);
        let row = row.filter(|row| right && !has_ended(row, self.clock.unix_millis()))?;
        Some(Caller {
            name: Arc::from(format!("token {} ({})", row.name, row.id)),
            tenant: Some(&row.tenant).filter(|tenant| !tenant.is_empty()).map(|tenant| Arc::from(tenant.as_str())),
            scopes: Scopes::read(row.scopes.iter().map(String::as_str)).unwrap_or_default(),
            address: None,
            request: None,
        })
    }

    /// Whether nobody can use the API yet: no token and no account with
    /// scopes is kept, for the whole broker.
    #[must_use]
    pub fn is_unclaimed(&self) -> bool {
        let state = self.state();
        !state.tokens.iter().any(|row| row.tenant.is_empty()) && state.accounts.of(&[""]).next().is_none()
    }

    /// Makes a one-time token with which `device` gets its first certificate.
    ///
    /// # Errors
    /// The caller may not, or there is no such tenant.
    pub async fn create_enrolment(
        &self,
        caller: &Caller,
        tenant: &str,
        device: &str,
        lasts: Duration,
    ) -> Result<Presented<EnrolmentRow>, Fault> {
        caller.needs(Scope::CertificatesWrite, tenant)?;
        if device.is_empty() || device.chars().count() > 64 || device.chars().any(char::is_control) {
            return Err(Fault::in_field(Kind::Invalid, "device", "a CN has 1 to 64 characters and no controls"));
        }
        let id = random::hex(8)?;
        let secret = random::secret(32)?;
        let row = self
            .change(caller, "enrolment.create", |draft| {
                draft.concerns(tenant);
                if draft.state.settings(tenant).is_none() {
                    return Err(super::tenants::no_tenant(tenant));
                }
                let old: Vec<_> =
                    draft.state.enrolments.iter().filter(|row| row.expires_at <= draft.now).cloned().collect();
                old.iter().for_each(|row| draft.remove(row.as_ref()));
                if draft.state.enrolments.iter().count() - old.len() >= MOST {
                    return Err(Fault::new(Kind::LimitReached, format!("there are {MOST} enrolment tokens already")));
                }
                Ok(draft.put(EnrolmentRow {
                    id: id.clone(),
                    tenant: tenant.to_owned(),
                    device: device.to_owned(),
                    hash: random::sha256_hex(secret.as_bytes()),
                    expires_at: ends(draft.now, lasts),
                    created_at: draft.now,
                }))
            })
            .await?;
        Ok(Presented { row, secret: Zeroizing::new(format!("{ENROLMENT_PREFIX}{id}_{}", secret.as_str())) })
    }

    /// Whether `token` has the form of a one-time token, good or not.
    #[must_use]
    pub fn is_enrolment(token: &str) -> bool {
        token.starts_with(ENROLMENT_PREFIX)
    }

    /// The enrolment that this one-time token stands for, if it holds. It is
    /// used up in the change that issues the certificate.
    #[must_use]
    pub fn enrolment(&self, token: &str) -> Option<Arc<EnrolmentRow>> {
        let (id, secret) = token.strip_prefix(ENROLMENT_PREFIX)?.split_once('_')?;
        let row = self.state().enrolments.get(&[id]).cloned();
        let right = is_secret(row.as_ref().map_or("", |row| &row.hash), secret);
        row.filter(|row| right && row.expires_at > self.clock.unix_millis())
    }
}

fn has_ended(row: &TokenRow, now: u64) -> bool {
    row.expires_at.is_some_and(|end| end <= now)
}

fn ends(now: u64, lasts: Duration) -> u64 {
    now.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
}

fn is_secret(hash: &str, secret: &str) -> bool {
    let given = random::sha256_hex(secret.as_bytes());
    aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), hash.as_bytes()).is_ok()
}
