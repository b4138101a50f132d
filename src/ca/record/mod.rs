//! What the control plane keeps, as rows of the store.
//!
//! What lives here: one plain structure for each kind of row, its key, and its
//! form on disk. What does not: what a row means (`authority`), the words of
//! the API (`control`). Invariant: a row begins with the version of its form,
//! and a row of a newer form is refused; the JSON behind it only ever gains
//! optional fields.

mod account;
mod anchor;
mod audit;
mod certificate;
mod device_request;
mod key;
mod option;
mod request;
mod revocation;
mod tenant;
mod token;

pub use account::AccountRow;
pub use anchor::{AnchorRow, AnchorStatus, Proof, StaleCrlPolicy};
pub use audit::AuditRow;
pub use certificate::{CertificateName, CertificateRow, CertificateUse, GrantHolder, NamedCertificate};
pub use device_request::{DeviceRequestRow, DeviceRequestStatus};
pub use key::{KeyRow, KeyUse};
pub use option::OptionRow;
pub use request::{NoticeRow, Posting, RequestRow, RequestStatus};
pub use revocation::{CrlRow, RevocationKind, RevocationRow};
pub use tenant::TenantRow;
pub use token::{EnrolmentRow, LogoutRow, TokenRow};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Table;

/// Parts a key's fields; no field holds it.
const PART: u8 = 0;

/// A kind of row.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Where its rows lie.
    const TABLE: Table;
    /// What tells its rows from others of the same table.
    const KIND: u8 = b'-';
    /// The form that is written, and the newest that is read.
    const FORM: u8 = 1;
    /// What audit lines call it.
    const NAME: &'static str;

    /// The fields of its key, the tenant first.
    fn key_fields(&self) -> Vec<&str>;

    /// What audit lines name it by.
    fn label(&self) -> String {
        self.key_fields().last().copied().unwrap_or_default().to_owned()
    }

    /// The row as audit lines show it: never a secret.
    fn audited(&self) -> serde_json::Value;

    /// Its key in the table.
    fn key(&self) -> Vec<u8> {
        Self::key_of(&self.key_fields())
    }

    /// The key that these fields make.
    fn key_of(fields: &[&str]) -> Vec<u8> {
        let mut key = vec![Self::KIND];
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                key.push(PART);
            }
            key.extend_from_slice(field.as_bytes());
        }
        key
    }

    /// The keys of all rows whose first fields are these.
    fn prefix_of(fields: &[&str]) -> Vec<u8> {
        let mut key = Self::key_of(fields);
        if !fields.is_empty() {
            key.push(PART);
        }
        key
    }

    /// The row as bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::FORM];
        // Rows are plain structures of texts and numbers: JSON holds them all.
        let _ = serde_json::to_writer(&mut bytes, self);
        bytes
    }

    /// Reads a row.
    ///
    /// # Errors
    /// It is of a newer form, or damaged.
    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (form, json) = bytes.split_first().ok_or(RecordError::Damaged(Self::NAME))?;
        if *form > Self::FORM {
            return Err(RecordError::Newer { name: Self::NAME, form: *form, known: Self::FORM });
        }
        serde_json::from_slice(json).map_err(|_| RecordError::Damaged(Self::NAME))
    }
}

/// Why a row cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A later version of the broker wrote it.
    #[error(
        "a row of the kind \"{name}\" has form {form}, this version reads up to {known}; use the version that wrote it"
    )]
    Newer {
        /// The kind.
        name: &'static str,
        /// Its form.
        form: u8,
        /// The newest form that is read.
        known: u8,
    },
    /// It is not whole.
    #[error("a row of the kind \"{0}\" is damaged; `certus store check` tells what else is")]
    Damaged(&'static str),
}

/// Bytes as base64 in JSON.
mod base64_text {
    use base64ct::{Base64, Encoding};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Base64::decode_vec(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option() -> OptionRow {
        OptionRow { tenant: "t1".into(), category: "c".into(), key: "k".into(), value: "v".into() }
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        assert_eq!(OptionRow::decode(&option().encode()), Ok(option()));
    }

    #[test]
    fn a_newer_form_and_damage_are_told_apart() {
        let mut bytes = option().encode();
        bytes[0] = 2;
        assert!(matches!(OptionRow::decode(&bytes), Err(RecordError::Newer { form: 2, .. })));
        bytes[0] = 1;
        for cut in 0..bytes.len() {
            assert_eq!(OptionRow::decode(&bytes[..cut]), Err(RecordError::Damaged("option")), "{cut}");
        }
    }

    #[test]
    fn the_rows_of_one_tenant_are_not_those_of_a_longer_name() {
        let key = OptionRow::key_of(&["t10", "c", "k"]);
        assert!(!key.starts_with(&OptionRow::prefix_of(&["t1"])));
        assert!(key.starts_with(&OptionRow::prefix_of(&["t10"])) && key.starts_with(&OptionRow::prefix_of(&[])));
    }
}
