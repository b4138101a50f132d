//! `certus bench suite` against whole brokers.
//!
//! What lives here: that it measures both brokers, that its report can be read and tells of faults, and what it
//! refuses. What does not: its figures; no time is asserted.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::host::Host;
use super::{MANUAL, bench, start};

/// Short and small: the report, not the figures.
const SMALL: &str = "--rounds 2 --duration 0.2 --warm-up 0 --at-most 3";

/// Runs a suite that writes its report into `files`.
fn suite(host: &Host, files: &Path, line: &str) -> Output {
    let file = |name: &str| files.join(name).to_str().unwrap().to_owned();
    bench(host, &format!("suite {SMALL} --json {} --html {} {line}", file("suite.json"), file("suite.html")))
}

fn json(files: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(files.join("suite.json")).unwrap()).unwrap()
}

fn words(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    both.join("\n")
}

#[test]
fn two_brokers_are_measured_in_turns_and_told_apart() {
    let (first, second) = (start(|_| {}), start(|_| {}));
    let files = tempfile::tempdir().unwrap();
    // Each broker has a CA of its own for its clients, so they come without TLS.
    let port = &second.reached_by(true)[1];
    let vs = format!("--plain --vs 127.0.0.1:{port} --vs-label rival --label own");
    let output = suite(&first, files.path(), &format!("--only pairs-q1,connect {vs}"));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));

    let report = json(files.path());
    let names: Vec<_> = report["scenarios"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["pairs-q1", "connect"]);
    for row in report["scenarios"].as_array().unwrap() {
        for broker in ["own", "rival"] {
            let cell = &row["brokers"][broker];
            assert_eq!((&cell["lost"], &cell["clean"]), (&0.into(), &true.into()), "{row}");
            assert_eq!(cell["runs"].as_array().unwrap().len(), 2, "a run for each round");
        }
        let rate = &row["figures"].as_array().unwrap().iter().find(|figure| figure["unit"] == "/s").unwrap()["brokers"];
        let spread = |broker: &str| ["min", "median", "max"].map(|name| rate[broker][name].as_f64().unwrap());
        for [low, middle, high] in ["own", "rival"].map(spread) {
            assert!(0.0 < low && low <= middle && middle <= high, "{row}");
        }
    }
    let words = words(&output);
    let turns: Vec<&str> = words.lines().filter(|line| line.contains("pairs-q1, ")).collect();
    let order: Vec<bool> = turns.iter().map(|line| line.contains("own")).collect();
    assert_eq!(order, [true, false, false, true], "they swap their order: {turns:?}");
    assert!(words.contains("times better"), "{words}");
    first.stop();
    second.stop();
}

#[test]
fn what_a_broker_loses_in_a_scenario_is_told_by_the_exit_code_and_the_report() {
    let host = start(|settings| settings.delivery.offline_messages = 10);
    let files = tempfile::tempdir().unwrap();
    let output = suite(&host, files.path(), "--only queue-10,pairs-q1 --label own");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("lost "), "{}", words(&output));
    let report = json(files.path());
    let own = |row: usize| &report["scenarios"][row]["brokers"]["own"];
    assert_eq!((&own(0)["lost"], &own(0)["clean"]), (&0.into(), &true.into()), "{report}");
    // Two rounds of 300 messages for three sessions that keep ten each.
    assert_eq!((&own(1)["lost"], &own(1)["clean"]), (&540.into(), &false.into()), "{report}");
    let page = std::fs::read_to_string(files.path().join("suite.html")).unwrap();
    assert!(page.contains("<td class=\"bad\">lost 540</td>"), "{page}");
    host.stop();
}

#[test]
fn the_page_needs_nothing_else_and_says_everything_in_words_too() {
    let host = start(|_| {});
    let files = tempfile::tempdir().unwrap();
    let output = suite(&host, files.path(), "--only pairs-q0,connect-resumed,idle-5000 --label a<b>&c");
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let page = std::fs::read_to_string(files.path().join("suite.html")).unwrap();
    for outside in ["<script", "src=", "http:", "https:", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for name in ["pairs-q0", "connect-resumed", "idle-5000"] {
        assert!(page.contains(&format!("id=\"{name}\"")) && page.contains(&format!("aria-labelledby=\"plot-{name}-t")));
    }
    assert!(page.contains("a&lt;b&gt;&amp;c") && !page.contains("a<b>"), "what a label says is escaped");
    for said in
        ["<html lang=\"en\">", "<title>", "<desc", "prefers-color-scheme: dark", "certus bench connect", "Machine"]
    {
        assert!(page.contains(said), "{said}");
    }
    for tag in ["table", "section", "svg", "ul", "details"] {
        assert_eq!(page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    host.stop();
}

#[test]
fn a_scenario_that_one_broker_does_not_serve_is_a_fault_and_both_are_none() {
    let host = start(|_| {});
    let files = tempfile::tempdir().unwrap();
    let output = suite(&host, files.path(), "--only pairs-q1 --label own --vs 127.0.0.1:1 --vs-label nobody");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let report = json(files.path());
    let cell = &report["scenarios"][0]["brokers"]["nobody"];
    assert!(cell["reasons"][0].as_str().unwrap().contains("nothing listens there"), "{cell}");
    assert_eq!(report["scenarios"][0]["brokers"]["own"]["clean"], true);
    host.stop();
    let output = suite(&start(|_| {}), files.path(), "--only pairs-q1 --host 127.0.0.2 --vs 127.0.0.1:1");
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
}

#[test]
fn what_a_suite_cannot_do_is_said_with_the_remedy() {
    let host = start(|_| {});
    let files = tempfile::tempdir().unwrap();
    for (line, code, remedy) in [
        ("--only pears", 2, "--list"),
        ("--only pairs-q1 --vs nowhere", 2, "HOST:PORT"),
        ("--only spec-connect-tcp", 2, "--plain-port"),
        ("--only pairs-q1 --html /nowhere/x.html", 2, "/nowhere/x.html"),
    ] {
        let output = if line.contains("--html") {
            bench(&host, &format!("suite {SMALL} {line}"))
        } else {
            suite(&host, files.path(), line)
        };
        assert!(output.status.code() == Some(code) && words(&output).contains(remedy), "{line}: {}", words(&output));
    }
    let plain = &host.reached_by(true)[1];
    let output = suite(&host, files.path(), &format!("--only spec-connect-tcp,connect --plain-port {plain}"));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    host.stop();
}

#[test]
fn every_name_in_the_report_and_every_scenario_is_explained_in_the_manual() {
    let host = start(|_| {});
    let files = tempfile::tempdir().unwrap();
    suite(&host, files.path(), "--only pairs-q1 --label own");
    let report = json(files.path());
    let row = &report["scenarios"][0];
    let figure = &row["figures"][0];
    for object in [&report, &report["machine"], &report["brokers"][0], row, figure, &row["brokers"]["own"]] {
        for name in object.as_object().unwrap().keys() {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name} stands not in src/manual/measuring.md");
        }
    }
    let list = bench(&host, "suite --list");
    let list = String::from_utf8(list.stdout).unwrap();
    let groups = list.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
    for group in groups.map(|line| line.split(':').next().unwrap()) {
        assert!(MANUAL.contains(&format!("| `{group}` |")), "the group {group} stands not in src/manual/measuring.md");
    }
    host.stop();
}
