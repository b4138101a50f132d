//! What the control plane is configured with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::chores::{mail, webhook};
pub use crate::ca::outgoing::ServerTrust;

/// What nobody may read: a password, the key of a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes it in.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret itself: not for logs.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// How TLS is spoken to a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Not at all: for a relay on the same machine.
    None,
    /// After STARTTLS, without which nothing is sent.
    StartTls(ServerTrust),
    /// From the first byte on.
    Wrapped(ServerTrust),
}

impl MailTls {
    /// The port where such a server listens by custom.
    #[must_use]
    pub const fn usual_port(&self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls(_) => 587,
            Self::Wrapped(_) => 465,
        }
    }
}

/// The ways that notices of certificates take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeWays {
    /// By mail.
    pub mail: Option<mail::Settings>,
    /// As posts to a web address.
    pub webhook: Option<webhook::Settings>,
}

/// The ways of all tenants' notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSettings {
    /// Those of every tenant that has none of its own.
    pub everywhere: NoticeWays,
    /// Those of single tenants; what one lacks is as everywhere.
    pub tenants: BTreeMap<String, NoticeWays>,
}

/// Revocation lists of one anchor that are fetched from one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevocationListSettings {
    /// Whose anchor it is.
    pub tenant: String,
    /// The anchor's certificate, DER.
    pub anchor: Vec<u8>,
    /// What people call the anchor.
    pub name: String,
    /// Where the list is.
    pub place: ListPlace,
    /// How long after a good fetch the next one comes.
    pub refresh: Duration,
}

/// Where a revocation list is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListPlace {
    /// `http://HOST[:PORT]/PATH`
    Http {
        /// As it was written.
        url: String,
        /// The host's name or address, without brackets.
        host: String,
        /// 80 when none is written.
        port: u16,
        /// With the query, from the slash on.
        path: String,
    },
    /// `file:///PATH`
    File {
        /// As it was written.
        url: String,
        /// The file.
        path: PathBuf,
    },
}

impl ListPlace {
    /// As it was written.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Http { url, .. } | Self::File { url, .. } => url,
        }
    }
}

impl FromStr for ListPlace {
    /// Why it is no place.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_clean = !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_clean {
            return Err("it is empty, too long, or holds blanks or other than ASCII characters");
        }
        if let Some(path) = text.strip_prefix("file://") {
            let is_absolute = path.starts_with('/') && path.len() > 1;
            let place = || Self::File { url: text.to_owned(), path: PathBuf::from(path) };
            return is_absolute.then(place).ok_or("the path of a file begins with a slash, after file://");
        }
        if text.starts_with("https://") {
            return Err("https is not spoken here; a list is signed by its CA, so http tells the same");
        }
        let rest = text.strip_prefix("http://").ok_or("it begins with neither http:// nor file://")?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let path = path.split('#').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        if host.is_empty() || host.contains('@') {
            return Err("it names no host, or a login, which is not sent");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self::Http { url: text.to_owned(), host: host.to_owned(), port, path })
    }
}

fn split_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("an IPv6 address ends with ]")?,
        None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, 80)),
        None => Err("a port stands behind a colon"),
        Some(port) => Ok((host, port.parse().map_err(|_| "the port is no number from 1 to 65535")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> Option<(String, u16, String)> {
        match text.parse().ok()? {
            ListPlace::Http { host, port, path, .. } => Some((host, port, path)),
            ListPlace::File { .. } => None,
        }
    }

    #[test]
    fn a_place_is_read_in_its_parts() {
        let some = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(http("http://pki.example/ca.crl"), some("pki.example", 80, "/ca.crl"));
        assert_eq!(http("http://[::1]:8080/a?b=c#d"), some("::1", 8080, "/a?b=c"));
        assert_eq!(http("http://10.0.0.1:81"), some("10.0.0.1", 81, "/"));
        assert_eq!(http("http://h?x"), some("h", 80, "/?x"));
        let file: ListPlace = "file:///etc/pki/ca.crl".parse().unwrap();
        assert_eq!(file, ListPlace::File { url: "file:///etc/pki/ca.crl".into(), path: "/etc/pki/ca.crl".into() });
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for bad in [
            "",
            "ca.crl",
            "http://",
            "http:///x",
            "http://h:x/",
            "http://h:99999/",
            "http://u@h/",
            "http://[::1/",
            "http://[::1]x/",
            "https://h/",
            "file://",
            "file://x",
            "ldap://h/",
            "http://h/ x",
            "http://h/\r\nX: y",
        ] {
            assert!(bad.parse::<ListPlace>().is_err(), "{bad:?}");
        }
    }
}
