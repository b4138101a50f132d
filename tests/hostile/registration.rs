//! Devices become known by their first connection, and stay so (AUTH-13).

use std::sync::Arc;
use std::time::Duration;

use certus::broker;
use certus::clock::Clock;
use certus::identity::certificate::Fingerprint;
use certus::mqtt::{ReasonCode, TenantId};
use certus::net::ClientFilter;
use certus::store::rows::{DeviceRow, Origin};
use certus::store::{MemoryStore, Store, Table};
use rustls::ClientConfig;

use crate::peer::{Hello, Peer, device};
use crate::stage::{Stage, now, pause};

fn tenant() -> TenantId {
    TenantId::new("hostile")
}

fn config(stage: &Stage) -> Arc<ClientConfig> {
    device(stage.files.path(), "sensor-1", &rustls::version::TLS13)
}

fn row(store: &dyn Store) -> DeviceRow {
    let row = store.get(Table::Registrations, &certus::net::device_key(&tenant(), "sensor-1")).unwrap();
    DeviceRow::decode(&row.unwrap()).unwrap()
}

#[test]
fn the_first_connection_makes_a_device_known_and_tells_of_it_once() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let stage = Stage::on(Arc::clone(&store));
    let mut followed = stage.handle().first_connections();
    let config = config(&stage);
    for _ in 0..2 {
        Peer::connect_tls(stage.tls, &config, &Hello::new("a-7")).ping();
    }
    let first = followed.try_recv().unwrap();
    assert_eq!((&*first.device, first.client_id.as_str(), first.was_registered), ("sensor-1", "a-7", false));
    assert!(followed.try_recv().is_err(), "the second connection is no first one");
    let row = row(&*store);
    assert_eq!((row.origin, row.first_seen, row.enabled), (Origin::Connection, Some(first.at), true));
    let anchor = first.anchor.unwrap();
    assert_eq!(row.anchor.map(Fingerprint), Some(anchor));
    let devices = stage.handle().devices(&tenant());
    assert_eq!((devices.len(), devices.below(anchor, "", 9)), (1, vec!["sensor-1".to_owned()]));
    // Whoever proves nothing is no device.
    Peer::connect(stage.plain, &Hello::new("c")).ping();
    assert_eq!(devices.len(), 1);
}

#[test]
fn a_device_is_known_again_after_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let stage = Stage::on(Arc::clone(&store));
    Peer::connect_tls(stage.tls, &config(&stage), &Hello::new("a")).ping();
    let settings = stage.settings.clone();
    let next = stage.restart(|| broker::start_on(settings, Clock::system(), Arc::clone(&store)).unwrap());
    let mut followed = next.handle().first_connections();
    assert!(next.handle().devices(&tenant()).contains("sensor-1"));
    Peer::connect_tls(next.tls, &config(&next), &Hello::new("a")).ping();
    assert!(followed.try_recv().is_err());
}

#[test]
fn a_device_that_is_disabled_loses_its_connection_within_a_second() {
    let stage = Stage::start();
    let (config, devices) = (config(&stage), stage.handle().devices(&tenant()));
    for _ in 0..20 {
        let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("a"));
        assert!(devices.enable("sensor-1", false));
        let changed = now();
        assert_eq!(stage.handle().recheck_concerned(), 1);
        assert_eq!(peer.ending(), Some(ReasonCode::NotAuthorized));
        stage.await_connections(0);
        assert!(now() - changed < Duration::from_secs(1));
        let mut refused = Peer::over_tls(stage.tls, &config);
        assert_eq!(refused.greet(&Hello::new("a")), Some(ReasonCode::NotAuthorized));
        assert!(devices.enable("sensor-1", true));
        drop(refused);
        stage.await_connections(0);
    }
}

/// The change races the connection on its way in: whoever comes first, nobody
/// is left.
#[test]
fn no_device_slips_past_its_removal() {
    let stage = Stage::start();
    let (config, devices) = (config(&stage), stage.handle().devices(&tenant()));
    for round in 0..60_u64 {
        devices.enable("sensor-1", true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = Peer::over_tls(stage.tls, &config);
                if peer.greet(&Hello::new("a")) == Some(ReasonCode::Success) {
                    assert!(matches!(peer.ending(), None | Some(ReasonCode::NotAuthorized)));
                }
            });
            pause(Duration::from_micros(round * 200 % 8_000));
            // Known before its first connection too, so that it can be disabled.
            let known = certus::identity::devices::Known {
                enabled: false,
                connected: true,
                anchor: None,
                last_connected: None,
            };
            devices.insert("sensor-1", known);
            let _ = stage.handle().recheck_concerned();
        });
        stage.await_connections(0);
        devices.enable("sensor-1", true);
    }
    assert_eq!(stage.handle().count_connections(&ClientFilter::default()), 0);
}

#[test]
fn a_tenant_knows_no_more_devices_than_it_may() {
    let stage = Stage::with(|settings| settings.net.max_devices = 1);
    let known =
        certus::identity::devices::Known { enabled: true, connected: false, anchor: None, last_connected: None };
    stage.handle().devices(&tenant()).insert("other", known);
    let mut refused = Peer::over_tls(stage.tls, &config(&stage));
    assert_eq!(refused.greet(&Hello::new("a")), Some(ReasonCode::NotAuthorized));
    stage.handle().devices(&tenant()).remove("other");
    Peer::connect_tls(stage.tls, &config(&stage), &Hello::new("a")).ping();
}
