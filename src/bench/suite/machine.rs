//! The machine of a run, and what else it did meanwhile.
//!
//! What lives here: readers of `/proc`. What does not: judgement of it. Invariant: what cannot be read is `None`,
//! never 0.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

/// The length of a tick in `/proc/stat`.
const TICK: Duration = Duration::from_millis(10);

/// What the machine is.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's name.
    pub processor: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// The kernel's version.
    pub kernel: Option<String>,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let read = |file: &str| fs::read_to_string(file).ok();
        let after = |text: &str, name: &str, mark: char| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(mark)?.1.trim().to_owned())
        };
        let memory = read("/proc/meminfo").and_then(|text| after(&text, "MemTotal", ':'));
        let kib = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            processor: read("/proc/cpuinfo").and_then(|text| after(&text, "model name", ':')),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.map(|kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        }
    }

    /// In one line.
    pub fn text(&self) -> String {
        let unknown = || "unknown".to_owned();
        let memory = self.memory_mib.map_or_else(unknown, |mib| format!("{mib} MiB"));
        let (processor, kernel) = (self.processor.clone(), self.kernel.clone());
        format!(
            "{}, {} cores, memory {memory}, Linux {}",
            processor.unwrap_or_else(|| "processor unknown".to_owned()),
            self.cores,
            kernel.unwrap_or_else(unknown)
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "processor": self.processor, "cores": self.cores, "memory_mib": self.memory_mib, "kernel": self.kernel,
        })
    }
}

/// CPU time that all processes and the kernel have used since the start of the machine.
pub fn busy() -> Option<Duration> {
    busy_in(&fs::read_to_string("/proc/stat").ok()?)
}

fn busy_in(stat: &str) -> Option<Duration> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let (user, nice, system) = (next()?, next()?, next()?);
    let (_idle, _waiting) = (next()?, next()?);
    // Interrupts, and what a hypervisor kept for itself: nobody here had it.
    let rest = next()? + next()? + next().unwrap_or(0);
    Some(TICK * u32::try_from(user + nice + system + rest).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spent_idle_is_not_busy() {
        let busy = busy_in("cpu  100 20 30 5000 600 7 8 9 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(busy, Some(Duration::from_millis(1740)));
        assert_eq!((busy_in("cpu  1 x"), busy_in("intr 1")), (None, None));
    }

    #[test]
    fn this_machine_has_a_core_and_is_told_in_a_line() {
        let machine = Machine::here();
        assert!(machine.cores >= 1 && machine.text().contains("Linux"), "{}", machine.text());
    }
}
