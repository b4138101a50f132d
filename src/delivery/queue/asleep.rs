//! A session's queue, as small as can be until somebody touches it.
//!
//! What lives here: the name of a queue, what the store held of it at the start,
//! and the moment at which it is opened. What does not: what an open queue does
//! (`queue`). Invariant: opening reads no disk and cannot fail, so whoever
//! publishes to a session that sleeps waits for nobody; what an unopened queue
//! holds is counted as if it were open.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::delivery::Settings;
use crate::delivery::budget::Budget;
use crate::delivery::item::{Kind, Overflow};
use crate::delivery::kept::KeptSum;
use crate::store::{Load, SessionUid};

use super::OpenQueue;

/// What all queues of a tenant have in common.
#[derive(Debug)]
pub struct Ground {
    /// Their bounds.
    pub settings: Arc<Settings>,
    /// What all queues of the node may hold together.
    pub budget: Arc<Budget>,
    /// What they keep in the store.
    pub kept: Arc<KeptSum>,
}

/// What the store held of a queue at the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The first entry that is still wanted.
    pub(super) wanted: u64,
    /// The first number that was never used.
    pub(super) unused: u64,
    pub(super) bytes: u64,
    pub(super) messages: u32,
}

/// The queue of one session. It opens when it is first used as an
/// [`OpenQueue`].
#[derive(Debug)]
pub struct SessionQueue {
    uid: SessionUid,
    found: Found,
    overflow: Overflow,
    ground: Arc<Ground>,
    open: OnceLock<Box<OpenQueue>>,
}

impl SessionQueue {
    /// An empty queue of a new session.
    #[must_use]
    pub fn new(uid: SessionUid, kind: Kind, overflow: Overflow, ground: &Arc<Ground>) -> Self {
        let found = Found::default();
        let open = OnceLock::from(Box::new(OpenQueue::new(kind, found, overflow, ground)));
        Self { uid, found, overflow, ground: Arc::clone(ground), open }
    }

    /// The queue of a lasting session, of which the store holds `load` in the
    /// numbers of `span`.
    #[must_use]
    pub fn asleep(
        uid: SessionUid,
        span: std::ops::Range<u64>,
        load: Load,
        overflow: Overflow,
        ground: &Arc<Ground>,
    ) -> Self {
        let messages = u32::try_from(load.messages).unwrap_or(u32::MAX);
        let found = Found { wanted: span.start, unused: span.end, bytes: load.bytes, messages };
        ground.kept.add(messages.into(), found.bytes.cast_signed());
        Self { uid, found, overflow, ground: Arc::clone(ground), open: OnceLock::new() }
    }

    /// Whose queue it is.
    #[must_use]
    pub const fn uid(&self) -> SessionUid {
        self.uid
    }

    /// The first number that was not used when the broker started.
    #[must_use]
    pub const fn begun_at(&self) -> u64 {
        self.found.unused
    }

    /// Whether it was touched since the start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.get().is_some()
    }
}

impl Deref for SessionQueue {
    type Target = OpenQueue;

    fn deref(&self) -> &OpenQueue {
        let open = || Box::new(OpenQueue::new(Kind::Persistent, self.found, self.overflow, &self.ground));
        self.open.get_or_init(open)
    }
}

impl Drop for SessionQueue {
    fn drop(&mut self) {
        if self.open.get().is_none() {
            self.ground.kept.add(-i64::from(self.found.messages), -self.found.bytes.cast_signed());
        }
    }
}
