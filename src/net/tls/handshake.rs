//! The TLS handshake of one connection, within its time.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::identity::admission::Peer;
use crate::identity::capture::{capture, refusal_of};
use crate::telemetry::metrics::Counter;

use super::super::listener::Listener;
use super::super::shared::Node;
use super::Transport;
use super::accept::accept;

/// Shakes hands, when the listener speaks TLS. A failure is recorded here.
pub(in crate::net) async fn shake(
    node: &Node,
    listener: &Listener,
    mut socket: TcpStream,
    address: SocketAddr,
    limit: Duration,
) -> Option<(Transport, Peer)> {
    let mut peer = Peer { address, chain: None, server_name: None, tls: None, listener: Arc::clone(&listener.scope) };
    let Some(tls) = &listener.tls else { return Some((Transport::plain(socket), peer)) };
    let tls = tls.load_full();
    let asked: OnceLock<Option<Arc<str>>> = OnceLock::new();
    let handshake = accept(&mut socket, &node.handshakes, |hello| {
        let _ = asked.set(hello.server_name().map(Arc::from));
        tls.choose(hello)
    });
    let (result, found) = capture(tokio::time::timeout(limit, handshake)).await;
    let result = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    peer.server_name = asked.into_inner().flatten();
    match result {
        Ok(session) => {
            describe(&mut peer, session.common());
            Some((Transport::tls(socket, session), peer))
        }
        Err(error) => {
            Counter::HandshakesFailed.one();
            peer.tls = found.tls;
            node.refusals.record(refusal_of(&error, found.failure, node.clock.wall()).at(&peer));
            None
        }
    }
}

/// Counts a handshake, and notes what it says of the peer.
pub(super) fn describe(peer: &mut Peer, connection: &rustls::CommonState) {
    match connection.handshake_kind() {
        Some(rustls::HandshakeKind::Resumed) => Counter::HandshakesResumed.one(),
        _ => Counter::HandshakesFull.one(),
    }
    peer.chain = connection
        .peer_certificates()
        .map(|chain| chain.iter().map(|certificate| certificate.clone().into_owned()).collect::<Arc<[_]>>());
    peer.tls = connection.protocol_version().map(|version| match version {
        rustls::ProtocolVersion::TLSv1_2 => "1.2",
        _ => "1.3",
    });
}
