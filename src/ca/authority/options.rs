//! Options of a tenant (C8Y-OPT-01).

use std::sync::Arc;
use std::time::Duration;

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::certificates::CERTIFICATE_DAYS;
use super::fault::{Fault, Kind};
use super::state::State;
use super::tenants::no_tenant;
use crate::ca::record::OptionRow;
use crate::ca::signer::AGENT_CA_DAYS;

/// How long device tokens last, when nothing else is set.
const LIFESPAN: u64 = 3600;
/// The shortest that may be set.
const SHORTEST: u64 = 300;
const TOKENS: (&str, &str) = ("oauth.internal", "device-token.lifespan.seconds");
/// Whether the tenant's own list of serials counts (C8Y-CRL-01).
pub(super) const OFFLINE_LIST: (&str, &str) = ("configuration", "crl.offline.check.enabled");
/// Whether lists that certificates name are fetched: they never are.
const ONLINE_LIST: (&str, &str) = ("configuration", "crl.online.check.enabled");
/// How long agents' certificates last, days (MC-AGT-06).
const AGENT_DAYS: (&str, &str) = ("mc", "agent_cert_days");
/// The most that may be set, days: their CA lasts no longer.
const MOST_DAYS: u32 = AGENT_CA_DAYS;
/// What the keys of secrets begin with. Their values are told to nobody, and
/// lie sealed in the store.
const SECRET: &str = "credentials.";
/// The most options of one tenant.
const MOST: usize = 1000;

impl Authority {
    /// The options of a tenant that were set.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn options(&self, caller: &Caller, tenant: &str) -> Result<Vec<Arc<OptionRow>>, Fault> {
        caller.needs(Scope::OptionsRead, tenant)?;
        Ok(self.state().options.of(&[tenant]).cloned().collect())
    }

    /// One option: what was set, else its default.
    ///
    /// # Errors
    /// It was not set and has no default.
    pub fn option(&self, caller: &Caller, tenant: &str, category: &str, key: &str) -> Result<OptionRow, Fault> {
        caller.needs(Scope::OptionsRead, tenant)?;
        let row = self.state().options.get(&[tenant, category, key]).map(|row| row.as_ref().clone());
        let default = match (category, key) {
            TOKENS => Some(LIFESPAN.to_string()),
            AGENT_DAYS => Some(CERTIFICATE_DAYS.to_string()),
            OFFLINE_LIST | ONLINE_LIST => Some("false".to_owned()),
            _ => None,
        };
        let row = row.or_else(|| Some(named(tenant, category, key, default?)));
        row.ok_or_else(|| Fault::not_found("option", &format!("{category}/{key}")))
    }

    /// Sets an option.
    ///
    /// # Errors
    /// The value is not one that the option can have.
    pub async fn set_option(
        &self,
        caller: &Caller,
        tenant: &str,
        category: &str,
        key: &str,
        value: &str,
    ) -> Result<Arc<OptionRow>, Fault> {
        caller.needs(Scope::OptionsWrite, tenant)?;
        check(category, key, value)?;
        self.change(caller, "option.set", |draft| {
            draft.concerns(tenant);
            if draft.state.settings(tenant).is_none() {
                return Err(no_tenant(tenant));
            }
            if draft.state.options.of(&[tenant]).count() >= MOST
                && draft.state.options.get(&[tenant, category, key]).is_none()
            {
                return Err(Fault::new(Kind::LimitReached, format!("tenant {tenant} has {MOST} options already")));
            }
            let value = match key.starts_with(SECRET) {
                true => self.keys.seal_option(value, tenant)?,
                false => value.to_owned(),
            };
            Ok(draft.put(named(tenant, category, key, value)))
        })
        .await
    }

    /// Takes an option back to its default.
    ///
    /// # Errors
    /// It was not set.
    pub async fn delete_option(&self, caller: &Caller, tenant: &str, category: &str, key: &str) -> Result<(), Fault> {
        caller.needs(Scope::OptionsWrite, tenant)?;
        self.change(caller, "option.delete", |draft| {
            draft.concerns(tenant);
            let row = draft.state.options.get(&[tenant, category, key]).cloned();
            draft.remove(row.ok_or_else(|| Fault::not_found("option", &format!("{category}/{key}")))?.as_ref());
            Ok(())
        })
        .await
    }

    /// How long the tokens of a tenant's devices last.
    #[must_use]
    pub fn device_token_lifespan(&self, tenant: &str) -> Duration {
        let set = self.state().options.get(&[tenant, TOKENS.0, TOKENS.1]).and_then(|row| row.value.parse().ok());
        Duration::from_secs(set.unwrap_or(LIFESPAN))
    }
}

/// How long the certificates of a tenant's agents last, days.
pub(super) fn agent_days(state: &State, tenant: &str) -> u32 {
    let set = state.options.get(&[tenant, AGENT_DAYS.0, AGENT_DAYS.1]).and_then(|row| row.value.parse().ok());
    set.unwrap_or(CERTIFICATE_DAYS)
}

fn named(tenant: &str, category: &str, key: &str, value: String) -> OptionRow {
    OptionRow { tenant: tenant.to_owned(), category: category.to_owned(), key: key.to_owned(), value }
}

fn check(category: &str, key: &str, value: &str) -> Result<(), Fault> {
    let named = |text: &str| !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    if !named(category) || !named(key) || value.len() > 4096 {
        return Err(Fault::in_field(
            Kind::Invalid,
            "key",
            "category and key have 1 to 256 characters, a value 4096 at most",
        ));
    }
    let wrong = |what: String| Err(Fault::in_field(Kind::Invalid, "value", what));
    match (category, key) {
        TOKENS if !value.parse::<u64>().is_ok_and(|seconds| (SHORTEST..=31_536_000).contains(&seconds)) => {
            wrong(format!("{value:?} is no number of seconds from {SHORTEST} to 31536000"))
        }
        AGENT_DAYS if !value.parse::<u32>().is_ok_and(|days| (1..=MOST_DAYS).contains(&days)) => {
            wrong(format!("{value:?} is no number of days from 1 to {MOST_DAYS}"))
        }
        OFFLINE_LIST | ONLINE_LIST if !matches!(value, "true" | "false") => {
            wrong(format!("{value:?} is neither true nor false"))
        }
        // What was switched on would have to count.
        ONLINE_LIST if value == "true" => wrong(
            "no list is fetched from where a certificate says; name the addresses as `crl` of the anchor in the \
             configuration: what is fetched from there counts, whatever this option is"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}
