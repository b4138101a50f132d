//! What was taken back, by name.
//!
//! What lives here: revocations as the control plane states them, and the
//! tables by which they are found. What does not: lists of other issuers
//! (`crl`), the judgement (`revoked`). Invariant: a revocation holds from the
//! moment at which it is in the snapshot; its date is for people.

use std::collections::HashMap;

use super::fingerprint::{Fingerprint, Serial};
use super::switch::RevocationReason;

/// What is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RevocationTarget {
    /// Every certificate of this serial number.
    Serial {
        /// Below this anchor only; `None` for all anchors of the tenant.
        anchor: Option<Fingerprint>,
        /// The number.
        serial: Serial,
    },
    /// The certificate with this SHA-256 fingerprint.
    Fingerprint(Fingerprint),
    /// Every certificate of this key: SHA-256 of its SubjectPublicKeyInfo.
    Key(Fingerprint),
    /// Every device certificate with this CN.
    CommonName(String),
    /// A device: whoever comes with this ClientId, or with a certificate of
    /// this CN, whatever proves it.
    Device(String),
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What is taken back.
    pub target: RevocationTarget,
    /// Since when, seconds since 1970; for people.
    pub since: i64,
    /// Why.
    pub reason: RevocationReason,
}

/// What is known of a revocation that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Since when, seconds since 1970.
    pub since: i64,
    /// Why.
    pub reason: RevocationReason,
}

/// What names a certificate below an anchor.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// Its serial number.
    pub serial: &'a Serial,
    /// SHA-256 of its DER.
    pub fingerprint: Fingerprint,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Fingerprint,
    /// The anchor that its path ends in.
    pub anchor: Fingerprint,
}

/// The revocation of a serial number, below one anchor or below all.
type BelowAnchor = (Option<Fingerprint>, Revoked);

/// The revocations of one tenant, as tables.
#[derive(Debug, Default)]
pub struct Revocations {
    serials: HashMap<Box<[u8]>, Vec<BelowAnchor>>,
    fingerprints: HashMap<Fingerprint, Revoked>,
    keys: HashMap<Fingerprint, Revoked>,
    common_names: HashMap<Box<str>, Revoked>,
    devices: HashMap<Box<str>, Revoked>,
}

impl Revocations {
    /// The tables of `list`; of two revocations of the same the later counts.
    #[must_use]
    pub fn new(list: &[Revocation]) -> Self {
        let mut tables = Self::default();
        for revocation in list {
            let revoked = Revoked { since: revocation.since, reason: revocation.reason };
            match &revocation.target {
                RevocationTarget::Serial { anchor, serial } => {
                    tables.serials.entry(serial.significant().into()).or_default().push((*anchor, revoked));
                }
                RevocationTarget::Fingerprint(mark) => drop(tables.fingerprints.insert(*mark, revoked)),
                RevocationTarget::Key(mark) => drop(tables.keys.insert(*mark, revoked)),
                RevocationTarget::CommonName(name) => drop(tables.common_names.insert(name.as_str().into(), revoked)),
                RevocationTarget::Device(name) => drop(tables.devices.insert(name.as_str().into(), revoked)),
            }
        }
        tables
    }

    /// Whether a certificate, anywhere below an anchor, was taken back, and by
    /// what it was named.
    #[must_use]
    pub fn of_certificate(&self, marks: Marks<'_>) -> Option<(&'static str, Revoked)> {
        let concerns = |anchor: &Option<Fingerprint>| anchor.is_none_or(|anchor| anchor == marks.anchor);
        let by_serial = || {
            let found = self.serials.get(marks.serial.significant())?;
            found.iter().find(|(anchor, _)| concerns(anchor)).map(|(_, revoked)| ("serial", *revoked))
        };
        let by_fingerprint = || Some(("fingerprint", *self.fingerprints.get(&marks.fingerprint)?));
        let by_key = || Some(("key", *self.keys.get(&marks.key)?));
        by_serial().or_else(by_fingerprint).or_else(by_key)
    }

    /// Whether device certificates with this CN were taken back.
    #[must_use]
    pub fn of_common_name(&self, name: &str) -> Option<Revoked> {
        self.common_names.get(name).copied()
    }

    /// Whether the device was taken back that one of `names` names.
    #[must_use]
    pub fn of_device<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<Revoked> {
        if self.devices.is_empty() {
            return None;
        }
        names.into_iter().find_map(|name| self.devices.get(name).copied())
    }
}
