//! Devices that come back all at once and stay.
//!
//! What lives here: their connecting, on a thread of its own. What does not: what is measured beside them. Invariant:
//! the clients that are measured share no thread with them, or the generator would be measured.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::dial::{self, Caller, Link, Target};
use super::disturb::on_a_thread;
use super::error::Error;
use super::histogram::Histogram;
use super::shape::Field;
use crate::clock::Clock;
use crate::shutdown::Tasks;

/// Seconds after which a storm is given up.
pub const PATIENCE: u64 = 600;

/// A crowd on its way.
pub struct Crowd(Arc<Shared>);

struct Shared {
    callers: Vec<Caller>,
    target: Target,
    clock: Clock,
    begun: Instant,
    next: AtomicUsize,
    connected: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    failure: Mutex<Option<String>>,
    links: Mutex<Vec<Link>>,
    latency: Histogram,
    took: Mutex<Option<Duration>>,
    is_over: AtomicBool,
}

/// How the devices fared.
pub struct Outcome {
    /// Devices that were accepted.
    pub connected: u64,
    /// Of them with a resumed handshake.
    pub resumed: u64,
    /// Devices that were refused or lost.
    pub failed: u64,
    /// The first reason.
    pub failure: Option<String>,
    /// Until the last of them was in; the whole window if some were not.
    pub took: Duration,
    /// From TCP SYN to CONNACK, in nanoseconds' buckets.
    pub latency: Arc<Histogram>,
}

impl Crowd {
    /// Sends them off; they stay until `tasks` are told to stop.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start(field: &Field, tasks: &Tasks, callers: Vec<Caller>) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            callers,
            target: field.target.clone(),
            clock: field.clock.clone(),
            begun: field.clock.now(),
            next: AtomicUsize::new(0),
            connected: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failure: Mutex::default(),
            links: Mutex::default(),
            latency: Histogram::default(),
            took: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let (crowd, concurrency) = (Arc::clone(&shared), field.args.concurrency.max(1));
        let mut stop = tasks.stop_signal();
        on_a_thread(tasks, "crowd", async move {
            let workers = Tasks::new();
            for _ in 0..concurrency {
                let crowd = Arc::clone(&crowd);
                workers.spawn("device", async move { crowd.work().await });
            }
            let _ = workers.drained(Duration::from_secs(PATIENCE)).await;
            let took = crowd.clock.now().saturating_duration_since(crowd.begun);
            *crowd.took.lock().unwrap_or_else(PoisonError::into_inner) = Some(took);
            crowd.is_over.store(true, SeqCst);
            stop.stopped().await;
            // They end before their runtime does.
            crowd.links.lock().unwrap_or_else(PoisonError::into_inner).clear();
        })?;
        Ok(Self(shared))
    }

    /// Whether all of them have come, or were refused.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(SeqCst)
    }

    /// How they fared.
    pub fn outcome(&self) -> Outcome {
        let shared = &self.0;
        let latency = Histogram::default();
        latency.add(&shared.latency);
        let took = *shared.took.lock().unwrap_or_else(PoisonError::into_inner);
        Outcome {
            connected: shared.connected.load(Relaxed),
            resumed: shared.resumed.load(Relaxed),
            failed: shared.failed.load(Relaxed),
            failure: shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            took: took.unwrap_or_else(|| shared.clock.now().saturating_duration_since(shared.begun)),
            latency: Arc::new(latency),
        }
    }
}

impl Shared {
    async fn work(&self) {
        while let Some(caller) = self.callers.get(self.next.fetch_add(1, Relaxed)) {
            let begin = self.clock.now();
            match dial::dial(&self.target, caller).await {
                Ok(link) => {
                    self.latency.record(self.clock.now().saturating_duration_since(begin));
                    self.connected.fetch_add(1, Relaxed);
                    self.resumed.fetch_add(u64::from(link.resumed() == Some(true)), Relaxed);
                    self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
                }
                Err(error) => {
                    self.failed.fetch_add(1, Relaxed);
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }
}
