//! Properties of MQTT 5.0 on the wire: places, repetitions, ranges.

use crate::codec::{bytes, from_client, from_either, packet, refused, refused_from_server};
use certus::codec::{DecodeError, Packet, PacketType, PropertyId};
use certus::mqtt::{TopicError, Version};

use Version::V5;

/// Every property with a valid value, and the places where the table of
/// section 2.2.2.2 has it.
const TABLE: &[(PropertyId, &str, &[&str])] = &[
    (PropertyId::PayloadFormatIndicator, "01 01", &["publish", "will"]),
    (PropertyId::MessageExpiryInterval, "02 00 00 00 00", &["publish", "will"]),
    (PropertyId::ContentType, "03 't'", &["publish", "will"]),
    (PropertyId::ResponseTopic, "08 'r'", &["publish", "will"]),
    (PropertyId::CorrelationData, "09 00 01 ff", &["publish", "will"]),
    (PropertyId::SubscriptionIdentifier, "0b 80 01", &["publish", "subscribe"]),
    (PropertyId::SessionExpiryInterval, "11 ff ff ff ff", &["connect", "connack", "disconnect"]),
    (PropertyId::AssignedClientIdentifier, "12 'c'", &["connack"]),
    (PropertyId::ServerKeepAlive, "13 00 00", &["connack"]),
    (PropertyId::AuthenticationMethod, "15 'm'", &["connect", "connack", "auth"]),
    (PropertyId::AuthenticationData, "16 00 01 00", &["connect", "connack", "auth"]),
    (PropertyId::RequestProblemInformation, "17 00", &["connect"]),
    (PropertyId::WillDelayInterval, "18 00 00 00 05", &["will"]),
    (PropertyId::RequestResponseInformation, "19 01", &["connect"]),
    (PropertyId::ResponseInformation, "1a 'r'", &["connack"]),
    (PropertyId::ServerReference, "1c 's'", &["connack", "disconnect"]),
    (PropertyId::ReasonString, "1f 'r'", &["connack", "ack", "suback", "unsuback", "disconnect", "auth"]),
    (PropertyId::ReceiveMaximum, "21 00 01", &["connect", "connack"]),
    (PropertyId::TopicAliasMaximum, "22 00 00", &["connect", "connack"]),
    (PropertyId::TopicAlias, "23 00 01", &["publish"]),
    (PropertyId::MaximumQos, "24 01", &["connack"]),
    (PropertyId::RetainAvailable, "25 00", &["connack"]),
    (PropertyId::UserProperty, "26 'n' 'v'", PLACES),
    (PropertyId::MaximumPacketSize, "27 00 00 00 01", &["connect", "connack"]),
    (PropertyId::WildcardSubscriptionAvailable, "28 00", &["connack"]),
    (PropertyId::SubscriptionIdentifierAvailable, "29 00", &["connack"]),
    (PropertyId::SharedSubscriptionAvailable, "2a 00", &["connack"]),
];

const PLACES: &[&str] = &[
    "connect",
    "connack",
    "publish",
    "will",
    "ack",
    "subscribe",
    "suback",
    "unsubscribe",
    "unsuback",
    "disconnect",
    "auth",
];

/// A packet with `properties` in `place`.
fn with(place: &str, properties: &str) -> Vec<u8> {
    let len = format!("{:02x}", bytes(properties).len());
    let block = format!("{len} {properties}");
    match place {
        "connect" => packet(0x10, &format!("'MQTT' 05 02 00 3c {block} 'a'")),
        "will" => packet(0x10, &format!("'MQTT' 05 06 00 3c 00 'a' {block} 'w' 'p'")),
        "connack" => packet(0x20, &format!("00 00 {block}")),
        "publish" => packet(0x30, &format!("'a' {block}")),
        "ack" => packet(0x40, &format!("00 01 00 {block}")),
        "subscribe" => packet(0x82, &format!("00 01 {block} 'a' 00")),
        "suback" => packet(0x90, &format!("00 01 {block} 00")),
        "unsubscribe" => packet(0xA2, &format!("00 01 {block} 'a'")),
        "unsuback" => packet(0xB0, &format!("00 01 {block} 00")),
        "disconnect" => packet(0xE0, &format!("00 {block}")),
        _ => packet(0xF0, &format!("18 {block}")),
    }
}

/// What `place` needs beside `id` to be valid.
fn company(place: &str, id: PropertyId) -> &'static str {
    match (place, id) {
        (_, PropertyId::AuthenticationMethod) => "",
        ("auth", _) | ("connect" | "connack", PropertyId::AuthenticationData) => "15 'm'",
        _ => "",
    }
}

/// Section 2.2.2.2: a property elsewhere is malformed.
#[test]
fn every_property_is_taken_where_the_table_has_it_and_nowhere_else() {
    assert_eq!(TABLE.len(), PropertyId::ALL.len());
    for (id, property, places) in TABLE {
        for place in PLACES {
            let got = from_either(V5, with(place, &format!("{} {property}", company(place, *id))));
            if places.contains(place) {
                assert!(got.is_ok(), "{id} in {place}: {got:?}");
            } else {
                let refused = matches!(got, Err(DecodeError::PropertyNotAllowed { property, .. }) if property == *id);
                assert!(refused, "{id} in {place}: {got:?}");
            }
        }
    }
}

/// Sections 3.1.2.11 to 3.15.2.2: only user properties repeat, and in a
/// server's PUBLISH the subscription identifiers.
#[test]
fn a_property_that_comes_twice_is_refused() {
    for (id, property, places) in TABLE {
        for place in *places {
            let got = from_either(V5, with(place, &format!("{} {property} {property}", company(place, *id))));
            if *id == PropertyId::UserProperty || (*id == PropertyId::SubscriptionIdentifier && *place == "publish") {
                assert!(got.is_ok(), "{id} in {place}: {got:?}");
            } else {
                assert_eq!(got, Err(DecodeError::DuplicateProperty(*id)), "{id} in {place}");
            }
        }
    }
}

/// [MQTT-3.3.2-8] [MQTT-3.3.2-14] and the ranges of sections 3.1.2.11, 3.2.2.3
/// and 3.3.2.3.
#[test]
fn values_out_of_range_are_refused() {
    for (place, property, error) in [
        ("publish", "01 02", DecodeError::PropertyValue(PropertyId::PayloadFormatIndicator)),
        ("publish", "0b 00", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier)),
        ("subscribe", "0b 00", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier)),
        ("publish", "23 00 00", DecodeError::TopicAliasZero),
        ("publish", "08 'r/+'", DecodeError::ResponseTopic(TopicError::Wildcard)),
        ("publish", "08 ''", DecodeError::ResponseTopic(TopicError::Empty)),
        ("will", "08 'r/#'", DecodeError::ResponseTopic(TopicError::Wildcard)),
        ("connect", "17 02", DecodeError::PropertyValue(PropertyId::RequestProblemInformation)),
        ("connect", "19 02", DecodeError::PropertyValue(PropertyId::RequestResponseInformation)),
        ("connect", "21 00 00", DecodeError::PropertyValue(PropertyId::ReceiveMaximum)),
        ("connect", "27 00 00 00 00", DecodeError::PropertyValue(PropertyId::MaximumPacketSize)),
        ("connack", "24 02", DecodeError::PropertyValue(PropertyId::MaximumQos)),
        ("connack", "25 02", DecodeError::PropertyValue(PropertyId::RetainAvailable)),
        ("connack", "28 02", DecodeError::PropertyValue(PropertyId::WildcardSubscriptionAvailable)),
        ("connack", "29 02", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifierAvailable)),
        ("connack", "2a 02", DecodeError::PropertyValue(PropertyId::SharedSubscriptionAvailable)),
    ] {
        assert_eq!(from_either(V5, with(place, property)), Err(error), "{place} {property}");
    }
}

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.7-1]: both strings of a pair, and
/// the rest.
#[test]
fn texts_in_properties_are_utf_8_without_null() {
    for (place, property, error) in [
        ("publish", "26 00 01 ff 'v'", DecodeError::NotUtf8),
        ("publish", "26 'n' 00 01 ff", DecodeError::NotUtf8),
        ("publish", "26 'n' 00 01 00", DecodeError::NullCharacter),
        ("publish", "03 00 01 00", DecodeError::NullCharacter),
        ("publish", "08 00 03 ed a0 80", DecodeError::NotUtf8),
        ("connect", "15 00 01 ff", DecodeError::NotUtf8),
        ("disconnect", "1f 00 01 00", DecodeError::NullCharacter),
    ] {
        assert_eq!(from_either(V5, with(place, property)), Err(error), "{place} {property}");
    }
}

/// Section 2.2.2.1; [MQTT-1.5.5-1] for the length itself.
#[test]
fn properties_that_do_not_fit_their_length_are_refused() {
    let short = DecodeError::PropertyLength(PacketType::Publish);
    refused(
        V5,
        &[
            (0x30, "'a' 05", short),
            (0x30, "'a' 02 01", short),
            (0x30, "'a' 01 01", short),
            (0x30, "'a' 04 02 00 00 00", short),
            (0x30, "'a' 03 03 00 05", short),
            (0x30, "'a' 80 00", DecodeError::LengthOverlong),
            (0x30, "'a' 01 00", DecodeError::UnknownProperty(0)),
            (0x30, "'a' 02 2b 00", DecodeError::UnknownProperty(0x2B)),
            (0x30, "'a' 02 83 01", DecodeError::UnknownProperty(0x83)),
            (0x30, "'a' 03 0b 80 00", DecodeError::LengthOverlong),
        ],
    );
}

/// Sections 3.1.2.11.10 and 3.15.2.2.2.
#[test]
fn authentication_data_needs_a_method() {
    for place in ["connect", "connack", "auth"] {
        let got = from_either(V5, with(place, "16 00 01 00"));
        assert_eq!(got, Err(DecodeError::AuthenticationDataWithoutMethod), "{place}");
    }
    refused_from_server(
        V5,
        &[(0xF0, "18 00", DecodeError::NoAuthenticationMethod), (0xF0, "18", DecodeError::NoAuthenticationMethod)],
    );
}

/// [MQTT-3.1.3-10] [MQTT-3.3.2-17] [MQTT-3.3.2-18]: what a server passes on
/// keeps its bytes and its order.
#[test]
fn only_hop_by_hop_properties_are_taken_out_when_a_message_is_passed_on() {
    let kept = "01 01 26 'n' '1' 26 'n' '2' 03 't' 08 'r' 09 'd'";
    let Ok(Packet::Publish(plain)) = from_client(V5, with("publish", kept)) else { panic!() };
    assert_eq!(plain.forwardable(), Some(bytes(kept).as_slice()));
    assert_eq!(plain.properties.user_properties().collect::<Vec<_>>(), [("n", "1"), ("n", "2")]);

    let mixed = "01 01 23 00 07 26 'n' '1' 02 00 00 00 09 26 'n' '2' 03 't' 08 'r' 09 'd'";
    let Ok(Packet::Publish(publish)) = from_client(V5, with("publish", mixed)) else { panic!() };
    assert_eq!((publish.topic_alias.unwrap().get(), publish.expiry), (7, Some(9)));
    assert_eq!(publish.forwardable(), None);
    let mut out = Vec::new();
    publish.copy_forwardable(&mut out);
    assert_eq!(out, bytes(kept));

    let will = with("will", "18 00 00 00 05 26 'n' '1' 02 00 00 00 09 26 'n' '2'");
    let Ok(Packet::Connect(connect)) = from_client(V5, will) else { panic!() };
    let properties = connect.will.unwrap().properties;
    assert_eq!((properties.will_delay(), properties.message_expiry()), (Some(5), Some(9)));
    let mut out = Vec::new();
    properties.copy_forwardable(&mut out);
    assert_eq!(out, bytes("26 'n' '1' 26 'n' '2'"));
}

/// Every accessor reads its own property and no other.
#[test]
fn accessors_read_what_the_packet_says() {
    let all = "11 00 00 00 0a 21 00 14 27 00 00 10 00 22 00 05 17 00 19 01 15 'm' 16 00 01 ff";
    let Ok(Packet::Connect(connect)) = from_client(V5, with("connect", all)) else { panic!() };
    let properties = connect.properties;
    assert_eq!(properties.session_expiry(), Some(10));
    assert_eq!(properties.receive_maximum(), Some(20));
    assert_eq!(properties.maximum_packet_size(), Some(4096));
    assert_eq!(properties.topic_alias_maximum(), Some(5));
    assert_eq!(properties.request_problem_information(), Some(false));
    assert_eq!(properties.request_response_information(), Some(true));
    assert_eq!(properties.authentication_method(), Some("m"));
    assert_eq!(properties.authentication_data(), Some([0xFF].as_slice()));
    assert_eq!(properties.reason_string(), None);

    let answer = "12 'c' 13 00 1e 1a 'i' 1c 's' 1f 'r' 24 01 25 00 28 01 29 00 2a 01";
    let Ok(Packet::ConnAck(connack)) = from_either(V5, with("connack", answer)) else { panic!() };
    let properties = connack.properties;
    assert_eq!(properties.assigned_client_id(), Some("c"));
    assert_eq!(properties.server_keep_alive(), Some(30));
    assert_eq!(properties.response_information(), Some("i"));
    assert_eq!(properties.server_reference(), Some("s"));
    assert_eq!(properties.reason_string(), Some("r"));
    assert_eq!(properties.maximum_qos(), Some(1));
    assert_eq!(properties.retain_available(), Some(false));
    assert_eq!(properties.wildcard_subscription_available(), Some(true));
    assert_eq!(properties.subscription_id_available(), Some(false));
    assert_eq!(properties.shared_subscription_available(), Some(true));
}
