//! One request after another to the API of a broker.
//!
//! What lives here: the way there by TLS, requests, lists in pieces, followed
//! events, and the words of a refusal. What does not: which operations there
//! are. Invariant: a token leaves only over TLS, towards a broker whose
//! certificate is right; an answer is bounded in bytes and in time.

use std::error::Error;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::bench::credentials::{Credentials, Identity, Trust};
use crate::bench::dial::{Target, resolve};
use crate::mqtt::Version;

use super::super::Outcome;
use super::{Done, text};

/// Where the API lives.
const BASE: &str = "/api/v1";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a followed stream may be silent; the broker speaks every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest answer, and the longest event.
const LARGEST: usize = 64 * 1024 * 1024;
/// Entries of one piece of a list.
const PIECE: usize = 500;
/// Entries of a list at most: more are for programs, which read it in pieces.
pub(super) const MOST: usize = 100_000;

/// Where a broker is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    url: String,
    host: String,
    port: u16,
    prefix: String,
    ca: PathBuf,
}

impl Place {
    /// Reads an address such as `https://broker.example:8443`.
    pub(super) fn new(url: &str, ca: PathBuf) -> Done<Self> {
        let wrong = |why: &str| Outcome::wrong(format_args!("--url {url}: {why}; write https://HOST:PORT"));
        let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(wrong("a token is sent only over TLS")),
            _ => return Err(wrong("it has no scheme")),
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(443),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            ca,
        })
    }
}

/// What a request carries.
pub(super) enum Content {
    /// Nothing.
    None,
    /// A JSON document.
    Json(Value),
    /// Bytes, and what kind they are of.
    Bytes(&'static str, Vec<u8>),
}

/// A client of one broker.
pub(super) struct Client {
    place: Place,
    target: Target,
    tls: TlsConnector,
    authorization: HeaderValue,
}

type Fault = Box<dyn Error + Send + Sync>;

impl Client {
    /// A client; nothing is connected to yet.
    pub(super) async fn new(place: &Place, token: Zeroizing<String>) -> Done<Self> {
        let target = resolve(&place.host, place.port, Version::V5).await.map_err(Outcome::failed)?;
        let config = Credentials::new(&Trust::File(place.ca.clone()), None)
            .and_then(|credentials| credentials.client(Identity::Anonymous));
        let config = config
            .map_err(|error| Outcome::wrong(format_args!("{error}; name the broker's CA by --ca or CERTUS_CA")))?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut authorization = HeaderValue::from_str(&bearer).map_err(Outcome::wrong)?;
        authorization.set_sensitive(true);
        Ok(Self { place: place.clone(), target, tls: TlsConnector::from(config), authorization })
    }

    /// Whether anybody listens there at all.
    pub(super) async fn is_there(&self) -> bool {
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(self.target.address));
        connected.await.is_ok_and(|connected| connected.is_ok())
    }

    /// Reads one thing.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Done<Value> {
        self.ask(Method::GET, path, query, Content::None).await
    }

    /// Makes something, or does something.
    pub(super) async fn post(&self, path: &[&str], content: Content) -> Done<Value> {
        self.ask(Method::POST, path, &[], content).await
    }

    /// Changes something.
    pub(super) async fn patch(&self, path: &[&str], body: Value) -> Done<Value> {
        self.ask(Method::PATCH, path, &[], Content::Json(body)).await
    }

    /// Takes something away.
    pub(super) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Done {
        self.ask(Method::DELETE, path, query, Content::None).await.map(drop)
    }

    /// Reads a list, piece after piece, up to `most` entries.
    pub(super) async fn all(&self, path: &[&str], query: &[(&str, &str)], most: usize) -> Done<Vec<Value>> {
        let mut all = Vec::new();
        let mut left = most;
        self.each(path, query, |one| {
            all.push(one);
            left = left.saturating_sub(1);
            left > 0
        })
        .await?;
        Ok(all)
    }

    /// Hands a list over, entry by entry, until `take` wants no more.
    pub(super) async fn each(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        mut take: impl FnMut(Value) -> bool,
    ) -> Done {
        let limit = PIECE.to_string();
        let mut after = String::new();
        loop {
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let mut piece = self.get(path, &query).await?;
            let items = piece.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            for item in items {
                if !take(item) {
                    return Ok(());
                }
            }
            let next = text(&piece, "next").to_owned();
            if next.is_empty() || next == after {
                return Ok(());
            }
            after = next;
        }
    }

    async fn ask(&self, method: Method, path: &[&str], query: &[(&str, &str)], content: Content) -> Done<Value> {
        let request = self.request(method, path, query, content)?;
        let exchange = async {
            let (mut sender, connection) = self.connect().await?;
            let talk = async {
                let (head, body) = sender.send_request(request).await?.into_parts();
                let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
                Ok::<_, Fault>((head.status, body))
            };
            beside(connection, talk).await.map_err(|error| self.broken(error.as_ref()))
        };
        let late = |_| Outcome::failed(format_args!("{}: no answer within {PATIENCE:?}", self.place.url));
        let (status, body) = tokio::time::timeout(PATIENCE, exchange).await.map_err(late)??;
        self.answer(status, &body)
    }

    fn answer(&self, status: StatusCode, body: &[u8]) -> Done<Value> {
        if !status.is_success() {
            return Err(self.refused(status, body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        let other =
            || Outcome::failed(format_args!("{}: the answer is no JSON; is this a Certus broker?", self.place.url));
        serde_json::from_slice(body).map_err(|_| other())
    }

    /// The broker's own words, and what to do.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Outcome {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let detail = text(&problem, "detail");
        if detail.is_empty() {
            let words = format!("{}: {status}, without a reason; is this a Certus broker?", self.place.url);
            return Outcome::Failed(words);
        }
        let remedy = match (text(&problem, "remedy"), status) {
            ("" | "send a Bearer token, or Basic with tenant/name and password", StatusCode::UNAUTHORIZED) => {
                "give one by --token-file or CERTUS_TOKEN; `certus token recover` makes one for a stopped broker"
            }
            (remedy, _) => remedy,
        };
        let words = if remedy.is_empty() { detail.to_owned() } else { format!("{detail}; {remedy}") };
        let words = super::show::harmless(&words);
        if status == StatusCode::BAD_REQUEST { Outcome::Wrong(words) } else { Outcome::Failed(words) }
    }

    fn broken(&self, error: &dyn Error) -> Outcome {
        Outcome::failed(format_args!("{}: the conversation broke off ({error})", self.place.url))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        content: Content,
    ) -> Done<Request<Full<Bytes>>> {
        let mut uri = format!("{}{BASE}", self.place.prefix);
        for part in path {
            uri.push('/');
            uri.push_str(&encoded(part));
        }
        if !query.is_empty() {
            uri.push('?');
            uri.push_str(&serde_urlencoded::to_string(query).map_err(Outcome::failed)?);
        }
        let host = match self.place.host.contains(':') {
            true => format!("[{}]:{}", self.place.host, self.place.port),
            false => format!("{}:{}", self.place.host, self.place.port),
        };
        let request = Request::builder().method(method).uri(uri).header(HOST, host).header(ACCEPT, "*/*");
        let request = request.header(AUTHORIZATION, &self.authorization);
        let (media, bytes) = match content {
            Content::None => (None, Vec::new()),
            Content::Json(body) => (Some("application/json"), body.to_string().into_bytes()),
            Content::Bytes(media, bytes) => (Some(media), bytes),
        };
        let request = media.into_iter().fold(request, |request, media| request.header(CONTENT_TYPE, media));
        request.body(Full::new(bytes.into())).map_err(Outcome::failed)
    }

    async fn connect(
        &self,
    ) -> Done<(http1::SendRequest<Full<Bytes>>, impl Future<Output = hyper::Result<()>> + use<>)> {
        let Place { url, ca, .. } = &self.place;
        let tcp = TcpStream::connect(self.target.address).await.map_err(|error| {
            Outcome::failed(format_args!("{url}: {error}; is the broker running, and --url right?"))
        })?;
        let tls = self.tls.connect(self.target.name.clone(), tcp).await.map_err(|error| {
            let ca = ca.display();
            Outcome::failed(format_args!(
                "{url}: no TLS ({error}); is {ca} its CA, and the host name in its certificate?"
            ))
        })?;
        http1::handshake(TokioIo::new(tls)).await.map_err(|error| self.broken(&error))
    }

    /// Hands over the events of a stream until it ends.
    pub(super) async fn follow(&self, path: &[&str], query: &[(&str, &str)], mut take: impl FnMut(&str, &str)) -> Done {
        let request = self.request(Method::GET, path, query, Content::None)?;
        let (mut sender, connection) = self.connect().await?;
        let talk = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
            if response.status().is_success() {
                return self.events(response, &mut take).await;
            }
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| self.broken(error.as_ref()))?;
            Err(self.refused(head.status, &body.to_bytes()))
        };
        beside(connection, talk).await
    }

    async fn events(&self, response: Response<Incoming>, take: &mut impl FnMut(&str, &str)) -> Done {
        let mut body = response.into_body();
        let mut events = Events::default();
        let silent = |_| Outcome::failed(format_args!("{}: nothing was heard for {SILENCE:?}", self.place.url));
        while let Some(frame) = tokio::time::timeout(SILENCE, body.frame()).await.map_err(silent)? {
            let frame = frame.map_err(|error| self.broken(&error))?;
            let Some(bytes) = frame.data_ref() else { continue };
            if !events.push(bytes, take) {
                return Err(Outcome::failed(format_args!("{}: an event of more than {LARGEST} bytes", self.place.url)));
            }
        }
        Ok(())
    }
}

/// Does `work` while the connection that it needs is kept going.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        _ = connection => {}
    }
    // What had come before the end is still handed over.
    work.await
}

/// A part of a path as it is written in one.
fn encoded(part: &str) -> String {
    let mut written = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => written.push(char::from(byte)),
            // A part of dots alone would be another path.
            b'.' if part.bytes().any(|byte| byte != b'.') => written.push('.'),
            other => written.push_str(&format!("%{other:02X}")),
        }
    }
    written
}

/// Reads `text/event-stream`.
#[derive(Default)]
struct Events {
    /// Bytes of a line that has not ended.
    rest: Vec<u8>,
    kind: String,
    data: String,
}

impl Events {
    /// Whether the event that is being read is within its bound.
    fn push(&mut self, bytes: &[u8], take: &mut impl FnMut(&str, &str)) -> bool {
        for &byte in bytes {
            if byte != b'\n' {
                self.rest.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.rest);
            self.line(String::from_utf8_lossy(&line).trim_end_matches('\r'), take);
        }
        self.rest.len() + self.data.len() <= LARGEST
    }

    fn line(&mut self, line: &str, take: &mut impl FnMut(&str, &str)) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" if line.is_empty() => {
                if !self.data.is_empty() {
                    take(&self.kind, self.data.trim_end_matches('\n'));
                }
                self.kind.clear();
                self.data.clear();
            }
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str) -> String {
        match Place::new(url, PathBuf::new()) {
            Err(Outcome::Wrong(text)) => text,
            _ => panic!("{url} was taken"),
        }
    }

    #[test]
    fn an_address_has_a_host_and_tls() {
        for (url, host, port, prefix) in [
            ("https://localhost:8443", "localhost", 8443, ""),
            ("https://broker.example/", "broker.example", 443, ""),
            ("https://[::1]:8443/behind/proxy/", "::1", 8443, "/behind/proxy"),
        ] {
            let Ok(place) = Place::new(url, PathBuf::new()) else { panic!("{url} was refused") };
            assert_eq!((place.host.as_str(), place.port, place.prefix.as_str()), (host, port, prefix));
        }
        assert!(wrong("http://localhost:8443").contains("only over TLS"));
        for url in ["localhost:8443", "localhost", "", "https://", "https://a b", "https://a?b=c"] {
            assert!(wrong(url).contains("--url"), "{url}");
        }
    }

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        assert_eq!(encoded("Plant 7/../é"), "Plant%207%2F..%2F%C3%A9");
        assert_eq!((encoded(".."), encoded("a.b")), ("%2E%2E".to_owned(), "a.b".to_owned()));
        assert_eq!(encoded("x?y#z%"), "x%3Fy%23z%25");
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let stream = ": hello\n\nevent: refusal\nid: 7\ndata: {\"a\":1}\n\nevent: missed\r\ndata: 3\r\n\r\ndata: x\n";
        for size in 1..=stream.len() {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for chunk in stream.as_bytes().chunks(size) {
                assert!(events.push(chunk, &mut |kind, data| seen.push(format!("{kind} {data}"))));
            }
            assert_eq!(seen, ["refusal {\"a\":1}", "missed 3"], "in pieces of {size}");
        }
    }
}
