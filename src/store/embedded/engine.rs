//! The index: an ordered map on disk (fjall).
//!
//! What lives here: how the engine is opened, its keys, and its errors. What
//! does not: what the values mean (`record`), what is written when (`applier`).
//! Invariant: one commit is one batch of the engine and carries the number of
//! the last group that it holds, so that the log and the index always know
//! where the other stands.
//!
//! Everything is in one keyspace: one tree to flush and to compact, and no
//! order between trees to rely on.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::Settings;
use super::committer::refusal_of;
use crate::store::record::{self, Malformed};
use crate::store::{SessionUid, StoreError, Table};

const KEYSPACE: &str = "certus";

/// Keys of one kind begin with one byte.
pub(super) mod kind {
    pub(in crate::store::embedded) const HEAD: u8 = b'H';
    pub(in crate::store::embedded) const RUN: u8 = b'Q';
    pub(in crate::store::embedded) const BODY: u8 = b'B';
    /// How many runs share a body.
    pub(in crate::store::embedded) const SHARES: u8 = b'C';
    pub(in crate::store::embedded) const ROW: u8 = b'T';
}

/// The longest key that the engine can hold is 65,535 bytes.
pub(super) const LONGEST_KEY: usize = 65_535 - 2;

/// The first byte of what the store says of itself.
pub(super) const META: u8 = b'M';
/// The last group that the index holds. `journal` looks for it too.
pub(super) const APPLIED: &[u8] = b"Mapplied";
/// How often the store was opened.
pub(super) const EPOCH: &[u8] = b"Mepoch";

/// When the index was last rewritten, its size then.
const COMPACTED: &[u8] = b"Mcompacted";
/// What the keeper counts as dead.
pub(super) const DEAD: &[u8] = b"Mdead";

/// So many pauses are made for the engine to write its memory to a file.
const FLUSH_TRIES: u32 = 3000;

pub(super) fn key_of(kind: u8, number: u64) -> Vec<u8> {
    [&[kind], number.to_be_bytes().as_slice()].concat()
}

pub(super) fn run_key(session: SessionUid, first: u64) -> Vec<u8> {
    [&[kind::RUN], session.0.to_be_bytes().as_slice(), &first.to_be_bytes()].concat()
}

/// The first number of the run under `key`.
pub(super) fn first_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().filter(|_| key.len() == 17).map(|first| u64::from_be_bytes(*first))
}

pub(super) fn row_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[kind::ROW, table.code()], key].concat()
}

/// The number behind the kind of a key.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.get(1..9)?.first_chunk::<8>().map(|number| u64::from_be_bytes(*number))
}

/// The engine, open.
pub(super) struct Engine {
    database: Database,
    keyspace: Keyspace,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What one commit changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) puts: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) deletes: Vec<Vec<u8>>,
}

impl Changes {
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.puts.push((key, value));
    }

    pub(super) fn put_number(&mut self, key: &[u8], value: u64) {
        let value = record::sealed(key, |into| record::number(into, value));
        self.puts.push((key.to_vec(), value));
    }
}

impl Engine {
    pub(super) fn open(path: &Path, settings: &Settings) -> Result<Self, StoreError> {
        let database = Database::builder(path)
            .cache_size(settings.cache_bytes)
            // With more than one, the first leaves compaction to the others by
            // sending itself the same request again and again while they do it:
            // it takes a whole core meanwhile.
            .worker_threads(1)
            .max_journaling_size(settings.segment_bytes.saturating_mul(4).max(1 << 26))
            // Its journal goes to the operating system with every commit, and is
            // synced at checkpoints: what is synced sooner is the log.
            .open()
            .map_err(failed)?;
        // Its files are synced whole, and a sync of the log waits behind them.
        let merging = Arc::new(Leveled::default().with_table_target_size(settings.memtable_bytes));
        let options = || {
            let options = KeyspaceCreateOptions::default().max_memtable_size(settings.memtable_bytes);
            options.compaction_strategy(Arc::clone(&merging) as _)
        };
        let keyspace = database.keyspace(KEYSPACE, options).map_err(failed)?;
        Ok(Self { database, keyspace })
    }

    /// A view that no commit changes.
    pub(super) fn view(&self) -> View<'_> {
        View { snapshot: self.database.snapshot(), keyspace: &self.keyspace }
    }

    /// Takes all of `changes` or nothing. Not durable before
    /// [`Engine::checkpoint`].
    pub(super) fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        changes.deletes.into_iter().for_each(|key| batch.remove(&self.keyspace, key));
        changes.puts.into_iter().for_each(|(key, value)| batch.insert(&self.keyspace, key, value));
        batch.commit().map_err(failed)
    }

    /// Whether a commit now would have to wait for the engine's own workers.
    pub(super) fn is_behind(&self) -> bool {
        self.keyspace.sealed_memtable_count() >= 3 || self.keyspace.l0_table_count() >= 20
    }

    /// Waits until a commit would not.
    pub(super) fn wait_until_ready(&self) {
        while self.is_behind() {
            std::thread::park_timeout(super::keeper::SOON);
        }
    }

    /// Makes every commit durable.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncAll).map_err(failed)
    }

    /// Gives back the space of what was deleted. Takes long, and space for a
    /// copy of what is wanted; `is_over` ends it between two steps.
    pub(super) fn compact(&self, is_over: impl Fn() -> bool, pause: impl Fn()) -> Result<(), StoreError> {
        self.flush(&is_over, &pause)?;
        self.keyspace.major_compact().map_err(failed)?;
        // The old files go when a later version of the tree is made.
        let mut changes = Changes::default();
        changes.put_number(COMPACTED, self.disk_space());
        self.commit(changes)?;
        self.flush(&is_over, &pause)
    }

    /// Writes what is collected in memory to a file. Its own waiting call would
    /// wait for ever for workers that have failed.
    fn flush(&self, is_over: impl Fn() -> bool, pause: impl Fn()) -> Result<(), StoreError> {
        self.keyspace.rotate_memtable().map_err(failed)?;
        let mut tries = 0;
        while self.keyspace.sealed_memtable_count() > 0 {
            if is_over() || tries > FLUSH_TRIES {
                return Err(StoreError::Io("the index did not write its memory to a file in time".to_owned()));
            }
            tries += 1;
            pause();
        }
        Ok(())
    }

    /// Bytes on disk, its journal left out: that one has its space beforehand.
    pub(super) fn disk_space(&self) -> u64 {
        self.keyspace.disk_space()
    }
}

fn failed(error: fjall::Error) -> StoreError {
    let refusal = match &error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => refusal_of(io),
        _ => None,
    };
    refusal.unwrap_or_else(|| StoreError::Io(error.to_string()))
}

/// The index at one moment.
pub(super) struct View<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

impl View<'_> {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<fjall::Slice>, StoreError> {
        self.snapshot.get(self.keyspace, key).map_err(failed)
    }

    /// Bytes of the value under `key`; 0 when there is none.
    pub(super) fn size_of(&self, key: &[u8]) -> Result<u64, StoreError> {
        Ok(self.snapshot.size_of(self.keyspace, key).map_err(failed)?.unwrap_or(0).into())
    }

    /// A number that [`Changes::put_number`] wrote.
    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, Read> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        Ok(Some(record::unsealed(key, &value)?.number()?))
    }

    pub(super) fn head(&self, session: SessionUid) -> Result<Option<record::Head>, Read> {
        let key = key_of(kind::HEAD, session.0);
        let Some(value) = self.get(&key)? else { return Ok(None) };
        Ok(Some(record::Head::from_bytes(&key, &value)?))
    }

    /// Rows from `from` to `to`, neither counted in if it is `Excluded`.
    pub(super) fn range(
        &self,
        range: (std::ops::Bound<Vec<u8>>, std::ops::Bound<Vec<u8>>),
    ) -> impl DoubleEndedIterator<Item = Result<(fjall::Slice, fjall::Slice), StoreError>> {
        let rows = self.snapshot.range::<Vec<u8>, _>(self.keyspace, range);
        rows.map(|row| row.into_inner().map_err(failed))
    }
}

/// Why something could not be read from the index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Read {
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// One record is not what was written.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<Read> for StoreError {
    fn from(error: Read) -> Self {
        match error {
            Read::Failed(error) => error,
            Read::Malformed(error) => Self::Io(error.to_string()),
        }
    }
}
