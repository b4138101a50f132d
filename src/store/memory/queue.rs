//! What a change does to the queue of a session.
//!
//! What lives here: entries, the point up to which they are finished, and the
//! identifiers of incoming QoS 2 publications, in memory. What does not: locks.
//! Invariant: an entry that is finished never comes back, in whatever order its
//! batches arrive, and no queue holds a publication twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::mqtt::MessageId;
use crate::store::intervals::Intervals;
use crate::store::{Load, Position, QueueEntry, Queued, SessionUid};

/// So many sessions that have ended are remembered a shard, so that a
/// publisher's batch that was made before the end and arrives after it leaves
/// nothing behind. A batch is late by a turn at most; 1,024 sessions do not end
/// in one shard meanwhile.
const ENDED: usize = 1024;

/// The queues of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    queues: HashMap<SessionUid, Queue, RandomState>,
    ended: VecDeque<SessionUid>,
}

/// The queue of one session.
#[derive(Clone, Debug, Default)]
struct Queue {
    /// Every entry below is finished.
    wanted: u64,
    /// No entry from here on was ever seen.
    unused: u64,
    entries: BTreeMap<u64, Slot>,
    /// Finished although `wanted` is below.
    finished: Intervals,
    /// The publications of `entries`.
    held: HashSet<MessageId, RandomState>,
    inbound: BTreeSet<u16>,
}

#[derive(Clone, Debug)]
struct Slot {
    entry: QueueEntry,
    released: bool,
}

/// What one session's queue holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueContents {
    /// The first number that is still wanted, and the first that was never
    /// used.
    pub span: Range<u64>,
    /// The entries, in order.
    pub entries: Vec<Queued>,
    /// Packet identifiers of incoming QoS 2 publications.
    pub inbound: Vec<u16>,
}

impl Queues {
    pub(super) fn enqueue(&mut self, session: SessionUid, entry: QueueEntry) {
        if let Some(queue) = self.open(session) {
            queue.enqueue(entry);
        }
    }

    pub(super) fn advance(&mut self, session: SessionUid, up_to: u64, sparse: &[u64]) {
        if let Some(queue) = self.open(session) {
            queue.advance(up_to, sparse);
        }
    }

    pub(super) fn release(&mut self, session: SessionUid, seq: u64) {
        if let Some(slot) = self.queues.get_mut(&session).and_then(|queue| queue.entries.get_mut(&seq)) {
            slot.released = true;
        }
    }

    pub(super) fn set_inbound(&mut self, session: SessionUid, packet_id: u16, held: bool) {
        let Some(queue) = self.open(session) else { return };
        if held {
            queue.inbound.insert(packet_id);
        } else {
            queue.inbound.remove(&packet_id);
        }
    }

    pub(super) fn drop_session(&mut self, session: SessionUid) {
        self.queues.remove(&session);
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(session);
    }

    pub(super) fn read(&self, session: SessionUid, from: u64, limit: usize) -> Vec<Queued> {
        let Some(queue) = self.queues.get(&session) else { return Vec::new() };
        queue.entries.range(from..).take(limit).map(|(_, slot)| slot.queued()).collect()
    }

    pub(super) fn span(&self, session: SessionUid) -> Range<u64> {
        self.queues.get(&session).map_or(0..0, Queue::span)
    }

    pub(super) fn load(&self, session: SessionUid) -> Load {
        let Some(queue) = self.queues.get(&session) else { return Load::default() };
        let bytes = queue.entries.values().map(|slot| slot.entry.message.payload.len() as u64).sum();
        Load { messages: queue.entries.len() as u64, bytes }
    }

    pub(super) fn released(&self, session: SessionUid) -> Vec<u64> {
        let Some(queue) = self.queues.get(&session) else { return Vec::new() };
        queue.entries.iter().filter(|(_, slot)| slot.released).map(|(seq, _)| *seq).collect()
    }

    pub(super) fn inbound(&self, session: SessionUid) -> Vec<u16> {
        self.queues.get(&session).map(|queue| queue.inbound.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn contents(&self) -> Vec<(SessionUid, QueueContents)> {
        let contents = |queue: &Queue| QueueContents {
            span: queue.span(),
            entries: queue.entries.values().map(Slot::queued).collect(),
            inbound: queue.inbound.iter().copied().collect(),
        };
        let all = self.queues.iter().map(|(&session, queue)| (session, contents(queue)));
        all.filter(|(_, contents)| *contents != QueueContents::default()).collect()
    }

    /// The queue of `session`, made when there is none; `None` when the
    /// session has ended.
    fn open(&mut self, session: SessionUid) -> Option<&mut Queue> {
        if !self.queues.contains_key(&session) && self.ended.contains(&session) {
            return None;
        }
        Some(self.queues.entry(session).or_default())
    }
}

impl Queue {
    fn enqueue(&mut self, entry: QueueEntry) {
        self.unused = self.unused.max(entry.seq.saturating_add(1));
        let finished = entry.seq < self.wanted || self.finished.contains(entry.seq);
        if finished || self.entries.contains_key(&entry.seq) {
            return;
        }
        if self.held.insert(entry.message.id) {
            self.entries.insert(entry.seq, Slot { entry, released: false });
        } else {
            self.finished.insert(entry.seq);
        }
    }

    fn advance(&mut self, up_to: u64, sparse: &[u64]) {
        self.wanted = self.wanted.max(up_to);
        while let Some(first) = self.entries.first_entry().filter(|first| *first.key() < self.wanted) {
            let slot = first.remove();
            self.held.remove(&slot.entry.message.id);
        }
        self.finished.cut_below(self.wanted);
        for &seq in sparse.iter().filter(|&&seq| seq >= self.wanted) {
            if let Some(slot) = self.entries.remove(&seq) {
                self.held.remove(&slot.entry.message.id);
            }
            self.finished.insert(seq);
        }
    }

    fn span(&self) -> Range<u64> {
        self.wanted..self.unused.max(self.wanted).max(self.finished.end().unwrap_or(0))
    }
}

impl Slot {
    fn queued(&self) -> Queued {
        Queued { entry: self.entry.clone(), released: self.released, position: Position::NONE }
    }
}
