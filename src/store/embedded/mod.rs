//! The store that lasts: durability `fsync` and `os`.
//!
//! What lives here: how an append becomes visible and then durable, and how
//! reads find what is still on its way. What does not: what a change does to a
//! queue (`pending`, `fold`), bytes (`record`). Invariant: a batch is visible
//! when `append` answers, durable when its group is in the log and synced, and
//! leaves the log only when the index holds it durably.
//!
//! Two places hold what was appended. The *log* is written and synced group by
//! group by the committer's thread; that is all that an acknowledgement waits
//! for. The *index* is an ordered map on disk; the applier's thread folds
//! stretches of the log into it, in which what came and went is struck out, so
//! that a message that is taken soon never reaches it. What is in the log and
//! not yet in the index is in memory too (`pending`, `rows`), bounded by
//! [`Settings::pending_bytes`].

mod applier;
mod commits;
mod committer;
mod copy;
mod disk;
mod engine;
mod fold;
mod inspect;
mod journal;
mod keeper;
mod list;
mod lock;
mod log;
mod look;
mod open;
mod pending;
mod read;
mod rows;
mod salvage;
mod settings;
mod tables;

use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

pub use copy::CopyError;
pub use disk::{Directory, Disk, LogFile};
pub use inspect::Report;
pub use log::{Damage, Part};
pub use open::{OpenError, Opened};
pub use salvage::Salvaged;
pub use settings::{Level, Settings};

use commits::{Commits, Demand};
use engine::Engine;
use log::LogWriter;
use pending::{Mask, Pending};
use rows::Rows;

use super::record::weight;
use super::{Batch, Load, Op, Position, Queued, Row, SessionUid, Store, StoreError, Table};

/// What an entry takes in the log beside its message.
const ENTRY_BYTES: u64 = 32;

/// See the module.
#[derive(Debug)]
pub struct EmbeddedStore {
    settings: Settings,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    /// Raised at every start; in the name of every publication and session.
    epoch: u32,
    pending: Pending,
    /// What the queues held at the start, until somebody asked: the heads are
    /// read then in any case, all in a row.
    loads: Mutex<Loads>,
    rows: Rows,
    commits: Commits,
    /// Absent while it is being opened anew after its disk was full.
    engine: RwLock<Option<Engine>>,
    /// The committer's.
    log: Mutex<Option<LogWriter>>,
    /// Files of the log that are complete, with their last groups.
    complete: Mutex<Vec<(String, u64)>>,
    next_body: AtomicU64,
    /// Bytes of the index that nobody wants any more, roughly.
    dead: AtomicU64,
    /// What is opened in place of a store that is only looked at.
    image: Option<look::Image>,
    /// Keeps a second store away from the directory.
    _lock: lock::Lock,
}

type Loads = HashMap<SessionUid, Load, RandomState>;

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is sound between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedStore {
    /// How many sessions it knows.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.pending.sessions()
    }

    /// Whether both threads wait for more: the files do not change now.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.commits.is_at_rest()
    }

    /// Ends the threads once everything is written. Nothing is taken after it.
    pub fn close(&self) {
        self.commits.close();
    }

    fn with_engine<T>(&self, read: impl FnOnce(&Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        read(engine.as_ref().ok_or(StoreError::Full)?)
    }
}

/// What a batch touches and how much it is.
fn look(batch: &Batch) -> Result<(Mask, bool, Demand), StoreError> {
    let (mut mask, mut has_rows, mut demand) = (Mask::default(), false, Demand::default());
    let mut last = std::ptr::null();
    for op in &batch.ops {
        match op {
            Op::Enqueue { session, entry } => {
                mask.add(*session);
                demand.grows = true;
                demand.bytes += ENTRY_BYTES;
                if !std::ptr::eq(last, Arc::as_ptr(&entry.message)) {
                    last = Arc::as_ptr(&entry.message);
                    demand.bytes += weight(&entry.message);
                }
            }
            Op::Advance { session, sparse, .. } => {
                mask.add(*session);
                demand.bytes += ENTRY_BYTES + sparse.len() as u64;
            }
            Op::Released { session, .. } | Op::SetInbound { session, .. } | Op::DropSession { session } => {
                mask.add(*session);
                demand.bytes += ENTRY_BYTES;
            }
            Op::Put { table, key, value } => {
                if key.len() > engine::LONGEST_KEY {
                    return Err(StoreError::KeyTooLong(key.len()));
                }
                has_rows = true;
                // Who comes back to empty a queue has its row written anew:
                // that is what `min_free` is kept for.
                demand.grows |= *table != Table::Sessions;
                demand.bytes += ENTRY_BYTES + (key.len() + value.len()) as u64;
            }
            Op::Delete { key, .. } => {
                has_rows = true;
                demand.bytes += ENTRY_BYTES + key.len() as u64;
            }
        }
    }
    Ok((mask, has_rows, demand))
}

impl Store for EmbeddedStore {
    fn append(&self, mut batch: Batch) -> Result<Position, StoreError> {
        if batch.is_empty() {
            return Ok(Position::NONE);
        }
        let (mask, has_rows, demand) = look(&batch)?;
        // The locks come before the position: two batches that touch one queue
        // or one row change it in the order of the log.
        let mut queues = self.pending.hold(mask);
        let mut rows = has_rows.then(|| self.rows.hold());
        let position = self.commits.reserve(demand)?;
        batch.ops.retain_mut(|op| {
            if let Some(rows) = &mut rows {
                rows.take(op, position);
            }
            queues.take(op, position)
        });
        drop((queues, rows));
        self.commits.fill(position, batch, demand.bytes);
        Ok(position)
    }

    fn durable(&self) -> Position {
        self.commits.durable()
    }

    fn wake_at(&self, position: Position, waker: &Waker) -> bool {
        self.commits.wake_at(position, waker)
    }

    fn wake_with_room(&self, waker: &Waker) -> bool {
        self.commits.wake_with_room(waker)
    }

    fn is_latched(&self) -> bool {
        self.commits.is_latched()
    }

    fn refuses(&self) -> Option<StoreError> {
        self.commits.refusal()
    }

    fn poll_queue(
        &self,
        _cx: &mut Context<'_>,
        session: SessionUid,
        from: u64,
        limit: usize,
    ) -> Poll<Result<Vec<Queued>, StoreError>> {
        Poll::Ready(self.read_queue(session, from, limit))
    }

    fn queue_span(&self, session: SessionUid) -> Result<Range<u64>, StoreError> {
        Ok(self.pending.span(session))
    }

    fn inbound(&self, session: SessionUid) -> Result<Vec<u16>, StoreError> {
        self.read_inbound(session)
    }

    fn queue_load(&self, session: SessionUid) -> Result<Load, StoreError> {
        let mut loads = hold(&self.loads);
        let found = loads.remove(&session).filter(|_| self.pending.is_untouched(session));
        if loads.is_empty() {
            *loads = Loads::default();
        }
        drop(loads);
        found.map_or_else(|| self.read_load(session), Ok)
    }

    fn released(&self, session: SessionUid) -> Result<Vec<u64>, StoreError> {
        self.read_released(session)
    }

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.rows.get(table, key) {
            Some(value) => Ok(value),
            None => self.read_row(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.to_vec()),
        };
        let disk = |most| self.read_rows(table, prefix, from.clone(), most);
        self.rows.scan(table, prefix, from.clone(), limit, disk)
    }
}
