//! What a suite gave, as text.
//!
//! What lives here: columns and words. What does not: figures. Invariant: what was not measured is a dash.

use std::fmt::Write as _;

use super::catalogue::{self, GROUPS, Scenario};
use super::figure::{Better, Figure};
use super::result::{Cell, Row};
use super::{Suite, generator, notes};

/// The scenarios, by group.
pub fn catalogue() -> String {
    let mut text = String::new();
    let all = catalogue::all();
    for (group, about) in GROUPS {
        let _ = writeln!(text, "{group}: {about}");
        for scenario in all.iter().filter(|scenario| scenario.group == *group) {
            let fresh = if scenario.is_fresh { " [on a broker just started]" } else { "" };
            let _ = writeln!(
                text,
                "  {:<28} {}{fresh}\n  {:<28}   certus bench {}",
                scenario.name, scenario.title, "", scenario.line
            );
        }
        text.push('\n');
    }
    text
}

/// What the last round of a scenario gave, in a line.
pub fn last_run(scenario: &Scenario, cell: &Cell) -> String {
    if let Some(reason) = &cell.left_out {
        return format!("left out: {reason}");
    }
    let Some(run) = cell.runs.last() else { return "not measured".to_owned() };
    match &run.report {
        Err(reason) => format!("not measured: {reason}"),
        Ok(report) => {
            let measured = scenario.figures.iter().filter_map(|figure| Some((figure, figure.read(report)?)));
            let first: Vec<String> =
                measured.take(2).map(|(figure, value)| format!("{} {}", named(figure), Figure::text(value))).collect();
            format!("{}{}", first.join(", "), if run.is_clean { "" } else { ", with faults" })
        }
    }
}

/// A figure's name with its unit.
pub fn named(figure: &Figure) -> String {
    if figure.unit.is_empty() { figure.name.to_owned() } else { format!("{}, {}", figure.name, figure.unit) }
}

/// The medians of all scenarios.
pub fn results(suite: &Suite<'_>) -> String {
    let mut lines = vec![head(suite)];
    for row in &suite.rows {
        lines.extend(figures(row));
        lines.push(faults(row));
    }
    let mut text = format!("{} on {}\n\n", generator(), suite.machine.text());
    text.push_str(&aligned(&lines));
    text.push('\n');
    for row in &suite.rows {
        for (label, cell) in suite.labels().iter().zip(&row.cells) {
            for reason in cell.faults().reasons.iter().chain(&cell.left_out) {
                let _ = writeln!(text, "{}, {label}: {reason}", row.scenario.name);
            }
        }
    }
    for note in notes(suite) {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn head(suite: &Suite<'_>) -> Vec<String> {
    let mut line = vec!["scenario".to_owned(), "figure".to_owned()];
    line.extend(suite.labels());
    if suite.rivals.len() > 1 {
        line.push("times better".to_owned());
    }
    line.push("goal".to_owned());
    line
}

fn figures(row: &Row) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for (figure, goal) in row.figures() {
        let spreads: Vec<_> = row.cells.iter().map(|cell| cell.spread(figure)).collect();
        if spreads.iter().all(Option::is_none) && !lines.is_empty() {
            continue;
        }
        let name = if lines.is_empty() { row.scenario.name.clone() } else { String::new() };
        let mut line = vec![name, named(figure)];
        line.extend(spreads.iter().map(|spread| spread.as_ref().map_or_else(dash, |spread| spread.text())));
        if row.cells.len() > 1 {
            line.push(row.advantage(figure).map_or_else(dash, Figure::text));
        }
        let first = spreads.first().and_then(|spread| spread.as_ref()).map(|spread| spread.median);
        line.push(goal_text(figure, goal, first));
        lines.push(line);
    }
    lines
}

/// A goal, and whether the first broker meets it.
pub fn goal_text(figure: &Figure, goal: Option<f64>, first: Option<f64>) -> String {
    let Some(goal) = goal else { return String::new() };
    let sign = if figure.better == Better::Lower { "≤" } else { "≥" };
    let met = first.map(|first| if figure.better == Better::Lower { first <= goal } else { first >= goal });
    let verdict = match met {
        Some(true) => ", met",
        Some(false) => ", missed",
        None => "",
    };
    format!("{sign} {}{verdict}", Figure::text(goal))
}

fn faults(row: &Row) -> Vec<String> {
    let mut line = vec![String::new(), "faults".to_owned()];
    line.extend(
        row.cells.iter().map(|cell| if cell.is_measured() { cell.faults().text() } else { "not measured".to_owned() }),
    );
    line
}

fn dash() -> String {
    "–".to_owned()
}

/// Columns as wide as their widest cell; the first two to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - cell.chars().count());
            let (before, after) = if column < 2 { (String::new(), room) } else { (room, String::new()) };
            let _ = write!(out, "{before}{cell}{after}  ");
        }
        let _ = writeln!(text, "{}", out.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_letters_they_hold() {
        let line = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = aligned(&[line(["a", "µs", "1"]), line(["bcd", "x", "20–30"])]);
        assert_eq!(text, "a    µs      1\nbcd  x   20–30\n");
    }

    #[test]
    fn a_goal_says_whether_it_is_met() {
        let figure = &super::super::figure::FLAT_OUT[0];
        assert_eq!(goal_text(figure, Some(0.3), Some(0.118)), "≤ 0.300, met");
        assert_eq!(goal_text(figure, Some(0.3), Some(0.31)), "≤ 0.300, missed");
        assert_eq!(
            (goal_text(figure, Some(1.0), None), goal_text(figure, None, Some(1.0))),
            ("≤ 1.00".into(), String::new())
        );
    }

    #[test]
    fn every_scenario_and_its_command_stand_in_the_list() {
        let list = catalogue();
        for scenario in super::super::catalogue::all() {
            assert!(list.contains(&scenario.name) && list.contains(&format!("certus bench {}", scenario.line)));
        }
    }
}
