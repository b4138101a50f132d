//! Looks at a run while it goes on, and says what it sees.
//!
//! What lives here: progress on standard error, and the end of waiting for what does not come. What does
//! not: figures of the report. Invariant: a run ends, whatever the broker does.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::error::Error;
use super::run::{Counts, Run};
use crate::shutdown::Tasks;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks without a delivery after which what is outstanding is given up.
const STALLED: u32 = 10;

/// Seconds after which clients that still connect are given up.
const PATIENCE: u64 = 600;

/// Waits until all `tasks` have ended and says once a second how many of `all` clients they have `done`.
///
/// # Errors
/// They take too long.
pub async fn connecting(tasks: &Tasks, quiet: bool, all: usize, done: impl Fn() -> u64) -> Result<(), Error> {
    let terminal = std::io::stderr().is_terminal();
    let mut before = 0;
    for second in 1..=PATIENCE {
        if tasks.drained(Duration::from_secs(1)).await.is_ok() {
            if terminal && second > 1 {
                eprintln!();
            }
            return Ok(());
        }
        let now = done();
        if !quiet || terminal {
            let (rate, end) = (now - before, if terminal { '\r' } else { '\n' });
            eprint!("{second:5} s  connected {now:>8} of {all}  {rate:>7}/s{end}");
            let _ = std::io::stderr().flush();
        }
        before = now;
    }
    Err(Error::Late("connecting all clients", PATIENCE))
}

/// The eye on a run.
pub struct Watch {
    quiet: bool,
    terminal: bool,
    /// The name of what is followed, and how it is read.
    name: &'static str,
    figure: fn(&Counts) -> u64,
    last: u64,
    idle: u32,
    looks: u32,
    told: (Duration, u64),
}

impl Watch {
    /// Follows `figure`; a quiet watch tells of it on a terminal only.
    pub fn new(quiet: bool, name: &'static str, figure: fn(&Counts) -> u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, terminal, name, figure, last: 0, idle: 0, looks: 0, told: (Duration::ZERO, 0) }
    }

    /// Waits for `length`, or until `done`.
    pub async fn until(&mut self, run: &Run, length: Duration, done: impl Fn(&Run) -> bool) {
        let end = run.elapsed().saturating_add(length);
        while let Some(left) = end.checked_sub(run.elapsed()).filter(|left| !left.is_zero()) {
            if done(run) {
                return;
            }
            self.look(run, left.min(LOOK)).await;
            if run.outstanding() > 0 && self.idle > 0 && self.idle.is_multiple_of(STALLED) {
                run.write_off();
            }
        }
    }

    /// Waits until the figure is `wanted`; answers false when a client failed, or nothing came for `patience`.
    pub async fn reaches(&mut self, run: &Run, wanted: u64, patience: Duration) -> bool {
        while (self.figure)(&run.counts()) < wanted {
            self.look(run, LOOK).await;
            if run.failures().0 > 0 || LOOK * self.idle >= patience {
                return false;
            }
        }
        true
    }

    /// Waits until nothing is outstanding, or nothing comes any more.
    pub async fn drain(&mut self, run: &Run) {
        self.idle = 0;
        while run.outstanding() > 0 && self.idle < 3 * STALLED {
            tokio::time::sleep(LOOK).await;
            self.count_idle(run);
        }
    }

    async fn look(&mut self, run: &Run, length: Duration) {
        tokio::time::sleep(length).await;
        self.count_idle(run);
        self.looks += 1;
        if self.looks.is_multiple_of(10) {
            self.tell(run);
        }
    }

    fn count_idle(&mut self, run: &Run) {
        let now = (self.figure)(&run.counts());
        self.idle = if now == self.last { self.idle + 1 } else { 0 };
        self.last = now;
    }

    fn tell(&mut self, run: &Run) {
        let (now, counts) = (run.elapsed(), run.counts());
        let figure = (self.figure)(&counts);
        let span = now.saturating_sub(self.told.0).as_secs_f64().max(1e-3);
        let rate = (figure - self.told.1) as f64 / span;
        self.told = (now, figure);
        if !self.quiet || self.terminal {
            let end = if self.terminal { '\r' } else { '\n' };
            let (seconds, name, sent, open) = (now.as_secs_f64(), self.name, counts.sent, run.outstanding());
            eprint!("{seconds:5.1} s  sent {sent:>11}  {name} {figure:>11}  {rate:>9.0}/s  outstanding {open:>6}{end}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Leaves the line of progress on a terminal.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
