//! Three codecs that we did not write, as witnesses: mqttbytes, rumqttc's and
//! rmqtt's, which is the only one that knows MQTT 3.1.
//!
//! What lives here: what we write they read, and what they write we read, with
//! the same meaning; and the list of what they refuse or let through. What
//! does not: speed. Invariant: every disagreement is in the list.

use crate::codec::from_client;
use crate::codec_round_trip::{any_packet, any_publish, decoded, encoded};
use ::bytes::BytesMut;
use certus::codec::{Connect, Disconnect, Packet, Properties, Will, peek};
use certus::mqtt::{Qos, RetainHandling, SubscriptionOptions, TopicName, Version};
use proptest::prelude::*;
use std::mem::take;
use std::num::NonZeroU16;
use tokio_util::codec::{Decoder, Encoder};

use Version::{V3, V4, V5};

/// Reads a packet and writes it again; the error is the witness's own.
pub type Witness = fn(&[u8]) -> Result<Vec<u8>, String>;

pub const WITNESSES: [(&str, Version, Witness); 7] = [
    ("mqttbytes", V4, mqttbytes_v4),
    ("mqttbytes", V5, mqttbytes_v5),
    ("rumqttc", V4, rumqttc_v4),
    ("rumqttc", V5, rumqttc_v5),
    ("codec of rmqtt", V3, rmqtt_v3),
    ("codec of rmqtt", V4, rmqtt_v3),
    ("codec of rmqtt", V5, rmqtt_v5),
];

/// Reads and writes with the two halves of one codec of rmqtt.
fn through<C, P, E, F>(mut codec: C, input: &[u8]) -> Result<Vec<u8>, String>
where
    C: Decoder<Item = (P, u32), Error = E> + Encoder<P, Error = F>,
    E: std::fmt::Debug + From<std::io::Error>,
    F: std::fmt::Debug + From<std::io::Error>,
{
    let packet = codec.decode(&mut BytesMut::from(input)).map_err(|e| format!("{e:?}"))?;
    let mut out = BytesMut::new();
    codec.encode(packet.ok_or("more is awaited")?.0, &mut out).map_err(|e| format!("{e:?}"))?;
    Ok(out.to_vec())
}

fn rmqtt_v3(input: &[u8]) -> Result<Vec<u8>, String> {
    through(rmqtt_codec::v3::Codec::new(1 << 20), input)
}

fn rmqtt_v5(input: &[u8]) -> Result<Vec<u8>, String> {
    through(rmqtt_codec::v5::Codec::new(1 << 20, 1 << 20), input)
}

fn rumqttc_v4(input: &[u8]) -> Result<Vec<u8>, String> {
    let packet = rumqttc::Packet::read(&mut BytesMut::from(input), 1 << 20).map_err(|e| e.to_string())?;
    let mut out = BytesMut::new();
    packet.write(&mut out, 1 << 20).map_err(|e| e.to_string())?;
    Ok(out.to_vec())
}

fn rumqttc_v5(input: &[u8]) -> Result<Vec<u8>, String> {
    use rumqttc::v5::mqttbytes::v5::Packet;
    let packet = Packet::read(&mut BytesMut::from(input), None).map_err(|e| e.to_string())?;
    let mut out = BytesMut::new();
    packet.write(&mut out, None).map_err(|e| e.to_string())?;
    Ok(out.to_vec())
}

macro_rules! mqttbytes {
    ($name:ident, $version:ident, $disconnect:pat => $write:expr) => {
        fn $name(input: &[u8]) -> Result<Vec<u8>, String> {
            use ::mqttbytes::$version::*;
            let mut out = BytesMut::new();
            let packet = read(&mut BytesMut::from(input), 1 << 20).map_err(|e| e.to_string())?;
            let written = match packet {
                Packet::Connect(packet) => packet.write(&mut out),
                Packet::ConnAck(packet) => packet.write(&mut out),
                Packet::Publish(packet) => packet.write(&mut out),
                Packet::PubAck(packet) => packet.write(&mut out),
                Packet::PubRec(packet) => packet.write(&mut out),
                Packet::PubRel(packet) => packet.write(&mut out),
                Packet::PubComp(packet) => packet.write(&mut out),
                Packet::Subscribe(packet) => packet.write(&mut out),
                Packet::SubAck(packet) => packet.write(&mut out),
                Packet::Unsubscribe(packet) => packet.write(&mut out),
                Packet::UnsubAck(packet) => packet.write(&mut out),
                Packet::PingReq => PingReq.write(&mut out),
                Packet::PingResp => PingResp.write(&mut out),
                $disconnect => $write(&mut out),
            };
            written.map_err(|e| e.to_string())?;
            Ok(out.to_vec())
        }
    };
}

mqttbytes!(mqttbytes_v4, v4, Packet::Disconnect => |out: &mut BytesMut| Disconnect.write(out));
mqttbytes!(mqttbytes_v5, v5, Packet::Disconnect(packet) => |out: &mut BytesMut| packet.write(out));

/// A packet without its properties, and these in the order of their numbers:
/// only user properties have an order that means something.
fn meaning(mut packet: Packet<'_>) -> (String, Vec<(u8, String)>) {
    let (properties, will) = match &mut packet {
        Packet::Connect(p) => (take(&mut p.properties), p.will.as_mut().map(|will| take(&mut will.properties))),
        Packet::ConnAck(p) => (take(&mut p.properties), None),
        Packet::Publish(p) => (take(&mut p.properties), None),
        Packet::Ack(p) => (take(&mut p.properties), None),
        Packet::Subscribe(p) => (take(&mut p.properties), None),
        Packet::SubAck(p) => (take(&mut p.properties), None),
        Packet::Unsubscribe(p) => (take(&mut p.properties), None),
        Packet::UnsubAck(p) => (take(&mut p.properties), None),
        Packet::Disconnect(p) => (take(&mut p.properties), None),
        Packet::Auth(p) => (take(&mut p.properties), None),
        Packet::PingReq | Packet::PingResp => (Properties::EMPTY, None),
    };
    let all = properties.iter().chain(will.unwrap_or_default().iter());
    let mut list: Vec<_> = all.map(|(id, value)| (id as u8, format!("{value:?}"))).collect();
    list.sort_by_key(|(id, _)| *id);
    (format!("{packet:?}"), list)
}

/// Why a witness must refuse a valid packet, or lose a part of it.
fn disagreement(witness: &str, version: Version, packet: &Packet<'_>) -> Option<&'static str> {
    if witness.ends_with("rmqtt") { rmqtt_disagrees(version, packet) } else { older_disagree(version, packet) }
}

fn rmqtt_disagrees(version: Version, packet: &Packet<'_>) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.bridge => Some("it does not know the bridge's mark"),
        Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start => {
            Some("it refuses while decoding what a server answers by CONNACK: section 3.1.3.1, [MQTT-3.1.3-8]")
        }
        Packet::Connect(_) if version == V3 => Some("it reads the CONNECT of MQTT 3.1, and writes MQTT for MQIsdp"),
        _ => None,
    }
}

/// mqttbytes, and rumqttc, which has its code from there.
fn older_disagree(version: Version, packet: &Packet<'_>) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.bridge => Some("they do not know the bridge's mark"),
        Packet::Connect(connect) if connect.password.is_some_and(|bytes| std::str::from_utf8(bytes).is_err()) => {
            Some("they want passwords in UTF-8; section 3.1.3.6 says binary data")
        }
        Packet::Connect(connect) if connect.user_name == Some("") || connect.password == Some(&[]) => {
            Some("they cannot tell an empty user name or password from a missing one")
        }
        Packet::Auth(_) => Some("they do not know AUTH"),
        Packet::Disconnect(Disconnect { properties, .. }) if version.is_v5() && properties.is_empty() => {
            Some("they want reason and property length, which section 3.14.2 lets one leave out")
        }
        _ => None,
    }
}

proptest! {
    /// What we write all read, and what they write we read: equal to the
    /// start, unless the packet is in the list of disagreements.
    #[test]
    fn packets_keep_their_meaning_on_the_way_through_a_witness(
        (version, packet) in prop_oneof![any_packet(), any_publish()]
    ) {
        let ours = encoded(&packet, version);
        for (name, _, witness) in WITNESSES.iter().filter(|witness| witness.1 == version) {
            let theirs = witness(&ours);
            if let Some(why) = disagreement(name, version, &packet) {
                let same = theirs.is_ok_and(|theirs| {
                    let frame = peek(&theirs, usize::MAX).ok().flatten();
                    frame.is_some_and(|frame| {
                        Packet::decode(&frame, version).is_ok_and(|theirs| meaning(theirs) == meaning(packet))
                    })
                });
                prop_assert!(!same, "{} has learnt: {}", name, why);
            } else {
                let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
                prop_assert_eq!(meaning(decoded(&theirs, version)), meaning(packet), "{}", name);
            }
        }
    }

    /// The fields themselves, so that no two mistakes of ours can cancel out.
    #[test]
    fn both_witnesses_see_the_same_fields_in_a_publish((version, packet) in any_publish()) {
        let input = encoded(&packet, version);
        let Packet::Publish(ours) = packet else { panic!() };
        let topic = ours.topic.map_or("", TopicName::as_str).to_owned();
        let id = ours.packet_id.map_or(0, NonZeroU16::get);
        let want = (ours.dup, ours.qos.bits(), ours.retain, topic, id, ours.payload.to_vec());
        let mut stream = BytesMut::from(&input[..]);
        macro_rules! check {
            ($packet:path, $read:expr) => {{
                let $packet(got) = $read.unwrap() else { panic!() };
                let topic = String::from_utf8(got.topic.into()).unwrap();
                let got = (got.dup, got.qos as u8, got.retain, topic, got.pkid, got.payload.to_vec());
                prop_assert_eq!(&got, &want);
            }};
        }
        if version == V4 {
            check!(rumqttc::Packet::Publish, rumqttc::Packet::read(&mut stream.clone(), 1 << 20));
        } else if version == V5 {
            use rumqttc::v5::mqttbytes::v5::Packet;
            check!(Packet::Publish, Packet::read(&mut stream.clone(), None));
        }
        let got = match version {
            Version::V3 => None,
            V4 => match ::mqttbytes::v4::read(&mut stream, 1 << 20) {
                Ok(::mqttbytes::v4::Packet::Publish(p)) => {
                    Some((p.dup, p.qos as u8, p.retain, p.topic, p.pkid, p.payload.to_vec()))
                }
                other => panic!("{other:?}"),
            },
            V5 => match ::mqttbytes::v5::read(&mut stream, 1 << 20) {
                Ok(::mqttbytes::v5::Packet::Publish(p)) => {
                    let hop = p.properties.map(|of| (of.message_expiry_interval, of.topic_alias)).unwrap_or_default();
                    prop_assert_eq!(hop, (ours.expiry, ours.topic_alias.map(NonZeroU16::get)));
                    Some((p.dup, p.qos as u8, p.retain, p.topic, p.pkid, p.payload.to_vec()))
                }
                other => panic!("{other:?}"),
            },
        };
        prop_assert!(got.is_none_or(|got| got == want));
    }
}

/// A CONNECT of theirs with every field, field by field.
#[test]
fn a_connect_of_mqttbytes_is_read_as_it_was_meant() {
    use ::mqttbytes::QoS;
    use ::mqttbytes::v5::{Connect, ConnectProperties, LastWill};
    let mut theirs = Connect::new("client");
    theirs.keep_alive = 17;
    theirs.clean_session = false;
    theirs.set_login("user", "secret");
    theirs.last_will = Some(LastWill::new("w/t", b"bye".to_vec(), QoS::AtLeastOnce, true));
    let properties = ConnectProperties {
        session_expiry_interval: Some(33),
        receive_maximum: None,
        max_packet_size: None,
        topic_alias_max: None,
        request_response_info: None,
        request_problem_info: None,
        user_properties: Vec::new(),
        authentication_method: None,
        authentication_data: None,
    };
    theirs.properties = Some(properties);
    let mut out = BytesMut::new();
    theirs.write(&mut out).unwrap();
    let Ok(Packet::Connect(ours)) = from_client(V5, out.to_vec()) else { panic!() };
    assert_eq!((ours.version, ours.client_id, ours.keep_alive, ours.clean_start), (V5, "client", 17, false));
    assert_eq!((ours.user_name, ours.password), (Some("user"), Some(b"secret".as_slice())));
    assert_eq!(ours.properties.session_expiry(), Some(33));
    let will = ours.will.unwrap();
    assert_eq!((will.topic.as_str(), will.payload), ("w/t", b"bye".as_slice()));
    assert_eq!((will.qos, will.retain), (Qos::AtLeastOnce, true));
}

/// A SUBSCRIBE of theirs with every option, field by field.
#[test]
fn a_subscribe_of_rumqttc_is_read_as_it_was_meant() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Filter, RetainForwardRule, Subscribe};
    let mut second = Filter::new("b", QoS::ExactlyOnce);
    second.nolocal = true;
    second.preserve_retain = true;
    second.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
    let mut theirs = Subscribe::new_many([Filter::new("a/#", QoS::AtLeastOnce), second], None);
    theirs.pkid = 5;
    let mut out = BytesMut::new();
    theirs.write(&mut out).unwrap();
    let Ok(Packet::Subscribe(ours)) = from_client(V5, out.to_vec()) else { panic!() };
    let [first, second] = ours.filters.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(ours.packet_id.get(), 5);
    assert_eq!((first.filter, first.options), ("a/#", SubscriptionOptions::of_qos(Qos::AtLeastOnce)));
    let retain_handling = RetainHandling::SendIfNew;
    let options =
        SubscriptionOptions { qos: Qos::ExactlyOnce, no_local: true, retain_as_published: true, retain_handling };
    assert_eq!((second.filter, second.options), ("b", options));
}

/// A CONNECT of MQTT 3.1, field by field: rmqtt reads it and cannot write it.
#[test]
fn a_connect_of_mqtt_3_1_is_read_by_rmqtt_as_it_was_meant() {
    let topic = TopicName::new("w/t").unwrap();
    let will = Will { qos: Qos::ExactlyOnce, retain: true, properties: Properties::EMPTY, topic, payload: b"bye" };
    let ours = Connect {
        version: V3,
        bridge: false,
        clean_start: true,
        keep_alive: 17,
        properties: Properties::EMPTY,
        client_id: "c",
        will: Some(will),
        user_name: Some("user"),
        password: Some(b"secret"),
    };
    let mut stream = BytesMut::from(encoded(&Packet::Connect(ours), V3).as_slice());
    let (theirs, _) = rmqtt_codec::v3::Codec::new(1 << 20).decode(&mut stream).unwrap().unwrap();
    let rmqtt_codec::v3::Packet::Connect(theirs) = theirs else { panic!("{theirs:?}") };
    assert_eq!((theirs.protocol.level(), theirs.clean_session, theirs.keep_alive), (3, true, 17));
    assert_eq!((&*theirs.client_id, theirs.username.as_deref()), ("c", Some("user")));
    assert_eq!(theirs.password.as_deref(), Some(b"secret".as_slice()));
    let will = theirs.last_will.unwrap();
    assert_eq!((&*will.topic, &will.message[..], will.qos as u8, will.retain), ("w/t", b"bye".as_slice(), 2, true));
}

/// Every packet type of every version is among what the property tests make.
#[test]
fn all_fifteen_packets_meet_the_witnesses() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3000 {
        let tree = prop_oneof![any_packet(), any_publish()].new_tree(&mut runner).unwrap();
        let (version, packet) = tree.current();
        seen.insert((version.to_string(), packet.packet_type() as u8));
    }
    assert_eq!(seen.len(), 14 + 14 + 15, "{seen:?}");
}
