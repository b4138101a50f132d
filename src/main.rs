//! The binary: an allocator and the command line.
//!
//! What lives here: nothing else. Invariant: everything that the binary does
//! can be called from the library.

use std::process::ExitCode;

/// Worth about a quarter of the CPU time when sessions come and go.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    certus::control::cli::run()
}
