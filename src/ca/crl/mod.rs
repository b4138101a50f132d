//! Certificate revocation lists.
//!
//! What lives here: what a list says. What does not: writing one (`write`).
//! Invariant: serial numbers are the bytes that stand in certificates, so that
//! they are compared as they are.

pub(super) mod write;

use crate::identity::certificate::Serial;

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationReason {
    /// Its private key is known to others.
    KeyCompromise,
    /// The private key of the CA is known to others.
    CaCompromise,
    /// The subject belongs to somebody else now.
    AffiliationChanged,
    /// Another one took its place.
    Superseded,
    /// The device is no longer in use.
    CessationOfOperation,
    /// For the time being.
    CertificateHold,
    /// A right was taken away.
    PrivilegeWithdrawn,
    /// The private key of an attribute authority is known to others.
    AaCompromise,
}

const CODES: &[(RevocationReason, u8)] = &[
    (RevocationReason::KeyCompromise, 1),
    (RevocationReason::CaCompromise, 2),
    (RevocationReason::AffiliationChanged, 3),
    (RevocationReason::Superseded, 4),
    (RevocationReason::CessationOfOperation, 5),
    (RevocationReason::CertificateHold, 6),
    (RevocationReason::PrivilegeWithdrawn, 9),
    (RevocationReason::AaCompromise, 10),
];

impl RevocationReason {
    /// Its number in a list.
    #[must_use]
    pub fn code(self) -> u8 {
        CODES.iter().find(|(reason, _)| *reason == self).map_or(0, |(_, code)| *code)
    }

    /// The reason of this number. 0 says nothing, and 8 stands in delta lists
    /// only.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        CODES.iter().find(|(_, known)| *known == code).map(|(reason, _)| *reason)
    }
}

/// One certificate on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// Why, if it is told.
    pub reason: Option<RevocationReason>,
}

/// A list to be signed.
#[derive(Clone, Copy, Debug)]
pub struct CrlOrder<'a> {
    /// Higher than that of the list before.
    pub number: u64,
    /// When it is made, seconds since 1970.
    pub this_update: i64,
    /// When the next one is there at the latest, seconds since 1970.
    pub next_update: i64,
    /// What is revoked.
    pub entries: &'a [Revoked],
}
