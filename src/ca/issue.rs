//! What our certificates contain, and signing them.
//!
//! What lives here: two kinds of CA, the server's certificate, device
//! certificates. What does not: when they are made (`development`). Invariant:
//! all keys are ECDSA P-256 and leave this room only as files that their owner
//! alone can read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::parse_x509_pem;
use zeroize::Zeroizing;

use super::Error;
use super::files::{self, Readers};

const DAY: Duration = Duration::from_secs(86_400);
/// Twenty years: a CA outlives all that it signed.
const CA_DAYS: u32 = 7300;
/// The longest that Apple's clients take from a private CA.
const SERVER_DAYS: u32 = 825;
/// Ten years, half of the CA's time.
const DEVICE_DAYS: u32 = 3650;
/// For clients whose clock is slow.
const BEFORE: Duration = DAY;

/// Names that are taken by the broker's own files.
const RESERVED: [&str; 3] = ["server", "server-ca", "device-ca"];

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PKCS#8 PEM.
    pub key: PathBuf,
}

impl Pair {
    /// The files that `name` has in `directory`.
    pub fn named(directory: &Path, name: &str) -> Self {
        Self { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) }
    }

    fn write(&self, certificate: &str, key: &KeyPair) -> Result<(), Error> {
        // The key first: a certificate without its key is worth nothing.
        files::create(&self.key, &Zeroizing::new(key.serialize_pem()), Readers::Owner)?;
        files::create(&self.certificate, certificate, Readers::All).inspect_err(|_| {
            let _ = fs::remove_file(&self.key);
        })
    }
}

/// A CA that is being made: its key is written, its certificate comes last.
pub(super) struct NewCa {
    pair: Pair,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl NewCa {
    /// Makes a CA and writes its key.
    pub(super) fn begin(directory: &Path, name: &str, subject: &str, now: SystemTime) -> Result<Self, Error> {
        let pair = Pair::named(directory, name);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(subject, now, CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?.pem();
        files::create(&pair.key, &Zeroizing::new(key.serialize_pem()), Readers::Owner)?;
        Ok(Self { pair, certificate, issuer: Issuer::new(params, key) })
    }

    pub(super) fn device(&self, directory: &Path, name: &str, now: SystemTime) -> Result<Pair, Error> {
        device(&self.issuer, directory, name, now)
    }

    pub(super) fn server(&self, directory: &Path, names: &[String], now: SystemTime) -> Result<Pair, Error> {
        server(&self.issuer, directory, names, now)
    }

    /// Writes its certificate.
    pub(super) fn finish(self) -> Result<(), Error> {
        files::create(&self.pair.certificate, &self.certificate, Readers::All)
    }
}

/// Issues a device certificate from the development CA of `directory`: `name`
/// is its CN and the name of its files.
///
/// # Errors
/// The name or its files cannot be used, or the CA is not there.
pub fn new_device(directory: &Path, name: &str, now: SystemTime) -> Result<Pair, Error> {
    check_name(name)?;
    let pair = device(&existing_ca(directory, "device-ca")?, directory, name, now)?;
    files::sync(directory)?;
    Ok(pair)
}

/// Issues a new server certificate from the development CA of `directory`,
/// after the old one was moved away.
///
/// # Errors
/// The old one is still there, or the CA is not.
pub fn new_server(directory: &Path, names: &[String], now: SystemTime) -> Result<Pair, Error> {
    let pair = server(&existing_ca(directory, "server-ca")?, directory, names, now)?;
    files::sync(directory)?;
    Ok(pair)
}

fn device(issuer: &Issuer<'_, KeyPair>, directory: &Path, name: &str, now: SystemTime) -> Result<Pair, Error> {
    let mut params = params(name, now, DEVICE_DAYS)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(issuer, params, Pair::named(directory, name))
}

fn server(issuer: &Issuer<'_, KeyPair>, directory: &Path, names: &[String], now: SystemTime) -> Result<Pair, Error> {
    let names = server_names(names);
    let subject = names.first().map_or("localhost", String::as_str);
    // A CN holds 64 characters; the names that count are the SANs.
    let mut params = params(if subject.len() <= 64 { subject } else { "localhost" }, now, SERVER_DAYS)?;
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf(issuer, params, Pair::named(directory, "server"))
}

fn leaf(issuer: &Issuer<'_, KeyPair>, mut params: CertificateParams, pair: Pair) -> Result<Pair, Error> {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, issuer)?;
    pair.write(&certificate.pem(), &key)?;
    Ok(pair)
}

fn params(subject: &str, now: SystemTime, days: u32) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject);
    params.distinguished_name = name;
    params.not_before = OffsetDateTime::from(now - BEFORE);
    params.not_after = OffsetDateTime::from(now + DAY * days);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// 128 random bits, positive and not longer than 20 bytes (RFC 5280 4.1.2.2).
fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// The configured names, this machine's, and those of loopback; each once.
fn server_names(configured: &[String]) -> Vec<String> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let is_name = |name: &&String| {
        !name.is_empty() && name.len() <= 253 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let host = Some(host).filter(|host| is_name(&host));
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<String> = Vec::new();
    for name in configured.iter().cloned().chain(host).chain(own) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn check_name(name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Name { name: name.to_owned(), reason });
    if name.is_empty() || name.len() > 64 {
        return refuse("a CN has 1 to 64 characters");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) || name.starts_with(['.', '-']) {
        return refuse("use letters, digits, hyphens, underscores and dots, a letter or digit first");
    }
    if RESERVED.contains(&name) {
        return refuse("the broker's own files have this name; choose another");
    }
    Ok(())
}

fn existing_ca(directory: &Path, name: &str) -> Result<Issuer<'static, KeyPair>, Error> {
    let pair = Pair::named(directory, name);
    let certificate = read(&pair.certificate, "`certus serve` makes it on its first start")?;
    let key = Zeroizing::new(read(&pair.key, "bring the CA's private key back for as long as you issue certificates")?);
    let unreadable = |path: &Path, reason: String| Error::Read {
        path: path.to_owned(),
        reason,
        remedy: "put a PEM file of the development PKI there",
    };
    let key = KeyPair::from_pem(&key).map_err(|error| unreadable(&pair.key, error.to_string()))?;
    if !holds_key(&certificate, &key) {
        return Err(Error::Mismatch { key: pair.key, certificate: pair.certificate });
    }
    Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unreadable(&pair.certificate, error.to_string()))
}

/// Whether the certificate is over this key.
fn holds_key(certificate: &str, key: &KeyPair) -> bool {
    let Ok((_, pem)) = parse_x509_pem(certificate.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    certificate.public_key().raw == key.subject_public_key_info()
}

fn read(path: &Path, remedy: &'static str) -> Result<String, Error> {
    let reason = |error: std::io::Error| Error::Read { path: path.to_owned(), reason: error.to_string(), remedy };
    fs::read_to_string(path).map_err(reason)
}
