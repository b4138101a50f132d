//! Queues, as far as the index does not know them yet.
//!
//! What lives here: the small index of every session that is stored, what was
//! appended and is not in the index on disk, and the verdict on each change.
//! What does not: what lies on disk (`engine`), positions (`commits`).
//! Invariant: a session of which everything is applied costs one [`Queue`] and
//! its key, 24 bytes in a hash table, whatever waits for it on disk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{array, mem};

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
#[derive(Debug)]
enum Queue {
    /// The disk has all of it.
    Cold(Cold),
    Hot(Box<Hot>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Cold {
    /// No number from here on was ever used.
    unused: u64,
    /// How far before it the first entry is that is not finished.
    reach: u32,
    stored: bool,
    /// Whether it is as the index on disk had it at the start.
    untouched: bool,
}

/// A queue of which something is not applied.
#[derive(Debug, Default)]
struct Hot {
    /// Every entry below is finished.
    wanted: u64,
    /// No number from here on was ever used.
    unused: u64,
    /// Whether the index on disk has a head of it.
    stored: bool,
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
        let queue = match Cold::new(&span, true) {
            Some(cold) => Queue::Cold(Cold { untouched: true, ..cold }),
            None => Queue::Hot(Box::new(Hot { wanted: span.start, unused: span.end, stored: true, ..Hot::default() })),
        };
        self.shard(session).queues.insert(session, queue);
    }

    pub(super) fn span(&self, session: SessionUid) -> Range<u64> {
        self.shard(session).queues.get(&session).map_or(0..0, Queue::span)
    }

    /// Whether nothing of a queue changed since it was found.
    pub(super) fn is_untouched(&self, session: SessionUid) -> bool {
        matches!(self.shard(session).queues.get(&session), Some(Queue::Cold(cold)) if cold.stored && cold.untouched)
    }

    /// What is known of a queue from number `from` on; `None` when there is no
    /// such session.
    pub(super) fn sight(&self, session: SessionUid, from: u64, limit: usize) -> Option<Sight> {
        let shard = self.shard(session);
        let queue = shard.queues.get(&session)?;
        let mut sight = Sight { wanted: queue.span().start, stored: queue.is_stored(), ..Sight::default() };
        if let Queue::Hot(hot) = queue {
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
                match queue.heat(position).enqueue(entry, position) {
                    Verdict::Taken => true,
                    Verdict::Known => false,
                    Verdict::Twin => {
                        *op = Op::Advance { session, up_to: 0, sparse: vec![entry.seq] };
                        true
                    }
                }
            }
            Op::Advance { session, up_to, sparse } => {
                self.open(*session).map(|queue| queue.heat(position).advance(*up_to, sparse)).is_some()
            }
            Op::Released { session, seq } => {
                let queue = self.shard(*session).and_then(|shard| shard.queues.get_mut(session));
                queue.is_some_and(|queue| queue.release(*seq, position))
            }
            Op::SetInbound { session, packet_id, held } => {
                self.open(*session).map(|queue| queue.heat(position).inbound.insert(*packet_id, *held)).is_some()
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
        let hot = match queue {
            Queue::Cold(cold) => return cold.stored = true,
            Queue::Hot(hot) => hot,
        };
        hot.stored = true;
        hot.entries.retain(|waiting| waiting.position > position);
        if hot.last > position {
            return;
        }
        if hot.names.held.is_empty() && hot.holes.is_empty() {
            return queue.cool(position);
        }
        hot.keep_names();
        self.warm.push_back(session);
        if self.warm.len() > WARM
            && let Some(oldest) = self.warm.pop_front()
            && let Some(queue) = self.queues.get_mut(&oldest)
        {
            queue.cool(position);
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

impl Default for Queue {
    fn default() -> Self {
        Self::Cold(Cold::default())
    }
}

impl Queue {
    fn span(&self) -> Range<u64> {
        match self {
            Self::Cold(cold) => cold.wanted()..cold.unused,
            Self::Hot(hot) => hot.wanted..hot.unused.max(hot.wanted),
        }
    }

    fn is_stored(&self) -> bool {
        match self {
            Self::Cold(cold) => cold.stored,
            Self::Hot(hot) => hot.stored,
        }
    }

    /// For a change that is durable at `position`.
    fn heat(&mut self, position: Position) -> &mut Hot {
        loop {
            match self {
                Self::Hot(hot) => {
                    hot.last = hot.last.max(position);
                    return hot;
                }
                Self::Cold(Cold { unused, stored, .. }) => {
                    let (unused, stored) = (*unused, *stored);
                    let wanted = self.span().start;
                    *self = Self::Hot(Box::new(Hot { wanted, unused, stored, ..Hot::default() }));
                }
            }
        }
    }

    /// Forgets all but the span, if everything up to `position` is applied and
    /// nothing may still come in between.
    fn cool(&mut self, position: Position) {
        if let Self::Hot(hot) = self
            && hot.last <= position
            && hot.holes.is_empty()
            && let Some(cold) = Cold::new(&(hot.wanted..hot.unused), hot.stored)
        {
            *self = Self::Cold(cold);
        }
    }

    /// Whether the entry may be there.
    fn release(&mut self, seq: u64, position: Position) -> bool {
        self.span().contains(&seq) && self.heat(position).release(seq)
    }
}

impl Cold {
    /// None when its entries are too far apart.
    fn new(span: &Range<u64>, stored: bool) -> Option<Self> {
        let reach = u32::try_from(span.end.saturating_sub(span.start)).ok()?;
        Some(Self { unused: span.end.max(span.start), reach, stored, untouched: false })
    }

    const fn wanted(&self) -> u64 {
        self.unused - self.reach as u64
    }
}

impl Hot {
    /// Everything is applied: of the entries only the names are kept.
    fn keep_names(&mut self) {
        let Self { wanted, unused, stored, last, .. } = *self;
        let (mut names, holes) = (mem::take(&mut self.names), mem::take(&mut self.holes));
        names.held.retain(|_, seq| *seq >= wanted && !self.finished.contains(*seq));
        *self = Self { wanted, unused, stored, last, names, holes, ..Self::default() };
    }

    /// Numbers between those that were used and `seq` are holes from now on.
    fn skip_to(&mut self, seq: u64) {
        if seq > self.unused {
            self.holes.insert_range(self.unused..seq);
        }
        self.unused = self.unused.max(seq.saturating_add(1));
    }

    fn enqueue(&mut self, entry: &QueueEntry, position: Position) -> Verdict {
        let seq = entry.seq;
        let is_late = seq < self.unused;
        self.skip_to(seq);
        let wanted = self.wanted;
        if seq < wanted || (is_late && !self.holes.contains(seq)) {
            return Verdict::Known;
        }
        self.holes.remove(seq);
        let Self { names, finished, .. } = self;
        if !names.insert(entry.message.id, seq, |held| held < wanted || finished.contains(held)) {
            finished.insert(seq);
            return Verdict::Twin;
        }
        let index = self.entries.partition_point(|waiting| waiting.entry.seq < seq);
        self.entries.insert(index, Waiting { entry: entry.clone(), position });
        Verdict::Taken
    }

    fn advance(&mut self, up_to: u64, sparse: &[u64]) {
        self.wanted = self.wanted.max(up_to);
        let wanted = self.wanted;
        self.unused = self.unused.max(wanted);
        sparse.iter().filter(|&&seq| seq >= wanted).for_each(|&seq| self.skip_to(seq));
        self.holes.cut_below(wanted);
        while let Some(first) = self.entries.front().filter(|waiting| waiting.entry.seq < wanted) {
            self.names.held.remove(&first.entry.message.id);
            self.entries.pop_front();
        }
        for &seq in sparse.iter().filter(|&&seq| seq >= wanted) {
            self.finished.insert(seq);
            self.holes.remove(seq);
            if let Ok(index) = self.entries.binary_search_by_key(&seq, |waiting| waiting.entry.seq)
                && let Some(waiting) = self.entries.remove(index)
            {
                self.names.held.remove(&waiting.entry.message.id);
            }
        }
        self.finished.cut_below(wanted);
        self.released.cut_below(wanted);
    }

    fn release(&mut self, seq: u64) -> bool {
        let is_here = self.entries.binary_search_by_key(&seq, |waiting| waiting.entry.seq).is_ok();
        let may_be = is_here || (self.stored && !self.finished.contains(seq) && !self.holes.contains(seq));
        if may_be {
            self.released.insert(seq);
        }
        may_be
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every session that sleeps there is one.
    #[test]
    fn a_queue_of_which_everything_is_applied_costs_two_numbers() {
        assert_eq!(size_of::<Queue>(), 16);
        let pending = Pending::default();
        let (session, far) = (SessionUid(1), SessionUid(2));
        pending.found(session, 5..9);
        pending.found(far, 5..(1 << 40));
        assert_eq!((pending.span(session), pending.span(far)), (5..9, 5..(1 << 40)));
        let mut mask = Mask::default();
        mask.add(session);
        let mut finish = Op::Advance { session, up_to: 7, sparse: Vec::new() };
        assert!(pending.hold(mask).take(&mut finish, Position(3)));
        assert!(!pending.is_untouched(session));
        pending.applied([session], Position(2));
        assert!(matches!(pending.shard(session).queues.get(&session), Some(Queue::Hot(_))), "more is on its way");
        pending.applied([session], Position(3));
        assert!(matches!(pending.shard(session).queues.get(&session), Some(Queue::Cold(_))));
        assert_eq!(pending.span(session), 7..9);
    }
}
