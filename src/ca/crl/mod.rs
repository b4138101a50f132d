//! Certificate revocation lists.
//!
//! What lives here: what a list says, and why one is not taken. What does not:
//! reading (`read`) and writing one (`write`). Invariant: serial numbers are the
//! bytes that stand in certificates, so that they are compared as they are.

mod read;
mod scope;
pub(super) mod write;

pub use read::{Crl, UncheckedCrl, read};

use crate::identity::certificate::Serial;
use crate::identity::pem::PemError;
use crate::identity::switch::RevocationReason;

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file or an answer, in any form.
    pub bytes: usize,
    /// Entries of one list.
    pub entries: usize,
    /// Lists in one file.
    pub lists: usize,
}

/// 32 MiB: half a million entries in base64. A list of the largest public CAs
/// has a tenth of it.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Entries of one list.
pub const MAX_ENTRIES: usize = 500_000;
/// Lists in one file: one for each CA of a long chain, twice.
pub const MAX_LISTS: usize = 20;

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, entries: MAX_ENTRIES, lists: MAX_LISTS }
    }
}

/// Why a list is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// It is neither PEM nor DER.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// It is not DER of the shape of a list.
    #[error("it is not an X.509 revocation list in DER; fetch it again, whole")]
    Der,
    /// It is longer than what is read.
    #[error("it has {bytes} bytes; at most {limit} are read: raise the limit, or have the CA issue shorter lists")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// More lists than are read.
    #[error("it holds more than {limit} lists; give one file for each CA")]
    TooMany {
        /// How many may be there.
        limit: usize,
    },
    /// More entries than are read.
    #[error("it has more than {limit} entries; raise the limit, or have the CA drop what has expired")]
    TooManyEntries {
        /// How many it may have.
        limit: usize,
    },
    /// It says only what has changed.
    #[error("it is a delta list; give the complete list (RFC 5280 section 5.2.4)")]
    Delta,
    /// It speaks for several CAs.
    #[error("it is an indirect list, which holds certificates of other CAs; give each CA's own list")]
    Indirect,
    /// It speaks for attribute certificates.
    #[error("it is a list of attribute certificates; give the CA's list of public key certificates")]
    Attributes,
    /// It has a critical extension that is not honoured.
    #[error("it has the critical extension {oid}, which is not understood; have the CA issue it without")]
    Critical {
        /// Its object identifier.
        oid: String,
    },
    /// The CA did not sign it, or may not.
    #[error("the list of {issuer} is not one of this CA: {reason}; give the list that this CA signed")]
    Signature {
        /// The name in the list.
        issuer: String,
        /// What speaks against it.
        reason: String,
    },
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

/// The number of a reason in a list. `None` for one that says nothing, which is
/// left out, and for the one that stands in delta lists only.
fn code_of(reason: RevocationReason) -> Option<u8> {
    CODES.iter().find(|(known, _)| *known == reason).map(|(_, code)| *code)
}

/// The reason of this number in a complete list, where 8 (off the list again)
/// has no meaning.
fn reason_of(code: u8) -> RevocationReason {
    CODES.iter().find(|(_, known)| *known == code).map_or(RevocationReason::Unspecified, |(reason, _)| *reason)
}

/// One certificate on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// Since when, seconds since 1970.
    pub since: i64,
    /// Why.
    pub reason: RevocationReason,
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
