//! An account that was made over the API.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// An account's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Whose it is; empty for those who run the whole broker.
    pub tenant: String,
    /// Its name, without the tenant.
    pub name: String,
    /// The password's hash, `$argon2id$…`.
    pub hash: String,
    /// What it is for towards MQTT: `device`, `application` or `operator`.
    pub role: String,
    /// What it may do over the API.
    pub scopes: Vec<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// SHA-256 of the certificates that it was given together with, in
    /// hexadecimal digits, if it is the account of a grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// Counts its changes.
    pub revision: u64,
}

impl Record for AccountRow {
    const TABLE: Table = Table::Accounts;
    const NAME: &'static str = "account";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.name]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "role": self.role, "scopes": self.scopes, "enabled": self.enabled, "grant": self.grant })
    }
}
