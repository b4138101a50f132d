//! What a certificate request has to contain, in the words of EST.
//!
//! What lives here: CsrAttrs (RFC 7030 section 4.5.2) from a tenant's policy
//! of keys. What does not: the check of a request (`request`). Invariant: it
//! asks for no more than the check insists on.

use super::der::{self, sequence};
use crate::identity::switch::KeyPolicy;

/// 1.2.840.10045.2.1, ecPublicKey
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
/// 1.2.840.10045.3.1.7, P-256
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];
/// 1.2.840.10045.4.3.2, ecdsa-with-SHA256
const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];

/// CsrAttrs in DER; none where the client may choose its key.
pub(super) fn of(policy: KeyPolicy) -> Option<Vec<u8>> {
    match policy {
        KeyPolicy::Ec => {
            let curve = der::element(der::SET, &der::element(der::OID, P256));
            let key = sequence(&[&der::element(der::OID, EC_PUBLIC_KEY), &curve]);
            Some(sequence(&[&key, &der::element(der::OID, ECDSA_WITH_SHA256)]))
        }
        KeyPolicy::RsaEc | KeyPolicy::RsaEcEd25519 => None,
    }
}
