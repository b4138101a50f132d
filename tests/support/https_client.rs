//! A client of the HTTPS listener that shows what was said, one request a
//! connection.
//!
//! What lives here: requests and answers over real TLS. What does not: what is
//! asked. Invariant: every read has its time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// Somebody who asks, with or without credentials.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    fields: Vec<(String, String)>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub text: String,
}

impl Client {
    /// A client that trusts the certificates in `authorities` (PEM).
    pub fn new(address: SocketAddr, authorities: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in certus::identity::pem::certificates(authorities).unwrap() {
            roots.add(certificate).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self { address, tls: Arc::new(tls.with_root_certificates(roots).with_no_client_auth()), fields: Vec::new() }
    }

    /// The same client with another field in every head.
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut client = self.clone();
        client.fields.push((name.to_owned(), value.into()));
        client
    }

    /// The same client with a token.
    pub fn bearer(&self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    /// The same client with a user name and a password.
    pub fn basic(&self, user: &str, password: &str) -> Self {
        use base64ct::Encoding;
        let text = base64ct::Base64::encode_string(format!("{user}:{password}").as_bytes());
        self.with("Authorization", format!("Basic {text}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some(("application/json", body.to_string().as_bytes())))
    }

    /// Follows what never ends, as soon as it has begun.
    pub fn follow(&self, path: &str) -> Follower {
        let mut stream = self.ask("GET", path, None);
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        let head = String::from_utf8(said).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        Follower(std::cell::RefCell::new(stream))
    }

    /// Any request, with any body.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer {
        let mut stream = self.ask(method, path, body);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        Answer::read(&String::from_utf8(said).unwrap())
    }

    fn ask(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> StreamOwned<ClientConnection, TcpStream> {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let socket = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(tls, socket);
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n");
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some((media, body)) = body {
            head.push_str(&format!("Content-Type: {media}\r\nContent-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A body that is too long may not be read to its end.
        let _ = stream.write_all(body.map_or(&[], |(_, body)| body)).and_then(|()| stream.flush());
        stream
    }
}

/// Somebody who follows events.
pub struct Follower(std::cell::RefCell<StreamOwned<ClientConnection, TcpStream>>);

impl Follower {
    /// The data of the next event of this kind.
    #[track_caller]
    pub fn next_event(&self, kind: &str) -> String {
        let mut said = String::new();
        loop {
            let mut buffer = [0; 4096];
            let count = self.0.borrow_mut().read(&mut buffer).unwrap();
            assert!(count > 0, "the stream ended: {said}");
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            let event = said.split_once(&format!("event: {kind}\n")).and_then(|(_, rest)| rest.split_once("\n\n"));
            if let Some(data) = event.and_then(|(event, _)| event.split_once("data: ")) {
                return data.1.to_owned();
            }
        }
    }
}

impl Answer {
    fn read(said: &str) -> Self {
        let (head, text) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {said:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let fields = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
        Self { status, fields: fields.collect(), text: text.to_owned() }
    }

    /// The values of a field of the head.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a field of the head.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.all(name).first().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same answer, if it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The kind of the problem that is told, with its field.
    #[track_caller]
    pub fn problem(&self) -> (u16, String, Option<String>) {
        assert_eq!(self.field("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        assert_eq!(body["logref"], self.field("x-request-id"));
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        (self.status, text("code").unwrap(), text("field"))
    }
}
