//! Certificate signing requests (PKCS#10, RFC 2986).
//!
//! What lives here: reading one, what it asks for, and what we insist on. What
//! does not: whether it is granted (`authority`). Invariant: a [`Request`] is
//! signed by the key in it, so whoever made it holds that key.

use std::net::IpAddr;

use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};
use zeroize::Zeroizing;

use super::der;
use super::envelope::Envelope;
use super::profile::AltName;
use super::subject::Subject;
use crate::identity::key::Key;
use crate::identity::name;
use crate::identity::pem::{self, Wanted};
use crate::identity::reason::Reason;
use crate::identity::signature::Outcome;
use crate::identity::switch::KeyPolicy;

/// The longest request that is read, bytes in any form. RSA 8192 with many
/// names takes a tenth of it.
pub const MAX_REQUEST: usize = 64 * 1024;

/// The reason for a rejection that CEN-CSR-01 words.
const CENTILOC_KEY: &str = "only elliptic curve keys of at least 256 bit";

/// A challenge password is no longer than that, characters (RFC 2985 section
/// 5.4.1, pkcs-9-ub-challengePassword).
const MAX_CHALLENGE: usize = 255;

/// A request whose signature holds.
#[derive(Clone, Debug)]
pub struct Request {
    der: Vec<u8>,
    subject: Subject,
    attributes: Vec<(String, Option<String>)>,
    public_key: Vec<u8>,
    key: Key,
    alt_names: Vec<AltName>,
    challenge: Option<Challenge>,
}

#[derive(Clone)]
struct Challenge(Zeroizing<String>);

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(..)")
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Objection {
    /// What is concerned: `csr`, `key`, or a field of the subject.
    pub field: &'static str,
    /// What is wrong, and what would do.
    pub reason: String,
}

fn objection(field: &'static str, reason: impl Into<String>) -> Objection {
    Objection { field, reason: reason.into() }
}

impl Request {
    /// Reads a request in PEM with every tolerance of TRUST-13, in base64 or in
    /// DER, and checks that its own key signed it.
    ///
    /// # Errors
    /// It cannot be read, or its signature does not hold.
    pub fn read(bytes: &[u8]) -> Result<Self, Objection> {
        if bytes.len() > MAX_REQUEST {
            return Err(objection("csr", format!("it has {} bytes; at most {MAX_REQUEST} are read", bytes.len())));
        }
        let found = pem::objects(bytes, Wanted::Request).map_err(|error| objection("csr", error.to_string()))?;
        let der = found.first().map(Vec::as_slice).unwrap_or_default();
        let parts = Parts::read(der)
            .ok_or_else(|| objection("csr", "it is no certificate request (PKCS#10) in DER; copy it again, whole"))?;
        let request = Self { der: der.to_vec(), ..parts.understand()? };
        // Nobody could verify with such a key, so this is the first thing to say.
        request.key.check_strength().map_err(|reason| request.wrong_key(reason))?;
        parts.check_signature()?;
        Ok(request)
    }

    /// Reads a request as [`Request::read`] does, and checks what Centiloc
    /// insists on (CEN-CSR-01, CEN-CSR-02): an elliptic curve key, and a
    /// subject with one O, one CN and one emailAddress.
    ///
    /// # Errors
    /// The first breach; all fields that are missing are named in it.
    pub fn read_centiloc(bytes: &[u8]) -> Result<Self, Objection> {
        let request = Self::read(bytes).map_err(|error| match error.field {
            "key" => objection("key", CENTILOC_KEY),
            _ => error,
        })?;
        request.check_centiloc()?;
        Ok(request)
    }

    /// The request alone, DER, whatever else stood beside it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject that is asked for, byte for byte.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The public key, SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The kind and size of the public key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The other names that are asked for.
    #[must_use]
    pub fn alt_names(&self) -> &[AltName] {
        &self.alt_names
    }

    /// The challenge password: with EST it may stand for a one-time password,
    /// elsewhere it means nothing.
    #[must_use]
    pub fn challenge_password(&self) -> Option<&str> {
        self.challenge.as_ref().map(|challenge| challenge.0.as_str())
    }

    /// The values of the subject's attribute `name`, such as `CN`, `O` or
    /// `emailAddress`, as often as it occurs. What is empty or no text is
    /// left out.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.attributes.iter().filter(move |(attribute, _)| attribute == name);
        of_name.filter_map(|(_, value)| value.as_deref()).filter(|value| !value.trim().is_empty())
    }

    /// The value of an attribute that has to be there once.
    ///
    /// # Errors
    /// It is missing, occurs twice, or holds a control character.
    pub fn only(&self, name: &'static str) -> Result<&str, Objection> {
        let mut values = self.values(name);
        let (first, second) = (values.next(), values.next());
        let count = self.attributes.iter().filter(|(attribute, _)| attribute == name).count();
        match (first, second) {
            (None, _) => Err(objection(name, format!("the subject has no {name}; ask for one that has"))),
            (Some(_), Some(_)) => Err(objection(name, format!("the subject has several {name}; ask for one"))),
            (Some(_), None) if count > 1 => {
                Err(objection(name, format!("one {name} of the subject is empty or no text")))
            }
            (Some(value), None) if value.chars().any(char::is_control) => {
                Err(objection(name, format!("the {name} of the subject holds a control character")))
            }
            (Some(value), None) => Ok(value),
        }
    }

    /// Checks the key against a tenant's policy.
    ///
    /// # Errors
    /// The key is too weak, or of a kind that the policy does not take.
    pub fn check_key(&self, policy: KeyPolicy) -> Result<(), Objection> {
        self.key.check(policy).map_err(|reason| self.wrong_key(reason))
    }

    fn wrong_key(&self, reason: Reason) -> Objection {
        objection("key", format!("the key is {}; {}", self.key, reason.remedy()))
    }

    fn check_centiloc(&self) -> Result<(), Objection> {
        if !matches!(self.key, Key::Ec(_)) {
            return Err(objection("key", CENTILOC_KEY));
        }
        let missing: Vec<&'static str> =
            ["O", "CN", "emailAddress"].into_iter().filter(|name| self.values(name).next().is_none()).collect();
        if let Some(first) = missing.first() {
            return Err(objection(
                first,
                format!("the subject lacks {}; O, CN and emailAddress are mandatory", missing.join(" and ")),
            ));
        }
        self.only("O")?;
        self.only("CN")?;
        check_address(self.only("emailAddress")?)
    }
}

/// Mails go there: two parts without blanks (CEN-EXP-01).
fn check_address(address: &str) -> Result<(), Objection> {
    let is_address = address.len() <= 254
        && !address.chars().any(char::is_whitespace)
        && address.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if is_address {
        Ok(())
    } else {
        Err(objection("emailAddress", "the emailAddress of the subject is no e-mail address"))
    }
}

/// A request in its parts, none of which is believed yet.
struct Parts<'a> {
    envelope: Envelope<'a>,
    subject: &'a [u8],
    public_key: &'a [u8],
    attributes: &'a [u8],
}

impl<'a> Parts<'a> {
    /// CertificationRequest, RFC 2986 section 4.2. Some tools leave the
    /// attributes out altogether when there are none.
    fn read(der: &'a [u8]) -> Option<Self> {
        let envelope = Envelope::read(der)?;
        let mut info = envelope.content.content;
        let version = der::take_tagged(&mut info, der::INTEGER)?;
        let subject = der::take_tagged(&mut info, der::SEQUENCE)?;
        let public_key = der::take_tagged(&mut info, der::SEQUENCE)?;
        let attributes = der::take_tagged(&mut info, der::CONTEXT);
        let is_whole = info.is_empty() && version.content == [0];
        is_whole.then_some(Self {
            envelope,
            subject: subject.whole,
            public_key: public_key.whole,
            attributes: attributes.map(|found| found.content).unwrap_or_default(),
        })
    }

    fn check_signature(&self) -> Result<(), Objection> {
        let outcome = self.envelope.check(self.public_key);
        match outcome.ok_or_else(|| objection("csr", "its signature algorithm cannot be read"))? {
            Outcome::Good => Ok(()),
            Outcome::Bad => {
                Err(objection("csr", "its signature was not made by the key in it; make the request again"))
            }
            Outcome::Weak(name) => Err(objection(
                "csr",
                format!("it is signed with {name}; make it again with SHA-256 (openssl req -sha256)"),
            )),
            Outcome::Unknown(oid) => {
                Err(objection("csr", format!("it is signed with the algorithm {oid}, which is not known; use SHA-256")))
            }
        }
    }

    fn key(&self) -> Result<Key, Objection> {
        match SubjectPublicKeyInfo::from_der(self.public_key) {
            Ok(([], read)) => Ok(Key::read(&read)),
            _ => Err(objection("key", "the public key cannot be read; make the request again")),
        }
    }

    fn understand(&self) -> Result<Request, Objection> {
        let subject = match X509Name::from_der(self.subject) {
            Ok(([], name)) => name,
            _ => return Err(objection("subject", "the subject is no distinguished name")),
        };
        let mut request = Request {
            der: Vec::new(),
            subject: Subject::taken_over(self.subject)
                .map_err(|error| objection("subject", format!("the subject: {}", error.reason)))?,
            attributes: name::attributes(&subject),
            public_key: self.public_key.to_vec(),
            key: self.key()?,
            alt_names: Vec::new(),
            challenge: None,
        };
        self.read_attributes(&mut request).ok_or_else(|| objection("csr", "one of its attributes cannot be read"))?;
        Ok(request)
    }

    fn read_attributes(&self, request: &mut Request) -> Option<()> {
        let mut rest = self.attributes;
        while !rest.is_empty() {
            let mut attribute = der::take_tagged(&mut rest, der::SEQUENCE)?.content;
            let oid = der::take_tagged(&mut attribute, der::OID)?.content;
            let mut values = der::only(attribute, der::SET)?;
            match oid {
                CHALLENGE_PASSWORD => request.challenge = Some(challenge(&mut values)?),
                EXTENSION_REQUEST => {
                    let extensions = der::take_tagged(&mut values, der::SEQUENCE)?;
                    request.alt_names = alt_names(extensions.content)?;
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// 1.2.840.113549.1.9.7 and .14
const CHALLENGE_PASSWORD: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 7];
const EXTENSION_REQUEST: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 14];

/// A password in whatever kind of string: the bytes of all that are in use are
/// those of UTF-8, or none that anybody types.
fn challenge(values: &mut &[u8]) -> Option<Challenge> {
    let text = std::str::from_utf8(der::take(values)?.content).ok()?;
    (text.chars().count() <= MAX_CHALLENGE).then(|| Challenge(Zeroizing::new(text.to_owned())))
}

fn alt_names(mut extensions: &[u8]) -> Option<Vec<AltName>> {
    let mut names = Vec::new();
    while !extensions.is_empty() {
        let (rest, extension) = X509Extension::from_der(extensions).ok()?;
        extensions = rest;
        if let ParsedExtension::SubjectAlternativeName(found) = extension.parsed_extension() {
            names.extend(found.general_names.iter().filter_map(alt_name));
        }
    }
    Some(names)
}

pub(super) fn alt_name(name: &GeneralName<'_>) -> Option<AltName> {
    Some(match name {
        GeneralName::DNSName(name) => AltName::Dns((*name).to_owned()),
        GeneralName::RFC822Name(name) => AltName::Email((*name).to_owned()),
        GeneralName::URI(name) => AltName::Uri((*name).to_owned()),
        GeneralName::IPAddress(octets) => AltName::Ip(match octets.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(*octets).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(*octets).ok()?),
        }),
        _ => return None,
    })
}
