//! A certificate request that waits for somebody's decision (CEN-CSR-03).

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// It waits.
    Pending,
    /// Its certificate was issued.
    Issued,
    /// It was rejected.
    Rejected,
}

/// A request's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// A ULID.
    pub id: String,
    /// Whose it is: the CN of its subject.
    pub tenant: String,
    /// The request, DER.
    #[serde(with = "super::base64_text")]
    pub der: Vec<u8>,
    /// The company, O of its subject.
    pub organization: String,
    /// The address that notices go to.
    pub email: String,
    /// The curve of its key.
    pub curve: String,
    /// How far it has come.
    pub status: RequestStatus,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// The certificate that came of it, by its identifier.
    pub certificate: Option<String>,
    /// When it came, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for RequestRow {
    const TABLE: Table = Table::CertificateRequests;
    const NAME: &'static str = "certificate request";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({
            "tenant": self.tenant, "organization": self.organization, "email": self.email, "status": self.status,
            "reason": self.reason,
        })
    }
}

/// A mail that tells of a certificate's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeRow {
    /// A ULID.
    pub id: String,
    /// Whose certificate it is about.
    pub tenant: String,
    /// The address that it goes to.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// The certificate, by its identifier.
    pub certificate: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at: Option<u64>,
    /// How often that was tried.
    pub attempts: u32,
    /// Whether it is tried no more, though it was not sent.
    #[serde(default)]
    pub given_up: bool,
    /// What it tells, for programs: `issued`, `ends` or `ended`.
    #[serde(default)]
    pub event: String,
    /// How far it came as a post to a web address.
    #[serde(default)]
    pub post: Posting,
    /// When it was written, in milliseconds since 1970.
    pub created_at: u64,
}

/// How far a notice came on its way to a web address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// When it was taken, in milliseconds since 1970.
    pub sent_at: Option<u64>,
    /// How often that was tried.
    pub attempts: u32,
    /// Whether it is tried no more, though it was not taken.
    pub given_up: bool,
}

impl NoticeRow {
    /// How often it was tried: as a post, or as a mail.
    #[must_use]
    pub const fn attempts_by(&self, post: bool) -> u32 {
        if post { self.post.attempts } else { self.attempts }
    }
}

impl Record for NoticeRow {
    const TABLE: Table = Table::CertificateRequests;
    const KIND: u8 = b'm';
    const NAME: &'static str = "notice";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "to": self.to, "subject": self.subject, "certificate": self.certificate, "sent_at": self.sent_at, "given_up": self.given_up, "posted_at": self.post.sent_at })
    }
}
