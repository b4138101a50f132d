//! What a TLS handshake with a client certificate costs the broker: full and resumed, by version and kind of key.
//!
//! What lives here: the broker's own TLS configuration and verifier against a rustls client, in memory, one thread. The
//! figure is the server's CPU time alone. What does not: sockets, CONNECT, and the client's half.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "cpu_time.rs"]
mod cpu_time;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certus::bench::credentials::{Credentials, KeyKind, Mint, TlsVersion, Trust};
use certus::ca;
use certus::clock::Clock;
use certus::identity::handshake::{ListenerTls, TlsParts};
use certus::identity::pem;
use certus::identity::server_certificate::ServerCertificate;
use certus::identity::switch::{AnchorKind, AnchorState, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::identity::tickets::TicketKeys;
use certus::identity::trust::{self, TrustSnapshot};
use certus::mqtt::TenantId;
use cpu_time::CpuTime;
use criterion::{BenchmarkGroup, Criterion};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Clients that connect in turn before one is seen again.
const CLIENTS: usize = 64;

/// The broker's side.
struct Server {
    parts: TlsParts,
    tenant: TenantSettings,
}

impl Server {
    fn new(directory: &Path, certificate: &str) -> Self {
        let clock = Clock::system();
        let (chain, key) = (directory.join(format!("{certificate}.pem")), directory.join(format!("{certificate}.key")));
        let certificate = ServerCertificate::load(&chain, &key, clock.wall()).unwrap();
        let tickets = Arc::new(TicketKeys::new(clock.clone()));
        let mut tenant = TenantSettings::new(TenantId::new("lab"), Profile::Open);
        let anchor = std::fs::read(directory.join("device-ca.pem")).unwrap();
        tenant.anchors.push(AnchorSettings {
            name: "device-ca".to_owned(),
            der: pem::certificates(&anchor).unwrap().remove(0).to_vec(),
            source: "device-ca.pem".to_owned(),
            kind: AnchorKind::Configured,
            state: AnchorState::Enabled,
            proved: true,
            auto_registration: true,
            stale_crl: StaleCrl::Soft,
            crls: Vec::new(),
        });
        Self { parts: TlsParts { certificate, tickets, clock }, tenant }
    }

    /// A configuration that remembers no verdict on any client.
    fn config(&self) -> Arc<ServerConfig> {
        let trust = Arc::new(trust::Trust::new(TrustSnapshot::build(std::slice::from_ref(&self.tenant)).unwrap()));
        ListenerTls::new(&self.parts, &trust, Some(&self.tenant.id)).unwrap().config_for(None)
    }
}

fn clients(directory: &Path, key: KeyKind, version: TlsVersion, count: usize) -> Vec<Arc<ClientConfig>> {
    let mint = Mint::open(&directory.join("device-ca.pem"), &directory.join("device-ca.key"), key).unwrap();
    let credentials = Credentials::new(&Trust::Anyone, Some(version)).unwrap();
    (0..count).map(|index| credentials.client(mint.issue(&format!("pump-{index}")).unwrap()).unwrap()).collect()
}

/// One handshake, ticket included: of which kind it was, and the server's CPU time.
fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (HandshakeKind, Duration) {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut spent = Duration::ZERO;
    let mut timed = |work: &mut dyn FnMut()| {
        let begin = cpu_time::now();
        work();
        spent += cpu_time::now().saturating_sub(begin);
    };
    let mut server_side = None;
    timed(&mut || server_side = Some(ServerConnection::new(Arc::clone(server)).unwrap()));
    let mut server = server_side.unwrap();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    while client.wants_write() || server.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        timed(&mut || {
            let mut bytes = up.as_slice();
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).unwrap();
                server.process_new_packets().unwrap();
            }
            while server.wants_write() {
                server.write_tls(&mut down).unwrap();
            }
        });
        let mut bytes = down.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
        // Nothing is sent but handshakes.
        assert!(client.reader().read(&mut [0]).is_err());
        up.clear();
        down.clear();
    }
    (server.handshake_kind().unwrap(), spent)
}

/// Rows of one kind: every client is new to the broker, unless it resumes.
fn row(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    name: &str,
    server: &Server,
    clients: &[Arc<ClientConfig>],
    resumed: bool,
) {
    let is_resumed = |kind| matches!(kind, HandshakeKind::Resumed);
    let mut config = server.config();
    if resumed {
        let first = clients.iter().map(|client| shake(&config, client).0);
        assert_eq!(first.filter(|&kind| is_resumed(kind)).count(), 0, "there was no ticket yet");
    }
    let mut next = 0;
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                if next == clients.len() {
                    next = 0;
                    if !resumed {
                        config = server.config();
                    }
                }
                let client = &clients[next];
                next += 1;
                let (kind, spent) = shake(&config, client);
                assert_eq!(is_resumed(kind), resumed, "{name}");
                sum += spent;
            }
            sum
        });
    });
}

/// The same without tickets: a client's configuration keeps none.
fn forgetful(clients: &[Arc<ClientConfig>]) -> Vec<Arc<ClientConfig>> {
    let without = |client: &Arc<ClientConfig>| {
        let mut config = ClientConfig::clone(client);
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    };
    clients.iter().map(without).collect()
}

/// A certificate of the server's with an RSA key, beside the P-256 one.
fn make_rsa_server(directory: &Path) {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    std::fs::write(directory.join("rsa.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(directory.join("rsa.key"), key.serialize_pem()).unwrap();
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = ca::Wanted { server: true, devices: true, server_names: &["localhost".to_owned()] };
    ca::ensure(directory.path(), &wanted, Clock::system().wall()).unwrap();
    make_rsa_server(directory.path());
    let mut criterion = Criterion::default().with_measurement(CpuTime).configure_from_args().without_plots();
    let mut group = criterion.benchmark_group("handshake");
    for (version, words) in [(TlsVersion::V13, "TLS 1.3"), (TlsVersion::V12, "TLS 1.2")] {
        for (server, key, pair) in [
            ("server", KeyKind::Ec, "P-256"),
            ("server", KeyKind::Ed25519, "Ed25519 client"),
            ("server", KeyKind::Rsa, "RSA client"),
            ("rsa", KeyKind::Rsa, "RSA both"),
        ] {
            let server = Server::new(directory.path(), server);
            let clients = clients(directory.path(), key, version, CLIENTS);
            row(&mut group, &format!("{words} full, {pair}"), &server, &forgetful(&clients), false);
            row(&mut group, &format!("{words} resumed, {pair}"), &server, &clients, true);
        }
    }
    group.finish();
    criterion.final_summary();
}
