//! The session alone, with a position that the test moves.

use std::num::NonZeroU16;

use super::*;
use crate::codec::{Ack, AckKind, Publish, Subscribe, Unsubscribe};
use crate::mqtt::{SubscriptionOptions, TopicName, Version};

fn terms(version: Version, session_expiry: u32) -> Terms {
    Terms {
        version,
        send_window: 4,
        receive_maximum: 3,
        max_packet_out: u32::MAX,
        topic_alias_maximum: 2,
        outgoing_aliases: 0,
        max_subscriptions: 2,
        max_topic_levels: 8,
        problem_information: true,
        session_expiry,
        session_expiry_cap: 1000,
    }
}

fn session(version: Version, expiry: u32) -> Session {
    Session::new(ClientId::new("c"), terms(version, expiry))
}

fn id(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// A PUBLISH to `t`, decoded from its bytes.
fn publish(qos: Qos, packet_id: u16) -> Publish<'static> {
    let mut bytes = Vec::new();
    let outgoing = codec::Outgoing {
        dup: false,
        qos,
        retain: false,
        packet_id: NonZeroU16::new(packet_id),
        topic: TopicName::new("t").unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: b"x",
    };
    codec::publish::encode(&mut bytes, Version::V4, &outgoing);
    let frame = codec::peek(bytes.leak(), 100).unwrap().unwrap();
    Publish::decode(&frame, Version::V4).unwrap()
}

fn ack(kind: AckKind, packet_id: u16) -> Ack<'static> {
    Ack::new(kind, id(packet_id), ReasonCode::Success)
}

fn released(session: &mut Session, durable: u64) -> Vec<u8> {
    let mut out = Vec::new();
    session.release(durable, &mut out);
    out
}

/// The row PUBACK of the table of what waits for the disk.
/// [MQTT-4.3.2-4] [MQTT-2.2.1-5]
#[test]
fn puback_waits_for_the_store() {
    let mut session = session(Version::V4, 100);
    session.on_publish(&publish(Qos::AtLeastOnce, 7)).unwrap();
    assert!(released(&mut session, 100).is_empty(), "its batch was not appended yet");
    session.answers_wait_for(5);
    assert!(released(&mut session, 4).is_empty());
    assert_eq!(released(&mut session, 5), [0x40, 2, 0, 7]);
}

/// An answer that needs no disk waits for nothing, but keeps its place.
/// [MQTT-4.6.0-2]
#[test]
fn answers_leave_in_the_order_of_the_packets() {
    let mut session = session(Version::V4, 100);
    session.on_publish(&publish(Qos::AtLeastOnce, 1)).unwrap();
    session.answers_wait_for(5);
    session.on_publish(&publish(Qos::AtLeastOnce, 2)).unwrap();
    session.answers_wait_for(0);
    assert!(released(&mut session, 4).is_empty());
    assert_eq!(released(&mut session, 5), [0x40, 2, 0, 1, 0x40, 2, 0, 2]);
}

/// PUBREC waits; the repetition is routed no second time and answered again;
/// PUBCOMP waits for the removal of the identifier.
/// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12]
#[test]
fn an_incoming_qos_2_message_is_routed_once() {
    let mut session = session(Version::V4, 100);
    let first = session.on_publish(&publish(Qos::ExactlyOnce, 9)).unwrap();
    assert!(matches!(first, Inbound::Route(Some(_))));
    assert_eq!(session.drain_changes().collect::<Vec<_>>(), [Change::Inbound { packet_id: 9, held: true }]);
    session.answers_wait_for(3);
    assert_eq!(session.on_publish(&publish(Qos::ExactlyOnce, 9)).unwrap(), Inbound::Repeat);
    session.answers_wait_for(0);
    assert!(released(&mut session, 2).is_empty());
    assert_eq!(released(&mut session, 3), [0x50, 2, 0, 9, 0x50, 2, 0, 9]);
    session.on_acknowledgement(&ack(AckKind::PubRel, 9)).unwrap();
    assert_eq!(session.drain_changes().collect::<Vec<_>>(), [Change::Inbound { packet_id: 9, held: false }]);
    session.answers_wait_for(4);
    assert!(released(&mut session, 3).is_empty());
    assert_eq!(released(&mut session, 4), [0x70, 2, 0, 9]);
    let again = session.on_publish(&publish(Qos::ExactlyOnce, 9)).unwrap();
    assert!(matches!(again, Inbound::Route(Some(_))), "after PUBCOMP the identifier is free");
}

/// A connection that was lost between append and sync does not make the batch
/// durable: the repeated PUBREC waits for the first one's position.
#[test]
fn a_repeated_answer_waits_for_what_the_first_waited_for() {
    let mut session = session(Version::V4, 100);
    session.on_publish(&publish(Qos::ExactlyOnce, 9)).unwrap();
    session.answers_wait_for(8);
    session.detach();
    session.attach(terms(Version::V4, 100), None);
    assert_eq!(session.on_publish(&publish(Qos::ExactlyOnce, 9)).unwrap(), Inbound::Repeat);
    session.answers_wait_for(0);
    assert!(released(&mut session, 7).is_empty());
    assert_eq!(released(&mut session, 8), [0x50, 2, 0, 9]);
}

/// PUBREL waits until "PUBREC received" is durable. [MQTT-4.3.3-4]
#[test]
fn pubrel_waits_for_the_store() {
    let mut session = session(Version::V4, 100);
    assert_eq!(session.outbound_mut().begin(Some(0), Qos::ExactlyOnce), Some(1));
    session.on_acknowledgement(&ack(AckKind::PubRec, 1)).unwrap();
    assert_eq!(session.drain_changes().collect::<Vec<_>>(), [Change::Released { seq: 0 }]);
    session.answers_wait_for(6);
    assert!(released(&mut session, 5).is_empty());
    assert_eq!(released(&mut session, 6), [0x62, 2, 0, 1]);
    assert_eq!(session.on_acknowledgement(&ack(AckKind::PubComp, 1)).unwrap(), Acknowledged::Finished { seq: 0 });
    assert_eq!(session.outbound_mut().drain_finished().collect::<Vec<_>>(), [0]);
}

/// SUBACK and UNSUBACK wait for the subscriptions. [MQTT-3.8.4-1]
/// [MQTT-3.8.4-2] [MQTT-3.10.4-4] [MQTT-3.11.2-1]
#[test]
fn suback_and_unsuback_wait_for_the_store() {
    let mut session = session(Version::V4, 100);
    let entries = [codec::Subscription { filter: "a/+", options: SubscriptionOptions::of_qos(Qos::AtLeastOnce) }];
    let packet = Subscribe { packet_id: id(7), properties: codec::Properties::EMPTY, filters: entries[..].into() };
    session.handle_packet(Packet::Subscribe(packet)).unwrap();
    let Some(Output::Subscribe { packet_id, wishes }) = session.poll_output() else { panic!("no wish") };
    let grants = wishes.into_iter().map(|wish| match wish {
        Wish::Subscribe { subscription, .. } => Grant::Granted(subscription),
        Wish::Refused(reason) => Grant::Refused(reason),
    });
    session.handle_granted(packet_id, grants.collect());
    assert_eq!(session.drain_changes().count(), 1);
    session.answers_wait_for(2);
    assert!(released(&mut session, 1).is_empty());
    assert_eq!(released(&mut session, 2), [0x90, 3, 0, 7, 1]);
    let names = ["a/+", "never"];
    let packet = Unsubscribe { packet_id: id(8), properties: codec::Properties::EMPTY, filters: names[..].into() };
    session.handle_packet(Packet::Unsubscribe(packet)).unwrap();
    session.answers_wait_for(3);
    assert!(released(&mut session, 2).is_empty());
    assert_eq!(released(&mut session, 3), [0xB0, 2, 0, 8]);
    assert!(session.subscriptions().is_empty());
}

/// [MQTT-3.3.4-7] [MQTT-3.3.4-9]: the window counts both qualities of service.
#[test]
fn more_unfinished_publications_than_announced_are_a_violation() {
    let mut session = session(Version::V5, 0);
    for packet_id in 1..=3 {
        session.on_publish(&publish(Qos::AtLeastOnce, packet_id)).unwrap();
    }
    assert_eq!(session.on_publish(&publish(Qos::ExactlyOnce, 4)), Err(Violation::ReceiveMaximum(3)));
    session.answers_wait_for(0);
    released(&mut session, 0);
    assert!(session.on_publish(&publish(Qos::ExactlyOnce, 4)).is_ok());
}

/// [MQTT-4.9.0-2]
#[test]
fn no_more_is_sent_than_the_window_allows() {
    let mut session = session(Version::V5, 0);
    let ids: Vec<_> = (0..5).map(|_| session.outbound_mut().begin(None, Qos::AtLeastOnce)).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4), None]);
    session.on_acknowledgement(&ack(AckKind::PubAck, 2)).unwrap();
    assert_eq!(session.outbound_mut().begin(None, Qos::AtLeastOnce), Some(5));
}

/// [MQTT-2.2.1-4]: identifiers go round and never name two unfinished messages.
#[test]
fn packet_identifiers_go_round_without_a_collision() {
    let mut outbound = Outbound::new(u16::MAX);
    let mut unfinished = std::collections::BTreeSet::new();
    for round in 0..200_000_u64 {
        let packet_id = outbound.begin(Some(round), Qos::AtLeastOnce).unwrap();
        assert!(unfinished.insert(packet_id));
        if round >= 100 {
            let oldest = u16::try_from(1 + (round - 100) % 65_535).unwrap();
            assert_eq!(outbound.on_puback(oldest).unwrap(), Acknowledged::Finished { seq: round - 100 });
            unfinished.remove(&oldest);
        }
    }
    let mut stuck = Outbound::new(u16::MAX);
    assert!(stuck.begin(Some(0), Qos::AtLeastOnce).is_some());
    assert!(stuck.begin(Some(65_533), Qos::AtLeastOnce).is_some());
    assert_eq!(stuck.begin(Some(65_534), Qos::AtLeastOnce), None, "it would come round to an unfinished one");
    let mut late = Outbound::new(u16::MAX);
    for seq in [100, 3] {
        assert!(late.begin(Some(seq), Qos::AtLeastOnce).is_some());
    }
    assert_eq!(late.begin(Some(65_538), Qos::AtLeastOnce), None, "3 was sent late and is not finished");
    let mut behind = Outbound::new(u16::MAX);
    assert!(behind.begin(Some(65_538), Qos::AtLeastOnce).is_some());
    assert_eq!(behind.begin(Some(3), Qos::AtLeastOnce), None, "65538 has its identifier and is not finished");
}

/// [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.3.3-6]
#[test]
fn what_was_in_flight_is_resent_in_the_order_in_which_it_was_sent() {
    let mut session = session(Version::V4, 100);
    for seq in [5, 6, 3] {
        session.outbound_mut().begin(Some(seq), Qos::ExactlyOnce);
    }
    session.on_acknowledgement(&ack(AckKind::PubRec, 7)).unwrap();
    session.detach();
    session.attach(terms(Version::V4, 100), None);
    let stages: Vec<_> = session.resend().iter().map(|flight| (flight.seq, flight.packet_id, flight.stage)).collect();
    assert_eq!(stages, [(5, 6, Stage::Sent2), (6, 7, Stage::Released), (3, 4, Stage::Sent2)]);
}

/// An unknown identifier does no harm; PUBREL and PUBREC of one are answered.
/// [MQTT-4.3.3-11]
#[test]
fn acknowledgements_of_nothing_are_answered_or_ignored() {
    let mut session = session(Version::V5, 0);
    assert_eq!(session.on_acknowledgement(&ack(AckKind::PubAck, 3)), Ok(Acknowledged::Unknown));
    assert_eq!(session.on_acknowledgement(&ack(AckKind::PubComp, 3)), Ok(Acknowledged::Unknown));
    session.on_acknowledgement(&ack(AckKind::PubRec, 3)).unwrap();
    session.on_acknowledgement(&ack(AckKind::PubRel, 4)).unwrap();
    session.answers_wait_for(0);
    assert_eq!(released(&mut session, 0), [0x62, 3, 0, 3, 0x92, 0x70, 3, 0, 4, 0x92]);
}

/// [MQTT-4.3.3-9]: a refused identifier may be used again.
#[test]
fn a_refused_qos_2_message_leaves_no_trace() {
    let mut session = session(Version::V5, 100);
    let Ok(Inbound::Route(Some(answer))) = session.on_publish(&publish(Qos::ExactlyOnce, 4)) else { panic!() };
    session.refuse(answer, ReasonCode::NotAuthorized);
    session.answers_wait_for(0);
    assert_eq!(released(&mut session, 0), [0x50, 3, 0, 4, 0x87]);
    assert!(matches!(session.on_publish(&publish(Qos::ExactlyOnce, 4)), Ok(Inbound::Route(Some(_)))));
}

#[test]
fn filters_beyond_the_bounds_are_refused_and_the_others_are_not() {
    let mut session = session(Version::V5, 0);
    let options = SubscriptionOptions::of_qos(Qos::AtMostOnce);
    let entries = ["a", "b/b/b/b/b/b/b/b/b", "c", "d"].map(|filter| codec::Subscription { filter, options });
    let packet = Subscribe { packet_id: id(1), properties: codec::Properties::EMPTY, filters: entries[..].into() };
    session.handle_packet(Packet::Subscribe(packet)).unwrap();
    let Some(Output::Subscribe { wishes, .. }) = session.poll_output() else { panic!() };
    let refused: Vec<_> = wishes
        .iter()
        .map(|wish| match wish {
            Wish::Subscribe { .. } => None,
            Wish::Refused(reason) => Some(*reason),
        })
        .collect();
    assert_eq!(refused, [None, Some(ReasonCode::TopicFilterInvalid), None, Some(ReasonCode::QuotaExceeded)]);
}

/// [MQTT-3.1.0-2] [MQTT-3.14.4-3]
#[test]
fn packets_out_of_place_end_the_connection() {
    let mut session = session(Version::V4, 0);
    let connect = codec::Connect {
        version: Version::V4,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        properties: codec::Properties::EMPTY,
        client_id: "c",
        will: None,
        user_name: None,
        password: None,
    };
    assert_eq!(session.handle_packet(Packet::Connect(connect)), Err(Violation::SecondConnect));
    assert_eq!(session.handle_packet(Packet::PingResp), Err(Violation::Unexpected));
    session.handle_packet(Packet::Disconnect(codec::Disconnect::new(ReasonCode::Success))).unwrap();
    assert_eq!(session.poll_output(), Some(Output::Disconnect { with_will: false }));
}

/// Section 3.3.2.3.4 of MQTT 5.0.
#[test]
fn topic_aliases_are_bounded_and_must_be_set_before_use() {
    let mut aliases = Aliases::new(2);
    assert_eq!(aliases.resolve(1, ""), Err(Violation::TopicAlias(1)));
    assert_eq!(aliases.resolve(1, "a"), Ok("a"));
    assert_eq!(aliases.resolve(1, ""), Ok("a"));
    assert_eq!(aliases.resolve(1, "b"), Ok("b"));
    assert_eq!(aliases.resolve(1, ""), Ok("b"));
    assert_eq!(aliases.resolve(0, "a"), Err(Violation::TopicAlias(0)));
    assert_eq!(aliases.resolve(3, "a"), Err(Violation::TopicAlias(3)));
}

/// [MQTT-3.1.2-22]
#[test]
fn silence_is_allowed_for_one_and_a_half_keep_alives() {
    #[allow(clippy::disallowed_methods)] // Any instant will do.
    let start = std::time::Instant::now();
    let limit = KeepAlive::new(10).deadline(start).unwrap();
    assert_eq!(limit - start, std::time::Duration::from_secs(15));
    assert_eq!(KeepAlive::new(0).deadline(start), None);
}
