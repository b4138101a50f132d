//! What the session's part of a turn costs: packets decoded, judged, and answered.
//!
//! What lives here: codec and `session` together, for a window of twenty publications, in CPU time of one thread.
//! What does not: rights, routes and sockets.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cpu_time.rs"]
mod cpu_time;
#[path = "workload/turn.rs"]
mod work;

use std::hint::black_box;

use certus::mqtt::{ClientId, Qos, Version};
use certus::session::Session;
use cpu_time::CpuTime;
use criterion::{Criterion, Throughput};
use work::{WINDOW, reads, terms, turns};

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut criterion = Criterion::default().with_measurement(CpuTime).configure_from_args().without_plots();
    let mut group = criterion.benchmark_group("session turn");
    group.throughput(Throughput::Elements(u64::from(WINDOW)));
    for version in [Version::V4, Version::V5] {
        for (qos, expiry, each) in [(0, 0, 0), (1, 0, 4), (1, 3600, 4), (2, 3600, 8)] {
            let qos = Qos::from_bits(qos).unwrap();
            let mut session = Session::new(ClientId::new("pump"), terms(version, expiry));
            let (reads, mut out) = (reads(version, qos), Vec::new());
            let answers = usize::from(WINDOW) * each;
            for _ in 0..3 {
                assert_eq!(turns(&mut session, version, &reads, &mut out), answers, "bytes of answers");
            }
            let life = if expiry == 0 { "clean" } else { "lasting" };
            let name = format!("{WINDOW} publications, {version}, QoS {}, {life} session", qos.bits());
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(turns(&mut session, version, &reads, &mut out)));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
