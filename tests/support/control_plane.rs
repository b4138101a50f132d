//! A broker with its HTTPS listener, and what tests of the API begin with:
//! tenants, accounts, tokens, certificates.
//!
//! What lives here: all fixtures, in one place. What does not: what is tested.
//! Invariant: every broker has ports, files and a store of its own, and is
//! stopped at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use certus::broker::{self, Durability, ServerTls};
use certus::ca::authority::{Caller, NewToken};
use certus::ca::{Wanted, ensure};
use certus::clock::Clock;
use certus::identity::pem;
use certus::identity::switch::{AnchorKind, AnchorState, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::mqtt::TenantId;
use certus::net::{HttpsSettings, ListenerSettings};
use certus::shutdown::Tasks;
use certus::{control, delivery, net};
use serde_json::json;
use tokio::runtime::{self, Runtime};

use crate::https_client::Client;

/// A running broker.
pub struct Plane {
    runtime: Runtime,
    broker: Option<broker::Broker>,
    answering: Tasks,
    /// Nobody in particular.
    pub anyone: Client,
    /// Who may do everything.
    pub admin: Client,
    /// MQTT without TLS.
    pub plain: SocketAddr,
    _files: tempfile::TempDir,
}

impl Plane {
    /// A broker whose configuration knows the tenant `lab` with one anchor.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same, with other settings.
    pub fn with(change: impl FnOnce(&mut broker::Settings)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let wanted = Wanted { server: true, devices: true, server_names: &["localhost".to_owned()] };
        let clock = Clock::system();
        ensure(files.path(), &wanted, clock.wall()).unwrap();
        let mut settings = settings(&files);
        change(&mut settings);
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let broker = broker::start(settings, clock).unwrap();
        let answering = Tasks::new();
        control::api::serve(&broker.handle(), &answering);
        drop(entered);
        let handle = broker.handle();
        let address = |name: &str| handle.listening().into_iter().find(|(found, _)| found == name).unwrap().1;
        let authorities = std::fs::read(files.path().join("server-ca.pem")).unwrap();
        let anyone = Client::new(address("https"), &authorities);
        let new = NewToken { name: "tests".to_owned(), scopes: vec!["admin".to_owned()], lasts: None };
        let token = runtime.block_on(handle.authority().create_token(&Caller::broker(), "", new)).unwrap();
        let admin = anyone.bearer(&token.secret);
        Self { plain: address("plain"), runtime, broker: Some(broker), answering, anyone, admin, _files: files }
    }

    /// A tenant that is made over the API.
    pub fn tenant(&self, id: &str) {
        self.admin.post("/api/v1/tenants", &json!({ "id": id, "profile": "open" })).is(201);
    }

    /// A client with a token of `tenant`, or of the whole broker when that is
    /// empty.
    pub fn token(&self, tenant: &str, scopes: &[&str]) -> Client {
        let path = if tenant.is_empty() { "/api/v1/tokens".into() } else { format!("/api/v1/tenants/{tenant}/tokens") };
        let made = self.admin.post(&path, &json!({ "name": "t", "scopes": scopes })).is(201).json();
        self.anyone.bearer(made["token"].as_str().unwrap())
    }
}

fn settings(files: &tempfile::TempDir) -> broker::Settings {
    let tenant = TenantId::new("lab");
    let mut lab = TenantSettings::new(tenant.clone(), Profile::Open);
    lab.switches.max_anchors = 3;
    let device_ca = std::fs::read(files.path().join("device-ca.pem")).unwrap();
    lab.anchors.push(AnchorSettings {
        name: "device-ca".to_owned(),
        der: pem::certificates(&device_ca).unwrap().remove(0).to_vec(),
        source: "device-ca.pem".to_owned(),
        kind: AnchorKind::Configured,
        state: AnchorState::Enabled,
        proved: true,
        auto_registration: true,
        stale_crl: StaleCrl::Soft,
        crls: Vec::new(),
    });
    let plain = ListenerSettings {
        name: "plain".into(),
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        tls: false,
        websocket: None,
        proxies: Vec::new(),
        default_tenant: Some(tenant.clone()),
    };
    let https = HttpsSettings {
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        default_tenant: Some(tenant),
        ..HttpsSettings::default()
    };
    let file = |name: &str| files.path().join(name);
    broker::Settings {
        listeners: vec![plain],
        https: Some(https),
        server_tls: ServerTls { certificate: file("server.pem"), key: file("server.key"), ca: None },
        net: net::Settings::default(),
        delivery: delivery::Settings::default(),
        tenants: vec![lab],
        durability: Durability::Memory,
        sealing_key_file: None,
        slow_store: None,
    }
}

/// A CA certificate with this CN, PEM.
pub fn authority(common_name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.self_signed(&key).unwrap().pem()
}

/// A certificate request of this CN, PEM.
pub fn request(common_name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.serialize_request(&key).unwrap().pem().unwrap()
}

impl Drop for Plane {
    fn drop(&mut self) {
        let left = self.broker.take().map(|broker| self.runtime.block_on(broker.stop(Duration::from_secs(5))));
        self.answering.stop();
        let answered = self.runtime.block_on(self.answering.drained(Duration::from_secs(5)));
        if !std::thread::panicking() {
            assert_eq!(left.flatten(), None, "connections that did not end");
            assert_eq!(answered, Ok(()), "requests that did not end");
        }
    }
}
