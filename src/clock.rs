//! The only place that reads a clock.
//!
//! What lives here: monotonic time, wall time, and the offset by which a test
//! moves the wall time so that certificates expire without waiting. What does
//! not: timers (`tokio::time`) and the formatting of dates. Invariant: nobody
//! else calls `now()`, so a moved wall time is seen by everybody.
#![allow(clippy::disallowed_methods)] // This file is the one that may read the clock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A century: a date moved by no more can be written in every form.
const FARTHEST: i64 = 3_155_760_000;

/// A source of time that is cheap to clone. All clones share one offset.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Seconds added to the wall time; 0 outside tests.
    offset: AtomicI64,
    /// The file that holds the offset (`test_clock`).
    file: Option<PathBuf>,
}

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock whose wall time is moved by the whole number of seconds that
    /// `file` holds. An absent file means 0. Read by [`Clock::reread`].
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a whole number.
    pub fn with_test_file(file: &Path) -> io::Result<Self> {
        let clock = Self { inner: Arc::new(Inner { offset: AtomicI64::new(0), file: Some(file.to_owned()) }) };
        clock.reread()?;
        Ok(clock)
    }

    /// Monotonic time. Never moved by a test file: timers count real time.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Wall time, moved by the offset.
    pub fn wall(&self) -> SystemTime {
        let now = SystemTime::now();
        let offset = self.inner.offset.load(Ordering::Relaxed);
        let distance = Duration::from_secs(offset.unsigned_abs());
        let moved = if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        moved.unwrap_or(now)
    }

    /// Wall time in milliseconds since 1970-01-01T00:00Z; 0 before that.
    pub fn unix_millis(&self) -> u64 {
        let since = self.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Wall time in whole seconds since 1970-01-01T00:00Z; 0 before that.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_millis() / 1000
    }

    /// Whether a test file moves this clock, so that it needs re-reading.
    pub fn is_moved_by_file(&self) -> bool {
        self.inner.file.is_some()
    }

    /// Sets the offset in seconds, for every clone of this clock.
    pub fn shift_to(&self, seconds: i64) {
        self.inner.offset.store(seconds, Ordering::Relaxed);
    }

    /// Reads the offset again, and says whether it moved the time. Does
    /// nothing without a test file.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold a whole number; the old
    /// offset stays.
    pub fn reread(&self) -> io::Result<bool> {
        let Some(file) = &self.inner.file else { return Ok(false) };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::from("0"),
            Err(error) => return Err(error),
        };
        let seconds = text.trim().parse().ok().filter(|seconds| (-FARTHEST..=FARTHEST).contains(seconds));
        let seconds = seconds.ok_or_else(|| {
            let wanted = format!("expected a number of seconds up to {FARTHEST}, found {:?}", text.trim());
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {wanted}", file.display()))
        })?;
        Ok(self.inner.offset.swap(seconds, Ordering::Relaxed) != seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_file_moves_the_wall_time_of_every_clone_and_not_the_timers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("offset");
        let clock = Clock::with_test_file(&file).unwrap();
        let other = clock.clone();
        let (before, monotonic) = (other.unix_seconds(), other.now());
        std::fs::write(&file, "86400\n").unwrap();
        assert!(clock.reread().unwrap() && !clock.reread().unwrap());
        assert!(other.unix_seconds() >= before + 86_400);
        assert!(other.now() - monotonic < Duration::from_secs(3600));
    }

    #[test]
    fn a_broken_test_file_is_named_and_leaves_the_offset() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("offset");
        std::fs::write(&file, "-60").unwrap();
        let clock = Clock::with_test_file(&file).unwrap();
        std::fs::write(&file, "soon").unwrap();
        let error = clock.reread().unwrap_err().to_string();
        assert!(error.contains("offset") && error.contains("soon"), "{error}");
        assert!(clock.wall() < SystemTime::now());
    }
}
