//! What is asked for by one short packet and is long: retained messages.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::metrics::Gauge;

use crate::peer::{DISCONNECT, Hello, Peer, publish, subscribe};
use crate::stage::{MIB, Stage, pause, resident};

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
    all_comes(&Stage::start());
}

#[test]
fn what_the_store_alone_has_comes_as_well() {
    all_comes(&Stage::with(|settings| settings.delivery.retained_memory = 100_000));
}

fn all_comes(stage: &Stage) {
    retain(stage, 3_000);
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

/// What one subscriber saw of a topic: whether as retained, and which value.
type Seen = BTreeMap<String, Vec<(bool, u64)>>;

const TOPICS: [&str; 4] = ["race/a", "race/b", "race/c", "race/d"];

/// Retains one value behind the other in two topics until `stop`; the last one
/// says so.
fn retain_values(address: SocketAddr, topics: [&str; 2], begun: &Barrier, stop: &AtomicBool) {
    let mut says = Peer::connect(address, &Hello::new(topics[0]));
    let mut say = |value: u64, last: bool| {
        for topic in topics {
            let payload = [&value.to_be_bytes()[..], &[u8::from(last)]].concat();
            let mut packet = publish(Version::V5, topic, Qos::AtLeastOnce, 1, &payload);
            packet[0] |= 1;
            says.send(&packet).unwrap();
            assert_eq!(says.acknowledgement().1, ReasonCode::Success);
        }
    };
    say(1, false);
    begun.wait();
    let mut value = 2;
    while !stop.load(Ordering::Relaxed) {
        say(value, false);
        value += 1;
    }
    say(value, true);
}

/// Subscribes and listens, until `enough` or until every topic's last value
/// came.
fn listen(address: SocketAddr, name: &str, enough: impl Fn(&Seen) -> bool) -> Seen {
    let mut hears = Peer::connect(address, &Hello::new(name));
    hears.send(&subscribe(Version::V5, &["race/+"], Qos::AtLeastOnce)).unwrap();
    let (mut seen, mut lasts) = (Seen::new(), 0);
    while !enough(&seen) && lasts < TOPICS.len() {
        let message = hears.message();
        let (value, last) = message.payload.split_at(8);
        lasts += usize::from(last == [1]);
        let value = u64::from_be_bytes(value.try_into().unwrap());
        seen.entry(message.topic).or_default().push((message.retain, value));
    }
    hears.send(&DISCONNECT).unwrap();
    seen
}

/// Nothing falls between what was and what comes, and what comes never goes
/// back. What was is looked up last: it may be one of those that come behind it.
#[test]
fn whoever_subscribes_while_values_change_misses_none_of_them() {
    let stage = Stage::start();
    let (late, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (begun, address) = (Barrier::new(3), stage.plain);
    let seen = thread::scope(|scope| {
        scope.spawn(|| retain_values(address, [TOPICS[0], TOPICS[1]], &begun, &stop));
        scope.spawn(|| retain_values(address, [TOPICS[2], TOPICS[3]], &begun, &stop));
        begun.wait();
        let listeners = ["one", "two", "three"].map(|name| {
            let late = &late;
            scope.spawn(move || {
                let mut rounds = Vec::new();
                while !late.load(Ordering::Relaxed) {
                    let all = |seen: &Seen| seen.len() == TOPICS.len() && seen.values().all(|seen| seen.len() > 5);
                    rounds.push(listen(address, name, all));
                }
                rounds.push(listen(address, name, |_| false));
                rounds
            })
        });
        pause(Duration::from_millis(2_000));
        late.store(true, Ordering::Relaxed);
        pause(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        listeners.map(|listener| listener.join().unwrap())
    });
    for seen in seen.iter().flatten() {
        assert_eq!(seen.len(), TOPICS.len(), "each topic has a value");
        for (topic, values) in seen {
            let lives: Vec<_> = values.iter().filter(|(retain, _)| !retain).map(|(_, value)| *value).collect();
            assert!(values[0].0 && lives.len() == values.len() - 1, "one retained, and first: {topic} {values:?}");
            assert!(lives.windows(2).all(|pair| pair[1] == pair[0] + 1), "{topic} {values:?}");
            assert!(lives.first().is_none_or(|live| *live <= values[0].1 + 1), "{topic} {values:?}");
        }
    }
    assert!(seen.iter().all(|rounds| rounds.len() > 1), "none subscribed in between");
}
