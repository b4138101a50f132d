//! Rivals for one id, on real sockets (dataplane.md section 11).

use std::collections::BTreeSet;
use std::thread;

use certus::codec::{self, Packet};
use certus::mqtt::{Qos, ReasonCode};
use certus::telemetry::metrics::Gauge;

use crate::peer::{DISCONNECT, Hello, Peer};
use crate::stage::{Stage, pause};

/// All rivals connect at once: one keeps the session, the others are told that
/// they lost it, or that it was claimed while they waited.
fn race(stage: &Stage, hello: &Hello, rivals: usize) -> Peer {
    let mut peers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..rivals)
            .map(|_| {
                scope.spawn(|| {
                    let mut peer = Peer::silent(stage.plain);
                    let answer = peer.greet(hello);
                    (peer, answer)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (_, answer) in &peers {
        let allowed = matches!(answer, Some(ReasonCode::Success | ReasonCode::ServerUnavailable));
        assert!(allowed, "{answer:?}");
    }
    peers.retain(|(_, answer)| *answer == Some(ReasonCode::Success));
    let mut owners: Vec<Peer> = Vec::new();
    for (mut peer, _) in peers {
        if is_alive(&mut peer) {
            owners.push(peer);
        }
    }
    assert_eq!(owners.len(), 1, "one rival owns the session");
    owners.remove(0)
}

/// Whether a ping is answered; who was taken over is told so.
fn is_alive(peer: &mut Peer) -> bool {
    if peer.send(&crate::peer::PING).is_err() {
        return false;
    }
    while let Some(packet) = peer.packet() {
        let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
        match Packet::decode(&frame, certus::mqtt::Version::V5).unwrap() {
            Packet::PingResp => return true,
            Packet::Disconnect(disconnect) => {
                assert_eq!(disconnect.reason, ReasonCode::SessionTakenOver);
                return false;
            }
            _ => {}
        }
    }
    false
}

#[test]
fn one_of_many_rivals_owns_the_session() {
    let stage = Stage::start();
    for round in 0..30 {
        let hello = Hello::new("prize").lasting();
        let owner = race(&stage, &hello, 2 + round % 4);
        stage.await_connections(1);
        drop(owner);
    }
    stage.await_connections(0);
    assert_eq!(Gauge::Sessions.value(), 1);
}

/// Each connection that held the session leaves one will, and none that did
/// not hold it leaves any.
#[test]
fn every_lost_connection_leaves_one_will() {
    let stage = Stage::start();
    let mut mourner = Peer::connect(stage.plain, &Hello::new("mourner"));
    mourner.subscribe("will/+", Qos::AtLeastOnce);
    for round in 0..10_u32 {
        let topic = format!("will/{round}");
        let hello = Hello::new("prize").will(&topic, Qos::AtLeastOnce);
        let rivals: Vec<_> = (0..3).map(|_| Peer::connect(stage.plain, &hello)).collect();
        let mut last = rivals.into_iter().next_back().unwrap();
        last.send(&DISCONNECT).unwrap();
        // Two were taken over; the third left with a word.
        assert_eq!((mourner.message().topic, mourner.message().topic), (topic.clone(), topic));
        stage.await_connections(1);
    }
    mourner.ping();
}

/// Whoever owns the session, every message comes, and none of QoS 2 twice.
#[test]
fn no_message_is_lost_or_doubled_while_rivals_change() {
    const COUNT: u32 = 400;
    let stage = Stage::start();
    let hello = Hello::new("prize").lasting();
    Peer::connect(stage.plain, &hello).subscribe("goods", Qos::ExactlyOnce);
    let mut given = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut says = Peer::connect(stage.plain, &Hello::new("says"));
            for number in 0..COUNT {
                let id = 1 + number as u16;
                says.publish("goods", Qos::ExactlyOnce, id, &number.to_be_bytes());
                says.acknowledgement();
                says.send(&[0x62, 2, (id >> 8) as u8, id as u8]).unwrap();
                says.acknowledgement();
            }
        });
        let mut held = BTreeSet::new();
        let mut turn = 0;
        while given.len() < COUNT as usize {
            turn += 1;
            let mut owner = Peer::connect(stage.plain, &hello);
            assert!(owner.present);
            // Each owner takes a few packets and is then overtaken by the next.
            for _ in 0..3 + turn % 23 {
                if given.len() >= COUNT as usize {
                    break;
                }
                let Some(packet) = owner.packet() else { break };
                receive(&mut owner, &packet, &mut held, &mut given);
            }
            if turn % 3 == 0 {
                pause(std::time::Duration::from_millis(1));
            }
        }
    });
    assert_eq!(given, (0..COUNT).collect::<Vec<_>>());
}

/// The client's half of QoS 2, with a memory that outlives connections.
fn receive(peer: &mut Peer, packet: &[u8], held: &mut BTreeSet<u16>, given: &mut Vec<u32>) {
    let frame = codec::peek(packet, usize::MAX).unwrap().unwrap();
    let (answer, id) = match Packet::decode(&frame, certus::mqtt::Version::V5).unwrap() {
        Packet::Publish(publish) => {
            let id = publish.packet_id.unwrap().get();
            if held.insert(id) {
                given.push(u32::from_be_bytes(publish.payload.try_into().unwrap()));
            }
            (0x50, id)
        }
        Packet::Ack(ack) => {
            held.remove(&ack.packet_id.get());
            (0x70, ack.packet_id.get())
        }
        _ => return,
    };
    let _ = peer.send(&[answer, 2, (id >> 8) as u8, id as u8]);
}
