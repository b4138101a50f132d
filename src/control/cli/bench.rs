//! `certus bench`.
//!
//! What lives here: its place on the command line. What does not: the load
//! generator (`crate::bench`). Invariant: 0 means measured and faultless, 1
//! measured with faults, 2 not measured.

use std::process::ExitCode;

use crate::clock::Clock;

/// Arguments of `certus bench`.
pub(super) use crate::bench::Args;

/// Runs the load generator.
pub(super) fn run(args: &Args) -> ExitCode {
    crate::bench::run(args, &Clock::system())
}
