//! Packets that are small to send and dear to take.

use std::thread;
use std::time::Duration;

use certus::codec::{self, PropertiesBuf};
use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::metrics::Gauge;

use crate::peer::{Hello, PING, Peer, publish, retained, subscribe};
use crate::stage::{MIB, Stage, now, pause, resident};

/// Wildcards on every level match in more ways than there are levels.
#[test]
fn filters_of_many_wildcards_delay_nobody_else() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let mut bomber = Peer::connect(stage.plain, &Hello::new("bomber"));
    for number in 0..1_000_u32 {
        let levels = (0..20).map(|bit| if number.rotate_left(bit) & 1 == 1 { "+" } else { "a" });
        let filter = levels.chain(["z"]).collect::<Vec<_>>().join("/");
        bomber.send(&subscribe(Version::V5, &[&filter], Qos::AtMostOnce)).unwrap();
    }
    bomber.ping();
    witnesses.are_served();
    // Topics that go all the way and match nothing.
    for number in 0..200 {
        let topic = format!("{}/{number}", ["a"; 20].join("/"));
        bomber.publish(&topic, Qos::AtMostOnce, 0, b"");
    }
    witnesses.are_served();
    bomber.ping();
}

#[test]
fn a_hundred_thousand_filters_are_refused_beyond_the_bound() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let before = (resident(), Gauge::Subscriptions.value());
    let mut bomber = Peer::connect(stage.plain, &Hello::new("bomber"));
    let filters: Vec<_> = (0..100_000).map(|number| format!("f/{number}")).collect();
    for chunk in filters.chunks(10_000) {
        let names: Vec<_> = chunk.iter().map(String::as_str).collect();
        bomber.send(&subscribe(Version::V5, &names, Qos::AtMostOnce)).unwrap();
        let suback = bomber.packet().unwrap();
        assert_eq!(suback.last(), Some(&(ReasonCode::QuotaExceeded as u8)));
    }
    assert_eq!(Gauge::Subscriptions.value() - before.1, 1_000);
    assert!(resident() < before.0 + 48 * MIB);
    witnesses.are_served();
}

/// Each asks for all retained messages again.
#[test]
fn one_filter_a_hundred_thousand_times_finds_retained_messages_in_bounds() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let mut bomber = Peer::connect(stage.plain, &Hello::new("bomber"));
    for number in 0..2_000 {
        bomber.send(&retained(Version::V5, &format!("kept/{number}"), &[1; 100])).unwrap();
    }
    bomber.ping();
    let before = resident();
    let filters = vec!["kept/#"; 50_000];
    let packet = subscribe(Version::V5, &filters, Qos::AtMostOnce);
    bomber.flood(&packet, 4 * packet.len(), Duration::from_millis(100));
    for _ in 0..30 {
        witnesses.are_served();
        pause(Duration::from_millis(20));
    }
    assert!(resident() < before + 64 * MIB, "{} MiB more", (resident() - before) / MIB);
}

/// A topic may have 65,535 bytes; what a connection remembers of it counts.
#[test]
fn long_topics_are_not_remembered_without_bound() {
    let stage = Stage::start();
    let mut bomber = Peer::connect(stage.plain, &Hello::new("bomber"));
    bomber.ping();
    let before = resident();
    let long = "x".repeat(60_000);
    for number in 0..500 {
        bomber.publish(&format!("{long}{number}"), Qos::AtMostOnce, 0, b"");
    }
    bomber.ping();
    assert!(resident() < before + 16 * MIB, "{} MiB more", (resident() - before) / MIB);
}

/// Section 3.3.2.3.4
#[test]
fn aliases_out_of_range_or_never_set_end_the_connection() {
    let stage = Stage::start();
    for (alias, topic) in [(33_u16, "a"), (1, ""), (u16::MAX, "a"), (0, "a")] {
        let mut peer = Peer::connect(stage.plain, &Hello::new("alias"));
        let mut packet = vec![0x30, 6 + topic.len() as u8, 0, topic.len() as u8];
        packet.extend_from_slice(topic.as_bytes());
        packet.extend_from_slice(&[3, 0x23, (alias >> 8) as u8, alias as u8]);
        peer.send(&packet).unwrap();
        let ending = peer.ending();
        assert!(matches!(ending, Some(ReasonCode::TopicAliasInvalid | ReasonCode::ProtocolError)), "{ending:?}");
    }
}

/// Thousands of properties in one packet are passed on or refused, not kept.
#[test]
fn packets_full_of_properties_cost_no_more_than_their_bytes() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let mut hears = Peer::connect(stage.plain, &Hello::new("hears"));
    hears.subscribe("props", Qos::AtMostOnce);
    let mut properties = PropertiesBuf::new();
    for _ in 0..20_000 {
        properties.user_property("k", "v");
    }
    let publish = codec::Outgoing {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        packet_id: None,
        topic: certus::mqtt::TopicName::new("props").unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: properties.as_properties().as_bytes(),
        payload: b"end",
    };
    let mut bytes = Vec::new();
    codec::publish::encode(&mut bytes, Version::V5, &publish);
    let mut bomber = Peer::connect(stage.plain, &Hello::new("bomber"));
    let before = resident();
    thread::scope(|scope| {
        scope.spawn(|| (0..50).for_each(|_| assert_eq!(hears.message().payload, b"end")));
        for _ in 0..50 {
            bomber.send(&bytes).unwrap();
        }
        witnesses.are_served();
    });
    bomber.ping();
    assert!(resident() < before + 48 * MIB, "{} MiB more", (resident() - before) / MIB);
}

/// [MQTT-3.1.0-1]
#[test]
fn whatever_comes_before_connect_ends_the_stream_at_its_first_byte() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let early: [&[u8]; 6] =
        [&PING, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F], &[0x82], &[0x00], &[0xF0, 0], b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in early {
        let mut peer = Peer::silent(stage.plain);
        peer.send(bytes).unwrap();
        let begun = now();
        assert_eq!(peer.packet(), None, "{bytes:?}");
        assert!(now() - begun < Duration::from_secs(1), "{bytes:?}");
    }
    // A CONNECT that announces more than may come before it is judged.
    let mut peer = Peer::silent(stage.plain);
    peer.send(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]).unwrap();
    assert_eq!(peer.packet(), None);
    witnesses.are_served();
}

/// MQTT-LIM-01: the header alone decides.
#[test]
fn a_packet_above_the_limit_is_refused_before_its_body_comes() {
    let stage = Stage::start();
    let limit = stage.settings.tenants[0].switches.max_packet as usize;
    let mut peer = Peer::connect(stage.plain, &Hello::new("long"));
    let whole = publish(Version::V5, "t", Qos::AtLeastOnce, 1, &vec![0; limit - 10]);
    assert_eq!(whole.len(), limit);
    peer.send(&whole).unwrap();
    peer.acknowledgement();
    peer.send(&publish(Version::V5, "t", Qos::AtLeastOnce, 1, &vec![0; limit - 9])[..5]).unwrap();
    assert_eq!(peer.ending(), Some(ReasonCode::PacketTooLarge));
}
