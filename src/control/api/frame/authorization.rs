//! What a request logs in with, as the field `Authorization` says it.
//!
//! What lives here: its forms (RFC 6750, RFC 7617). What does not: whether it
//! is true (`caller`). Invariant: whatever stands in the field is read within
//! its bound or not at all, and what was read is wiped.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// The longest user name with its password, bytes.
const LONGEST: usize = 768;

/// What a request logs in with.
pub(in crate::control::api) enum Authorization {
    /// A token.
    Bearer(Zeroizing<String>),
    /// A name and a password; nothing where they cannot be read.
    Basic(Option<Login>),
    /// Another way.
    Unknown,
}

/// A name and its password.
pub(in crate::control::api) struct Login {
    /// `name` or `tenant/name`.
    pub(in crate::control::api) user: String,
    pub(in crate::control::api) password: Zeroizing<String>,
}

impl Authorization {
    /// What the field says; nothing where it says no way and value.
    pub(in crate::control::api) fn read(fields: &HeaderMap) -> Option<Self> {
        let (way, value) = fields.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
        let value = value.trim();
        Some(match way.to_ascii_lowercase().as_str() {
            "bearer" => Self::Bearer(Zeroizing::new(value.to_owned())),
            "basic" => Self::Basic(Login::read(value)),
            _ => Self::Unknown,
        })
    }

    /// The name and the password that it is, if it is that.
    pub(in crate::control::api) fn login(self) -> Option<Login> {
        if let Self::Basic(login) = self { login } else { None }
    }
}

impl Login {
    /// Nothing where both are longer together than what is read.
    pub(in crate::control::api) fn new(user: &str, password: &str) -> Option<Self> {
        let is_short = user.len() + password.len() <= LONGEST;
        is_short.then(|| Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }

    fn read(value: &str) -> Option<Self> {
        if value.len() > LONGEST / 3 * 4 + 4 {
            return None;
        }
        let decoded = Zeroizing::new(Base64::decode_vec(value).ok()?);
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Self::new(user, password)
    }
}
