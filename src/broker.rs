//! The composition root: makes the parts, in order, and hands out [`Handle`].

use std::path::PathBuf;

use crate::identity::tenant::TenantSettings;
use crate::{delivery, net};

/// How long an acknowledged message lasts. Source: house decisions on
/// durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Until the process ends.
    Memory,
}

/// Where the server's own certificate and key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate chain, leaf first, as PEM.
    pub certificate: PathBuf,
    /// The private key, as PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// All that a running broker is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The listening sockets.
    pub listeners: Vec<net::ListenerSettings>,
    /// Who the server is.
    pub server_tls: ServerTls,
    /// Bounds of connections.
    pub net: net::Settings,
    /// Bounds of queues.
    pub delivery: delivery::Settings,
    /// The tenants with their trust anchors.
    pub tenants: Vec<TenantSettings>,
    /// How long acknowledged messages last.
    pub durability: Durability,
    /// A debug build's store double, as a specification such as `late:5ms`.
    pub slow_store: Option<String>,
}
