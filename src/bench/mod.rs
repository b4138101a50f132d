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
mod null;
mod pacer;
mod process;
mod publisher;
mod report;
mod run;
mod shape;
mod storm;
mod subscriber;
mod tally;
mod throughput;
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
        null::serve(args, &tasks).await?;
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
        _ => {
            let outcome = throughput::measure(&field, &tasks).await?;
            report::print_throughput(&field, &outcome);
            Ok(outcome.is_clean())
        }
    }
}
