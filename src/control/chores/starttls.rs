//! The way from plain SMTP to TLS (RFC 3207).
//!
//! What lives here: asking for it, and the encrypted stream. What does not:
//! SMTP itself (lettre). Invariant: nothing that came in the clear is believed
//! once TLS is spoken, and without TLS nothing goes on.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::ca::outgoing::Secured;

/// The longest answer, all lines of it.
const LONGEST: usize = 8 * 1024;
/// What the mail client waits for; a server greets once only, in the clear.
const GREETING: &[u8] = b"220 TLS\r\n";

/// Asks the server at the other end to speak TLS.
pub(super) async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    expect(stream, "220").await?;
    stream.write_all(b"EHLO [127.0.0.1]\r\n").await?;
    expect(stream, "250").await?;
    stream.write_all(b"STARTTLS\r\n").await?;
    expect(stream, "220").await
}

/// Reads one answer, byte by byte: what follows it is not for us.
async fn expect(stream: &mut (impl AsyncRead + Unpin), code: &str) -> io::Result<()> {
    let (mut line, mut length) = (Vec::new(), 0);
    loop {
        let byte = stream.read_u8().await?;
        line.push(byte);
        length += 1;
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server's answer has no end"));
        }
        if byte != b'\n' {
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if !text.starts_with(code) {
            return Err(io::Error::other(format!("the server does not begin TLS: {}", text.escape_debug())));
        }
        if text.as_bytes().get(code.len()) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// An encrypted stream, as the mail client wants it.
#[derive(Debug)]
pub(super) struct Encrypted {
    greeting: &'static [u8],
    stream: Secured,
}

impl Encrypted {
    /// A stream whose server has still to greet.
    pub(super) const fn new(stream: Secured) -> Self {
        Self { greeting: b"", stream }
    }

    /// A stream whose server greeted before it was encrypted.
    pub(super) const fn greeted(stream: Secured) -> Self {
        Self { greeting: GREETING, stream }
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let (now, later) = self.greeting.split_at(self.greeting.len().min(into.remaining()));
        into.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(answers: &'static [u8]) -> Result<Vec<u8>, String> {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(answers).await.unwrap();
        ask(&mut ours).await.map_err(|error| error.to_string())?;
        let mut rest = vec![0; 16];
        let length = tokio::time::timeout(std::time::Duration::from_millis(20), ours.read(&mut rest)).await;
        rest.truncate(length.map_or(0, |read| read.unwrap()));
        Ok(rest)
    }

    #[tokio::test]
    async fn nothing_is_read_beyond_the_answer_that_begins_tls() {
        let good = b"220 mail\r\n250-mail\r\n250-SIZE 1\r\n250 STARTTLS\r\n220 go\r\n\x16\x03";
        assert_eq!(told(good).await, Ok(b"\x16\x03".to_vec()));
    }

    #[tokio::test]
    async fn a_server_that_does_not_begin_tls_gets_nothing_more() {
        for bad in
            [&b"220 mail\r\n250 mail\r\n502 no such thing\r\n"[..], b"554 go away\r\n", b"HTTP/1.1 400 Bad Request\r\n"]
        {
            assert!(told(bad).await.is_err_and(|why| why.contains("does not begin TLS")), "{bad:?}");
        }
        static ENDLESS: [u8; 10_000] = [b'2'; 10_000];
        assert!(told(&ENDLESS).await.is_err_and(|why| why.contains("no end")));
    }
}
