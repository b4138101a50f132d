//! What is asked for by one short packet and is long: retained messages.

use std::collections::BTreeSet;

use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::metrics::Gauge;

use crate::peer::{DISCONNECT, Hello, Peer, publish, subscribe};
use crate::stage::{MIB, Stage, resident};

/// Retains `count` messages of QoS 1.
fn retain(stage: &Stage, count: u32) {
    let mut says = Peer::connect(stage.plain, &Hello::new("retains"));
    for number in 0..count {
        let mut packet = publish(Version::V5, &format!("kept/{number}"), Qos::AtLeastOnce, 1, &[1; 100]);
        packet[0] |= 1;
        says.send(&packet).unwrap();
        assert_eq!(says.acknowledgement().1, ReasonCode::Success);
    }
}

#[test]
fn who_asks_for_all_that_is_retained_and_takes_nothing_holds_a_slice_of_it() {
    const BOMBS: usize = 16;
    let stage = Stage::start();
    retain(&stage, 6_000);
    let mut witnesses = stage.witnesses();
    let before = resident();
    let bombs: Vec<_> = (0..BOMBS)
        .map(|number| {
            let mut peer = Peer::connect(stage.plain, &Hello::new(&format!("bomb-{number}")).lasting().window(1));
            for filter in ["#", "kept/#", "+/+", "kept/+"] {
                peer.send(&subscribe(Version::V5, &[filter], Qos::AtLeastOnce)).unwrap();
            }
            peer.ping();
            peer
        })
        .collect();
    witnesses.are_served();
    let stored = Gauge::StoredMessages.value();
    assert!(stored > 0 && stored <= (BOMBS * 1_100) as i64, "{stored} are stored");
    let more = resident().saturating_sub(before);
    assert!(more < 32 * MIB, "{} MiB more", more / MIB);
    drop(bombs);
}

#[test]
fn all_that_is_retained_comes_slice_by_slice_to_who_reads() {
    let stage = Stage::start();
    retain(&stage, 3_000);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut hears = Peer::connect(stage.plain, &Hello::new("hears").window(7));
        hears.send(&subscribe(Version::V5, &["kept/#"], qos)).unwrap();
        let topics: BTreeSet<_> = (0..3_000).map(|_| hears.message().topic).collect();
        assert_eq!(topics.len(), 3_000);
        hears.send(&DISCONNECT).unwrap();
    }
}

/// What a client has asked for and not got is kept while it is away.
#[test]
fn who_leaves_in_the_middle_gets_the_rest_when_it_returns() {
    let stage = Stage::start();
    retain(&stage, 3_000);
    let hello = Hello::new("comes-back").lasting().window(7);
    let mut topics = BTreeSet::new();
    let mut hears = Peer::connect(stage.plain, &hello);
    hears.send(&subscribe(Version::V5, &["kept/#"], Qos::AtLeastOnce)).unwrap();
    topics.extend((0..50).map(|_| hears.message().topic));
    drop(hears);
    stage.await_connections(0);
    let mut hears = Peer::connect(stage.plain, &hello);
    assert!(hears.present);
    while topics.len() < 3_000 {
        topics.insert(hears.message().topic);
    }
}
