//! Do batches stay whole between two connections on tokio's workers?
//!
//! The broker's half runs here, the clients in a child process; the rows vary one switch of the driver at a
//! time. `cargo bench --bench handover [-- FILTER] [--seconds S] [--rounds N]`. What it showed, and what follows
//! for the driver, stands in `src/manual/handover.md`. It knows nothing of certus: frames are 26 bytes shaped
//! like a QoS 1 PUBLISH, acknowledgements 4 bytes. Counts are exact; CPU time is the kernel's
//! (`/proc/self/task/*/schedstat`) for this process alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
#![cfg_attr(not(tokio_unstable), allow(unexpected_cfgs))]

mod driver;
mod load;
mod wire;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use driver::{Acks, Again, Counters, Drain, Driver, Mailbox, Switches};
use load::{Plan, Writes};
use tokio::net::TcpListener;
use wire::{ReadCall, Wire};

/// Who runs the drivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Workers {
    /// tokio's multi-thread runtime with so many workers.
    Many(usize),
    /// The same without the LIFO slot; only in a build with `--cfg tokio_unstable`.
    NoLifo(usize),
    /// One current-thread runtime.
    Single,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    workers: Workers,
    switches: Switches,
    pairs: usize,
    fan_out: usize,
    window: usize,
    writes: Writes,
    tls: bool,
}

const BASE: Switches = Switches {
    acks: Acks::AfterHandOver,
    again: Again::WhenFull,
    drain: Drain::AtOnce,
    read: ReadCall::Poll,
    budget: 64 * 1024,
};

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let runtimes = [Workers::Single, Workers::Many(1), Workers::Many(2), Workers::NoLifo(1), Workers::NoLifo(2)];
    for workers in runtimes {
        if matches!(workers, Workers::NoLifo(_)) && !cfg!(tokio_unstable) {
            continue;
        }
        let mut row = |name: &str, switches: Switches, shape: fn(&mut Row)| {
            let mut row = Row {
                name: format!("{workers:?} {name}"),
                workers,
                switches,
                pairs: 10,
                fan_out: 0,
                window: 20,
                writes: Writes::Whole,
                tls: false,
            };
            shape(&mut row);
            rows.push(row);
        };
        row("base", BASE, |_| {});
        row("base tls", BASE, |row| row.tls = true);
        row("base broken-start", BASE, |row| row.writes = Writes::BrokenStart);
        row("acks-before", Switches { acks: Acks::BeforeHandOver, ..BASE }, |_| {});
        row("acks-before tls", Switches { acks: Acks::BeforeHandOver, ..BASE }, |row| row.tls = true);
        row("acks-before broken-start", Switches { acks: Acks::BeforeHandOver, ..BASE }, |row| {
            row.writes = Writes::BrokenStart
        });
        row("acks-deferred", Switches { acks: Acks::Deferred, ..BASE }, |_| {});
        row("acks-deferred tls", Switches { acks: Acks::Deferred, ..BASE }, |row| row.tls = true);
        row("acks-deferred broken-start", Switches { acks: Acks::Deferred, ..BASE }, |row| {
            row.writes = Writes::BrokenStart
        });
        row("again-greedy", Switches { again: Again::Greedy, ..BASE }, |_| {});
        row("again-always", Switches { again: Again::Always, ..BASE }, |_| {});
        row("drain-yield", Switches { drain: Drain::AfterYield, ..BASE }, |_| {});
        row("drain-yield tls", Switches { drain: Drain::AfterYield, ..BASE }, |row| row.tls = true);
        row("drain-yield broken-start", Switches { drain: Drain::AfterYield, ..BASE }, |row| {
            row.writes = Writes::BrokenStart
        });
        row("single-writes", BASE, |row| row.writes = Writes::Single);
        row("single-writes acks-before", Switches { acks: Acks::BeforeHandOver, ..BASE }, |row| {
            row.writes = Writes::Single;
        });
        row("single-writes acks-deferred", Switches { acks: Acks::Deferred, ..BASE }, |row| {
            row.writes = Writes::Single;
        });
        row("single-writes drain-yield", Switches { drain: Drain::AfterYield, ..BASE }, |row| {
            row.writes = Writes::Single;
        });
        let both = Switches { drain: Drain::AfterYield, acks: Acks::Deferred, ..BASE };
        row("single-writes deferred+yield", both, |row| row.writes = Writes::Single);
        row("try-read", Switches { read: ReadCall::Try, ..BASE }, |_| {});
        row("budget-260B", Switches { budget: 260, ..BASE }, |_| {});
        row("budget-260B greedy", Switches { budget: 260, again: Again::Greedy, ..BASE }, |_| {});
        row("window-200", BASE, |row| row.window = 200);
        row("window-1", BASE, |row| row.window = 1);
        row("fan-200", BASE, |row| (row.pairs, row.fan_out) = (1, 200));
        row("fan-200 drain-yield", Switches { drain: Drain::AfterYield, ..BASE }, |row| {
            (row.pairs, row.fan_out) = (1, 200);
        });
        row("fan-200 acks-deferred", Switches { acks: Acks::Deferred, ..BASE }, |row| {
            (row.pairs, row.fan_out) = (1, 200);
        });
    }
    rows
}

/// Nanoseconds on a processor of all threads of this process.
fn cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

static PARKS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Default)]
struct Totals {
    cpu: u64,
    parks: u64,
    messages_in: u64,
    turns_in: u64,
    deliveries: u64,
    turns_out: u64,
    wakes: u64,
    polls: u64,
    calls: u64,
}

fn totals(drivers: &[Arc<Counters>]) -> Totals {
    let sum = |field: fn(&Counters) -> &AtomicU64| drivers.iter().map(|one| field(one).load(Relaxed)).sum::<u64>();
    Totals {
        cpu: cpu(),
        parks: PARKS.load(Relaxed),
        messages_in: sum(|c| &c.messages_in),
        turns_in: sum(|c| &c.turns_in),
        deliveries: sum(|c| &c.deliveries),
        turns_out: sum(|c| &c.turns_out),
        wakes: sum(|c| &c.wakes),
        polls: sum(|c| &c.polls),
        calls: sum(|c| &c.recv) + sum(|c| &c.send),
    }
}

fn runtime(workers: Workers) -> tokio::runtime::Runtime {
    let mut builder = match workers {
        Workers::Single => tokio::runtime::Builder::new_current_thread(),
        Workers::Many(count) | Workers::NoLifo(count) => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(count);
            builder
        }
    };
    #[cfg(tokio_unstable)]
    if matches!(workers, Workers::NoLifo(_)) {
        builder.disable_lifo_slot();
    }
    builder.enable_all().on_thread_park(|| {
        PARKS.fetch_add(1, Relaxed);
    });
    builder.build().unwrap()
}

fn server_tls() -> (Arc<rustls::ServerConfig>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let hex = certificate.der().iter().map(|byte| format!("{byte:02x}")).collect();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    (Arc::new(config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap()), hex)
}

async fn measure(row: Row, seconds: f64) -> (Totals, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = row.tls.then(server_tls);
    let subscribers = row.fan_out.max(row.pairs);
    let plan = Plan {
        port: listener.local_addr().unwrap().port(),
        publishers: row.pairs,
        subscribers,
        window: row.window,
        writes: row.writes,
        trust: tls.as_ref().map_or_else(|| "-".to_owned(), |(_, hex)| hex.clone()),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--load")
        .args(plan.to_args())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mailboxes = Arc::new((0..subscribers).map(|_| Arc::new(Mailbox::default())).collect::<Vec<_>>());
    let mut drivers = Vec::new();
    for _ in 0..subscribers + row.pairs {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = tls.as_ref().map(|(config, _)| rustls::ServerConnection::new(Arc::clone(config)).unwrap().into());
        let counters = Arc::new(Counters::default());
        drivers.push(Arc::clone(&counters));
        let wire = Wire::new(tcp, tls).unwrap();
        tokio::spawn(Driver::new(wire, Arc::clone(&mailboxes), row.fan_out > 0, row.switches, counters));
    }
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = tokio::task::spawn_blocking(move || lines.next()).await.unwrap();
    assert_eq!(ready.unwrap().unwrap(), "ready");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let (before, start) = (totals(&drivers), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let (after, took) = (totals(&drivers), start.elapsed().as_secs_f64());
    child.kill().unwrap();
    child.wait().unwrap();
    let spent = Totals {
        cpu: after.cpu - before.cpu,
        parks: after.parks - before.parks,
        messages_in: after.messages_in - before.messages_in,
        turns_in: after.turns_in - before.turns_in,
        deliveries: after.deliveries - before.deliveries,
        turns_out: after.turns_out - before.turns_out,
        wakes: after.wakes - before.wakes,
        polls: after.polls - before.polls,
        calls: after.calls - before.calls,
    };
    (spent, took)
}

fn report(row: &Row, rounds: &mut [(Totals, f64)]) {
    let cost = |t: &Totals| t.cpu as f64 / t.deliveries.max(1) as f64;
    rounds.sort_by(|a, b| cost(&a.0).total_cmp(&cost(&b.0)));
    let (t, took) = rounds[rounds.len() / 2];
    let each = |count: u64| count as f64 / t.deliveries.max(1) as f64;
    println!(
        "| {:<34} | {:>5.0}k | {:>6.3} ({:.3}–{:.3}) | {:>6.1} | {:>6.1} | {:>6.3} | {:>6.3} | {:>6.3} | {:>6.3} |",
        row.name,
        t.deliveries as f64 / took / 1e3,
        cost(&t) / 1e3,
        cost(&rounds[0].0) / 1e3,
        cost(&rounds[rounds.len() - 1].0) / 1e3,
        t.messages_in as f64 / t.turns_in.max(1) as f64,
        t.deliveries as f64 / t.turns_out.max(1) as f64,
        each(t.calls),
        each(t.wakes),
        each(t.polls),
        each(t.parks),
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "--load") {
        return load::run(&Plan::from_args(&args[1..]));
    }
    let option = |name: &str, default: f64| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(default, |at| args[at + 1].parse().unwrap())
    };
    let (seconds, rounds) = (option("--seconds", 0.6), option("--rounds", 3.0) as usize);
    let filter = args.first().filter(|arg| !arg.starts_with("--")).cloned().unwrap_or_default();
    println!("| variant | deliveries/s | CPU-s per million | msgs per turn in | out | calls | wakes | polls | parks |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows().into_iter().filter(|row| row.name.contains(&filter)) {
        let mut results = Vec::new();
        for _ in 0..rounds {
            let runtime = runtime(row.workers);
            let one = row.clone();
            // `block_on` of the multi-thread runtime runs on this thread, which only sleeps.
            results.push(runtime.block_on(measure(one, seconds)));
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        report(&row, &mut results);
    }
}
