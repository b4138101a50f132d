//! The byte stream of HTTPS, for an HTTP library to read and write.
//!
//! What lives here: its handshake, the bound on a peer that does not read, and
//! the way back into a [`Transport`] when HTTP ends in a WebSocket. What does
//! not: who may connect (`net::https`). Invariant: a write that makes no
//! progress within its time fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::identity::admission::Peer;
use crate::identity::capture::{capture, refusal_of};
use crate::identity::https::HttpsTls;
use crate::telemetry::metrics::Counter;

use super::super::lent::lend;
use super::super::shared::Node;
use super::accept::accept;
use super::handshake::describe;
use super::{Read, Transport};

/// A TLS connection over which HTTP is spoken.
pub struct HttpsStream {
    inner: Transport,
    /// Plaintext that was not asked for yet.
    heard: Vec<u8>,
    /// A write may wait for the peer so long.
    patience: Duration,
    /// The end of a wait that goes on.
    waiting: Option<Pin<Box<Sleep>>>,
}

/// What is encrypted at once.
const WRITE: usize = 64 * 1024;

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct Patience {
    /// For its handshake.
    pub(in crate::net) handshake: Duration,
    /// To read some of what is written to it.
    pub(in crate::net) write: Duration,
}

/// Shakes hands. What is learnt is noted in `peer`; a failure is recorded here.
pub(in crate::net) async fn shake_https(
    node: &Node,
    tls: &HttpsTls,
    mut socket: TcpStream,
    peer: &mut Peer,
    patience: Patience,
) -> Option<HttpsStream> {
    let asked: OnceLock<Option<Arc<str>>> = OnceLock::new();
    let handshake = accept(&mut socket, &node.handshakes, |hello| {
        let _ = asked.set(hello.server_name().map(Arc::from));
        tls.choose(hello)
    });
    let (result, found) = capture(tokio::time::timeout(patience.handshake, handshake)).await;
    peer.server_name = asked.into_inner().flatten();
    match result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(session) => {
            describe(peer, session.common());
            let inner = Transport::tls(socket, session);
            Some(HttpsStream { inner, heard: Vec::new(), patience: patience.write, waiting: None })
        }
        Err(error) => {
            Counter::HandshakesFailed.one();
            peer.tls = found.tls;
            node.refusals.record(refusal_of(&error, found.failure, node.clock.wall()).at(peer));
            None
        }
    }
}

impl HttpsStream {
    /// The same stream for MQTT; HTTP has written all that it had to say.
    pub(in crate::net) fn into_transport(self) -> Transport {
        self.inner
    }

    /// Hands on what a write came to, and measures how long it waits.
    fn within_patience<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for HttpsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.heard.is_empty() {
            let read = lend(|buffers| this.inner.poll_read(cx, &mut buffers.cipher, &mut this.heard));
            // A part of a record says nothing yet.
            if ready!(read)? == Read::Closed && this.heard.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        let count = this.heard.len().min(into.remaining());
        into.put_slice(this.heard.get(..count).unwrap_or_default());
        this.heard.drain(..count);
        if this.heard.is_empty() {
            this.heard = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let flushed = this.inner.poll_flush(cx);
        ready!(this.within_patience(cx, flushed))?;
        let piece = bytes.get(..WRITE).unwrap_or(bytes);
        Poll::Ready(this.inner.send(piece).map(|()| piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.inner.poll_flush(cx);
        this.within_patience(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.inner.poll_flush(cx);
        ready!(this.within_patience(cx, flushed))?;
        this.inner.close_notify();
        Pin::new(this.inner.socket_mut()).poll_shutdown(cx)
    }
}
