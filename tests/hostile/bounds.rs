//! The bounds that an operator sets, met from outside.

use std::time::Duration;

use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::metrics::{Counter, Gauge};

use crate::peer::{Hello, Peer, publish, subscribe};
use crate::stage::{Stage, now};

/// SEC-04
#[test]
fn an_address_that_connects_too_often_is_turned_away_and_others_are_not() {
    let stage = Stage::with(|settings| settings.net.max_connect_rate_per_address = 20);
    let mut served = Peer::connect(stage.plain, &Hello::new("before"));
    let before = Counter::ConnectionsShed.total();
    let answers = (0..60).filter(|_| Peer::silent(stage.plain).greet(&Hello::new("often")).is_some()).count();
    assert!((15..50).contains(&answers), "{answers} of 60 were let in");
    assert_eq!(Counter::ConnectionsShed.total() - before, 60 - answers as u64);
    // Who is in stays in, and another address comes in.
    served.ping();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let from: std::net::SocketAddr = "127.0.0.77:0".parse().unwrap();
    other.bind(&from.into()).unwrap();
    other.connect(&stage.plain.into()).unwrap();
    let mut other = Peer::over(other.into());
    assert_eq!(other.greet(&Hello::new("elsewhere")), Some(ReasonCode::Success));
}

/// MQTT-LIM-02: back-pressure first.
#[test]
fn a_client_above_its_rate_is_read_more_slowly_and_loses_nothing() {
    let stage = Stage::with(|settings| settings.net.max_publish_rate = 400);
    let mut witnesses = stage.witnesses();
    let mut says = Peer::connect(stage.plain, &Hello::new("says").v311());
    let begun = now();
    for _ in 0..8 {
        says.send(&publish(Version::V4, "much", Qos::AtLeastOnce, 1, b"").repeat(100)).unwrap();
        (0..100).for_each(|_| assert_eq!(says.acknowledgement().1, ReasonCode::Success));
    }
    // 400 at once, the other 400 within a second; a turn may be ahead.
    let took = now() - begun;
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(3), "{took:?}");
    witnesses.are_served();
    // While it is not read, it is not silent.
    says.ping();
}

/// MQTT-LIM-02: close as the last step.
#[test]
fn a_client_that_stays_above_its_rate_is_closed_with_the_reason() {
    let stage = Stage::with(|settings| {
        settings.net.max_publish_rate = 1_000;
        settings.net.publish_rate_patience = Duration::from_millis(300);
    });
    let mut witnesses = stage.witnesses();
    let mut says = Peer::connect(stage.plain, &Hello::new("says"));
    // One read of the broker may bring seven seconds' worth.
    let bytes = publish(Version::V5, "much", Qos::AtMostOnce, 0, b"").repeat(7_000);
    let begun = now();
    while now() - begun < Duration::from_secs(5) && says.send(&bytes).is_ok() {}
    assert!(now() - begun < Duration::from_secs(5), "it was never closed");
    witnesses.are_served();
    assert_eq!(Counter::PublishRates.total(), 1);
}

/// MQTT-LIM-02: what was read is no reason to take more than the rate allows,
/// and what waits meanwhile is not lost with a client that has said goodbye.
#[test]
fn a_burst_is_taken_at_the_rate_whoever_has_read_it_already() {
    let stage = Stage::with(|settings| settings.net.max_publish_rate = 1_000);
    let mut hears = Peer::connect(stage.plain, &Hello::new("hears"));
    hears.subscribe("#", Qos::AtMostOnce);
    let mut says = Peer::connect(stage.plain, &Hello::new("says").will("will", Qos::AtMostOnce));
    let mut bytes = publish(Version::V5, "much", Qos::AtMostOnce, 0, b"").repeat(3_000);
    bytes.extend_from_slice(&[0xE0, 0]);
    let begun = now();
    says.send(&bytes).unwrap();
    drop(says);
    (0..3_000).for_each(|_| assert_eq!(hears.message().topic, "much"));
    // A second's worth at once, and another two in as many seconds.
    assert!(now() - begun > Duration::from_millis(1_800), "{:?}", now() - begun);
    // It said goodbye: there is no will.
    stage.await_connections(1);
    hears.publish("end", Qos::AtMostOnce, 0, b"");
    assert_eq!(hears.message().topic, "end");
}

#[test]
fn a_tenant_has_no_more_subscriptions_than_it_may() {
    let stage = Stage::with(|settings| settings.delivery.subscriptions = 10);
    let filters: Vec<_> = (0..8).map(|number| format!("f/{number}")).collect();
    let names: Vec<_> = filters.iter().map(String::as_str).collect();
    let mut first = Peer::connect(stage.plain, &Hello::new("first"));
    let mut second = Peer::connect(stage.plain, &Hello::new("second"));
    let granted = |peer: &mut Peer| {
        peer.send(&subscribe(Version::V5, &names, Qos::AtMostOnce)).unwrap();
        let suback = peer.packet().unwrap();
        suback[suback.len() - 8..].iter().filter(|code| **code == 0).count()
    };
    assert_eq!((granted(&mut first), granted(&mut second)), (8, 2));
    // What is subscribed may be renewed; what is given back can be taken.
    assert_eq!(granted(&mut first), 8);
    drop(first);
    stage.await_connections(1);
    assert_eq!(granted(&mut second), 8);
    assert_eq!(Gauge::Subscriptions.value(), 8);
}

/// A lasting session that is connected, and never acknowledges.
#[test]
fn what_is_stored_for_a_connected_client_is_bounded_too() {
    let stage = Stage::with(|settings| {
        (settings.delivery.ring_messages, settings.delivery.offline_messages) = (300, 200);
    });
    let mut deaf = Peer::connect(stage.plain, &Hello::new("deaf").lasting().window(1));
    deaf.subscribe("deaf", Qos::AtLeastOnce);
    let mut says = Peer::connect(stage.plain, &Hello::new("says"));
    for _ in 0..20 {
        says.send(&publish(Version::V5, "deaf", Qos::AtLeastOnce, 1, b"word").repeat(50)).unwrap();
        (0..50).for_each(|_| assert_eq!(says.acknowledgement().1, ReasonCode::Success));
    }
    assert!(Gauge::StoredMessages.value() <= 500, "{} are stored", Gauge::StoredMessages.value());
    // It comes back to life and gets what was kept.
    (0..200).for_each(|_| drop(deaf.message()));
}
