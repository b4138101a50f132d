//! What the store takes: `cargo bench --bench store [-- commit|drain|resume] [--messages N] [--dir PATH] [--level fsync|os]`.
//!
//! `commit`: publishers with a window of 20 messages of 256 bytes, each turn one batch, into sleeping sessions;
//! a publisher goes on when its batch is durable. `drain`: the same sessions take all of it again. `resume`: how
//! long it takes until a store with so many messages and 100 sessions is open after a kill, and what the index
//! weighs. Beside them stands what the disk's own fdatasync takes, on the same file system.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use certus::mqtt::{MessageId, Qos};
use certus::store::{
    Batch, EmbeddedStore, Level, Op, Position, QueueEntry, SessionUid, Settings, Store, StoredMessage,
};

const PUBLISHERS: u64 = 100;
const WINDOW: u64 = 20;
const SIZE: usize = 256;

struct Plan {
    messages: u64,
    directory: PathBuf,
    level: Level,
    only: Option<String>,
}

fn plan() -> Plan {
    let mut plan = Plan {
        messages: 1_000_000,
        directory: std::env::temp_dir().join(format!("certus-bench-store-{}", std::process::id())),
        level: Level::Fsync,
        only: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--messages" => plan.messages = arguments.next().unwrap().parse().unwrap(),
            "--dir" => plan.directory = PathBuf::from(arguments.next().unwrap()).join("certus-bench-store"),
            "--level" => plan.level = if arguments.next().unwrap() == "os" { Level::Os } else { Level::Fsync },
            "--bench" => {}
            name => plan.only = Some(name.to_owned()),
        }
    }
    plan
}

struct Running {
    store: Arc<EmbeddedStore>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn open(plan: &Plan) -> Self {
        let settings = Settings { level: plan.level, ..Settings::default() };
        let store = EmbeddedStore::open(&plan.directory, settings).unwrap().store;
        let [committer, applier, keeper] = [(); 3].map(|()| Arc::clone(&store));
        let threads = vec![
            thread::spawn(move || committer.run_committer()),
            thread::spawn(move || applier.run_applier()),
            thread::spawn(move || keeper.run_keeper()),
        ];
        Self { store, threads }
    }

    fn close(self) {
        self.store.close();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

fn yardstick(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let path = directory.join("yardstick");
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![0; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    let mut times = Vec::new();
    for at in 0..300_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[at as u8; 4096], at * 4096).unwrap();
        let begin = Instant::now();
        file.sync_data().unwrap();
        times.push(begin.elapsed());
    }
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("fdatasync of 4 KiB      p50 {p50:>9.1?}  p99 {p99:>9.1?}");
    std::fs::remove_file(path).unwrap();
}

fn batch(publisher: u64, first: u64, session: SessionUid, payload: &[u8]) -> Batch {
    let ops = (first..first + WINDOW).map(|seq| {
        let message = Arc::new(StoredMessage {
            id: MessageId { publisher, epoch: 1, counter: seq },
            topic: "plant/7/line/3/sensor".into(),
            properties: Box::default(),
            payload: Bytes::copy_from_slice(payload),
            qos: Qos::AtLeastOnce,
            expires_at: None,
        });
        let (qos, subscription_ids) = (Qos::AtLeastOnce, Box::default());
        let entry = QueueEntry { seq, qos, retain: false, subscription_ids, group: None, message };
        Op::Enqueue { session, entry }
    });
    Batch { ops: ops.collect() }
}

/// Publishes so many messages; two threads serve the publishers.
fn commit(store: &Arc<EmbeddedStore>, messages: u64) -> Vec<Duration> {
    let servers = (0..2_u64).map(|server| {
        let store = Arc::clone(store);
        thread::spawn(move || {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            let turns = messages / PUBLISHERS / WINDOW;
            let mut payload = [0; SIZE];
            let mut random = server + 1;
            let mut idle: Vec<(u64, u64)> =
                (0..PUBLISHERS).filter(|one| one % 2 == server).map(|one| (one, 0)).collect();
            let (mut waiting, mut times) = (VecDeque::new(), Vec::new());
            while !idle.is_empty() || !waiting.is_empty() {
                for (publisher, turn) in idle.drain(..) {
                    for piece in payload.chunks_mut(8) {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        piece.copy_from_slice(&random.to_le_bytes());
                    }
                    let batch = batch(publisher, turn * WINDOW, SessionUid(1 << 40 | publisher), &payload);
                    let begin = Instant::now();
                    let position = loop {
                        match store.append(batch.clone()) {
                            Ok(position) => break position,
                            Err(_) => thread::sleep(Duration::from_millis(1)),
                        }
                    };
                    waiting.push_back((position, publisher, turn + 1, begin));
                }
                let first = waiting.front().map_or(Position::NONE, |(position, ..)| *position);
                if store.wake_at(first, &waker) {
                    thread::park();
                }
                let durable = store.durable();
                while let Some((_, publisher, turn, begin)) =
                    waiting.pop_front_if(|(position, ..)| *position <= durable)
                {
                    times.push(begin.elapsed());
                    if turn < turns {
                        idle.push((publisher, turn));
                    }
                }
            }
            times
        })
    });
    let servers: Vec<_> = servers.collect();
    servers.into_iter().flat_map(|server| server.join().unwrap()).collect()
}

fn drain(store: &Arc<EmbeddedStore>) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = 0;
    for publisher in 0..PUBLISHERS {
        let (session, mut from) = (SessionUid(1 << 40 | publisher), 0);
        loop {
            let Poll::Ready(read) = store.poll_queue(&mut cx, session, from, 64) else { continue };
            let read = read.unwrap();
            let Some(last) = read.last() else { break };
            (from, taken) = (last.entry.seq + 1, taken + read.len() as u64);
            store.append(Batch { ops: vec![Op::Advance { session, up_to: from, sparse: Vec::new() }] }).unwrap();
        }
    }
    taken
}

fn report(name: &str, messages: u64, wall: Duration, cpu: Duration) {
    let (rate, cost) = (messages as f64 / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / messages as f64);
    println!("{name:<23} {rate:>9.0} messages/s  {cost:>6.2} CPU-s per million, this generator included");
}

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            // Blocks, not lengths: journals are sparse.
            Ok(_) => std::os::unix::fs::MetadataExt::blocks(&entry.metadata().unwrap()) * 512,
            Err(_) => 0,
        })
        .sum()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let plan = plan();
    let wants = |name: &str| plan.only.as_ref().is_none_or(|only| only == name);
    yardstick(&plan.directory);
    let running = Running::open(&plan);
    let (begin, used) = (Instant::now(), cpu());
    let mut times = commit(&running.store, plan.messages);
    report("commit", plan.messages, begin.elapsed(), cpu() - used);
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("{:<23} p50 {p50:>9.1?}  p99 {p99:>9.1?}", "  batch of 20 durable");
    println!("{:<23} {} MiB on disk, {} MiB resident", "", size(&plan.directory) >> 20, resident());
    if wants("resume") {
        // Not closed: the threads go on, and the copy is what a kill would leave.
        let running = {
            running.close();
            let begin = Instant::now();
            let running = Running::open(&plan);
            println!("{:<23} {:?} until open", "resume, after a close", begin.elapsed());
            running
        };
        running.close();
    } else {
        running.close();
    }
    if wants("drain") {
        let running = Running::open(&plan);
        let (begin, used) = (Instant::now(), cpu());
        let taken = drain(&running.store);
        report("drain", taken, begin.elapsed(), cpu() - used);
        running.close();
        println!("{:<23} {} MiB on disk", "", size(&plan.directory) >> 20);
    }
    std::fs::remove_dir_all(&plan.directory).unwrap();
}
