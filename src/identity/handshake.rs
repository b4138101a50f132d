//! The server's side of TLS: one configuration per listener and server name.
//!
//! What lives here: versions, groups, ALPN, tickets, and the choice of a
//! configuration by ClientHello. What does not: sockets (`net`), client
//! certificates (`verifier`). Invariant: whom a handshake takes is asked of
//! the current snapshot; what it offers was read from one, and a change of that
//! or of the server's certificate makes a new set, which nobody notices who is
//! connected.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::UnixTime;

use super::admission;
use super::capture::VersionWitness;
use super::server_certificate::ServerCertificate;
use super::tickets::{TicketKeys, Tickets};
use super::trust::{Tenant, Trust};
use super::verifier::Verifier;
use crate::clock::Clock;
use crate::mqtt::TenantId;

/// The protocols that a client may name (TLS-10). A client that names only
/// others is served too: ALPN is ignored for it.
const ALPN: [&[u8]; 2] = [b"mqtt", b"x-amzn-mqtt-ca"];

pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The provider with its defaults: X25519MLKEM768 first, then X25519, P-256
/// and P-384; AES-GCM and ChaCha20 (TLS-08), those with SHA-256 first.
///
/// Most clients would choose SHA-384, which no processor of today has an
/// instruction for: its key schedule is a tenth of a full handshake.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| (is_chacha(suite.suite()), is_sha384(suite.suite())));
    Arc::new(provider)
});

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct TlsParts {
    /// The broker's certificate.
    pub certificate: ServerCertificate,
    /// The keys of session tickets.
    pub tickets: Arc<TicketKeys>,
    /// The clock that certificates are judged by.
    pub clock: Clock,
}

/// The TLS configurations of one listener under one snapshot.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    default: Pair,
    by_domain: HashMap<String, Pair>,
}

/// What one server name offers. Clients that name a protocol that we know get
/// ALPN, all others none: rustls would refuse those that offer only strange
/// ones.
#[derive(Clone, Debug)]
struct Pair {
    with_alpn: Suited,
    without_alpn: Suited,
}

/// Our order of cipher suites, or the client's: one that puts ChaCha20 first
/// says that it computes AES without the help of its processor.
#[derive(Clone, Debug)]
pub(super) struct Suited {
    our_order: Arc<ServerConfig>,
    client_order: Arc<ServerConfig>,
}

impl Suited {
    pub(super) fn new(mut config: ServerConfig) -> Self {
        let client_order = Arc::new(config.clone());
        config.ignore_client_order = true;
        Self { our_order: Arc::new(config), client_order }
    }

    pub(super) fn choose(&self, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        let known = |suite: &&CipherSuite| PROVIDER.cipher_suites.iter().any(|ours| ours.suite() == **suite);
        if offered.iter().find(known).copied().is_some_and(is_chacha) { &self.client_order } else { &self.our_order }
    }
}

const fn is_sha384(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    )
}

const fn is_chacha(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

impl ListenerTls {
    /// Builds the configurations of a listener whose clients belong to
    /// `default_tenant` unless something says otherwise.
    ///
    /// # Errors
    /// The provider lacks what TLS needs.
    pub fn new(parts: &TlsParts, trust: &Arc<Trust>, default_tenant: Option<&TenantId>) -> Result<Self, rustls::Error> {
        let snapshot = trust.current();
        let default = Pair::new(parts, trust, admission::scope(&snapshot, None, default_tenant), false)?;
        let mut by_domain = HashMap::new();
        for tenant in snapshot.tenants() {
            if let Some(domain) = &tenant.domain {
                by_domain.insert(domain.to_ascii_lowercase(), Pair::new(parts, trust, Some(tenant), true)?);
            }
        }
        Ok(Self { default, by_domain })
    }

    /// The configuration for a client, by the server name and the protocols
    /// that it offers.
    #[must_use]
    pub fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let pair = self.pair(hello.server_name());
        let known = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| ALPN.contains(&protocol)));
        let suited = if known { &pair.with_alpn } else { &pair.without_alpn };
        Arc::clone(suited.choose(hello.cipher_suites()))
    }

    /// The configuration for a client that offers no protocol.
    #[must_use]
    pub fn config_for(&self, server_name: Option<&str>) -> Arc<ServerConfig> {
        Arc::clone(&self.pair(server_name).without_alpn.our_order)
    }

    fn pair(&self, server_name: Option<&str>) -> &Pair {
        // rustls hands server names over in lower case.
        server_name.and_then(|name| self.by_domain.get(name)).unwrap_or(&self.default)
    }
}

impl Pair {
    fn new(
        parts: &TlsParts,
        trust: &Arc<Trust>,
        scope: Option<&Arc<Tenant>>,
        by_server_name: bool,
    ) -> Result<Self, rustls::Error> {
        let verifier = Verifier::new(Arc::clone(trust), scope.map(|tenant| tenant.id.clone()), by_server_name);
        let mode = scope.map_or("-", |tenant| tenant.switches.client_cert.as_str());
        let tickets = Tickets {
            keys: Arc::clone(&parts.tickets),
            scope: format!("{mode} {}", scope.map_or("-", |tenant| tenant.id.as_str())),
        };
        let clock = Arc::new(TlsClock(parts.clock.clone()));
        let mut config = ServerConfig::builder_with_details(Arc::clone(&PROVIDER), clock)
            .with_protocol_versions(VERSIONS)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(Always(Arc::clone(&parts.certificate.key))));
        config.ticketer = Arc::new(tickets);
        config.key_log = Arc::new(VersionWitness);
        // Sessions live in tickets: nothing is kept per client.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        let mut with_alpn = config.clone();
        with_alpn.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { with_alpn: Suited::new(with_alpn), without_alpn: Suited::new(config) })
    }
}

/// The same certificate for everybody (TLS-04).
pub(super) struct Always(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Always {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Always")
    }
}

/// The broker's clock, for rustls.
#[derive(Debug)]
pub(super) struct TlsClock(pub(super) Clock);

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.wall().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}
