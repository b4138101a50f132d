//! What publishers, subscribers and the measuring side of one run share.
//!
//! What lives here: counters, the bounded backlog, histograms, and what each client leaves at its
//! end. What does not: sockets. Invariant: a publisher that waits for room in the backlog is woken
//! by the subscriber that makes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use super::tally::Tally;
use crate::clock::Clock;

/// Failures that are kept in words; the rest is only counted.
const KEPT: usize = 5;

/// The shared state of one run.
pub struct Run {
    clock: Clock,
    epoch: Instant,
    /// Deliveries that each message causes.
    pub fan: u64,
    backlog: u64,
    publishers: u64,
    /// Messages that may still be sent in all; only with `--count`.
    left: Option<AtomicU64>,
    publishing: AtomicBool,
    measuring: AtomicBool,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    received: AtomicU64,
    /// When the last acknowledgement or delivery came, in nanoseconds since the run began.
    last: AtomicU64,
    written_off: AtomicU64,
    anyone_waits: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    failures: Mutex<Vec<String>>,
    failed: AtomicU64,
    paused: AtomicBool,
    /// What is timed while it is measured.
    pub timings: Timings,
    finals: Mutex<Vec<(u16, u64)>>,
    tallies: Mutex<Vec<(usize, Tally)>>,
}

/// What is timed.
#[derive(Default)]
pub struct Timings {
    /// From the moment a message was due until a subscriber had it.
    pub latency: Histogram,
    /// From the moment a message was due until it was written: the generator's own share.
    pub lateness: Histogram,
    /// From the moment a message was due until its publisher had PUBACK or PUBCOMP.
    pub acknowledgement: Histogram,
}

impl Timings {
    /// Moves all counts out.
    pub fn take(&self) -> Self {
        Self {
            latency: self.latency.take(),
            lateness: self.lateness.take(),
            acknowledgement: self.acknowledgement.take(),
        }
    }

    /// Adds all counts of `other`.
    pub fn add(&self, other: &Self) {
        self.latency.add(&other.latency);
        self.lateness.add(&other.lateness);
        self.acknowledgement.add(&other.acknowledgement);
    }
}

/// How a run is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Deliveries that each message causes.
    pub fan: u64,
    /// Deliveries that may be outstanding.
    pub backlog: u64,
    /// Among how many publishers the backlog is shared.
    pub publishers: u64,
    /// Messages in all, if they are counted.
    pub count: Option<u64>,
}

/// What the clients of a run leave at its end.
pub struct Remains {
    /// Publishers by number, and how many messages each sent.
    pub sent: Vec<(u16, u64)>,
    /// Subscribers by number, and what each received.
    pub tallies: Vec<(usize, Tally)>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages written by publishers.
    pub sent: u64,
    /// Messages acknowledged to publishers.
    pub acknowledged: u64,
    /// Messages read by subscribers.
    pub received: u64,
}

impl Run {
    /// A run that begins now.
    pub fn new(clock: Clock, bounds: Bounds) -> Self {
        let epoch = clock.now();
        Self {
            clock,
            epoch,
            fan: bounds.fan,
            backlog: bounds.backlog,
            publishers: bounds.publishers.max(1),
            left: bounds.count.map(AtomicU64::new),
            publishing: AtomicBool::new(true),
            measuring: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            received: AtomicU64::new(0),
            last: AtomicU64::new(0),
            written_off: AtomicU64::new(0),
            anyone_waits: AtomicBool::new(false),
            waiting: Mutex::default(),
            failures: Mutex::default(),
            failed: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            timings: Timings::default(),
            finals: Mutex::default(),
            tallies: Mutex::default(),
        }
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.epoch)
    }

    /// Whether publishers may still send.
    pub fn is_publishing(&self) -> bool {
        self.publishing.load(Relaxed)
    }

    /// Ends the sending; what is outstanding still arrives.
    pub fn stop_publishing(&self) {
        self.publishing.store(false, SeqCst);
        self.wake_waiting();
    }

    /// Holds back what is not sent yet, or lets it go on.
    pub fn pause(&self, on: bool) {
        self.paused.store(on, SeqCst);
        if !on {
            self.wake_waiting();
        }
    }

    /// Whether every message of `--count` has been sent.
    pub fn has_sent_all(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.load(Relaxed) == 0)
    }

    /// Whether histograms record.
    pub fn is_measuring(&self) -> bool {
        self.measuring.load(Relaxed)
    }

    /// Switches the histograms on or off.
    pub fn measure(&self, on: bool) {
        self.measuring.store(on, SeqCst);
    }

    /// How many messages a publisher may send now, of the `wanted` ones; they are counted as sent.
    /// At 0 `waker` is woken when there is room.
    pub fn take_room(&self, wanted: u64, waker: &Waker) -> u64 {
        let granted = self.try_room(wanted);
        if granted > 0 || wanted == 0 {
            return granted;
        }
        lock(&self.waiting).push(waker.clone());
        self.anyone_waits.store(true, SeqCst);
        // Room made between the first look and the entry has woken nobody.
        self.try_room(wanted)
    }

    fn try_room(&self, wanted: u64) -> u64 {
        if self.paused.load(SeqCst) {
            return 0;
        }
        let room = self.backlog.saturating_sub(self.outstanding()) / self.fan.max(1);
        let share = (self.backlog / self.fan.max(1) / self.publishers).max(1);
        let mut granted = wanted.min(room).min(share);
        if let Some(left) = &self.left {
            let before = left.fetch_update(SeqCst, Relaxed, |left| Some(left.saturating_sub(granted)));
            granted = granted.min(before.unwrap_or(0));
        }
        self.sent.fetch_add(granted, Relaxed);
        granted
    }

    /// Deliveries that are still to come.
    pub fn outstanding(&self) -> u64 {
        let gone = self.received.load(Relaxed) + self.written_off.load(Relaxed);
        (self.sent.load(Relaxed) * self.fan).saturating_sub(gone)
    }

    /// Gives up what is outstanding, so that lost messages do not stop a run for ever.
    pub fn write_off(&self) {
        self.written_off.fetch_add(self.outstanding(), Relaxed);
        self.wake_waiting();
    }

    /// When the last acknowledgement or delivery came, since the run began.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    fn heard(&self, now: Duration) {
        self.last.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts deliveries at `now`, and lets publishers go on when half of the backlog is free: an earlier wake
    /// would cut what they send next into crumbs.
    pub fn count_received(&self, count: u64, now: Duration) {
        self.heard(now);
        self.received.fetch_add(count, Relaxed);
        if self.anyone_waits.load(SeqCst) && self.outstanding() <= self.backlog / 2 {
            self.wake_waiting();
        }
    }

    /// Counts acknowledgements at `now`.
    pub fn count_acknowledged(&self, count: u64, now: Duration) {
        self.heard(now);
        self.acknowledged.fetch_add(count, Relaxed);
    }

    fn wake_waiting(&self) {
        self.anyone_waits.store(false, SeqCst);
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        Counts {
            sent: self.sent.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            received: self.received.load(Relaxed),
        }
    }

    /// A client failed.
    pub fn fail(&self, what: String) {
        self.failed.fetch_add(1, Relaxed);
        let mut failures = lock(&self.failures);
        if failures.len() < KEPT && !failures.contains(&what) {
            failures.push(what);
        }
    }

    /// How many clients failed, and the first reasons.
    pub fn failures(&self) -> (u64, Vec<String>) {
        (self.failed.load(Relaxed), lock(&self.failures).clone())
    }

    /// A publisher leaves: it sent so many messages.
    pub fn leave_publisher(&self, publisher: u16, sent: u64) {
        lock(&self.finals).push((publisher, sent));
    }

    /// A subscriber leaves.
    pub fn leave_subscriber(&self, number: usize, tally: Tally) {
        lock(&self.tallies).push((number, tally));
    }

    /// What all left.
    pub fn remains(&self) -> Remains {
        Remains { sent: std::mem::take(&mut *lock(&self.finals)), tallies: std::mem::take(&mut *lock(&self.tallies)) }
    }
}

/// These locks guard plain values that are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
