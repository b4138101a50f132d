//! Whole handshakes, in memory, in both TLS versions.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use certus::clock::Clock;
use certus::identity::capture;
use certus::identity::certificate::Serial;
use certus::identity::handshake::{ListenerTls, TlsParts};
use certus::identity::path::Failure;
use certus::identity::reason::Reason;
use certus::identity::revocation::RevocationTarget;
use certus::identity::switch::{AnchorState, ClientCert, Profile, RejectAt};
use certus::identity::tenant::TenantSettings;
use certus::identity::tickets::TicketKeys;
use certus::identity::trust::{Trust, TrustSnapshot};
use certus::mqtt::TenantId;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, RootCertStore, ServerConnection, SignatureScheme,
};

use crate::pki::{chain, clock_at, days_later, der, key, noon, path, revocation, server_certificate, tenant, with};

pub const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Presents whatever it was given: rustls' own resolver would parse it, and
/// stumble over version 1.
#[derive(Debug, Default)]
pub struct Presents {
    pub key: Option<Arc<CertifiedKey>>,
    /// The names in the last CertificateRequest.
    pub hints: Mutex<Vec<Vec<u8>>>,
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.hints.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A client that presents the certificates `names` with the key `key_name`.
pub fn presents(names: &[&str], key_name: &str) -> Arc<Presents> {
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key(key_name)).unwrap();
    let key = (!names.is_empty()).then(|| Arc::new(CertifiedKey::new(chain(names), signer)));
    Arc::new(Presents { key, hints: Mutex::default() })
}

pub fn client(presents: &Arc<Presents>, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    client_of(rustls::crypto::aws_lc_rs::default_provider(), presents, version)
}

pub fn client_of(
    provider: CryptoProvider,
    presents: &Arc<Presents>,
    version: &'static rustls::SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(der("root-other")).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::clone(presents) as Arc<dyn ResolvesClientCert>);
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// A listener over one snapshot.
pub struct Listener {
    pub parts: TlsParts,
    pub trust: Arc<Trust>,
    pub snapshot: Arc<TrustSnapshot>,
    pub tls: ListenerTls,
}

impl Listener {
    pub fn new(tenants: &[TenantSettings], clock: Clock) -> Self {
        let tickets = Arc::new(TicketKeys::new(clock.clone()));
        Self::with(TlsParts { certificate: server_certificate(), tickets, clock }, tenants)
    }

    pub fn with(parts: TlsParts, tenants: &[TenantSettings]) -> Self {
        let trust = Arc::new(Trust::new(TrustSnapshot::build(tenants).unwrap()));
        let snapshot = trust.current();
        let default = snapshot.tenants().next().map(|tenant| tenant.id.clone());
        let tls = ListenerTls::new(&parts, &trust, default.as_ref()).unwrap();
        Self { parts, trust, snapshot, tls }
    }
}

/// Both ends after a handshake.
pub struct Met {
    pub client: ClientConnection,
    pub server: ServerConnection,
    pub client_error: Option<Error>,
    pub server_error: Option<Error>,
    pub failure: Option<Failure>,
}

impl Met {
    pub fn alert(&self) -> Option<AlertDescription> {
        match &self.client_error {
            Some(Error::AlertReceived(alert)) => Some(*alert),
            _ => None,
        }
    }

    pub fn reason(&self) -> Option<Reason> {
        self.failure.as_ref().map(|failure| failure.reason)
    }

    #[track_caller]
    pub fn accepted(self) -> Self {
        assert_eq!((&self.server_error, &self.client_error), (&None, &None), "{:?}", self.failure);
        assert!(!self.server.is_handshaking() && !self.client.is_handshaking());
        self
    }
}

fn carry<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) -> Result<bool, Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let moved = !wire.is_empty();
    let mut rest = &wire[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(moved)
}

/// Lets a client and a listener meet, until nobody has anything to say.
pub fn meet(config: &Arc<ClientConfig>, listener: &Listener) -> Met {
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut acceptor = rustls::server::Acceptor::default();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
    let chosen = listener.tls.choose(&accepted.client_hello());
    drop(capture::take());
    let mut server = accepted.into_connection(chosen).map_err(|(error, _)| error).unwrap();
    let (mut client_error, mut server_error) = (None, None);
    for _ in 0..10 {
        let down = carry(&mut server, &mut client);
        let up = if client_error.is_none() { carry(&mut client, &mut server) } else { Ok(false) };
        client_error = client_error.or(down.as_ref().err().cloned());
        server_error = server_error.or(up.as_ref().err().cloned());
        if matches!((&down, &up), (Ok(false), Ok(false))) {
            break;
        }
    }
    Met { client, server, client_error, server_error, failure: capture::take() }
}

fn lab(anchors: &[&str]) -> TenantSettings {
    with(tenant("lab", Profile::Open, anchors), |switches| switches.max_anchors = 0)
}

/// The certificates that rustls alone refuses, and ordinary ones beside them.
#[test]
fn every_kind_that_passes_alone_passes_in_a_handshake_of_both_versions() {
    for (root, sent, key_name) in [
        ("root", &["v1-ec"][..], "leaf"),
        ("root", &["v1-rsa"], "rsa2048"),
        ("root", &["eku-none"], "leaf"),
        ("root", &["eku-any"], "leaf"),
        ("root", &["eku-client"], "leaf"),
        ("root", &["below-sub", "sub"], "leaf"),
        ("root", &["key-rsa2048"], "rsa2048"),
        ("root", &["key-rsa4096"], "rsa4096"),
        ("root", &["key-leaf384"], "leaf384"),
        ("root", &["key-leaf521"], "leaf521"),
        ("root", &["key-ed"], "ed"),
        ("root", &["serial-negative"], "leaf"),
        ("root-p521", &["under-p521"], "leaf"),
        ("root-ed", &["under-ed"], "leaf"),
        ("self-ca", &["self-ca"], "leaf"),
        ("self-leaf", &["self-leaf"], "leaf"),
    ] {
        let listener = Listener::new(&[lab(&[root])], clock_at(noon()));
        for version in VERSIONS {
            let met = meet(&Arc::new(client(&presents(sent, key_name), version)), &listener).accepted();
            assert_eq!(met.server.peer_certificates().map(<[_]>::len), Some(sent.len()), "{sent:?} {version:?}");
        }
    }
}

/// TLS-06, and the reason that reaches the connection.
#[test]
fn refused_certificates_end_the_handshake_with_the_alert_of_their_reason() {
    for (sent, key_name, late, alert, reason) in [
        (&["foreign"][..], "leaf", false, AlertDescription::UnknownCA, Reason::UnknownIssuer),
        (&["below-sub"], "leaf", false, AlertDescription::UnknownCA, Reason::UnknownIssuer),
        (&["self-ca"], "leaf", false, AlertDescription::UnknownCA, Reason::UnknownIssuer),
        (&["short"], "leaf", true, AlertDescription::CertificateExpired, Reason::Expired),
        (&["ca-true"], "leaf", false, AlertDescription::BadCertificate, Reason::CaLeaf),
        (&["critical"], "leaf", false, AlertDescription::BadCertificate, Reason::CriticalExtension),
        (&["sha1-ec"], "leaf", false, AlertDescription::BadCertificate, Reason::WeakSignature),
        (&["eku-server"], "leaf", false, AlertDescription::UnsupportedCertificate, Reason::ExtendedKeyUsage),
        (&["eku-client"], "other", false, AlertDescription::DecryptError, Reason::WrongKey),
        (&["v1-ec"], "other", false, AlertDescription::DecryptError, Reason::WrongKey),
    ] {
        let listener = Listener::new(&[lab(&["root"])], clock_at(if late { days_later(2) } else { noon() }));
        for version in VERSIONS {
            let met = meet(&Arc::new(client(&presents(sent, key_name), version)), &listener);
            assert_eq!((met.alert(), met.reason()), (Some(alert), Some(reason)), "{sent:?} {version:?}");
            assert!(met.failure.unwrap().facts.is_some(), "{sent:?}");
        }
    }
}

/// TRUST-10
#[test]
fn a_revoked_certificate_is_told_so() {
    let mut lab = lab(&["root"]);
    lab.revocations.push(revocation(RevocationTarget::Serial { anchor: None, serial: Serial([0xFB].into()) }));
    let listener = Listener::new(&[lab], clock_at(noon()));
    for version in VERSIONS {
        let met = meet(&Arc::new(client(&presents(&["serial-negative"], "leaf"), version)), &listener);
        assert_eq!(met.alert(), Some(AlertDescription::CertificateRevoked), "{version:?}");
        meet(&Arc::new(client(&presents(&["eku-client"], "leaf"), version)), &listener).accepted();
    }
}

#[test]
fn in_cumulocity_an_unknown_issuer_is_certificate_unknown() {
    let listener = Listener::new(&[tenant("t2250", Profile::Cumulocity, &["root"])], clock_at(noon()));
    for version in VERSIONS {
        let met = meet(&Arc::new(client(&presents(&["foreign"], "leaf"), version)), &listener);
        assert_eq!(met.alert(), Some(AlertDescription::CertificateUnknown), "{version:?}");
    }
}

/// TLS-02, TLS-03
#[test]
fn a_missing_certificate_is_116_where_one_is_required_and_nothing_where_it_is_optional() {
    for version in VERSIONS {
        let config = Arc::new(client(&presents(&[], "leaf"), version));
        let met = meet(&config, &Listener::new(&[lab(&["root"])], clock_at(noon())));
        assert_eq!(met.alert(), Some(AlertDescription::CertificateRequired), "{version:?}");
        assert_eq!(met.server_error, Some(Error::NoCertificatesPresented));
        for mode in [ClientCert::Optional, ClientCert::Off] {
            let lab = with(lab(&["root"]), |switches| switches.client_cert = mode);
            let config = Arc::new(client(&presents(&[], "leaf"), version));
            meet(&config, &Listener::new(&[lab], clock_at(noon()))).accepted();
        }
    }
}

/// TLS-07
#[test]
fn reject_at_connack_lets_readable_certificates_through_with_proof_of_their_key_only() {
    let lab = with(lab(&["root"]), |switches| switches.reject_at = RejectAt::Connack);
    let listener = Listener::new(&[lab], clock_at(noon()));
    for version in VERSIONS {
        for sent in ["foreign", "eku-server", "ca-true", "self-ca"] {
            meet(&Arc::new(client(&presents(&[sent], "leaf"), version)), &listener).accepted();
        }
        let met = meet(&Arc::new(client(&presents(&["foreign"], "other"), version)), &listener);
        assert_eq!(met.reason(), Some(Reason::WrongKey), "{version:?}");
    }
}

/// TLS-12: the server name knows the tenant before the certificate does.
#[test]
fn the_server_name_chooses_the_tenant_whose_rules_hold_in_the_handshake() {
    let mut other =
        with(tenant("other", Profile::Open, &["root-rsa"]), |switches| switches.client_cert = ClientCert::Off);
    other.domain = Some("LOCALHOST".to_owned());
    let listener = Listener::new(&[lab(&["root"]), other], clock_at(noon()));
    for version in VERSIONS {
        let presents = presents(&["eku-client"], "leaf");
        let met = meet(&Arc::new(client(&presents, version)), &listener).accepted();
        assert!(met.server.peer_certificates().is_none(), "{version:?}");
    }
}

/// TLS-05
#[test]
fn the_certificate_request_names_the_enabled_anchors_or_nobody() {
    let subject = |name| certus::identity::certificate::Certificate::read(der(name)).unwrap().subject_der().to_vec();
    let named = |tenants: &[TenantSettings], version| {
        let presents = presents(&["eku-client"], "leaf");
        meet(&Arc::new(client(&presents, version)), &Listener::new(tenants, clock_at(noon()))).accepted();
        let mut hints = presents.hints.lock().unwrap().clone();
        hints.sort();
        hints
    };
    for version in VERSIONS {
        let mut disabled = lab(&["root", "root-rsa"]);
        disabled.anchors[1].state = AnchorState::Disabled;
        assert_eq!(named(&[disabled], version), [subject("root")], "{version:?}");
        let both = [subject("root"), subject("root-rsa")];
        assert_eq!(named(&[lab(&["root"]), tenant("two", Profile::Open, &["root-rsa"])], version), both);
        let hidden = with(tenant("two", Profile::Open, &["root-rsa"]), |switches| switches.send_ca_names = false);
        assert_eq!(named(&[lab(&["root"]), hidden], version), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn more_than_8_kib_of_names_are_none_at_all() {
    let mut crowded = lab(&["root"]);
    for number in 0..60 {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = format!("{number:03}{}", "x".repeat(140));
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name.clone());
        let key = rcgen::KeyPair::generate().unwrap();
        let der = parameters.self_signed(&key).unwrap().der().to_vec();
        crowded.anchors.push(certus::identity::tenant::AnchorSettings { name, der, ..crate::pki::anchor("root") });
    }
    let named = |tenant: &TenantSettings| {
        let presents = presents(&["eku-client"], "leaf");
        let listener = Listener::new(std::slice::from_ref(tenant), Clock::system());
        listener.parts.clock.shift_to(3600);
        meet(&Arc::new(client(&presents, VERSIONS[1])), &listener).accepted();
        presents.hints.lock().unwrap().len()
    };
    assert_eq!(named(&crowded), 0);
    crowded.anchors.truncate(30);
    assert_eq!(named(&crowded), 30);
}

/// TLS-10
#[test]
fn known_protocols_are_agreed_on_and_unknown_ones_ignored() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    for (offered, agreed) in [
        (&["mqtt"][..], Some("mqtt")),
        (&["x-amzn-mqtt-ca"], Some("x-amzn-mqtt-ca")),
        (&["h2", "mqtt"], Some("mqtt")),
        (&["h2"], None),
        (&[], None),
    ] {
        let mut config = client(&presents(&["eku-client"], "leaf"), VERSIONS[1]);
        config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let met = meet(&Arc::new(config), &listener).accepted();
        assert_eq!(met.server.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
    }
}

#[test]
fn the_hybrid_group_is_agreed_on_when_the_client_has_it() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    let met = meet(&Arc::new(client(&presents(&["eku-client"], "leaf"), VERSIONS[1])), &listener).accepted();
    let group = met.server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

/// A server for foreign clients: one connection per command.
#[allow(clippy::disallowed_methods)] // this test's own thread; no broker runs that could wait for it
fn serve_once(listener: &Listener) -> (u16, std::thread::JoinHandle<Result<Vec<u8>, String>>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let config = listener.tls.config_for(None);
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut server = ServerConnection::new(config).unwrap();
        let mut tls = rustls::Stream::new(&mut server, &mut stream);
        let mut said = [0; 5];
        let outcome = tls.read_exact(&mut said).map_err(|error| error.to_string());
        let _ = tls.write_all(b"heard");
        server.send_close_notify();
        let _ = server.write_tls(&mut stream);
        outcome.map(|()| said.to_vec())
    });
    (port, thread)
}

fn s_client(port: u16, arguments: &[&str], says: &str) -> String {
    let mut child = std::process::Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-ign_eof"])
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(says.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// TLS-04: who has no certificate still sees the server's.
#[test]
fn openssl_shows_the_server_chain_without_a_client_certificate() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    for version in ["-tls1_2", "-tls1_3"] {
        let (port, server) = serve_once(&listener);
        let shown = s_client(port, &["-showcerts", version], "");
        assert!(shown.contains("BEGIN CERTIFICATE") && shown.contains("CN = localhost"), "{version}: {shown}");
        assert!(server.join().unwrap().is_err(), "{version}");
    }
}

/// A client that we did not write, with the certificates that rustls as a
/// client cannot hold.
#[test]
fn openssl_connects_with_version_1_certificates_in_both_versions() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    for version in ["-tls1_2", "-tls1_3"] {
        for (certificate, key) in [("v1-ec", "leaf"), ("v1-rsa", "rsa2048"), ("eku-any", "leaf"), ("key-ed", "ed")] {
            let (port, server) = serve_once(&listener);
            let (certificate, key) = (path(&format!("{certificate}.pem")), path(&format!("{key}.key")));
            let arguments = ["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap(), version];
            let shown = s_client(port, &arguments, "hello");
            assert_eq!(server.join().unwrap().as_deref(), Ok(&b"hello"[..]), "{version} {certificate:?}: {shown}");
        }
    }
}

/// Keys that no provider of rustls can hold.
#[test]
fn openssl_is_told_bad_certificate_for_weak_and_strange_keys() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    for (certificate, key) in [("key-rsa1024", "rsa1024"), ("key-leafk1", "leafk1")] {
        let (port, server) = serve_once(&listener);
        let (certificate, key) = (path(&format!("{certificate}.pem")), path(&format!("{key}.key")));
        let arguments = [
            "-cert",
            certificate.to_str().unwrap(),
            "-key",
            key.to_str().unwrap(),
            "-tls1_2",
            "-cipher",
            "ALL:@SECLEVEL=0",
        ];
        let shown = s_client(port, &arguments, "hello");
        assert!(server.join().unwrap().is_err(), "{certificate:?}");
        assert!(shown.contains("alert") || shown.contains("no suitable"), "{certificate:?}: {shown}");
    }
}

/// What a listener's default tenant is when it has none: CONNECT decides.
#[test]
fn without_a_default_tenant_nothing_is_insisted_on_in_the_handshake() {
    let listener = Listener::new(&[lab(&["root"])], clock_at(noon()));
    let tls = ListenerTls::new(&listener.parts, &listener.trust, None).unwrap();
    let listener = Listener { tls, ..listener };
    for version in VERSIONS {
        meet(&Arc::new(client(&presents(&[], "leaf"), version)), &listener).accepted();
        let met = meet(&Arc::new(client(&presents(&["foreign"], "leaf"), version)), &listener);
        assert_eq!(met.alert(), Some(AlertDescription::UnknownCA));
    }
    let _unknown = TenantId::new("nobody");
}
