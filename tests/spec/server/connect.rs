//! CONNECT and CONNACK, sections 3.1 and 3.2.
//!
//! What lives here: who gets in, with which session, and what CONNACK says.
//! What does not: wills (`will`), certificates (`tests/trust`). Invariant:
//! nothing but CONNACK ever comes first.

use certus::codec::{Packet, PropertiesBuf};
use certus::mqtt::{Qos, ReasonCode, Version};

use super::client::{Client, Message};
use super::host::{Host, wait};

/// [MQTT-3.1.0-1]: anything else ends the connection, without a word
/// [MQTT-3.14.0-1] [MQTT-3.2.0-1].
#[test]
fn a_connection_that_does_not_begin_with_connect_ends_without_a_word() {
    let host = Host::start();
    for packet in [Packet::PingReq, Packet::PingResp] {
        let mut client = Client::raw(host.address(), Version::V5);
        client.send(&packet);
        client.expect_end();
    }
    let mut client = Client::raw(host.address(), Version::V5);
    client.send_message(&Message::new("t", b"early", Qos::AtMostOnce));
    client.expect_end();
}

/// [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.2-8]: success is the first packet;
/// [MQTT-3.2.0-2]: and the only CONNACK. [MQTT-3.1.0-2]: a second CONNECT is a
/// protocol error.
#[test]
fn connect_is_answered_once_and_a_second_one_ends_the_connection() {
    let host = Host::start();
    let mut client = host.dial("one").open();
    assert!(!client.connack().session_present);
    client.expect_nothing();
    client.send_bytes(&host.dial("one").bytes());
    client.expect_disconnect(ReasonCode::ProtocolError);
}

/// [MQTT-3.2.2-16]: the broker names a client that has no name, differently
/// each time [MQTT-3.1.3-6] [MQTT-3.1.3-4]; it says what it offers.
#[test]
fn an_empty_client_id_is_replaced_by_a_unique_one() {
    let host = Host::start();
    let names: Vec<String> =
        (0..2).map(|_| host.dial("").open().connack().properties.assigned_client_id().unwrap().to_owned()).collect();
    assert!(!names[0].is_empty() && names[0] != names[1], "{names:?}");
    let own = host.dial("own").open();
    assert_eq!(own.connack().properties.assigned_client_id(), None);
    assert!(own.connack().properties.receive_maximum().is_some_and(|most| most > 0));
}

/// An assigned name is a name: its session can be come back to
/// [MQTT-3.1.3-2].
#[test]
fn a_session_under_an_assigned_name_is_found_again() {
    let host = Host::start();
    let client = host.dial("").lasting().open();
    let name = client.connack().properties.assigned_client_id().unwrap().to_owned();
    client.disconnect();
    assert!(host.dial(&name).lasting().open().connack().session_present);
}

/// [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2]: Clean Start discards;
/// [MQTT-3.1.2-5] [MQTT-3.1.2-23] [MQTT-3.2.2-3]: without it the session goes
/// on, with its subscriptions and with what came meanwhile [MQTT-4.5.0-1].
/// 3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-6] [MQTT-3.2.2-2]. Also [MQTT-3.1.2-5]
/// [MQTT-3.1.4-3] [MQTT-4.1.0-2].
#[test]
fn a_session_goes_on_unless_clean_start_discards_it() {
    Host::on_both_stores(|host| {
        for version in [Version::V3, Version::V4, Version::V5] {
            let name = format!("sleeper-{version}");
            let mut client = host.dial(&name).version(version).lasting().open();
            assert!(!client.connack().session_present);
            client.subscribe("news", Qos::AtLeastOnce);
            client.disconnect();
            let mut publisher = host.dial("publisher").open();
            publisher.publish(&Message::new("news", b"missed", Qos::AtLeastOnce));
            let mut client = host.dial(&name).version(version).lasting().open();
            // MQTT 3.1 has no such flag.
            assert_eq!(client.connack().session_present, version > Version::V3);
            assert_eq!(client.receive().text(), "missed");
            publisher.publish(&Message::new("news", b"live", Qos::AtLeastOnce));
            assert_eq!(client.receive().text(), "live");
            client.disconnect();
            let mut client = host.dial(&name).version(version).open();
            assert!(!client.connack().session_present);
            publisher.publish(&Message::new("news", b"nobody", Qos::AtLeastOnce));
            client.expect_nothing();
        }
    });
}

/// [MQTT-4.1.0-2]: a session without expiry ends with its connection, one with
/// a second of it a second later; [MQTT-4.1.0-1]: never before.
#[test]
fn a_session_ends_when_its_expiry_says_so() {
    let host = Host::start();
    host.dial("a").resume().open().disconnect();
    assert!(!host.dial("a").resume().open().connack().session_present);
    let second = || host.dial("b").resume().with(|properties| properties.session_expiry(1));
    second().open().disconnect();
    let client = second().open();
    assert!(client.connack().session_present);
    client.vanish();
    wait(1300);
    assert!(!second().open().connack().session_present);
}

/// Section 3.14.2.2.2: DISCONNECT may change the expiry, but not raise it from
/// nothing.
#[test]
fn disconnect_changes_the_session_expiry() {
    let host = Host::start();
    let client = host.dial("a").lasting().open();
    client.disconnect_with(ReasonCode::Success, |properties| properties.session_expiry(0));
    assert!(!host.dial("a").resume().open().connack().session_present);
    let mut client = host.dial("b").open();
    let mut properties = PropertiesBuf::new();
    properties.session_expiry(5);
    let reason = ReasonCode::Success;
    client.send(&Packet::Disconnect(certus::codec::Disconnect { reason, properties: properties.as_properties() }));
    client.expect_disconnect(ReasonCode::ProtocolError);
}

/// Section 3.2.2.3.2: an expiry beyond what the tenant allows is shortened,
/// and CONNACK says to what.
#[test]
fn a_session_expiry_that_is_too_long_is_shortened_aloud() {
    let host = Host::start();
    let client = host.dial("a").with(|properties| properties.session_expiry(u32::MAX)).open();
    assert_eq!(client.connack().properties.session_expiry(), Some(7 * 24 * 3600));
}

/// [MQTT-3.1.4-3]: the older connection is told and closed; the newer one has
/// the session, with what was in flight.
#[test]
fn a_second_connection_of_a_client_takes_over() {
    Host::on_both_stores(|host| {
        let mut old = host.dial("twin").lasting().open();
        old.subscribe("t", Qos::AtLeastOnce);
        let mut publisher = host.dial("publisher").open();
        publisher.publish(&Message::new("t", b"unanswered", Qos::AtLeastOnce));
        let first = old.take();
        let mut new = host.dial("twin").lasting().open();
        assert!(new.connack().session_present);
        old.expect_disconnect(ReasonCode::SessionTakenOver);
        let again = new.receive();
        assert_eq!((again.dup, again.id, again.text()), (true, first.id, "unanswered"));
    });
}

/// The same with Clean Start: the old connection goes, and its session too.
#[test]
fn a_take_over_with_clean_start_begins_anew() {
    let host = Host::start();
    let mut old = host.dial("twin").lasting().open();
    old.subscribe("t", Qos::AtLeastOnce);
    let mut new = host.dial("twin").open();
    assert!(!new.connack().session_present);
    old.expect_disconnect(ReasonCode::SessionTakenOver);
    host.dial("publisher").open().publish(&Message::new("t", b"", Qos::AtLeastOnce));
    new.expect_nothing();
}

/// [MQTT-3.1.4-1] [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-3]: a CONNECT that
/// is malformed ends the connection, and nothing behind it is heard
/// [MQTT-3.1.4-6] [MQTT-3.2.2-7].
#[test]
fn a_malformed_connect_ends_the_connection_and_what_follows_is_not_heard() {
    let host = Host::start();
    let mut listener = host.dial("listener").open();
    listener.subscribe("#", Qos::AtMostOnce);
    // Reserved flag; will QoS without will; will retain without will; QoS 3.
    for flags in [0x01, 0x08, 0x20, 0x1C] {
        let mut bytes = host.dial("bad").bytes();
        bytes[9] |= flags;
        Message::new("t", b"behind", Qos::AtMostOnce).encode(Version::V5, &mut bytes);
        let mut client = Client::raw(host.address(), Version::V5);
        client.send_bytes(&bytes);
        client.expect_end();
    }
    listener.expect_nothing();
}

/// [MQTT-3.1.2-2]: an unknown level is refused so that clients of any age can
/// read it, and closed; [MQTT-3.1.2-1]: another protocol is just closed. 3.1.1
/// [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.2.2-5].
#[test]
fn unknown_levels_are_refused_and_other_protocols_closed() {
    let host = Host::start();
    let mut bytes = host.dial("later").bytes();
    bytes[8] = 6;
    let mut client = Client::raw(host.address(), Version::V4);
    client.send_bytes(&bytes);
    assert_eq!(client.frame(), [0x20, 2, 0, 1]);
    client.expect_end();
    bytes[4..8].copy_from_slice(b"MQTX");
    let mut client = Client::raw(host.address(), Version::V4);
    client.send_bytes(&bytes);
    client.expect_end();
}

/// A version that the tenant does not serve is refused in its own form
/// [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.1.4-2].
#[test]
fn a_version_that_is_not_served_is_refused_in_its_own_form() {
    let host = Host::with(|settings| {
        settings.tenants[0].switches.mqtt_levels = certus::identity::switch::MqttLevels::NONE.with(Version::V4);
    });
    assert_eq!(host.dial("five").refused(), ReasonCode::UnsupportedProtocolVersion);
    let mut client = host.dial("three").version(Version::V3).call();
    client.expect_end();
    host.dial("four").version(Version::V4).open();
}

/// [MQTT-4.12.0-1] [MQTT-3.1.4-2]: no authentication method is served;
/// [MQTT-4.12.0-6]: and none is named where none was asked for.
#[test]
fn an_authentication_method_is_refused() {
    let host = Host::start();
    let dial = host.dial("scram").with(|properties| properties.authentication_method("SCRAM-SHA-1"));
    assert_eq!(dial.refused(), ReasonCode::BadAuthenticationMethod);
    assert_eq!(host.dial("plain").open().connack().properties.authentication_method(), None);
}

/// [MQTT-3.1.3-5] [MQTT-3.1.3-8]: an identifier that a rule refuses gets 0x85
/// and the end of the connection.
#[test]
fn a_client_id_that_a_rule_refuses_gets_its_reason_code() {
    let host = Host::start();
    assert_eq!(host.dial(&"x".repeat(257)).refused(), ReasonCode::ClientIdentifierNotValid);
}

/// [MQTT-3.1.2-28]: no response information is ever returned.
#[test]
fn response_information_is_not_returned() {
    let host = Host::start();
    for wanted in [false, true] {
        let client = host.dial("a").with(|properties| properties.request_response_information(wanted)).open();
        assert_eq!(client.connack().properties.response_information(), None);
    }
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-22]: a keep alive that is too long, or none, is
/// replaced by the longest that is served.
#[test]
fn the_keep_alive_is_bounded_and_connack_says_so() {
    let host = Host::with(|settings| settings.net.max_keep_alive = 60);
    for (asked, said) in [(0, Some(60)), (61, Some(60)), (60, None), (10, None)] {
        let client = host.dial("a").keep_alive(asked).open();
        assert_eq!(client.connack().properties.server_keep_alive(), said, "{asked}");
    }
}

/// What comes in the same segment as CONNECT, before CONNACK was read, counts.
#[test]
fn packets_right_behind_connect_are_answered_behind_connack() {
    Host::on_both_stores(|host| {
        let mut bytes = host.dial("eager").lasting().bytes();
        Message::new("t", b"", Qos::AtLeastOnce).id(7).encode(Version::V5, &mut bytes);
        bytes.extend([0xC0, 0]);
        let mut client = Client::raw(host.address(), Version::V5);
        client.send_bytes(&bytes);
        assert_eq!(client.frame()[0], 0x20);
        let rest = [client.frame()[0], client.frame()[0]];
        assert!(rest == [0x40, 0xD0] || rest == [0xD0, 0x40], "{rest:x?}");
    });
}

/// [MQTT-3.14.0-1]: a breach right behind CONNECT is named behind CONNACK, or,
/// while CONNACK waits for the disk, not at all.
#[test]
fn disconnect_never_comes_before_connack() {
    for (plan, greets) in [(None, true), (Some("never"), false)] {
        let host = Host::with(|settings| settings.slow_store = plan.map(str::to_owned));
        let mut bytes = host.dial("eager").lasting().bytes();
        bytes.extend([0xD0, 0]);
        let mut client = Client::raw(host.address(), Version::V5);
        client.send_bytes(&bytes);
        if greets {
            assert_eq!(client.frame()[0], 0x20);
            client.expect_disconnect(ReasonCode::ProtocolError);
        } else {
            client.expect_end();
        }
    }
}

/// What a client published before it broke the protocol is acknowledged in
/// front of the reason.
#[test]
fn what_came_before_a_breach_is_acknowledged() {
    let host = Host::start();
    let mut client = host.dial("breaker").open();
    let mut bytes = Vec::new();
    Message::new("t", b"", Qos::AtLeastOnce).id(7).encode(Version::V5, &mut bytes);
    bytes.extend([0xD0, 0]);
    client.send_bytes(&bytes);
    assert_eq!(client.expect_ack(certus::codec::AckKind::PubAck, 7), ReasonCode::Success);
    client.expect_disconnect(ReasonCode::ProtocolError);
}
