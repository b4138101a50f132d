//! What another process costs: CPU time and resident memory, as Linux tells them.
//!
//! What lives here: readers of `/proc`. What does not: what the figures are divided by.
//! Invariant: a figure that cannot be read is `None`, never 0.

use std::fs;
use std::time::Duration;

/// The length of a kernel tick in `/proc/PID/stat` (USER_HZ is 100 on every Linux architecture that we run on).
const TICK: Duration = Duration::from_millis(10);

/// A process that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

/// CPU time at one moment, by two readings.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    /// Sum over the living threads, exact.
    threads: Option<Duration>,
    /// Of the whole process, ended threads included, in ticks.
    ticks: Duration,
}

impl Process {
    /// The CPU time of all its threads; `None` when there is no such process.
    pub fn cpu(self) -> Option<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name in parentheses may hold blanks: fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
        Some(CpuTime { threads: self.threads(), ticks: TICK * (ticks(11)? + ticks(12)?) })
    }

    fn threads(self) -> Option<Duration> {
        let mut sum = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.0)).ok()? {
            // A thread that ends meanwhile is no error: `since` notices by the ticks.
            let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
            sum += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
        }
        Some(sum)
    }

    /// How many files it may have open; `None` without a bound, too.
    pub fn open_files(self) -> Option<u64> {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.0)).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Resident memory in KiB (`VmRSS`).
    pub fn resident_kib(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl CpuTime {
    /// CPU time spent since `earlier`.
    pub fn since(&self, earlier: &Self) -> Duration {
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        let (Some(now), Some(then)) = (self.threads, earlier.threads) else { return ticks };
        match now.checked_sub(then) {
            // Thread sums lose a thread that ended; ticks are right within one at each end.
            Some(exact) if exact + TICK * 3 >= ticks => exact,
            _ => ticks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_its_time_does_not_run_backwards() {
        let own = Process(std::process::id());
        let before = own.cpu().unwrap();
        assert!(own.resident_kib().unwrap() > 100);
        assert!(own.open_files().is_none_or(|files| files >= 3));
        assert!(own.cpu().unwrap().since(&before) < Duration::from_secs(60));
    }

    #[test]
    fn a_process_that_is_not_there_has_no_figures() {
        assert!(Process(u32::MAX).cpu().is_none());
        assert_eq!(Process(u32::MAX).resident_kib(), None);
        assert_eq!(Process(u32::MAX).open_files(), None);
    }
}
