//! What the rounds of a suite gave, by scenario and broker.
//!
//! What lives here: the runs that were measured, and what they say together. What does not: how that is shown.
//! Invariant: a message that any round lost stands in the result of its scenario.

use serde_json::{Value, json};

use super::catalogue::Scenario;
use super::figure::{Better, Figure, Spread};

/// One run of one scenario at one broker.
pub struct Measured {
    /// Its report, or why there is none.
    pub report: Result<Value, String>,
    /// Whether everything arrived once and in order, and nobody failed.
    pub is_clean: bool,
    /// Cores that neither the broker nor the generator kept busy; `None` when that cannot be told.
    pub others: Option<f64>,
}

/// All runs of one scenario at one broker.
#[derive(Default)]
pub struct Cell {
    /// By round.
    pub runs: Vec<Measured>,
    /// Why it was left out, if it was.
    pub left_out: Option<String>,
}

/// What went wrong in all rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Messages sent, and never received.
    pub lost: u64,
    /// Received more than once.
    pub repeated: u64,
    /// Received after a later one.
    pub disordered: u64,
    /// Clients that failed, or messages that were refused.
    pub failed: u64,
    /// Why, or why a round could not be measured; a few.
    pub reasons: Vec<String>,
}

/// Reasons that are kept.
const KEPT: usize = 3;

impl Cell {
    /// What the rounds say of a figure.
    pub fn spread(&self, figure: &Figure) -> Option<Spread> {
        let reports = self.runs.iter().filter_map(|run| run.report.as_ref().ok());
        Spread::of(reports.filter_map(|report| figure.read(report)).collect())
    }

    /// What went wrong.
    pub fn faults(&self) -> Faults {
        let mut all = Faults::default();
        for run in &self.runs {
            match &run.report {
                Ok(report) => all.add(report),
                Err(reason) => all.keep(reason),
            }
        }
        all
    }

    /// Whether any round was measured.
    pub fn is_measured(&self) -> bool {
        self.runs.iter().any(|run| run.report.is_ok())
    }

    /// Whether every round was measured and without a fault.
    pub fn is_clean(&self) -> bool {
        self.runs.iter().all(|run| run.is_clean)
    }

    /// The most that others took of the machine in a round, in cores.
    pub fn others(&self) -> Option<f64> {
        self.runs.iter().filter_map(|run| run.others).max_by(f64::total_cmp)
    }
}

impl Faults {
    fn add(&mut self, report: &Value) {
        let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.lost += count("lost");
        self.repeated += count("repeated");
        self.disordered += count("out_of_order");
        self.failed += count("failed");
        let many = report.get("failures").and_then(Value::as_array).into_iter().flatten();
        many.chain(report.get("failure")).filter_map(Value::as_str).for_each(|reason| self.keep(reason));
    }

    fn keep(&mut self, reason: &str) {
        if self.reasons.len() < KEPT && !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }

    /// The counts in words.
    pub fn text(&self) -> String {
        let named = [
            ("lost", self.lost),
            ("repeated", self.repeated),
            ("out of order", self.disordered),
            ("failed", self.failed),
        ];
        let some: Vec<String> =
            named.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        if some.is_empty() { "none".to_owned() } else { some.join(", ") }
    }
}

/// One scenario with what every broker gave.
pub struct Row {
    /// What was asked.
    pub scenario: Scenario,
    /// In the order of the brokers.
    pub cells: Vec<Cell>,
}

impl Row {
    /// A scenario of which nothing is known yet.
    pub fn new(scenario: Scenario, brokers: usize) -> Self {
        Self { scenario, cells: (0..brokers).map(|_| Cell::default()).collect() }
    }

    /// How many times better the first broker is than the second; below 1 it is worse.
    pub fn advantage(&self, figure: &Figure) -> Option<f64> {
        let [first, second] = self.cells.as_slice() else { return None };
        let (first, second) = (first.spread(figure)?.median, second.spread(figure)?.median);
        let (above, below) = if figure.better == Better::Lower { (second, first) } else { (first, second) };
        (below > 0.0).then(|| above / below)
    }

    /// The scenario's figures, each with its goal if there is one.
    pub fn figures(&self) -> impl Iterator<Item = (&'static Figure, Option<f64>)> {
        let goals = self.scenario.goals;
        self.scenario.figures.iter().enumerate().map(move |(at, figure)| (figure, goals.get(at).copied()))
    }

    /// For programs; `commands` are what the brokers were measured with.
    pub fn json(&self, labels: &[String]) -> Value {
        let figures = self.figures().map(|(figure, goal)| {
            let each: serde_json::Map<String, Value> = labels
                .iter()
                .zip(&self.cells)
                .map(|(label, cell)| (label.clone(), cell.spread(figure).map_or(Value::Null, |spread| spread.json())))
                .collect();
            json!({
                "key": figure.key, "name": figure.name, "unit": figure.unit, "goal": goal,
                "better": if figure.better == Better::Lower { "lower" } else { "higher" },
                "advantage": self.advantage(figure), "brokers": each,
            })
        });
        let brokers: serde_json::Map<String, Value> =
            labels.iter().zip(&self.cells).map(|(label, cell)| (label.clone(), cell.json())).collect();
        json!({
            "name": self.scenario.name, "group": self.scenario.group, "title": self.scenario.title,
            "command": format!("certus bench {}", self.scenario.line),
            "figures": figures.collect::<Vec<_>>(), "brokers": brokers,
        })
    }
}

impl Cell {
    fn json(&self) -> Value {
        let faults = self.faults();
        let runs = self.runs.iter().map(|run| match &run.report {
            Ok(report) => report.clone(),
            Err(reason) => json!({ "not_measured": reason }),
        });
        json!({
            "lost": faults.lost, "repeated": faults.repeated, "out_of_order": faults.disordered,
            "failed": faults.failed, "reasons": faults.reasons, "clean": self.is_clean(),
            "left_out": self.left_out, "other_cores_busy": self.others(), "runs": runs.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    fn run(cost: f64, lost: u64) -> Measured {
        let report = json!({ "broker_cpu_s_per_million": cost, "lost": lost, "repeated": 0, "failures": ["gone"] });
        Measured { report: Ok(report), is_clean: lost == 0, others: Some(cost / 10.0) }
    }

    fn row(first: Vec<Measured>, second: Vec<Measured>) -> Row {
        let mut row = Row::new(catalogue::all().remove(0), 2);
        row.cells[0].runs = first;
        row.cells[1].runs = second;
        row
    }

    #[test]
    fn a_loss_in_any_round_stands_in_the_result() {
        let row = row(vec![run(1.0, 0), run(1.0, 3)], vec![run(1.0, 0)]);
        assert_eq!((row.cells[0].faults().lost, row.cells[0].is_clean()), (3, false));
        assert_eq!(row.cells[0].faults().reasons, ["gone"]);
        assert_eq!((row.cells[1].faults().lost, row.cells[1].is_clean()), (0, true));
        assert_eq!(row.json(&["a".into(), "b".into()])["brokers"]["a"]["lost"], 3);
    }

    #[test]
    fn the_advantage_is_that_of_the_medians_and_above_one_for_the_better() {
        let row = row(vec![run(1.0, 0), run(9.0, 0), run(2.0, 0)], vec![run(8.0, 0)]);
        let figure = row.figures().next().unwrap().0;
        assert_eq!(row.advantage(figure), Some(4.0));
        assert_eq!(row.cells[0].others(), Some(0.9));
    }

    #[test]
    fn a_round_that_was_not_measured_has_a_reason_and_no_figure() {
        let failed = Measured { report: Err("nobody listens".into()), is_clean: false, others: None };
        let row = row(vec![failed], vec![run(8.0, 0)]);
        let figure = row.figures().next().unwrap().0;
        assert_eq!((row.advantage(figure), row.cells[0].is_measured()), (None, false));
        assert_eq!(row.cells[0].faults().reasons, ["nobody listens"]);
    }
}
