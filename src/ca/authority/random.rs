//! Random names and secrets, and the digests that are kept of them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::fault::{Fault, Kind};

fn bytes(count: usize) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Fault::new(Kind::Internal, "there are no random numbers"))?;
    Ok(bytes)
}

/// Twice as many hexadecimal digits.
pub(super) fn hex(count: usize) -> Result<String, Fault> {
    Ok(to_hex(&bytes(count)?))
}

/// A secret of so many bytes, as URL-safe base64.
pub(super) fn secret(count: usize) -> Result<Zeroizing<String>, Fault> {
    Ok(Zeroizing::new(Base64UrlUnpadded::encode_string(&bytes(count)?)))
}

/// Characters of a password that is made here: 142 bits.
const PASSWORD: usize = 24;

/// A password for an account that is made without one: letters and digits, so
/// that it survives being read out, and a shell.
///
/// # Errors
/// There are no random numbers.
pub fn new_password() -> Result<Zeroizing<String>, Fault> {
    let mut password = Zeroizing::new(String::with_capacity(PASSWORD));
    while password.len() < PASSWORD {
        let more = secret(PASSWORD)?;
        let room = PASSWORD - password.len();
        password.extend(more.chars().filter(char::is_ascii_alphanumeric).take(room));
    }
    Ok(password)
}

/// A ULID of this moment.
pub(super) fn ulid(now: u64) -> Result<String, Fault> {
    let random = bytes(16)?.iter().fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
    Ok(ulid::Ulid::from_parts(now, random).to_string())
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(digest(&SHA256, bytes).as_ref())
}

/// The beginning of a SHA-256: a name of what these bytes are now.
pub(super) fn short_digest(bytes: &[u8]) -> u64 {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// SHA-1 in hexadecimal digits: a name, not a proof.
pub(super) fn sha1_hex(bytes: &[u8]) -> String {
    to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
