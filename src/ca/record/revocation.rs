//! What was taken back: single names, and whole lists of a CA.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::identity::crl::CrlSettings;
use crate::store::Table;

/// What a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// A serial number, in hexadecimal digits.
    Serial,
    /// SHA-256 of a certificate.
    Fingerprint,
    /// SHA-256 of a public key (SubjectPublicKeyInfo).
    Key,
    /// A subject CN.
    CommonName,
    /// A device.
    Device,
}

impl RevocationKind {
    /// Its name in keys and texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Fingerprint => "fingerprint",
            Self::Key => "key",
            Self::CommonName => "common_name",
            Self::Device => "device",
        }
    }
}

/// A revocation's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRow {
    /// Whose it is.
    pub tenant: String,
    /// What it names.
    pub kind: RevocationKind,
    /// The name: lower-case hexadecimal digits, or the text itself.
    pub value: String,
    /// The anchor that a serial belongs to, as SHA-256; none for all.
    pub anchor: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why, by the names of RFC 5280 5.3.1, such as `keyCompromise`.
    pub reason: String,
    /// What people noted.
    pub note: Option<String>,
    /// Whether it counts only while the tenant's list is switched on.
    #[serde(default)]
    pub listed: bool,
}

impl Record for RevocationRow {
    const TABLE: Table = Table::Revocations;
    const NAME: &'static str = "revocation";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, self.kind.as_str(), &self.value, self.anchor.as_deref().unwrap_or_default()]
    }

    fn label(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.value)
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "anchor": self.anchor, "since": self.since, "reason": self.reason, "note": self.note })
    }
}

/// A certificate revocation list as it was given or fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrlRow {
    /// Whose it is.
    pub tenant: String,
    /// The anchor that signed it, by its identifier.
    pub anchor: String,
    /// Where it came from: a URL, or `upload`.
    pub source: String,
    /// The list, DER.
    #[serde(with = "super::base64_text")]
    pub der: Vec<u8>,
    /// When it came, in milliseconds since 1970.
    pub taken_at: u64,
    /// What connections know of it, once somebody has asked.
    #[serde(skip)]
    pub(in crate::ca) read: OnceLock<Option<CrlSettings>>,
}

impl CrlRow {
    /// A row for the list `der`, which was read and checked.
    #[must_use]
    pub fn new(tenant: &str, anchor: &str, source: &str, der: &[u8], taken_at: u64) -> Self {
        Self {
            tenant: tenant.to_owned(),
            anchor: anchor.to_owned(),
            source: source.to_owned(),
            der: der.to_vec(),
            taken_at,
            read: OnceLock::new(),
        }
    }
}

impl Record for CrlRow {
    const TABLE: Table = Table::Revocations;
    const KIND: u8 = b'l';
    const NAME: &'static str = "revocation list";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.anchor, &self.source]
    }

    fn label(&self) -> String {
        format!("{} from {}", self.anchor, self.source)
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "bytes": self.der.len(), "source": self.source })
    }
}
