//! What a delivery costs, counted: messages per turn, system calls, records,
//! wakes and allocations, from the broker's own counters. Counts, never times:
//! they say whether batches stay whole, whatever else the machine does.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // A test may start threads.

mod allocations;
mod host;
mod sleepers;

use std::process::ExitCode;
use std::sync::Mutex;

use certus::clock::Clock;
use certus::telemetry::metrics::Counter;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// The counters belong to the process: one load at a time.
static ONE: Mutex<()> = Mutex::new(());

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: certus::bench::Args,
}

/// The counters at one moment.
#[derive(Clone, Copy)]
struct Counts {
    deliveries: f64,
    received: f64,
    parcels: f64,
    calls: f64,
    records: f64,
    wakes: f64,
    allocations: f64,
}

fn counts() -> Counts {
    let total = |counter: Counter| counter.total() as f64;
    Counts {
        deliveries: [Counter::SentQos0, Counter::SentQos1, Counter::SentQos2].map(total).iter().sum(),
        received: [Counter::ReceivedQos0, Counter::ReceivedQos1, Counter::ReceivedQos2].map(total).iter().sum(),
        parcels: total(Counter::Parcels),
        calls: total(Counter::SocketReads) + total(Counter::SocketWrites),
        records: total(Counter::TlsRecordsSent),
        wakes: total(Counter::Wakes),
        allocations: allocations::so_far() as f64,
    }
}

/// What one delivery cost, and how many messages a parcel held.
struct Cost {
    messages_per_turn: f64,
    calls: f64,
    records: f64,
    wakes: f64,
    allocations: f64,
}

/// Puts `load` on a fresh broker and counts.
fn measure(load: &[&str]) -> Cost {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let clock = Clock::system();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(2).on_thread_start(allocations::count_this_thread);
    let host = host::Host::start(&mut threads, &clock, |_| {});
    let line = ["bench".to_owned()].into_iter().chain(host.reached_by(load.contains(&"--plain")));
    let command = Command::parse_from(line.chain(load.iter().map(|&word| word.to_owned())));
    let before = counts();
    let outcome = std::thread::spawn(move || certus::bench::run(&command.args, &clock)).join().unwrap();
    let after = counts();
    host.stop();
    assert_eq!(outcome, ExitCode::SUCCESS, "nothing may be lost, repeated or out of order");
    let deliveries = after.deliveries - before.deliveries;
    assert!(deliveries > 1000.0, "too few deliveries to count: {deliveries}");
    Cost {
        messages_per_turn: (after.received - before.received) / (after.parcels - before.parcels),
        calls: (after.calls - before.calls) / deliveries,
        records: (after.records - before.records) / deliveries,
        wakes: (after.wakes - before.wakes) / deliveries,
        allocations: (after.allocations - before.allocations) / deliveries,
    }
}

fn assert_at_most(what: &str, found: f64, most: f64) {
    assert!(found <= most, "{what} per delivery: {found:.3}, at most {most} are allowed");
}

#[test]
fn batches_stay_whole_between_ten_publishers_and_ten_subscribers() {
    let cost = measure(&["pairs", "--qos", "1", "--count", "60000", "--warm-up", "0"]);
    assert!(cost.messages_per_turn >= 15.0, "messages per turn: {:.1}", cost.messages_per_turn);
    assert_at_most("system calls", cost.calls, 0.25);
    assert_at_most("TLS records", cost.records, 0.25);
    assert_at_most("wakes", cost.wakes, 0.2);
}

/// Without TLS, as rustls allocates for each record: that is its own business.
#[test]
fn a_turn_allocates_for_its_parcel_and_nothing_a_message() {
    let cost = measure(&["pairs", "--plain", "--qos", "1", "--count", "60000", "--warm-up", "0"]);
    assert!(cost.messages_per_turn >= 15.0, "messages per turn: {:.1}", cost.messages_per_turn);
    assert_at_most("allocations", cost.allocations, 0.2);
}

#[test]
fn a_fan_out_to_many_costs_a_fifth_of_a_system_call_each() {
    let cost = measure(&["fan-out", "--subscribers", "200", "--qos", "1", "--count", "1000", "--warm-up", "0"]);
    assert_at_most("system calls", cost.calls, 0.2);
    assert_at_most("wakes", cost.wakes, 0.2);
}
