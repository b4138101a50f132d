//! Every shape of `certus bench` against a whole broker.
//!
//! What lives here: that what is sent arrives, that what is lost is noticed, and that the report says what the
//! manual says. What does not: what it costs (`counts`), and how fast it is; no time is asserted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../counts/host.rs"]
mod host;
mod suite;

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use certus::broker;
use certus::clock::Clock;
use host::Host;
use serde_json::Value;

/// How the report is explained.
const MANUAL: &str = include_str!("../../src/manual/measuring.md");

fn start(change: impl FnOnce(&mut broker::Settings)) -> Host {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    Host::start(threads.worker_threads(2), &Clock::system(), change)
}

/// Runs `certus bench` in a process of its own, under names of its own: the sessions of a run before may not have ended
/// yet, and those that were proved by a certificate are for nobody without one.
fn bench(host: &Host, line: &str) -> Output {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let words: Vec<&str> = line.split(' ').collect();
    let reached = host.reached_by(words.contains(&"--plain"));
    let prefix = format!("--prefix=run{}-", RUNS.fetch_add(1, Ordering::Relaxed));
    Command::new(env!("CARGO_BIN_EXE_certus")).arg("bench").args(words).arg(prefix).args(reached).output().unwrap()
}

/// The JSON report, and whether the exit code tells of no fault.
fn report(host: &Host, line: &str) -> (Value, bool) {
    let output = bench(host, &format!("{line} --json"));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{line}: {words}");
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.success())
}

fn assert_figures(line: &str, report: &Value, figures: &[(&str, u64)]) {
    for (name, wanted) in figures {
        assert_eq!(report[name].as_u64(), Some(*wanted), "{line}: {name} in {report}");
    }
}

#[test]
fn each_message_arrives_once_and_in_order_at_everybody_who_wants_it() {
    arrive(&[
        ("pairs --publishers 2 --subscribers 4", 2),
        ("fan-out --subscribers 5", 5),
        ("wildcard --publishers 2 --subscribers 3", 3),
    ]);
}

#[test]
fn each_message_arrives_once_and_in_order_at_the_only_one_who_wants_it() {
    arrive(&[
        ("fan-in --publishers 5", 1),
        ("slow --publishers 10 --subscribers 5 --rate 1000", 1),
        ("pairs --publishers 1 --window 1", 1),
    ]);
}

#[test]
fn each_message_arrives_at_one_member_of_a_group() {
    arrive(&[("shared --publishers 3 --subscribers 4", 1), ("shared --publishers 1 --subscribers 1", 1)]);
}

/// Runs shapes, of which a message causes so many deliveries: every QoS, over both dialects, TLS and plain in turn.
fn arrive(shapes: &[(&str, u64)]) {
    let host = start(|_| {});
    for (shape, fan) in shapes {
        for (qos, dialect) in [(0, "-V 5.0"), (1, "-V 3.1.1 --plain"), (1, "-V 5.0"), (2, "-V 3.1.1")] {
            let line = format!("{shape} -q {qos} {dialect} --count 200");
            let (report, is_clean) = report(&host, &line);
            let none = [("lost", 0), ("repeated", 0), ("out_of_order", 0), ("failed", 0)];
            assert_figures(&line, &report, &none);
            assert_figures(&line, &report, &[("sent", 200), ("delivered", 200 * fan)]);
            assert_eq!(report["acknowledgement_us"].is_object(), qos > 0, "{line}: {report}");
            assert!(is_clean && report["latency_us"]["p99"].is_number(), "{line}: {report}");
        }
    }
    host.stop();
}

#[test]
fn what_is_queued_for_sleeping_sessions_is_drained_once_and_in_order() {
    let host = start(|_| {});
    for line in [
        "queue --publishers 4 --subscribers 1 -q 1 --count 300",
        "queue --publishers 2 --subscribers 4 -q 2 -V 5.0 --count 300",
        "queue --publishers 2 --subscribers 2 -q 1 -V 5.0 --rate 2000 --plain --count 300",
    ] {
        let (report, is_clean) = report(&host, line);
        let fan = if line.contains("--subscribers 4") { 2 } else { 1 };
        assert_figures(line, &report, &[("queued", 300), ("drained", 300 * fan), ("lost", 0), ("repeated", 0)]);
        assert!(is_clean && report["acknowledgement_us"]["p99.9"].is_number(), "{line}: {report}");
    }
    host.stop();
}

/// What is beside the load is there in the second window, loses nothing of the load, and is gone afterwards.
#[test]
fn a_second_window_has_what_was_asked_for_beside_the_load() {
    let host = start(|_| {});
    let load = "pairs --publishers 2 --duration 0.3 --warm-up 0";
    for (line, figures) in [
        ("-q 1 --rate 500 --beside sleeper --many 2", &[] as &[(&str, u64)]),
        ("-q 0 --rate 500 --beside storm --many 30", &[("connected", 30), ("resumed", 0)]),
        ("-q 1 --rate 500 --beside storm --many 30 --resumed", &[("connected", 30), ("resumed", 30)]),
        ("-q 2 --rate 500 --beside unfair", &[]),
        ("-q 1 --beside subscriptions --many 1500", &[]),
        ("-q 1 --beside wildcards --many 150 --plain", &[]),
        ("-q 1 --beside sleeping --many 30 -V 5.0", &[]),
    ] {
        let line = format!("{load} {line}");
        let (report, is_clean) = report(&host, &line);
        assert!(is_clean, "{line}: {report}");
        let beside = &report["beside"];
        assert_figures(&line, beside, figures);
        for part in [&report, beside] {
            assert!(part["delivered"].as_u64() > Some(0) && part["latency_us"]["p99"].is_number(), "{line}: {report}");
        }
        if line.contains("unfair") {
            assert!(beside["flood_sent_per_s"].as_f64() > Some(0.0), "{line}: {report}");
            assert!(beside["handshakes_broken"].as_u64() > Some(0), "{line}: {report}");
        }
    }
    host.stop();
}

/// A generator that sees no losses would praise every broker.
#[test]
fn what_a_full_queue_drops_is_counted_as_lost() {
    let host = start(|settings| settings.delivery.offline_messages = 40);
    let (report, is_clean) = report(&host, "queue --publishers 1 --subscribers 1 --count 100");
    assert_figures("a queue of 40", &report, &[("queued", 100), ("drained", 40), ("lost", 60), ("repeated", 0)]);
    assert!(!is_clean, "the exit code tells of losses");
    host.stop();
}

#[test]
fn storms_connect_everybody_with_every_kind_of_key() {
    let host = start(|_| {});
    for (line, resumed) in [
        ("connect --clients 120", 0),
        ("connect --clients 20 --resumed", 20),
        ("connect --clients 20 --resumed --tls 1.2 --key rsa", 20),
        ("connect --clients 20 --key rsa -V 5.0", 0),
        ("connect --clients 20 --key ed25519", 0),
        ("idle --clients 20 --duration 0.1", 0),
        ("idle --clients 20 --duration 1.6 --keep-alive 1", 0),
    ] {
        let clients = if line.contains("120") { 120 } else { 20 };
        let (report, is_clean) = report(&host, line);
        assert_figures(line, &report, &[("connected", clients), ("resumed", resumed), ("failed", 0)]);
        assert!(is_clean, "{line}: {report}");
    }
    host.stop();
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_remedy() {
    let host = start(|_| {});
    for (line, remedy) in [
        ("queue -q 0", "use -q 1 or -q 2"),
        ("slow --publishers 3 --subscribers 2", "multiple"),
        ("shared --rate 0", "above 0"),
        ("pairs --count 5 --beside storm", "leave out --count"),
        ("connect --beside storm", "a shape that sends messages"),
        ("connect --pid 4294967295", "no such process"),
    ] {
        let output = bench(&host, line);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && words.contains(remedy), "{line}: {words}");
    }
    host.stop();
}

#[test]
fn every_figure_of_the_report_is_explained_in_the_manual() {
    let host = start(|_| {});
    for line in [
        "pairs --publishers 1 --duration 0.1 --warm-up 0 --beside unfair",
        "connect --clients 2",
        "queue --publishers 1 --subscribers 1 --count 50",
    ] {
        let (report, _) = report(&host, line);
        for name in report
            .as_object()
            .unwrap()
            .keys()
            .chain(report["beside"].as_object().into_iter().flat_map(|beside| beside.keys()))
        {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name} of {line} stands not in src/manual/measuring.md");
        }
    }
    host.stop();
}
