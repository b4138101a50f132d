//! One certificate, read.
//!
//! What lives here: the parts of an X.509 certificate that the broker judges,
//! and the facts that it shows to people. What does not: the judgement
//! (`chain`), trust (`anchor`). Invariant: reading is total; whatever is not a
//! whole certificate in DER is an error, and nothing that was read is
//! believed before a signature says so.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

pub use super::fingerprint::{Fingerprint, Serial};
use super::key::Key;
use super::name::{self, CommonName};

impl Fingerprint {
    /// The SHA-256 digest of `bytes`: a certificate's DER, or a key.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default())
    }
}

/// Seconds since 1970, which may lie before it.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

pub(super) fn system_time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// A time as people read it: `2026-11-21T07:02:11Z`.
#[must_use]
pub fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// What people are told about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject in RFC 2253 order.
    pub subject: String,
    /// The issuer in RFC 2253 order.
    pub issuer: String,
    /// The subject CN.
    pub common_name: CommonName,
    /// The serial number.
    pub serial: Serial,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// Valid from, seconds since 1970.
    pub not_before: i64,
    /// Valid up to and including, seconds since 1970.
    pub not_after: i64,
    /// 1, 2 or 3.
    pub version: u8,
    /// The public key.
    pub key: Key,
}

impl CertificateFacts {
    /// What stands in the certificate `der`, if it is one.
    #[must_use]
    pub fn of_der(der: &[u8]) -> Option<Arc<Self>> {
        Certificate::read(CertificateDer::from(der)).ok().map(|certificate| certificate.facts())
    }

    /// The end of the certificate's life.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        system_time(self.not_after)
    }
}

/// A certificate that was needed and is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its subject.
    pub subject: String,
    /// Its key identifier in hexadecimal digits, if the certificate below says
    /// it.
    pub key_id: Option<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of {}", self.subject)?;
        match &self.key_id {
            Some(key_id) => write!(f, " with the key identifier {key_id}"),
            None => Ok(()),
        }
    }
}

/// Why bytes are no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not DER of the shape of a certificate.
    #[error("it is not an X.509 certificate in DER")]
    Der,
    /// Something follows it.
    #[error("{0} bytes follow the certificate")]
    Trailing(usize),
    /// A certificate that contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
}

/// basicConstraints
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BasicConstraints {
    pub ca: bool,
    pub path_length: Option<u32>,
}

/// A certificate with all that is judged about it.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    der: CertificateDer<'a>,
    pub(super) version: u8,
    pub(super) serial: Serial,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) common_name: CommonName,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) key: Key,
    pub(super) basic_constraints: Option<BasicConstraints>,
    /// Whether keyCertSign is set; `None` without key usage.
    pub(super) signs_certificates: Option<bool>,
    /// Whether the extended key usage has clientAuth or any; `None` without.
    pub(super) client_auth: Option<bool>,
    /// A critical extension that is not understood.
    pub(super) unknown_critical: Option<String>,
    /// The key identifier of its issuer, as it says itself.
    pub(super) authority_key_id: Option<Box<[u8]>>,
    pub(super) signature_oid: String,
    pub(super) signature: Vec<u8>,
    tbs: Range<usize>,
    signature_algorithm: Range<usize>,
    spki: Range<usize>,
    subject_der: Range<usize>,
    issuer_der: Range<usize>,
}

impl<'a> Certificate<'a> {
    /// Reads `der`.
    ///
    /// # Errors
    /// Says what keeps it from being a certificate.
    pub fn read(der: CertificateDer<'a>) -> Result<Self, Unreadable> {
        let parts = Parts::read(&der)?;
        Ok(parts.with(der))
    }

    /// The same certificate with its own copy of the DER.
    #[must_use]
    pub fn into_owned(self) -> Certificate<'static> {
        Certificate { der: self.der.into_owned(), ..self }
    }

    /// The certificate's DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or_default()
    }

    /// What the signature is over.
    pub(super) fn signed_part(&self) -> &[u8] {
        self.part(&self.tbs)
    }

    /// The signature's AlgorithmIdentifier without its outer tag.
    pub(super) fn signature_algorithm(&self) -> &[u8] {
        self.part(&self.signature_algorithm)
    }

    /// The SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.part(&self.spki)
    }

    /// The subject as it stands in the certificate.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        self.part(&self.subject_der)
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `other` bears the name of this one's issuer. No signature is
    /// looked at.
    #[must_use]
    pub fn names_as_issuer(&self, other: &Self) -> bool {
        self.issuer == other.subject
    }

    /// The algorithm that it is signed by, as a dotted object identifier.
    #[must_use]
    pub fn signature_oid(&self) -> &str {
        &self.signature_oid
    }

    /// The subject for people.
    #[must_use]
    pub fn subject_text(&self) -> String {
        name_text(self.subject_der())
    }

    /// The issuer for people.
    #[must_use]
    pub fn issuer_text(&self) -> String {
        name_text(self.part(&self.issuer_der))
    }

    /// The certificate that would be needed above this one.
    pub(super) fn issuer_wanted(&self) -> Missing {
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
        Missing { subject: self.issuer_text(), key_id: self.authority_key_id.as_deref().map(hex) }
    }

    /// All that people are told.
    #[must_use]
    pub fn facts(&self) -> Arc<CertificateFacts> {
        Arc::new(CertificateFacts {
            subject: self.subject_text(),
            issuer: self.issuer_text(),
            common_name: self.common_name.clone(),
            serial: self.serial.clone(),
            fingerprint: Fingerprint::of(&self.der),
            not_before: self.not_before,
            not_after: self.not_after,
            version: self.version,
            key: self.key.clone(),
        })
    }
}

fn name_text(der: &[u8]) -> String {
    X509Name::from_der(der).map(|(_, name)| name::to_text(&name)).unwrap_or_default()
}

/// What is read before the DER moves into its certificate.
struct Parts(Certificate<'static>);

impl Parts {
    fn with(self, der: CertificateDer<'_>) -> Certificate<'_> {
        Certificate { der, ..self.0 }
    }

    fn read(der: &[u8]) -> Result<Self, Unreadable> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| Unreadable::Der)?;
        if !rest.is_empty() {
            return Err(Unreadable::Trailing(rest.len()));
        }
        check_consistency(&x509)?;
        let tbs = range_in(der, x509.tbs_certificate.as_ref());
        let (algorithm, rest) = der.get(tbs.end..).and_then(|rest| element(rest, SEQUENCE)).ok_or(Unreadable::Der)?;
        let (_, []) = element(rest, BIT_STRING).ok_or(Unreadable::Der)? else { return Err(Unreadable::Der) };
        let signature_algorithm = range_in(der, algorithm);
        let version = u8::try_from(x509.version().0).unwrap_or(u8::MAX).saturating_add(1);
        Ok(Self(Certificate {
            der: CertificateDer::from_slice(&[]),
            version,
            serial: Serial(x509.raw_serial().into()),
            subject: name::canonical(x509.subject()),
            issuer: name::canonical(x509.issuer()),
            common_name: name::common_name(x509.subject()),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            key: Key::read(x509.public_key()),
            basic_constraints: basic_constraints(&x509)?,
            signs_certificates: key_usage(&x509)?,
            client_auth: extended_key_usage(&x509)?,
            unknown_critical: unknown_critical(&x509),
            authority_key_id: authority_key_id(&x509),
            signature_oid: x509.signature_algorithm.algorithm.to_id_string(),
            signature: x509.signature_value.data.to_vec(),
            tbs,
            signature_algorithm,
            spki: range_in(der, x509.public_key().raw),
            subject_der: range_in(der, x509.subject().as_raw()),
            issuer_der: range_in(der, x509.issuer().as_raw()),
        }))
    }
}

fn check_consistency(x509: &X509Certificate<'_>) -> Result<(), Unreadable> {
    if x509.version().0 > 2 {
        return Err(Unreadable::Contradiction("its version is none of 1, 2 and 3"));
    }
    if x509.version().0 < 2 && !x509.extensions().is_empty() {
        return Err(Unreadable::Contradiction("it has extensions, but is not of version 3"));
    }
    if x509.signature_algorithm != x509.tbs_certificate.signature {
        return Err(Unreadable::Contradiction("it names two signature algorithms"));
    }
    if x509.signature_value.unused_bits != 0 {
        return Err(Unreadable::Contradiction("its signature is no whole number of bytes"));
    }
    Ok(())
}

const BAD_EXTENSION: Unreadable =
    Unreadable::Contradiction("basicConstraints, key usage or extended key usage is malformed or there twice");

fn basic_constraints(x509: &X509Certificate<'_>) -> Result<Option<BasicConstraints>, Unreadable> {
    let found = x509.basic_constraints().map_err(|_| BAD_EXTENSION)?;
    Ok(found.map(|found| BasicConstraints { ca: found.value.ca, path_length: found.value.path_len_constraint }))
}

fn key_usage(x509: &X509Certificate<'_>) -> Result<Option<bool>, Unreadable> {
    let found = x509.key_usage().map_err(|_| BAD_EXTENSION)?;
    Ok(found.map(|found| found.value.key_cert_sign()))
}

fn extended_key_usage(x509: &X509Certificate<'_>) -> Result<Option<bool>, Unreadable> {
    let found = x509.extended_key_usage().map_err(|_| BAD_EXTENSION)?;
    Ok(found.map(|found| found.value.any || found.value.client_auth))
}

fn authority_key_id(x509: &X509Certificate<'_>) -> Option<Box<[u8]>> {
    x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref().map(|id| id.0.into()),
        _ => None,
    })
}

/// The first critical extension whose meaning the judgement does not honour.
/// Policies are harmless as long as nobody demands one (RFC 5280 section
/// 6.1.1 c); name constraints are not evaluated, hence refused when critical.
fn unknown_critical(x509: &X509Certificate<'_>) -> Option<String> {
    x509.iter_extensions()
        .filter(|extension| extension.critical)
        .find(|extension| {
            !matches!(
                extension.parsed_extension(),
                ParsedExtension::AuthorityKeyIdentifier(_)
                    | ParsedExtension::SubjectKeyIdentifier(_)
                    | ParsedExtension::KeyUsage(_)
                    | ParsedExtension::CertificatePolicies(_)
                    | ParsedExtension::SubjectAlternativeName(_)
                    | ParsedExtension::IssuerAlternativeName(_)
                    | ParsedExtension::BasicConstraints(_)
                    | ParsedExtension::ExtendedKeyUsage(_)
                    | ParsedExtension::CRLDistributionPoints(_)
                    | ParsedExtension::AuthorityInfoAccess(_)
            )
        })
        .map(|extension| extension.oid.to_id_string())
}

/// Where `part` lies in `whole`; an empty range at the front if it does not.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= whole.len() => start..end,
        _ => 0..0,
    }
}

const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The content of the DER element that `bytes` begin with, and what follows
/// it. The parser does not look at the class of a tag, and what the signature
/// does not cover must not be free to change: certificates are known by their
/// fingerprint.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    let length = digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}
