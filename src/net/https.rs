//! The door of HTTPS: who may connect, and where a WebSocket leads.
//!
//! What lives here: the socket, its bounds, the handshake, and the way of an
//! opened WebSocket to MQTT. What does not: HTTP (`control::api`). Invariant:
//! what comes in here has seats of its own, so that people who look at the
//! broker take none from its clients, and the other way round.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::identity::admission::Peer;
use crate::identity::https::HttpsTls;
use crate::identity::reason::Reason;
use crate::identity::refusal::{Refusal, Stage};
use crate::telemetry::metrics::Counter;

use super::arrival::{self, Accepted, Bounds};
use super::limits::{Admitted, Limits, Source};
use super::listener::Listener;
use super::rate::ConnectRates;
use super::shared::Node;
use super::stream::Stream;
use super::tls::{HttpsStream, Patience, shake_https};
use super::websocket::{self, Agreed, Framed, NotAgreed, WebSocketRequest};
use super::{HttpsSettings, ListenerSettings, Settings, WebSocketSettings, reception};

/// The name of the listener.
const NAME: &str = "https";

/// The listening socket of HTTPS with all that belongs to it.
pub struct HttpsDoor {
    node: Arc<Node>,
    listener: Arc<Listener>,
    tls: ArcSwap<HttpsTls>,
    settings: ArcSwap<HttpsSettings>,
    limits: Arc<Limits>,
    requests: ConnectRates,
}

/// A connection that has its seats and no handshake yet.
pub struct Knock(Accepted);

/// A client of HTTPS.
pub struct Guest {
    peer: Peer,
    /// Given back when the connection ends.
    _seat: Admitted,
}

impl Guest {
    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.peer.address.ip()
    }

    /// Who it is, as far as the handshake told.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl HttpsDoor {
    /// Binds the address of `settings`.
    ///
    /// # Errors
    /// Those of the system, such as an address in use.
    pub fn bind(settings: HttpsSettings, node: &Arc<Node>, tls: HttpsTls) -> io::Result<Self> {
        let like = ListenerSettings {
            name: NAME.to_owned(),
            bind: settings.bind,
            tls: true,
            websocket: Some(WebSocketSettings { origins: settings.origins.clone() }),
            proxies: settings.proxies.clone(),
            default_tenant: settings.default_tenant.clone(),
        };
        let listener = Arc::new(Listener::bind(&like, node.settings.load().backlog, None)?);
        Ok(Self {
            node: Arc::clone(node),
            listener,
            tls: ArcSwap::from_pointee(tls),
            settings: ArcSwap::from_pointee(settings),
            limits: Arc::default(),
            requests: ConnectRates::default(),
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.listener.address()
    }

    /// Its name in logs and on `/readyz`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.listener.scope.name
    }

    /// The bounds that hold.
    #[must_use]
    pub fn settings(&self) -> Arc<HttpsSettings> {
        self.settings.load_full()
    }

    /// Takes new bounds and new TLS; those who are connected keep theirs. The
    /// address, origins and balancers stay those of the start.
    pub fn renew(&self, settings: HttpsSettings, tls: HttpsTls) {
        self.settings.store(Arc::new(settings));
        self.tls.store(Arc::new(tls));
    }

    /// Takes new TLS: the server's certificate or an anchor has changed.
    pub fn renew_tls(&self, tls: HttpsTls) {
        self.tls.store(Arc::new(tls));
    }

    /// Waits for the next connection; `None` when a bound turned it away.
    ///
    /// # Errors
    /// Those of the system; mostly it is out of descriptors.
    pub async fn accept(&self) -> io::Result<Option<Knock>> {
        let (socket, address) = self.listener.accept().await?;
        let seats = self.settings.load().seats();
        let is_balancer = self.listener.is_balancer(address);
        let source = if is_balancer { Source::Balancer } else { Source::Client };
        let now = self.node.clock.now();
        let pace = if is_balancer { Ok(()) } else { self.limits.pace(address.ip(), &seats, now) };
        let admitted = pace.and_then(|()| self.limits.admit(address, source, &seats)).and_then(|admitted| {
            let shaking = admitted.shake(source, &seats)?;
            Ok((admitted, shaking))
        });
        match admitted {
            Ok((admitted, shaking)) => {
                Counter::HttpsConnections.one();
                let _ = socket.set_nodelay(true);
                Ok(Some(Knock(Accepted { socket, address, admitted, shaking, since: now })))
            }
            Err(reason) => {
                Counter::HttpsShed.one();
                self.listener.refuse(&self.node, address, reason, "a bound of [https] is reached");
                Ok(None)
            }
        }
    }

    /// Learns where the client is, and shakes hands; a failure is recorded.
    pub async fn shake(&self, Knock(mut accepted): Knock) -> Option<(HttpsStream, Guest)> {
        let settings = self.settings.load_full();
        let seats = settings.seats();
        let bounds = Bounds { limits: &self.limits, settings: &seats };
        if !arrival::locate(&self.node, bounds, &self.listener, &mut accepted).await {
            return None;
        }
        let Accepted { socket, address, admitted, shaking, since } = accepted;
        let scope = Arc::clone(&self.listener.scope);
        let mut peer = Peer { address, chain: None, server_name: None, tls: None, listener: scope };
        let patience = Patience {
            handshake: settings.handshake_timeout.saturating_sub(self.node.clock.now() - since),
            write: settings.write_timeout,
        };
        let stream = shake_https(&self.node, &self.tls.load(), socket, &mut peer, patience).await?;
        drop(shaking);
        Some((stream, Guest { peer, _seat: admitted }))
    }

    /// Whether `address` may ask once more within this second.
    #[must_use]
    pub fn may_ask(&self, address: IpAddr) -> bool {
        let rate = self.settings.load().max_request_rate_per_address;
        self.requests.admit(address, rate, self.node.clock.now())
    }

    /// Judges a request for a WebSocket.
    ///
    /// # Errors
    /// The answer that says what to change.
    pub fn judge(&self, request: &WebSocketRequest<'_>) -> Result<Agreed, NotAgreed> {
        websocket::judge(request, &self.listener.origins)
    }

    /// Serves MQTT on a stream whose request for a WebSocket was answered with
    /// yes, until the connection has a driver; `early` came behind the request.
    pub async fn serve_mqtt(&self, stream: HttpsStream, early: Vec<u8>, guest: &Guest) {
        let node = Arc::clone(&self.node);
        let peer = guest.peer.clone();
        Counter::ConnectionsAccepted.one();
        let settings = node.settings.load_full();
        let admitted = match node.overload.refuses() {
            Some(reason) => Err(reason),
            None => {
                let pace = node.limits.pace(guest.address(), &settings, node.clock.now());
                pace.and_then(|()| node.limits.admit(peer.address, Source::Client, &settings))
            }
        };
        match admitted {
            Ok(admitted) => {
                let framed = Framed::opened(stream.into_transport(), early);
                reception::serve_opened(node, Stream::Framed(Box::new(framed)), peer, admitted).await;
            }
            Err(reason) => self.turn_away(stream, early, &peer, reason),
        }
    }

    fn turn_away(&self, stream: HttpsStream, early: Vec<u8>, peer: &Peer, reason: Reason) {
        Counter::ConnectionsShed.one();
        let detail = "a bound on connections is reached, or the broker has too much to do";
        let refusal = Refusal::new(Stage::Accept, reason, detail, self.node.clock.wall());
        self.node.refusals.record(refusal.at(peer));
        Framed::opened(stream.into_transport(), early).close(websocket::TRY_AGAIN_LATER);
    }
}

impl HttpsSettings {
    /// The bounds of connections in the words of the other listeners.
    fn seats(&self) -> Settings {
        Settings {
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            max_connect_rate_per_address: self.max_connect_rate_per_address,
            max_handshakes: self.max_handshakes,
            max_handshakes_per_address: self.max_handshakes,
            handshake_timeout: self.handshake_timeout,
            ..Settings::default()
        }
    }
}
