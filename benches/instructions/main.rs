//! Instructions that the hot parts execute, counted by valgrind and compared with accepted counts.
//!
//! What lives here: the parts, and the comparison. What does not: time; it is too noisy to guard anything. Invariant: only
//! what runs inside `measured_part` is counted, so that making ready costs nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod accepted;
#[path = "../workload/turn.rs"]
mod turn;
#[path = "../workload/hall.rs"]
mod work;

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::process::{Command, ExitCode};

use certus::codec::{Outgoing, Packet, peek, publish};
use certus::delivery::{Kind, Turn};
use certus::mqtt::{ClientId, MessageView, Qos, SubscriptionOptions, TopicFilter, TopicName, Version};
use certus::router::{Route, Router};
use certus::session::Session;
use work::{Hall, PAYLOAD, TOPIC};

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often each part runs while it is counted.
const TIMES: u64 = 100;

/// A part by name, and how to make it ready.
type Part = (&'static str, fn() -> Box<dyn FnMut()>);

const PARTS: &[Part] = &[
    ("codec: decode and encode PUBLISH, 3.1.1, QoS 1", || codec(Version::V4)),
    ("codec: decode and encode PUBLISH, 5.0, QoS 1", || codec(Version::V5)),
    ("session turn: 20 publications, QoS 0", || session(Qos::AtMostOnce, 0)),
    ("session turn: 20 publications, QoS 1", || session(Qos::AtLeastOnce, 0)),
    ("session turn: 20 publications, QoS 2, lasting", || session(Qos::ExactlyOnce, 3600)),
    ("topic match: among 10,000 exact and 1,000 wildcard filters", topics),
    ("fan-out: 20 messages to 1 clean session, QoS 1", || fan_out(1, Kind::Volatile)),
    ("fan-out: 20 messages to 100 clean sessions, QoS 1", || fan_out(100, Kind::Volatile)),
    ("fan-out: 20 messages to 10 lasting sessions, QoS 1", || fan_out(10, Kind::Persistent)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let part = arguments.iter().position(|word| word == "--part").and_then(|at| arguments.get(at + 1));
    match part.and_then(|name| PARTS.iter().find(|(known, _)| known == name)) {
        Some((_, ready)) => {
            let mut work = ready();
            // Tables, buffers and branches are as they are later on.
            (0..3).for_each(|_| work());
            measured_part(&mut *work);
            ExitCode::SUCCESS
        }
        None => guard(arguments.iter().any(|word| word == "--accept")),
    }
}

/// What is counted; valgrind knows it by its name.
#[inline(never)]
fn measured_part(work: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        black_box(&mut *work)();
    }
}

/// Counts all parts, and compares them, or takes them as the new measure.
fn guard(accept: bool) -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed (apt-get install valgrind)");
        println!("0 passed, 0 failed, {} skipped", PARTS.len());
        return ExitCode::SUCCESS;
    }
    let counted: Result<Vec<_>, String> = PARTS.iter().map(|(name, _)| Ok((*name, count(name)? / TIMES))).collect();
    match counted {
        Ok(counts) if accept => accepted::write(&counts),
        Ok(counts) => accepted::compare(&counts),
        Err(reason) => {
            println!("{reason}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// The instructions of one part, in a process of its own.
fn count(name: &str) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured_part*"])
        .arg(program)
        .args(["--part", name])
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    let count = line.and_then(|(_, rest)| rest.trim().parse().ok()).filter(|count| *count > 0);
    count.filter(|_| output.status.success()).ok_or_else(|| format!("{name}: valgrind counted nothing:\n{said}"))
}

fn codec(version: Version) -> Box<dyn FnMut()> {
    let message = Outgoing {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        packet_id: NonZeroU16::new(7),
        topic: TopicName::new(TOPIC).unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: &PAYLOAD,
    };
    let (mut frame, mut out) = (Vec::new(), Vec::with_capacity(1 << 12));
    publish::encode(&mut frame, version, &message);
    Box::new(move || {
        let frame = peek(black_box(&frame), 1 << 20).unwrap().unwrap();
        let Packet::Publish(publish) = Packet::decode_from_client(&frame, version).unwrap() else { return };
        out.clear();
        publish.encode(version, &mut out);
        black_box(out.len());
    })
}

fn session(qos: Qos, expiry: u32) -> Box<dyn FnMut()> {
    let mut session = Session::new(ClientId::new("pump"), turn::terms(Version::V4, expiry));
    let (reads, mut out) = (turn::reads(Version::V4, qos), Vec::new());
    Box::new(move || {
        black_box(turn::turns(&mut session, Version::V4, &reads, &mut out));
    })
}

fn topics() -> Box<dyn FnMut()> {
    let mut router: Router<u64> = Router::default();
    let options = SubscriptionOptions::of_qos(Qos::AtLeastOnce);
    for n in 0..10_000 {
        let filter = format!("site-{}/line-{}/sensor/state", n % 100, n / 100);
        router.subscribe(&TopicFilter::new(&filter).unwrap(), n, options, None);
    }
    for n in 0..1_000 {
        let filter = if n % 2 == 0 {
            format!("site-{}/+/machine-{n}/state", n % 100)
        } else {
            format!("site-{}/line-{n}/#", n % 100)
        };
        router.subscribe(&TopicFilter::new(&filter).unwrap(), n, options, None);
    }
    let mut route = Route::default();
    let topics: Vec<String> = (0..10).map(|n| format!("site-{n}/line-{}/sensor/state", n * 7)).collect();
    Box::new(move || {
        for topic in &topics {
            router.route(TopicName::new(topic).unwrap(), None, &mut route);
            black_box(route.recipients.len());
        }
    })
}

fn fan_out(recipients: u32, kind: Kind) -> Box<dyn FnMut()> {
    let mut hall = Hall::new(recipients, kind, Qos::AtLeastOnce);
    let (mut turn, mut items) = (Turn::default(), VecDeque::new());
    Box::new(move || {
        let topic = TopicName::new(TOPIC).unwrap();
        let qos = Qos::AtLeastOnce;
        let message = MessageView { topic, qos, retain: false, properties: &[], expiry: None, payload: &PAYLOAD };
        assert_eq!(hall.turn(&mut turn, &message, 20, &mut items), u64::from(recipients) * 20);
    })
}
