//! A line of the audit: who did what, when, and what it was before.

use serde::{Deserialize, Serialize};

use crate::store::Table;

/// An audit line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Tells lines of the same moment apart.
    pub number: u32,
    /// Who: an account, a token, a device, or the broker itself.
    pub who: String,
    /// From where.
    pub address: Option<String>,
    /// Whose tenant it concerns; empty for the whole broker.
    pub tenant: String,
    /// What was done, such as `anchor.upload`.
    pub action: String,
    /// To which kind of thing.
    pub kind: String,
    /// To which one.
    pub object: String,
    /// How it was before; null when it was not there.
    pub before: serde_json::Value,
    /// How it is now; null when it is gone.
    pub after: serde_json::Value,
    /// The request that it belongs to.
    pub request: Option<String>,
}

impl AuditRow {
    /// Where the lines lie.
    pub const TABLE: Table = Table::Audit;
    const FORM: u8 = 1;

    /// Its key: lines sort by time.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = self.at.to_be_bytes().to_vec();
        key.extend_from_slice(&self.number.to_be_bytes());
        key
    }

    /// The row as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::FORM];
        let _ = serde_json::to_writer(&mut bytes, self); // texts and numbers: JSON holds them all
        bytes
    }

    /// Reads a row.
    ///
    /// # Errors
    /// It is of a newer form, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, super::RecordError> {
        let (form, json) = bytes.split_first().ok_or(super::RecordError::Damaged("audit"))?;
        if *form > Self::FORM {
            return Err(super::RecordError::Newer { name: "audit", form: *form, known: Self::FORM });
        }
        serde_json::from_slice(json).map_err(|_| super::RecordError::Damaged("audit"))
    }
}
