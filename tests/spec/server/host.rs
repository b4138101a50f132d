//! A broker in the test's own process.
//!
//! What lives here: how it is started and what it is told. What does not: the
//! client (`client`). Invariant: every broker has its own port, store and
//! sessions, so that tests may run side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use certus::broker::{self, Broker, Durability, ServerTls};
use certus::ca::{Wanted, ensure};
use certus::clock::Clock;
use certus::identity::switch::Profile;
use certus::identity::tenant::TenantSettings;
use certus::mqtt::TenantId;
use certus::net::ListenerSettings;
use certus::store::{MemoryStore, Store};
use certus::{delivery, net};
use tokio::runtime::{self, Runtime};

use super::client::Dial;

/// Lets real time pass, where the standard itself counts it.
#[allow(clippy::disallowed_methods, reason = "the test's own thread, on which no connection runs")]
pub fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

pub struct Host {
    runtime: Runtime,
    broker: Option<Broker>,
    address: SocketAddr,
    clock: Clock,
    settings: broker::Settings,
    store: Arc<MemoryStore>,
    _files: tempfile::TempDir,
}

impl Host {
    /// A broker as it is configured by default.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// A broker whose settings `change` has seen.
    pub fn with(change: impl FnOnce(&mut broker::Settings)) -> Self {
        let files = tempfile::tempdir().unwrap();
        let wanted = Wanted { server: true, devices: false, server_names: &["localhost".to_owned()] };
        let clock = Clock::system();
        ensure(files.path(), &wanted, clock.wall()).unwrap();
        let tenant = TenantId::new("spec");
        let listener = ListenerSettings {
            name: "plain".into(),
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: false,
            websocket: None,
            proxies: Vec::new(),
            default_tenant: Some(tenant.clone()),
        };
        let server_tls =
            ServerTls { certificate: files.path().join("server.pem"), key: files.path().join("server.key"), ca: None };
        let mut settings = broker::Settings {
            listeners: vec![listener],
            server_tls,
            net: net::Settings::default(),
            delivery: delivery::Settings::default(),
            tenants: vec![TenantSettings::new(tenant, Profile::Open)],
            durability: Durability::Memory,
            sealing_key_file: None,
            slow_store: None,
            https: None,
        };
        change(&mut settings);
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let store = Arc::new(MemoryStore::default());
        let broker = match (&settings.slow_store, &settings.durability) {
            (None, Durability::Memory) => {
                broker::start_on(settings.clone(), clock.clone(), Arc::clone(&store) as Arc<dyn Store>)
            }
            _ => broker::start(settings.clone(), clock.clone()),
        };
        drop(entered);
        let broker = broker.unwrap();
        let address = broker.handle().listening()[0].1;
        Self { runtime, broker: Some(broker), address, clock, settings, store, _files: files }
    }

    /// Takes the store as it is in this moment, as a kill would leave it, and
    /// starts another broker on it whose settings `change` has seen. Clients
    /// of the first one lose their connections.
    pub fn kill_and_start(&mut self, change: impl FnOnce(&mut broker::Settings)) {
        self.store = Arc::new(self.store.reopened());
        self.stop();
        change(&mut self.settings);
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let entered = self.runtime.enter();
        let broker = broker::start_on(self.settings.clone(), self.clock.clone(), store).unwrap();
        drop(entered);
        self.address = broker.handle().listening()[0].1;
        self.broker = Some(broker);
    }

    /// Lets the broker take settings that `change` has seen.
    pub fn reload(&mut self, change: impl FnOnce(&mut broker::Settings)) {
        change(&mut self.settings);
        self.broker.as_ref().unwrap().handle().reload(&self.settings).unwrap();
    }

    /// The same conversation with a store that is durable at once, and with
    /// one that lags.
    pub fn on_both_stores(conversation: impl Fn(&Self)) {
        for plan in [None, Some("late:5ms")] {
            conversation(&Self::with(|settings| settings.slow_store = plan.map(str::to_owned)));
        }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the listener with this number, from 0.
    pub fn address_of(&self, listener: usize) -> SocketAddr {
        self.broker.as_ref().unwrap().handle().listening()[listener].1
    }

    /// CONNECT of MQTT 5.0 with Clean Start, to be changed and sent.
    pub fn dial(&self, client_id: &str) -> Dial {
        Dial::new(self.address, client_id)
    }

    /// Time, to measure with.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Moves the wall time: messages expire without waiting.
    pub fn pass(&self, seconds: i64) {
        self.clock.shift_to(seconds);
    }

    /// Tells every client that the broker stops.
    pub fn stop(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.stop(Duration::from_secs(5)));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}
