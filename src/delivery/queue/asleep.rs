//! A session's queue, as small as can be until somebody touches it.
//!
//! What lives here: the name of a queue, what the store held of it at the start,
//! and the moment at which it is opened. What does not: what an open queue does
//! (`queue`). Invariant: opening reads no disk and cannot fail, so whoever
//! publishes to a session that sleeps waits for nobody; what an unopened queue
//! holds is counted as if it were open.

use std::ops::{Deref, Range};
use std::sync::Arc;

use once_cell::race::OnceBox;

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

/// What an unopened queue knows of itself: what the store held of it at the
/// start, in half the bytes of its span and its load, as every queue that sleeps
/// has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The first number that was never used.
    unused: u64,
    /// How far before it the first entry is that is still wanted. Nobody evicts
    /// what is further away than four thousand million.
    reach: u32,
    messages: u32,
    /// Bytes of each, on the average.
    mean: u32,
    pub(super) overflow: Overflow,
}

impl Found {
    fn new(span: &Range<u64>, load: Load, overflow: Overflow) -> Self {
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            unused: span.end,
            reach: narrow(span.end.saturating_sub(span.start)),
            messages: narrow(load.messages),
            mean: narrow(load.bytes.checked_div(load.messages).unwrap_or(0)),
            overflow,
        }
    }

    /// The first entry that is still wanted.
    pub(super) const fn wanted(self) -> u64 {
        self.unused - self.reach as u64
    }

    /// The first number that was never used.
    pub(super) const fn unused(self) -> u64 {
        self.unused
    }

    /// How much the queue holds.
    pub(super) const fn load(self) -> Load {
        let (messages, mean) = (self.messages as u64, self.mean as u64);
        Load { messages, bytes: messages * mean }
    }
}

/// The queue of one session. It opens when it is first used as an
/// [`OpenQueue`].
#[derive(Debug)]
pub struct SessionQueue {
    uid: SessionUid,
    found: Found,
    ground: Arc<Ground>,
    open: OnceBox<OpenQueue>,
}

impl SessionQueue {
    /// An empty queue of a new session.
    #[must_use]
    pub fn new(uid: SessionUid, kind: Kind, overflow: Overflow, ground: &Arc<Ground>) -> Self {
        let found = Found::new(&(0..0), Load::default(), overflow);
        let open = OnceBox::with_value(Box::new(OpenQueue::new(kind, found, ground)));
        Self { uid, found, ground: Arc::clone(ground), open }
    }

    /// The queue of a lasting session, of which the store holds `load` in the
    /// numbers of `span`.
    #[must_use]
    pub fn asleep(uid: SessionUid, span: Range<u64>, load: Load, overflow: Overflow, ground: &Arc<Ground>) -> Self {
        let found = Found::new(&span, load, overflow);
        ground.kept.enter(found.load());
        Self { uid, found, ground: Arc::clone(ground), open: OnceBox::new() }
    }

    /// Whose queue it is.
    #[must_use]
    pub const fn uid(&self) -> SessionUid {
        self.uid
    }

    /// The first number that was not used when the broker started.
    #[must_use]
    pub const fn begun_at(&self) -> u64 {
        self.found.unused()
    }

    /// Whether it was touched since the start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.get().is_some()
    }

    /// Of several who touch it at once one makes the queue that stays. Each
    /// counts what its own holds, so what sleeps is counted twice for a moment
    /// and never too little.
    #[cold]
    fn wake(&self) -> &OpenQueue {
        let open = || Box::new(OpenQueue::new(Kind::Persistent, self.found, &self.ground));
        if self.open.set(open()).is_ok() {
            self.ground.kept.leave(self.found.load());
        }
        self.open.get_or_init(open)
    }
}

impl Deref for SessionQueue {
    type Target = OpenQueue;

    fn deref(&self) -> &OpenQueue {
        self.open.get().unwrap_or_else(|| self.wake())
    }
}

impl Drop for SessionQueue {
    fn drop(&mut self) {
        if self.open.get().is_none() {
            self.ground.kept.leave(self.found.load());
        }
    }
}
