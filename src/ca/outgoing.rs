//! Towards servers that the configuration names.
//!
//! What lives here: TLS with the CAs that were configured for one server, and
//! signatures of what is sent there. What does not: what is said to it
//! (`control`). Invariant: nobody is trusted who was not configured; neither
//! the system's CAs nor public ones count by themselves.

use std::fmt::Write;
use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::pem;

/// A connection to a server that was proved to be the right one.
pub type Secured = TlsStream<TcpStream>;

/// The CAs that a server's certificate may come from.
#[derive(Clone)]
pub struct ServerTrust {
    pem: Arc<[u8]>,
    config: Arc<ClientConfig>,
}

impl ServerTrust {
    /// The CAs of a PEM file.
    ///
    /// # Errors
    /// There is none in it that can be used.
    pub fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let certificates = pem::certificates(text).map_err(|_| "it is no PEM")?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err("no certificate in it can be used as a CA");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| "the TLS library offers no version")?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { pem: text.into(), config: Arc::new(config) })
    }

    /// The CAs as they were given.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// Shakes hands with the server `host` at the other end of `stream`.
    ///
    /// # Errors
    /// It is another server, nobody vouches for it, or the connection broke.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<Secured> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "it is no host name"))?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

impl PartialEq for ServerTrust {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for ServerTrust {}

impl std::fmt::Debug for ServerTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerTrust({} bytes of PEM)", self.pem.len())
    }
}

/// HMAC-SHA256 of `message` under `secret`, in hexadecimal digits.
#[must_use]
pub fn signature(secret: &[u8], message: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, message);
    tag.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn a_file_without_a_ca_is_refused() {
        for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(ServerTrust::from_pem(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
