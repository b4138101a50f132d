//! The bounds of the whole node: what all queues hold, memory, time.

use std::time::Duration;

use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::memory::Amount;
use certus::telemetry::metrics::{Counter, Gauge};

use crate::peer::{Hello, Peer, device, publish};
use crate::stage::{MIB, SERVED_WITHIN, Stage, now, pause};

/// Waits for what comes a moment later.
#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = now() + SERVED_WITHIN;
    while !is_so() {
        assert!(now() < limit, "{what}: not in time");
        pause(Duration::from_millis(5));
    }
}

/// Clients that subscribe to `deaf` and never read again.
fn deaf(stage: &Stage, count: usize, qos: Qos, lasting: bool) -> Vec<Peer> {
    let subscribed = |number| {
        let hello = Hello::new(&format!("deaf-{number}")).window(1);
        let mut peer = Peer::connect(stage.plain, &if lasting { hello.lasting() } else { hello });
        peer.subscribe("deaf", qos);
        peer
    };
    (0..count).map(subscribed).collect()
}

fn say(stage: &Stage, count: u16, qos: Qos) {
    let mut says = Peer::connect(stage.plain, &Hello::new("says"));
    for number in 1..=count {
        says.send(&publish(Version::V5, "deaf", qos, number, &[3; 32 * 1024])).unwrap();
        if qos != Qos::AtMostOnce {
            assert_eq!(says.acknowledgement().1, ReasonCode::Success);
        }
    }
    says.ping();
}

#[test]
fn all_queues_together_hold_no_more_than_the_node_may_and_who_reads_is_served() {
    let stage = Stage::with(|settings| settings.delivery.total_bytes = Amount::Bytes(4 * MIB as u64));
    let mut witnesses = stage.witnesses();
    let readers = deaf(&stage, 12, Qos::AtMostOnce, false);
    let before = Counter::DroppedNode.total();
    for _ in 0..6 {
        say(&stage, 150, Qos::AtMostOnce);
        let queued = stage.handle().queued_bytes();
        assert!(queued <= 4 * MIB as u64 + 12 * 33 * 1024, "{} KiB are queued", queued >> 10);
        witnesses.are_served();
    }
    assert!(Counter::DroppedNode.total() > before, "the bound was never met");
    drop(readers);
    stage.await_connections(2);
    soon("what was queued is given back", || stage.handle().queued_bytes() == 0);
}

#[test]
fn a_full_node_ends_the_sessions_that_read_slowly_and_keeps_the_others() {
    let stage = Stage::with(|settings| settings.delivery.total_bytes = Amount::Bytes(2 * MIB as u64));
    let mut witnesses = stage.witnesses();
    let readers = deaf(&stage, 4, Qos::AtLeastOnce, false);
    let before = Counter::QueuesFull.total();
    say(&stage, 100, Qos::AtLeastOnce);
    soon("slow readers are closed", || Counter::QueuesFull.total() - before == 4);
    witnesses.are_served();
    for mut reader in readers {
        assert_eq!(reader.ending(), Some(ReasonCode::QuotaExceeded));
    }
    stage.await_connections(2);
    soon("what was queued is given back", || stage.handle().queued_bytes() == 0);
}

/// The store of this version is memory, so what it keeps counts too.
#[test]
fn what_is_stored_in_memory_counts_for_the_node_and_the_oldest_goes() {
    let stage = Stage::with(|settings| settings.delivery.total_bytes = Amount::Bytes(2 * MIB as u64));
    let mut witnesses = stage.witnesses();
    drop(deaf(&stage, 4, Qos::AtLeastOnce, true));
    stage.await_connections(2);
    let before = Counter::DroppedNode.total();
    say(&stage, 200, Qos::AtLeastOnce);
    assert!(stage.handle().queued_bytes() <= 2 * MIB as u64 + 4 * 34 * 1024);
    assert!(Counter::DroppedNode.total() > before);
    witnesses.are_served();
    let mut back = Peer::connect(stage.plain, &Hello::new("deaf-0").lasting());
    assert!(back.present);
    assert_eq!(back.message().payload.len(), 32 * 1024);
}

/// It waits for its socket, not for its queue: it must be woken all the same.
#[test]
fn a_reader_that_stopped_is_closed_when_its_ring_is_full_and_its_memory_given_back() {
    let stage = Stage::with(|settings| settings.delivery.ring_bytes = MIB);
    let before = (Counter::SlowReaders.total(), Gauge::ParcelBytes.value());
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let mut peer = Peer::connect(stage.plain, &Hello::new(&format!("stopped-{number}")));
            peer.subscribe("deaf", Qos::AtLeastOnce);
            peer
        })
        .collect();
    say(&stage, 600, Qos::AtLeastOnce);
    soon("slow readers are closed", || Counter::SlowReaders.total() - before.0 == 3);
    soon("their parcels are gone", || Gauge::ParcelBytes.value() <= before.1);
    drop(readers);
}

#[test]
fn short_memory_turns_newcomers_away_and_serves_those_who_are_in() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let change = |most| {
        let mut settings = stage.settings.clone();
        settings.net.max_memory = most;
        stage.handle().reload(&settings).unwrap();
    };
    change(Amount::Bytes(1));
    soon("memory is short", || !stage.handle().readiness().reasons.is_empty());
    assert!(stage.handle().readiness().reasons[0].contains("memory_full"));
    let before = (Counter::ConnectionsShed.total(), Counter::PublishersPaused.total());
    assert_eq!(Peer::silent(stage.plain).greet(&Hello::new("late")), None);
    assert_eq!(Counter::ConnectionsShed.total() - before.0, 1);
    (0..2).for_each(|_| witnesses.are_served());
    assert!(Counter::PublishersPaused.total() > before.1);
    change(Amount::Percent(100));
    soon("there is room again", || stage.handle().readiness().reasons.is_empty());
    assert_eq!(Peer::silent(stage.plain).greet(&Hello::new("late")), Some(ReasonCode::Success));
}

/// A publisher that must be read, because what it sends drains its own queue.
#[test]
fn short_memory_never_stops_acknowledgements() {
    let stage = Stage::with(|settings| settings.net.max_memory = Amount::Bytes(1));
    let mut both = Peer::connect(stage.plain, &Hello::new("both").window(1));
    both.subscribe("both", Qos::AtLeastOnce);
    soon("memory is short", || !stage.handle().readiness().reasons.is_empty());
    let begun = now();
    let words = publish(Version::V5, "both", Qos::AtLeastOnce, 1, b"word");
    both.send(&words.repeat(10)).unwrap();
    (0..10).for_each(|_| assert_eq!(both.message().payload, b"word"));
    assert!(now() - begun < SERVED_WITHIN, "a message took {:?}", now() - begun);
}

#[test]
fn a_late_broker_turns_newcomers_away_until_it_is_in_time_again() {
    let stage = Stage::with(|settings| settings.net.max_lag = Duration::from_millis(400));
    let mut served = Peer::connect(stage.plain, &Hello::new("served"));
    let before = Counter::ConnectionsShed.total();
    stage.occupy(Duration::from_millis(900));
    soon("the broker is late", || stage.handle().lag() > Duration::from_millis(400));
    assert!(stage.handle().readiness().reasons[0].contains("overloaded"));
    assert_eq!(Peer::silent(stage.plain).greet(&Hello::new("late")), None);
    assert!(Counter::ConnectionsShed.total() > before);
    served.ping();
    soon("it is in time again", || stage.handle().readiness().reasons.is_empty());
    assert_eq!(Peer::silent(stage.plain).greet(&Hello::new("late")), Some(ReasonCode::Success));
}

/// More handshakes than the broker has time for.
#[test]
fn a_storm_of_handshakes_is_shed_and_those_who_are_in_are_served() {
    let stage = Stage::with(|settings| settings.net.max_handshakes_per_address = 4);
    let mut witnesses = stage.witnesses();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    let before = (Counter::ConnectionsShed.total(), Counter::HandshakesFull.total());
    let end = now() + Duration::from_millis(1_500);
    std::thread::scope(|scope| {
        for number in 0..24 {
            let (stage, config) = (&stage, &config);
            scope.spawn(move || {
                while now() < end {
                    let mut peer = Peer::over_tls(stage.tls, config);
                    // Some say no word, so that their seat stays taken a while.
                    if number % 4 == 0 {
                        pause(Duration::from_millis(50));
                    } else {
                        let _ = peer.send(&[0x10]);
                    }
                }
            });
        }
        while now() < end {
            witnesses.are_served();
            pause(Duration::from_millis(10));
        }
    });
    assert!(Counter::ConnectionsShed.total() > before.0, "nobody was turned away");
    assert!(Counter::HandshakesFull.total() > before.1, "nobody came in");
    witnesses.are_served();
}
