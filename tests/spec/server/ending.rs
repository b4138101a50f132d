//! How connections end, sections 3.1.2.10, 3.12 to 3.15 and 4.13.
//!
//! What lives here: keep alive, DISCONNECT from either side, what is said
//! about malformed packets before the end. What does not: each malformed
//! packet there is (`codec_malformed`). Invariant: behind DISCONNECT comes the
//! end of the stream, and nobody else notices.

use std::time::Duration;

use certus::codec::{Auth, Packet, PropertiesBuf};
use certus::mqtt::{Qos, ReasonCode, Version};

use super::client::Message;
use super::host::{Host, wait};

/// [MQTT-3.12.4-1]. 3.1.1 [MQTT-3.12.4-1].
#[test]
fn every_ping_is_answered() {
    let host = Host::start();
    for version in [Version::V3, Version::V4, Version::V5] {
        let mut client = host.dial("a").version(version).open();
        client.send_bytes(&[0xC0, 0, 0xC0, 0, 0xC0, 0]);
        for _ in 0..3 {
            client.expect_pong();
        }
        client.expect_nothing();
    }
}

/// [MQTT-3.1.2-22] [MQTT-3.1.2-11]: one and a half times the keep alive, not
/// before, and any packet counts. 3.1.1 [MQTT-3.1.2-24].
#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    let host = Host::start();
    let mut five = host.dial("five").keep_alive(1).open();
    let mut four = host.dial("four").version(Version::V4).keep_alive(1).open();
    let mut lively = host.dial("lively").keep_alive(1).open();
    let mut patient = host.dial("patient").keep_alive(0).open();
    let mut trickling = host.dial("trickling").keep_alive(1).open();
    let begun = host.now();
    for piece in [[0x30, 100], [0, 1]] {
        wait(700);
        trickling.send_bytes(&piece);
        lively.publish(&Message::new("t", b"", Qos::AtMostOnce));
    }
    five.expect_disconnect(ReasonCode::KeepAliveTimeout);
    assert!((host.now() - begun) >= Duration::from_millis(1450), "{:?}", (host.now() - begun));
    four.expect_end();
    assert!((host.now() - begun) < Duration::from_millis(3000), "{:?}", (host.now() - begun));
    trickling.expect_disconnect(ReasonCode::KeepAliveTimeout);
    lively.expect_nothing();
    patient.expect_nothing();
}

/// [MQTT-3.1.2-21]: it is the server's keep alive that counts.
#[test]
fn the_keep_alive_of_connack_is_the_one_that_counts() {
    let host = Host::with(|settings| settings.net.max_keep_alive = 1);
    let mut client = host.dial("a").keep_alive(0).open();
    let begun = host.now();
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    assert!((host.now() - begun) < Duration::from_millis(3000), "{:?}", (host.now() - begun));
}

/// [MQTT-3.14.4-1] [MQTT-3.14.4-2] for the server's part, and section
/// 3.14.4: what comes behind a client's DISCONNECT is not heard.
#[test]
fn nothing_behind_disconnect_is_heard_or_said() {
    let host = Host::start();
    let mut reader = host.dial("reader").open();
    reader.subscribe("t", Qos::AtMostOnce);
    let mut client = host.dial("client").open();
    let mut bytes = vec![0xE0, 0];
    Message::new("t", b"behind", Qos::AtLeastOnce).id(1).encode(Version::V5, &mut bytes);
    client.send_bytes(&bytes);
    client.expect_end();
    reader.expect_nothing();
}

/// What came before DISCONNECT counts, in the same segment too.
#[test]
fn what_was_published_before_disconnect_is_delivered() {
    Host::on_both_stores(|host| {
        let mut reader = host.dial("reader").open();
        reader.subscribe("t", Qos::ExactlyOnce);
        let mut client = host.dial("client").open();
        let mut bytes = Vec::new();
        for (id, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
            Message::new("t", b"", qos).id(1 + id as u16).encode(Version::V5, &mut bytes);
        }
        bytes.extend([0xE0, 0]);
        client.send_bytes(&bytes);
        let mut seen: Vec<_> = (0..3).map(|_| reader.receive().qos).collect();
        seen.sort_unstable();
        assert_eq!(seen, [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
    });
}

/// [MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-2.1.3-1] [MQTT-3.14.1-1]
/// [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.15.1-1]: the reason is
/// said, in so far as there is one, and the stream ends; no other session
/// notices. The older versions have no words for it. 3.1.1 [MQTT-3.6.1-1]
/// [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-4.8.0-1].
#[test]
fn malformed_packets_and_breaches_are_named_before_the_end() {
    let host = Host::start();
    let mut witness = host.dial("witness").open();
    let malformed = ReasonCode::MalformedPacket;
    let protocol = ReasonCode::ProtocolError;
    let rows: [(&[u8], ReasonCode); 17] = [
        (&[0x00, 0], malformed),                                 // type 0
        (&[0xC1, 0], malformed),                                 // flags of PINGREQ
        (&[0xC0, 1, 0], malformed),                              // PINGREQ with a body
        (&[0x36, 5, 0, 1, b't', 0, 1], malformed),               // QoS 3
        (&[0x60, 2, 0, 1], malformed),                           // flags of PUBREL
        (&[0x80, 6, 0, 1, 0, 0, 1, b't'], malformed),            // flags of SUBSCRIBE
        (&[0xA0, 6, 0, 1, 0, 0, 1, b't'], malformed),            // flags of UNSUBSCRIBE
        (&[0xE1, 0], malformed),                                 // flags of DISCONNECT
        (&[0xF1, 0], malformed),                                 // flags of AUTH
        (&[0x30, 4, 0, 2, 0xC0, 0x80], malformed),               // not UTF-8
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], malformed),         // length in five bytes
        (&[0x30, 6, 0, 1, b't', 2, 0x01, 2], protocol),          // payload format 2
        (&[0x30, 8, 0, 1, b't', 4, 0x01, 0, 0x01, 0], protocol), // a property twice
        (&[0x20, 3, 0, 0, 0], protocol),                         // CONNACK
        (&[0xD0, 0], protocol),                                  // PINGRESP
        (&[0x82, 3, 0, 1, 0], protocol),                         // no filter
        (&[0xA2, 3, 0, 1, 0], protocol),                         // no filter
    ];
    for (bytes, reason) in rows {
        let mut client = host.dial("breaker").open();
        client.send_bytes(bytes);
        let frame = client.frame();
        assert_eq!((frame[0], frame[2]), (0xE0, reason.code()), "{bytes:x?}: {frame:x?}");
        client.expect_end();
        if bytes[0] != 0xF1 {
            let mut older = host.dial("breaker").version(Version::V4).open();
            older.send_bytes(if bytes[0] == 0x30 { &[0x36, 5, 0, 1, b't', 0, 1] } else { bytes });
            older.expect_end();
        }
    }
    witness.expect_nothing();
}

/// The last words arrive also when the client goes on sending.
#[test]
fn the_last_words_reach_a_client_that_is_still_sending() {
    let host = Host::start();
    let mut client = host.dial("breaker").open();
    let mut bytes = vec![0xD0, 0];
    bytes.extend([0xC0, 0].repeat(20_000));
    client.send_bytes(&bytes);
    client.expect_disconnect(ReasonCode::ProtocolError);
}

/// [MQTT-4.12.0-7] [MQTT-4.12.1-2]: AUTH without a method in CONNECT.
#[test]
fn auth_is_a_breach() {
    let host = Host::start();
    let mut properties = PropertiesBuf::new();
    properties.authentication_method("SCRAM-SHA-1");
    for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate] {
        let mut client = host.dial("a").open();
        client.send(&Packet::Auth(Auth { reason, properties: properties.as_properties() }));
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

/// [MQTT-3.14.2-2] stands in `expect_disconnect`; section 3.14.2.1: a broker
/// that stops says so.
#[test]
fn a_broker_that_stops_says_so() {
    let mut host = Host::start();
    let mut five = host.dial("five").open();
    let mut four = host.dial("four").version(Version::V4).open();
    host.stop();
    five.expect_disconnect(ReasonCode::ServerShuttingDown);
    four.expect_end();
}

/// [MQTT-3.1.2-29]: 0 leaves every reason string out of what is not CONNACK or
/// DISCONNECT; we leave it out there too.
#[test]
fn without_problem_information_only_codes_are_sent() {
    let host = Host::start();
    for wanted in [true, false] {
        let dial = || host.dial("a").with(|properties| properties.request_problem_information(wanted));
        let mut client = dial().open();
        client.send_message(&Message::new("$SYS/x", b"", Qos::AtLeastOnce).id(1));
        assert_eq!(client.frame().len(), 5, "PUBACK has a code and no text");
        client.send(&Packet::PingResp);
        let disconnect = client.frame();
        assert_eq!(disconnect.len() > 3, wanted, "{disconnect:x?}");
        let refused = dial().with(|properties| properties.authentication_method("x")).call();
        assert_eq!(refused.connack().properties.reason_string().is_some(), wanted);
    }
}
