//! A broker in this process, and the witness that everyone else is served.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certus::broker::{self, Durability, ServerTls};
use certus::ca::{Wanted, ensure};
use certus::clock::Clock;
use certus::identity::pem;
use certus::identity::switch::{AnchorKind, AnchorState, IdentityRule, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::mqtt::{Qos, TenantId};
use certus::net::ListenerSettings;
use certus::store::Store;
use certus::{delivery, net};
use tokio::runtime::{self, Runtime};

use crate::peer::{Hello, Peer};

/// Counters and memory belong to the process.
static ALONE: Mutex<()> = Mutex::new(());

/// How long a well-behaved client waits at most while others misbehave: a
/// second by promise, and as much again for a machine that does other work.
pub const SERVED_WITHIN: Duration = Duration::from_secs(2);

pub struct Stage {
    runtime: Runtime,
    broker: Option<broker::Broker>,
    pub settings: broker::Settings,
    pub files: tempfile::TempDir,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// On a store that outlives the broker.
    pub fn on(store: Arc<dyn Store>) -> Self {
        Self::made(|_| {}, |settings, clock| broker::start_on(settings, clock, store))
    }

    pub fn with(change: impl FnOnce(&mut broker::Settings)) -> Self {
        Self::made(change, broker::start)
    }

    /// Stops the broker, and goes on with the one that `start` makes.
    pub fn restart(mut self, start: impl FnOnce() -> broker::Broker) -> Self {
        let old = self.broker.take().unwrap();
        assert_eq!(self.runtime.block_on(old.stop(Duration::from_secs(5))), None, "connections that did not end");
        let entered = self.runtime.enter();
        let broker = start();
        drop(entered);
        (self.plain, self.tls) = addresses(&broker);
        self.broker = Some(broker);
        self
    }

    fn made(
        change: impl FnOnce(&mut broker::Settings),
        start: impl FnOnce(broker::Settings, Clock) -> Result<broker::Broker, broker::StartError>,
    ) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let files = tempfile::tempdir().unwrap();
        let wanted = Wanted { server: true, devices: true, server_names: &["localhost".to_owned()] };
        let clock = Clock::system();
        ensure(files.path(), &wanted, clock.wall()).unwrap();
        let mut settings = settings(&files);
        change(&mut settings);
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let broker = start(settings.clone(), clock).unwrap();
        drop(entered);
        let (plain, tls) = addresses(&broker);
        Self { runtime, broker: Some(broker), settings, files, plain, tls, _alone: alone }
    }

    pub fn handle(&self) -> broker::Handle {
        self.broker.as_ref().unwrap().handle()
    }

    /// Keeps both of the broker's threads from everything else.
    #[allow(clippy::disallowed_methods)]
    pub fn occupy(&self, time: Duration) {
        for _ in 0..2 {
            self.runtime.spawn(async move { std::thread::sleep(time) });
        }
    }

    /// Two clients that do no harm.
    pub fn witnesses(&self) -> Witnesses {
        let mut hears = Peer::connect(self.plain, &Hello::new("witness-hears"));
        hears.subscribe("witness/+", Qos::AtLeastOnce);
        Witnesses { says: Peer::connect(self.plain, &Hello::new("witness-says")), hears, number: 0 }
    }

    /// Waits until there are so many connections, or none of the others gives
    /// way.
    #[track_caller]
    pub fn await_connections(&self, count: usize) {
        self.await_connections_within(count, SERVED_WITHIN);
    }

    #[track_caller]
    pub fn await_connections_within(&self, count: usize, time: Duration) {
        let limit = now() + time;
        while self.handle().connection_count() != count {
            assert!(now() < limit, "{} connections, not {count}", self.handle().connection_count());
            pause(Duration::from_millis(5));
        }
    }
}

fn addresses(broker: &broker::Broker) -> (SocketAddr, SocketAddr) {
    let address = |name| broker.handle().listening().into_iter().find(|(found, _)| found == name).unwrap().1;
    (address("plain"), address("tls"))
}

fn settings(files: &tempfile::TempDir) -> broker::Settings {
    let tenant = TenantId::new("hostile");
    let listener = |name: &str, tls| ListenerSettings {
        name: name.into(),
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        tls,
        websocket: None,
        proxies: Vec::new(),
        default_tenant: Some(tenant.clone()),
    };
    let anchor = fs::read(files.path().join("device-ca.pem")).unwrap();
    let mut lab = TenantSettings::new(tenant.clone(), Profile::Open);
    lab.switches.identity_rule = IdentityRule::Any;
    lab.anchors.push(AnchorSettings {
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
    broker::Settings {
        listeners: vec![listener("plain", false), listener("tls", true)],
        server_tls: ServerTls {
            certificate: files.path().join("server.pem"),
            key: files.path().join("server.key"),
            ca: None,
        },
        net: net::Settings::default(),
        delivery: delivery::Settings::default(),
        tenants: vec![lab],
        durability: Durability::Memory,
        sealing_key_file: None,
        slow_store: None,
        https: None,
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            let left = self.runtime.block_on(broker.stop(Duration::from_secs(5)));
            if !std::thread::panicking() {
                assert_eq!(left, None, "connections that did not end");
            }
        }
    }
}

/// A publisher and a subscriber who only want to be served.
pub struct Witnesses {
    says: Peer,
    hears: Peer,
    number: u64,
}

impl Witnesses {
    /// One message of QoS 1 there and its answer back.
    #[track_caller]
    pub fn are_served(&mut self) {
        let begun = now();
        self.number += 1;
        let payload = self.number.to_be_bytes();
        self.says.publish("witness/word", Qos::AtLeastOnce, 1, &payload);
        self.says.acknowledgement();
        assert_eq!(self.hears.message().payload, payload);
        let took = now() - begun;
        assert!(took < SERVED_WITHIN, "a message took {took:?}");
    }
}

pub fn now() -> Instant {
    Clock::system().now()
}

/// A wait of the test itself; nothing of the broker runs on this thread.
#[allow(clippy::disallowed_methods)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Resident memory of this process in bytes.
pub fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

pub const MIB: usize = 1 << 20;
