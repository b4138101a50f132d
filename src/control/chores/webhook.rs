//! Posting notices to a web address (CEN-EXP-01).
//!
//! What lives here: the message, its signature, and the way to the server.
//! What does not: which notices there are (`ca::authority`). Invariant: over
//! TLS alone and to the configured address alone; no redirect is followed, and
//! no try lasts longer than `PATIENCE`.

use std::io;
use std::pin::pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ca::outgoing::{ServerTrust, signature};
use crate::ca::record::NoticeRow;
use crate::control::settings::Secret;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter secrets can be guessed.
const SHORTEST_SECRET: usize = 16;

/// Where notices are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// As it was written.
    url: String,
    host: String,
    port: u16,
    /// With the query.
    path: String,
    secret: Secret,
    trust: ServerTrust,
}

impl Settings {
    /// Reads `https://host:port/path`. What is posted is signed with `secret`.
    ///
    /// # Errors
    /// Says what is wrong with the address, or with the secret.
    pub fn new(url: &str, secret: Secret, trust: ServerTrust) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "it is no address")?;
        if uri.scheme_str() != Some("https") {
            return Err("it does not begin with https://");
        }
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if authority.contains('@') {
            return Err("it holds a login, which is not sent; what is posted is signed");
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it names no host");
        }
        if secret.bytes().len() < SHORTEST_SECRET {
            return Err("its secret has fewer than 16 bytes");
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { url: url.to_owned(), host, port: uri.port_u16().unwrap_or(443), path, secret, trust })
    }

    /// As it was written.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts a notice at `now`, in seconds since 1970.
    pub(super) async fn post(&self, notice: &NoticeRow, now: u64) -> Result<(), PostError> {
        tokio::time::timeout(PATIENCE, self.exchange(notice, now)).await.unwrap_or(Err(PostError::Late))
    }

    async fn exchange(&self, notice: &NoticeRow, now: u64) -> Result<(), PostError> {
        let request = self.request(notice, now)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let stream = self.trust.connect(&self.host, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut answer = pin!(sender.send_request(request));
        // The body of the answer is not read: the connection ends here.
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer?,
            // What had come before the end is still handed over.
            _ = connection => answer.await?,
        };
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(PostError::Redirect(status)),
            status => Err(PostError::Status(status)),
        }
    }

    /// The request. Its signature covers the moment too, so that what was
    /// overheard is of no use later.
    fn request(&self, notice: &NoticeRow, now: u64) -> Result<Request<Full<Bytes>>, PostError> {
        let body = serde_json::json!({
            "id": notice.id,
            "event": notice.event,
            "tenant": notice.tenant,
            "certificate": notice.certificate,
            "to": notice.to,
            "subject": notice.subject,
            "text": notice.body,
            "createdAt": notice.created_at,
        })
        .to_string();
        let signed = signature(self.secret.bytes(), format!("{now}.{body}").as_bytes());
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        Ok(Request::post(&self.path)
            .header(HOST, format!("{host}:{}", self.port))
            .header(USER_AGENT, concat!("certus/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header("Certus-Notice", &notice.id)
            .header("Certus-Signature", format!("t={now},v1={signed}"))
            .body(Full::new(body.into()))?)
    }
}

/// Why a notice was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the answer is {0}; no redirect is followed, name the address that it leads to")]
    Redirect(StatusCode),
    #[error("the answer is {0}")]
    Status(StatusCode),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> ServerTrust {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        ServerTrust::from_pem(certificate.pem().as_bytes()).unwrap()
    }

    #[test]
    fn an_address_is_one_of_https_without_a_login_and_with_a_secret() {
        let secret = || Secret::new(b"sixteen bytes at least".to_vec());
        let good = Settings::new("https://[::1]:8443/hook?x=1", secret(), trust()).unwrap();
        assert_eq!((good.host.as_str(), good.port, good.path.as_str()), ("::1", 8443, "/hook?x=1"));
        assert_eq!(Settings::new("https://erp.lan", secret(), trust()).unwrap().port, 443);
        for bad in ["http://erp.lan/", "erp.lan", "https://", "https://u:p@erp.lan/", "https:///x", ""] {
            assert!(Settings::new(bad, secret(), trust()).is_err(), "{bad}");
        }
        assert!(Settings::new("https://erp.lan", Secret::new(b"short".to_vec()), trust()).is_err());
        assert!(!format!("{good:?}").contains("sixteen"), "a secret is never shown");
    }
}
