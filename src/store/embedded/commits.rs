//! Positions: what was appended, how far it is durable, who waits for it.
//!
//! What lives here: the order of batches, the bound of what may wait, the
//! waiters, and the states in which nothing more is taken. What does not: the
//! files (`log`), the threads (`committer`, `applier`). Invariant: positions are
//! given in the order of the log, without a gap, and `durable` only grows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::Settings;
use crate::store::{Batch, Position, StoreError};
use crate::telemetry::metrics::Gauge;

/// See the module.
#[derive(Debug)]
pub(super) struct Commits {
    inner: Mutex<Inner>,
    /// Signals the committer.
    work: Condvar,
    /// Signals the applier.
    grown: Condvar,
    /// Signals whoever pauses that the store closes.
    closing: Condvar,
    durable: AtomicU64,
    latched: AtomicBool,
    pending_bytes: u64,
    apply_bytes: u64,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last position that was given.
    last: u64,
    /// What the committer has not taken; `None` until its batch is filled in.
    waiting: VecDeque<Option<Sized>>,
    /// Groups that are durable and not applied.
    groups: VecDeque<Group>,
    /// Bytes of all that waits for the log or the index.
    bytes: u64,
    /// Those of `groups`.
    group_bytes: u64,
    wakers: BTreeMap<Position, Vec<Waker>>,
    /// Those that wait for room.
    wanting: Vec<Waker>,
    /// The committer waits for work.
    committer_rests: bool,
    /// The applier waits for work.
    applier_rests: bool,
    /// The last position that the index holds.
    applied: u64,
    /// Somebody waits for the index: little is enough to go on.
    hurried: bool,
    /// Why nothing that grows is taken.
    refusal: Option<StoreError>,
    /// A group waits for its write to be tried again: the refusal lasts.
    stuck: bool,
    closing: bool,
    /// The committer will not come back.
    closed: bool,
}

#[derive(Debug)]
struct Sized {
    batch: Arc<Batch>,
    bytes: u64,
}

/// What became durable together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) number: u64,
    /// The position of its last batch.
    pub(super) last: Position,
    pub(super) batches: Vec<Arc<Batch>>,
    pub(super) bytes: u64,
}

/// What a batch asks for before it is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    pub(super) bytes: u64,
    /// Whether it needs space that it does not give back.
    pub(super) grows: bool,
}

impl Commits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            inner: Mutex::default(),
            work: Condvar::new(),
            grown: Condvar::new(),
            closing: Condvar::new(),
            durable: AtomicU64::new(0),
            latched: AtomicBool::new(false),
            pending_bytes: settings.pending_bytes,
            apply_bytes: settings.apply_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a position; [`Commits::fill`] must follow.
    pub(super) fn reserve(&self, demand: Demand) -> Result<Position, StoreError> {
        let mut inner = self.lock();
        if self.is_latched() || inner.closed {
            return Err(StoreError::Latched);
        }
        if let Some(refusal) = inner.refusal.clone().filter(|_| demand.grows) {
            return Err(refusal);
        }
        if demand.grows && inner.bytes.saturating_add(demand.bytes) > self.pending_bytes && inner.bytes > 0 {
            return Err(StoreError::Behind);
        }
        inner.last += 1;
        inner.waiting.push_back(None);
        inner.add_bytes(demand.bytes);
        Ok(Position(inner.last))
    }

    /// Puts the batch at its position.
    pub(super) fn fill(&self, position: Position, batch: Batch, bytes: u64) {
        let mut inner = self.lock();
        let back = usize::try_from(inner.last - position.0).unwrap_or(usize::MAX);
        let place = inner.waiting.len().checked_sub(back.saturating_add(1));
        if let Some(place) = place.and_then(|index| inner.waiting.get_mut(index)) {
            *place = Some(Sized { batch: Arc::new(batch), bytes });
        }
        let is_next = inner.waiting.front().is_some_and(Option::is_some);
        drop(inner);
        if is_next {
            self.work.notify_one();
        }
    }

    pub(super) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn is_latched(&self) -> bool {
        self.latched.load(Ordering::Acquire)
    }

    pub(super) fn refusal(&self) -> Option<StoreError> {
        self.lock().refusal.clone()
    }

    pub(super) fn wake_at(&self, position: Position, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if self.durable() >= position {
            return false;
        }
        if self.is_latched() || inner.closed {
            drop(inner);
            waker.wake_by_ref();
            return true;
        }
        let wakers = inner.wakers.entry(position).or_default();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        true
    }

    /// Waits for batches and takes up to `most` bytes of them; when more than
    /// one came, it waits up to `patience` for the group to fill. `None` when
    /// the store closes and nothing is left.
    pub(super) fn take(&self, most: u64, patience: Duration) -> Option<Taken> {
        let mut inner = self.lock();
        while !inner.is_ready() {
            if inner.closing && inner.waiting.is_empty() {
                inner.closed = true;
                let wakers = inner.wakers_up_to(Position(u64::MAX));
                drop(inner);
                self.grown.notify_all();
                wake(wakers);
                return None;
            }
            inner.committer_rests = true;
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.committer_rests = false;
        // A lone writer waits for nobody.
        if !patience.is_zero() && inner.waiting.len() > 1 {
            let is_short = |inner: &mut Inner| !inner.closing && inner.waiting_bytes() < most;
            let waited = self.work.wait_timeout_while(inner, patience, is_short);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(inner.take(most))
    }

    /// Gives back what could not be written, in front of all that waits.
    pub(super) fn put_back(&self, taken: Taken) {
        let mut inner = self.lock();
        for batch in taken.batches.into_iter().rev() {
            inner.waiting.push_front(Some(batch));
        }
        inner.stuck = true;
    }

    /// Says that a group is durable.
    pub(super) fn committed(&self, number: u64, taken: Taken) {
        let mut inner = self.lock();
        let last = Position(inner.last - inner.waiting.len() as u64);
        self.durable.store(last.0, Ordering::Release);
        let bytes = taken.bytes();
        let batches = taken.batches.into_iter().map(|sized| sized.batch).collect();
        inner.groups.push_back(Group { number, last, batches, bytes });
        inner.group_bytes += bytes;
        inner.stuck = false;
        let is_much = inner.group_bytes >= self.apply_bytes;
        let wakers = inner.wakers_up_to(last);
        drop(inner);
        if is_much {
            self.grown.notify_one();
        }
        wake(wakers);
    }

    /// Takes nothing more, for ever, and tells everybody who waits.
    pub(super) fn latch(&self) {
        let mut inner = self.lock();
        if !self.latched.swap(true, Ordering::AcqRel) {
            Gauge::StoreLatched.add(1);
        }
        inner.closed = true;
        let mut wakers = inner.wakers_up_to(Position(u64::MAX));
        wakers.append(&mut inner.wanting);
        drop(inner);
        self.grown.notify_all();
        wake(wakers);
    }

    /// Whether what grows had better wait, from half of the bound on: what is
    /// under way already still fits. `waker` is woken at a quarter.
    pub(super) fn wake_with_room(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        let waits =
            !self.is_latched() && !inner.closed && (inner.refusal.is_some() || inner.bytes > self.pending_bytes / 2);
        if !waits {
            return false;
        }
        if !inner.wanting.iter().any(|other| other.will_wake(waker)) {
            inner.wanting.push(waker.clone());
        }
        // The applier makes room; it does not rest while somebody waits.
        inner.hurried = true;
        drop(inner);
        self.grown.notify_one();
        true
    }

    /// Sets why nothing that grows is taken, if so; answers whether that is
    /// news. It is taken again only when no write is left to be tried again.
    pub(super) fn set_refusal(&self, refusal: Option<StoreError>) -> bool {
        let mut inner = self.lock();
        if refusal.is_none() && inner.stuck {
            return false;
        }
        let refuses = refusal.is_some();
        let before = std::mem::replace(&mut inner.refusal, refusal);
        let is_news = before != inner.refusal;
        let wakers = if refuses { Vec::new() } else { std::mem::take(&mut inner.wanting) };
        drop(inner);
        wake(wakers);
        Gauge::StoreFull.add(i64::from(refuses) - i64::from(before.is_some()));
        is_news
    }

    /// Waits until there is much to apply, or `interval` is over, or the store
    /// closes; takes what is there. `None` when nothing will come any more.
    pub(super) fn take_groups(&self, interval: Duration) -> Option<Vec<Group>> {
        let mut inner = self.lock();
        inner.applier_rests = true;
        let is_little = |inner: &mut Inner| !inner.closed && !inner.hurried && inner.group_bytes < self.apply_bytes;
        let waited = self.grown.wait_timeout_while(inner, interval, is_little);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        if inner.closed && inner.groups.is_empty() {
            return None;
        }
        inner.group_bytes = 0;
        (inner.applier_rests, inner.hurried) = (false, false);
        Some(inner.groups.drain(..).collect())
    }

    /// Gives groups back that could not be applied.
    pub(super) fn put_back_groups(&self, groups: Vec<Group>) {
        let mut inner = self.lock();
        for group in groups.into_iter().rev() {
            inner.group_bytes += group.bytes;
            inner.groups.push_front(group);
        }
    }

    /// Says that so many bytes, up to `position`, are in the index.
    pub(super) fn applied(&self, bytes: u64, position: Position) {
        let mut inner = self.lock();
        inner.add_bytes(0_u64.wrapping_sub(bytes));
        inner.applied = inner.applied.max(position.0);
        let has_room = inner.refusal.is_none() && inner.bytes <= self.pending_bytes / 4;
        let wakers = if has_room { std::mem::take(&mut inner.wanting) } else { Vec::new() };
        drop(inner);
        wake(wakers);
    }

    /// Lets the applier go on with what is there; answers the last position
    /// that was given.
    pub(super) fn hurry(&self) -> Position {
        let mut inner = self.lock();
        inner.hurried = true;
        let last = inner.last;
        drop(inner);
        self.grown.notify_one();
        Position(last)
    }

    /// What the index holds.
    pub(super) fn applied_up_to(&self) -> Position {
        Position(self.lock().applied)
    }

    /// Waits for `interval`, or until the store closes.
    pub(super) fn pause(&self, interval: Duration) {
        let inner = self.lock();
        drop(self.closing.wait_timeout_while(inner, interval, |inner| !inner.closing));
    }

    /// Ends the threads when everything is written.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
        self.closing.notify_all();
    }

    /// Takes nothing, ever: no thread will write it.
    pub(super) fn refuse(&self) {
        self.lock().closed = true;
    }

    /// Whether both threads wait for work, and nothing but what the applier is
    /// still to collect is there.
    pub(super) fn is_at_rest(&self) -> bool {
        let inner = self.lock();
        let has_little = inner.waiting.is_empty() && inner.group_bytes < self.apply_bytes;
        inner.closed || (has_little && inner.committer_rests && inner.applier_rests)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }
}

/// Batches that the committer writes.
#[derive(Debug)]
pub(super) struct Taken {
    batches: Vec<Sized>,
}

impl Taken {
    pub(super) fn batches(&self) -> Vec<Arc<Batch>> {
        self.batches.iter().map(|sized| Arc::clone(&sized.batch)).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batches.iter().map(|sized| sized.bytes).sum()
    }
}

impl Inner {
    fn is_ready(&self) -> bool {
        self.waiting.front().is_some_and(Option::is_some)
    }

    fn waiting_bytes(&self) -> u64 {
        self.waiting.iter().flatten().map(|sized| sized.bytes).sum()
    }

    fn take(&mut self, most: u64) -> Taken {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        while let Some(Some(next)) = self.waiting.front()
            && (batches.is_empty() || bytes + next.bytes <= most)
            && let Some(Some(next)) = self.waiting.pop_front()
        {
            bytes += next.bytes;
            batches.push(next);
        }
        Taken { batches }
    }

    fn add_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.wrapping_add(bytes);
        Gauge::StorePendingBytes.add(bytes.cast_signed());
    }

    fn wakers_up_to(&mut self, position: Position) -> Vec<Waker> {
        let later = match position.0.checked_add(1) {
            Some(next) => self.wakers.split_off(&Position(next)),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.wakers, later).into_values().flatten().collect()
    }
}

/// Wakes each of them once, outside every lock.
fn wake(mut wakers: Vec<Waker>) {
    wakers.sort_unstable_by_key(|waker| waker.data().addr());
    wakers.dedup_by(|one, other| one.will_wake(other));
    wakers.into_iter().for_each(Waker::wake);
}
