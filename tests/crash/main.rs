//! Kills a real broker while clients publish, starts it again on the same
//! directory, and counts what was promised.
//!
//! What lives here: the command line of `tests/run crash`, and lives in a row.
//! What does not: what a life is (`life.rs`), and what the clients hold to be
//! right (`publisher.rs`, `subscriber.rs`, `retained.rs`). Invariant: the same
//! seed makes the same cast and the same plan of kills; what a failure left on
//! disk stays there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // A program of its own: its threads end with it, and it measures nothing.

mod broker;
mod chance;
mod ledger;
mod life;
mod publisher;
mod retained;
mod subscriber;
mod wills;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use life::{Plan, Tally};

/// What the command line asks for.
struct Asked {
    broker: PathBuf,
    rounds: u64,
    seed: u64,
    level: Option<String>,
}

fn asked() -> Result<Asked, String> {
    let fresh =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64 % 1_000_000_000);
    let mut asked = Asked { broker: PathBuf::new(), rounds: 30, seed: fresh, level: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: '{value}' is no number"));
        match word.as_str() {
            "--broker" => asked.broker = PathBuf::from(&value),
            "--rounds" => asked.rounds = number()?.max(1),
            "--seed" => asked.seed = number()?,
            "--level" => asked.level = Some(value),
            _ => return Err(format!("{word} is not known: --broker FILE --rounds N --seed N --level fsync|os|memory")),
        }
    }
    if asked.broker.as_os_str().is_empty() { Err("--broker FILE is needed".to_owned()) } else { Ok(asked) }
}

/// Lives until the rounds are used up; the first that breaks ends it.
fn live(asked: &Asked) -> Result<Tally, (u64, Tally)> {
    let mut all = Tally::default();
    let mut seed = asked.seed;
    while all.kills < asked.rounds {
        let plan = Plan::new(seed, asked.level.as_deref(), asked.rounds - all.kills);
        let (tally, end) = life::play(&asked.broker, &plan);
        all.add(&tally);
        if let Err(why) = end {
            println!("seed {seed}, durability {}, kill {} of {}: {why}", plan.level, tally.kills, plan.rounds);
            println!(
                "again: tests/run crash {} {seed}   (the plan is the same, the threads are not: it may take several)",
                plan.rounds
            );
            return Err((seed, all));
        }
        println!("seed {seed}, durability {}: {tally}", plan.level);
        seed += 1;
    }
    Ok(all)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("crash: {why}");
            return ExitCode::from(2);
        }
    };
    match live(&asked) {
        // A run in which every kill found the clients at rest has shown nothing.
        Ok(all) if all.in_flight == 0 || all.acknowledged == 0 => {
            println!("nothing was in flight at any kill: {all}\n{} passed, 1 failed", all.kills);
            ExitCode::FAILURE
        }
        Ok(all) => {
            println!("in all: {all}\n{} passed, 0 failed", all.kills);
            ExitCode::SUCCESS
        }
        Err((_, all)) => {
            println!("{} passed, 1 failed", all.kills.saturating_sub(1));
            ExitCode::FAILURE
        }
    }
}
