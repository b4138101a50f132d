//! What names a certificate, an issuer's key, or one of its certificates.
//!
//! What lives here: SHA-256 fingerprints and serial numbers as values. What
//! does not: reading them from certificates (`certificate`). Invariant: two
//! serial numbers that differ only in leading zeros are one, because people and
//! tools write them so.

use std::fmt;

/// A SHA-256 digest: of a certificate's DER, or of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        bytes_of(digits)?.try_into().ok().map(Self)
    }
}

/// The digits are no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write 64 hexadecimal digits")]
pub struct NoFingerprint;

impl std::str::FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(digits: &str) -> Result<Self, NoFingerprint> {
        Self::from_hex(digits).ok_or(NoFingerprint)
    }
}

impl Serial {
    /// Reads hexadecimal digits, two a byte.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        bytes_of(digits).map(|bytes| Self(bytes.into()))
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A serial number: opaque bytes, since devices have zero, negative and
/// over-long ones (deps.md section 2.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub Box<[u8]>);

impl Serial {
    /// The bytes without leading zeros, by which serial numbers are compared.
    #[must_use]
    pub fn significant(&self) -> &[u8] {
        let zeros = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0.get(zeros..).unwrap_or_default()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}
