//! Peers that send more than anybody can want.

use std::io::Write;
use std::thread;
use std::time::Duration;

use certus::mqtt::{Qos, ReasonCode, Version};
use certus::telemetry::metrics::Gauge;

use crate::peer::{DISCONNECT, Hello, PING, Peer, publish, retained};
use crate::stage::{MIB, Stage, now, pause, resident};

const WHILE: Duration = Duration::from_millis(800);

/// Floods from `count` clients while the witnesses look on.
fn under(stage: &Stage, count: usize, bytes: &[u8]) {
    let mut witnesses = stage.witnesses();
    thread::scope(|scope| {
        for number in 0..count {
            let mut peer = Peer::connect(stage.plain, &Hello::new(&format!("flood-{number}")).v311());
            scope.spawn(move || {
                let end = now() + WHILE;
                while now() < end && peer.flood(bytes, MIB, Duration::from_millis(200)) > 0 {}
            });
        }
        let end = now() + WHILE;
        while now() < end {
            witnesses.are_served();
            pause(Duration::from_millis(20));
        }
    });
    witnesses.are_served();
}

#[test]
fn a_flood_of_qos_0_delays_nobody_else() {
    let stage = Stage::start();
    under(&stage, 3, &publish(Version::V4, "flood/topic", Qos::AtMostOnce, 0, &[7; 200]).repeat(64));
}

/// Its answers are not read either.
#[test]
fn a_flood_of_qos_1_delays_nobody_else() {
    let stage = Stage::start();
    let before = resident();
    under(&stage, 3, &publish(Version::V4, "flood/topic", Qos::AtLeastOnce, 9, &[7; 20]).repeat(64));
    assert!(resident() < before + 64 * MIB, "{} MiB more", (resident() - before) / MIB);
}

#[test]
fn a_flood_of_pings_without_reading_the_answers_costs_no_memory() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let mut peer = Peer::connect(stage.plain, &Hello::new("pings"));
    let before = resident();
    let sent = peer.flood(&PING.repeat(32 * 1024), 64 * MIB, Duration::from_millis(300));
    witnesses.are_served();
    assert!(resident() < before + 32 * MIB, "{} MiB more", (resident() - before) / MIB);
    assert!(sent < 64 * MIB, "who does not read the answers is read no further");
}

/// A client that reads late was read no further meanwhile, and is heard again
/// when its answers have left.
#[test]
fn answers_that_were_not_read_for_long_all_come_in_the_end() {
    const COUNT: usize = 60_000;
    let stage = Stage::start();
    let mut says = Peer::connect(stage.plain, &Hello::new("reads-late").v311());
    let socket = says.socket().try_clone().unwrap();
    let writer = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let packet = publish(Version::V4, "late", Qos::AtLeastOnce, 9, b"");
            (&socket).write_all(&packet.repeat(COUNT)).unwrap();
            (&socket).write_all(&PING).unwrap();
        });
        pause(Duration::from_millis(300));
        // PINGRESP keeps no order among acknowledgements, but comes.
        assert_eq!((0..=COUNT).filter(|_| says.packet().unwrap()[0] == 0x40).count(), COUNT);
        writer.join()
    });
    writer.unwrap();
}

#[test]
fn reconnecting_with_one_id_all_the_time_delays_nobody_else() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let end = now() + WHILE;
                while now() < end {
                    let mut peer = Peer::silent(stage.plain);
                    peer.greet(&Hello::new("flapping").lasting());
                }
            });
        }
        let end = now() + WHILE;
        while now() < end {
            witnesses.are_served();
            pause(Duration::from_millis(20));
        }
    });
    // Whoever comes last gets the session.
    let mut last = Peer::connect(stage.plain, &Hello::new("flapping").lasting());
    assert!(last.present);
    last.ping();
    last.send(&DISCONNECT).unwrap();
    stage.await_connections(2);
}

#[test]
fn a_flood_of_retained_messages_ends_at_the_bound() {
    let stage = Stage::with(|settings| {
        settings.delivery.retained_messages = 5_000;
        settings.delivery.retained_bytes = 4 * MIB;
    });
    let mut witnesses = stage.witnesses();
    let mut peer = Peer::connect(stage.plain, &Hello::new("keeper"));
    for number in 0..6_000 {
        peer.send(&retained(Version::V5, &format!("kept/{number}"), &[1; 100])).unwrap();
    }
    peer.ping();
    assert_eq!(Gauge::RetainedMessages.value(), 5_000);
    for number in 0..80 {
        peer.send(&retained(Version::V5, &format!("kept/{number}"), &[1; 64 * 1024])).unwrap();
    }
    peer.ping();
    assert!(Gauge::RetainedBytes.value() <= 4 * MIB as i64);
    let refused = {
        let mut bytes = publish(Version::V5, "kept/new", Qos::AtLeastOnce, 1, &[1; 100]);
        bytes[0] |= 1;
        peer.send(&bytes).unwrap();
        peer.acknowledgement().1
    };
    assert_eq!(refused, ReasonCode::QuotaExceeded);
    witnesses.are_served();
}
