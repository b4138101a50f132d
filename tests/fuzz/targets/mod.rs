//! What is fuzzed, by name.
//!
//! What lives here: the list, and the reading of scripts. What does not: who
//! makes the inputs (`main.rs`, `engine.rs`). Invariant: a target takes any
//! bytes, and panics only when a promise of the code is broken.

mod authority;
mod bytes;
mod certificates;
mod session;
mod texts;
mod topics;

/// Takes any bytes; panics when a promise is broken.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("accounts", texts::accounts),
    ("acl", texts::acl),
    ("certificate", certificates::certificate),
    ("config", texts::config),
    ("crl", authority::crl),
    ("csr", authority::csr),
    ("decode", bytes::decode),
    ("devices", crate::control::api::cumulocity::devices),
    ("est", authority::est),
    ("logins", crate::control::api::frame::logins),
    ("multipart", crate::control::api::cumulocity::multipart),
    ("pem", certificates::pem),
    ("proxy", crate::net::proxy),
    ("session", session::session),
    ("topics", topics::topics),
    ("upgrade", crate::net::upgrade),
    ("websocket", crate::net::websocket),
];

/// Bytes as a list of choices; when they run out, every choice is the first.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// As many bytes as the next one says.
    fn bytes(&mut self) -> &'a [u8] {
        let wanted = usize::from(self.byte());
        let (taken, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
