//! How fast a PUBLISH is read and written.
//!
//! What lives here: the codec's hot path, with mqttbytes in the same run. What
//! does not: sockets. The message is that of deps.md §1.3: a topic of 28 bytes,
//! a payload of 64.
#![allow(missing_docs, clippy::unwrap_used)]

use certus::codec::{Outgoing, Packet, Publish, peek, publish};
use certus::mqtt::{Qos, TopicName, Version};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroU16;

const TOPIC: &str = "plant/line-07/pump-0042/temp";
const PAYLOAD: [u8; 64] = [b'x'; 64];

fn message(qos: Qos) -> Outgoing<'static> {
    Outgoing {
        dup: false,
        qos,
        retain: false,
        packet_id: NonZeroU16::new(7).filter(|_| qos != Qos::AtMostOnce),
        topic: TopicName::new(TOPIC).unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: &PAYLOAD,
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    group.throughput(Throughput::Elements(1));
    for (version, qos) in [
        (Version::V4, Qos::AtMostOnce),
        (Version::V4, Qos::AtLeastOnce),
        (Version::V5, Qos::AtMostOnce),
        (Version::V5, Qos::AtLeastOnce),
    ] {
        let mut frame = Vec::new();
        publish::encode(&mut frame, version, &message(qos));
        let name = format!("{version}, QoS {}", qos.bits());
        group.bench_function(format!("frame, {name}"), |b| {
            b.iter(|| black_box(peek(black_box(&frame), 1 << 20).unwrap().unwrap().len));
        });
        group.bench_function(format!("decode, {name}"), |b| {
            b.iter(|| {
                let frame = peek(black_box(&frame), 1 << 20).unwrap().unwrap();
                let publish = Publish::decode(&frame, version).unwrap();
                publish.check_from_client().unwrap();
                black_box((publish.topic, publish.payload))
            });
        });
        group.bench_function(format!("decode as any packet, {name}"), |b| {
            b.iter(|| {
                let frame = peek(black_box(&frame), 1 << 20).unwrap().unwrap();
                let Packet::Publish(publish) = Packet::decode_from_client(&frame, version).unwrap() else { return };
                black_box((publish.topic, publish.payload));
            });
        });
        group.bench_function(format!("encode, {name}"), |b| {
            let message = message(qos);
            let mut out = Vec::with_capacity(1 << 12);
            b.iter(|| {
                out.clear();
                publish::encode(&mut out, version, black_box(&message));
                black_box(out.len())
            });
        });
        group.bench_function(format!("decode and encode, {name}"), |b| {
            let mut out = Vec::with_capacity(1 << 12);
            b.iter(|| {
                let frame = peek(black_box(&frame), 1 << 20).unwrap().unwrap();
                let publish = Publish::decode(&frame, version).unwrap();
                publish.check_from_client().unwrap();
                out.clear();
                publish.encode(version, &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn rival(c: &mut Criterion) {
    let mut group = c.benchmark_group("mqttbytes");
    group.throughput(Throughput::Elements(1));
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let mut frame = Vec::new();
        publish::encode(&mut frame, Version::V4, &message(qos));
        group.bench_function(format!("decode and encode, 3.1.1, QoS {}", qos.bits()), |b| {
            let mut input = bytes::BytesMut::with_capacity(1 << 12);
            let mut out = bytes::BytesMut::with_capacity(1 << 12);
            b.iter(|| {
                input.extend_from_slice(black_box(&frame));
                let Ok(mqttbytes::v4::Packet::Publish(packet)) = mqttbytes::v4::read(&mut input, 1 << 20) else {
                    return;
                };
                out.clear();
                let _ = packet.write(&mut out);
                black_box(out.len());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, rival);
criterion_main!(benches);
