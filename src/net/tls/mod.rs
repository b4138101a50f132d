//! A byte stream, plain or TLS, driven without an executor's help.
//!
//! One read of up to 64 KiB, every record of it decrypted, everything a turn has
//! to say encrypted at once and handed to the socket in one write. Invariant:
//! while bytes are left over nothing more is encrypted, and whoever leaves some
//! behind has armed the socket's write readiness.

mod accept;
mod handshake;
mod https;
mod older;
mod out;
mod session;
mod turns;

pub(super) use handshake::shake;
pub use https::HttpsStream;
pub(super) use https::{Patience, shake_https};
pub use turns::Turns;

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;

use self::out::Out;
use self::session::{Phase, Session};
use crate::telemetry::metrics::Counter;

/// The most bytes taken from a socket at once.
const READ: usize = 64 * 1024;

/// A connected byte stream.
#[derive(Debug)]
pub(in crate::net) struct Transport {
    socket: TcpStream,
    tls: Option<Box<Session>>,
    /// Bytes that the socket did not take.
    left: Vec<u8>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Read {
    /// Bytes; `full` when the socket may well have more.
    Bytes { full: bool },
    /// The peer has ended its side.
    Closed,
}

impl Transport {
    pub(in crate::net) const fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None, left: Vec::new() }
    }

    /// Takes over from the handshake.
    fn tls(socket: TcpStream, session: Box<Session>) -> Self {
        Self { socket, tls: Some(session), left: Vec::new() }
    }

    /// Appends to `into` what the socket has, up to [`READ`] bytes.
    pub(in crate::net) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        cipher: &mut Vec<u8>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<Read>> {
        let Some(tls) = &mut self.tls else {
            into.reserve(READ);
            let count = ready!(pin!(self.socket.read_buf(into)).poll(cx))?;
            Counter::SocketReads.one();
            Counter::BytesReceived.add(count as u64);
            if count == 0 {
                return Poll::Ready(Ok(Read::Closed));
            }
            let full = count >= READ || may_have_more(&self.socket, cx);
            return Poll::Ready(Ok(Read::Bytes { full }));
        };
        if !tls.early.is_empty() {
            into.append(&mut std::mem::take(&mut tls.early));
            return Poll::Ready(Ok(Read::Bytes { full: true }));
        }
        let kept = tls.begin(cipher, READ);
        let mut buffer = ReadBuf::new(cipher.get_mut(kept..kept + READ).unwrap_or_default());
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        Counter::SocketReads.one();
        Counter::BytesReceived.add(count as u64);
        if count == 0 {
            return Poll::Ready(Ok(Read::Closed));
        }
        let full = count == READ || may_have_more(&self.socket, cx);
        match tls.hear(cipher.get_mut(..kept + count).unwrap_or_default(), into) {
            Ok(Phase::Closed) => Poll::Ready(Ok(Read::Closed)),
            Ok(_) => Poll::Ready(Ok(Read::Bytes { full })),
            Err(error) => {
                // The alert that says why; one attempt is all it gets.
                self.left.append(&mut tls.owed);
                let _ = self.write_left();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    /// Whether everything that was sent has left.
    pub(in crate::net) fn is_clean(&self) -> bool {
        self.left.is_empty()
    }

    /// Sends `bytes`, as far as the socket takes them now. The rest is kept;
    /// call [`Transport::poll_flush`] before the next `send`.
    pub(in crate::net) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        Counter::BytesSent.add(bytes.len() as u64);
        Out::lend(|out| {
            let Some(tls) = &mut self.tls else { return self.write(bytes) };
            tls.say(bytes, out)?;
            self.write(out.filled())
        })
    }

    /// Writes what the socket takes of `bytes`, and keeps the rest.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = push(bytes, |rest| self.socket.try_write(rest))?;
        self.left.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        Ok(())
    }

    /// Ready when everything that was sent has left.
    pub(in crate::net) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_clean() {
            ready!(self.socket.poll_write_ready(cx))?;
            self.write_left()?;
        }
        Poll::Ready(Ok(()))
    }

    fn write_left(&mut self) -> io::Result<()> {
        let taken = push(&self.left, |rest| self.socket.try_write(rest))?;
        self.left.drain(..taken);
        if self.left.is_empty() {
            self.left = Vec::new();
        }
        Ok(())
    }

    /// Says goodbye on the TLS layer; one attempt, nobody waits.
    pub(in crate::net) fn close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            Out::lend(|out| {
                tls.say_goodbye(out);
                self.left.extend_from_slice(out.filled());
            });
            let _ = self.write_left();
        }
    }

    /// The socket below, for a stream that says no more.
    pub(in crate::net) const fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Gives up the stream, but for its socket.
    pub(in crate::net) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

/// A short read has cleared the socket's readiness, but only a poll that is
/// pending leaves a waker: without this one nobody would hear what comes next.
/// It costs no system call.
fn may_have_more(socket: &TcpStream, cx: &mut Context<'_>) -> bool {
    socket.poll_read_ready(cx).is_ready()
}

/// Hands `bytes` to a socket until it takes no more, and says how many it took.
fn push(bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
        Counter::SocketWrites.one();
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;
