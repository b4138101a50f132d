//! Peers that are slow, half there, or never read.

use std::io::Write;
use std::time::Duration;

use certus::mqtt::{Qos, Version};
use certus::telemetry::metrics::Gauge;

use crate::peer::{DISCONNECT, Hello, Peer, device, publish};
use crate::stage::{MIB, Stage, now, pause, resident};

/// TLS-11: CONNECT has its time, however it comes.
#[test]
fn one_byte_at_a_time_ends_with_the_time_for_connect() {
    let stage = Stage::with(|settings| settings.net.connect_timeout = Duration::from_millis(300));
    let mut witnesses = stage.witnesses();
    let mut peer = Peer::silent(stage.plain);
    let hello = Hello::new("drop-by-drop").bytes();
    let begun = now();
    let sent = hello.iter().take_while(|byte| {
        pause(Duration::from_millis(25));
        peer.send(&[**byte]).is_ok()
    });
    assert!(sent.count() < hello.len());
    assert!(now() - begun < Duration::from_secs(1));
    assert_eq!(peer.packet(), None);
    witnesses.are_served();
}

/// After CONNECT one byte at a time is slow, and nothing else.
#[test]
fn one_byte_at_a_time_is_served_byte_by_byte() {
    let stage = Stage::start();
    let mut hears = Peer::connect(stage.plain, &Hello::new("hears"));
    hears.subscribe("slow", Qos::AtMostOnce);
    let mut says = Peer::connect(stage.plain, &Hello::new("says"));
    for byte in publish(Version::V5, "slow", Qos::AtMostOnce, 0, b"word") {
        says.send(&[byte]).unwrap();
        pause(Duration::from_millis(2));
    }
    assert_eq!(hears.message().payload, b"word");
}

#[test]
fn half_open_handshakes_do_not_stand_in_the_way() {
    let stage = Stage::with(|settings| {
        settings.net.handshake_timeout = Duration::from_millis(800);
        settings.net.max_handshakes_per_address = 64;
    });
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    let halves: Vec<_> = (0..60)
        .map(|number| {
            let mut peer = Peer::silent(stage.tls);
            // Nothing, a piece of a ClientHello, or what is no TLS at all.
            let piece: &[u8] = [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0], &[0x16]][number % 3];
            peer.send(piece).unwrap();
            peer
        })
        .collect();
    let mut served = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
    served.ping();
    drop(served);
    stage.await_connections(0);
    drop(halves);
}

/// Memory that subscribers who never read may hold, beside the rings' bound.
fn never_read(qos: Qos, lasting: bool, tls: bool) {
    const RING: usize = MIB;
    const READERS: usize = 8;
    let stage = Stage::with(|settings| {
        (settings.delivery.ring_bytes, settings.delivery.offline_bytes) = (RING, RING);
    });
    let mut witnesses = stage.witnesses();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let mut hello = Hello::new(&format!("deaf-{number}"));
            if lasting {
                hello = hello.lasting();
            }
            let mut peer = match tls {
                true => Peer::connect_tls(stage.tls, &config, &hello),
                false => Peer::connect(stage.plain, &hello),
            };
            peer.subscribe("deaf", qos);
            peer
        })
        .collect();
    let before = resident();
    let mut says = Peer::connect(stage.plain, &Hello::new("says").v311());
    // Four times what kernel and rings take, for the slowest case.
    let bytes = publish(Version::V4, "deaf", qos, 1, &vec![3; 32 * 1024]);
    for number in 0..1_000_u32 {
        let mut packet = bytes.clone();
        if qos != Qos::AtMostOnce {
            let id = 1 + number as u16;
            packet[3 + 1 + 2 + 4..][..2].copy_from_slice(&id.to_be_bytes());
        }
        says.send(&packet).unwrap();
        if qos != Qos::AtMostOnce {
            says.acknowledgement();
        }
        if number % 200 == 0 {
            witnesses.are_served();
        }
    }
    says.ping();
    witnesses.are_served();
    let held = Gauge::ParcelBytes.value();
    assert!(held <= ((READERS + 1) * (RING + MIB)) as i64, "{} KiB in parcels", held >> 10);
    let more = resident().saturating_sub(before);
    assert!(more < READERS * 4 * MIB + 32 * MIB, "{} MiB more", more / MIB);
    drop(readers);
    says.send(&DISCONNECT).unwrap();
    stage.await_connections(2);
}

#[test]
fn subscribers_who_never_read_hold_no_more_than_their_rings_at_qos_0() {
    never_read(Qos::AtMostOnce, false, false);
}

#[test]
fn subscribers_who_never_read_hold_no_more_than_their_rings_at_qos_1() {
    never_read(Qos::AtLeastOnce, false, false);
}

#[test]
fn subscribers_who_never_read_hold_no_more_than_their_rings_at_qos_2() {
    never_read(Qos::ExactlyOnce, false, false);
}

#[test]
fn subscribers_who_never_read_hold_no_more_than_their_rings_over_tls() {
    never_read(Qos::AtMostOnce, false, true);
}

#[test]
fn lasting_sessions_that_never_read_hold_no_more_than_their_bound() {
    never_read(Qos::AtLeastOnce, true, false);
}

/// The stream ends on the TLS layer too, so that a client can tell the end
/// from an attack that cuts it off.
#[test]
fn a_client_that_disconnects_over_tls_gets_a_close_notify() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stage = Stage::start();
        let config = device(stage.files.path(), "sensor-1", version);
        let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
        peer.send(&DISCONNECT).unwrap();
        let read = std::io::Read::read(peer.tls(), &mut [0; 16]);
        assert_eq!(read.ok(), Some(0), "an end without close_notify is an error to rustls");
    }
}

/// RFC 8446 section 4.6.3
#[test]
fn keys_may_change_in_front_of_a_packet_in_the_same_read() {
    let stage = Stage::start();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
    for _ in 0..3 {
        let stream = peer.tls();
        stream.conn.refresh_traffic_keys().unwrap();
        stream.conn.writer().write_all(&crate::peer::PING).unwrap();
        stream.conn.refresh_traffic_keys().unwrap();
        let mut wire = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut wire).unwrap();
        }
        stream.sock.write_all(&wire).unwrap();
        assert_eq!(peer.packet().unwrap(), [0xD0, 0]);
    }
}

/// A socket that is closed with input that nobody has read is reset, and the
/// reason may be lost with it.
fn says_why(mut peer: Peer) {
    let mut bytes = Hello::new("again").bytes();
    bytes.extend_from_slice(&crate::peer::PING.repeat(256 * 1024));
    let sent = peer.send(&bytes);
    assert!(sent.is_ok(), "the rest was not read: {sent:?}");
    pause(Duration::from_millis(100));
    assert_eq!(peer.ending(), Some(certus::mqtt::ReasonCode::ProtocolError));
    let end = std::io::Read::read(&mut peer.socket(), &mut [0; 16]);
    assert_eq!(end.ok(), Some(0), "the stream was reset");
}

#[test]
fn the_last_words_arrive_though_the_client_sends_on() {
    let stage = Stage::start();
    says_why(Peer::connect(stage.plain, &Hello::new("breaks-a-rule")));
    stage.await_connections(0);
}

#[test]
fn the_last_words_arrive_over_tls_though_the_client_sends_on() {
    let stage = Stage::start();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    says_why(Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1")));
    stage.await_connections(0);
}

/// Whoever stays on the line is left there after a second.
#[test]
fn the_last_words_are_waited_for_a_second_at_most() {
    let stage = Stage::start();
    let mut witnesses = stage.witnesses();
    let mut peer = Peer::connect(stage.plain, &Hello::new("breaks-a-rule"));
    peer.send(&Hello::new("again").bytes()).unwrap();
    witnesses.are_served();
    stage.await_connections(2);
    assert_eq!(peer.ending(), Some(certus::mqtt::ReasonCode::ProtocolError));
}
