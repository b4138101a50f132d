//! The store that lags: a seeded double of a slow or failing disk.
//!
//! What lives here: when what was appended becomes durable. What does not: what
//! a batch means (`memory`). Invariant: [`SlowStore::crash`] finds the batches
//! up to the durable position and no other, while reads see all of them.
//!
//! Tests drive it by hand or by the count of appends; a debug build of the
//! broker can be started with it, so that every path that waits for a disk is
//! walked without one.

mod plan;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Batch, Load, MemoryStore, Op, Position, Queued, Row, SessionUid, Store, StoreError, Table};
pub use plan::{Plan, PlanError};

/// See the module.
#[derive(Debug)]
pub struct SlowStore {
    plan: Plan,
    /// What was appended.
    live: MemoryStore,
    log: Mutex<Log>,
    /// Signals that there is something to commit, or that the store closes.
    work: Condvar,
    durable: AtomicU64,
    latched: AtomicBool,
}

#[derive(Debug)]
struct Log {
    random: u64,
    /// The position of the last append.
    last: u64,
    /// The size of the group that is being collected.
    group: u64,
    /// Appended, not durable.
    pending: VecDeque<Batch>,
    /// What is durable.
    disk: MemoryStore,
    waiters: Vec<(Position, Waker)>,
    closed: bool,
}

impl SlowStore {
    /// A store that follows `plan`; what the plan leaves to chance depends on
    /// `seed` alone.
    #[must_use]
    pub fn new(plan: Plan, seed: u64) -> Self {
        Self::resume(plan, seed, &MemoryStore::default())
    }

    /// A store that begins with what a crash left.
    #[must_use]
    pub fn resume(plan: Plan, seed: u64, found: &MemoryStore) -> Self {
        let mut log = Log {
            random: seed,
            last: 0,
            group: 1,
            pending: VecDeque::new(),
            disk: found.clone(),
            waiters: Vec::new(),
            closed: false,
        };
        log.group = log.next_group(plan);
        Self {
            plan,
            live: found.clone(),
            log: Mutex::new(log),
            work: Condvar::new(),
            durable: AtomicU64::new(0),
            latched: AtomicBool::new(false),
        }
    }

    /// Makes up to `batches` more of them durable and wakes those who wait.
    /// A latched store does not move.
    pub fn step(&self, batches: usize) -> Position {
        let mut log = self.log();
        let woken = self.commit(&mut log, batches as u64);
        drop(log);
        woken.into_iter().for_each(Waker::wake);
        self.durable()
    }

    /// Lets a sync fail now: the store is latched.
    pub fn fail(&self) {
        let mut log = self.log();
        let woken = self.latch(&mut log);
        drop(log);
        woken.into_iter().for_each(Waker::wake);
    }

    /// What would be found after a crash at this moment.
    #[must_use]
    pub fn crash(&self) -> MemoryStore {
        self.log().disk.clone()
    }

    /// As [`SlowStore::crash`], with up to `more` batches that reached the
    /// disk although nobody was told: a disk may well keep more than it has
    /// promised, but no batch without those before it.
    #[must_use]
    pub fn crash_later(&self, more: usize) -> MemoryStore {
        let log = self.log();
        let disk = log.disk.clone();
        log.pending.iter().take(more).for_each(|batch| disk.apply(batch.clone()));
        disk
    }

    /// What a reader sees, durable or not.
    #[must_use]
    pub const fn visible(&self) -> &MemoryStore {
        &self.live
    }

    /// The number of batches that were appended and are not durable.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.log().pending.len()
    }

    /// The number of wakers that are kept.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.log().waiters.len()
    }

    /// Whether [`SlowStore::run_committer`] is needed.
    #[must_use]
    pub const fn needs_committer(&self) -> bool {
        matches!(self.plan, Plan::Late(_))
    }

    /// Commits, always that late, until [`SlowStore::close`]. For a thread of
    /// its own; it returns at once when the plan needs none.
    pub fn run_committer(&self) {
        let Plan::Late(delay) = self.plan else { return };
        let mut log = self.log();
        while !log.closed {
            if log.pending.is_empty() {
                log = self.work.wait(log).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.work.wait_timeout_while(log, delay, |log| !log.closed);
            log = waited.unwrap_or_else(PoisonError::into_inner).0;
            let woken = self.commit(&mut log, u64::MAX);
            drop(log);
            woken.into_iter().for_each(Waker::wake);
            log = self.log();
        }
    }

    /// Ends [`SlowStore::run_committer`].
    pub fn close(&self) {
        self.log().closed = true;
        self.work.notify_all();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on as the plan wants after an append; answers whom to wake.
    fn follow_plan(&self, log: &mut Log) -> Vec<Waker> {
        let pending = log.pending.len() as u64;
        match self.plan {
            Plan::Never => Vec::new(),
            Plan::Late(_) => {
                self.work.notify_one();
                Vec::new()
            }
            Plan::Behind(batches) => self.commit(log, pending.saturating_sub(batches)),
            Plan::Steps(_) if pending < log.group => Vec::new(),
            Plan::Steps(_) => {
                log.group = log.next_group(self.plan);
                self.commit(log, pending)
            }
            Plan::FailAfter(batches) if log.last > batches => self.latch(log),
            Plan::FailAfter(_) | Plan::FullAfter(_) => self.commit(log, pending),
        }
    }

    fn commit(&self, log: &mut Log, batches: u64) -> Vec<Waker> {
        if self.is_latched() {
            return Vec::new();
        }
        let mut durable = self.durable();
        for batch in (0..batches).map_while(|_| log.pending.pop_front()) {
            log.disk.apply(batch);
            durable.0 += 1;
        }
        self.durable.store(durable.0, Ordering::Release);
        log.reached(durable)
    }

    fn latch(&self, log: &mut Log) -> Vec<Waker> {
        self.latched.store(true, Ordering::Release);
        log.reached(Position(u64::MAX))
    }
}

impl Log {
    /// Takes out those who wait for `position` or less, each once.
    fn reached(&mut self, position: Position) -> Vec<Waker> {
        let mut woken: Vec<Waker> = Vec::new();
        for (_, waker) in self.waiters.extract_if(.., |(wanted, _)| *wanted <= position) {
            if !woken.iter().any(|other| other.will_wake(&waker)) {
                woken.push(waker);
            }
        }
        woken
    }

    /// The entries of a session that are not durable, by their numbers.
    fn numbered(&self, session: SessionUid, durable: Position) -> BTreeMap<u64, Position> {
        let positions = (durable.0 + 1..).map(Position);
        let ops = self.pending.iter().zip(positions).flat_map(|(batch, at)| batch.ops.iter().map(move |op| (op, at)));
        let numbered = ops.filter_map(|(op, at)| match op {
            Op::Enqueue { session: owner, entry } if *owner == session => Some((entry.seq, at)),
            _ => None,
        });
        numbered.collect()
    }

    /// The size of the next group under [`Plan::Steps`].
    fn next_group(&mut self, plan: Plan) -> u64 {
        let Plan::Steps(most) = plan else { return 1 };
        // splitmix64: enough to be uneven, and the same for the same seed.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most.max(1) + 1
    }
}

impl Store for SlowStore {
    fn append(&self, batch: Batch) -> Result<Position, StoreError> {
        if batch.is_empty() {
            return Ok(Position::NONE);
        }
        let mut log = self.log();
        if self.is_latched() {
            return Err(StoreError::Latched);
        }
        if matches!(self.plan, Plan::FullAfter(batches) if log.last >= batches) {
            return Err(StoreError::Full);
        }
        log.last += 1;
        let position = Position(log.last);
        // Under the lock, so that what is visible and what is logged agree on
        // the order.
        self.live.apply(batch.clone());
        log.pending.push_back(batch);
        let woken = self.follow_plan(&mut log);
        drop(log);
        woken.into_iter().for_each(Waker::wake);
        Ok(position)
    }

    fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    fn wake_at(&self, position: Position, waker: &Waker) -> bool {
        let mut log = self.log();
        if self.durable() >= position {
            return false;
        }
        if self.is_latched() {
            drop(log);
            waker.wake_by_ref();
        } else {
            log.waiters.push((position, waker.clone()));
        }
        true
    }

    fn is_latched(&self) -> bool {
        self.latched.load(Ordering::Acquire)
    }

    fn poll_queue(
        &self,
        cx: &mut Context<'_>,
        session: SessionUid,
        from: u64,
        limit: usize,
    ) -> Poll<Result<Vec<Queued>, StoreError>> {
        let log = self.log();
        let pending = log.numbered(session, self.durable());
        let read = self.live.poll_queue(cx, session, from, limit);
        drop(log);
        read.map_ok(|mut entries| {
            for queued in &mut entries {
                queued.position = pending.get(&queued.entry.seq).copied().unwrap_or(Position::NONE);
            }
            entries
        })
    }

    fn queue_span(&self, session: SessionUid) -> Result<Range<u64>, StoreError> {
        self.live.queue_span(session)
    }

    fn inbound(&self, session: SessionUid) -> Result<Vec<u16>, StoreError> {
        self.live.inbound(session)
    }

    fn queue_load(&self, session: SessionUid) -> Result<Load, StoreError> {
        self.live.queue_load(session)
    }

    fn released(&self, session: SessionUid) -> Result<Vec<u64>, StoreError> {
        self.live.released(session)
    }

    fn epoch(&self) -> u32 {
        self.live.epoch()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.live.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.live.scan(table, prefix, after, limit)
    }
}
