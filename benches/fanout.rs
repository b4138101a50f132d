//! What it costs to give the messages of one turn to their recipients.
//!
//! What lives here: parcel, queues, wakes, and the readers' taking, by `delivery` alone, in CPU time of one thread.
//! What does not: packets, sockets and the cache of routes.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cpu_time.rs"]
mod cpu_time;
#[path = "workload/hall.rs"]
mod work;

use std::collections::VecDeque;
use std::hint::black_box;

use certus::delivery::{Kind, Turn};
use certus::mqtt::{MessageView, Qos, TopicName};
use cpu_time::CpuTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use work::{Hall, PAYLOAD, TOPIC};

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn row(group: &mut BenchmarkGroup<'_, CpuTime>, recipients: u32, messages: u32, kind: Kind, qos: Qos) {
    let mut hall = Hall::new(recipients, kind, qos);
    let topic = TopicName::new(TOPIC).unwrap();
    let message = MessageView { topic, qos, retain: false, properties: &[], expiry: None, payload: &PAYLOAD };
    let (mut turn, mut items) = (Turn::default(), VecDeque::new());
    let all = u64::from(recipients) * u64::from(messages);
    // Every message is read once, or the figure means nothing.
    for _ in 0..3 {
        let read = hall.turn(&mut turn, &message, messages, &mut items);
        assert_eq!(read, all, "deliveries of one turn");
    }
    group.throughput(Throughput::Elements(all));
    let lasting = if kind == Kind::Persistent { "lasting" } else { "clean" };
    let name = format!("{messages} to {recipients} {lasting} sessions, QoS {}", qos.bits());
    group.bench_function(name, |bencher| {
        bencher.iter(|| black_box(hall.turn(&mut turn, &message, messages, &mut items)));
    });
}

fn main() {
    let mut criterion = Criterion::default().with_measurement(CpuTime).configure_from_args().without_plots();
    let mut group = criterion.benchmark_group("fan-out");
    for (recipients, messages) in [(1, 1), (1, 20), (1000, 1), (1000, 20)] {
        for (kind, qos) in [
            (Kind::Volatile, Qos::AtMostOnce),
            (Kind::Volatile, Qos::AtLeastOnce),
            (Kind::Persistent, Qos::AtLeastOnce),
        ] {
            row(&mut group, recipients, messages, kind, qos);
        }
    }
    group.finish();
    criterion.final_summary();
}
