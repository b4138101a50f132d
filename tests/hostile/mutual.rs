//! Clients that would block each other, if anybody waited for anybody
//! (dataplane.md section 10).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use certus::codec::{self, AckKind, Packet};
use certus::mqtt::{Qos, Version};

use crate::peer::{Hello, Peer, publish};
use crate::stage::{Stage, now, pause};

const WHILE: Duration = Duration::from_millis(1_200);
/// Progress within this time, always.
const PROGRESS: Duration = Duration::from_secs(1);

/// Receives from one neighbour and floods the next, on one thread: with at most
/// `window` of its own publications unanswered.
fn member(mut peer: Peer, to: &str, qos: Qos, stop: &AtomicBool, received: &AtomicU64) {
    let (mut next, mut open, window) = (1_u16, 0_u32, 64);
    while !stop.load(Ordering::Relaxed) {
        let mut out = Vec::new();
        while open < window {
            out.extend_from_slice(&publish(Version::V5, to, qos, next, &[0; 32]));
            next = if next == u16::MAX { 1 } else { next + 1 };
            open += 1;
        }
        if peer.send(&out).is_err() {
            return;
        }
        if qos == Qos::AtMostOnce {
            open = 0;
            peer.send(&crate::peer::PING).unwrap();
        }
        loop {
            let Some(packet) = peer.packet() else { return };
            let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
            let mut answer = |kind: u8, id: u16| {
                let _ = peer.send(&[kind, 2, (id >> 8) as u8, id as u8]);
            };
            match Packet::decode(&frame, Version::V5).unwrap() {
                Packet::Publish(message) => {
                    received.fetch_add(1, Ordering::Relaxed);
                    match (message.qos, message.packet_id) {
                        (Qos::AtLeastOnce, Some(id)) => answer(0x40, id.get()),
                        (Qos::ExactlyOnce, Some(id)) => answer(0x50, id.get()),
                        _ => {}
                    }
                }
                Packet::Ack(ack) => match ack.kind {
                    AckKind::PubAck | AckKind::PubComp => open -= 1,
                    AckKind::PubRec => answer(0x62, ack.packet_id.get()),
                    AckKind::PubRel => answer(0x70, ack.packet_id.get()),
                },
                Packet::PingResp => break,
                _ => {}
            }
            if qos != Qos::AtMostOnce && open < window {
                break;
            }
        }
    }
}

fn ring(count: usize, qos: Qos) {
    let stage = Stage::with(|settings| {
        (settings.delivery.ring_messages, settings.delivery.offline_messages) = (200, 200);
    });
    let peers: Vec<_> = (0..count)
        .map(|number| {
            let mut peer = Peer::connect(stage.plain, &Hello::new(&format!("member-{number}")).lasting().window(1));
            peer.subscribe(&format!("ring/{number}"), qos);
            peer
        })
        .collect();
    let received: Vec<_> = (0..count).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, peer) in peers.into_iter().enumerate() {
            let (stop, received) = (&stop, &received[number]);
            let to = format!("ring/{}", (number + 1) % count);
            scope.spawn(move || member(peer, &to, qos, stop, received));
        }
        let mut last: Vec<_> = vec![(0, now()); count];
        let end = now() + WHILE;
        while now() < end {
            pause(Duration::from_millis(20));
            for (number, (seen, at)) in last.iter_mut().enumerate() {
                let count = received[number].load(Ordering::Relaxed);
                if count > *seen {
                    (*seen, *at) = (count, now());
                } else if now() - *at > PROGRESS {
                    stop.store(true, Ordering::Relaxed);
                    panic!("member {number} stands at {count} since {:?}", now() - *at);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn two_clients_that_flood_each_other_always_make_progress_at_qos_0() {
    ring(2, Qos::AtMostOnce);
}

#[test]
fn two_clients_that_flood_each_other_always_make_progress_at_qos_1() {
    ring(2, Qos::AtLeastOnce);
}

#[test]
fn two_clients_that_flood_each_other_always_make_progress_at_qos_2() {
    ring(2, Qos::ExactlyOnce);
}

#[test]
fn a_ring_of_clients_always_makes_progress_at_qos_1() {
    ring(8, Qos::AtLeastOnce);
}

#[test]
fn a_ring_of_clients_always_makes_progress_at_qos_2() {
    ring(8, Qos::ExactlyOnce);
}
