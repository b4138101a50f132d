//! Private keys at rest.
//!
//! What lives here: sealing and opening with AES-256-GCM. What does not: where
//! the sealing key comes from (`source`), what is sealed (`keypair`).
//! Invariant: what was sealed opens only with the same key and for the same
//! owner, and whoever reads the disk or a backup of it reads no private key.

mod source;

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

pub use source::{CREDENTIAL, Origin, Sources, VARIABLE};

/// Bytes of a sealing key.
const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
const ID: usize = 8;

/// The first byte of what we seal: version, key id, nonce, ciphertext, tag.
const VERSION: u8 = 1;

/// Which sealing key it was: it tells keys apart, and tells nothing about one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why nothing was sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It was sealed with another key.
    #[error(
        "it is sealed with the sealing key {wanted}, and this one is {present}; give the broker the key {wanted} again (sealing key file, {VARIABLE}, or the credential {CREDENTIAL})"
    )]
    WrongKey {
        /// The key that would open it.
        wanted: KeyId,
        /// The key that is there.
        present: KeyId,
    },
    /// It was changed, or sealed for another owner.
    #[error(
        "what is sealed for {owner} does not open with its key {key}: it is damaged, or belongs to something else; restore it from a backup"
    )]
    Damaged {
        /// What it should belong to.
        owner: String,
        /// The key, which is the right one.
        key: KeyId,
    },
    /// It is not of our making.
    #[error(
        "what is sealed for {owner} is not in a form that this version reads; restore it from a backup, or use the version that wrote it"
    )]
    Form {
        /// What it should belong to.
        owner: String,
    },
    /// The random source or the provider failed.
    #[error("the cryptographic provider failed; try again, and look at the system's random source if it stays")]
    Provider,
    /// A file with a sealing key cannot be read.
    #[error("the sealing key {}: it cannot be read ({source}); correct the path or the rights", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read or change the sealing key.
    #[error("the sealing key {}: its mode {mode:04o} lets others read or change it; chmod 0600 {}", path.display(), path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no sealing key.
    #[error("the sealing key from {origin}: {reason}; make one with `openssl rand -hex 32`")]
    Key {
        /// Where it came from.
        origin: Origin,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A new sealing key cannot be written.
    #[error("a new sealing key: {0}")]
    Write(super::Error),
}

/// The key that seals other keys. Wiped when it is dropped.
pub struct SealingKey {
    key: RandomizedNonceKey,
    id: KeyId,
}

impl SealingKey {
    /// Takes 32 bytes as a key.
    ///
    /// # Errors
    /// The provider failed.
    pub fn new(bytes: &[u8; KEY]) -> Result<Self, SealError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| SealError::Provider)?;
        let named: Zeroizing<Vec<u8>> = Zeroizing::new([b"certus sealing key\0".as_slice(), bytes].concat());
        let hash = digest(&SHA256, &named);
        let id = hash.as_ref().first_chunk::<ID>().copied().ok_or(SealError::Provider)?;
        Ok(Self { key, id: KeyId(id) })
    }

    /// A key that is kept nowhere, for what lasts no longer than the process.
    ///
    /// # Errors
    /// The provider failed.
    pub fn random() -> Result<Self, SealError> {
        let mut bytes = zeroize::Zeroizing::new([0_u8; KEY]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| SealError::Provider)?;
        Self::new(&bytes)
    }

    /// Which key it is.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals `secret` for `owner`, the thing it belongs to: it opens for no
    /// other, so that nobody who can write to the store can swap two keys.
    /// Under one key 2³² secrets may be sealed before two nonces are likely to
    /// meet.
    ///
    /// # Errors
    /// The random source failed.
    pub fn seal(&self, secret: &[u8], owner: &str) -> Result<Vec<u8>, SealError> {
        // With room for the tag, so that the secret is not copied and left behind.
        let mut body = Zeroizing::new(Vec::with_capacity(secret.len() + TAG));
        body.extend_from_slice(secret);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(self.context(owner)), &mut *body)
            .map_err(|_| SealError::Provider)?;
        Ok([&[VERSION], self.id.0.as_slice(), nonce.as_ref(), &body].concat())
    }

    /// Opens what [`SealingKey::seal`] gave for the same `owner`.
    ///
    /// # Errors
    /// It was sealed with another key, for another owner, or was changed.
    pub fn open(&self, sealed: &[u8], owner: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let form = || SealError::Form { owner: owner.to_owned() };
        let rest = sealed.strip_prefix(&[VERSION]).ok_or_else(form)?;
        let (id, rest) = rest.split_first_chunk::<ID>().ok_or_else(form)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or_else(form)?;
        if *id != self.id.0 {
            return Err(SealError::WrongKey { wanted: KeyId(*id), present: self.id });
        }
        let mut body = Zeroizing::new(body.to_vec());
        let opened =
            self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.context(owner)), &mut body);
        let length = match opened {
            Ok(secret) => secret.len(),
            Err(_) => return Err(SealError::Damaged { owner: owner.to_owned(), key: self.id }),
        };
        body.truncate(length);
        Ok(body)
    }

    /// What is authenticated beside the secret.
    fn context(&self, owner: &str) -> Vec<u8> {
        [&[VERSION], self.id.0.as_slice(), owner.as_bytes()].concat()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> SealingKey {
        SealingKey::new(&[fill; KEY]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_alone() {
        let sealed = key(1).seal(b"secret", "anchor 7 of acme").unwrap();
        assert_eq!(key(1).open(&sealed, "anchor 7 of acme").unwrap().as_slice(), b"secret");
        let error = key(1).open(&sealed, "anchor 8 of acme").unwrap_err().to_string();
        assert!(error.contains("anchor 8 of acme") && error.contains("belongs to something else"), "{error}");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn another_key_is_told_which_one_is_wanted() {
        let sealed = key(1).seal(b"secret", "x").unwrap();
        let error = key(2).open(&sealed, "x").unwrap_err().to_string();
        assert!(error.contains(&key(1).id().to_string()) && error.contains(&key(2).id().to_string()), "{error}");
        assert!(error.contains("CERTUS_SEALING_KEY"), "{error}");
    }

    #[test]
    fn no_two_seals_are_the_same() {
        assert_ne!(key(1).seal(b"secret", "x").unwrap(), key(1).seal(b"secret", "x").unwrap());
    }

    #[test]
    fn every_changed_bit_and_every_missing_byte_is_seen() {
        let sealed = key(1).seal(b"secret", "x").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(key(1).open(&changed, "x").is_err(), "byte {at}, bit {bit}");
            }
            assert!(key(1).open(&sealed[..at], "x").is_err(), "{at} bytes");
        }
        assert_eq!(format!("{:?}", key(1)), format!("SealingKey {{ id: {}, .. }}", key(1).id()));
    }
}
