//! What must outlive a connection: one trait, one write verb.
//!
//! What lives here: the contract of [`Store`], its batches and its backends.
//! What does not: which changes need an acknowledgement to wait (`session`,
//! `delivery`). Invariant: what was appended at a position that [`Store::durable`]
//! has reached is there again after a crash, to the level that was configured.
//!
//! # The contract
//!
//! 1. [`Store::append`] takes a whole [`Batch`], never waits for a disk and can
//!    not be cancelled. Batches become durable in the order of their positions,
//!    each of them whole or not at all.
//! 2. The answer [`Position::NONE`] means that nothing needs to be waited for.
//! 3. Nobody awaits a commit. A connection keeps what it may say only later
//!    beside the position that it waits for, and asks with [`Store::wake_at`] to
//!    be woken once.
//! 4. Reads see what was appended, durable or not: a session that moves to
//!    another connection must find its own queue.
//! 5. After a failed sync the store is latched: [`Store::append`] answers
//!    [`StoreError::Latched`], and `durable` never moves again.
//! 6. Batches of several publishers reach a queue in any order. An entry that
//!    was ended before it arrived is dropped, and so is one whose session has
//!    ended, one whose number is taken, and one whose [`MessageId`] the queue
//!    holds among the latest 1,024 that it took: such a number counts as
//!    finished.
//!
//! [`MessageId`]: crate::mqtt::MessageId

mod batch;
mod embedded;
mod intervals;
mod memory;
mod record;
pub mod rows;
mod slow;

pub use batch::{Batch, Op, QueueEntry, Queued, Row, SessionUid, StoredMessage, Table};
pub use embedded::{
    CopyError, Damage, Directory, Disk, EmbeddedStore, Level, LogFile, OpenError, Opened, Part, Report, Salvaged,
    Settings,
};
pub use memory::{Contents, MemoryStore, QueueContents};
pub use record::{Malformed, VERSION};
pub use slow::{Plan, PlanError, SlowStore};

use std::ops::Range;
use std::task::{Context, Poll, Waker};

/// How far a store has come. Positions grow by every append that needs the
/// disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Always durable: nothing was written, or nothing needs a disk.
    pub const NONE: Self = Self(0);
}

/// Why a store did not take a batch or did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A sync failed earlier; what is on the disk is not known any more.
    #[error("the store stopped after a failed sync; restart the broker once the disk is sound")]
    Latched,
    /// There is no space for more. What makes space is still taken.
    #[error("the store is full; free space on its disk")]
    Full,
    /// The file system takes no writes. What is there is still read.
    #[error("the store's file system is read-only; mount it for writing")]
    ReadOnly,
    /// More was appended than the disk takes, up to the bound of what may wait.
    #[error("the disk takes less than is published; `storage.pending_bytes` wait for it already")]
    Behind,
    /// A key is longer than a record can name.
    #[error("a key of {0} bytes is longer than the store can hold")]
    KeyTooLong(usize),
    /// The medium failed.
    #[error("the store could not be read: {0}; if that stays, stop the broker and run `certus store salvage`")]
    Io(String),
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Entries that are not finished.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

/// A place for what must outlive a connection. See the module's contract.
pub trait Store: Send + Sync + 'static {
    /// Takes `batch` and gives the position at which it is durable.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::ReadOnly`] and [`StoreError::Latched`]
    /// leave nothing of the batch behind.
    fn append(&self, batch: Batch) -> Result<Position, StoreError>;

    /// Everything up to here survives a crash.
    fn durable(&self) -> Position;

    /// Asks to be woken when `position` is durable, or when it never will be.
    /// Answers false, and keeps nothing, if it is durable already.
    fn wake_at(&self, position: Position, waker: &Waker) -> bool;

    /// Whether what grows had better wait, because the disk is full, read-only
    /// or far behind. `waker` is then woken when there is room again; nothing is kept
    /// if the answer is no.
    fn wake_with_room(&self, _waker: &Waker) -> bool {
        false
    }

    /// Whether the store is latched; see the contract, point 5.
    fn is_latched(&self) -> bool;

    /// Why nothing that grows is taken now: [`StoreError::Full`] or
    /// [`StoreError::ReadOnly`]. Both may heal.
    fn refuses(&self) -> Option<StoreError> {
        None
    }

    /// Reads up to `limit` entries of a session's queue from `from` on, in
    /// order, without the ones that were advanced over or removed.
    fn poll_queue(
        &self,
        cx: &mut Context<'_>,
        session: SessionUid,
        from: u64,
        limit: usize,
    ) -> Poll<Result<Vec<Queued>, StoreError>>;

    /// The first entry of a session's queue that is still wanted, and the
    /// first number that was never used: where numbering goes on after a
    /// restart. `0..0` for a session that the store does not know.
    ///
    /// # Errors
    /// When the medium fails.
    fn queue_span(&self, session: SessionUid) -> Result<Range<u64>, StoreError>;

    /// How many entries a session's queue holds, and their payloads' bytes.
    ///
    /// # Errors
    /// When the medium fails.
    fn queue_load(&self, session: SessionUid) -> Result<Load, StoreError>;

    /// The entries of a session's queue whose PUBREC came, in order: PUBREL is
    /// what is resent.
    ///
    /// # Errors
    /// When the medium fails.
    fn released(&self, session: SessionUid) -> Result<Vec<u64>, StoreError>;

    /// A number that is higher at every start of the broker on the same store,
    /// so that what is named after it was never named before.
    fn epoch(&self) -> u32;

    /// The packet identifiers of QoS 2 publications that `session` has sent
    /// and not released.
    ///
    /// # Errors
    /// When the medium fails.
    fn inbound(&self, session: SessionUid) -> Result<Vec<u16>, StoreError>;

    /// The value under `key`.
    ///
    /// # Errors
    /// When the medium fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` rows whose keys begin with `prefix` and come behind
    /// `after`, in order of their keys.
    ///
    /// # Errors
    /// When the medium fails.
    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError>;
}
