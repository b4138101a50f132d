//! Public keys, and which of them a tenant takes.
//!
//! What lives here: the kind and size of a key, and the switch `key_policy`.
//! What does not: checking signatures (`signature`). Invariant: a key that the
//! provider cannot use for a handshake is refused here, with a reason, and not
//! by an obscure alert later.

use std::fmt;

use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::reason::Reason;
use super::switch::KeyPolicy;

/// The smallest RSA modulus, bits.
const MIN_RSA: usize = 2048;
/// The largest that the provider verifies with, bits.
const MAX_RSA: usize = 8192;

/// A public key's kind and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// A curve that TLS has a signature scheme for: P-256, P-384, P-521.
    Ec(&'static str),
    /// Another curve.
    OtherCurve {
        /// Its name, or its object identifier.
        name: String,
        /// Its size where it is known.
        bits: Option<usize>,
    },
    /// Ed25519
    Ed25519,
    /// Anything else, by name or object identifier.
    Other(String),
}

/// Curves by object identifier: name, bits, whether TLS can use it.
const CURVES: &[(&str, &str, usize, bool)] = &[
    ("1.2.840.10045.3.1.7", "P-256", 256, true),
    ("1.3.132.0.34", "P-384", 384, true),
    ("1.3.132.0.35", "P-521", 521, true),
    ("1.2.840.10045.3.1.1", "P-192", 192, false),
    ("1.3.132.0.33", "P-224", 224, false),
    ("1.3.132.0.10", "secp256k1", 256, false),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256, false),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384, false),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512, false),
];

impl Key {
    /// Reads the kind and size from a SubjectPublicKeyInfo.
    #[must_use]
    pub fn read(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        match spki.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => match spki.parsed() {
                Ok(PublicKey::RSA(key)) => Self::Rsa(bit_length(key.modulus)),
                _ => Self::Other("malformed RSA".to_owned()),
            },
            "1.2.840.10045.2.1" => Self::read_curve(spki),
            "1.3.101.112" => Self::Ed25519,
            "1.3.101.113" => Self::Other("Ed448".to_owned()),
            "1.2.840.113549.1.1.10" => Self::Other("RSA-PSS".to_owned()),
            "1.2.840.10040.4.1" => Self::Other("DSA".to_owned()),
            oid => Self::Other(oid.to_owned()),
        }
    }

    fn read_curve(spki: &SubjectPublicKeyInfo<'_>) -> Self {
        let parameters = spki.algorithm.parameters.as_ref();
        let Some(oid) = parameters.and_then(|parameters| parameters.as_oid().ok()).map(|oid| oid.to_id_string()) else {
            return Self::OtherCurve { name: "explicit parameters".to_owned(), bits: None };
        };
        match CURVES.iter().find(|(known, ..)| *known == oid) {
            Some((_, name, _, true)) => Self::Ec(name),
            Some((_, name, bits, false)) => Self::OtherCurve { name: (*name).to_owned(), bits: Some(*bits) },
            None => Self::OtherCurve { name: oid, bits: None },
        }
    }

    /// Checks the key of a device against the tenant's policy.
    ///
    /// # Errors
    /// [`Reason::WeakKey`] or [`Reason::KeyType`].
    pub fn check(&self, policy: KeyPolicy) -> Result<(), Reason> {
        self.check_strength()?;
        match (self, policy) {
            (Self::Ec(_), _)
            | (Self::Rsa(_), KeyPolicy::RsaEc | KeyPolicy::RsaEcEd25519)
            | (Self::Ed25519, KeyPolicy::RsaEcEd25519) => Ok(()),
            _ => Err(Reason::KeyType),
        }
    }

    /// Checks that the key is of a kind and size that signatures can be
    /// verified with: what every key of a chain must be.
    ///
    /// # Errors
    /// [`Reason::WeakKey`] or [`Reason::KeyType`].
    pub fn check_strength(&self) -> Result<(), Reason> {
        match self {
            Self::Rsa(bits) if *bits < MIN_RSA => Err(Reason::WeakKey),
            Self::Rsa(bits) if *bits > MAX_RSA => Err(Reason::KeyType),
            Self::OtherCurve { bits: Some(bits), .. } if *bits < 256 => Err(Reason::WeakKey),
            Self::OtherCurve { .. } | Self::Other(_) => Err(Reason::KeyType),
            Self::Rsa(_) | Self::Ec(_) | Self::Ed25519 => Ok(()),
        }
    }
}

fn bit_length(modulus: &[u8]) -> usize {
    let mut digits = modulus.iter().skip_while(|digit| **digit == 0);
    let Some(first) = digits.next() else { return 0 };
    digits.count() * 8 + (8 - first.leading_zeros() as usize)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Ec(name) => write!(f, "EC {name}"),
            Self::OtherCurve { name, .. } => write!(f, "EC {name}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
