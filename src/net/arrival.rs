//! What may stand between accept and CONNECT, beside TLS.
//!
//! What lives here: the wait for a balancer's header and for the request that
//! opens a WebSocket, each within its time. What does not: how either is read
//! (`proxy_protocol`, `websocket`). Invariant: whoever is turned away here is
//! recorded with its reason, unless it just went away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::admission::Peer;
use crate::identity::reason::Reason;
use crate::identity::refusal::{Refusal, Stage};
use crate::telemetry::metrics::Counter;

use super::Settings;
use super::limits::{Admitted, Limits, Shaking};
use super::listener::Listener;
use super::proxy_protocol::{HeaderError, receive};
use super::shared::Node;
use super::stream::Stream;
use super::tls::Transport;
use super::websocket::{self, Rejected};

/// A socket that was accepted, with its seats.
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    /// Where the client is, as far as it is known.
    pub(super) address: SocketAddr,
    pub(super) admitted: Admitted,
    pub(super) shaking: Shaking,
    /// The time of accept.
    pub(super) since: Instant,
}

/// Whose bounds hold for a connection.
pub(super) struct Bounds<'b> {
    pub(super) limits: &'b Limits,
    pub(super) settings: &'b Settings,
}

/// Learns from a balancer where the client is; others are where their packets
/// come from. Answers whether the connection goes on.
pub(super) async fn locate(node: &Node, bounds: Bounds<'_>, listener: &Listener, accepted: &mut Accepted) -> bool {
    if !listener.is_balancer(accepted.address) {
        return true;
    }
    let Bounds { limits, settings } = bounds;
    let mut stop = node.tasks.stop_signal();
    let header = tokio::select! {
        () = stop.stopped() => return false,
        header = timeout(settings.handshake_timeout, receive(&mut accepted.socket)) => header,
    };
    let (reason, detail) = match header {
        Ok(Ok(None)) => return true,
        Ok(Ok(Some(client))) => {
            accepted.address = client;
            let pace = limits.pace(client.ip(), settings, node.clock.now());
            match pace.and_then(|()| accepted.admitted.speak_for(&mut accepted.shaking, client.ip(), settings)) {
                Ok(()) => return true,
                Err(reason) => {
                    Counter::ConnectionsShed.one();
                    (reason, "a bound on connections or handshakes is reached".to_owned())
                }
            }
        }
        Ok(Err(HeaderError::Closed)) => return false,
        Ok(Err(error)) => (Reason::ProxyHeader, error.to_string()),
        Err(_) => (Reason::Timeout, "no PROXY header came in time".to_owned()),
    };
    listener.refuse(node, accepted.address, reason, detail);
    false
}

/// Opens the WebSocket, where MQTT travels in one. A socket in the error is
/// kept until what was said on it may have been read.
pub(super) async fn open(
    node: &Node,
    listener: &Listener,
    transport: Transport,
    peer: &Peer,
    limit: Duration,
) -> Result<Stream, Option<TcpStream>> {
    if !listener.scope.websocket {
        return Ok(Stream::Bare(transport));
    }
    let (reason, detail, socket) = match timeout(limit, websocket::accept(transport, &listener.origins)).await {
        Ok(Ok(framed)) => return Ok(Stream::Framed(Box::new(framed))),
        Ok(Err(None)) => return Err(None),
        Ok(Err(Some(Rejected { rejection, socket }))) => {
            (Reason::WebSocketRequest, rejection.to_string(), Some(socket))
        }
        Err(_) => (Reason::Timeout, "no request for a WebSocket came in time".to_owned(), None),
    };
    let refusal = Refusal::new(Stage::Connect, reason, detail, node.clock.wall());
    node.refusals.record(refusal.at(peer));
    Err(socket)
}
