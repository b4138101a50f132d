//! The coverage-guided search: libFuzzer around one of the targets.
//!
//! What lives here: the choice of the target by `CERTUS_FUZZ`. What does not:
//! the targets, and how this is built (`tests/run fuzz`, `instrumented`).
//! Invariant: a target that does not exist ends the search at once.
#![no_main]
#![allow(missing_docs, clippy::panic)]
#![allow(unsafe_code, reason = "libFuzzer calls us by names that the linker sees; its macro writes them")]

mod control;
mod net;
mod targets;

/// The files that `control` and `net` take in know them by these names.
use certus::{ca, codec};

use std::sync::OnceLock;

use targets::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("CERTUS_FUZZ").unwrap_or_default();
    match TARGETS.iter().find(|target| target.0 == name) {
        Some((_, target)) => *target,
        None => panic!("CERTUS_FUZZ={name:?} names no target; `tests/run fuzz` knows them"),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.get_or_init(chosen)(input));
