//! Writing a revocation list.
//!
//! What lives here: the unsigned part of a list of version 2. What does not:
//! the signature (`signer`). Invariant: an empty list has no list of
//! certificates at all (RFC 5280 section 5.1.2.6).

use super::{CrlOrder, Revoked, code_of};
use crate::ca::der::{self, sequence};
use crate::ca::profile::authority_key_identifier;

/// 2.5.29.20 and .21
const CRL_NUMBER: &[u8] = &[0x55, 29, 20];
const REASON_CODE: &[u8] = &[0x55, 29, 21];

/// TBSCertList; `None` if a date lies outside of what can be written.
pub(in crate::ca) fn unsigned(
    order: &CrlOrder<'_>,
    signature_algorithm: &[u8],
    issuer: &[u8],
    issuer_key: &[u8],
) -> Option<Vec<u8>> {
    let mut entries = Vec::with_capacity(order.entries.len() * 40);
    for revoked in order.entries {
        put(&mut entries, revoked)?;
    }
    let entries = if entries.is_empty() { entries } else { der::element(der::SEQUENCE, &entries) };
    let number = extension(CRL_NUMBER, &der::unsigned(&order.number.to_be_bytes()));
    let extensions = sequence(&[&authority_key_identifier(issuer_key), &number]);
    Some(sequence(&[
        &der::unsigned(&[1]), // version 2
        signature_algorithm,
        issuer,
        &der::time(order.this_update)?,
        &der::time(order.next_update)?,
        &entries,
        &der::element(der::CONTEXT, &extensions),
    ]))
}

fn put(out: &mut Vec<u8>, revoked: &Revoked) -> Option<()> {
    let reason = code_of(revoked.reason).map(|code| {
        let code = der::element(der::ENUMERATED, &[code]);
        sequence(&[&extension(REASON_CODE, &code)])
    });
    let serial = der::element(der::INTEGER, &revoked.serial.0);
    let since = der::time(revoked.since)?;
    out.extend_from_slice(&sequence(&[&serial, &since, &reason.unwrap_or_default()]));
    Some(())
}

fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[&der::element(der::OID, oid), &der::element(der::OCTET_STRING, value)])
}
