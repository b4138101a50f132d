//! One socket of the load generator, plain or TLS, read in large pieces and written once a batch.
//!
//! What lives here: bytes in, bytes out, and the TLS between. What does not: packets. Invariant:
//! `poll_flush` answers `Ready` only when nothing is left to send.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that one system call reads at most.
const READ: usize = 256 * 1024;

thread_local! {
    /// Lent to whichever connection of this thread reads.
    static LENT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connected socket, and TLS if there is any.
pub struct Wire {
    tcp: TcpStream,
    tls: Option<Box<rustls::Connection>>,
    cipher: Vec<u8>,
    sent: usize,
    /// What is to be sent next, in the clear.
    pub out: Vec<u8>,
    /// What was read and not yet taken, in the clear.
    pub inbox: Vec<u8>,
}

impl Wire {
    /// Takes a connected socket; the handshake runs as bytes are read and flushed.
    ///
    /// # Errors
    /// The socket is gone already.
    pub fn new(tcp: TcpStream, tls: Option<rustls::Connection>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let tls = tls.map(|mut connection| {
            connection.set_buffer_limit(None);
            Box::new(connection)
        });
        Ok(Self { tcp, tls, cipher: Vec::new(), sent: 0, out: Vec::new(), inbox: Vec::new() })
    }

    /// The TLS connection, if there is one.
    pub fn tls(&self) -> Option<&rustls::Connection> {
        self.tls.as_deref()
    }

    /// Appends what one system call reads to `inbox`; answers how many bytes the socket gave.
    ///
    /// # Errors
    /// The connection ended (`UnexpectedEof`) or broke; a TLS alert stands in the error's text.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        LENT.with_borrow_mut(|lent| {
            let mut buffer = ReadBuf::new(lent);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(self.accept(bytes).map(|()| bytes.len()))
        })
    }

    fn accept(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.inbox.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let plain = u64::try_from(state.plaintext_bytes_to_read()).unwrap_or(u64::MAX);
            if plain > 0 {
                tls.reader().take(plain).read_to_end(&mut self.inbox)?;
            }
        }
        Ok(())
    }

    /// Encrypts `out` and writes until the socket has taken all of it.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            // While ciphertext is left nothing more is encrypted, so that nothing piles up.
            if self.cipher.is_empty() && !self.out.is_empty() && !tls.is_handshaking() {
                tls.writer().write_all(&self.out)?;
                self.out.clear();
            }
            while tls.wants_write() {
                tls.write_tls(&mut self.cipher)?;
            }
        }
        let pending = if self.tls.is_some() { &mut self.cipher } else { &mut self.out };
        while let Some(rest) = pending.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))?;
        }
        pending.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes what it can of `last` and of TLS' own farewell, without waiting for the socket: the
    /// connection ends with this value.
    pub fn say_goodbye(&mut self, cx: &mut Context<'_>, last: &[u8]) {
        self.out.extend_from_slice(last);
        let flushed = self.poll_flush(cx);
        if let (Poll::Ready(Ok(())), Some(tls)) = (flushed, &mut self.tls) {
            tls.send_close_notify();
            let _ = self.poll_flush(cx);
        }
    }

    /// Drops the first `count` bytes of `inbox`.
    pub fn consume(&mut self, count: usize) {
        if count >= self.inbox.len() {
            self.inbox.clear();
        } else {
            self.inbox.drain(..count);
        }
    }
}
