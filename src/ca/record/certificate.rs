//! A certificate that was issued here.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// What a certificate was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateUse {
    /// An agent (MC-AGT-01).
    Agent,
    /// A device, from its own certificate request.
    Device,
    /// A grant of the operator (CEN-CSR-04).
    Grant,
}

/// An issued certificate's row. Its private key is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    /// A ULID.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What it was issued for.
    pub used_for: CertificateUse,
    /// What people call it; of an agent unique in the tenant.
    pub name: String,
    /// Who asked for it to be made.
    pub owner: Option<String>,
    /// 32 hexadecimal digits; agents have one.
    pub agent_id: Option<String>,
    /// The subject's CN.
    pub common_name: String,
    /// The ClientId that it was made for.
    pub client_id: Option<String>,
    /// The account of a grant.
    pub account: Option<String>,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// The certificate, DER.
    #[serde(with = "super::base64_text")]
    pub der: Vec<u8>,
    /// When it starts, in milliseconds since 1970.
    pub not_before: u64,
    /// When it ends, in milliseconds since 1970.
    pub not_after: u64,
    /// When it was taken back, in milliseconds since 1970.
    pub revoked_at: Option<u64>,
    /// Which notices of its end were sent, in days before it.
    #[serde(default)]
    pub noticed: Vec<u16>,
    /// When it was issued, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for CertificateRow {
    const TABLE: Table = Table::IssuedCertificates;
    const NAME: &'static str = "certificate";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.id]
    }

    fn label(&self) -> String {
        format!("{} ({})", self.common_name, self.id)
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name, "cn": self.common_name, "serial": self.serial, "used_for": self.used_for,
            "not_after": self.not_after, "revoked": self.revoked_at.is_some(),
        })
    }
}

/// The name of an agent, so that none is given twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateName {
    /// Whose it is.
    pub tenant: String,
    /// The name.
    pub name: String,
    /// The certificate.
    pub id: String,
}

impl Record for CertificateName {
    const TABLE: Table = Table::IssuedCertificates;
    const KIND: u8 = b'n';
    const NAME: &'static str = "certificate name";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.name]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// A certificate under its CN, so that it is found without looking through all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCertificate {
    /// Whose it is.
    pub tenant: String,
    /// The subject's CN.
    pub common_name: String,
    /// The certificate; empty in the row that says that all have one.
    pub id: String,
}

impl Record for NamedCertificate {
    const TABLE: Table = Table::IssuedCertificates;
    const KIND: u8 = b'c';
    const NAME: &'static str = "certificate by CN";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.common_name, &self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// The grants of one company under one address, so that they are found without
/// looking through all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantHolder {
    /// Whose it is.
    pub tenant: String,
    /// SHA-256 of company and address; empty in the row that says that all
    /// holders of the tenant have one.
    pub holder: String,
    /// The certificates, oldest first, those that were taken back among them.
    pub certificates: Vec<String>,
}

impl Record for GrantHolder {
    const TABLE: Table = Table::IssuedCertificates;
    const KIND: u8 = b'g';
    const NAME: &'static str = "grant holder";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.holder]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
