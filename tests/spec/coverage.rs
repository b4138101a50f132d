//! Which normative statements have a test.
//!
//! What lives here: the count over doc comments of tests, printed for
//! `tests/run`, and the demand that nothing that binds a server is left out
//! without a reason. What does not: a judgement of the tests. Invariant: only
//! ids of MQTT 5.0 count; `3.1.1 [MQTT-…]` names the older standard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Id, level, and whom it binds, of every statement of MQTT 5.0.
const STATEMENTS: &str = include_str!("statements.tsv");

/// Id of a statement that no test can name, and why.
const REASONS: &str = include_str!("reasons.tsv");

fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split_once('\t').expect("an id and a text"))
}

/// The ids in the doc comments of `source`. Behind "3.1.1" a comment names
/// the older standard, which numbers differently.
fn ids(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for comment in comments(source) {
        let newer = comment.split("3.1.1 [MQTT").next().unwrap_or_default();
        let parts = newer.split("[MQTT-").skip(1);
        found.extend(parts.filter_map(|part| part.split_once(']')).map(|(id, _)| format!("MQTT-{id}")));
    }
    found
}

/// Each run of `///` or `//!` lines as one text.
fn comments(source: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in source.lines().map(str::trim_start) {
        match line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
            Some(text) => all.last_mut().unwrap().push_str(text),
            None => all.push(String::new()),
        }
    }
    all
}

/// The part of a source file that is test.
fn test_part<'a>(path: &Path, source: &'a str) -> &'a str {
    if path.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")) || path.ends_with("tests.rs") {
        return source;
    }
    source.find("#[cfg(test)]").map_or("", |at| &source[at..])
}

fn collect(dir: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("spec/coverage.rs") {
            let source = fs::read_to_string(&path).unwrap();
            for id in ids(test_part(&path, &source)) {
                *found.entry(id).or_default() += 1;
            }
        }
    }
}

fn named_by_tests() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for dir in ["src", "tests"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut found);
    }
    found
}

/// Prints what `tests/run` shows.
#[test]
fn every_statement_that_binds_a_server_has_a_test_or_a_reason() {
    let (found, reasons) = (named_by_tests(), rows(REASONS).collect::<BTreeMap<_, _>>());
    let all: Vec<_> = rows(STATEMENTS).collect();
    assert_eq!(all.len(), 251, "the statements of the standard");
    let server = all.iter().filter(|(_, row)| row.split('\t').nth(1) != Some("Client")).map(|(id, _)| *id);
    let (tested, rest): (Vec<_>, Vec<_>) = server.partition(|id| found.contains_key(*id));
    let (excused, missing): (Vec<_>, Vec<_>) = rest.into_iter().partition(|id| reasons.contains_key(id));
    let unknown: Vec<_> = found.keys().filter(|id| !all.iter().any(|(known, _)| known == id)).collect();
    let total = tested.len() + excused.len() + missing.len();
    println!(
        "statements that bind a server: {total}; named by tests: {}; with a reason: {}",
        tested.len(),
        excused.len()
    );
    println!("named by no test, and why: {}", excused.join(" "));
    println!("named, but not of MQTT 5.0 (write 3.1.1 in front of older ones): {unknown:?}");
    assert!(missing.is_empty(), "neither tested nor excused in tests/spec/reasons.tsv: {missing:?}");
    let idle: Vec<_> = reasons.keys().filter(|id| !excused.contains(id)).collect();
    assert!(idle.is_empty(), "excused in tests/spec/reasons.tsv, but tested or unknown: {idle:?}");
}

#[test]
fn ids_of_the_older_standard_do_not_count() {
    let source = "/// [MQTT-1.5.4-1] and 3.1.1\n/// [MQTT-3.1.2-22].\n// [MQTT-9.9.9-9]\n  //! [MQTT-2.1.3-1]";
    assert_eq!(ids(source).into_iter().collect::<Vec<_>>(), ["MQTT-1.5.4-1", "MQTT-2.1.3-1"]);
}
