//! Listening sockets: accept, give the connection a task, go on.
//!
//! Invariant: nothing that a client does or leaves undone is waited for here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::identity::admission::ListenerScope;
use crate::identity::handshake::ListenerTls;
use crate::identity::reason::Reason;
use crate::identity::refusal::{Refusal, Stage};
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Counter;

use super::arrival::Accepted;
use super::limits::Source;
use super::proxy_protocol::Network;
use super::shared::Node;
use super::{ListenerSettings, reception};

/// A socket that listens.
pub struct Listener {
    /// What it means for connections.
    pub scope: Arc<ListenerScope>,
    /// How TLS is spoken, when it is; swapped by a reload.
    pub tls: Option<ArcSwap<ListenerTls>>,
    /// The origins whose pages may open a WebSocket.
    pub(super) origins: Vec<String>,
    proxies: Vec<Network>,
    address: SocketAddr,
    socket: TcpListener,
}

impl Listener {
    /// Binds the address of `settings`.
    ///
    /// # Errors
    /// Those of the system, such as an address in use.
    pub fn bind(settings: &ListenerSettings, backlog: u32, tls: Option<ListenerTls>) -> io::Result<Self> {
        let socket = bind(settings.bind, backlog)?;
        let address = socket.local_addr()?;
        let scope = ListenerScope {
            name: settings.name.as_str().into(),
            tls: settings.tls,
            websocket: settings.websocket.is_some(),
            default_tenant: settings.default_tenant.clone(),
        };
        let origins = settings.websocket.clone().unwrap_or_default().origins;
        let (scope, tls) = (Arc::new(scope), tls.map(ArcSwap::from_pointee));
        Ok(Self { scope, tls, origins, proxies: settings.proxies.clone(), address, socket })
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, for whoever does not [`Listener::run`].
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept().await
    }

    /// Accepts until `tasks` is told to stop.
    pub async fn run(self: Arc<Self>, node: Arc<Node>, tasks: Tasks) {
        let mut stop = tasks.stop_signal();
        loop {
            let accepted = tokio::select! {
                () = stop.stopped() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.welcome(socket, peer, &node),
                Err(error) => {
                    // Out of descriptors, mostly: give the closing of others time.
                    tracing::warn!(listener = &*self.scope.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Whether `peer` has to say where its clients are.
    pub(super) fn is_balancer(&self, peer: SocketAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(peer.ip()))
    }

    fn welcome(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr, node: &Arc<Node>) {
        Counter::ConnectionsAccepted.one();
        let settings = node.settings.load();
        let source = if self.is_balancer(peer) { Source::Balancer } else { Source::Client };
        if let Some(reason) = node.overload.refuses() {
            Counter::ConnectionsShed.one();
            self.refuse(node, peer, reason, "established clients are served first");
            return;
        }
        let pace = match source {
            Source::Client => node.limits.pace(peer.ip(), &settings, node.clock.now()),
            // The clients behind it are counted when it names them.
            Source::Balancer => Ok(()),
        };
        let seats = pace.and_then(|()| node.limits.admit(peer, source, &settings)).and_then(|admitted| {
            let shaking = admitted.shake(source, &settings)?;
            Ok((admitted, shaking))
        });
        match seats {
            Ok((admitted, shaking)) => {
                let _ = socket.set_nodelay(true);
                let accepted = Accepted { socket, address: peer, admitted, shaking, since: node.clock.now() };
                let begin = reception::serve(Arc::clone(node), Arc::clone(self), accepted);
                node.tasks.spawn("handshake", begin);
            }
            Err(reason) => {
                Counter::ConnectionsShed.one();
                self.refuse(node, peer, reason, "a bound on connections or handshakes is reached");
            }
        }
    }
}

impl Listener {
    /// Records the refusal of a socket of which nothing but its source is known.
    pub(super) fn refuse(&self, node: &Node, peer: SocketAddr, reason: Reason, detail: impl Into<String>) {
        let mut refusal = Refusal::new(Stage::Accept, reason, detail, node.clock.wall());
        refusal.peer = Some(peer);
        refusal.listener = Some(Arc::clone(&self.scope.name));
        node.refusals.record(refusal);
    }
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
