//! `certus bench suite`: named scenarios, for one broker or for two side by side, in rounds.
//!
//! What lives here: the course of a suite. What does not: load (the shapes of `certus bench`), figures
//! (`figure`), pages (`page`). Invariant: what is written down was measured by a command line that stands beside it.

mod args;
mod catalogue;
mod figure;
mod machine;
mod page;
mod plot;
mod result;
mod rival;
mod table;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

pub use args::SuiteArgs;

use self::catalogue::Scenario;
use self::machine::Machine;
use self::result::{Measured, Row};
use self::rival::Rival;
use super::error::Error;
use super::process::Process;
use super::{exit_code, measure, report};
use crate::clock::Clock;

/// What a suite gave so far, and what it is about.
struct Suite<'a> {
    args: &'a SuiteArgs,
    machine: Machine,
    begun: SystemTime,
    rivals: Vec<Rival>,
    rows: Vec<Row>,
}

/// Runs the scenarios that were asked for, says what is going on to standard error and prints a table at the end.
///
/// Exit code 0: all measured, nothing lost, repeated or out of order; 1: measured, with faults; 2: not measured.
pub fn run(args: &SuiteArgs, clock: &Clock) -> ExitCode {
    if args.list {
        print!("{}", table::catalogue());
        return ExitCode::SUCCESS;
    }
    exit_code(measure_all(args, clock))
}

fn measure_all(args: &SuiteArgs, clock: &Clock) -> Result<bool, Error> {
    let scenarios = catalogue::select(&args.only).map_err(|word| {
        Error::Usage(format!("--only {word}: neither a scenario nor a group; `certus bench suite --list` names them"))
    })?;
    // Told now, not after an hour.
    for file in args.json.iter().chain(&args.html) {
        fs::write(file, "").map_err(|error| Error::file(file, error))?;
    }
    let rivals = Rival::all(args, clock)?;
    // What fewer clients reach is no answer to a goal.
    let goals = |scenario: Scenario| if args.at_most.is_some() { scenario.without_goals() } else { scenario };
    let rows = scenarios.into_iter().map(|scenario| Row::new(goals(scenario), rivals.len())).collect();
    let mut suite = Suite { args, machine: Machine::here(), begun: clock.wall(), rivals, rows };
    for round in 0..args.rounds {
        suite.round(round, clock);
        suite.write()?;
    }
    print!("{}", table::results(&suite));
    let cells = || suite.rows.iter().flat_map(|row| &row.cells);
    if !cells().any(result::Cell::is_measured) {
        let reason = cells().find_map(|cell| cell.faults().reasons.into_iter().next().or(cell.left_out.clone()));
        return Err(Error::Usage(format!("nothing could be measured: {}", reason.unwrap_or_default())));
    }
    Ok(cells().all(result::Cell::is_clean))
}

impl Suite<'_> {
    /// Measures each scenario once, at both brokers in turns; they swap their order with every round.
    fn round(&mut self, round: u32, clock: &Clock) {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|&at| self.rows.get(at).is_some_and(|row| !row.scenario.is_fresh));
        let all = order.len();
        for (done, at) in order.into_iter().enumerate() {
            let Some(row) = self.rows.get_mut(at) else { continue };
            if row.scenario.is_fresh && round > 0 {
                continue;
            }
            let mut turns: Vec<_> = self.rivals.iter().zip(&mut row.cells).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (rival, cell) in turns {
                eprint!(
                    "[{}/{}, {}/{all}] {}, {}: ",
                    round + 1,
                    self.args.rounds,
                    done + 1,
                    row.scenario.name,
                    rival.label
                );
                match rival.reach(&row.scenario) {
                    Some(mut reach) => {
                        reach.prefix.push_str(&format!("{at}r{round}-"));
                        cell.runs.push(
                            self.args
                                .run_of(&row.scenario, reach)
                                .map_or_else(|error| not_measured(&error), |args| one_run(&args, rival, clock)),
                        );
                    }
                    None => {
                        cell.left_out = Some("no port without TLS is known; give --plain-port (--vs-plain-port)".into())
                    }
                }
                eprintln!("{}", table::last_run(&row.scenario, cell));
            }
        }
    }

    fn labels(&self) -> Vec<String> {
        let same = |rival: &Rival| self.rivals.iter().filter(|other| other.label == rival.label).count() > 1;
        let name = |rival: &Rival| {
            if same(rival) {
                format!("{} at {}", rival.label, rival.address(self.args.plain))
            } else {
                rival.label.clone()
            }
        };
        self.rivals.iter().map(name).collect()
    }

    fn write(&self) -> Result<(), Error> {
        let write = |file: &Path, text: String| fs::write(file, text).map_err(|error| Error::file(file, error));
        if let Some(file) = &self.args.json {
            write(file, format!("{:#}\n", self.json()))?;
        }
        if let Some(file) = &self.args.html {
            write(file, page::page(self))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let labels = self.labels();
        json!({
            "generator": generator(), "begun": self.begun_text(), "machine": self.machine.json(),
            "rounds": self.args.rounds, "duration_s": self.args.duration, "warm_up_s": self.args.warm_up,
            "at_most": self.args.at_most, "command": command(),
            "brokers": self.rivals.iter().map(|rival| rival.json(self.args.plain)).collect::<Vec<_>>(),
            "scenarios": self.rows.iter().map(|row| row.json(&labels)).collect::<Vec<_>>(),
        })
    }

    /// When the suite began, in UTC.
    fn begun_text(&self) -> String {
        let form = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
        time::OffsetDateTime::from(self.begun).format(form).unwrap_or_default()
    }

    /// How many scenarios want a broker to which nobody has connected: only the first of them finds it.
    fn fresh(&self) -> usize {
        self.rows.iter().filter(|row| row.scenario.is_fresh).count()
    }
}

/// Who measured.
fn generator() -> String {
    format!("certus {}", env!("CARGO_PKG_VERSION"))
}

/// The command line of this process.
fn command() -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(letter))
    };
    let words = std::env::args()
        .skip(1)
        .map(|word| if plain(&word) { word } else { format!("'{}'", word.replace('\'', "'\\''")) });
    std::iter::once("certus".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn not_measured(error: &Error) -> Measured {
    Measured { report: Err(error.to_string()), is_clean: false, others: None }
}

fn one_run(args: &super::Args, rival: &Rival, clock: &Clock) -> Measured {
    let args = super::Args { null: rival.is_null, ..args.clone() };
    let before = Meter::read(rival, clock);
    let result = measure(&args, clock, |field, outcome| (report::json(field, outcome), outcome.is_clean()));
    let others = before.others(&Meter::read(rival, clock));
    match result {
        Ok((report, is_clean)) => Measured { report: Ok(report), is_clean, others },
        Err(error) => not_measured(&error),
    }
}

/// Time and CPU time at one end of a run.
struct Meter {
    at: std::time::Instant,
    busy: Option<Duration>,
    own: Option<super::process::CpuTime>,
    broker: Option<super::process::CpuTime>,
}

impl Meter {
    fn read(rival: &Rival, clock: &Clock) -> Self {
        Self {
            at: clock.now(),
            busy: machine::busy(),
            own: Process(std::process::id()).cpu(),
            broker: rival.process().and_then(Process::cpu),
        }
    }

    /// Cores that neither this process nor the broker kept busy until `later`.
    fn others(&self, later: &Self) -> Option<f64> {
        let all = later.busy?.saturating_sub(self.busy?);
        let ours = later.own?.since(&self.own?) + later.broker?.since(&self.broker?);
        let took = later.at.saturating_duration_since(self.at).as_secs_f64();
        (took > 0.0).then(|| all.saturating_sub(ours).as_secs_f64() / took)
    }
}

/// What stands beside the figures wherever they are shown.
fn notes(suite: &Suite<'_>) -> Vec<String> {
    let mut notes = vec![
        "Costs are CPU time of the broker's process, which hardly depends on what else the machine does; rates and latencies do.".to_owned(),
        "Broker and generator share the cores. Two runs of the same row differ by up to 30 % on a small virtual machine: read a ratio beside the ranges.".to_owned(),
    ];
    if suite.rivals.len() > 1 {
        notes.push("The brokers are measured in turns within each scenario and swap their order with every round, so that noise hits both.".to_owned());
    }
    let loud = suite
        .rows
        .iter()
        .flat_map(|row| row.cells.iter().filter_map(move |cell| Some((cell.others()?, &row.scenario))));
    if let Some((cores, scenario)) = loud.max_by(|one, other| one.0.total_cmp(&other.0)) {
        notes.push(format!(
            "Other processes and the kernel's own work took at most {cores:.2} cores in a run (in {}).",
            scenario.name
        ));
    }
    if let Some(most) = suite.args.at_most {
        notes.push(format!(
            "No more than {most} publishers, subscribers or clients: figures are not those of the scenario's name."
        ));
    }
    if suite.fresh() > 1 {
        notes.push("More than one scenario wanted a broker to which nobody had connected; only the first of them found it, so the memory of the others is too low.".to_owned());
    }
    if suite.rivals.iter().any(|rival| rival.reach.pid.is_none() && !rival.is_null) {
        notes.push("Without --pid (--vs-pid) neither CPU time nor memory of that broker is known.".to_owned());
    }
    notes
}
