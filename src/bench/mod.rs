//! `certus bench`: the load generator with which users and we measure brokers, and the client that
//! `certus pub` and `certus sub` share with it.
//!
//! What lives here: our own MQTT clients over rustls, the shapes of load, and the report. What does
//! not: anything of the broker; any broker can be measured. Invariant: the generator is not the
//! bottleneck (frames encoded once, one read and one write a batch), and says so when it is.

mod args;
mod beside;
pub mod client;
pub mod credentials;
mod crowd;
pub mod dial;
mod disturb;
pub mod error;
mod growth;
mod histogram;
mod limits;
mod null;
mod pacer;
mod process;
mod publisher;
mod queue;
mod report;
mod run;
mod shape;
mod storm;
mod subscriber;
mod suite;
mod tally;
mod throughput;
mod watch;
mod window;
mod wire;

use std::process::ExitCode;

pub use args::{Args, Reach, Shape, qos};
pub use error::Error;
pub use suite::{SuiteArgs, run as run_suite};

use crate::clock::Clock;
use crate::shutdown::Tasks;

/// Runs the load generator on a runtime of its own and prints its report.
///
/// Exit code 0: measured, nothing lost, repeated or out of order; 1: measured, with faults; 2: not measured.
pub fn run(args: &Args, clock: &Clock) -> ExitCode {
    let shown = |field: &shape::Field, outcome: &Outcome| {
        report::print(field, outcome);
        outcome.is_clean()
    };
    let result = match args.shape {
        Shape::Null => on_threads(1, null::run(args, &Tasks::new())).map(|()| true),
        _ => measure(args, clock, shown),
    };
    exit_code(result)
}

/// What a run says to the shell.
fn exit_code(result: Result<bool, Error>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("certus bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// What one run gave, by the kind of its shape.
enum Outcome {
    Messages(throughput::Outcome),
    Connections(storm::Outcome),
    Queue(queue::Outcome),
}

impl Outcome {
    /// Whether everything arrived once and in order, and nobody failed.
    fn is_clean(&self) -> bool {
        match self {
            Self::Messages(outcome) => outcome.is_clean(),
            Self::Connections(outcome) => outcome.failed == 0,
            Self::Queue(outcome) => outcome.is_clean(),
        }
    }
}

/// Measures once, on a runtime of its own, and shows what it gave to `show`.
///
/// # Errors
/// Nothing could be measured.
fn measure<T>(args: &Args, clock: &Clock, show: impl FnOnce(&shape::Field, &Outcome) -> T) -> Result<T, Error> {
    beside::check(args)?;
    // Dropped last, so that the broker outlives its clients.
    let null = if args.null { Some(null::Child::start(args)?) } else { None };
    on_threads(args.reach.threads, async {
        let field = shape::Field::new(args, clock, null.as_ref()).await?;
        let outcome = match args.shape {
            Shape::Connect | Shape::Idle => Outcome::Connections(storm::measure(&field).await?),
            Shape::Queue => Outcome::Queue(queue::measure(&field).await?),
            _ => Outcome::Messages(throughput::measure(&field, &Tasks::new()).await?),
        };
        Ok(show(&field, &outcome))
    })
}

/// Runs `work` on a runtime of so many threads, which ends with it.
fn on_threads<T>(threads: usize, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut builder = if threads > 1 {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build().map_err(Error::Io)?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::{Qos, Version};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Args {
        Line::try_parse_from(std::iter::once("bench").chain(line.split(' '))).unwrap().args
    }

    /// Runs one shape through a null broker in this process.
    async fn outcome(line: &str, qos: Qos, protocol: Version) -> throughput::Outcome {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = Tasks::new();
        let connections = Tasks::new();
        broker.spawn("null broker", async move { null::serve(&listener, None, &connections).await.unwrap() });
        let mut args = Args { qos, protocol, json: true, ..parsed(line) };
        args.reach.port = Some(port);
        let field = shape::Field::new(&args, &Clock::system(), None).await.unwrap();
        throughput::measure(&field, &Tasks::new()).await.unwrap()
    }

    #[tokio::test]
    async fn every_shape_and_quality_arrives_once_and_in_order() {
        let lines = [
            "pairs --publishers 2 --subscribers 4",
            "fan-out --subscribers 5",
            "fan-in --publishers 5",
            "wildcard",
            "shared --publishers 2 --subscribers 3",
        ];
        for line in lines {
            for bits in 0..3 {
                let protocol = if bits == 1 { Version::V5 } else { Version::V4 };
                let line = format!("{line} --plain --count 500");
                let outcome = outcome(&line, Qos::from_bits(bits).unwrap(), protocol).await;
                let fan = outcome.run.fan;
                assert_eq!((outcome.sent, outcome.delivered), (500, 500 * fan), "{line}, QoS {bits}");
                assert!(outcome.is_clean(), "{line}, QoS {bits}: {:?} {:?}", outcome.faults, outcome.failures);
            }
        }
    }

    #[tokio::test]
    async fn a_rate_is_kept_and_latency_counts_from_the_due_time() {
        let line = "pairs --publishers 2 --plain --rate 500 --duration 0.4 --warm-up 0.1";
        let outcome = outcome(line, Qos::AtLeastOnce, Version::V4).await;
        assert!((100..=260).contains(&outcome.sent), "{}", outcome.sent);
        assert!(outcome.run.timings.latency.count() > 0 && outcome.is_clean());
    }

    #[test]
    fn subscribers_that_cannot_be_dealt_out_are_refused_with_the_reason() {
        let error = shape::Roles::of(&parsed("pairs --publishers 3 --subscribers 4")).err().unwrap();
        assert!(error.to_string().contains("multiple"), "{error}");
    }
}
