//! The request that turns HTTP into a WebSocket (RFC 6455 §4).
//!
//! What lives here: reading one request head, and the answers to it. What does
//! not: the socket (`super`). Invariant: a head is refused by name, with a
//! status and a sentence that tell the person at the client what to change.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use httparse::{EMPTY_HEADER, Header, Request, Status};

/// The longest request head in bytes.
pub(super) const LONGEST: usize = 8 * 1024;
/// Header fields at most; browsers send about twenty.
const FIELDS: usize = 64;
/// Where MQTT is served.
const PATH: &str = "/mqtt";
/// The names under which MQTT is asked for, the better one first
/// [MQTT-6.0.0-3], [MQTT-6.0.0-4].
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
/// Appended to the client's key (§1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A good request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upgrade {
    /// The bytes of its head; what follows are frames.
    pub(super) length: usize,
    /// What says yes to it.
    pub(super) answer: String,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::net) enum Rejection {
    /// No HTTP at all, with a guess at what it is.
    #[error("this is no HTTP request{0}")]
    NotHttp(&'static str),
    /// HTTP, but malformed.
    #[error("the HTTP request is malformed: {0}")]
    Malformed(String),
    /// More than [`LONGEST`] bytes or [`FIELDS`] fields.
    #[error("the HTTP request has more than 8192 bytes or 64 fields")]
    TooLong,
    /// §4.1: it must be GET of HTTP/1.1.
    #[error("a WebSocket is asked for by GET and HTTP/1.1")]
    Method,
    /// Another path.
    #[error("there is nothing at {0:?}; MQTT is served at /mqtt")]
    Path(String),
    /// `Upgrade` or `Connection` do not ask for it.
    #[error("the request does not ask for a WebSocket (Upgrade: websocket, Connection: Upgrade)")]
    NotAsked,
    /// Not version 13.
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
    /// The key is not there once, or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be there once, with 16 bytes in base64")]
    Key,
    /// [MQTT-6.0.0-3]
    #[error("the request does not offer the subprotocol mqtt (Sec-WebSocket-Protocol) [MQTT-6.0.0-3]")]
    Protocol,
    /// A page of another site.
    #[error("a page of {0:?} may not connect here; add it to the listener's origins")]
    Origin(String),
}

impl Rejection {
    const fn status(&self) -> &'static str {
        match self {
            Self::NotHttp(_) | Self::Malformed(_) | Self::Key | Self::Protocol => "400 Bad Request",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Method => "405 Method Not Allowed\r\nAllow: GET",
            Self::Path(_) => "404 Not Found",
            Self::NotAsked => "426 Upgrade Required\r\nUpgrade: websocket",
            Self::Version => "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
            Self::Origin(_) => "403 Forbidden",
        }
    }

    /// The status and the fields of the answer.
    fn head(&self) -> (u16, Vec<(&'static str, &'static str)>) {
        let mut lines = self.status().split("\r\n");
        let code = lines.next().and_then(|line| line.split(' ').next()?.parse().ok());
        (code.unwrap_or(400), lines.filter_map(|line| line.split_once(": ")).collect())
    }

    /// The answer that says why.
    pub(super) fn answer(&self) -> String {
        let (status, text) = (self.status(), format!("{self}\n"));
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }
}

/// A request that an HTTP server has read.
#[derive(Clone, Debug)]
pub struct WebSocketRequest<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// With the query, if there is one.
    pub path: &'a str,
    /// Whether it came as HTTP/1.1.
    pub is_http_1_1: bool,
    /// The header fields.
    pub fields: Vec<(&'a str, &'a [u8])>,
}

/// What a good request is answered with, beside `101 Switching Protocols`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// For `Sec-WebSocket-Accept`.
    pub accept: String,
    /// For `Sec-WebSocket-Protocol`.
    pub protocol: &'static str,
}

/// Why a request gets no WebSocket, as an HTTP server answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAgreed {
    /// The status.
    pub status: u16,
    /// Header fields that belong to it.
    pub fields: Vec<(&'static str, &'static str)>,
    /// The reason and what to change.
    pub text: String,
}

/// Judges a request that was read by an HTTP server.
pub(in crate::net) fn judge(request: &WebSocketRequest<'_>, origins: &[String]) -> Result<Agreed, NotAgreed> {
    let fields = request.fields.iter().take(FIELDS);
    let mut headers: Vec<Header<'_>> = fields.map(|(name, value)| Header { name, value }).collect();
    let mut read = Request::new(&mut headers);
    read.method = Some(request.method);
    read.path = Some(request.path);
    read.version = Some(u8::from(request.is_http_1_1));
    agree(&read, origins).map_err(|rejection| {
        let (status, fields) = rejection.head();
        NotAgreed { status, fields, text: rejection.to_string() }
    })
}

fn agree(request: &Request<'_, '_>, origins: &[String]) -> Result<Agreed, Rejection> {
    let protocol = check(request, origins)?;
    let key = Fields(request.headers).one("sec-websocket-key").filter(|key| is_key(key)).ok_or(Rejection::Key)?;
    Ok(Agreed { accept: accept(key), protocol })
}

/// Reads the head of a request; `None` while it is not whole. Pages of
/// `origins`, and of the host that is asked, may connect.
pub(super) fn read(bytes: &[u8], origins: &[String]) -> Result<Option<Upgrade>, Rejection> {
    let head = bytes.get(..LONGEST).unwrap_or(bytes);
    match head.first() {
        Some(0x16) => return Err(Rejection::NotHttp("; TLS is not spoken by this listener")),
        Some(0x10) => return Err(Rejection::NotHttp("; MQTT without WebSocket is not spoken by this listener")),
        _ => {}
    }
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(head) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if head.len() < LONGEST => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Rejection::TooLong),
        Err(error) => return Err(Rejection::Malformed(error.to_string())),
    };
    let Agreed { accept, protocol } = agree(&request, origins)?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    Ok(Some(Upgrade { length, answer }))
}

/// Checks a request and chooses the subprotocol.
fn check(request: &Request<'_, '_>, origins: &[String]) -> Result<&'static str, Rejection> {
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(Rejection::Method);
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(PATH) {
        return Err(Rejection::Path(path.chars().take(100).collect()));
    }
    let fields = Fields(request.headers);
    if !fields.lists("upgrade", "websocket") || !fields.lists("connection", "upgrade") {
        return Err(Rejection::NotAsked);
    }
    if fields.one("sec-websocket-version") != Some("13") {
        return Err(Rejection::Version);
    }
    if let Some(origin) = fields.one("origin")
        && !may_connect(origin, fields.one("host").unwrap_or_default(), origins)
    {
        return Err(Rejection::Origin(origin.chars().take(100).collect()));
    }
    let offered = |protocol: &&&str| fields.lists("sec-websocket-protocol", protocol);
    PROTOCOLS.iter().find(offered).copied().ok_or(Rejection::Protocol)
}

/// Browsers connect for any page that asks them to, with the certificate of
/// their user: a page of another host must be listed.
fn may_connect(origin: &str, host: &str, origins: &[String]) -> bool {
    let of_origin = origin.split_once("://").map(|(_, authority)| host_of(authority));
    let is_same = of_origin.is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(host_of(host)));
    is_same || origins.iter().any(|listed| listed == "*" || listed.eq_ignore_ascii_case(origin))
}

/// A host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| str::from_utf8(field.value).unwrap_or_default().trim())
    }

    /// The value of a field that is there once.
    fn one(&self, name: &'a str) -> Option<&'a str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether `token` is in the list that a field holds, in any case.
    fn lists(&self, name: &'a str, token: &str) -> bool {
        let mut tokens = self.all(name).flat_map(|value| value.split(',')).map(str::trim);
        tokens.any(|found| found.eq_ignore_ascii_case(token))
    }
}

/// 16 bytes in base64.
fn is_key(key: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.len() == 24 && key.strip_suffix("==").is_some_and(|digits| digits.bytes().all(good))
}

/// The proof that the key was read (§4.2.2).
fn accept(key: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().chain([&0; 3]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digits = [18, 12, 6, 0].map(|shift| DIGITS.get(bits >> shift & 63).map_or('=', |digit| char::from(*digit)));
        text.extend(digits.iter().take(group.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: broker.lan:8083\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn rejection(request: &str) -> Rejection {
        read(request.as_bytes(), &[]).unwrap_err()
    }

    fn answer(request: &str) -> String {
        read(request.as_bytes(), &[]).unwrap().unwrap().answer
    }

    /// RFC 6455 §1.3, with its own key; [MQTT-6.0.0-4]. 3.1.1 [MQTT-6.0.0-4].
    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let upgrade = read(format!("{GOOD}frames").as_bytes(), &[]).unwrap().unwrap();
        assert_eq!(upgrade.length, GOOD.len());
        assert!(upgrade.answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(upgrade.answer.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"));
        // No extension was agreed on.
        assert!(!upgrade.answer.contains("Extensions"));
    }

    #[test]
    fn mqttv3_1_is_taken_where_mqtt_is_not_offered() {
        assert!(answer(&GOOD.replace("chat, mqtt", "mqttv3.1")).contains("Protocol: mqttv3.1\r\n"));
        assert!(answer(&GOOD.replace("chat, mqtt", "mqttv3.1, mqtt")).contains("Protocol: mqtt\r\n"));
    }

    #[test]
    fn a_request_is_whole_with_its_empty_line() {
        for length in 0..GOOD.len() {
            assert_eq!(read(&GOOD.as_bytes()[..length], &[]), Ok(None), "{length}");
        }
    }

    #[test]
    fn what_is_no_good_request_is_refused_by_name() {
        for (from, to, expected) in [
            ("GET", "POST", Rejection::Method),
            ("HTTP/1.1", "HTTP/1.0", Rejection::Method),
            ("/mqtt", "/", Rejection::Path("/".into())),
            ("/mqtt", "/mqtt/x", Rejection::Path("/mqtt/x".into())),
            ("Upgrade: websocket\r\n", "", Rejection::NotAsked),
            ("keep-alive, Upgrade", "close", Rejection::NotAsked),
            ("Version: 13", "Version: 8", Rejection::Version),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", Rejection::Key),
            ("Host:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost:", Rejection::Key),
            ("chat, mqtt", "chat", Rejection::Protocol),
            ("Host:", "Origin: https://evil.example\r\nHost:", Rejection::Origin("https://evil.example".into())),
            ("Host:", "Origin: null\r\nHost:", Rejection::Origin("null".into())),
        ] {
            assert_eq!(rejection(&GOOD.replacen(from, to, 1)), expected);
        }
        assert!(matches!(rejection("\x10\x10\0\x04MQTT"), Rejection::NotHttp(guess) if guess.contains("MQTT")));
        assert!(matches!(rejection("\x16\x03\x01"), Rejection::NotHttp(guess) if guess.contains("TLS")));
        assert!(matches!(rejection("\0"), Rejection::Malformed(_)));
    }

    #[test]
    fn a_query_behind_the_path_does_no_harm() {
        assert!(answer(&GOOD.replace("/mqtt", "/mqtt?token=1")).starts_with("HTTP/1.1 101 "));
    }

    #[test]
    fn pages_of_the_same_host_and_of_listed_origins_may_connect() {
        for (origin, host, listed, expected) in [
            ("http://broker.lan:3000", "broker.lan:8083", "", true),
            ("https://BROKER.lan", "broker.lan", "", true),
            ("http://[::1]:3000", "[::1]:8083", "", true),
            ("http://evil.lan", "broker.lan", "", false),
            ("http://evil.lan", "", "", false),
            ("broker.lan", "broker.lan", "", false),
            ("https://dash.example", "broker.lan", "https://dash.example", true),
            ("http://dash.example", "broker.lan", "https://dash.example", false),
            ("null", "broker.lan", "*", true),
        ] {
            assert_eq!(may_connect(origin, host, &[listed.to_owned()]), expected, "{origin} {host} {listed}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_bytes_and_fields() {
        let long = format!("GET /mqtt HTTP/1.1\r\nX: {}", "x".repeat(LONGEST));
        assert_eq!(rejection(&long), Rejection::TooLong);
        let many = format!("GET /mqtt HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(FIELDS + 1));
        assert_eq!(rejection(&many), Rejection::TooLong);
    }

    #[test]
    fn every_rejection_is_an_http_answer_that_ends() {
        let answer = Rejection::Version.answer();
        assert!(
            answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n")
                && answer.contains("\r\nSec-WebSocket-Version: 13\r\n")
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }

    #[test]
    fn a_request_that_a_server_has_read_is_judged_as_one_that_we_read() {
        let request = |version| WebSocketRequest {
            method: "GET",
            path: "/mqtt",
            is_http_1_1: true,
            fields: vec![
                ("host", b"broker.lan".as_slice()),
                ("upgrade", b"websocket"),
                ("connection", b"keep-alive, Upgrade"),
                ("sec-websocket-version", version),
                ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", b"mqtt"),
            ],
        };
        let agreed = Agreed { accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), protocol: "mqtt" };
        assert_eq!(judge(&request(b"13"), &[]), Ok(agreed));
        let refused = judge(&request(b"8"), &[]).unwrap_err();
        assert_eq!(refused.status, 426);
        assert_eq!(refused.fields, [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]);
    }

    #[test]
    fn base64_pads_as_it_should() {
        let texts =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, text) in texts {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0..GOOD.len()) {
            let _ = read(&bytes, &[]);
            let mut spliced = GOOD.as_bytes()[..cut].to_vec();
            spliced.extend_from_slice(&bytes);
            let _ = read(&spliced, &[]);
        }
    }
}
