//! MQTT in WebSocket frames (RFC 6455; MQTT 5.0 §6).
//!
//! What lives here: the stream between a transport and whoever reads MQTT from
//! it. What does not: TLS (`tls`), the driver (`connection`). Invariant: of what
//! comes, where a packet begins has nothing to do with where a frame begins; of
//! what leaves, each packet is a frame.

mod frame;
mod upgrade;

pub(super) use frame::Breach;
use upgrade::Rejection;
pub(super) use upgrade::judge;
pub use upgrade::{Agreed, NotAgreed, WebSocketRequest};

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::telemetry::metrics::Counter;

use super::tls::{Read, Transport};
use frame::Decoder;

/// The close frame of an ordinary end (RFC 6455 §7.4.1).
pub(super) const NORMAL: u16 = 1000;
/// The broker stops.
pub(super) const GOING_AWAY: u16 = 1001;
/// The client broke the rules of MQTT.
pub(super) const PROTOCOL_ERROR: u16 = 1002;
/// The client may not stay.
pub(super) const POLICY: u16 = 1008;
/// There is no room for the client now.
pub(super) const TRY_AGAIN_LATER: u16 = 1013;

/// A transport whose bytes travel in frames.
#[derive(Debug)]
pub(super) struct Framed {
    transport: Transport,
    decoder: Decoder,
    /// Bytes that came behind the request, not decoded yet.
    early: Vec<u8>,
    /// Control frames that wait for the transport: one pong, one close.
    owed: Vec<u8>,
    /// How the client broke the rules, behind what was read.
    breach: Option<Breach>,
    /// Our close frame was sent or is owed.
    parted: bool,
}

/// A client that was told why it gets no WebSocket.
pub(super) struct Rejected {
    pub(super) rejection: Rejection,
    pub(super) socket: TcpStream,
}

/// Reads the request for a WebSocket and answers it. The error is empty when
/// the client went away.
pub(super) async fn accept(mut transport: Transport, origins: &[String]) -> Result<Framed, Option<Rejected>> {
    let (mut request, mut cipher) = (Vec::new(), Vec::new());
    let upgrade = loop {
        match upgrade::read(&request, origins) {
            Ok(Some(upgrade)) => break upgrade,
            Ok(None) => {}
            Err(rejection) => {
                let _ = transport.send(rejection.answer().as_bytes());
                transport.close_notify();
                return Err(Some(Rejected { rejection, socket: transport.into_socket() }));
            }
        }
        match poll_fn(|cx| transport.poll_read(cx, &mut cipher, &mut request)).await {
            Ok(Read::Bytes { .. }) => {}
            Ok(Read::Closed) | Err(_) => return Err(None),
        }
    };
    let sent = match transport.send(upgrade.answer.as_bytes()) {
        Ok(()) => poll_fn(|cx| transport.poll_flush(cx)).await,
        Err(error) => Err(error),
    };
    sent.map_err(|_| None)?;
    Counter::WebSocketsOpened.one();
    request.drain(..upgrade.length);
    Ok(Framed::new(transport, request))
}

impl Framed {
    /// Frames on a stream whose request another part has answered; `early` came
    /// behind that.
    pub(super) fn opened(transport: Transport, early: Vec<u8>) -> Self {
        Counter::WebSocketsOpened.one();
        Self::new(transport, early)
    }

    fn new(transport: Transport, early: Vec<u8>) -> Self {
        Self { transport, decoder: Decoder::default(), early, owed: Vec::new(), breach: None, parted: false }
    }

    /// As [`Transport::poll_read`]. Control frames alone are no bytes read: a
    /// client that only pings here is silent to MQTT.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        cipher: &mut Vec<u8>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<Read>> {
        if let Some(breach) = self.breach {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, breach)));
        }
        if self.decoder.asked.close.is_some() {
            return Poll::Ready(Ok(Read::Closed));
        }
        let start = into.len();
        let read = if self.early.is_empty() {
            ready!(self.transport.poll_read(cx, cipher, into))?
        } else {
            into.append(&mut self.early);
            Read::Bytes { full: true }
        };
        let length = self.take_off(into, start);
        if self.decoder.asked.close.is_some() {
            return Poll::Ready(Ok(Read::Closed));
        }
        match read {
            Read::Bytes { .. } if self.breach.is_some() => {
                if length > 0 {
                    return Poll::Ready(Ok(Read::Bytes { full: true }));
                }
                self.poll_read(cx, cipher, into)
            }
            Read::Bytes { full } if length == 0 => {
                // Whoever is told `full: false` has a waker in the socket.
                if full {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            read => Poll::Ready(Ok(read)),
        }
    }

    /// Takes the framing off what was read, and notes what is to be answered.
    fn take_off(&mut self, into: &mut Vec<u8>, start: usize) -> usize {
        let (length, breach) = self.decoder.decode(into.get_mut(start..).unwrap_or_default());
        into.truncate(start + length);
        self.breach = breach;
        if let Some(payload) = self.decoder.asked.pong.take()
            && !self.parted
        {
            // A client that does not read its pongs gets the last one only.
            self.owed.clear();
            frame::put_pong(&mut self.owed, &payload);
        }
        if let Some(code) = self.decoder.asked.close {
            self.part(code);
        }
        length
    }

    fn part(&mut self, code: Option<u16>) {
        if !std::mem::replace(&mut self.parted, true) {
            frame::put_close(&mut self.owed, code);
        }
    }

    /// As [`Transport::is_clean`].
    pub(super) fn is_clean(&self) -> bool {
        self.transport.is_clean()
    }

    /// As [`Transport::send`]; `bytes` are whole packets.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Nothing may follow our close frame (§5.5.1).
        if self.parted || bytes.is_empty() {
            return Ok(());
        }
        let mut framed = std::mem::take(&mut self.owed);
        frame::put_packets(&mut framed, bytes);
        self.transport.send(&framed)
    }

    /// As [`Transport::poll_flush`].
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.transport.poll_flush(cx))?;
            if self.owed.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.transport.send(&std::mem::take(&mut self.owed))?;
        }
    }

    /// Says goodbye on all layers; one attempt, nobody waits.
    pub(super) fn close(&mut self, code: u16) {
        self.part(Some(self.breach.map_or(code, Breach::code)));
        if self.transport.is_clean() && self.transport.send(&std::mem::take(&mut self.owed)).is_ok() {
            self.transport.close_notify();
        }
    }

    /// As [`Transport::socket_mut`].
    pub(super) const fn socket_mut(&mut self) -> &mut TcpStream {
        self.transport.socket_mut()
    }

    /// Gives up the stream, but for its socket.
    pub(super) fn into_socket(self) -> TcpStream {
        self.transport.into_socket()
    }
}

/// How the client broke the rules of the framing, if that is the error.
pub(super) fn breach(error: &io::Error) -> Option<Breach> {
    error.get_ref()?.downcast_ref().copied()
}
