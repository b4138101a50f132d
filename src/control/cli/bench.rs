//! `certus bench`.
//!
//! What lives here: its place on the command line. What does not: the load
//! generator (`crate::bench`). Invariant: 0 means measured and faultless, 1
//! measured with faults, 2 not measured.

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};

use crate::bench::{self, SuiteArgs};
use crate::clock::Clock;

/// Arguments of `certus bench`: a shape with its own, or the suite.
#[derive(Debug)]
pub(super) enum Bench {
    One(bench::Args),
    Suite(SuiteArgs),
}

// By hand, since a derived optional shape would be asked for beside the suite, or not at all.
impl clap::Args for Bench {
    fn augment_args(command: clap::Command) -> clap::Command {
        let suite = SuiteArgs::augment_args(clap::Command::new("suite")).after_help(SUITE);
        let command = bench::Args::augment_args(command).subcommand(suite);
        command.args_conflicts_with_subcommands(true).subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Bench {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand_matches("suite") {
            Some(matches) => SuiteArgs::from_arg_matches(matches).map(Self::Suite),
            None => bench::Args::from_arg_matches(matches).map(Self::One),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What its help ends with.
pub(super) const EXAMPLES: &str = "\
Examples:
  certus bench pairs --pid $(pidof certus)        ten to ten, QoS 1, 16 bytes, window 20, mutual TLS
  certus bench pairs --rate 2000                  latency from the due time
  certus bench shared -q 2 -V 5.0                 a $share group
  certus bench queue --pid $(pidof certus)        queue for sleeping sessions, then drain
  certus bench connect --resumed --key rsa        a storm of resumed handshakes
  certus bench pairs --null                       the generator's own ceiling
  certus bench suite --help                       many scenarios, two brokers side by side, a report with plots

Exit codes: 0 everything arrived once and in order, 1 something did not, 2 nothing could be measured.";

/// What the suite's help ends with.
const SUITE: &str = "\
Examples:
  certus bench suite --pid $(pidof certus)                  the table of the manual, three rounds
  certus bench suite --vs 127.0.0.1:8884 --vs-pid $(pidof mosquitto) --html report.html
  certus bench suite --only pairs-q1,connect --rounds 5     some scenarios, or groups
  certus bench suite --list                                 what there is

Exit codes: 0 everything arrived once and in order, 1 something did not, 2 nothing could be measured.";

/// Runs the load generator.
pub(super) fn run(args: &Bench) -> ExitCode {
    let clock = Clock::system();
    match args {
        Bench::One(args) => bench::run(args, &clock),
        Bench::Suite(args) => bench::run_suite(args, &clock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn read(line: &str) -> Result<Bench, String> {
        Line::try_parse_from(line.split(' ')).map(|line| line.bench).map_err(|error| error.to_string())
    }

    #[test]
    fn a_shape_or_the_suite_is_asked_for_and_never_both() {
        assert!(matches!(read("bench pairs --count 5"), Ok(Bench::One(args)) if args.count == Some(5)));
        assert!(
            matches!(read("bench suite --only connect,open"), Ok(Bench::Suite(args)) if args.only == ["connect", "open"])
        );
        for (line, reason) in [("bench", "<SHAPE>"), ("bench --count 5", "<SHAPE>"), ("bench pairs suite", "suite")] {
            let error = read(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
