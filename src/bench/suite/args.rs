//! The arguments of `certus bench suite`.
//!
//! What lives here: names, defaults and their help, and what they make of a scenario's own command line. What
//! does not: scenarios. Invariant: both brokers of a comparison get the same load.

use std::path::PathBuf;

use clap::Parser;

use super::super::args::{Args, Reach, version};
use super::super::error::Error;
use super::catalogue::Scenario;
use crate::mqtt::Version;

/// Messages of a scenario that counts them, for each client that `--at-most` allows.
const EACH: u64 = 100;

/// Measure named scenarios, of one broker or of two side by side, and write a report.
#[derive(Clone, Debug, clap::Args)]
pub struct SuiteArgs {
    /// How the broker is reached
    #[command(flatten)]
    pub reach: Reach,
    /// What the broker is called in the report [default: what it says in $SYS/broker/version, or its process' name]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// A second broker, measured in turns with the first; `null` is the one that does the least possible
    #[arg(long, value_name = "HOST:PORT")]
    pub vs: Option<String>,
    /// The second broker's process
    #[arg(long, value_name = "PID", requires = "vs")]
    pub vs_pid: Option<u32>,
    /// What the second broker is called
    #[arg(long, value_name = "NAME", requires = "vs")]
    pub vs_label: Option<String>,
    /// The CA of the second broker's certificate [default: --cafile]
    #[arg(long, value_name = "FILE", requires = "vs")]
    pub vs_cafile: Option<PathBuf>,
    /// No TLS in any scenario
    #[arg(long)]
    pub plain: bool,
    /// Where scenarios without TLS connect to; without it they are left out [with --plain: --port]
    #[arg(long, value_name = "PORT")]
    pub plain_port: Option<u16>,
    /// The same of the second broker
    #[arg(long, value_name = "PORT", requires = "vs")]
    pub vs_plain_port: Option<u16>,
    /// Scenarios or groups, with commas between them; `all` for all
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "table")]
    pub only: Vec<String>,
    /// List the scenarios, with the command line of each
    #[arg(long)]
    pub list: bool,
    /// How often each scenario is measured; the median is shown, with the lowest and the highest
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds to measure each time
    #[arg(long, default_value_t = 5.0)]
    pub duration: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// No more publishers, subscribers or clients than this, and messages where they are counted: for a small machine, or a look at correctness alone
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub at_most: Option<u16>,
    /// Protocol version of scenarios that do not need one
    #[arg(long, short = 'V', default_value = "3.1.1", value_parser = version)]
    pub protocol: Version,
    /// Write all figures of all rounds as one JSON object
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report with plots as one HTML page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// A scenario's command line, as the shell would take it.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

impl SuiteArgs {
    /// What one run of `scenario` is asked to do at a broker that is reached by `reach`.
    ///
    /// # Errors
    /// The scenario's line is none that the command line takes.
    pub fn run_of(&self, scenario: &Scenario, reach: Reach) -> Result<Args, Error> {
        let line = std::iter::once("bench").chain(scenario.line.split(' '));
        let broken = |error: clap::Error| Error::Usage(format!("scenario {}: {error}", scenario.name));
        let args = Line::try_parse_from(line).map_err(broken)?.args;
        let names = |option: &str| scenario.line.contains(option);
        let (publishers, subscribers) = args.sides();
        let most = self.at_most.unwrap_or(u16::MAX);
        Ok(Args {
            reach,
            protocol: if names(" -V ") { args.protocol } else { self.protocol },
            publishers: Some(publishers.min(most)),
            subscribers: Some(subscribers.min(most)),
            clients: args.clients.min(self.at_most.map_or(usize::MAX, usize::from)),
            duration: if names(" --duration ") { args.duration } else { self.duration },
            many: args.beside.map(|_| args.many().min(self.at_most.map_or(u32::MAX, u32::from))),
            warm_up: self.warm_up,
            count: args.count().map(|count| count.min(self.at_most.map_or(u64::MAX, |most| u64::from(most) * EACH))),
            plain: args.plain || self.plain,
            json: true,
            ..args
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    #[derive(clap::Parser)]
    struct Suite {
        #[command(flatten)]
        args: SuiteArgs,
    }

    fn suite(line: &str) -> SuiteArgs {
        Suite::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn every_scenario_is_a_line_that_the_command_line_takes() {
        let suite = suite("suite --duration 2 --prefix x-");
        for scenario in catalogue::all() {
            let args = suite.run_of(&scenario, suite.reach.clone()).unwrap();
            assert!(args.json && args.reach.prefix == "x-", "{}", scenario.name);
            assert_eq!(args.plain, scenario.is_plain(), "{}", scenario.name);
        }
    }

    #[test]
    fn a_bound_on_clients_holds_for_every_scenario() {
        let suite = suite("suite --at-most 7");
        for scenario in catalogue::all() {
            let args = suite.run_of(&scenario, suite.reach.clone()).unwrap();
            let (publishers, subscribers) = args.sides();
            assert!(publishers <= 7 && subscribers <= 7 && args.clients <= 7 && args.many() <= 7, "{}", scenario.name);
        }
    }

    #[test]
    fn a_scenario_that_needs_a_version_keeps_it() {
        let suite = suite("suite -V 3.1");
        let version = |name: &str| {
            let scenario = catalogue::select(&[name.to_owned()]).unwrap().remove(0);
            suite.run_of(&scenario, suite.reach.clone()).unwrap().protocol
        };
        assert_eq!((version("sharesub-5K-50-5K-5K"), version("pairs-q1")), (Version::V5, Version::V3));
    }
}
