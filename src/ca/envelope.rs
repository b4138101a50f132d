//! What a key has signed, in the form that requests and revocation lists share
//! (RFC 5280 section 4.1.1: content, AlgorithmIdentifier, BIT STRING).
//!
//! What lives here: its three parts, and the check of its signature. What does
//! not: what stands in it (`request`, `crl`). Invariant: nothing follows the
//! signature, and what is checked are the bytes as they came.

use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use super::der::{self, Element};
use crate::identity::signature::{self, Outcome, Signed};

/// Something signed, which nobody has checked yet.
pub(super) struct Envelope<'a> {
    /// What was signed.
    pub(super) content: Element<'a>,
    pub(super) algorithm: Element<'a>,
    signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// The parts of `der`, if it has them.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut whole = der::only(der, der::SEQUENCE)?;
        let content = der::take_tagged(&mut whole, der::SEQUENCE)?;
        let algorithm = der::take_tagged(&mut whole, der::SEQUENCE)?;
        let (0, signature) = der::only(whole, der::BIT_STRING)?.split_first()? else { return None };
        Some(Self { content, algorithm, signature })
    }

    /// Whether `key` (SubjectPublicKeyInfo) signed it; `None` where the
    /// algorithm cannot be read.
    pub(super) fn check(&self, key: &[u8]) -> Option<Outcome> {
        let (_, algorithm) = AlgorithmIdentifier::from_der(self.algorithm.whole).ok()?;
        let oid = algorithm.algorithm.to_id_string();
        let signed = Signed {
            algorithm: self.algorithm.content,
            oid: &oid,
            message: self.content.whole,
            signature: self.signature,
        };
        Some(signature::check_signed(&signed, key))
    }
}
