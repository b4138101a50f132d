//! Which normative statements have a test.
//!
//! What lives here: the count over doc comments of tests, printed for
//! `tests/run`, and the demand that nothing that binds a server is left out
//! without a reason. What does not: a judgement of the tests. Invariant: ids
//! are those of MQTT 5.0; behind `3.1.1 [MQTT-…]` a comment names the older
//! standard, which numbers differently.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A standard: its name, its statements, and reasons for those without a test.
struct Standard {
    name: &'static str,
    /// Id, and whom it binds somewhere behind it.
    statements: &'static str,
    count: usize,
    /// Id of a statement that no test can name, and why.
    reasons: &'static str,
    reasons_file: &'static str,
}

const MQTT_5: Standard = Standard {
    name: "MQTT 5.0",
    statements: include_str!("statements.tsv"),
    count: 251,
    reasons: include_str!("reasons.tsv"),
    reasons_file: "tests/spec/reasons.tsv",
};

const MQTT_3_1_1: Standard = Standard {
    name: "MQTT 3.1.1",
    statements: include_str!("statements-3.1.1.tsv"),
    count: 141,
    reasons: include_str!("reasons-3.1.1.tsv"),
    reasons_file: "tests/spec/reasons-3.1.1.tsv",
};

fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split_once('\t').expect("an id and a text"))
}

/// The ids in the doc comments of `source`: those of MQTT 5.0, and those of
/// 3.1.1.
fn ids(source: &str) -> [BTreeSet<String>; 2] {
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    for comment in comments(source) {
        let (newer, older) = comment.split_at(comment.find("3.1.1 [MQTT").unwrap_or(comment.len()));
        for (found, text) in found.iter_mut().zip([newer, older]) {
            let parts = text.split("[MQTT-").skip(1);
            found.extend(parts.filter_map(|part| part.split_once(']')).map(|(id, _)| format!("MQTT-{id}")));
        }
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

fn collect(dir: &Path, found: &mut [BTreeSet<String>; 2]) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("spec/coverage.rs") {
            let source = fs::read_to_string(&path).unwrap();
            found.iter_mut().zip(ids(test_part(&path, &source))).for_each(|(found, ids)| found.extend(ids));
        }
    }
}

fn named_by_tests() -> [BTreeSet<String>; 2] {
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    for dir in ["src", "tests"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut found);
    }
    found
}

/// Prints what `tests/run` shows.
fn check(standard: &Standard, found: &BTreeSet<String>) {
    let Standard { name, reasons_file, .. } = standard;
    let reasons = rows(standard.reasons).collect::<BTreeMap<_, _>>();
    let all: Vec<_> = rows(standard.statements).collect();
    assert_eq!(all.len(), standard.count, "the statements of {name}");
    let server = all.iter().filter(|(_, row)| !row.split('\t').any(|field| field == "Client")).map(|(id, _)| *id);
    let (tested, rest): (Vec<_>, Vec<_>) = server.partition(|id| found.contains(*id));
    let (excused, missing): (Vec<_>, Vec<_>) = rest.into_iter().partition(|id| reasons.contains_key(id));
    let unknown: Vec<_> = found.iter().filter(|id| !all.iter().any(|(known, _)| known == id)).collect();
    let total = tested.len() + excused.len() + missing.len();
    println!(
        "{name}: statements that bind a server: {total}; named by tests: {}; with a reason: {}",
        tested.len(),
        excused.len()
    );
    println!("named by no test, and why: {}", excused.join(" "));
    assert!(missing.is_empty(), "{name}: neither tested nor excused in {reasons_file}: {missing:?}");
    let idle: Vec<_> = reasons.keys().filter(|id| !excused.contains(id)).collect();
    assert!(idle.is_empty(), "excused in {reasons_file}, but tested or unknown: {idle:?}");
    assert!(unknown.is_empty(), "named by tests, but not of {name} (write 3.1.1 in front of older ones): {unknown:?}");
}

#[test]
fn every_statement_that_binds_a_server_has_a_test_or_a_reason() {
    check(&MQTT_5, &named_by_tests()[0]);
}

#[test]
fn every_older_statement_that_binds_a_server_has_a_test_or_a_reason() {
    check(&MQTT_3_1_1, &named_by_tests()[1]);
}

#[test]
fn ids_of_the_two_standards_are_told_apart() {
    let source =
        "/// [MQTT-1.5.4-1] and 3.1.1\n/// [MQTT-3.1.2-22] [MQTT-3.1.2-1].\n// [MQTT-9.9.9-9]\n  //! [MQTT-2.1.3-1]";
    let [newer, older] = ids(source).map(|ids| ids.into_iter().collect::<Vec<_>>());
    assert_eq!(newer, ["MQTT-1.5.4-1", "MQTT-2.1.3-1"]);
    assert_eq!(older, ["MQTT-3.1.2-1", "MQTT-3.1.2-22"]);
}
