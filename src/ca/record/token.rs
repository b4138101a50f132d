//! Tokens of the API, and the one-time tokens of enrolment.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// A token's row: its secret is known to its owner alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The part of the token that names it.
    pub id: String,
    /// Whose it is; empty for those who run the whole broker.
    pub tenant: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret part, in hexadecimal digits.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for TokenRow {
    const TABLE: Table = Table::Tokens;
    const NAME: &'static str = "token";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn label(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "tenant": self.tenant, "name": self.name, "scopes": self.scopes, "expires_at": self.expires_at })
    }
}

/// A one-time token with which a device gets its first certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentRow {
    /// The part of the token that names it.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The device, which is the CN of the certificate.
    pub device: String,
    /// SHA-256 of the secret part, in hexadecimal digits.
    pub hash: String,
    /// When it ends, in milliseconds since 1970.
    pub expires_at: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for EnrolmentRow {
    const TABLE: Table = Table::Tokens;
    const KIND: u8 = b'e';
    const NAME: &'static str = "enrolment token";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn label(&self) -> String {
        format!("{} ({})", self.device, self.id)
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "tenant": self.tenant, "device": self.device, "expires_at": self.expires_at })
    }
}

/// The end of all access tokens that somebody was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutRow {
    /// The tenant; empty for the whole broker.
    pub tenant: String,
    /// Whom they were given to.
    pub subject: String,
    /// Those that were given until then, in seconds since 1970.
    pub before: u64,
    /// The same in milliseconds; earlier versions wrote seconds alone.
    #[serde(default)]
    pub millis: Option<u64>,
}

impl LogoutRow {
    /// Those that were given until then, in milliseconds since 1970.
    #[must_use]
    pub fn before_millis(&self) -> u64 {
        self.millis.unwrap_or(self.before.saturating_mul(1000).saturating_add(999))
    }
}

impl Record for LogoutRow {
    const TABLE: Table = Table::Tokens;
    const KIND: u8 = b'x';
    const NAME: &'static str = "logout";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.subject]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "before": self.before })
    }
}
