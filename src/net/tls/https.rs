//! The byte stream of HTTPS, for an HTTP library to read and write.
//!
//! What lives here: its handshake, the bound on a peer that does not read, and
//! the way back into a [`Transport`] when HTTP ends in a WebSocket. What does
//! not: who may connect (`net::https`). Invariant: a write that makes no
//! progress within its time fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::identity::admission::Peer;
use crate::identity::capture::{capture, refusal_of};
use crate::identity::https::HttpsTls;
use crate::telemetry::metrics::Counter;

use super::super::shared::Node;
use super::handshake::describe;
use super::{Transport, older};

/// A TLS connection over which HTTP is spoken.
pub struct HttpsStream {
    inner: TlsStream<TcpStream>,
    /// A write may wait for the peer so long.
    patience: Duration,
    /// The end of a wait that goes on.
    waiting: Option<Pin<Box<Sleep>>>,
}

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
    let handshake = async {
        older::refuse(&mut socket).await?;
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let _ = asked.set(hello.client_hello().server_name().map(Arc::from));
        let config = tls.choose(&hello.client_hello());
        hello.into_stream(config).await
    };
    let (result, found) = capture(tokio::time::timeout(patience.handshake, handshake)).await;
    peer.server_name = asked.into_inner().flatten();
    match result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            describe(peer, stream.get_ref().1);
            Some(HttpsStream { inner: stream, patience: patience.write, waiting: None })
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
        let (socket, connection) = self.inner.into_inner();
        Transport::tls(socket, connection)
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
        Pin::new(&mut self.get_mut().inner).poll_read(cx, into)
    }
}

impl AsyncWrite for HttpsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.within_patience(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, pieces);
        this.within_patience(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.within_patience(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.within_patience(cx, ended)
    }
}
