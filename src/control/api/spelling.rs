//! Names of HTTP fields as older clients expect them.
//!
//! What lives here: the one name that the HTTP library cannot spell. What does
//! not: every other one, which it writes with capitals when asked to.
//! Invariant: bytes change their case and nothing else, so that no length does.
//!
//! Names of fields are the same in any case (RFC 9110 section 5.1), but
//! libest's client compares them letter by letter: without `WWW-Authenticate`
//! it takes a 401 for a failure and never sends its password.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As the HTTP library writes it.
const WRITTEN: &[u8] = b"\r\nWww-Authenticate: ";
/// As it is known.
const KNOWN: &[u8] = b"\r\nWWW-Authenticate: ";

/// A connection whose answers are spelled well.
#[derive(Debug)]
pub(super) struct Spelled<S>(pub(super) S);

/// The bytes with the name in its known form, if they begin a 401: the head of
/// an answer is written at once.
fn spelled(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_challenge = bytes.starts_with(b"HTTP/1.1 401 ") || bytes.starts_with(b"HTTP/1.0 401 ");
    if !is_challenge {
        return Cow::Borrowed(bytes);
    }
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(bytes.len());
    let mut copy = bytes.to_vec();
    for at in 0..head {
        if let Some(name) = copy.get_mut(at..at + WRITTEN.len()).filter(|name| *name == WRITTEN) {
            name.copy_from_slice(KNOWN);
        }
    }
    Cow::Owned(copy)
}

impl<S: AsyncRead + Unpin> AsyncRead for Spelled<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spelled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &spelled(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.first().map(|first| spelled(first)) {
            Some(Cow::Owned(head)) => Pin::new(&mut self.0).poll_write(cx, &head),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_challenge_is_spelled_as_it_is_known_and_nothing_else_changes() {
        let challenge = "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Bearer\r\nDate: x\r\nWww-Authenticate: Basic realm=\"c\"\r\n\r\n";
        let known = challenge.replace("Www-", "WWW-");
        let body = "\r\nWww-Authenticate: in a body";
        for (written, expected) in [
            (format!("{challenge}{body}"), format!("{known}{body}")),
            (challenge.replace("1.1", "1.0"), known.replace("1.1", "1.0")),
            (challenge.replace("401", "200"), challenge.replace("401", "200")),
            (body.to_owned(), body.to_owned()),
            (String::new(), String::new()),
        ] {
            let mut stream = Spelled(Vec::new());
            stream.write_all(written.as_bytes()).await.unwrap();
            assert_eq!(String::from_utf8(stream.0).unwrap(), expected);
        }
        let mut stream = Spelled(Vec::new());
        let slices = [IoSlice::new(challenge.as_bytes()), IoSlice::new(body.as_bytes())];
        let taken = stream.write_vectored(&slices).await.unwrap();
        assert_eq!((stream.0.as_slice(), taken), (known.as_bytes(), known.len()), "the rest is asked for again");
    }
}
