//! The byte stream of a connection: bare, or in WebSocket frames.
//!
//! What lives here: the choice, once a call and never once a byte. What does
//! not: either of the two. Invariant: both keep the promises of [`Transport`].

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::tls::{Read, Transport};
use super::websocket::Framed;

/// A stream of MQTT packets.
#[derive(Debug)]
pub(super) enum Stream {
    /// As TCP or TLS brings it.
    Bare(Transport),
    /// In WebSocket frames.
    Framed(Box<Framed>),
}

impl Stream {
    /// As [`Transport::poll_read`].
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        cipher: &mut Vec<u8>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<Read>> {
        match self {
            Self::Bare(transport) => transport.poll_read(cx, cipher, into),
            Self::Framed(framed) => framed.poll_read(cx, cipher, into),
        }
    }

    /// As [`Transport::is_clean`].
    pub(super) fn is_clean(&self) -> bool {
        match self {
            Self::Bare(transport) => transport.is_clean(),
            Self::Framed(framed) => framed.is_clean(),
        }
    }

    /// As [`Transport::send`].
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Bare(transport) => transport.send(bytes),
            Self::Framed(framed) => framed.send(bytes),
        }
    }

    /// As [`Transport::poll_flush`].
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Bare(transport) => transport.poll_flush(cx),
            Self::Framed(framed) => framed.poll_flush(cx),
        }
    }

    /// Says goodbye below MQTT, behind what MQTT had to say; `code` is that of
    /// a WebSocket. One attempt, nobody waits.
    pub(super) fn close(&mut self, code: u16) {
        match self {
            Self::Bare(transport) => transport.close_notify(),
            Self::Framed(framed) => framed.close(code),
        }
    }

    /// Ends the frames of a stream on which MQTT has nothing to say; a bare one
    /// just ends.
    pub(super) fn close_frames(&mut self, code: u16) {
        if let Self::Framed(framed) = self {
            framed.close(code);
        }
    }

    /// As [`Transport::socket_mut`].
    pub(super) const fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Bare(transport) => transport.socket_mut(),
            Self::Framed(framed) => framed.socket_mut(),
        }
    }

    /// Gives up the stream, but for its socket.
    pub(super) fn into_socket(self) -> TcpStream {
        match self {
            Self::Bare(transport) => transport.into_socket(),
            Self::Framed(framed) => framed.into_socket(),
        }
    }
}
