//! Certificate revocation lists, as far as a chain is judged by them.
//!
//! What lives here: the serial numbers of a list and the time for which it
//! speaks. What does not: reading a list and checking its signature (`ca`), the
//! answer when it is stale (`revoked`). Invariant: a look-up is a binary search
//! and allocates nothing; a list of a million entries is two allocations.

use std::sync::Arc;

use super::fingerprint::{Fingerprint, Serial};

/// Serial numbers, compactly: sorted, end to end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SerialSet {
    bytes: Box<[u8]>,
    /// Where each one ends.
    ends: Box<[u32]>,
}

impl SerialSet {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether `serial` is among them.
    #[must_use]
    pub fn contains(&self, serial: &Serial) -> bool {
        let wanted = serial.significant();
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).cmp(wanted) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    fn at(&self, index: usize) -> &[u8] {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(index)).unwrap_or_default()
    }
}

impl FromIterator<Serial> for SerialSet {
    /// Serial numbers beyond 4 GiB of digits are left out: no list is as long.
    fn from_iter<I: IntoIterator<Item = Serial>>(serials: I) -> Self {
        let mut sorted: Vec<Serial> = serials.into_iter().collect();
        sorted.sort_unstable_by(|one, other| one.significant().cmp(other.significant()));
        sorted.dedup_by(|one, other| one.significant() == other.significant());
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(sorted.len()));
        for serial in sorted {
            let digits = serial.significant();
            let Ok(end) = u32::try_from(bytes.len() + digits.len()) else { break };
            bytes.extend_from_slice(digits);
            ends.push(end);
        }
        Self { bytes: bytes.into(), ends: ends.into() }
    }
}

impl std::fmt::Debug for SerialSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SerialSet({})", self.len())
    }
}

/// A revocation list of one issuer, checked against its key by whoever brings
/// it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSettings {
    /// SHA-256 of the issuer's SubjectPublicKeyInfo, where an intermediate CA
    /// below the anchor issued the list; `None` for the anchor's own.
    pub issuer: Option<Fingerprint>,
    /// The certificates that it takes back; those on hold are among them.
    pub serials: Arc<SerialSet>,
    /// When it was made, seconds since 1970.
    pub this_update: i64,
    /// Until when the next one should be there, seconds since 1970; without it
    /// the list is never stale.
    pub next_update: Option<i64>,
    /// Where it came from, for messages: a file name or an address.
    pub source: String,
}

impl CrlSettings {
    /// Whether a newer list should be there at `now`, seconds since 1970.
    #[must_use]
    pub fn is_stale(&self, now: i64) -> bool {
        self.next_update.is_some_and(|next| now > next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(bytes: &[u8]) -> Serial {
        Serial(bytes.into())
    }

    #[test]
    fn leading_zeros_are_no_digits() {
        let set: SerialSet = [serial(&[0, 0xFB]), serial(&[0xFB]), serial(&[0])].into_iter().collect();
        assert_eq!(set.len(), 2);
        assert!(set.contains(&serial(&[0xFB])) && set.contains(&serial(&[0, 0, 0xFB])) && set.contains(&serial(&[])));
        assert!(!set.contains(&serial(&[0xFB, 0])) && !SerialSet::default().contains(&serial(&[])));
    }

    proptest::proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_nothing_else(
            inside in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..4), 0..40),
            asked in proptest::collection::vec(0_u8..4, 0..4),
        ) {
            let set: SerialSet = inside.iter().map(|bytes| serial(bytes)).collect();
            let known = inside.iter().any(|bytes| serial(bytes).significant() == serial(&asked).significant());
            proptest::prop_assert_eq!(set.contains(&serial(&asked)), known);
        }
    }
}
