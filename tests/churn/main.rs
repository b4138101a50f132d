//! A day of churn on one store, and what its directory takes meanwhile.
//!
//! What lives here: the command line of `tests/run churn`. What does not: what
//! happens to the store (`life.rs`; `tests/store` runs a short one). Invariant:
//! it fails when the directory takes more than the stated bound at any look, or
//! holds something else in the end than it was given.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // A program of its own: its threads end with it.

mod life;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use certus::store::{EmbeddedStore, Level, Settings};
use life::{Churn, taken};

/// Changes between two looks at the directory.
const LOOK: u64 = 100_000;

/// Changes, and the seed.
fn asked() -> Option<(u64, u64)> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().ok());
    let asked = (numbers.next().unwrap_or(Some(20_000_000))?, numbers.next().unwrap_or(Some(1))?);
    numbers.next().is_none().then_some(asked)
}

fn run(store: &Arc<EmbeddedStore>) -> Vec<JoinHandle<()>> {
    let [committer, applier, keeper] = [(); 3].map(|()| Arc::clone(store));
    vec![
        thread::spawn(move || committer.run_committer()),
        thread::spawn(move || applier.run_applier()),
        thread::spawn(move || keeper.run_keeper()),
    ]
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

fn churn(changes: u64, seed: u64) -> Result<(), String> {
    let home = tempfile::Builder::new().prefix("certus-churn-").tempdir().unwrap();
    let settings = Settings { level: Level::Os, ..Settings::default() };
    let bound = Churn::bound(&settings);
    let store = EmbeddedStore::open(home.path(), settings.clone()).unwrap().store;
    let threads = run(&store);
    let (mut life, begun) = (Churn::new(seed), Instant::now());
    // The highest of each tenth of the way.
    let mut highest = [0; 10];
    while life.changes < changes {
        let next = life.changes + LOOK;
        while life.changes < next {
            life.turn(&*store);
        }
        let tenth = (life.changes * 10 / changes).min(9) as usize;
        let now = taken(home.path());
        highest[tenth] = now.max(highest[tenth]);
        if now > bound {
            return Err(format!("{} MiB on disk, {} at most", mebibytes(now), mebibytes(bound)));
        }
    }
    life.settle(&*store);
    store.close();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(store);
    let seconds = begun.elapsed().as_secs();
    println!("seed {seed}: {} changes in {seconds} s", life.changes);
    println!("MiB on disk, the highest of each tenth: {:?}, {} at most", highest.map(mebibytes), mebibytes(bound));
    let opened = EmbeddedStore::open(home.path(), settings).unwrap();
    life.compare(&*opened.store)?;
    match opened.store.check().unwrap() {
        report if report.faults == 0 => {
            println!("{} bytes of records in the end, {} MiB on disk", report.bytes, mebibytes(taken(home.path())));
            Ok(())
        }
        report => Err(format!("{} faults: {:?}", report.faults, report.told)),
    }
}

fn main() -> ExitCode {
    let Some((changes, seed)) = asked() else {
        eprintln!("churn: CHANGES SEED, two numbers");
        return ExitCode::from(2);
    };
    match churn(changes, seed) {
        Ok(()) => {
            println!("1 passed, 0 failed");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}
