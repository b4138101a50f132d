//! Proof that somebody holds a CA's private key.
//!
//! What lives here: the codes that are to be signed, and the check of a
//! verification certificate (MindConnect) and of a signed code (Cumulocity).
//! What does not: which code was given to whom (`authority`). Invariant: a
//! proof counts for the one code and the one CA that it was made for.

use rustls_pki_types::alg_id;

use super::armour::{base64, from_base64};
use super::keypair::KeyError;
use crate::identity::certificate::Certificate;
use crate::identity::name::CommonName;
use crate::identity::pem;
use crate::identity::signature::{self, Outcome, Signed};

/// A verification certificate is no larger than that, bytes in any form.
const MAX_PROOF: usize = 64 * 1024;

/// Bytes of a registration code; it has twice as many digits, which fill a CN.
const REGISTRATION: usize = 32;
/// Bytes of a verification code (C8Y-POP-01).
const VERIFICATION: usize = 120;

/// Why a verification certificate proves nothing (MC-POP-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// It is no certificate.
    #[error("cannot be read")]
    Unreadable,
    /// The CA's name or key is another one.
    #[error("not signed by this CA certificate")]
    OtherCa,
    /// It was made for another code.
    #[error("common name is not the registration code")]
    OtherCode,
    /// It counts later only.
    #[error("not yet valid")]
    NotYetValid,
    /// It counts no longer.
    #[error("expired")]
    Expired,
}

/// Why a signed code proves nothing (C8Y-POP-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedCodeError {
    /// The signature is not base64.
    #[error("the signature is not base64; use `openssl base64 -A`")]
    Base64,
    /// The CA's key did not make it over this code.
    #[error("the signature was not made over this code by the certificate's key; use `openssl dgst -sha256 -sign`")]
    Wrong,
}

/// A code for a verification certificate's CN: 64 hexadecimal digits, lower
/// case (MC-POP-02).
///
/// # Errors
/// The random source failed.
pub fn registration_code() -> Result<String, KeyError> {
    let mut bytes = [0_u8; REGISTRATION];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Provider)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// A code to be signed: base64 of 120 random bytes (C8Y-POP-01).
///
/// # Errors
/// The random source failed.
pub fn verification_code() -> Result<String, KeyError> {
    let mut bytes = [0_u8; VERIFICATION];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Provider)?;
    Ok(base64(&bytes))
}

/// Checks a verification certificate, in PEM with every tolerance of TRUST-13
/// or in DER: `ca` issued it, its CN is `code`, and it counts at `now`, seconds
/// since 1970 (MC-POP-04). Its version and its extensions do not matter.
///
/// # Errors
/// What is wrong with it.
pub fn check_verification_certificate(
    ca: &Certificate<'_>,
    code: &str,
    certificate: &[u8],
    now: i64,
) -> Result<(), PossessionError> {
    let bytes = Some(certificate).filter(|bytes| bytes.len() <= MAX_PROOF).ok_or(PossessionError::Unreadable)?;
    let sent = pem::certificates(bytes).ok().and_then(|found| found.into_iter().next());
    let proof = sent.and_then(|der| Certificate::read(der).ok()).ok_or(PossessionError::Unreadable)?;
    if !signature::is_issued_by(&proof, ca) {
        return Err(PossessionError::OtherCa);
    }
    let facts = proof.facts();
    if !matches!(&facts.common_name, CommonName::One(name) if name.eq_ignore_ascii_case(code)) {
        return Err(PossessionError::OtherCode);
    }
    if now < facts.not_before {
        return Err(PossessionError::NotYetValid);
    }
    if now > facts.not_after {
        return Err(PossessionError::Expired);
    }
    Ok(())
}

/// Checks the base64 `signature` that the key of `ca` made over `code` with
/// SHA-256, or over the code and the line break that `echo` adds.
///
/// # Errors
/// What is wrong with it.
pub fn check_signed_code(ca: &Certificate<'_>, code: &str, signature: &str) -> Result<(), SignedCodeError> {
    let signature = from_base64(signature).ok_or(SignedCodeError::Base64)?;
    for end in ["", "\n", "\r\n"] {
        let message = format!("{code}{end}");
        for algorithm in [alg_id::RSA_PKCS1_SHA256, alg_id::ECDSA_SHA256, alg_id::ED25519] {
            let signed =
                Signed { algorithm: algorithm.as_ref(), oid: "", message: message.as_bytes(), signature: &signature };
            if signature::check_signed(&signed, ca.public_key()) == Outcome::Good {
                return Ok(());
            }
        }
    }
    Err(SignedCodeError::Wrong)
}
