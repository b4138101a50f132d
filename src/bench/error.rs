//! What can keep a client of ours from its work, in words that name the remedy.
//!
//! What lives here: the error enum and the explanation of TLS alerts. What does not: broker-side
//! refusals (`identity`). Invariant: each text names the thing, the reason and, where one is known, the remedy.

use std::io;
use std::path::PathBuf;

use rustls::AlertDescription;

/// Why a client, or a run of the load generator, could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", .file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else than what was expected.
    #[error("{}: {reason}", .file.display())]
    Content {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// No connection to the address.
    #[error("cannot connect to {address}: {source}{}", connect_hint(.source))]
    Connect {
        /// Host and port as they were asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The TLS handshake failed, or TLS broke later.
    #[error("TLS: {}", explain_tls(.0))]
    Tls(rustls::Error),
    /// The broker answered CONNECT with a refusal.
    #[error("the broker refused {client_id:?}: {reason}{}", connack_hint(*.code))]
    Refused {
        /// The client identifier that was asked for.
        client_id: String,
        /// The reason code on the wire.
        code: u8,
        /// Its meaning, and the broker's own words if it sent any.
        reason: String,
    },
    /// The broker refused a subscription or a message.
    #[error("the broker refused {what}: {reason}")]
    Denied {
        /// What was asked.
        what: String,
        /// Its answer.
        reason: String,
    },
    /// The broker ended the connection.
    #[error("the broker closed the connection{0}")]
    Closed(String),
    /// Bytes that are no MQTT.
    #[error("the broker sent something that is not MQTT: {0}")]
    Protocol(String),
    /// It took too long.
    #[error("{0} took longer than {1} s")]
    Late(&'static str, u64),
    /// The socket broke.
    #[error("connection lost: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed(String::new());
        }
        match error.downcast::<rustls::Error>() {
            Ok(tls) => Self::Tls(tls),
            Err(error) => Self::Io(error),
        }
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl Error {
    /// A file that could not be read.
    pub fn file(file: &std::path::Path, source: io::Error) -> Self {
        Self::File { file: file.to_owned(), source }
    }

    /// A file whose content is not what was expected.
    pub fn content(file: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Content { file: file.to_owned(), reason: reason.into() }
    }
}

fn connect_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => " (nothing listens there: is the broker running, and is the port right?)",
        io::ErrorKind::TimedOut => " (no answer: a firewall, or a wrong address)",
        _ => "",
    }
}

/// The meaning of a CONNACK code of either dialect, where a remedy is known.
fn connack_hint(code: u8) -> &'static str {
    match code {
        1 | 0x84 => " (try the other protocol version: -V 3.1.1 or -V 5.0)",
        2 | 0x85 => " (the ClientId must be the one that the certificate proves; usually its CN: see -i)",
        4 | 5 | 0x86 | 0x87 => " (the certificate, user name or password is not accepted here)",
        _ => "",
    }
}

/// A TLS error in words; an alert is what the broker said before it hung up.
pub fn explain_tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error as Tls};
    match error {
        Tls::AlertReceived(alert) => format!("the broker refused the handshake: {}", explain_alert(*alert)),
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the broker's certificate is not signed by the CA in --cafile; give the server's CA, such as certs/server-ca.pem".into()
        }
        Tls::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "the broker's certificate is for another host name; use a name that it holds, or --insecure for a test".into()
        }
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the broker's certificate has expired".into()
        }
        Tls::InvalidCertificate(other) => format!("the broker's certificate is not acceptable: {other:?}"),
        Tls::InvalidMessage(_) => "the answer is no TLS; is this a plain port (1883)?".into(),
        other => other.to_string(),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA => "it does not know the CA that signed the client certificate",
        AlertDescription::CertificateExpired => "the client certificate has expired or is not valid yet",
        AlertDescription::CertificateRevoked => "the client certificate has been revoked",
        AlertDescription::CertificateUnknown => "it does not accept the client certificate; its log says why",
        AlertDescription::BadCertificate => "the client certificate is broken, or its signature is not accepted",
        AlertDescription::UnsupportedCertificate => "the client certificate is of a kind that may not be used for this",
        AlertDescription::CertificateRequired => "it wants a client certificate: give --cert and --key",
        AlertDescription::AccessDenied => "the certificate is valid, but it may not come in",
        AlertDescription::HandshakeFailure => "no common cipher suite or signature scheme, or no certificate was sent",
        AlertDescription::ProtocolVersion => "no common TLS version",
        AlertDescription::DecryptError => "the client's signature is wrong: does --key belong to --cert?",
        AlertDescription::InternalError => "an error inside the broker",
        _ => "its log says why",
    };
    format!("{meaning} (alert {} {alert:?})", u8::from(alert))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_explained_in_words_with_its_number() {
        let text = Error::from(io::Error::other(rustls::Error::AlertReceived(AlertDescription::UnknownCA))).to_string();
        assert!(text.contains("does not know the CA") && text.contains("48"), "{text}");
    }

    #[test]
    fn a_refused_connection_says_what_to_look_at() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = Error::Connect { address: "localhost:8883".into(), source }.to_string();
        assert!(text.contains("localhost:8883") && text.contains("is the broker running"), "{text}");
    }
}
