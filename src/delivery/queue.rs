//! The queue of one session, connected or not, once it was touched.
//!
//! What lives here: the bounded ring of what a reader has not taken yet, the
//! sequence numbers of what is stored, and what happens when the ring is full.
//! What does not: a queue that nobody has touched since the start (`asleep`),
//! who reads (`net`), where stored entries lie (`store`).
//! Invariant: sequence numbers are given under the queue's lock, so the order
//! of the ring, of the numbers and of the store is one order; a reader that
//! arrives meets `push` under the same lock, so no wake is lost.

mod asleep;
mod member;
mod room;

pub use asleep::{Ground, SessionQueue};

use asleep::Found;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::telemetry::metrics::Gauge;

use super::Parcel;
use super::budget::{Budget, Charge};
use super::item::{Bound, Item, Kind, Manner, Overflow, Pushed, Reading, Run};
use super::kept::Kept;
use super::lent::Lent;

/// Items that wait before a reader counts as behind.
const BEHIND: usize = 32;

/// The queue of one session.
#[derive(Debug)]
pub struct OpenQueue {
    inner: Mutex<Inner>,
    /// What the reader has taken, in messages and bytes; written by it alone.
    taken_messages: AtomicU64,
    taken_bytes: AtomicU64,
    taken_items: AtomicU64,
    /// Which [`Bound`] a message met that must not be lost; 0 = none.
    overflowed: AtomicU8,
    /// Publications that the session has made, in all its connections.
    published: AtomicU64,
    /// Messages that were chosen for it and not pushed yet.
    promised: AtomicU64,
    /// How many the reader's window holds, and how many are in it.
    window: AtomicU64,
    in_flight: AtomicU64,
    /// Whether a publisher waits until the ring is emptier.
    has_waiters: AtomicBool,
    ring_messages: u64,
    ring_bytes: u64,
    offline_messages: u64,
    offline_bytes: u64,
    overflow: Overflow,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    connected: bool,
    reader: Option<Waker>,
    /// The connection's task, to be told that it ends.
    task: Option<Waker>,
    ring: VecDeque<Item>,
    pushed_messages: u64,
    pushed_bytes: u64,
    pushed_items: u64,
    /// For the items' own memory; their parcels are charged by themselves.
    charge: Charge,
    next_seq: u64,
    /// New entries go to the store alone, because nobody reads or the ring
    /// was full.
    spilled: bool,
    /// Runs whose numbers are given and whose batch is not appended yet. A
    /// reader of the store waits for them, else it would read past them.
    unsettled: Vec<u64>,
    kept: Kept,
    lent: Lent,
    /// The first entry that may be evicted.
    oldest_unsent: u64,
    waiters: Vec<Waker>,
    /// What the reader had taken when the ring was last found half full.
    taken_when_full: u64,
}

impl OpenQueue {
    /// A queue that holds what was found in the store; empty when that is
    /// nothing.
    fn new(kind: Kind, found: Found, ground: &Ground) -> Self {
        let Ground { settings, budget, kept } = ground;
        let next_seq = found.unused();
        budget.open_queue();
        Self {
            inner: Mutex::new(Inner {
                kind,
                connected: false,
                reader: None,
                task: None,
                ring: VecDeque::new(),
                pushed_messages: 0,
                pushed_bytes: 0,
                pushed_items: 0,
                charge: Charge::new(budget),
                next_seq,
                spilled: true,
                unsettled: Vec::new(),
                kept: Kept::found(budget, kept, found.load()),
                lent: Lent::default(),
                oldest_unsent: found.wanted(),
                waiters: Vec::new(),
                taken_when_full: u64::MAX,
            }),
            taken_messages: AtomicU64::new(0),
            taken_bytes: AtomicU64::new(0),
            taken_items: AtomicU64::new(0),
            overflowed: AtomicU8::new(0),
            published: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            window: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            has_waiters: AtomicBool::new(false),
            ring_messages: settings.ring_messages as u64,
            ring_bytes: settings.ring_bytes as u64,
            offline_messages: settings.offline_messages as u64,
            offline_bytes: settings.offline_bytes as u64,
            overflow: found.overflow,
            budget: Arc::clone(budget),
        }
    }

    /// What all queues of the node may hold together.
    #[must_use]
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Which bound a message met that must not be lost: the session ends.
    #[must_use]
    pub fn overflowed(&self) -> Option<Bound> {
        match self.overflowed.load(Ordering::Acquire) {
            0 => None,
            met if met == Bound::Ring as u8 => Some(Bound::Ring),
            _ => Some(Bound::Node),
        }
    }

    /// Leaves the waker of the connection's task: it is told when it ends,
    /// whatever it waits for.
    pub fn attend(&self, task: &Waker) {
        self.lock().task = Some(task.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below leaves the fields whole before it can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether entries of QoS 1 and 2 are stored.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.lock().kind
    }

    /// How many messages wait, stored or not.
    #[must_use]
    pub fn depth(&self) -> u64 {
        let inner = self.lock();
        inner.kept.messages().max(inner.pushed_messages - self.taken_messages.load(Ordering::Relaxed))
    }

    /// The next number that will be given.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    /// Takes numbers for `count` publications of this session and gives the
    /// first. The count outlives the connection: a number that came twice would
    /// name two messages alike, and a queue that holds one refuses the other.
    pub fn count_published(&self, count: u64) -> u64 {
        self.published.fetch_add(count, Ordering::Relaxed)
    }

    /// Enters a run of messages; see [`Pushed`].
    pub fn push(&self, parcel: &Arc<Parcel>, start: u32, end: u32, manner: &Manner) -> Pushed {
        self.enter(self.lock(), parcel, (start, end), manner)
    }

    /// The same, unless nobody reads: then nothing is entered.
    pub(super) fn push_if_read(&self, parcel: &Arc<Parcel>, start: u32, end: u32, manner: &Manner) -> Option<Pushed> {
        let inner = self.lock();
        inner.connected.then(|| self.enter(inner, parcel, (start, end), manner))
    }

    fn enter(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        parcel: &Arc<Parcel>,
        (start, end): (u32, u32),
        manner: &Manner,
    ) -> Pushed {
        let messages = u64::from(end - start);
        let bytes = parcel.run_bytes(start, end) as u64;
        let durable = parcel.durable_in(start, end, manner.qos);
        let is_stored = inner.kind == Kind::Persistent && durable > 0;
        if is_stored && messages > 1 && !self.keeps(&inner, durable, bytes) {
            return Pushed { piecewise: true, ..Pushed::default() };
        }
        let mut pushed = match inner.kind {
            Kind::Persistent if durable > 0 && inner.connected && !self.may_keep(&inner, durable, bytes) => {
                // What it has in flight cannot go, so the newest does.
                self.cause(&inner, durable, bytes).add(messages);
                return Pushed::default();
            }
            Kind::Persistent if durable > 0 => self.number(&mut inner, durable, bytes),
            _ => Pushed::default(),
        };
        if let (Some(first), Some(group)) = (pushed.first_seq, &manner.group) {
            inner.lent.enter(first, durable, group);
        }
        if !inner.connected {
            return pushed;
        }
        let waiting = inner.pushed_messages - self.taken_messages.load(Ordering::Relaxed);
        let held = inner.pushed_bytes - self.taken_bytes.load(Ordering::Relaxed);
        let is_full = waiting + messages > self.ring_messages || (held + bytes > self.ring_bytes && waiting > 0);
        if is_full {
            self.turn_away(&mut inner, messages, durable, Bound::Ring, &mut pushed);
        } else if waiting > 0 && !self.budget.admits(held, bytes) {
            self.turn_away(&mut inner, messages, durable, Bound::Node, &mut pushed);
        } else if !(inner.spilled && u64::from(durable) == messages && inner.kind == Kind::Persistent) {
            inner.pushed_messages += messages;
            inner.pushed_bytes += bytes;
            Gauge::WaitingMessages.add(messages.cast_signed());
            Gauge::WaitingBytes.add(bytes.cast_signed());
            let stored_apart = inner.spilled && inner.kind == Kind::Persistent;
            let first_seq = if stored_apart { None } else { pushed.first_seq };
            // A reader that is behind may hold this for long: it must not pin
            // what others wanted of a large parcel.
            let own = match inner.ring.len() >= BEHIND && parcel.pins_too_much(bytes as usize) {
                true => parcel.extract(start, end),
                false => None,
            };
            let (parcel, start, end) = match own {
                Some(own) => (own, 0, end - start),
                None => (Arc::clone(parcel), start, end),
            };
            parcel.charge_to(&self.budget);
            inner.pushed_items += 1;
            self.charge_items(&mut inner);
            inner.ring.push_back(Item::Run(Run {
                parcel,
                start,
                end,
                manner: manner.clone(),
                first_seq,
                stored_apart,
            }));
            pushed.wake = inner.reader.take();
        }
        if (waiting + messages) * 2 > self.ring_messages || (held + bytes) * 2 > self.ring_bytes {
            // A reader that took nothing since then is stuck: no courtesy helps it.
            let taken = self.taken_messages.load(Ordering::Relaxed);
            pushed.congested = std::mem::replace(&mut inner.taken_when_full, taken) != taken;
        }
        pushed
    }

    /// Gives numbers to `count` entries, or refuses them when the queue of a
    /// client that is away is full.
    fn number(&self, inner: &mut Inner, count: u32, bytes: u64) -> Pushed {
        let mut pushed = Pushed::default();
        let count64 = u64::from(count);
        if !inner.connected && !self.keeps(inner, count, bytes) {
            let cause = self.cause(inner, count, bytes);
            if self.overflow == Overflow::DropNewest {
                cause.add(count64);
                return pushed;
            }
            let fair = count as usize;
            // A node without room costs one for one: others hold it too.
            while !self.has_offline_room(inner, count, bytes)
                || pushed.evicted.len() < fair && !self.node_keeps(inner, bytes)
            {
                let (oldest, next) = (inner.oldest_unsent, inner.next_seq);
                let [gone] = inner.lent.evict(oldest, next, 1)[..] else {
                    inner.oldest_unsent = next;
                    break;
                };
                inner.oldest_unsent = gone + 1;
                inner.kept.forget(1);
                pushed.evicted.push(gone);
            }
            cause.add(pushed.evicted.len() as u64);
        }
        pushed.first_seq = Some(inner.next_seq);
        pushed.stored = count;
        inner.next_seq += count64;
        inner.kept.add(count64, bytes);
        inner.unsettled.push(inner.next_seq - count64);
        pushed
    }

    /// Says that a run that was pushed is appended, so that the store may be
    /// read up to it. Wakes a reader that waited for this.
    pub fn settle(&self, first: u64) {
        let mut inner = self.lock();
        let before = inner.settled_until();
        if let Some(index) = inner.unsettled.iter().position(|unsettled| *unsettled == first) {
            inner.unsettled.swap_remove(index);
        }
        let wake = if inner.spilled && inner.settled_until() > before { inner.reader.take() } else { None };
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Whether the store knows every entry that was numbered; if not, the
    /// reader is woken when it does.
    pub fn is_settled(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if !inner.unsettled.is_empty() {
            inner.reader = Some(waker.clone());
        }
        inner.unsettled.is_empty()
    }

    /// Wakes the reader: deliveries that waited for the disk may leave.
    pub fn nudge(&self) {
        let wake = self.lock().reader.take();
        wake.into_iter().for_each(Waker::wake);
    }

    /// Gives numbers to `count` entries that the reader itself makes; nothing,
    /// and they are counted as dropped, where so many may not be kept.
    pub fn reserve(&self, count: u64, bytes: u64) -> Option<u64> {
        let mut inner = self.lock();
        let entries = u32::try_from(count).unwrap_or(u32::MAX);
        if !self.may_keep(&inner, entries, bytes) {
            self.cause(&inner, entries, bytes).add(count);
            return None;
        }
        let first = inner.next_seq;
        inner.next_seq += count;
        inner.kept.add(count, bytes);
        Some(first)
    }

    /// Puts a marker behind everything that waits.
    pub fn mark(&self, scan: u64) {
        let mut inner = self.lock();
        inner.ring.push_back(Item::Marker(scan));
    }

    /// Begins to read; what is stored comes first.
    pub fn connect(&self, kind: Kind) {
        let mut inner = self.lock();
        inner.kind = kind;
        inner.connected = true;
        inner.spilled = kind == Kind::Persistent;
        self.overflowed.store(0, Ordering::Release);
    }

    /// Ends reading. `next` is the first number that was not sent. What the
    /// ring holds, which this gives, is stored or lost by right.
    pub fn disconnect(&self, next: u64) -> VecDeque<Item> {
        let mut inner = self.lock();
        inner.connected = false;
        inner.spilled = true;
        inner.reader = None;
        inner.task = None;
        let ring = std::mem::take(&mut inner.ring);
        inner.oldest_unsent = next;
        inner.lent.forget_below(next);
        self.forget_ring(&mut inner);
        let waiters = std::mem::take(&mut inner.waiters);
        drop(inner);
        waiters.into_iter().for_each(Waker::wake);
        ring
    }

    /// Hands over what waits, or leaves `waker` to be woken. `next` is the
    /// first number that the reader has not taken.
    pub fn read(&self, waker: &Waker, next: u64, into: &mut VecDeque<Item>) -> Reading {
        if self.overflowed().is_some() {
            return Reading::Overflowed;
        }
        let mut inner = self.lock();
        self.charge_items(&mut inner);
        if !inner.ring.is_empty() {
            std::mem::swap(&mut inner.ring, into);
            return Reading::Items;
        }
        if inner.spilled {
            let until = inner.settled_until();
            if next < until {
                return Reading::Stored { until };
            }
            inner.spilled = !inner.unsettled.is_empty();
        }
        inner.reader = Some(waker.clone());
        if inner.ring.capacity() > 64 {
            inner.ring = VecDeque::new();
        }
        Reading::Idle
    }

    /// Counts a run that the reader is done with, and lets publishers go on.
    pub fn taken(&self, messages: u64, bytes: u64) {
        // The reader alone writes these three.
        self.taken_items.store(self.taken_items.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let taken = self.taken_messages.load(Ordering::Relaxed) + messages;
        self.taken_messages.store(taken, Ordering::Relaxed);
        self.taken_bytes.store(self.taken_bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
        Gauge::WaitingMessages.add(-messages.cast_signed());
        Gauge::WaitingBytes.add(-bytes.cast_signed());
        if self.has_waiters.load(Ordering::Acquire) {
            self.release_waiters(taken);
        }
    }

    /// Nothing is on its way to the reader any more.
    fn forget_ring(&self, inner: &mut Inner) {
        let (messages, bytes) = (std::mem::take(&mut inner.pushed_messages), std::mem::take(&mut inner.pushed_bytes));
        inner.pushed_items = 0;
        self.taken_items.store(0, Ordering::Relaxed);
        inner.charge.set(0);
        let taken = (self.taken_messages.swap(0, Ordering::Relaxed), self.taken_bytes.swap(0, Ordering::Relaxed));
        Gauge::WaitingMessages.add(taken.0.cast_signed() - messages.cast_signed());
        Gauge::WaitingBytes.add(taken.1.cast_signed() - bytes.cast_signed());
    }

    /// Counts entries of the store that are finished.
    pub fn finished(&self, finished: &[u64]) {
        if !finished.is_empty() {
            let mut inner = self.lock();
            inner.kept.forget(finished.len() as u64);
            inner.lent.finish(finished);
        }
    }
}

impl Inner {
    /// Behind the last number that the store is sure to know, as are all
    /// before it.
    fn settled_until(&self) -> u64 {
        self.unsettled.iter().copied().min().unwrap_or(self.next_seq)
    }
}

impl Drop for OpenQueue {
    fn drop(&mut self) {
        let mut inner = self.lock();
        self.forget_ring(&mut inner);
        drop(inner);
        self.budget.close_queue();
    }
}
