//! Packets that must be accepted, as raw bytes; among them those that other
//! codecs refuse.

use crate::codec::{bytes, from_client, from_either, packet};
use certus::codec::{Ack, AckKind, Connect, Packet, peek};
use certus::mqtt::{Qos, ReasonCode, RetainHandling, SubscriptionOptions, Version};

use Version::{V3, V4, V5};

fn connect(body: &str) -> Connect<'static> {
    match from_client(V4, packet(0x10, body)) {
        Ok(Packet::Connect(connect)) => connect,
        other => panic!("{body}: {other:?}"),
    }
}

/// MQTT-CON-01: the bytes of the specification.
#[test]
fn the_example_connect_reads_as_written() {
    let input = bytes("10 10 00 04 4D 51 54 54 04 02 00 3C 00 04 70 2D 31 32");
    let Ok(Packet::Connect(connect)) = from_client(V4, input) else { panic!() };
    assert_eq!(connect.version, V4);
    assert!(connect.clean_start && !connect.bridge);
    assert_eq!((connect.keep_alive, connect.client_id), (60, "p-12"));
    assert_eq!((connect.user_name, connect.password, connect.will), (None, None, None));
}

/// MQTT-CON-01, MQTT-CON-07: three versions, and the bridge's mark.
#[test]
fn name_and_level_tell_the_version() {
    assert_eq!(connect("'MQIsdp' 03 02 00 3c 'a'").version, V3);
    assert_eq!(connect("'MQTT' 04 02 00 3c 'a'").version, V4);
    assert_eq!(connect("'MQTT' 05 02 00 3c 00 'a'").version, V5);
    let bridge = connect("'MQIsdp' 83 02 00 3c 'a'");
    assert_eq!((bridge.version, bridge.bridge), (V3, true));
    let bridge = connect("'MQTT' 84 02 00 3c 'a'");
    assert_eq!((bridge.version, bridge.bridge), (V4, true));
}

/// Sections 3.1.3.5 and 3.1.3.6: present and empty is not absent.
#[test]
fn an_empty_login_is_told_apart_from_a_missing_one() {
    let with = |flags: &str, rest: &str| {
        let connect = connect(&format!("'MQTT' 04 {flags} 00 00 'a' {rest}"));
        (connect.user_name, connect.password)
    };
    assert_eq!(with("02", ""), (None, None));
    assert_eq!(with("82", "''"), (Some(""), None));
    assert_eq!(with("c2", "'' ''"), (Some(""), Some([].as_slice())));
    let v5 = connect("'MQTT' 05 42 00 00 00 'a' 00 02 ff 00");
    assert_eq!((v5.user_name, v5.password), (None, Some([0xFF, 0x00].as_slice())));
}

/// MQTT 3.1: the remaining length is stronger than the login flags, bit 0 is
/// not used, and a repeated packet has DUP set.
#[test]
fn the_liberties_of_mqtt_3_1_are_granted() {
    let missing = connect("'MQIsdp' 03 c2 00 3c 'a'");
    assert_eq!((missing.user_name, missing.password), (None, None));
    let missing = connect("'MQIsdp' 03 c2 00 3c 'a' 'user'");
    assert_eq!((missing.user_name, missing.password), (Some("user"), None));
    assert_eq!(connect("'MQIsdp' 03 03 00 3c 'a'").client_id, "a");
    assert!(from_client(V3, packet(0x8A, "00 01 'a' 00")).is_ok());
    assert!(from_client(V3, packet(0xAA, "00 01 'a'")).is_ok());
    assert!(from_client(V3, packet(0x6A, "00 01")).is_ok());
}

/// [MQTT-3.1.2-6] [MQTT-3.1.2-9]
#[test]
fn a_will_is_read_with_its_flags() {
    let old = connect("'MQTT' 04 36 00 00 '' 'w/x' 00 02 ff 00").will.unwrap();
    assert_eq!((old.qos, old.retain, old.topic.as_str()), (Qos::ExactlyOnce, true, "w/x"));
    assert_eq!(old.payload, [0xFF, 0x00]);
    let new = connect("'MQTT' 05 0e 00 00 00 '' 05 18 00 00 00 07 'w' ''").will.unwrap();
    assert_eq!((new.qos, new.retain, new.properties.will_delay()), (Qos::AtLeastOnce, false, Some(7)));
    assert!(new.payload.is_empty());
}

/// [MQTT-1.5.4-3]: a byte order mark is a character like any other. 3.1.1
/// [MQTT-1.5.3-3].
#[test]
fn a_byte_order_mark_is_kept() {
    let Ok(Packet::Publish(publish)) = from_client(V4, packet(0x30, "00 04 ef bb bf 61")) else { panic!() };
    assert_eq!(publish.topic.unwrap().as_str(), "\u{FEFF}a");
}

/// [MQTT-2.2.1-2] and section 3.3. 3.1.1 [MQTT-2.3.1-5].
#[test]
fn publish_is_read_with_all_its_parts() {
    let Ok(Packet::Publish(publish)) = from_client(V4, packet(0x3B, "'a//B' 00 0a 68 69")) else { panic!() };
    assert!(publish.dup && publish.retain);
    assert_eq!((publish.qos, publish.packet_id.unwrap().get()), (Qos::AtLeastOnce, 10));
    assert_eq!((publish.topic.unwrap().as_str(), publish.payload), ("a//B", b"hi".as_slice()));
    let Ok(Packet::Publish(publish)) = from_client(V4, packet(0x30, "'/'")) else { panic!() };
    assert_eq!((publish.packet_id, publish.payload.len()), (None, 0));
    let Ok(Packet::Publish(publish)) = from_client(V5, packet(0x34, "'' 00 01 03 23 00 05 78")) else { panic!() };
    assert_eq!((publish.topic, publish.topic_alias.unwrap().get(), publish.payload), (None, 5, b"x".as_slice()));
    let Ok(Packet::Publish(publish)) = from_either(V5, packet(0x30, "'a' 05 0b 01 0b ff 7f")) else { panic!() };
    assert_eq!(publish.properties.subscription_ids().collect::<Vec<_>>(), [1, 16383]);
}

/// Sections 3.4.2.1 and 3.4.2.2: reason and properties may be left out.
#[test]
fn acknowledgements_come_in_three_lengths() {
    for (first, kind) in
        [(0x40, AckKind::PubAck), (0x50, AckKind::PubRec), (0x62, AckKind::PubRel), (0x70, AckKind::PubComp)]
    {
        let id = std::num::NonZeroU16::new(7).unwrap();
        for (version, body) in [(V3, "00 07"), (V4, "00 07"), (V5, "00 07"), (V5, "00 07 00"), (V5, "00 07 00 00")] {
            let want = Packet::Ack(Ack::new(kind, id, ReasonCode::Success));
            assert_eq!(from_client(version, packet(first, body)), Ok(want));
        }
    }
    let Ok(Packet::Ack(ack)) = from_client(V5, packet(0x40, "00 07 87 04 1f 'r'")) else { panic!() };
    assert_eq!((ack.reason, ack.properties.reason_string()), (ReasonCode::NotAuthorized, Some("r")));
}

/// MQTT-SUB-01 and section 3.8.3.1.
#[test]
fn subscribe_lists_filters_and_options_in_order() {
    let input = bytes("82 0E 00 07 00 09 61 2F 2B 2F 74 65 6D 70 73 01");
    let Ok(Packet::Subscribe(subscribe)) = from_client(V4, input) else { panic!() };
    let entries: Vec<_> = subscribe.filters.iter().map(|entry| (entry.filter, entry.options)).collect();
    assert_eq!(entries, [("a/+/temps", SubscriptionOptions::of_qos(Qos::AtLeastOnce))]);

    let body = "00 01 02 0b 05 '$share/g/a/#' 2a '+' 1d";
    let Ok(Packet::Subscribe(subscribe)) = from_client(V5, packet(0x82, body)) else { panic!() };
    assert_eq!(subscribe.properties.subscription_ids().collect::<Vec<_>>(), [5]);
    let [shared, plain] = subscribe.filters.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(shared.filter, "$share/g/a/#");
    assert_eq!((shared.options.qos, shared.options.retain_handling), (Qos::ExactlyOnce, RetainHandling::Never));
    assert!(plain.options.no_local && plain.options.retain_as_published);

    let Ok(Packet::Unsubscribe(end)) = from_client(V5, packet(0xA2, "00 01 00 'a' 'b/#'")) else { panic!() };
    assert_eq!(end.filters.iter().collect::<Vec<_>>(), ["a", "b/#"]);
}

/// Section 3.14.2: the ordinary way a client of MQTT 5.0 leaves.
#[test]
fn disconnect_may_be_empty_or_a_reason_alone() {
    for (version, body, reason) in [
        (V3, "", ReasonCode::Success),
        (V4, "", ReasonCode::Success),
        (V5, "", ReasonCode::Success),
        (V5, "00", ReasonCode::Success),
        (V5, "04", ReasonCode::DisconnectWithWill),
        (V5, "04 00", ReasonCode::DisconnectWithWill),
    ] {
        let Ok(Packet::Disconnect(disconnect)) = from_client(version, packet(0xE0, body)) else { panic!("{body}") };
        assert_eq!(disconnect.reason, reason);
    }
    let Ok(Packet::Disconnect(disconnect)) = from_client(V5, packet(0xE0, "00 05 11 00 00 00 1e")) else { panic!() };
    assert_eq!(disconnect.properties.session_expiry(), Some(30));
    let Ok(Packet::Disconnect(disconnect)) = from_either(V5, packet(0xE0, "9d 04 1c 'b'")) else { panic!() };
    assert_eq!(disconnect.properties.server_reference(), Some("b"));
}

/// Section 3.15.
#[test]
fn auth_is_read() {
    let Ok(Packet::Auth(auth)) = from_client(V5, packet(0xF0, "18 08 15 'm' 16 00 01 ff")) else { panic!() };
    assert_eq!(auth.reason, ReasonCode::ContinueAuthentication);
    assert_eq!(auth.properties.authentication_method(), Some("m"));
    assert!(from_client(V5, packet(0xF0, "19 04 15 'm'")).is_ok());
    assert!(from_either(V5, packet(0xF0, "")).is_ok());
}

/// Sections 3.12 and 3.13, and the answers of a server.
#[test]
fn pings_and_answers_are_read() {
    for version in [V3, V4, V5] {
        assert_eq!(from_client(version, bytes("c0 00")), Ok(Packet::PingReq));
        assert_eq!(from_either(version, bytes("d0 00")), Ok(Packet::PingResp));
    }
    let Ok(Packet::ConnAck(connack)) = from_either(V4, bytes("20 02 01 00")) else { panic!() };
    assert!(connack.session_present);
    let Ok(Packet::ConnAck(connack)) = from_either(V3, bytes("20 02 01 00")) else { panic!() };
    assert!(!connack.session_present, "MQTT 3.1 reserves the byte");
    let Ok(Packet::ConnAck(connack)) = from_either(V4, bytes("20 02 00 01")) else { panic!() };
    assert_eq!(connack.reason, ReasonCode::UnsupportedProtocolVersion);
    let Ok(Packet::SubAck(suback)) = from_either(V4, bytes("90 06 00 07 00 01 02 80")) else { panic!() };
    let codes: Vec<_> = suback.codes.iter().map(ReasonCode::code).collect();
    assert_eq!(codes, [0, 1, 2, 0x80]);
    assert!(from_either(V4, bytes("b0 02 00 07")).is_ok());
    assert!(from_either(V5, packet(0xB0, "00 07 00 11")).is_ok());
}

/// [MQTT-1.5.5-1]: the shortest form of every length is read.
#[test]
fn lengths_up_to_the_largest_are_read() {
    for (length, value) in
        [("00", 0), ("7f", 127), ("80 01", 128), ("ff 7f", 16383), ("80 80 01", 16384), ("80 80 80 01", 2_097_152)]
    {
        let mut input = bytes(&format!("30 {length}"));
        let header = input.len();
        input.resize(header + value, 0);
        let frame = peek(&input, usize::MAX).unwrap().unwrap();
        assert_eq!((frame.body.len(), frame.len), (value, header + value));
        if value > 0 {
            assert_eq!(peek(&input[..input.len() - 1], usize::MAX), Ok(None));
        }
    }
}
