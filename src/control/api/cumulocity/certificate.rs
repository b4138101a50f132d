//! A trusted certificate as Cumulocity shows it (C8Y-TC-01).

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::authority::AnchorView;
use crate::ca::record::AnchorStatus;

use super::super::frame::moment::{moment, moment_of};
use super::site::Site;

/// Whether a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum CertificateStatus {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
}

impl From<CertificateStatus> for AnchorStatus {
    fn from(status: CertificateStatus) -> Self {
        match status {
            CertificateStatus::Enabled => Self::Enabled,
            CertificateStatus::Disabled => Self::Disabled,
        }
    }
}

impl From<AnchorStatus> for CertificateStatus {
    fn from(status: AnchorStatus) -> Self {
        match status {
            AnchorStatus::Enabled => Self::Enabled,
            AnchorStatus::Disabled | AnchorStatus::RenewOnly => Self::Disabled,
        }
    }
}

/// A trusted certificate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TrustedCertificate {
    /// The algorithm that it is signed by, such as `SHA256withRSA`.
    algorithm_name: String,
    /// The version of X.509: 1, 2 or 3.
    version: u8,
    /// Whether a first connection under it makes the device known.
    auto_registration_enabled: bool,
    /// SHA-1 of the certificate, in hexadecimal digits: its name here.
    fingerprint: String,
    /// The issuer, in the order of RFC 2253.
    issuer: String,
    /// The subject, in the same order.
    subject: String,
    /// The serial number, decimal.
    serial_number: String,
    /// What people call it.
    name: String,
    /// Valid from.
    #[schema(format = DateTime)]
    not_before: String,
    /// Valid until.
    #[schema(format = DateTime)]
    not_after: String,
    /// Whether it counts.
    status: CertificateStatus,
    /// The certificate in base64, without the markers of PEM.
    cert_in_pem_format: String,
    /// Whether it is the tenant's own CA, kept by the broker.
    tenant_certificate_authority: bool,
    /// Whether possession of its key is proved.
    proof_of_possession_valid: bool,
    /// The code whose signature proves possession.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_of_possession_unsigned_verification_code: Option<String>,
    /// Until when the code counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    proof_of_possession_verification_code_usable_until: Option<String>,
    /// Its address.
    #[serde(rename = "self")]
    pub(super) own: String,
}

impl TrustedCertificate {
    /// As it is shown to whoever asks this site.
    pub(super) fn new(site: &Site, view: &AnchorView) -> Self {
        let (row, facts, fingerprint) = (&view.row, &view.facts, view.sha1());
        let challenge = row.challenge.as_ref();
        Self {
            algorithm_name: java_name(&view.signature_oid()),
            version: facts.version,
            auto_registration_enabled: row.auto_registration,
            issuer: facts.issuer.clone(),
            subject: facts.subject.clone(),
            serial_number: decimal(facts.serial.significant()),
            name: row.name.clone(),
            not_before: moment_of(facts.not_before),
            not_after: moment_of(facts.not_after),
            status: row.status.into(),
            cert_in_pem_format: in_lines(&Base64::encode_string(&row.der)),
            tenant_certificate_authority: false,
            proof_of_possession_valid: view.proved,
            proof_of_possession_unsigned_verification_code: challenge.map(|proof| proof.code.clone()),
            proof_of_possession_verification_code_usable_until: challenge.map(|proof| moment(proof.until)),
            own: site.link(&["tenant", "tenants", &row.tenant, "trusted-certificates", &fingerprint]),
            fingerprint,
        }
    }
}

/// Lines of 64 characters, as PEM has them.
fn in_lines(base64: &str) -> String {
    let lines = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that Java has for the algorithms; others keep their number.
fn java_name(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.5" => "SHA1withRSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "SHA256withRSA",
        "1.2.840.113549.1.1.12" => "SHA384withRSA",
        "1.2.840.113549.1.1.13" => "SHA512withRSA",
        "1.2.840.10045.4.3.2" => "SHA256withECDSA",
        "1.2.840.10045.4.3.3" => "SHA384withECDSA",
        "1.2.840.10045.4.3.4" => "SHA512withECDSA",
        "1.3.101.112" => "Ed25519",
        other => other,
    };
    name.to_owned()
}

/// Digits of one limb.
const DIGITS: usize = 9;
const LIMB: u64 = 1_000_000_000;

/// A big-endian number as decimal text. It is as long as a certificate lets it
/// be: kilobytes at most.
fn decimal(bytes: &[u8]) -> String {
    let mut limbs: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for limb in &mut limbs {
            let value = (*limb << 8) + carry;
            (*limb, carry) = (value % LIMB, value / LIMB);
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut limbs = limbs.iter().rev();
    let first = limbs.next().map_or_else(String::new, u64::to_string);
    limbs.fold(first, |text, limb| format!("{text}{limb:0DIGITS$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_written_as_people_count() {
        for (bytes, text) in [
            (&[][..], "0"),
            (&[0x10, 0x00], "4096"),
            (&[0x3b, 0x9a, 0xca, 0x00], "1000000000"),
            (&[0xff; 8], "18446744073709551615"),
            (&[0xff; 20], "1461501637330902918203684832716283019655932542975"),
        ] {
            assert_eq!(decimal(bytes), text);
        }
    }

    #[test]
    fn base64_is_cut_into_the_lines_of_pem() {
        let lines = in_lines(&"A".repeat(130));
        assert_eq!(lines.split('\n').map(str::len).collect::<Vec<_>>(), [64, 64, 2]);
    }
}
