//! The list of live connections, and ending one of them.

use certus::identity::certificate::Fingerprint;
use certus::identity::principal::Holder;
use certus::mqtt::{Qos, ReasonCode, TenantId, Version};
use certus::net::ClientFilter;

use crate::peer::{Hello, Peer, device};
use crate::stage::{SERVED_WITHIN, Stage, now, pause};

#[test]
fn a_connection_is_told_with_all_that_is_known_of_it() {
    let stage = Stage::start();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS12);
    let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1").lasting());
    peer.subscribe("a", Qos::AtLeastOnce);
    peer.subscribe("b/#", Qos::AtLeastOnce);
    peer.ping();
    let told = stage.handle().connections(&ClientFilter::default(), 0, 10).remove(0);
    assert_eq!((told.client_id.as_str(), told.common_name.as_deref()), ("sensor-1", Some("sensor-1")));
    assert!(matches!(&told.principal.holder, Holder::Certificate { .. }), "{told:?}");
    assert_eq!((&*told.listener, told.tls, told.version), ("tls", Some("1.2"), Version::V5));
    assert_eq!((told.subscriptions, told.queued, told.in_flight, told.clean_start), (2, 0, 0, false));
    assert!(
        told.session_expiry > 0 && !told.websocket && told.not_after.is_some() && told.since > std::time::UNIX_EPOCH
    );
    let (name, anchor) = told.anchor.clone().unwrap();
    assert_eq!((&*name, stage.handle().cut_off(anchor, 0, 10).len()), ("device-ca", 1));
    assert_eq!(stage.handle().cut_off(Fingerprint([0; 32]), 0, 10).len(), 0);
    assert_eq!(told.address, peer.socket().local_addr().unwrap());
}

#[test]
fn a_list_comes_page_by_page_and_by_what_is_asked_for() {
    let stage = Stage::start();
    let peers: Vec<Peer> =
        (0..7).map(|number| Peer::connect(stage.plain, &Hello::new(&format!("c{number}")))).collect();
    let all = ClientFilter::default();
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = stage.handle().connections(&all, after, 3);
        let Some(last) = page.last() else { break };
        after = last.id;
        assert!(page.len() <= 3 && page.is_sorted_by_key(|client| client.id));
        seen.extend(page.iter().map(|client| client.client_id.as_str().to_owned()));
    }
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
    let count = |filter: ClientFilter| stage.handle().count_connections(&filter);
    assert_eq!(count(ClientFilter { client_id: Some("c3".to_owned()), ..all.clone() }), 1);
    assert_eq!(count(ClientFilter { tenant: Some(TenantId::new("nobody")), ..all.clone() }), 0);
    assert_eq!(count(ClientFilter { listener: Some("tls".to_owned()), ..all.clone() }), 0);
    assert_eq!(count(ClientFilter { common_name: Some("c3".to_owned()), ..all.clone() }), 0);
    assert_eq!(count(all), 7);
    drop(peers);
}

/// The client reads why, its will is published, and it may come back.
#[test]
fn whoever_runs_the_broker_may_end_a_connection() {
    let stage = Stage::start();
    let mut witness = Peer::connect(stage.plain, &Hello::new("witness"));
    witness.subscribe("will", Qos::AtLeastOnce);
    let mut peer = Peer::connect(stage.plain, &Hello::new("c").will("will", Qos::AtLeastOnce));
    let filter = ClientFilter { client_id: Some("c".to_owned()), ..ClientFilter::default() };
    let id = stage.handle().connections(&filter, 0, 1)[0].id;
    assert!(stage.handle().disconnect(id, "maintenance"));
    assert_eq!(peer.ending(), Some(ReasonCode::AdministrativeAction));
    assert_eq!(witness.message().topic, "will");
    let limit = now() + SERVED_WITHIN;
    while stage.handle().disconnect(id, "again") {
        assert!(now() < limit);
        pause(std::time::Duration::from_millis(5));
    }
    Peer::connect(stage.plain, &Hello::new("c")).ping();
}
