//! The committer's thread: one write and one sync for all that was appended
//! meanwhile.
//!
//! Invariant: at most one group is written and not synced, so a power cut tears
//! nothing but what nobody was told of. After a failed sync what is on the disk
//! is not known, and asking again would only hide that (fsyncgate): the store
//! latches.

use std::io;
use std::time::Duration;

use super::commits::Taken;
use super::log::LogWriter;
use super::settings::Level;
use super::{EmbeddedStore, hold};
use crate::store::StoreError;
use crate::store::record::write_group;
use crate::telemetry::metrics::Counter;

/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What a write that failed left as it was, and may be tried again.
pub(super) fn refusal_of(error: &io::Error) -> Option<StoreError> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(StoreError::Full),
        io::ErrorKind::ReadOnlyFilesystem => Some(StoreError::ReadOnly),
        _ => None,
    }
}

impl EmbeddedStore {
    /// Writes the log until [`EmbeddedStore::close`]; for a thread of its own.
    pub fn run_committer(&self) {
        let Some(mut log) = hold(&self.log).take() else { return };
        while let Some(taken) = self.commits.take(self.settings.group_bytes, self.settings.group_wait) {
            if self.commit(&mut log, taken).is_err() {
                break;
            }
        }
        // The last file stays: its header says how far the store has come.
    }

    /// Fails when the store is latched.
    fn commit(&self, log: &mut LogWriter, taken: Taken) -> Result<(), ()> {
        let mut struck = 0;
        let written = log.write(|into| struck = write_group(into, &taken.batches()));
        let written = match written {
            Ok(written) => written,
            Err(error) if let Some(refusal) = refusal_of(&error) => {
                self.commits.put_back(taken);
                self.report(refusal, &error.to_string());
                self.commits.pause(RETRY);
                // Whoever stops a broker whose disk is full does not wait for space.
                return if self.commits.is_closing() { self.latch("write", &error) } else { Ok(()) };
            }
            Err(error) => return self.latch("write", &error),
        };
        if self.settings.level == Level::Fsync {
            log.sync().or_else(|error| self.latch("sync", &error))?;
        }
        Counter::StoreGroups.one();
        Counter::StoreBytes.add(written);
        Counter::StoreStruckOut.add(struck);
        self.commits.committed(log.last(), taken);
        if log.is_full() {
            self.roll(log)?;
        }
        Ok(())
    }

    fn roll(&self, log: &mut LogWriter) -> Result<(), ()> {
        if self.settings.level == Level::Os {
            log.sync().or_else(|error| self.latch("sync", &error))?;
        }
        let complete = (log.name(), log.last());
        match log.roll() {
            Ok(()) => hold(&self.complete).push(complete),
            // The old file grows until there is room for a new one.
            Err(error) => tracing::warn!(%error, "the store's log cannot begin a new file; it goes on in the old one"),
        }
        Ok(())
    }

    pub(super) fn latch(&self, what: &str, error: &io::Error) -> Result<(), ()> {
        self.commits.latch();
        tracing::error!(
            directory = %self.directory.display(), %error,
            "the store's log failed to {what}: nothing more is acknowledged. Mend the disk, then start the broker again"
        );
        Err(())
    }

    /// Says, once, why nothing that grows is taken from now on.
    pub(super) fn report(&self, refusal: StoreError, detail: &str) {
        let why = refusal.to_string();
        if self.commits.set_refusal(Some(refusal)) {
            tracing::error!(
                directory = %self.directory.display(), detail, min_free = self.settings.min_free,
                "{why}: nothing that grows is taken until then"
            );
        }
    }
}
