//! What stands in a certificate, for people and scripts.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::frame::moment::moment_of;

/// A certificate in words.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Certificate {
    /// The subject, in the order of RFC 2253.
    subject: String,
    /// The issuer, in the same order.
    issuer: String,
    /// The serial number, in hexadecimal digits.
    serial: String,
    /// SHA-256 of the DER, in hexadecimal digits.
    fingerprint: String,
    /// Valid from.
    #[schema(format = DateTime)]
    not_before: String,
    /// Valid until.
    #[schema(format = DateTime)]
    not_after: String,
    /// 1, 2 or 3.
    version: u8,
    /// The kind of its key, such as `EC P-256`.
    key: String,
}

impl From<&crate::ca::authority::CertificateFacts> for Certificate {
    fn from(facts: &crate::ca::authority::CertificateFacts) -> Self {
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.to_string(),
            fingerprint: facts.fingerprint.to_string(),
            not_before: moment_of(facts.not_before),
            not_after: moment_of(facts.not_after),
            version: facts.version,
            key: facts.key.to_string(),
        }
    }
}
