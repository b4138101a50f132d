//! `certus check-config`: would a start take this configuration?
//!
//! What lives here: the same reading as a start, without making or binding
//! anything. What does not: the reading itself (`config`). Invariant: it changes
//! nothing.

use crate::ca;
use crate::config::{Plan, Problem, load};

use super::{Outcome, say, settings};

pub(super) fn run(args: &settings::Args) -> Outcome {
    let sources = args.sources();
    let mut pending = Vec::new();
    let config = load(&sources, |plan| {
        pending = ca::pending(&plan.certs_dir, &wanted(plan)).map_err(Problem::told)?;
        Ok(pending.clone())
    });
    let config = match config {
        Ok(config) => config,
        Err(problems) => return Outcome::wrong(problems),
    };
    for note in &config.notes {
        say(format_args!("note: {note}"));
    }
    if !pending.is_empty() {
        say(format_args!("note: the first start would make {} files in {}", pending.len(), config.certs_dir.display()));
    }
    match sources.file() {
        file if file.exists() => say(format_args!("{}: good", file.display())),
        _ => say("the defaults: good"),
    }
    Outcome::Done
}

/// What the plan wants of the development PKI.
pub(super) fn wanted(plan: &Plan) -> ca::Wanted<'_> {
    ca::Wanted { server: plan.server, devices: plan.devices, server_names: &plan.server_names }
}
