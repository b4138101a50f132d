//! Packets that must be refused, as raw bytes.
//!
//! What lives here: a row per breach; the list of deps.md is in it. Ids are
//! those of MQTT 5.0; "3.1.1" in front marks one of the older standard.
//! Properties have their own file.

use crate::codec::{bytes, from_client, packet, refused, refused_from_server};
use certus::codec::{DecodeError, PacketType, PropertyId, peek};
use certus::mqtt::{ReasonCode, TopicError, Version};

use Version::{V3, V4, V5};

const CONNECT_V4: &str = "'MQTT' 04";
const CONNECT_V5: &str = "'MQTT' 05";

const fn flags(packet: PacketType, flags: u8) -> DecodeError {
    DecodeError::FixedHeaderFlags { packet, flags }
}

/// [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1]
/// [MQTT-3.15.1-1] and 3.1.1 [MQTT-2.2.2-2]. Also [MQTT-2.2.2-1].
#[test]
fn reserved_flags_of_the_fixed_header_are_refused_before_the_body_is_there() {
    for packet in [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ] {
        for bits in (0..16).filter(|bits| packet.first() & 0x0F != *bits) {
            let first = packet.first() & 0xF0 | bits;
            if bits == 0b1010 && packet.first() & 0x0F == 0b0010 {
                // MQTT 3.1 marks a repeated packet so; later versions refuse it when the body is read.
                refused(V4, &[(first, "00 01 'a' 00", flags(packet, bits))]);
                continue;
            }
            assert_eq!(peek(&[first, 100], 1000), Err(flags(packet, bits)));
        }
    }
}

/// Packet type 0 is forbidden, 15 is new in MQTT 5.0 (section 2.1.2).
#[test]
fn packet_types_that_do_not_exist_are_refused() {
    assert_eq!(peek(&[0x00, 0x00], 1000), Err(DecodeError::UnknownPacketType(0)));
    for version in [V3, V4] {
        refused(version, &[(0xF0, "", DecodeError::UnknownPacketType(15))]);
    }
}

/// [MQTT-1.5.5-1]
#[test]
fn over_long_and_endless_lengths_are_refused() {
    for (input, error) in [
        ("c0 80 00", DecodeError::LengthOverlong),
        ("30 ff 80 00", DecodeError::LengthOverlong),
        ("30 ff ff 80 00", DecodeError::LengthOverlong),
        ("30 ff ff ff ff", DecodeError::LengthTooLong),
        ("30 80 80 80 80 01", DecodeError::LengthTooLong),
    ] {
        // A digit of 0x80 is not yet an error: 0x80 0x80 0x01 is 16,384.
        assert_eq!(peek(&bytes(input), usize::MAX), Err(error), "{input}");
    }
    assert_eq!(peek(&bytes("30 80 80"), usize::MAX), Ok(None));
}

/// MQTT-LIM-01: the limit counts every byte.
#[test]
fn the_size_limit_is_decided_from_the_fixed_header() {
    assert_eq!(peek(&[0x30, 8], 10), Ok(None));
    assert_eq!(peek(&[0x30, 9], 10), Err(DecodeError::PacketTooLarge { len: 11, max: 10 }));
    assert_eq!(peek(&bytes("30 80 01"), 131), Ok(None));
    assert_eq!(peek(&bytes("30 80 01"), 130), Err(DecodeError::PacketTooLarge { len: 131, max: 130 }));
    assert_eq!(peek(&bytes("30 ff ff ff 7f"), 268_435_460), Ok(None));
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2]; MQTT-CON-01. 3.1.1 [MQTT-3.1.2-1]
/// [MQTT-3.1.2-2].
#[test]
fn connect_with_a_wrong_name_or_level_is_told_apart() {
    for (body, error) in [
        ("'MQTt' 04 02 00 3c 'a'", DecodeError::ProtocolName),
        ("'' 04 02 00 3c 'a'", DecodeError::ProtocolName),
        ("'MQTT' 06 02 00 3c 'a'", DecodeError::UnsupportedLevel(6)),
        ("'MQTT' 00 02 00 3c 'a'", DecodeError::UnsupportedLevel(0)),
        ("'MQTT' 03 02 00 3c 'a'", DecodeError::UnsupportedLevel(3)),
        ("'MQIsdp' 04 02 00 3c 'a'", DecodeError::UnsupportedLevel(4)),
        ("'MQTT' 86 02 00 3c 'a'", DecodeError::UnsupportedLevel(0x86)),
    ] {
        refused(V4, &[(0x10, body, error)]);
        assert_eq!(error.reason(), ReasonCode::UnsupportedProtocolVersion);
    }
}

/// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]
/// [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] and 3.1.1
/// [MQTT-3.1.2-22]. Also [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13]
/// [MQTT-3.1.2-14] [MQTT-3.1.2-15] [MQTT-3.1.2-18] [MQTT-3.1.2-19]
/// [MQTT-3.1.2-20] [MQTT-3.1.2-21].
#[test]
fn connect_flags_that_contradict_each_other_are_refused() {
    let rows = |head: &str, properties: &str| {
        for (flags, rest, error) in [
            ("03", "'a'", DecodeError::ConnectReservedFlag),
            ("0a", "'a'", DecodeError::WillFlagsWithoutWill),
            ("22", "'a'", DecodeError::WillFlagsWithoutWill),
            ("82", "'a'", DecodeError::Truncated(PacketType::Connect)),
            ("02", "'a' 'user'", DecodeError::TrailingBytes(PacketType::Connect)),
            ("c2", "'a' 'user'", DecodeError::Truncated(PacketType::Connect)),
        ] {
            refused(V4, &[(0x10, &format!("{head} {flags} 00 3c {properties} {rest}"), error)]);
        }
        let will = format!("{head} 1e 00 3c {properties} 'a' {properties} 'w' 'p'");
        refused(V4, &[(0x10, &will, DecodeError::WillQos)]);
    };
    rows(CONNECT_V4, "");
    rows(CONNECT_V5, "00");
    refused(V4, &[(0x10, "'MQTT' 04 42 00 3c 'a' 'p'", DecodeError::PasswordWithoutUserName)]);
    refused(V3, &[(0x10, "'MQIsdp' 03 42 00 3c 'a' 'p'", DecodeError::PasswordWithoutUserName)]);
}

/// [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.2-9]: fields in order, none missing.
/// 3.1.1 [MQTT-3.1.2-9] [MQTT-3.1.3-1] [MQTT-3.1.3-3].
#[test]
fn connect_that_ends_early_is_refused() {
    let truncated = DecodeError::Truncated(PacketType::Connect);
    for body in ["", "'MQTT'", "'MQTT' 04", "'MQTT' 04 02 00", "'MQTT' 04 02 00 3c", "'MQTT' 04 02 00 3c 00 02 61"] {
        refused(V4, &[(0x10, body, truncated)]);
    }
    refused(
        V4,
        &[
            (0x10, "'MQTT' 04 06 00 3c 'a'", truncated),
            (0x10, "'MQTT' 04 06 00 3c 'a' 'w'", truncated),
            (0x10, "'MQTT' 05 02 00 3c", truncated),
        ],
    );
}

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.1.3-4] [MQTT-3.1.3-11]
/// [MQTT-3.1.3-12]. 3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-3.1.3-4]
/// [MQTT-3.1.3-10] [MQTT-3.1.3-11].
#[test]
fn texts_of_connect_are_utf_8_without_null() {
    for (text, error) in [
        ("00 01 00", DecodeError::NullCharacter),
        ("00 01 ff", DecodeError::NotUtf8),
        // A surrogate, an over-long slash, a cut character, a code point past the last.
        ("00 03 ed a0 80", DecodeError::NotUtf8),
        ("00 02 c0 af", DecodeError::NotUtf8),
        ("00 02 e2 82", DecodeError::NotUtf8),
        ("00 04 f4 90 80 80", DecodeError::NotUtf8),
    ] {
        refused(
            V4,
            &[
                (0x10, &format!("'MQTT' 04 02 00 3c {text}"), error),
                (0x10, &format!("'MQTT' 04 82 00 3c 'a' {text}"), error),
                (0x10, &format!("'MQTT' 05 82 00 3c 00 'a' {text}"), error),
            ],
        );
    }
    refused(
        V4,
        &[
            (0x10, "'MQTT' 04 06 00 3c 'a' 00 01 ff 'p'", DecodeError::NotUtf8),
            (0x10, "'MQTT' 04 06 00 3c 'a' 'w/#' 'p'", DecodeError::WillTopic(TopicError::Wildcard)),
            (0x10, "'MQTT' 04 06 00 3c 'a' 'w/+' 'p'", DecodeError::WillTopic(TopicError::Wildcard)),
            (0x10, "'MQTT' 05 06 00 3c 00 'a' 00 'w/+' 'p'", DecodeError::WillTopic(TopicError::Wildcard)),
            (0x10, "'MQTT' 04 06 00 3c 'a' '' 'p'", DecodeError::WillTopic(TopicError::Empty)),
            (0x10, "'MQTT' 04 06 00 3c 'a' 00 01 00 'p'", DecodeError::WillTopic(TopicError::Null)),
        ],
    );
}

/// [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-2.2.1-3] [MQTT-3.3.2-2] [MQTT-4.7.0-1]
/// [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-3.3.2-1] [MQTT-1.5.4-2] [MQTT-2.2.2-1].
/// 3.1.1 [MQTT-2.3.1-1] [MQTT-3.3.1-4] [MQTT-3.3.2-1] [MQTT-3.3.2-2]
/// [MQTT-4.7.1-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2].
#[test]
fn publish_with_a_bad_header_topic_or_identifier_is_refused() {
    for version in [V3, V4, V5] {
        let none = if version.is_v5() { "00" } else { "" };
        let id = DecodeError::PacketIdZero(PacketType::Publish);
        for (first, body, error) in [
            (0x36, "'a' 00 01", DecodeError::PublishQos),
            (0x3E, "'a' 00 01", DecodeError::PublishQos),
            (0x38, "'a'", DecodeError::DupAtQos0),
            (0x39, "'a'", DecodeError::DupAtQos0),
            (0x32, "'a' 00 00", id),
            (0x34, "'a' 00 00", id),
            (0x30, "'a/+'", DecodeError::TopicName(TopicError::Wildcard)),
            (0x30, "'a/#'", DecodeError::TopicName(TopicError::Wildcard)),
            (0x30, "'long/enough/for/the/fast/path/+/x'", DecodeError::TopicName(TopicError::Wildcard)),
            (0x30, "00 01 00", DecodeError::TopicName(TopicError::Null)),
            (0x30, "00 0a 61 62 63 64 65 66 67 68 00 69", DecodeError::TopicName(TopicError::Null)),
            (0x30, "00 01 ff", DecodeError::NotUtf8),
            (0x30, "00 03 ed a0 80", DecodeError::NotUtf8),
        ] {
            refused(version, &[(first, &format!("{body} {none}"), error)]);
        }
        let truncated = DecodeError::Truncated(PacketType::Publish);
        refused(version, &[(0x30, "", truncated), (0x30, "00 05 61", truncated), (0x32, "'a' 00", truncated)]);
    }
    refused(V4, &[(0x30, "''", DecodeError::TopicName(TopicError::Empty))]);
    refused(V5, &[(0x30, "'' 00", DecodeError::NoTopic), (0x30, "'a'", DecodeError::Truncated(PacketType::Publish))]);
}

/// [MQTT-2.2.1-3] [MQTT-2.2.1-4]
#[test]
fn acknowledgements_with_a_bad_identifier_or_length_are_refused() {
    for packet in [PacketType::PubAck, PacketType::PubRec, PacketType::PubRel, PacketType::PubComp] {
        let first = packet.first();
        for version in [V3, V4, V5] {
            refused(
                version,
                &[
                    (first, "", DecodeError::Truncated(packet)),
                    (first, "00", DecodeError::Truncated(packet)),
                    (first, "00 00", DecodeError::PacketIdZero(packet)),
                ],
            );
        }
        refused(V4, &[(first, "00 01 00", DecodeError::TrailingBytes(packet))]);
        refused(V5, &[(first, "00 01 00 00 00", DecodeError::TrailingBytes(packet))]);
    }
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
/// [MQTT-3.14.2-1] [MQTT-3.15.2-1]
#[test]
fn reason_codes_of_other_packets_are_refused() {
    let reason = |packet, code| DecodeError::ReasonCode { packet, code };
    refused(
        V5,
        &[
            (0x40, "00 01 01", reason(PacketType::PubAck, 0x01)),
            (0x40, "00 01 92", reason(PacketType::PubAck, 0x92)),
            (0x50, "00 01 03", reason(PacketType::PubRec, 0x03)),
            (0x62, "00 01 10", reason(PacketType::PubRel, 0x10)),
            (0x70, "00 01 80", reason(PacketType::PubComp, 0x80)),
            (0xE0, "18", reason(PacketType::Disconnect, 0x18)),
            (0xE0, "8e", reason(PacketType::Disconnect, 0x8E)),
            (0xE0, "ff", reason(PacketType::Disconnect, 0xFF)),
            (0xF0, "04 00", reason(PacketType::Auth, 0x04)),
            (0xF0, "", reason(PacketType::Auth, 0x00)),
        ],
    );
}

/// [MQTT-3.8.3-1] [MQTT-3.8.3-2] [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT-2.2.1-3]
/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] and 3.1.1
/// [MQTT-3-8.3-4]. Also [MQTT-2.3.1-1] [MQTT-3.8.3-1] [MQTT-3.8.3-3]
/// [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1] [MQTT-4.7.3-2].
#[test]
fn subscribe_with_a_bad_list_filter_or_option_is_refused() {
    let truncated = DecodeError::Truncated(PacketType::Subscribe);
    for (version, none) in [(V4, ""), (V5, "00")] {
        for (id, list, error) in [
            ("00 00", "'a' 00", DecodeError::PacketIdZero(PacketType::Subscribe)),
            ("00 01", "", DecodeError::EmptyList(PacketType::Subscribe)),
            ("00 01", "'a'", truncated),
            ("00 01", "'a' 00 'b'", truncated),
            ("00 01", "00 05 61", truncated),
            ("00 01", "'a' 40", DecodeError::SubscriptionReserved(0x40)),
            ("00 01", "'a' 81", DecodeError::SubscriptionReserved(0x80)),
            ("00 01", "'a' 03", DecodeError::SubscriptionQos),
            ("00 01", "'' 00", DecodeError::TopicFilter(TopicError::Empty)),
            ("00 01", "'a/#/b' 00", DecodeError::TopicFilter(TopicError::MisplacedWildcard)),
            ("00 01", "'a#' 00", DecodeError::TopicFilter(TopicError::MisplacedWildcard)),
            ("00 01", "'a+/b' 00", DecodeError::TopicFilter(TopicError::MisplacedWildcard)),
            ("00 01", "00 01 00 00", DecodeError::TopicFilter(TopicError::Null)),
            ("00 01", "00 01 ff 00", DecodeError::NotUtf8),
        ] {
            refused(version, &[(0x82, &format!("{id} {none} {list}"), error)]);
        }
    }
    refused(
        V4,
        &[
            (0x82, "00 01 'a' 04", DecodeError::SubscriptionReserved(0x04)),
            (0x82, "00 01 'a' 10", DecodeError::SubscriptionReserved(0x10)),
        ],
    );
    refused(
        V5,
        &[
            (0x82, "00 01 00 'a' 30", DecodeError::SubscriptionRetainHandling),
            (0x82, "00 01 00 '$share/g/a' 04", DecodeError::NoLocalOnShared),
        ],
    );
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn shared_filters_without_a_group_or_a_filter_are_refused() {
    for filter in ["$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/#/a", "$share/g+/a"] {
        let error = DecodeError::TopicFilter(TopicError::MalformedShare);
        refused(V5, &[(0x82, &format!("00 01 00 '{filter}' 00"), error)]);
    }
}

/// [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-2.2.1-3] [MQTT-4.7.3-1]. 3.1.1
/// [MQTT-2.3.1-1] [MQTT-3.10.3-1] [MQTT-3.10.3-2].
#[test]
fn unsubscribe_with_a_bad_list_or_filter_is_refused() {
    for (version, none) in [(V4, ""), (V5, "00")] {
        for (id, list, error) in [
            ("00 00", "'a'", DecodeError::PacketIdZero(PacketType::Unsubscribe)),
            ("00 01", "", DecodeError::EmptyList(PacketType::Unsubscribe)),
            ("00 01", "''", DecodeError::TopicFilter(TopicError::Empty)),
            ("00 01", "'a/#/b'", DecodeError::TopicFilter(TopicError::MisplacedWildcard)),
            ("00 01", "00 01 00", DecodeError::TopicFilter(TopicError::Null)),
            ("00 01", "00 02 61", DecodeError::Truncated(PacketType::Unsubscribe)),
            ("00 01", "'a' 00", DecodeError::Truncated(PacketType::Unsubscribe)),
        ] {
            refused(version, &[(0xA2, &format!("{id} {none} {list}"), error)]);
        }
    }
}

/// Sections 3.12 and 3.14; 3.1.1 [MQTT-3.14.1-1].
#[test]
fn packets_without_a_body_that_have_one_are_refused() {
    for version in [V3, V4, V5] {
        refused(version, &[(0xC0, "00", DecodeError::TrailingBytes(PacketType::PingReq))]);
    }
    refused(V4, &[(0xE0, "00", DecodeError::TrailingBytes(PacketType::Disconnect))]);
    refused(V5, &[(0xE0, "00 00 00", DecodeError::TrailingBytes(PacketType::Disconnect))]);
}

/// [MQTT-3.3.4-6]; sections 3.14.2 and 3.15.2 for codes of one side only.
#[test]
fn what_only_a_server_sends_is_refused_from_a_client() {
    refused(
        V5,
        &[
            (0x20, "00 00 00", DecodeError::NotFromClient(PacketType::ConnAck)),
            (0x90, "00 01 00 00", DecodeError::NotFromClient(PacketType::SubAck)),
            (0xB0, "00 01 00 00", DecodeError::NotFromClient(PacketType::UnsubAck)),
            (0xD0, "", DecodeError::NotFromClient(PacketType::PingResp)),
            (0x30, "'a' 02 0b 01", DecodeError::SubscriptionIdFromClient),
            (0xE0, "9d 00", DecodeError::ReasonCode { packet: PacketType::Disconnect, code: 0x9D }),
            (
                0xE0,
                "00 04 1c 'b'",
                DecodeError::PropertyNotAllowed {
                    packet: PacketType::Disconnect,
                    property: PropertyId::ServerReference,
                },
            ),
        ],
    );
}

/// [MQTT-3.2.2-1] [MQTT-3.2.2-6]; the codes of sections 3.2.2.2, 3.9.3 and
/// 3.11.3, and 3.1.1 [MQTT-3.9.3-2].
#[test]
fn answers_of_a_server_with_reserved_codes_are_refused() {
    let reason = |packet, code| DecodeError::ReasonCode { packet, code };
    refused_from_server(
        V4,
        &[
            (0x20, "02 00", DecodeError::ConnAckFlags(2)),
            (0x20, "00 06", reason(PacketType::ConnAck, 6)),
            (0x20, "01 05", DecodeError::SessionPresentWithRefusal),
            (0x20, "00", DecodeError::Truncated(PacketType::ConnAck)),
            (0x20, "00 00 00", DecodeError::TrailingBytes(PacketType::ConnAck)),
            (0x90, "00 01 03", reason(PacketType::SubAck, 3)),
            (0x90, "00 01 87", reason(PacketType::SubAck, 0x87)),
            (0x90, "00 01", DecodeError::Truncated(PacketType::SubAck)),
            (0xB0, "00 01 00", DecodeError::TrailingBytes(PacketType::UnsubAck)),
        ],
    );
    refused_from_server(
        V5,
        &[
            (0x20, "00 01 00", reason(PacketType::ConnAck, 1)),
            (0x20, "00 8e 00", reason(PacketType::ConnAck, 0x8E)),
            (0x20, "01 87 00", DecodeError::SessionPresentWithRefusal),
            (0x20, "00 00", DecodeError::Truncated(PacketType::ConnAck)),
            (0x90, "00 01 00 03", reason(PacketType::SubAck, 3)),
            (0x90, "00 01 00", DecodeError::Truncated(PacketType::SubAck)),
            (0xB0, "00 01 00 01", reason(PacketType::UnsubAck, 1)),
            (0xB0, "00 01 00", DecodeError::Truncated(PacketType::UnsubAck)),
        ],
    );
}

/// Section 4.13: every breach has the reason code of the standard.
#[test]
fn breaches_are_answered_with_the_reason_code_of_the_standard() {
    for (version, first, body, reason) in [
        (V5, 0x36, "'a' 00 01 00", ReasonCode::MalformedPacket),
        (V5, 0x30, "'' 00", ReasonCode::ProtocolError),
        (V5, 0x30, "'#' 00", ReasonCode::TopicNameInvalid),
        (V5, 0x30, "'a' 03 23 00 00", ReasonCode::TopicAliasInvalid),
        (V5, 0x82, "00 01 00 '#/a' 00", ReasonCode::TopicFilterInvalid),
        (V5, 0x82, "00 01 00 'a' 40", ReasonCode::MalformedPacket),
        (V5, 0x82, "00 01 00 'a' 03", ReasonCode::ProtocolError),
    ] {
        assert_eq!(from_client(version, packet(first, body)).unwrap_err().reason(), reason, "{body}");
    }
    assert_eq!(peek(&[0x30, 9], 10).unwrap_err().reason(), ReasonCode::PacketTooLarge);
}
