//! A byte stream, plain or TLS, driven without an executor's help.
//!
//! After the handshake rustls is driven here: one read of up to 64 KiB, every
//! record of it decrypted, everything a turn has to say encrypted at once and
//! handed to the socket in one vectored write. Invariant: while ciphertext is
//! left over nothing more is encrypted, and whoever leaves some behind has
//! armed the socket's write readiness.

mod handshake;
mod https;
mod older;

pub(super) use handshake::shake;
pub use https::HttpsStream;
pub(super) use https::{Patience, shake_https};

use std::io::{self, BufRead, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::net::TcpStream;

use crate::telemetry::metrics::Counter;

/// The most bytes taken from a socket at once.
const READ: usize = 64 * 1024;

/// A connected byte stream.
#[derive(Debug)]
pub(in crate::net) struct Transport {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Plain bytes that the socket did not take.
    left: Vec<u8>,
    /// rustls may hold plaintext that came with the end of the handshake.
    fresh: bool,
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
        Self { socket, tls: None, left: Vec::new(), fresh: false }
    }

    /// Takes over from the handshake.
    pub(in crate::net) fn tls(socket: TcpStream, mut tls: ServerConnection) -> Self {
        // Our own bound is the size of a turn's output; see `send`.
        tls.set_buffer_limit(None);
        Self { socket, tls: Some(Box::new(tls)), left: Vec::new(), fresh: true }
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
        if std::mem::take(&mut self.fresh) && take_plaintext(tls, into)? > 0 {
            return Poll::Ready(Ok(Read::Bytes { full: true }));
        }
        cipher.resize(READ, 0);
        let mut buffer = ReadBuf::new(cipher);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        Counter::SocketReads.one();
        let bytes = buffer.filled();
        Counter::BytesReceived.add(bytes.len() as u64);
        if bytes.is_empty() {
            return Poll::Ready(Ok(Read::Closed));
        }
        let full = bytes.len() == READ || may_have_more(&self.socket, cx);
        let closed = match decrypt(tls, bytes, into) {
            Ok(closed) => closed,
            Err(error) => {
                // The alert that says why; one attempt is all it gets.
                let _ = write_some(tls, NonBlocking(&self.socket));
                return Poll::Ready(Err(error));
            }
        };
        Poll::Ready(Ok(if closed { Read::Closed } else { Read::Bytes { full } }))
    }

    /// Whether everything that was sent has left.
    pub(in crate::net) fn is_clean(&self) -> bool {
        self.left.is_empty() && !self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends `bytes`, as far as the socket takes them now. The rest is kept;
    /// call [`Transport::poll_flush`] before the next `send`.
    pub(in crate::net) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        Counter::BytesSent.add(bytes.len() as u64);
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            Counter::TlsRecordsSent.add(bytes.len().div_ceil(16_384) as u64);
            return write_some(tls, NonBlocking(&self.socket));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.socket.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            Counter::SocketWrites.one();
        }
        self.left.extend_from_slice(rest);
        Ok(())
    }

    /// Ready when everything that was sent has left.
    pub(in crate::net) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_clean() {
            ready!(self.socket.poll_write_ready(cx))?;
            match &mut self.tls {
                Some(tls) => write_some(tls, NonBlocking(&self.socket))?,
                None => self.write_left()?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write_left(&mut self) -> io::Result<()> {
        Counter::SocketWrites.one();
        match self.socket.try_write(&self.left) {
            Ok(count) => {
                self.left.drain(..count);
                if self.left.is_empty() {
                    self.left = Vec::new();
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says goodbye on the TLS layer; one attempt, nobody waits.
    pub(in crate::net) fn close_notify(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = write_some(tls, NonBlocking(&self.socket));
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

/// Decrypts `bytes`; true when the peer has said goodbye.
fn decrypt(tls: &mut ServerConnection, mut bytes: &[u8], into: &mut Vec<u8>) -> io::Result<bool> {
    let mut closed = false;
    while !bytes.is_empty() && !closed {
        tls.read_tls(&mut bytes)?;
        let state = tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        closed = state.peer_has_closed();
        take_plaintext(tls, into)?;
    }
    Ok(closed)
}

fn take_plaintext(tls: &mut ServerConnection, into: &mut Vec<u8>) -> io::Result<usize> {
    let mut taken = 0;
    loop {
        let mut reader = tls.reader();
        let count = match reader.fill_buf() {
            Ok(chunk) => {
                into.extend_from_slice(chunk);
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(taken);
        }
        reader.consume(count);
        taken += count;
    }
}

fn write_some(tls: &mut ServerConnection, mut socket: impl Write) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut socket) {
            Ok(_) => Counter::SocketWrites.one(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A socket as rustls wants it.
struct NonBlocking<'a>(&'a TcpStream);

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
