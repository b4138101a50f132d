//! One socket, plain or TLS, read into a lent buffer and written once a turn.
//! Both ends use it. Invariant: `flush` answers `Ready` only when nothing is left to send.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How the socket is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadCall {
    /// `try_read`: readiness is only cleared by the `EAGAIN` of one read more.
    Try,
    /// `poll_read`: tokio clears readiness itself after a short read, so no read more.
    Poll,
}

/// What it cost so far.
#[derive(Default, Clone, Copy)]
pub struct Calls {
    pub recv: u64,
    pub send: u64,
}

pub struct Wire {
    tcp: TcpStream,
    tls: Option<Box<rustls::Connection>>,
    cipher: Vec<u8>,
    sent: usize,
    /// What the turn wants to send, in the clear.
    pub out: Vec<u8>,
    pub calls: Calls,
}

impl Wire {
    pub fn new(tcp: TcpStream, tls: Option<rustls::Connection>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let tls = tls.map(|mut connection| {
            connection.set_buffer_limit(None);
            Box::new(connection)
        });
        Ok(Self { tcp, tls, cipher: Vec::new(), sent: 0, out: Vec::new(), calls: Calls::default() })
    }

    /// Reads at most `lent.len()` bytes in one call and appends the plaintext to `plain`; answers how many came from the socket.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        how: ReadCall,
        lent: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let read = match how {
            ReadCall::Poll => {
                let mut buffer = ReadBuf::new(lent);
                ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
                self.calls.recv += 1;
                buffer.filled().len()
            }
            ReadCall::Try => loop {
                ready!(self.tcp.poll_read_ready(cx))?;
                self.calls.recv += 1;
                match self.tcp.try_read(lent) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => break done?,
                }
            },
        };
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut bytes = &lent[..read];
        match &mut self.tls {
            None => plain.extend_from_slice(bytes),
            Some(tls) => {
                while !bytes.is_empty() {
                    tls.read_tls(&mut bytes)?;
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    let from = plain.len();
                    plain.resize(from + state.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut plain[from..])?;
                }
            }
        }
        Poll::Ready(Ok(read))
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            if !self.out.is_empty() && !tls.is_handshaking() {
                tls.writer().write_all(&self.out)?;
                self.out.clear();
            }
            while tls.wants_write() {
                tls.write_tls(&mut self.cipher)?;
            }
        }
        let pending = if self.tls.is_some() { &mut self.cipher } else { &mut self.out };
        while self.sent < pending.len() {
            self.calls.send += 1;
            self.sent += ready!(Pin::new(&mut self.tcp).poll_write(cx, &pending[self.sent..]))?;
        }
        pending.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// Whole frames at the head of `bytes`: (first byte, frame).
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&first, &length) = (rest.first()?, rest.get(1)?);
        let (frame, after) = rest.split_at_checked(2 + usize::from(length))?;
        rest = after;
        Some((first, frame))
    })
}
