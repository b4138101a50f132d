//! What a certificate of ours contains.
//!
//! What lives here: the extensions of clients, servers and CAs, lifetimes and
//! serial numbers, and the certificate around them. What does not: the
//! signature (`signer`), the name (`subject`). Invariant: each certificate is
//! of version 3, says whether it is a CA, and is written here from end to end,
//! so that nothing stands in it that is not meant.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};

use super::der::{self, sequence};
use super::keypair::KeyError;
use super::subject::Subject;
use crate::identity::certificate::Serial;

/// A day, seconds.
pub const DAY: i64 = 86_400;

/// How long before its making a certificate begins to count, seconds: clocks
/// of devices are slow.
pub const BACKDATED: i64 = 3_600;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A device or a person: clientAuth.
    Client,
    /// The broker itself: serverAuth.
    Server,
}

/// When a certificate counts, seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Validity {
    /// From `now`, seconds since 1970, for `days`; it begins [`BACKDATED`]
    /// earlier.
    #[must_use]
    pub fn days(now: i64, days: u32) -> Self {
        Self {
            not_before: now.saturating_sub(BACKDATED),
            not_after: now.saturating_add(i64::from(days).saturating_mul(DAY)),
        }
    }

    /// What of it lies within `other`; `None` if nothing does.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        let cut =
            Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) };
        (cut.not_before <= cut.not_after).then_some(cut)
    }

    fn der(self) -> Option<Vec<u8>> {
        Some(sequence(&[&der::time(self.not_before)?, &der::time(self.not_after)?]))
    }
}

/// Another name of the subject (subjectAltName).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// A host name; ASCII only, as everywhere in certificates.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An e-mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

impl AltName {
    /// The GeneralName; `None` if it holds what an IA5String cannot.
    fn der(&self) -> Option<Vec<u8>> {
        let text = |tag: u8, text: &str| {
            let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            fits.then(|| der::element(der::CONTEXT_PRIMITIVE | tag, text.as_bytes()))
        };
        match self {
            Self::Email(name) => text(1, name),
            Self::Dns(name) => text(2, name),
            Self::Uri(name) => text(6, name),
            Self::Ip(IpAddr::V4(address)) => Some(der::element(der::CONTEXT_PRIMITIVE | 7, &address.octets())),
            Self::Ip(IpAddr::V6(address)) => Some(der::element(der::CONTEXT_PRIMITIVE | 7, &address.octets())),
        }
    }
}

/// 128 bits, 126 of them random; positive, and the same length always.
pub(super) fn serial() -> Result<Serial, KeyError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Provider)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7F) | 0x40;
    }
    Ok(Serial(bytes.into()))
}

/// The identifier of a public key (RFC 7093 section 2, method 1: RFC 5280's
/// with SHA-256 in place of SHA-1).
pub(super) fn key_identifier(public_key: &[u8]) -> Vec<u8> {
    let bits = der::only(public_key, der::SEQUENCE).and_then(|mut content| {
        der::take_tagged(&mut content, der::SEQUENCE)?;
        der::only(content, der::BIT_STRING)?.get(1..)
    });
    digest(&SHA256, bits.unwrap_or(public_key)).as_ref().iter().take(20).copied().collect()
}

/// The unsigned part of a certificate.
pub(super) struct Unsigned<'a> {
    pub serial: &'a Serial,
    pub signature_algorithm: &'a [u8],
    /// In DER.
    pub issuer: &'a [u8],
    pub validity: Validity,
    pub subject: &'a Subject,
    /// SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
    /// Each in DER.
    pub extensions: Vec<Vec<u8>>,
}

impl Unsigned<'_> {
    /// TBSCertificate; `None` if a date lies outside of what can be written.
    pub(super) fn der(&self) -> Option<Vec<u8>> {
        let version = der::element(der::CONTEXT, &der::unsigned(&[2]));
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        Some(sequence(&[
            &version,
            &der::element(der::INTEGER, &self.serial.0),
            self.signature_algorithm,
            self.issuer,
            &self.validity.der()?,
            self.subject.der(),
            self.public_key,
            &der::element(der::CONTEXT | 3, &sequence(&extensions)),
        ]))
    }
}

/// Object identifiers of extensions, below 2.5.29.
const SUBJECT_KEY_IDENTIFIER: u8 = 14;
const KEY_USAGE: u8 = 15;
const SUBJECT_ALT_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
const EXTENDED_KEY_USAGE: u8 = 37;

/// digitalSignature
const SIGNS: &[u8] = &[7, 0x80];
/// keyCertSign and cRLSign
const CERTIFIES: &[u8] = &[1, 0x06];

/// 1.3.6.1.5.5.7.3.1 and .2
const SERVER_AUTH: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2B, 6, 1, 5, 5, 7, 3, 2];

#[derive(Clone, Copy)]
enum Critical {
    Yes,
    No,
}

fn extension(id: u8, critical: Critical, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = match critical {
        Critical::Yes => &[der::BOOLEAN, 1, 0xFF],
        Critical::No => &[],
    };
    sequence(&[&der::element(der::OID, &[0x55, 29, id]), critical, &der::element(der::OCTET_STRING, value)])
}

pub(super) fn subject_key_identifier(key: &[u8]) -> Vec<u8> {
    extension(SUBJECT_KEY_IDENTIFIER, Critical::No, &der::element(der::OCTET_STRING, key))
}

pub(super) fn authority_key_identifier(key: &[u8]) -> Vec<u8> {
    let identifier = der::element(der::CONTEXT_PRIMITIVE, key);
    extension(AUTHORITY_KEY_IDENTIFIER, Critical::No, &sequence(&[&identifier]))
}

/// The extensions of what is no CA. `None` if a name cannot be written.
pub(super) fn leaf(
    profile: Profile,
    public_key: &[u8],
    issuer_key: Option<&[u8]>,
    names: &[AltName],
) -> Option<Vec<Vec<u8>>> {
    let usage = match profile {
        Profile::Client => CLIENT_AUTH,
        Profile::Server => SERVER_AUTH,
    };
    let mut extensions = vec![
        extension(BASIC_CONSTRAINTS, Critical::Yes, &sequence(&[])), // CA:FALSE is the default, which DER leaves out
        extension(KEY_USAGE, Critical::Yes, &der::element(der::BIT_STRING, SIGNS)),
        extension(EXTENDED_KEY_USAGE, Critical::No, &sequence(&[&der::element(der::OID, usage)])),
        subject_key_identifier(&key_identifier(public_key)),
    ];
    extensions.extend(issuer_key.map(authority_key_identifier));
    if !names.is_empty() {
        let names: Vec<Vec<u8>> = names.iter().map(AltName::der).collect::<Option<_>>()?;
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        extensions.push(extension(SUBJECT_ALT_NAME, Critical::No, &sequence(&names)));
    }
    Some(extensions)
}

/// The extensions of a self-signed CA.
pub(super) fn authority(public_key: &[u8], path_length: Option<u8>) -> Vec<Vec<u8>> {
    let path_length = path_length.map(|limit| der::unsigned(&[limit])).unwrap_or_default();
    let key = key_identifier(public_key);
    vec![
        extension(BASIC_CONSTRAINTS, Critical::Yes, &sequence(&[&[der::BOOLEAN, 1, 0xFF], &path_length])),
        extension(KEY_USAGE, Critical::Yes, &der::element(der::BIT_STRING, CERTIFIES)),
        subject_key_identifier(&key),
        authority_key_identifier(&key),
    ]
}
