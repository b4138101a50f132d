//! Reading a revocation list.
//!
//! What lives here: the walk through a list, what we refuse in one, and the
//! check of its signature. What does not: where lists come from, and what they
//! mean for a connection (`identity`). Invariant: a [`Crl`] was signed by the
//! CA that it was asked of, and all of its entries were read once, so that
//! reading them again cannot fail.

use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::scope::{self, EntryExtensions, ListExtensions};
use super::{CrlError, Limits, Revoked, reason_of};
use crate::ca::der;
use crate::ca::envelope::Envelope;
use crate::identity::certificate::{Certificate, Fingerprint, Serial};
use crate::identity::crl::CrlSettings;
use crate::identity::name;
use crate::identity::pem::{self, Wanted};
use crate::identity::signature::Outcome;
use crate::identity::switch::RevocationReason;

/// A list whose signature was not checked yet.
#[derive(Clone, Debug)]
pub struct UncheckedCrl(Crl);

/// A list that its CA signed.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Vec<u8>,
    this_update: i64,
    next_update: Option<i64>,
    extensions: ListExtensions,
    entries: usize,
}

/// Reads every list in `bytes`: PEM with every tolerance of TRUST-13, base64,
/// or DER; several behind each other in either form.
///
/// # Errors
/// One of them cannot be read, is of a kind that we do not take, or breaks a
/// limit.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<UncheckedCrl>, CrlError> {
    if bytes.len() > limits.bytes {
        return Err(CrlError::TooLong { bytes: bytes.len(), limit: limits.bytes });
    }
    let mut lists = Vec::new();
    for object in pem::objects(bytes, Wanted::RevocationList)? {
        let mut rest = object.as_slice();
        while !rest.is_empty() {
            let list = der::take_tagged(&mut rest, der::SEQUENCE).ok_or(CrlError::Der)?;
            if lists.len() == limits.lists {
                return Err(CrlError::TooMany { limit: limits.lists });
            }
            lists.push(UncheckedCrl(Crl::read(list.whole, limits)?));
        }
    }
    Ok(lists)
}

impl UncheckedCrl {
    /// The name of the CA that is said to have signed it, for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.0.issuer()
    }

    /// Whether it bears the name of `ca`; only then may that one have signed
    /// it.
    #[must_use]
    pub fn is_named_after(&self, ca: &Certificate<'_>) -> bool {
        self.0.canonical_issuer().is_some_and(|issuer| Some(issuer) == canonical(ca.subject_der()))
    }

    /// The list, whose signature was checked when it was taken and which was
    /// kept since.
    pub(in crate::ca) fn taken_before(self) -> Crl {
        self.0
    }

    /// The list, if `ca` signed it and may do so.
    ///
    /// # Errors
    /// It bears another name, another key signed it, or the CA's key usage
    /// lacks cRLSign.
    pub fn signed_by(self, ca: &Certificate<'_>) -> Result<Crl, CrlError> {
        let error = |reason: String| CrlError::Signature { issuer: self.issuer(), reason };
        if !self.is_named_after(ca) {
            return Err(error(format!("the CA is called {}", ca.subject_text())));
        }
        if !signs_lists(ca.der()) {
            return Err(error("the CA's key usage lacks cRLSign".to_owned()));
        }
        let parts = Parts::read(&self.0.der).ok_or(CrlError::Der)?;
        match parts.envelope.check(ca.public_key()).ok_or(CrlError::Der)? {
            Outcome::Good => Ok(self.0),
            Outcome::Bad => Err(error("another key signed it".to_owned())),
            Outcome::Weak(name) => Err(error(format!("it is signed with {name}"))),
            Outcome::Unknown(oid) => Err(error(format!("it is signed with the algorithm {oid}"))),
        }
    }
}

impl Crl {
    fn read(der: &[u8], limits: &Limits) -> Result<Self, CrlError> {
        let parts = Parts::read(der).ok_or(CrlError::Der)?;
        if canonical(parts.issuer).is_none() {
            return Err(CrlError::Der);
        }
        let extensions = scope::of_list(parts.extensions)?;
        let mut entries = 0;
        for entry in Entries(parts.entries) {
            entry?;
            entries += 1;
            if entries > limits.entries {
                return Err(CrlError::TooManyEntries { limit: limits.entries });
            }
        }
        Ok(Self {
            this_update: parts.this_update,
            next_update: parts.next_update,
            extensions,
            entries,
            der: der.to_vec(),
        })
    }

    /// The list in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The name of the CA that signed it, for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        let parts = Parts::read(&self.der);
        let name = parts.and_then(|parts| Some(X509Name::from_der(parts.issuer).ok()?.1));
        name.map(|name| name::to_text(&name)).unwrap_or_default()
    }

    fn canonical_issuer(&self) -> Option<Vec<u8>> {
        canonical(Parts::read(&self.der)?.issuer)
    }

    /// When it was made, seconds since 1970.
    #[must_use]
    pub const fn this_update(&self) -> i64 {
        self.this_update
    }

    /// When the next one should be there, seconds since 1970; `None` if the
    /// list does not say.
    #[must_use]
    pub const fn next_update(&self) -> Option<i64> {
        self.next_update
    }

    /// Its number, most significant byte first, without leading zeros; `None`
    /// in a list of version 1.
    #[must_use]
    pub fn number(&self) -> Option<&[u8]> {
        self.extensions.number.as_deref()
    }

    /// Whether it speaks for a part of the CA's certificates only, so that what
    /// is not on it may be revoked elsewhere.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.extensions.is_partial
    }

    /// How many certificates are on it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries
    }

    /// Whether no certificate is on it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// What is on it, in its own order. Nothing but the DER is kept: a hundred
    /// thousand entries cost the four megabytes that they have on the wire.
    pub fn entries(&self) -> impl Iterator<Item = Revoked> + '_ {
        let entries = Parts::read(&self.der).map(|parts| parts.entries).unwrap_or_default();
        Entries(entries).map_while(Result::ok)
    }
}

impl Crl {
    /// What the path check needs of it: `issuer` is SHA-256 of the signer's key
    /// where that is an intermediate CA and not the anchor itself, `source` is
    /// where the list came from.
    #[must_use]
    pub fn settings(&self, issuer: Option<Fingerprint>, source: String) -> CrlSettings {
        CrlSettings {
            issuer,
            serials: Arc::new(self.entries().map(|entry| entry.serial).collect()),
            this_update: self.this_update,
            next_update: self.next_update,
            source,
        }
    }
}

/// CertificateList (RFC 5280 section 5.1) in its parts.
struct Parts<'a> {
    envelope: Envelope<'a>,
    issuer: &'a [u8],
    this_update: i64,
    next_update: Option<i64>,
    entries: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let envelope = Envelope::read(der)?;
        let mut list = envelope.content.content;
        let version = der::take_tagged(&mut list, der::INTEGER);
        let inner = der::take_tagged(&mut list, der::SEQUENCE)?;
        let issuer = der::take_tagged(&mut list, der::SEQUENCE)?;
        let this_update = der::read_time(der::take(&mut list)?)?;
        let is_time = |element: &der::Element<'_>| matches!(element.tag, der::UTC_TIME | der::GENERALIZED_TIME);
        let mut ahead = list;
        let next_update = match der::take(&mut ahead).filter(is_time) {
            Some(time) => {
                list = ahead;
                Some(der::read_time(time)?)
            }
            None => None,
        };
        let entries = der::take_tagged(&mut list, der::SEQUENCE).map(|found| found.content);
        let extensions = match der::take_tagged(&mut list, der::CONTEXT) {
            Some(found) => der::only(found.content, der::SEQUENCE)?,
            None => &[],
        };
        // Version 1 has none, and no extensions either.
        let is_version_known = version.map_or(extensions.is_empty(), |version| version.content == [1]);
        let is_consistent = list.is_empty() && is_version_known && inner.whole == envelope.algorithm.whole;
        is_consistent.then_some(Self {
            envelope,
            issuer: issuer.whole,
            this_update,
            next_update,
            entries: entries.unwrap_or_default(),
            extensions,
        })
    }
}

/// The entries of revokedCertificates, one after the other.
struct Entries<'a>(&'a [u8]);

impl Iterator for Entries<'_> {
    type Item = Result<Revoked, CrlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read_entry(&mut self.0);
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}

fn read_entry(rest: &mut &[u8]) -> Result<Revoked, CrlError> {
    let mut entry = der::take_tagged(rest, der::SEQUENCE).ok_or(CrlError::Der)?.content;
    let serial = der::take_tagged(&mut entry, der::INTEGER).ok_or(CrlError::Der)?;
    let since = der::take(&mut entry).and_then(der::read_time).ok_or(CrlError::Der)?;
    let EntryExtensions { reason } = match entry {
        [] => EntryExtensions { reason: None },
        _ => scope::of_entry(der::only(entry, der::SEQUENCE).ok_or(CrlError::Der)?)?,
    };
    let reason = reason.map_or(RevocationReason::Unspecified, reason_of);
    Ok(Revoked { serial: Serial(serial.content.into()), since, reason })
}

fn canonical(name: &[u8]) -> Option<Vec<u8>> {
    match X509Name::from_der(name) {
        Ok(([], name)) => Some(name::canonical(&name)),
        _ => None,
    }
}

/// RFC 5280 section 6.3.3 (f): a CA that says what its key is for has to say
/// cRLSign.
fn signs_lists(ca: &[u8]) -> bool {
    let Ok((_, ca)) = X509Certificate::from_der(ca) else { return false };
    ca.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}
