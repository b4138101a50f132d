//! How much memory the process has.
//!
//! What lives here: reading what the kernel says. What does not: bounds.

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most that it ever was.
    pub most: u64,
}

/// What the kernel says about this process; nothing where it says nothing.
#[must_use]
pub fn resident() -> Option<Resident> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<Resident> {
    let bytes = |key| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Resident { now: bytes("VmRSS:")?, most: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let status = "Name:\tcertus\nVmHWM:\t    9132 kB\nVmRSS:\t    8192 kB\nThreads:\t2\n";
        assert_eq!(parse(status), Some(Resident { now: 8 << 20, most: 9132 * 1024 }));
        assert_eq!(parse("Name:\tcertus\n"), None);
    }
}
