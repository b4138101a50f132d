//! Private keys.
//!
//! What lives here: making them, their text forms, and what signs with them.
//! What does not: how they are kept (`seal`). Invariant: every copy that we
//! make of a key is wiped when it is dropped, and none is ever shown by
//! `Debug`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::armour::secret_pem;
use super::der;

/// The kinds of keys that we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA with 2,048 bits.
    Rsa2048,
    /// RSA with 3,072 bits.
    Rsa3072,
    /// RSA with 4,096 bits. Takes seconds to make.
    Rsa4096,
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

/// Every name of a key type, in the form without `-`, `_`, `:` and blanks.
const NAMES: &[(&str, KeyType)] = &[
    ("rsa", KeyType::Rsa2048),
    ("rsa2048", KeyType::Rsa2048),
    ("rsa3072", KeyType::Rsa3072),
    ("rsa4096", KeyType::Rsa4096),
    ("ec", KeyType::P256),
    ("ecdsa", KeyType::P256),
    ("p256", KeyType::P256),
    ("ecp256", KeyType::P256),
    ("prime256v1", KeyType::P256),
    ("secp256r1", KeyType::P256),
    ("p384", KeyType::P384),
    ("ecp384", KeyType::P384),
    ("secp384r1", KeyType::P384),
    ("ed25519", KeyType::Ed25519),
];

/// A name that stands for no key type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key type that can be made; use rsa2048, rsa3072, rsa4096, p256, p384 or ed25519")]
pub struct UnknownKeyType(String);

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(text: &str) -> Result<Self, UnknownKeyType> {
        let name: String =
            text.chars().filter(|c| !matches!(c, '-' | '_' | ':' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
        let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| UnknownKeyType(text.chars().take(40).collect()))
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The random source or the provider failed.
    #[error("the cryptographic provider failed; try again, and look at the system's random source if it stays")]
    Provider,
    /// It is not what we write.
    #[error("it is no private key in PKCS#8 (RSA, EC P-256, EC P-384 or Ed25519); bring back the key that was stored")]
    Unreadable,
}

/// A private key that signs.
pub struct PrivateKey {
    key: Inner,
    public_key: Vec<u8>,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Inner {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// AlgorithmIdentifiers of public keys, whole.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// AlgorithmIdentifiers of signatures, whole.
const RSA_SHA256: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";

impl PrivateKey {
    /// Makes a key. RSA takes from a tenth of a second to several seconds of a
    /// processor: do it where nobody waits.
    ///
    /// # Errors
    /// The random source failed.
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let rsa = |size| RsaKeyPair::generate(size).map(Inner::Rsa);
        let key = match kind {
            KeyType::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyType::Rsa3072 => rsa(KeySize::Rsa3072),
            KeyType::Rsa4096 => rsa(KeySize::Rsa4096),
            KeyType::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Inner::P256),
            KeyType::P384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Inner::P384),
            KeyType::Ed25519 => Ed25519KeyPair::generate().map(Inner::Ed25519),
        };
        Self::complete(key.map_err(|_| KeyError::Provider)?)
    }

    /// Reads what [`PrivateKey::pkcs8`] gave.
    ///
    /// # Errors
    /// It is no such key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8);
        let key = match parts(pkcs8).ok_or(KeyError::Unreadable)?.0 {
            RSA => RsaKeyPair::from_pkcs8(pkcs8).map(Inner::Rsa),
            P256 => ec(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Inner::P256),
            P384 => ec(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Inner::P384),
            ED25519 => Ed25519KeyPair::from_pkcs8(pkcs8).map(Inner::Ed25519),
            _ => return Err(KeyError::Unreadable),
        };
        Self::complete(key.map_err(|_| KeyError::Unreadable)?)
    }

    fn complete(key: Inner) -> Result<Self, KeyError> {
        let (public_key, pkcs8) = key.encoded().map_err(|_| KeyError::Provider)?;
        Ok(Self { key, public_key, pkcs8 })
    }

    /// The public key, SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The private key, PKCS#8 in DER: what is sealed and stored.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as PEM for the one who will use it: RSA as PKCS#1, which old
    /// Java and embedded clients want (MC-AGT-01), others as PKCS#8. Ends in a
    /// line break.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        match (&self.key, parts(&self.pkcs8)) {
            (Inner::Rsa(_), Some((_, pkcs1))) => secret_pem("RSA PRIVATE KEY", pkcs1),
            _ => secret_pem("PRIVATE KEY", &self.pkcs8),
        }
    }

    /// The AlgorithmIdentifier of this key's signatures, in DER.
    pub(super) fn signature_algorithm(&self) -> &'static [u8] {
        match self.key {
            Inner::Rsa(_) => RSA_SHA256,
            Inner::P256(_) => ECDSA_SHA256,
            Inner::P384(_) => ECDSA_SHA384,
            Inner::Ed25519(_) => ED25519,
        }
    }

    /// Signs by [`PrivateKey::signature_algorithm`].
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        let signed = match &self.key {
            Inner::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
            Inner::P256(key) | Inner::P384(key) => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            Inner::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
        };
        signed.map_err(|_| KeyError::Provider)
    }
}

impl Inner {
    /// The public key, and the whole key in PKCS#8 of version 1: OpenSSL 3.0
    /// does not read version 2.
    fn encoded(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), aws_lc_rs::error::Unspecified> {
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        Ok(match self {
            Self::Rsa(key) => {
                let pkcs8: Pkcs8V1Der<'_> = key.as_der()?;
                (key.public_key().as_der()?.as_ref().to_vec(), copy(pkcs8.as_ref()))
            }
            Self::P256(key) | Self::P384(key) => {
                (key.public_key().as_der()?.as_ref().to_vec(), copy(key.to_pkcs8v1()?.as_ref()))
            }
            Self::Ed25519(key) => (key.public_key().as_der()?.as_ref().to_vec(), copy(key.to_pkcs8v1()?.as_ref())),
        })
    }
}

/// PKCS#8: the AlgorithmIdentifier, and the key in the form of its kind.
fn parts(pkcs8: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut content = der::only(pkcs8, der::SEQUENCE)?;
    der::take_tagged(&mut content, der::INTEGER)?;
    let algorithm = der::take_tagged(&mut content, der::SEQUENCE)?.whole;
    Some((algorithm, der::take_tagged(&mut content, der::OCTET_STRING)?.content))
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [KeyType; 4] = [KeyType::Rsa2048, KeyType::P256, KeyType::P384, KeyType::Ed25519];

    #[test]
    fn a_key_that_was_stored_is_the_same_key() {
        for kind in KINDS {
            let key = PrivateKey::generate(kind).unwrap();
            let again = PrivateKey::from_pkcs8(key.pkcs8()).unwrap();
            assert_eq!(key.public_key(), again.public_key());
            assert_eq!(key.to_pem(), again.to_pem());
        }
    }

    /// MC-AGT-01
    #[test]
    fn rsa_is_written_as_pkcs1_and_all_others_as_pkcs8() {
        for kind in KINDS {
            let pem = PrivateKey::generate(kind).unwrap().to_pem();
            let label = if kind == KeyType::Rsa2048 { "RSA PRIVATE KEY" } else { "PRIVATE KEY" };
            assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")), "{kind}");
            assert!(pem.ends_with(&format!("\n-----END {label}-----\n")), "{kind}");
        }
    }

    #[test]
    fn a_key_type_is_known_by_the_names_that_people_use() {
        for (text, kind) in [
            ("rsa", KeyType::Rsa2048),
            ("RSA-2048", KeyType::Rsa2048),
            ("rsa:4096", KeyType::Rsa4096),
            ("ec", KeyType::P256),
            ("EC P-256", KeyType::P256),
            ("prime256v1", KeyType::P256),
            ("secp384r1", KeyType::P384),
            ("Ed25519", KeyType::Ed25519),
        ] {
            assert_eq!(text.parse(), Ok(kind), "{text}");
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for text in ["", "rsa1024", "p521", "secp256k1", "dsa", "ed448"] {
            let error = text.parse::<KeyType>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("p256"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_shown() {
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey { .. }");
        let cut = key.pkcs8().len() - 1;
        for bytes in [&[][..], b"hello", &key.pkcs8()[..cut], key.public_key()] {
            assert_eq!(PrivateKey::from_pkcs8(bytes).unwrap_err(), KeyError::Unreadable);
        }
    }
}
