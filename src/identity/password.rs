//! Passwords and their hashes.
//!
//! What lives here: argon2id, in both directions, and what a hash may cost.
//! What does not: who is asked for a password (`credentials`), on which threads
//! it is checked (`net`). Invariant: an unknown account costs as much as a
//! known one, and nothing here logs or keeps a password.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};

/// What is verified where there is no account: a hash of the usual cost that
/// belongs to no password.
pub const STAND_IN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y2VydHVzIGtub3dzIG5vdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A file cannot make a check cost more than this: memory in KiB, passes.
const MOST: (u32, u32) = (1 << 18, 16);

/// Why a hash cannot be used or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is no PHC text of argon2id.
    #[error("the hash is not one of argon2id; let `certus passwd` write the line")]
    Unreadable,
    /// One check would cost too much.
    #[error("the hash asks for more than 256 MiB or 16 passes; let `certus passwd` write the line")]
    Costly,
    /// No random numbers, or a password of four GiB.
    #[error("the password cannot be hashed")]
    Unhashed,
}

/// The hash of a password, with a salt of its own: argon2id with 19 MiB and
/// two passes, as OWASP's cheat sheet has it.
///
/// # Errors
/// There are no random numbers.
pub fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password).map_err(|_| PasswordError::Unhashed)?;
    Ok(hash.to_string())
}

/// Whether two texts are the same, in a time that tells their lengths at most.
#[must_use]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// Whether `password` is the one behind `hash`. It takes tens of
/// milliseconds: never on a thread that serves connections. The hashes are
/// compared in constant time.
#[must_use]
pub fn verify(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Checks a hash before any password is compared with it.
///
/// # Errors
/// Says why it cannot be used.
pub fn check(hash: &str) -> Result<(), PasswordError> {
    let read = PasswordHash::new(hash).map_err(|_| PasswordError::Unreadable)?;
    if read.algorithm.as_str() != "argon2id" || read.hash.is_none() || read.salt.is_none() {
        return Err(PasswordError::Unreadable);
    }
    let params = Params::try_from(&read).map_err(|_| PasswordError::Unreadable)?;
    if params.m_cost() > MOST.0 || params.t_cost() > MOST.1 {
        return Err(PasswordError::Costly);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verified_by_its_own_hash_only() {
        let made = hash(b"correct horse").unwrap();
        assert!(check(&made).is_ok() && made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        assert!(verify(&made, b"correct horse") && !verify(&made, b"correct horsf") && !verify(&made, b""));
        assert_ne!(hash(b"correct horse").unwrap(), made, "every hash has its own salt");
    }

    #[test]
    fn the_stand_in_costs_as_much_as_a_hash_and_fits_no_password() {
        assert_eq!(check(STAND_IN), Ok(()));
        assert!(STAND_IN.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !verify(STAND_IN, b""));
    }

    #[test]
    fn what_is_no_argon2id_or_costs_too_much_is_refused_at_once() {
        for bad in ["", "secret", "$argon2id$", "$argon2i$v=19$m=19456,t=2,p=1$Y2VydHVzIGtub3dzIG5vdA$AAAAAAAAAAAAAAAA"]
        {
            assert_eq!(check(bad), Err(PasswordError::Unreadable), "{bad}");
        }
        assert_eq!(check(&STAND_IN.replace("m=19456", "m=4000000")), Err(PasswordError::Costly));
    }
}
