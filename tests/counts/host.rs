//! A broker in the test's own process, as the load generator finds one.
//!
//! What lives here: its certificates, its settings, and the arguments by which it is reached. What does not:
//! load. Invariant: every broker has its own directory, ports and CA, so that tests may run side by side.

use std::path::Path;
use std::time::Duration;

use certus::broker::{self, Broker, Durability, ServerTls, Settings};
use certus::ca;
use certus::clock::Clock;
use certus::identity::pem;
use certus::identity::switch::{AnchorKind, AnchorState, IdentityRule, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::mqtt::TenantId;
use certus::net::ListenerSettings;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A broker with a TLS and a plain listener, and a CA for devices.
pub struct Host {
    runtime: Runtime,
    broker: Broker,
    files: TempDir,
}

impl Host {
    /// Starts a broker whose settings `change` has seen, on a runtime of its own.
    pub fn start(threads: &mut Builder, clock: &Clock, change: impl FnOnce(&mut Settings)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let wanted = ca::Wanted { server: true, devices: true, server_names: &[] };
        ca::ensure(files.path(), &wanted, clock.wall()).unwrap();
        let mut settings = settings(files.path());
        change(&mut settings);
        let runtime = threads.enable_all().build().unwrap();
        let entered = runtime.enter();
        let broker = broker::start(settings, clock.clone()).unwrap();
        drop(entered);
        Self { runtime, broker, files }
    }

    /// The arguments of `certus bench` that lead here.
    pub fn reached_by(&self, plain: bool) -> Vec<String> {
        let port = self.broker.handle().listening()[usize::from(plain)].1.port().to_string();
        let file = |name: &str| self.files.path().join(name).to_str().unwrap().to_owned();
        let files = [("--cafile", "server-ca.pem"), ("--ca-cert", "device-ca.pem"), ("--ca-key", "device-ca.key")];
        let files = files.into_iter().flat_map(|(option, name)| [option.to_owned(), file(name)]);
        ["--port".to_owned(), port].into_iter().chain(files).collect()
    }

    /// Stops it and waits until it has stopped.
    pub fn stop(self) {
        self.runtime.block_on(self.broker.stop(Duration::from_secs(5)));
    }
}

fn settings(directory: &Path) -> Settings {
    let lab = TenantId::new("lab");
    let mut tenant = TenantSettings::new(lab.clone(), Profile::Open);
    tenant.switches.identity_rule = IdentityRule::ExactCn;
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
    let listener = |name: &str, tls: bool| ListenerSettings {
        name: name.to_owned(),
        bind: "127.0.0.1:0".parse().unwrap(),
        tls,
        websocket: None,
        proxies: Vec::new(),
        default_tenant: Some(lab.clone()),
    };
    Settings {
        listeners: vec![listener("tls", true), listener("plain", false)],
        server_tls: ServerTls {
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
            ca: None,
        },
        net: certus::net::Settings::default(),
        delivery: certus::delivery::Settings::default(),
        tenants: vec![tenant],
        durability: Durability::Memory,
        sealing_key_file: None,
        slow_store: None,
        https: None,
    }
}
