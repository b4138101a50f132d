//! Certificates in a PKCS#7 envelope, as EST hands them out.
//!
//! What lives here: the degenerate SignedData of RFC 5652 section 5.1, which
//! holds certificates and no signature. What does not: EST itself. Invariant:
//! the certificates stand in it in the order in which they were given.

use super::der::{self, sequence};

/// 1.2.840.113549.1.7.1 and .2
const DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1];
const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2];

/// `certificates`, each in DER, in one envelope in DER. Its text form is
/// [`base64_lines`](super::armour::base64_lines).
#[must_use]
pub fn certificates_only(certificates: &[&[u8]]) -> Vec<u8> {
    let signed = sequence(&[
        &der::unsigned(&[1]),
        &der::element(der::SET, &[]), // no digest algorithms
        &sequence(&[&der::element(der::OID, DATA)]),
        &der::constructed(der::CONTEXT, certificates),
        &der::element(der::SET, &[]), // no signers
    ]);
    sequence(&[&der::element(der::OID, SIGNED_DATA), &der::element(der::CONTEXT, &signed)])
}
