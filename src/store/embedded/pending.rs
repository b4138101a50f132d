//! Queues, as far as the index does not know them yet.
//!
//! What lives here: the small index of every session that is stored, what was
//! appended and is not in the index on disk, and the verdict on each change.
//! What does not: what lies on disk (`engine`), positions (`commits`).
//! Invariant: a session of which everything is applied costs one [`Queue`] and
//! its key, at most 100 bytes, whatever waits for it on disk.

use std::array;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::mqtt::MessageId;
use crate::store::intervals::Intervals;
use crate::store::{Op, Position, QueueEntry, SessionUid};

/// Sessions are spread over so many locks, by the low bits of their uid. One
/// bit each in a [`Mask`].
const SHARDS: usize = 64;
/// So many sessions that have ended are remembered a shard. See the memory
/// store, which keeps as many.
const ENDED: usize = 1024;
/// So many sessions a shard keep the names of what they took lately although
/// all of it is applied.
const WARM: usize = 64;
/// A publication that comes twice is refused when it is among so many latest
/// ones of its queue.
const NAMES: usize = 1024;

/// The shards that a batch touches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mask(u64);

impl Mask {
    pub(super) const fn add(&mut self, session: SessionUid) {
        self.0 |= 1 << (session.0 % SHARDS as u64);
    }
}

/// All queues.
#[derive(Debug)]
pub(super) struct Pending {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    queues: HashMap<SessionUid, Queue, RandomState>,
    ended: VecDeque<SessionUid>,
    /// Sessions of which only names are kept, the longest so first.
    warm: VecDeque<SessionUid>,
}

/// What is known of a queue without a look at the disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Every entry below is finished.
    wanted: u64,
    /// No number from here on was ever used.
    unused: u64,
    /// Whether the index on disk has a head of it.
    pub(super) stored: bool,
    /// Whether it is as the index on disk had it at the start.
    untouched: bool,
    hot: Option<Box<Hot>>,
}

/// What is not applied.
#[derive(Debug, Default)]
struct Hot {
    /// In the order of their numbers.
    entries: VecDeque<Waiting>,
    finished: Intervals,
    released: Intervals,
    inbound: BTreeMap<u16, bool>,
    /// Numbers that were passed over: their entries may still come, those of
    /// all others below `unused` came or are finished.
    holes: Intervals,
    names: Names,
    /// The last change.
    last: Position,
}

/// The publications that a queue took lately, with their numbers.
#[derive(Debug, Default)]
struct Names {
    held: HashMap<MessageId, u64, RandomState>,
    /// The oldest first; those that are finished too.
    order: VecDeque<(MessageId, u64)>,
}

impl Names {
    /// Whether `name` is new, or the entry that had it is finished.
    fn insert(&mut self, name: MessageId, seq: u64, is_finished: impl FnOnce(u64) -> bool) -> bool {
        if self.held.get(&name).is_some_and(|&held| !is_finished(held)) {
            return false;
        }
        self.held.insert(name, seq);
        if self.order.len() >= NAMES
            && let Some((oldest, seq)) = self.order.pop_front()
            && self.held.get(&oldest) == Some(&seq)
        {
            self.held.remove(&oldest);
        }
        self.order.push_back((name, seq));
        true
    }
}

#[derive(Clone, Debug)]
struct Waiting {
    entry: QueueEntry,
    position: Position,
}

/// What a reader needs to know of a queue beside the index on disk.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) wanted: u64,
    pub(super) stored: bool,
    pub(super) finished: Intervals,
    pub(super) released: Intervals,
    pub(super) inbound: BTreeMap<u16, bool>,
    /// Entries from where it was asked, in order, at most as many as asked.
    pub(super) entries: Vec<(QueueEntry, Position)>,
}

impl Default for Pending {
    fn default() -> Self {
        Self { shards: array::from_fn(|_| Mutex::default()) }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // What is behind it is sound between any two statements.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shards that are held together.
pub(super) struct Held<'a> {
    shards: [Option<MutexGuard<'a, Shard>>; SHARDS],
}

impl Pending {
    /// Holds the shards of `mask`, always in the same order.
    pub(super) fn hold(&self, mask: Mask) -> Held<'_> {
        let mut shards = [const { None }; SHARDS];
        for (index, (place, shard)) in shards.iter_mut().zip(&self.shards).enumerate() {
            if mask.0 >> index & 1 == 1 {
                *place = Some(lock(shard));
            }
        }
        Held { shards }
    }

    fn shard(&self, session: SessionUid) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        lock(self.shards.get(place_of(session)).unwrap_or(first))
    }

    /// A session that the index on disk has.
    pub(super) fn found(&self, session: SessionUid, span: Range<u64>) {
        let queue = Queue { wanted: span.start, unused: span.end, stored: true, untouched: true, hot: None };
        self.shard(session).queues.insert(session, queue);
    }

    pub(super) fn span(&self, session: SessionUid) -> Range<u64> {
        self.shard(session).queues.get(&session).map_or(0..0, |queue| queue.wanted..queue.unused.max(queue.wanted))
    }

    /// Whether nothing of a queue changed since it was found.
    pub(super) fn is_untouched(&self, session: SessionUid) -> bool {
        self.shard(session).queues.get(&session).is_some_and(|queue| queue.stored && queue.untouched)
    }

    /// What is known of a queue from number `from` on; `None` when there is no
    /// such session.
    pub(super) fn sight(&self, session: SessionUid, from: u64, limit: usize) -> Option<Sight> {
        let shard = self.shard(session);
        let queue = shard.queues.get(&session)?;
        let mut sight = Sight { wanted: queue.wanted, stored: queue.stored, ..Sight::default() };
        if let Some(hot) = &queue.hot {
            sight.finished.clone_from(&hot.finished);
            sight.released.clone_from(&hot.released);
            sight.inbound.clone_from(&hot.inbound);
            let begin = hot.entries.partition_point(|waiting| waiting.entry.seq < from);
            let entries = hot.entries.range(begin..).take(limit);
            sight.entries = entries.map(|waiting| (waiting.entry.clone(), waiting.position)).collect();
        }
        Some(sight)
    }

    /// Forgets what the index on disk holds now: all of `sessions` up to
    /// `position`.
    pub(super) fn applied(&self, sessions: impl IntoIterator<Item = SessionUid>, position: Position) {
        for session in sessions {
            self.shard(session).applied(session, position);
        }
    }

    /// All sessions that are known.
    pub(super) fn sessions(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).queues.len()).sum()
    }
}

const fn place_of(session: SessionUid) -> usize {
    (session.0 % SHARDS as u64) as usize
}

impl Held<'_> {
    fn shard(&mut self, session: SessionUid) -> Option<&mut Shard> {
        self.shards.get_mut(place_of(session))?.as_deref_mut()
    }

    /// Takes a change in, and says whether it is to be logged. An entry whose
    /// publication the queue has already becomes the end of its own number.
    pub(super) fn take(&mut self, op: &mut Op, position: Position) -> bool {
        match op {
            Op::Put { .. } | Op::Delete { .. } => true,
            Op::DropSession { session } => {
                let session = *session;
                self.shard(session).is_some_and(|shard| shard.drop_session(session))
            }
            Op::Enqueue { session, entry } => {
                let session = *session;
                let Some(queue) = self.open(session) else { return false };
                match queue.enqueue(entry, position) {
                    Verdict::Taken => true,
                    Verdict::Known => false,
                    Verdict::Twin => {
                        *op = Op::Advance { session, up_to: 0, sparse: vec![entry.seq] };
                        true
                    }
                }
            }
            Op::Advance { session, up_to, sparse } => {
                self.open(*session).map(|queue| queue.advance(*up_to, sparse, position)).is_some()
            }
            Op::Released { session, seq } => {
                let queue = self.shard(*session).and_then(|shard| shard.queues.get_mut(session));
                queue.is_some_and(|queue| queue.release(*seq, position))
            }
            Op::SetInbound { session, packet_id, held } => {
                self.open(*session).map(|queue| queue.set_inbound(*packet_id, *held, position)).is_some()
            }
        }
    }

    /// The queue of `session`, made when there is none; `None` when the
    /// session has ended.
    fn open(&mut self, session: SessionUid) -> Option<&mut Queue> {
        let shard = self.shard(session)?;
        if !shard.queues.contains_key(&session) && shard.ended.contains(&session) {
            return None;
        }
        Some(shard.queues.entry(session).or_default())
    }
}

impl Shard {
    /// Whether there was anything to drop.
    fn drop_session(&mut self, session: SessionUid) -> bool {
        let existed = self.queues.remove(&session).is_some();
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(session);
        existed
    }

    fn applied(&mut self, session: SessionUid, position: Position) {
        let Some(queue) = self.queues.get_mut(&session) else { return };
        queue.stored = true;
        let Some(hot) = &mut queue.hot else { return };
        hot.entries.retain(|waiting| waiting.position > position);
        if hot.last > position {
            return;
        }
        if hot.names.held.is_empty() && hot.holes.is_empty() {
            queue.hot = None;
            return;
        }
        let (mut names, holes) = (std::mem::take(&mut hot.names), std::mem::take(&mut hot.holes));
        names.held.retain(|_, seq| *seq >= queue.wanted && !hot.finished.contains(*seq));
        **hot = Hot { names, holes, last: hot.last, ..Hot::default() };
        self.warm.push_back(session);
        if self.warm.len() > WARM
            && let Some(oldest) = self.warm.pop_front()
            && let Some(queue) = self.queues.get_mut(&oldest)
            && queue.hot.as_ref().is_some_and(|hot| hot.last <= position && hot.holes.is_empty())
        {
            queue.hot = None;
        }
    }
}

enum Verdict {
    Taken,
    /// The number is finished or in use.
    Known,
    /// The publication is there under another number.
    Twin,
}

impl Queue {
    fn hot(&mut self, position: Position) -> &mut Hot {
        self.untouched = false;
        let hot = self.hot.get_or_insert_default();
        hot.last = hot.last.max(position);
        hot
    }

    /// Numbers between those that were used and `seq` are holes from now on.
    fn skip_to(&mut self, seq: u64, position: Position) {
        if seq > self.unused {
            let skipped = self.unused..seq;
            self.hot(position).holes.insert_range(skipped);
        }
    }

    fn enqueue(&mut self, entry: &QueueEntry, position: Position) -> Verdict {
        let seq = entry.seq;
        let is_late = seq < self.unused;
        self.skip_to(seq, position);
        self.unused = self.unused.max(seq.saturating_add(1));
        let wanted = self.wanted;
        let hot = self.hot(position);
        if seq < wanted || (is_late && !hot.holes.contains(seq)) {
            return Verdict::Known;
        }
        hot.holes.remove(seq);
        let Hot { names, finished, .. } = hot;
        if !names.insert(entry.message.id, seq, |held| held < wanted || finished.contains(held)) {
            hot.finished.insert(seq);
            return Verdict::Twin;
        }
        let index = hot.entries.partition_point(|waiting| waiting.entry.seq < seq);
        hot.entries.insert(index, Waiting { entry: entry.clone(), position });
        Verdict::Taken
    }

    fn advance(&mut self, up_to: u64, sparse: &[u64], position: Position) {
        self.wanted = self.wanted.max(up_to);
        let wanted = self.wanted;
        self.unused = self.unused.max(wanted);
        for &seq in sparse.iter().filter(|&&seq| seq >= wanted) {
            self.skip_to(seq, position);
            self.unused = self.unused.max(seq.saturating_add(1));
        }
        let hot = self.hot(position);
        hot.holes.cut_below(wanted);
        while let Some(first) = hot.entries.front().filter(|waiting| waiting.entry.seq < wanted) {
            hot.names.held.remove(&first.entry.message.id);
            hot.entries.pop_front();
        }
        for &seq in sparse.iter().filter(|&&seq| seq >= wanted) {
            hot.finished.insert(seq);
            hot.holes.remove(seq);
            if let Ok(index) = hot.entries.binary_search_by_key(&seq, |waiting| waiting.entry.seq)
                && let Some(waiting) = hot.entries.remove(index)
            {
                hot.names.held.remove(&waiting.entry.message.id);
            }
        }
        hot.finished.cut_below(wanted);
        hot.released.cut_below(wanted);
    }

    /// Whether the entry may be there.
    fn release(&mut self, seq: u64, position: Position) -> bool {
        if seq < self.wanted || seq >= self.unused {
            return false;
        }
        let stored = self.stored;
        let hot = self.hot(position);
        let is_here = hot.entries.binary_search_by_key(&seq, |waiting| waiting.entry.seq).is_ok();
        let may_be = is_here || (stored && !hot.finished.contains(seq) && !hot.holes.contains(seq));
        if may_be {
            hot.released.insert(seq);
        }
        may_be
    }

    fn set_inbound(&mut self, packet_id: u16, held: bool, position: Position) {
        self.hot(position).inbound.insert(packet_id, held);
    }
}
