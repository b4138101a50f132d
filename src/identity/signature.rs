//! Signatures under bare public keys.
//!
//! What lives here: the check of a certificate's signature, of a handshake's
//! and of whatever else is signed, all against a SubjectPublicKeyInfo, so that
//! the version of the certificate around it does not matter. What does not: who
//! is trusted (`chain`). Invariant: only the algorithms of the TLS provider count;
//! nothing weaker than SHA-256 verifies.

use std::sync::LazyLock;

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use webpki::{Error, RawPublicKeyEntity};

use super::certificate::Certificate;

/// What the provider can verify.
pub(super) static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
    LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);

/// The schemes for the client's proof, in order of preference (TLS-08).
pub(super) const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Signature algorithms with a hash shorter than SHA-256.
const WEAK: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.2", "MD2 with RSA"),
    ("1.2.840.113549.1.1.4", "MD5 with RSA"),
    ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
    ("1.2.840.113549.1.1.14", "SHA-224 with RSA"),
    ("1.2.840.10045.4.1", "SHA-1 with ECDSA"),
    ("1.2.840.10045.4.3.1", "SHA-224 with ECDSA"),
    ("1.2.840.10040.4.3", "SHA-1 with DSA"),
    ("1.3.14.3.2.29", "SHA-1 with RSA"),
];

/// What became of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The issuer's key made it.
    Good,
    /// The issuer's key did not make it.
    Bad,
    /// It was not checked: its hash is too weak. Holds its name.
    Weak(&'static str),
    /// It was not checked: the algorithm is not known. Holds its object
    /// identifier.
    Unknown(String),
}

/// Something signed, in parts.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The AlgorithmIdentifier in DER without its outer tag.
    pub algorithm: &'a [u8],
    /// The object identifier in it.
    pub oid: &'a str,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Whether the key `issuer` (SubjectPublicKeyInfo) signed `certificate`.
pub(super) fn check(certificate: &Certificate<'_>, issuer: &[u8]) -> Outcome {
    let signed = Signed {
        algorithm: certificate.signature_algorithm(),
        oid: &certificate.signature_oid,
        message: certificate.signed_part(),
        signature: &certificate.signature,
    };
    check_signed(&signed, issuer)
}

/// Whether `issuer` issued `certificate`: it bears the issuer's name, and the
/// issuer's key made its signature.
#[must_use]
pub fn is_issued_by(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
    certificate.issuer == issuer.subject && check(certificate, issuer.public_key()) == Outcome::Good
}

/// Whether the key `key` (SubjectPublicKeyInfo) made the signature.
#[must_use]
pub fn check_signed(signed: &Signed<'_>, key: &[u8]) -> Outcome {
    let mut known = false;
    for algorithm in ALGORITHMS.all.iter().filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
    {
        known = true;
        match verify(key, *algorithm, signed.message, signed.signature) {
            Ok(()) => return Outcome::Good,
            Err(error) if is_other_key_type(&error) => {}
            Err(_) => return Outcome::Bad,
        }
    }
    if known {
        return Outcome::Bad;
    }
    match WEAK.iter().find(|(oid, _)| *oid == signed.oid) {
        Some((_, name)) => Outcome::Weak(name),
        None => Outcome::Unknown(signed.oid.to_owned()),
    }
}

/// Checks the client's proof in TLS 1.2, where the scheme does not fix the
/// curve: every algorithm of the scheme that fits the key may be meant.
///
/// # Errors
/// The signature is not the key's, or the scheme does not fit the key.
pub(super) fn check_tls12(message: &[u8], key: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Result<(), Error> {
    let candidates = ALGORITHMS.mapping.iter().filter(|(known, _)| *known == scheme).flat_map(|(_, all)| all.iter());
    let mut last = Error::InvalidSignatureForPublicKey;
    for algorithm in candidates {
        match verify(key, *algorithm, message, signature) {
            Ok(()) => return Ok(()),
            Err(error) if is_other_key_type(&error) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn verify(
    key: &[u8],
    algorithm: &dyn rustls_pki_types::SignatureVerificationAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let key = SubjectPublicKeyInfoDer::from(key);
    RawPublicKeyEntity::try_from(&key)?.verify_signature(algorithm, message, signature)
}

fn is_other_key_type(error: &Error) -> bool {
    matches!(error, Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_))
}
