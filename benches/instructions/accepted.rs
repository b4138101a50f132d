//! The accepted counts, and what differs from them.
//!
//! What lives here: their file and the bounds. What does not: counting. Invariant: a part without an accepted count
//! fails, so that none is forgotten.

use std::fs;
use std::process::ExitCode;

/// Where they are kept: one part a line, its count before its name.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/accepted.txt");
/// So many percent more than accepted fail; compilers and processors account for some.
const WORSE: u64 = 25;
/// So many percent less are told, so that the gain is kept.
const BETTER: u64 = 10;
/// How to take new counts.
const REMEDY: &str = "cargo bench --bench instructions -- --accept";

/// Writes the counts down.
pub fn write(counts: &[(&str, u64)]) -> ExitCode {
    let text: String = counts.iter().map(|(name, count)| format!("{count:>9}  {name}\n")).collect();
    print!("{text}");
    match fs::write(FILE, text) {
        Ok(()) => {
            println!("accepted: {FILE}; say in the commit why they changed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{FILE}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Compares the counts with those that were written down.
pub fn compare(counts: &[(&str, u64)]) -> ExitCode {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let accepted = |name: &str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once("  "));
        lines.filter(|(_, known)| *known == name).find_map(|(count, _)| count.parse::<u64>().ok())
    };
    let mut failed = 0;
    for (name, count) in counts {
        let (is_good, words) = verdict(*count, accepted(name));
        failed += u64::from(!is_good);
        println!("{count:>9} instructions  {name}{words}");
    }
    if failed > 0 {
        println!(
            "The counts are of one run of each part, in the release build. Find what made them grow (valgrind --tool=callgrind),"
        );
        println!("or, if it is worth it, accept them and say why in the commit: {REMEDY}");
    }
    println!("{} passed, {failed} failed", counts.len() as u64 - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a count is taken, and what is to be said of it.
fn verdict(count: u64, accepted: Option<u64>) -> (bool, String) {
    let Some(accepted) = accepted.filter(|accepted| *accepted > 0) else {
        return (false, format!(": FAILED, no count was accepted yet; {REMEDY}"));
    };
    let percent = (i128::from(count) - i128::from(accepted)) * 100 / i128::from(accepted);
    if percent > i128::from(WORSE) {
        return (false, format!(": FAILED, {percent} % more than the accepted {accepted}; {WORSE} % are allowed"));
    }
    if percent < -i128::from(BETTER) {
        return (true, format!(": {} % less than accepted; keep the gain: {REMEDY}", -percent));
    }
    (true, String::new())
}
