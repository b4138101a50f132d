//! What the network side lets an operator choose.

use std::net::SocketAddr;
use std::time::Duration;

use crate::identity::refusals::DEFAULT_KEPT;
use crate::identity::switch::AskForCertificates;
use crate::mqtt::TenantId;
use crate::telemetry::memory::Amount;

use super::proxy_protocol::Network;

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Its name in logs and metrics, such as `tls` or `plain`.
    pub name: String,
    /// The address to bind; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// How MQTT travels in WebSocket frames, if it does.
    pub websocket: Option<WebSocketSettings>,
    /// Who has to say, by PROXY protocol 2, where its clients are. From others
    /// no such header is read.
    pub proxies: Vec<Network>,
    /// The tenant of clients whose certificate, user name and server name
    /// name none.
    pub default_tenant: Option<TenantId>,
}

/// How WebSockets are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// Web origins whose pages may connect, beside those of the same host;
    /// `*` stands for all.
    pub origins: Vec<String>,
}

/// The HTTPS listener: REST for people and machines, and MQTT over WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsSettings {
    /// The address to bind; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Whom it asks for a certificate.
    pub client_certificates: AskForCertificates,
    /// Who has to say, by PROXY protocol 2, where its clients are.
    pub proxies: Vec<Network>,
    /// Web origins whose pages may open a WebSocket, beside those of the same
    /// host; `*` stands for all.
    pub origins: Vec<String>,
    /// The tenant of MQTT clients whose certificate, user name and server name
    /// name none.
    pub default_tenant: Option<TenantId>,
    /// Connections at most.
    pub max_connections: usize,
    /// Connections at most from one address; 0 = no bound.
    pub max_connections_per_address: usize,
    /// Connections within a second from one address; 0 = no bound.
    pub max_connect_rate_per_address: u32,
    /// Requests within a second from one address; 0 = no bound.
    pub max_request_rate_per_address: u32,
    /// Handshakes in progress at most.
    pub max_handshakes: usize,
    /// A handshake must end within this time.
    pub handshake_timeout: Duration,
    /// The head of a request must be whole within this time, counted from the
    /// answer before it: an idle connection lives as long.
    pub head_timeout: Duration,
    /// A request must have been answered within this time.
    pub request_timeout: Duration,
    /// A client must read some of its answer within this time.
    pub write_timeout: Duration,
    /// How long a password that was right is taken again unchecked; zero =
    /// never.
    pub password_memory: Duration,
    /// Bytes of a request's head at most.
    pub max_head_bytes: usize,
    /// Bytes of a request's body at most, where nothing else is said.
    pub max_body_bytes: usize,
    /// Certificate requests that one address may hand in without a login in a
    /// minute; 0 is no bound (CEN-CSR-03).
    pub max_certificate_requests_per_minute: u32,
    /// Bytes of a list of devices at most.
    pub max_csv_bytes: usize,
    /// Bytes of a certificate revocation list at most.
    pub max_crl_bytes: usize,
}

impl HttpsSettings {
    /// Whether `other` differs at most in what a reload can change.
    #[must_use]
    pub fn listens_like(&self, other: &Self) -> bool {
        self.bind == other.bind
            && self.proxies == other.proxies
            && self.origins == other.origins
            && self.default_tenant == other.default_tenant
    }
}

impl Default for HttpsSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([0, 0, 0, 0], 8443)),
            client_certificates: AskForCertificates::Tools,
            proxies: Vec::new(),
            origins: Vec::new(),
            default_tenant: None,
            max_connections: 512,
            max_connections_per_address: 64,
            max_connect_rate_per_address: 0,
            max_request_rate_per_address: 0,
            max_handshakes: 64,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            password_memory: Duration::from_secs(60),
            max_head_bytes: 16 * 1024,
            max_body_bytes: 64 * 1024,
            max_certificate_requests_per_minute: 30,
            max_csv_bytes: 5 * 1024 * 1024,
            max_crl_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Bounds of connections, in the order in which a connection meets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Length of the queue of connections that the kernel holds for us.
    pub backlog: u32,
    /// Connections at most, all listeners together.
    pub max_connections: usize,
    /// Connections at most from one address; 0 = no bound.
    pub max_connections_per_address: usize,
    /// Connections within a second from one address; 0 = no bound (SEC-04).
    pub max_connect_rate_per_address: u32,
    /// Handshakes in progress at most (spec.md SEC-04).
    pub max_handshakes: usize,
    /// Handshakes in progress at most from one address.
    pub max_handshakes_per_address: usize,
    /// A handshake must end within this time (TLS-11).
    pub handshake_timeout: Duration,
    /// CONNECT must follow within this time (TLS-11).
    pub connect_timeout: Duration,
    /// Bytes at most in front of the end of CONNECT (SEC-04).
    pub max_connect_bytes: usize,
    /// Devices that a tenant knows at most; 0 = no bound. A device beyond is
    /// refused at its first connection.
    pub max_devices: usize,
    /// Passwords that are checked, or wait for it, at most.
    pub max_password_checks: usize,
    /// Resident memory above which newcomers are turned away and publishers
    /// are read less.
    pub max_memory: Amount,
    /// Refusals that are kept for people to look at.
    pub max_refusals_kept: usize,
    /// Log lines within a second about refused connections, for each reason
    /// and source network, and five times as many for each reason; 0 = no bound.
    pub max_refusal_lines: u32,
    /// How late a turn may come before newcomers are turned away.
    pub max_lag: Duration,
    /// Outgoing QoS 1 and 2 messages in flight per client (MQTT-QOS-05).
    pub max_inflight: u16,
    /// Incoming QoS 1 and 2 messages that a client may leave unfinished; the
    /// Receive Maximum that CONNACK announces.
    pub receive_maximum: u16,
    /// Topic aliases that a client may use; 0 = none.
    pub topic_alias_maximum: u16,
    /// Topic aliases that we set towards a client that takes some; 0 = none.
    pub outgoing_topic_aliases: u16,
    /// Subscriptions per client.
    pub max_subscriptions: usize,
    /// Levels of a topic or filter.
    pub max_topic_levels: usize,
    /// The longest keep alive; a longer one, or none, becomes this. 0 =
    /// clients choose freely.
    pub max_keep_alive: u16,
    /// Publications of one client within a second; 0 = no bound
    /// (MQTT-LIM-02). Who sends more is read more slowly.
    pub max_publish_rate: u32,
    /// How long a client may go on sending more than that before its
    /// connection is closed.
    pub publish_rate_patience: Duration,
    /// How often the topics below `$SYS` are told anew; zero = they are not
    /// there.
    pub sys_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backlog: 4096,
            max_connections: 100_000,
            max_connections_per_address: 0,
            max_connect_rate_per_address: 0,
            max_handshakes: 1024,
            max_handshakes_per_address: 256,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            max_connect_bytes: 64 * 1024,
            max_devices: 1_000_000,
            max_password_checks: 64,
            max_memory: Amount::Percent(80),
            max_refusals_kept: DEFAULT_KEPT,
            max_refusal_lines: 20,
            max_lag: Duration::from_secs(1),
            max_inflight: 64,
            receive_maximum: 1024,
            topic_alias_maximum: 32,
            outgoing_topic_aliases: 32,
            max_subscriptions: 1000,
            max_topic_levels: 128,
            max_keep_alive: 0,
            max_publish_rate: 0,
            publish_rate_patience: Duration::from_secs(60),
            sys_interval: Duration::from_secs(10),
        }
    }
}
