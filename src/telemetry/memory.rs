//! How much memory there is.
//!
//! What lives here: what Linux tells of it, control groups included, and
//! amounts that are written as a share. What does not: how much of it this
//! process holds (`resident`), what happens when there is too little (`delivery::budget`, `net::overload`). Invariant: whatever the
//! system does not tell is guessed low, never high.

use std::fs;
use std::path::{Path, PathBuf};

/// What a machine has that does not say.
const UNTOLD: u64 = 4 << 30;

/// An amount of memory as an operator writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// In bytes.
    Bytes(u64),
    /// In percent of what there is; see [`total`].
    Percent(u8),
}

impl Amount {
    /// In bytes, where there are `total`.
    #[must_use]
    pub const fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => total / 100 * percent as u64,
        }
    }
}

/// The bytes that this process may use: the machine's, or what its control
/// group has.
#[must_use]
pub fn total() -> u64 {
    total_in(Path::new("/"))
}

fn total_in(root: &Path) -> u64 {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| kib(&text, "MemTotal:"));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let bounds = groups.lines().flat_map(|line| group_bounds(root, line));
    machine.into_iter().chain(bounds).min().unwrap_or(UNTOLD)
}

/// The bounds of a control group and of those that it lies in. `line` is
/// `number:controllers:path`; version 2 names no controllers.
fn group_bounds(root: &Path, line: &str) -> Vec<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, Some(path)) = (fields.next(), fields.next(), fields.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        Some("") => ("sys/fs/cgroup", "memory.max"),
        Some(names) if names.split(',').any(|name| name == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors().map(PathBuf::from);
    // Inside a container the group is the mount itself, whatever its name outside.
    let files = groups.map(|group| root.join(mount).join(group).join(file));
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

/// The value of a line such as `MemTotal:   1234 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        total_in(root.path())
    }

    #[test]
    fn this_process_has_less_than_there_is() {
        assert!(crate::telemetry::resident::resident().unwrap().most < total());
    }

    #[test]
    fn a_control_group_of_either_version_bounds_what_there_is() {
        let info = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:    8388608 kB\n");
        assert_eq!(machine(&[info]), 8 << 30);
        assert_eq!(machine(&[]), UNTOLD);
        let second = ("proc/self/cgroup", "0::/system.slice/certus.service\n");
        let unbound = ("sys/fs/cgroup/system.slice/certus.service/memory.max", "max\n");
        assert_eq!(machine(&[info, second, unbound]), 8 << 30);
        let outer = ("sys/fs/cgroup/system.slice/memory.max", "1073741824\n");
        assert_eq!(machine(&[info, second, unbound, outer]), 1 << 30);
        let inside = ("sys/fs/cgroup/memory.max", "536870912\n");
        assert_eq!(machine(&[info, second, inside]), 512 << 20);
        let first = ("proc/self/cgroup", "3:cpu:/x\n4:memory,hugetlb:/docker/abc\n");
        let file = ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "268435456");
        assert_eq!(machine(&[info, first, file]), 256 << 20);
    }

    #[test]
    fn a_share_is_one_of_what_there_is() {
        assert_eq!(Amount::Percent(25).of(400), 100);
        assert_eq!(Amount::Bytes(7).of(400), 7);
    }
}
