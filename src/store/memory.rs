//! The store that forgets: durability `memory`.
//!
//! What lives here: queues in shards by session and tables in ordered maps,
//! each under its own short lock. What does not: what a change does to a queue
//! (`queue`). Invariant: a batch is visible when `append` answers and nothing
//! waits for it, so every position is [`Position::NONE`].

mod queue;

use std::array;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Batch, Load, Op, Position, Queued, Row, SessionUid, Store, StoreError, Table};
pub use queue::QueueContents;
use queue::Queues;

/// Sessions are spread over so many locks, by the low bits of their uid.
const SHARDS: usize = 64;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module.
#[derive(Debug)]
pub struct MemoryStore {
    queues: [Mutex<Queues>; SHARDS],
    /// In the order of [`Table::ALL`].
    tables: [Mutex<Rows>; Table::ALL.len()],
    epoch: u32,
}

/// All that a store holds, to compare and to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The queues of sessions, those that hold nothing left out.
    pub queues: BTreeMap<SessionUid, QueueContents>,
    /// The tables that are not empty.
    pub tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { queues: array::from_fn(|_| Mutex::default()), tables: array::from_fn(|_| Mutex::default()), epoch: 1 }
    }
}

impl Clone for MemoryStore {
    /// A store of its own with the same contents; messages are shared. Taken
    /// lock by lock: the caller sees to it that nothing is appended meanwhile.
    fn clone(&self) -> Self {
        Self {
            queues: self.queues.each_ref().map(|queues| Mutex::new(lock(queues).clone())),
            tables: self.tables.each_ref().map(|rows| Mutex::new(lock(rows).clone())),
            epoch: self.epoch,
        }
    }
}

impl MemoryStore {
    /// The same contents as a broker finds them that starts anew.
    #[must_use]
    pub fn reopened(&self) -> Self {
        let mut reopened = self.clone();
        reopened.epoch += 1;
        reopened
    }

    /// All that is there.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let queues = self.queues.iter().flat_map(|queues| lock(queues).contents()).collect();
        let tables = Table::ALL.iter().map(|&table| (table, lock(self.table(table)).clone()));
        Contents { queues, tables: tables.filter(|(_, rows)| !rows.is_empty()).collect() }
    }

    /// Applies a batch. `Batch`es of one session's owner come in order; those
    /// of publishers come in any order, which is what sequence numbers are for.
    pub(super) fn apply(&self, batch: Batch) {
        for op in batch.ops {
            match op {
                Op::Enqueue { session, entry } => self.queues(session).enqueue(session, entry),
                Op::Advance { session, up_to, sparse } => self.queues(session).advance(session, up_to, &sparse),
                Op::Released { session, seq } => self.queues(session).release(session, seq),
                Op::SetInbound { session, packet_id, held } => {
                    self.queues(session).set_inbound(session, packet_id, held)
                }
                Op::DropSession { session } => self.queues(session).drop_session(session),
                Op::Put { table, key, value } => drop(lock(self.table(table)).insert(key, value)),
                Op::Delete { table, key } => drop(lock(self.table(table)).remove(&key)),
            }
        }
    }

    fn queues(&self, session: SessionUid) -> MutexGuard<'_, Queues> {
        let [first, ..] = &self.queues;
        let at = usize::try_from(session.0 % SHARDS as u64).unwrap_or_default();
        lock(self.queues.get(at).unwrap_or(first))
    }

    fn table(&self, table: Table) -> &Mutex<Rows> {
        let [first, ..] = &self.tables;
        let at = Table::ALL.iter().position(|other| *other == table).unwrap_or_default();
        self.tables.get(at).unwrap_or(first)
    }
}

/// What is behind these locks is sound between any two statements, so a panic
/// elsewhere is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for MemoryStore {
    fn append(&self, batch: Batch) -> Result<Position, StoreError> {
        self.apply(batch);
        Ok(Position::NONE)
    }

    fn durable(&self) -> Position {
        Position::NONE
    }

    fn wake_at(&self, _position: Position, _waker: &Waker) -> bool {
        false
    }

    fn is_latched(&self) -> bool {
        false
    }

    fn poll_queue(
        &self,
        _cx: &mut Context<'_>,
        session: SessionUid,
        from: u64,
        limit: usize,
    ) -> Poll<Result<Vec<Queued>, StoreError>> {
        Poll::Ready(Ok(self.queues(session).read(session, from, limit)))
    }

    fn queue_span(&self, session: SessionUid) -> Result<Range<u64>, StoreError> {
        Ok(self.queues(session).span(session))
    }

    fn inbound(&self, session: SessionUid) -> Result<Vec<u16>, StoreError> {
        Ok(self.queues(session).inbound(session))
    }

    fn queue_load(&self, session: SessionUid) -> Result<Load, StoreError> {
        Ok(self.queues(session).load(session))
    }

    fn released(&self, session: SessionUid) -> Result<Vec<u64>, StoreError> {
        Ok(self.queues(session).released(session))
    }

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(self.table(table)).get(key).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let rows = lock(self.table(table));
        let range = rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(range.take(limit).map(|(key, value)| Row { key: key.clone(), value: value.clone() }).collect())
    }
}
