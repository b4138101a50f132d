//! The keeper's thread: space.
//!
//! What lives here: when the store is full and when it is not any more, the
//! space of the next file of the log, and when the index is rewritten to give
//! back what was deleted. What does not: anything that an acknowledgement waits
//! for. Invariant: this thread may be late or stop, and nothing is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::EmbeddedStore;
use super::committer::refusal_of;
use super::settings::Level;
use crate::store::StoreError;
use crate::telemetry::metrics::{Counter, Gauge};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often it looks while it waits for the engine's own workers.
pub(super) const SOON: Duration = Duration::from_millis(10);

impl EmbeddedStore {
    /// Keeps watch over space until [`EmbeddedStore::close`]; for a thread of
    /// its own.
    pub fn run_keeper(&self) {
        let mut known = 0;
        while !self.commits.is_closing() {
            self.watch_space(&mut known);
            if self.settings.level == Level::Fsync {
                // Without it, syncs take longer: the file must grow with them.
                let _ = self.disk.prepare(self.settings.segment_bytes);
            }
            self.compact_when_worth_it();
            self.commits.pause(INTERVAL);
        }
    }

    /// Refuses what grows while there is little space or nothing is written,
    /// and takes it again.
    fn watch_space(&self, known: &mut i64) {
        let free = match self.disk.free() {
            Ok(free) => free,
            Err(error) => return refusal_of(&error).map_or((), |refusal| self.report(refusal, &error.to_string())),
        };
        let shown = i64::try_from(free).unwrap_or(i64::MAX);
        Gauge::StoreFreeBytes.add(shown - std::mem::replace(known, shown));
        let enough = self.settings.min_free.saturating_add(self.settings.min_free / 4);
        if free < self.settings.min_free {
            self.report(StoreError::Full, &format!("{free} bytes are free"));
        } else if (free >= enough || self.commits.refusal() == Some(StoreError::ReadOnly))
            && self.commits.set_refusal(None)
        {
            tracing::info!(directory = %self.directory.display(), free, "the store takes everything again");
        }
    }

    /// Rewrites the index once so much of it is dead that half of the work is
    /// worth it. The engine merges by size alone, and would keep it for long.
    fn compact_when_worth_it(&self) {
        let dead = self.dead.load(Ordering::Relaxed);
        if dead < self.settings.compact_bytes {
            return;
        }
        let compacted = self.with_engine(|engine| {
            let size = engine.disk_space();
            let needed = size.saturating_sub(dead).saturating_add(self.settings.min_free);
            if dead < size / 2 || self.disk.free().is_ok_and(|free| free < needed) {
                return Ok(false);
            }
            engine.compact(|| self.commits.is_closing(), || self.commits.pause(SOON)).map(|()| true)
        });
        match compacted {
            Ok(true) => {
                // What died meanwhile stays counted.
                self.dead.fetch_sub(dead, Ordering::Relaxed);
                Counter::StoreCompactions.one();
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the store's index could not give back its space; it is tried again"),
        }
    }
}
