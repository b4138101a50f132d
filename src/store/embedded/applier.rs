//! The applier's thread: folds the log into the index, and gives space back.
//!
//! Invariant: a file of the log is removed only after a checkpoint of the index
//! that holds its last group.

use std::sync::PoisonError;
use std::time::Duration;

use super::commits::Group;
use super::committer::refusal_of;
use super::engine::Engine;
use super::fold::{Fold, Writer};
use super::{EmbeddedStore, hold};
use crate::store::StoreError;
use crate::telemetry::metrics::Counter;

/// How often a busy or full index is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// How often a full disk is looked at again.
const FULL: Duration = Duration::from_millis(500);

impl EmbeddedStore {
    /// Folds the log into the index until [`EmbeddedStore::close`]; for a thread
    /// of its own.
    pub fn run_applier(&self) {
        while let Some(groups) = self.commits.take_groups(self.settings.apply_interval) {
            if !groups.is_empty() && self.apply_when_possible(groups).is_err() {
                return;
            }
            if let Err(error) = self.remove_applied() {
                tracing::warn!(%error, "the store's log could not be shortened; it is tried again");
            }
        }
        if let Err(error) = self.remove_applied() {
            tracing::warn!(%error, "the store's log is read again at the next start");
        }
    }

    fn apply_when_possible(&self, mut groups: Vec<Group>) -> Result<(), StoreError> {
        let mut was_refused = false;
        loop {
            let Err(error) = self.apply(&groups) else { return Ok(()) };
            let refusal = self.refusal_behind(&error).filter(|_| !self.commits.is_closing());
            match refusal {
                Some(refusal) => {
                    was_refused = true;
                    let is_full = refusal == StoreError::Full;
                    self.report(refusal, "the index cannot be written");
                    self.commits.pause(FULL);
                    // While nothing can be written it could not be opened either,
                    // and would not be read any more.
                    if is_full {
                        self.reopen();
                    }
                }
                // It may still speak of what is over.
                None if was_refused && !self.commits.is_closing() => {
                    was_refused = false;
                    self.reopen();
                }
                None => {
                    // The log has it all: the next start goes on from there.
                    tracing::error!(directory = %self.directory.display(), %error, "the store's index failed");
                    self.commits.latch();
                    self.commits.put_back_groups(std::mem::take(&mut groups));
                    return Err(error);
                }
            }
        }
    }

    fn apply(&self, groups: &[Group]) -> Result<(), StoreError> {
        let Some(last) = groups.last() else { return Ok(()) };
        // A commit that failed when the disk was full may be there all the same.
        let is_there = self.with_engine(|engine| Ok(applied(engine)? >= last.number))?;
        let mut fold = Fold::default();
        groups.iter().flat_map(|group| &group.batches).for_each(|batch| fold.add(batch));
        let sessions = fold.sessions();
        if !is_there {
            self.with_engine(|engine| {
                self.wait_for(engine);
                write(engine, fold, last.number, &self.writer())
            })?;
        }
        self.pending.applied(sessions, last.last);
        self.rows.applied(last.last);
        self.commits.applied(groups.iter().map(|group| group.bytes).sum(), last.last);
        Counter::StoreFolds.one();
        Ok(())
    }

    /// What is behind an error, if it may heal. The engine does not say why it
    /// takes no more once a write of its own has failed.
    fn refusal_behind(&self, error: &StoreError) -> Option<StoreError> {
        match (error, self.disk.free()) {
            (StoreError::Full | StoreError::ReadOnly, _) => Some(error.clone()),
            (_, Err(error)) => refusal_of(&error),
            (_, Ok(free)) => (free < self.settings.min_free).then_some(StoreError::Full),
        }
    }

    const fn writer(&self) -> Writer<'_> {
        Writer { epoch: self.epoch, next_body: &self.next_body, dead: &self.dead }
    }

    /// The engine makes its writers wait without an end while its own workers
    /// are behind: wait here instead, where a stop is heard.
    fn wait_for(&self, engine: &Engine) {
        while engine.is_behind() && !self.commits.is_closing() {
            self.commits.pause(RETRY);
        }
    }

    /// Removes the complete files of the log that the index holds durably.
    fn remove_applied(&self) -> Result<(), StoreError> {
        let applied = self.with_engine(|engine| Ok(applied(engine)?))?;
        let mut complete = hold(&self.complete);
        let (done, rest) = complete.drain(..).partition::<Vec<_>, _>(|(_, last)| *last <= applied);
        *complete = rest;
        drop(complete);
        if done.is_empty() {
            return Ok(());
        }
        self.with_engine(Engine::checkpoint)?;
        for (name, _) in done {
            self.disk.remove(&name).map_err(|error| StoreError::Io(format!("{name}: {error}")))?;
        }
        Ok(())
    }

    /// Opens the engine anew: once a write of its own has failed it takes none
    /// any more, though there may be space again.
    fn reopen(&self) {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        // The old one must let go of its lock first.
        *engine = None;
        match Engine::open(&self.directory.join(super::open::INDEX), &self.settings) {
            Ok(opened) => *engine = Some(opened),
            Err(error) => tracing::warn!(%error, "the store's index cannot be opened yet"),
        }
    }
}

/// The last group that the index holds.
pub(super) fn applied(engine: &Engine) -> Result<u64, super::engine::Read> {
    Ok(engine.view().number(super::engine::APPLIED)?.unwrap_or(0))
}

/// Folds a stretch of the log into the index.
pub(super) fn write(engine: &Engine, fold: Fold, number: u64, writer: &Writer<'_>) -> Result<(), StoreError> {
    let changes = fold.changes(&engine.view(), number, writer)?;
    engine.commit(changes)
}
