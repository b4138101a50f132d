//! `certus bench`.
//!
//! What lives here: its place on the command line. What does not: the load
//! generator (`crate::bench`). Invariant: 0 means measured and faultless, 1
//! measured with faults, 2 not measured.

use std::process::ExitCode;

use crate::clock::Clock;

/// Arguments of `certus bench`.
pub(super) use crate::bench::Args;

/// What its help ends with.
pub(super) const EXAMPLES: &str = "\
Examples:
  certus bench pairs --pid $(pidof certus)        ten to ten, QoS 1, 16 bytes, window 20, mutual TLS
  certus bench pairs --rate 2000                  latency from the due time
  certus bench shared -q 2 -V 5.0                 a $share group
  certus bench queue --pid $(pidof certus)        queue for sleeping sessions, then drain
  certus bench connect --resumed --key rsa        a storm of resumed handshakes
  certus bench pairs --null                       the generator's own ceiling

Exit codes: 0 everything arrived once and in order, 1 something did not, 2 nothing could be measured.";

/// Runs the load generator.
pub(super) fn run(args: &Args) -> ExitCode {
    crate::bench::run(args, &Clock::system())
}
