//! What we write we read, and no bytes make the reader fall.

use certus::codec::publish::{self, Alias, FrameParts};
use certus::codec::{
    Ack, AckKind, Auth, ConnAck, Connect, DecodeError, Disconnect, Outgoing, Packet, Properties, PropertiesBuf, SubAck,
    Subscribe, Subscription, UnsubAck, Unsubscribe, Will, peek,
};
use certus::mqtt::{Qos, ReasonCode, RetainHandling, SubscriptionOptions, TopicName, Version};
use proptest::prelude::*;
use std::num::NonZeroU16;

const VERSIONS: [Version; 3] = [Version::V3, Version::V4, Version::V5];

fn leaked<T: Clone>(list: Vec<T>) -> &'static [T] {
    list.leak()
}

fn properties(buf: PropertiesBuf) -> Properties<'static> {
    Box::leak(Box::new(buf)).as_properties()
}

fn text() -> impl Strategy<Value = &'static str> {
    "[a-zé🚀\u{FEFF}]{0,40}".prop_map(|text| &*text.leak())
}

fn topic() -> impl Strategy<Value = TopicName<'static>> {
    "[a-z/$é]{1,60}".prop_map(|text| TopicName::new(text.leak()).unwrap())
}

fn filter() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("#"), Just("+/+"), Just("a/+/#"), "[a-z/é]{1,60}".prop_map(|text| &*text.leak())]
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(leaked)
}

fn id() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|id| NonZeroU16::new(id).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(VERSIONS.as_slice())
}

fn qos() -> impl Strategy<Value = Qos> {
    prop::sample::select([Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].as_slice())
}

fn reason(codes: &'static [u8]) -> impl Strategy<Value = ReasonCode> {
    prop::sample::select(codes).prop_map(|code| ReasonCode::from_code(code).unwrap())
}

/// User properties, which every packet may have, and in `long` so many that
/// lengths need more than one byte.
fn user(version: Version) -> impl Strategy<Value = PropertiesBuf> {
    let most = if version.is_v5() { 12 } else { 0 };
    prop::collection::vec((text(), text()), 0..=most).prop_map(|pairs| {
        let mut buf = PropertiesBuf::new();
        for (name, value) in pairs {
            buf.user_property(name, value);
        }
        buf
    })
}

fn message(version: Version) -> impl Strategy<Value = Properties<'static>> {
    let parts = (any::<u32>(), text(), binary(), any::<bool>(), user(version));
    (any::<[bool; 4]>(), topic(), parts).prop_map(
        move |(with, response, (expiry, content, correlation, is_text, mut buf))| {
            if version.is_v5() {
                if with[0] {
                    buf.message_expiry(expiry);
                }
                if with[1] {
                    buf.content_type(content).payload_is_text(is_text);
                }
                if with[2] {
                    buf.response_topic(response);
                }
                if with[3] {
                    buf.correlation_data(correlation);
                }
            }
            properties(buf)
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    (qos(), any::<bool>(), message(version), topic(), binary())
        .prop_map(|(qos, retain, properties, topic, payload)| Will { qos, retain, properties, topic, payload })
}

fn connect(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let login = (prop::option::of(text()), prop::option::of(binary()));
    let numbers = (any::<bool>(), any::<bool>(), any::<u16>(), any::<u32>(), any::<u16>());
    (numbers, text(), prop::option::of(will(version)), login, user(version)).prop_map(
        move |((bridge, clean_start, keep_alive, expiry, maximum), client_id, will, (user_name, password), mut buf)| {
            if version.is_v5() {
                buf.session_expiry(expiry).receive_maximum(maximum).topic_alias_maximum(maximum);
            }
            let password = password.filter(|_| version.is_v5() || user_name.is_some());
            let properties = properties(buf);
            Packet::Connect(Connect {
                version,
                bridge,
                clean_start,
                keep_alive,
                properties,
                client_id,
                will,
                user_name,
                password,
            })
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let codes: &[u8] = if version.is_v5() { &[0, 0x80, 0x87, 0x95, 0x9F] } else { &[0, 0x84, 0x85, 0x86, 0x87, 0x88] };
    (any::<bool>(), reason(codes), text(), user(version)).prop_map(move |(present, reason, client_id, mut buf)| {
        if version.is_v5() {
            buf.assigned_client_id(client_id).maximum_qos(1).retain_available(false).server_keep_alive(9);
        }
        let session_present = present && reason == ReasonCode::Success && version != Version::V3;
        Packet::ConnAck(ConnAck { session_present, reason, properties: properties(buf) })
    })
}

fn outgoing(version: Version) -> impl Strategy<Value = (Outgoing<'static>, Properties<'static>)> {
    let hop = (prop::option::of(id()), any::<bool>(), prop::option::of(any::<u32>()));
    let ids = prop::collection::vec(1..=268_435_455_u32, 0..4).prop_map(leaked);
    let flags = (any::<bool>(), qos(), any::<bool>(), id());
    (flags, topic(), hop, ids, user(version), binary()).prop_map(
        |((dup, qos, retain, packet_id), topic, (alias, announce, expiry), subscription_ids, buf, payload)| {
            let passed_on = properties(buf);
            let alias = alias.map(if announce { Alias::Announce } else { Alias::Use });
            let sent = Outgoing {
                dup: dup && qos != Qos::AtMostOnce,
                qos,
                retain,
                packet_id: (qos != Qos::AtMostOnce).then_some(packet_id),
                topic,
                alias,
                expiry,
                subscription_ids,
                properties: passed_on.as_bytes(),
                payload,
            };
            (sent, passed_on)
        },
    )
}

/// PUBLISH as it reads when one of `outgoing` was written.
pub fn any_publish() -> impl Strategy<Value = (Version, Packet<'static>)> {
    let sent = version().prop_flat_map(|version| (Just(version), outgoing(version)));
    sent.prop_map(|(version, (sent, _))| {
        let mut input = Vec::new();
        publish::encode(&mut input, version, &sent);
        (version, decoded(input.leak(), version))
    })
}

fn ack(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let kinds = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];
    (prop::sample::select(kinds.to_vec()), id(), any::<bool>(), user(version)).prop_map(
        move |(kind, packet_id, success, buf)| {
            let reason = match kind {
                _ if success || !version.is_v5() => ReasonCode::Success,
                AckKind::PubAck | AckKind::PubRec => ReasonCode::NotAuthorized,
                AckKind::PubRel | AckKind::PubComp => ReasonCode::PacketIdentifierNotFound,
            };
            Packet::Ack(Ack { kind, packet_id, reason, properties: properties(buf) })
        },
    )
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Never];
    (qos(), any::<bool>(), any::<bool>(), prop::sample::select(handling.to_vec())).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
            _ => SubscriptionOptions::of_qos(qos),
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let entry = (filter(), options(version)).prop_map(|(filter, options)| Subscription { filter, options });
    (id(), prop::collection::vec(entry, 1..8), 1..300_u32, user(version)).prop_map(
        move |(packet_id, list, number, mut buf)| {
            if version.is_v5() {
                buf.subscription_id(number);
            }
            Packet::Subscribe(Subscribe { packet_id, properties: properties(buf), filters: leaked(list).into() })
        },
    )
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet<'static>> {
    (id(), prop::collection::vec(filter(), 1..8), user(version)).prop_map(|(packet_id, list, buf)| {
        Packet::Unsubscribe(Unsubscribe { packet_id, properties: properties(buf), filters: leaked(list).into() })
    })
}

fn suback(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let codes: &[u8] = if version.is_v5() { &[0, 1, 2, 0x80, 0x87, 0xA2] } else { &[0, 1, 2, 0x80] };
    (id(), prop::collection::vec(reason(codes), 1..8), user(version)).prop_map(|(packet_id, list, buf)| {
        Packet::SubAck(SubAck { packet_id, properties: properties(buf), codes: leaked(list).into() })
    })
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let count = if version.is_v5() { 1..8 } else { 0..1 };
    (id(), prop::collection::vec(reason(&[0, 0x11, 0x87]), count), user(version)).prop_map(|(packet_id, list, buf)| {
        Packet::UnsubAck(UnsubAck { packet_id, properties: properties(buf), codes: leaked(list).into() })
    })
}

fn last(version: Version) -> impl Strategy<Value = Packet<'static>> {
    let codes: &[u8] = if version.is_v5() { &[0, 4, 0x8E, 0x98] } else { &[0] };
    (reason(codes), user(version))
        .prop_map(|(reason, buf)| Packet::Disconnect(Disconnect { reason, properties: properties(buf) }))
}

fn ping() -> impl Strategy<Value = Packet<'static>> {
    prop::sample::select([Packet::PingReq, Packet::PingResp].as_slice())
}

/// Only MQTT 5.0 has AUTH; a ping stands for it in the older versions.
fn auth(version: Version) -> BoxedStrategy<Packet<'static>> {
    if !version.is_v5() {
        return ping().boxed();
    }
    (reason(&[0, 0x18, 0x19]), text(), binary(), user(version))
        .prop_map(|(reason, method, data, mut buf)| {
            buf.authentication_method(method).authentication_data(data);
            Packet::Auth(Auth { reason, properties: properties(buf) })
        })
        .boxed()
}

/// Any packet but PUBLISH, which has its own test.
pub fn any_packet() -> impl Strategy<Value = (Version, Packet<'static>)> {
    version().prop_flat_map(|version| {
        let packet = prop_oneof![
            connect(version),
            connack(version),
            ack(version),
            subscribe(version),
            unsubscribe(version),
            suback(version),
            unsuback(version),
            last(version),
            ping(),
            auth(version),
        ];
        packet.prop_map(move |packet| (version, packet))
    })
}

pub fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = b"before".to_vec();
    packet.encode(version, &mut out);
    out.split_off(6)
}

pub fn decoded(input: &[u8], version: Version) -> Packet<'_> {
    let frame = peek(input, input.len()).unwrap().unwrap();
    assert_eq!(frame.len, input.len());
    Packet::decode(&frame, version).unwrap()
}

/// Every prefix is incomplete, and one byte less than its size is too large.
fn check_frame(input: &[u8]) {
    for len in 0..input.len() {
        assert_eq!(peek(&input[..len], input.len()), Ok(None));
    }
    let len = input.len();
    assert_eq!(peek(input, len - 1), Err(DecodeError::PacketTooLarge { len, max: len - 1 }));
}

proptest! {
    /// [MQTT-3.1.3-1]: fields in the standard's order, or they would not read.
    #[test]
    fn what_is_written_reads_back_equal((version, packet) in any_packet()) {
        let input = encoded(&packet, version);
        prop_assert_eq!(decoded(&input, version), packet);
        prop_assert_eq!(encoded(&decoded(&input, version), version), &input[..]);
        check_frame(&input);
    }

    #[test]
    fn a_delivery_reads_back_with_all_its_parts(
        (version, (sent, passed_on)) in version().prop_flat_map(|version| (Just(version), outgoing(version)))
    ) {
        let mut input = Vec::new();
        publish::encode(&mut input, version, &sent);
        prop_assert_eq!(input.len(), publish::encoded_len(version, &sent));
        check_frame(&input);
        let Packet::Publish(got) = decoded(&input, version) else { panic!() };
        prop_assert_eq!((got.dup, got.qos, got.retain, got.packet_id), (sent.dup, sent.qos, sent.retain, sent.packet_id));
        prop_assert_eq!(got.payload, sent.payload);
        if version.is_v5() {
            let (alias, topic) = match sent.alias {
                None => (None, Some(sent.topic)),
                Some(Alias::Announce(alias)) => (Some(alias), Some(sent.topic)),
                Some(Alias::Use(alias)) => (Some(alias), None),
            };
            prop_assert_eq!((got.topic_alias, got.topic, got.expiry), (alias, topic, sent.expiry));
            prop_assert!(got.properties.subscription_ids().eq(sent.subscription_ids.iter().copied()));
            let mut kept = Vec::new();
            got.copy_forwardable(&mut kept);
            prop_assert_eq!(&kept, passed_on.as_bytes());
        } else {
            prop_assert_eq!(got.topic, Some(sent.topic));
        }
        let packet = Packet::Publish(got);
        prop_assert_eq!(encoded(&packet, version), &input[..]);
    }

    #[test]
    fn the_parts_of_a_frame_are_where_they_were_written(
        (mut sent, _) in outgoing(Version::V4),
        packet_id in id(),
    ) {
        sent.packet_id = None;
        let mut frame = Vec::new();
        publish::encode(&mut frame, Version::V4, &sent);
        let parts = FrameParts::of(&frame).unwrap();
        prop_assert_eq!(&frame[parts.topic.clone()], sent.topic.as_str().as_bytes());
        prop_assert_eq!(&frame[parts.payload.clone()], sent.payload);
        parts.patch(&mut frame, true, packet_id);
        let Packet::Publish(got) = decoded(&frame, Version::V4) else { panic!() };
        let above_0 = sent.qos != Qos::AtMostOnce;
        prop_assert_eq!((got.dup, got.packet_id), (above_0, above_0.then_some(packet_id)));
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..64), version in version()) {
        if let Ok(Some(frame)) = peek(&input, 1 << 20) {
            let _ = Packet::decode_from_client(&frame, version);
        }
        let _ = FrameParts::of(&input);
    }

    #[test]
    fn a_valid_packet_with_one_byte_changed_never_panics(
        (version, packet) in any_packet(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut input = encoded(&packet, version);
        let at = at.index(input.len());
        input[at] = byte;
        if let Ok(Some(frame)) = peek(&input, 1 << 20)
            && let Ok(packet) = Packet::decode(&frame, version)
        {
            // What still reads is written again without loss.
            let again = encoded(&packet, version);
            prop_assert_eq!(decoded(&again, version), packet);
        }
    }
}
