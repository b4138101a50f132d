//! `certus bench`: the load generator with which users and we measure brokers, and the client that
//! `certus pub` and `certus sub` share with it.
//!
//! What lives here: our own MQTT clients over rustls, the shapes of load, and the report. What does
//! not: anything of the broker; any broker can be measured. Invariant: the generator is not the
//! bottleneck (frames encoded once, one read and one write a batch), and says so when it is.

mod args;
pub mod client;
pub mod credentials;
pub mod dial;
pub mod error;
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
mod tally;
mod throughput;
mod watch;
mod wire;

use std::process::ExitCode;

pub use args::{Args, Shape, qos};
pub use error::Error;

use crate::clock::Clock;
use crate::shutdown::Tasks;

/// Runs the load generator on a runtime of its own and prints its report.
///
/// Exit code 0: measured, nothing lost, repeated or out of order; 1: measured, with faults; 2: not measured.
pub fn run(args: &Args, clock: &Clock) -> ExitCode {
    let mut builder = if args.threads > 1 {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(args.threads);
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let outcome = match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(measure(args, clock)),
        Err(error) => Err(Error::Io(error)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("certus bench: {error}");
            ExitCode::from(2)
        }
    }
}

/// Answers whether everything arrived.
async fn measure(args: &Args, clock: &Clock) -> Result<bool, Error> {
    let tasks = Tasks::new();
    if args.shape == Shape::Null {
        null::run(args, &tasks).await?;
        return Ok(true);
    }
    // Dropped last, so that the broker outlives its clients.
    let null = if args.null { Some(null::Child::start(args)?) } else { None };
    let field = shape::Field::new(args, clock, null.as_ref()).await?;
    match args.shape {
        Shape::Connect | Shape::Idle => {
            let outcome = storm::measure(&field).await?;
            report::print_storm(&field, &outcome);
            Ok(outcome.failed == 0)
        }
        Shape::Queue => {
            let outcome = queue::measure(&field).await?;
            report::print_queue(&field, &outcome);
            Ok(outcome.is_clean())
        }
        _ => {
            let outcome = throughput::measure(&field, &tasks).await?;
            report::print_throughput(&field, &outcome);
            Ok(outcome.is_clean())
        }
    }
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
        let args = Args { qos, protocol, port: Some(port), json: true, ..parsed(line) };
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
        assert!(outcome.run.latency.count() > 0 && outcome.is_clean());
    }

    #[test]
    fn subscribers_that_cannot_be_dealt_out_are_refused_with_the_reason() {
        let error = shape::Roles::of(&parsed("pairs --publishers 3 --subscribers 4")).err().unwrap();
        assert!(error.to_string().contains("multiple"), "{error}");
    }
}
