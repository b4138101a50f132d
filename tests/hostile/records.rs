//! TLS streams that are legal and seldom: changes of keys, and an end in the
//! same breath.

use std::io::Write;

use certus::mqtt::{Qos, Version};
use rustls::version::{TLS12, TLS13};

use crate::peer::{Hello, Peer, device, publish};
use crate::stage::Stage;

/// Three messages, between them new keys, behind them close_notify, all of it
/// in one write: each of the three was said, and is delivered.
#[test]
fn what_was_said_before_close_notify_in_the_same_read_counts() {
    let stage = Stage::start();
    let mut listener = Peer::connect(stage.plain, &Hello::new("listener"));
    listener.subscribe("said", Qos::AtLeastOnce);
    for version in [&TLS12, &TLS13] {
        let config = device(stage.files.path(), "sensor-1", version);
        let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
        let stream = peer.tls();
        for number in 1..=3_u8 {
            let message = publish(Version::V5, "said", Qos::AtLeastOnce, u16::from(number), &[number]);
            stream.conn.writer().write_all(&message).unwrap();
            if std::ptr::eq(version, &TLS13) {
                stream.conn.refresh_traffic_keys().unwrap();
            }
        }
        stream.conn.send_close_notify();
        let mut bytes = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut bytes).unwrap();
        }
        stream.sock.write_all(&bytes).unwrap();
        for number in 1..=3_u8 {
            assert_eq!(listener.message().payload, [number]);
        }
        drop(peer);
        stage.await_connections(1);
    }
}

/// A client that asks for new keys again and again is answered under them, and
/// its neighbours are served.
#[test]
fn new_keys_are_answered_with_new_keys() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let config = device(stage.files.path(), "sensor-1", &TLS13);
    let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
    for round in 0..50 {
        for _ in 0..=round % 4 {
            peer.tls().conn.refresh_traffic_keys().unwrap();
        }
        peer.ping();
    }
    witnesses.are_served();
    peer.ping();
}
