//! Private keys of CAs that are made here, sealed.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Signs the certificates of a tenant's agents and devices.
    Issuer,
    /// Signs for many tenants (CEN-CA-01).
    Operator,
    /// Signs access tokens.
    Tokens,
}

impl KeyUse {
    /// Its name in keys and texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Operator => "operator",
            Self::Tokens => "tokens",
        }
    }
}

/// A key's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Whose it is; empty for those of the whole broker.
    pub tenant: String,
    /// What it is for.
    pub used_for: KeyUse,
    /// The key, sealed.
    #[serde(with = "super::base64_text")]
    pub sealed: Vec<u8>,
    /// Its certificate, DER; empty where there is none.
    #[serde(with = "super::base64_text")]
    pub certificate: Vec<u8>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for KeyRow {
    const TABLE: Table = Table::Keys;
    const NAME: &'static str = "key";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, self.used_for.as_str()]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "used_for": self.used_for })
    }
}
