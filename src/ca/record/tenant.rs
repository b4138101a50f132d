//! A tenant that was made over the API, or what the API changed of one that
//! the configuration names.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// A tenant's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRow {
    /// Its name.
    pub id: String,
    /// Its profile; none when the configuration makes the tenant, and the row
    /// only says whether it is switched on.
    pub profile: Option<String>,
    /// The TLS server name under which clients mean it.
    pub domain: Option<String>,
    /// Whether its clients may connect (CEN-ACC-02).
    pub enabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// Counts its changes.
    pub revision: u64,
}

impl Record for TenantRow {
    const TABLE: Table = Table::Tenants;
    const NAME: &'static str = "tenant";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "profile": self.profile, "domain": self.domain, "enabled": self.enabled })
    }
}
