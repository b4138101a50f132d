//! A session's part of a turn: packets decoded, judged, and answered.
//!
//! What lives here: the work. What does not: what it is measured in.

use std::hint::black_box;
use std::num::NonZeroU16;

use certus::codec::{Ack, AckKind, Outgoing, Packet, peek, publish};
use certus::mqtt::{Qos, ReasonCode, TopicName, Version};
use certus::session::{Session, Terms};

/// Publications in one read.
pub const WINDOW: u16 = 20;
const TOPIC: &str = "plant/line-07/pump-0042/temp";
const PAYLOAD: [u8; 16] = [b'x'; 16];

/// What both sides agreed on.
pub fn terms(version: Version, session_expiry: u32) -> Terms {
    Terms {
        version,
        send_window: 100,
        receive_maximum: 100,
        max_packet_out: u32::MAX,
        topic_alias_maximum: 0,
        outgoing_aliases: 0,
        max_subscriptions: 100,
        max_topic_levels: 32,
        problem_information: true,
        session_expiry,
        session_expiry_cap: u32::MAX,
    }
}

/// What a publisher with a full window sends, one read for each element.
pub fn reads(version: Version, qos: Qos) -> Vec<Vec<u8>> {
    let mut publications = Vec::new();
    let mut releases = Vec::new();
    for id in 1..=WINDOW {
        let packet_id = NonZeroU16::new(id).unwrap();
        let message = Outgoing {
            dup: false,
            qos,
            retain: false,
            packet_id: Some(packet_id),
            topic: TopicName::new(TOPIC).unwrap(),
            alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: &PAYLOAD,
        };
        publish::encode(&mut publications, version, &message);
        Ack::new(AckKind::PubRel, packet_id, ReasonCode::Success).encode(version, &mut releases);
    }
    if qos == Qos::ExactlyOnce { vec![publications, releases] } else { vec![publications] }
}

/// One turn for each read; answers how many bytes of answers left.
pub fn turns(session: &mut Session, version: Version, reads: &[Vec<u8>], out: &mut Vec<u8>) -> usize {
    out.clear();
    for read in reads {
        let mut rest = read.as_slice();
        while let Some(frame) = peek(rest, 1 << 20).unwrap() {
            match Packet::decode_from_client(&frame, version).unwrap() {
                Packet::Publish(publish) => {
                    publish.check_from_client().unwrap();
                    black_box(session.on_publish(&publish).unwrap());
                }
                Packet::Ack(ack) => {
                    black_box(session.on_acknowledgement(&ack).unwrap());
                }
                other => unreachable!("{}", other.packet_type().name()),
            }
            rest = rest.get(frame.len..).unwrap_or_default();
        }
        session.drain_changes().for_each(drop);
        session.answers_wait_for(0);
        session.release(0, out);
    }
    out.len()
}
