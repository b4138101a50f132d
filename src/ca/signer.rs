//! Certificate authorities of our own.
//!
//! What lives here: what one is asked to sign and what it answers, an authority
//! whose key is in memory, and the three kinds that the broker makes. What does
//! not: who may ask (`authority`), how the key is kept (`seal`). Invariant: no
//! certificate outlives the authority that signed it.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::crl::{CrlOrder, write};
use super::der;
use super::keypair::{KeyError, KeyType, PrivateKey};
use super::profile::{self, AltName, Profile, Unsigned, Validity};
use super::subject::{Subject, SubjectError};
use crate::identity::certificate::{Serial, date};
use crate::identity::key::Key;

/// Lifetime of a tenant's CA for agent certificates, days: that of the CAs in
/// the MindConnect documentation.
pub const AGENT_CA_DAYS: u32 = 3_650;
/// Lifetime of the operator's CA, days (CEN-CA-01).
pub const OPERATOR_CA_DAYS: u32 = 7_300;
/// Lifetime of a Cumulocity tenant's CA, days (C8Y-EST-01).
pub const TENANT_CA_DAYS: u32 = 1_095;

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Whose certificate.
    pub subject: &'a Subject,
    /// Whose key, SubjectPublicKeyInfo in DER.
    pub public_key: &'a [u8],
    /// When it counts; cut to the authority's own lifetime.
    pub validity: Validity,
    /// Its other names.
    pub alt_names: &'a [AltName],
    /// What it is for.
    pub profile: Profile,
}

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// Its first second, since 1970.
    pub not_before: i64,
    /// Its last second, since 1970.
    pub not_after: i64,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The lifetime that was asked for lies outside of the authority's own.
    #[error("the CA's own certificate counts from {from} to {until} only; renew the CA, or ask for a time within", from = date(*not_before), until = date(*not_after))]
    Lifetime {
        /// The CA's first second.
        not_before: i64,
        /// The CA's last second.
        not_after: i64,
    },
    /// A date that no certificate can hold.
    #[error("a date lies before the year 1950 or after 9999; correct the system's clock")]
    Date,
    /// A name that no certificate can hold.
    #[error(
        "one of the alternative names is empty or holds a blank or a letter outside of ASCII; write host names in their xn-- form"
    )]
    AltName,
    /// The public key cannot be certified.
    #[error(
        "the public key is {0}, which is not taken; use RSA from 2,048 to 8,192 bits, EC P-256, P-384 or P-521, or Ed25519"
    )]
    PublicKey(String),
    /// The subject cannot stand in a certificate.
    #[error("the certificate's subject: {0}")]
    Subject(#[from] SubjectError),
    /// The authority's own certificate cannot be used.
    #[error("the CA's certificate {0}")]
    Authority(&'static str),
    /// The key failed.
    #[error("the CA's key: {0}")]
    Key(#[from] KeyError),
}

/// A certificate authority. One with its key in memory is [`LocalSigner`];
/// another one may hold it in a device or ask a service.
pub trait Signer: Send + Sync {
    /// The authority's certificate, DER.
    fn certificate(&self) -> &[u8];

    /// Signs a certificate.
    ///
    /// # Errors
    /// The order cannot be met, or the key failed.
    fn issue(&self, order: &Order<'_>) -> Result<Issued, SignError>;

    /// Signs a revocation list, DER.
    ///
    /// # Errors
    /// A date cannot be written, or the key failed.
    fn sign_crl(&self, order: &CrlOrder<'_>) -> Result<Vec<u8>, SignError>;
}

/// A self-signed CA to be made.
#[derive(Clone, Debug)]
pub struct CaOrder {
    /// Its name.
    pub subject: Subject,
    /// Its key.
    pub key: KeyType,
    /// How many CAs may stand below it; `None` for any number.
    pub path_length: Option<u8>,
    /// When it counts.
    pub validity: Validity,
}

impl CaOrder {
    /// The CA of a MindConnect tenant for agent certificates (MC-AGT-05). It
    /// signs agents and no further CA.
    ///
    /// # Errors
    /// The tenant's name is too long for a CN.
    pub fn agents(tenant: &str, now: i64) -> Result<Self, SubjectError> {
        Ok(Self {
            subject: Subject::organization(tenant, "Agent CA")?,
            key: KeyType::P256,
            path_length: Some(0),
            validity: Validity::days(now, AGENT_CA_DAYS),
        })
    }

    /// The operator's CA in the form of the Centiloc root (CEN-CA-01).
    ///
    /// # Errors
    /// A part of the name cannot stand in a certificate.
    pub fn operator(country: &str, organization: &str, common_name: &str, now: i64) -> Result<Self, SubjectError> {
        Ok(Self {
            subject: Subject::country(country, organization, common_name)?,
            key: KeyType::P256,
            path_length: None,
            validity: Validity::days(now, OPERATOR_CA_DAYS),
        })
    }

    /// The CA of a Cumulocity tenant, `CN=<tenant>` (C8Y-EST-01).
    ///
    /// # Errors
    /// The tenant's name is too long for a CN.
    pub fn tenant(tenant: &str, now: i64) -> Result<Self, SubjectError> {
        Ok(Self {
            subject: Subject::common_name(tenant)?,
            key: KeyType::P256,
            path_length: Some(0),
            validity: Validity::days(now, TENANT_CA_DAYS),
        })
    }
}

/// A CA whose key is in memory.
#[derive(Debug)]
pub struct LocalSigner {
    key: PrivateKey,
    certificate: Vec<u8>,
    subject: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    validity: Validity,
}

impl LocalSigner {
    /// Makes a CA with a new key. See [`PrivateKey::generate`] for the time
    /// that it takes.
    ///
    /// # Errors
    /// A date cannot be written, or the random source failed.
    pub fn create(order: &CaOrder) -> Result<Self, SignError> {
        Self::create_with(order, PrivateKey::generate(order.key)?)
    }

    /// Makes a CA's certificate over a key that is there: a renewed CA with its
    /// old key and name verifies what the old one signed.
    ///
    /// # Errors
    /// As for [`LocalSigner::create`].
    pub fn create_with(order: &CaOrder, key: PrivateKey) -> Result<Self, SignError> {
        let unsigned = Unsigned {
            serial: &profile::serial()?,
            signature_algorithm: key.signature_algorithm(),
            issuer: order.subject.der(),
            validity: order.validity,
            subject: &order.subject,
            public_key: key.public_key(),
            extensions: profile::authority(key.public_key(), order.path_length),
        };
        let certificate = signed(&unsigned.der().ok_or(SignError::Date)?, &key)?;
        Self::new(certificate, key)
    }

    /// Takes a CA's certificate, DER, and its key.
    ///
    /// # Errors
    /// The certificate cannot be read, is no CA's, or has another key.
    pub fn new(certificate: Vec<u8>, key: PrivateKey) -> Result<Self, SignError> {
        let (subject, key_identifier, validity) = {
            let Ok(([], read)) = X509Certificate::from_der(&certificate) else {
                return Err(SignError::Authority("cannot be read; bring back the one that was stored"));
            };
            check(&read, &key)?;
            let validity = Validity {
                not_before: read.validity().not_before.timestamp(),
                not_after: read.validity().not_after.timestamp(),
            };
            (read.subject().as_raw().to_vec(), subject_key_identifier(&read), validity)
        };
        Ok(Self { key, certificate, subject, key_identifier, validity })
    }

    /// The CA's key, to be sealed and stored.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// When the CA counts.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

fn check(certificate: &X509Certificate<'_>, key: &PrivateKey) -> Result<(), SignError> {
    if certificate.public_key().raw != key.public_key() {
        return Err(SignError::Authority("is over another key than the one that is stored with it; bring back both"));
    }
    let is_ca = certificate.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    let signs = certificate.key_usage().ok().flatten().is_none_or(|found| found.value.key_cert_sign());
    if !is_ca || !signs {
        return Err(SignError::Authority("is none of a CA (CA:TRUE, keyCertSign); make one that is"));
    }
    Ok(())
}

fn subject_key_identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
        _ => None,
    })
}

impl Signer for LocalSigner {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn issue(&self, order: &Order<'_>) -> Result<Issued, SignError> {
        check_public_key(order.public_key)?;
        let Validity { not_before, not_after } = self.validity;
        let validity = order.validity.within(self.validity).ok_or(SignError::Lifetime { not_before, not_after })?;
        let serial = profile::serial()?;
        let issuer_key = self.key_identifier.as_deref();
        let unsigned = Unsigned {
            serial: &serial,
            signature_algorithm: self.key.signature_algorithm(),
            issuer: &self.subject,
            validity,
            subject: order.subject,
            public_key: order.public_key,
            extensions: profile::leaf(order.profile, order.public_key, issuer_key, order.alt_names)
                .ok_or(SignError::AltName)?,
        };
        let certificate = signed(&unsigned.der().ok_or(SignError::Date)?, &self.key)?;
        Ok(Issued { certificate, serial, not_before: validity.not_before, not_after: validity.not_after })
    }

    fn sign_crl(&self, order: &CrlOrder<'_>) -> Result<Vec<u8>, SignError> {
        let own = profile::key_identifier(self.key.public_key());
        let key = self.key_identifier.as_deref().unwrap_or(&own);
        let unsigned = write::unsigned(order, self.key.signature_algorithm(), &self.subject, key);
        Ok(signed(&unsigned.ok_or(SignError::Date)?, &self.key)?)
    }
}

fn check_public_key(public_key: &[u8]) -> Result<(), SignError> {
    let Ok(([], read)) = SubjectPublicKeyInfo::from_der(public_key) else {
        return Err(SignError::PublicKey("not readable".to_owned()));
    };
    let key = Key::read(&read);
    key.check_strength().map_err(|_| SignError::PublicKey(key.to_string()))
}

/// The signed whole of `unsigned`: certificates and lists have the same form.
fn signed(unsigned: &[u8], key: &PrivateKey) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign(unsigned)?;
    Ok(der::sequence(&[unsigned, key.signature_algorithm(), &der::bit_string(&signature)]))
}
