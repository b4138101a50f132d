//! One revocation list, from where it lies.
//!
//! What lives here: reading a file, and HTTP as far as it needs. What does
//! not: when (`lists`), what the bytes are (`ca::crl`). Invariant: no more than
//! [`MAX_CRL_BYTES`] and no longer than [`PATIENCE`]; nothing is followed
//! elsewhere, so only places that somebody configured are asked.
//!
//! HTTP 1.0 is asked for: an answer is then a head and bytes until the end,
//! and there is no part of the protocol that a server could choose.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ca::authority::MAX_CRL_BYTES;
use crate::control::settings::ListPlace;
use crate::shutdown::Tasks;

/// A fetch from its beginning to its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The head of an answer.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it cannot be read ({0})")]
    Io(#[from] std::io::Error),
    #[error("there was no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("it is longer than {MAX_CRL_BYTES} bytes")]
    TooLong,
    #[error("it is no file")]
    NoFile,
    #[error("the answer is no HTTP")]
    NoHttp,
    #[error("the server answers {0}; write the address where the list itself is, nothing is followed elsewhere")]
    Status(u16),
    #[error("the answer ended before its length")]
    Cut,
    #[error("the answer comes in a coding that was not asked for")]
    Coding,
}

/// The bytes that lie at `place`.
pub(super) async fn fetch(place: &ListPlace, tasks: &Tasks) -> Result<Vec<u8>, FetchError> {
    let fetched = async {
        match place {
            ListPlace::Http { host, port, path, .. } => over_http(host, *port, path).await,
            ListPlace::File { path, .. } => {
                let path = path.clone();
                tasks.blocking("revocation list", move || from_file(&path)).await.unwrap_or(Err(FetchError::NoFile))
            }
        }
    };
    tokio::time::timeout(PATIENCE, fetched).await.unwrap_or(Err(FetchError::Late))
}

fn from_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    // Opening a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FetchError::NoFile);
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_CRL_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_CRL_BYTES { Err(FetchError::TooLong) } else { Ok(bytes) }
}

async fn over_http(host: &str, port: u16, path: &str) -> Result<Vec<u8>, FetchError> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let name = if port == 80 { name } else { format!("{name}:{port}") };
    let accepted = "application/pkix-crl, application/x-pkcs7-crl, */*;q=0.5";
    let head = format!(
        "GET {path} HTTP/1.0\r\nHost: {name}\r\nAccept: {accepted}\r\nUser-Agent: certus/{}\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take((MAX_HEAD + MAX_CRL_BYTES + 1) as u64).read_to_end(&mut answer).await?;
    body(&answer).map(<[u8]>::to_vec)
}

/// The body of an answer that has ended.
fn body(answer: &[u8]) -> Result<&[u8], FetchError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(answer) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        _ => return Err(FetchError::NoHttp),
    };
    match head.code {
        Some(200) => {}
        Some(status) => return Err(FetchError::Status(status)),
        None => return Err(FetchError::NoHttp),
    }
    let field = |name: &str| {
        let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.and_then(|field| std::str::from_utf8(field.value).ok()).map(str::trim)
    };
    let is_plain = |value: Option<&str>| value.is_none_or(|value| value.eq_ignore_ascii_case("identity"));
    if !is_plain(field("transfer-encoding")) || !is_plain(field("content-encoding")) {
        return Err(FetchError::Coding);
    }
    let body = answer.get(length..).unwrap_or_default();
    if body.len() > MAX_CRL_BYTES {
        return Err(FetchError::TooLong);
    }
    match field("content-length").map(str::parse::<usize>) {
        None => Ok(body),
        Some(Ok(announced)) if announced > MAX_CRL_BYTES => Err(FetchError::TooLong),
        Some(Ok(announced)) => body.get(..announced).ok_or(FetchError::Cut),
        Some(Err(_)) => Err(FetchError::NoHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &str) -> String {
        match body(answer.as_bytes()) {
            Ok(body) => String::from_utf8_lossy(body).into_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_answer_is_a_list_only_when_it_is_whole() {
        assert_eq!(told("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "abc");
        assert_eq!(told("HTTP/1.0 200 OK\r\n\r\nabcd"), "abcd");
        for (answer, error) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "ended before"),
            ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "answers 302"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "coding"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "longer than"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no HTTP"),
            ("", "no HTTP"),
            ("SSH-2.0-x\r\n", "no HTTP"),
        ] {
            assert!(told(answer).contains(error), "{answer:?}: {}", told(answer));
        }
    }

    #[test]
    fn no_file_is_read_beyond_the_bound_nor_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("long.crl");
        std::fs::File::create(&file).unwrap().set_len(MAX_CRL_BYTES as u64 + 1).unwrap();
        assert!(matches!(from_file(&file), Err(FetchError::TooLong)));
        assert!(matches!(from_file(directory.path()), Err(FetchError::NoFile)));
        assert!(matches!(from_file(&directory.path().join("none")), Err(FetchError::Io(_))));
    }
}
