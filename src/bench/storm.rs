//! Many connections: made and ended at once, or made and held.
//!
//! What lives here: connects a second, CPU time and latency of each, and what an idle connection
//! costs in memory. What does not: messages. Invariant: certificates are minted before the clock starts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::args::{Args, Shape};
use super::dial::{self, Caller, Link, Target};
use super::error::Error;
use super::histogram::Histogram;
use super::process::Process;
use super::shape::Field;
use super::watch;
use crate::clock::Clock;
use crate::mqtt::Qos;
use crate::shutdown::Tasks;

/// After so much of its keep alive a client asks for a sign of life.
const PING_SHARE: f64 = 0.8;
/// How long memory is given to settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);

/// What a storm, or a crowd that holds still, gave.
pub struct Outcome {
    /// How long the connecting took.
    pub took: Duration,
    /// Connections accepted.
    pub connected: u64,
    /// Connections refused or broken.
    pub failed: u64,
    /// The first failure.
    pub failure: Option<String>,
    /// Connections whose TLS handshake was resumed.
    pub resumed: u64,
    /// CPU time of the broker while they connected.
    pub cpu: Option<Duration>,
    /// CPU time of the generator.
    pub own_cpu: Option<Duration>,
    /// From TCP SYN to CONNACK.
    pub latency: Arc<Histogram>,
    /// Resident memory of the broker before and after, KiB.
    pub resident_kib: Option<(u64, u64)>,
    /// CPU time of the broker for each second that the crowd held still.
    pub idle_share: Option<f64>,
}

/// Runs `connect` or `idle`.
///
/// # Errors
/// Certificates that cannot be minted, or the first of many clients that cannot connect.
pub async fn measure(field: &Field) -> Result<Outcome, Error> {
    let callers = field.callers("c", field.args.clients)?;
    if field.args.shape == Shape::Idle {
        return hold(field, callers).await;
    }
    let storm = Arc::new(Storm::new(field, callers));
    if field.args.resumed {
        // The first round fetches the tickets.
        storm.round(&field.args).await?;
        storm.check()?;
    }
    storm.reset();
    let before = (field.clock.now(), field.watched.and_then(Process::cpu), field.own.cpu());
    let memory = field.watched.and_then(Process::resident_kib);
    storm.round(&field.args).await?;
    let took = field.clock.now().saturating_duration_since(before.0);
    let (cpu, own) = (field.watched.and_then(Process::cpu), field.own.cpu());
    let failure = storm.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(Outcome {
        took,
        connected: storm.connected.load(Relaxed),
        failed: storm.failed.load(Relaxed),
        failure,
        resumed: storm.resumed.load(Relaxed),
        cpu: cpu.zip(before.1).map(|(now, then)| now.since(&then)),
        own_cpu: own.zip(before.2).map(|(now, then)| now.since(&then)),
        latency: Arc::clone(&storm.latency),
        resident_kib: memory.zip(field.watched.and_then(Process::resident_kib)),
        idle_share: None,
    })
}

async fn hold(field: &Field, callers: Vec<Caller>) -> Result<Outcome, Error> {
    let count = callers.len() as u64;
    let memory = field.watched.and_then(Process::resident_kib);
    let before = (field.clock.now(), field.watched.and_then(Process::cpu), field.own.cpu());
    let keep_alive = field.args.keep_alive;
    let callers = callers.into_iter().map(|caller| Caller { keep_alive, ..caller }).collect();
    let mut links = field.connect(callers, Vec::new(), Qos::AtMostOnce).await?;
    let took = field.clock.now().saturating_duration_since(before.0);
    let (cpu, own) = (field.watched.and_then(Process::cpu), field.own.cpu());
    if !field.args.json {
        eprintln!("{count} connected in {:.1} s; settling", took.as_secs_f64());
    }
    let mut turn = 0;
    let early = hold_still(field, &mut links, SETTLE, &mut turn).await;
    let still = (field.clock.now(), field.watched.and_then(Process::cpu));
    let length = Duration::from_secs_f64(field.args.duration.max(0.1));
    let late = hold_still(field, &mut links, length, &mut turn).await;
    let length = field.clock.now().saturating_duration_since(still.0);
    let spent = field.watched.and_then(Process::cpu).zip(still.1).map(|(now, then)| now.since(&then));
    let after = field.watched.and_then(Process::resident_kib);
    let resumed = links.iter().filter(|link| link.resumed() == Some(true)).count() as u64;
    Ok(Outcome {
        took,
        connected: links.len() as u64,
        failed: count - links.len() as u64 + early.0 + late.0,
        failure: early.1.or(late.1),
        resumed,
        cpu: cpu.zip(before.1).map(|(now, then)| now.since(&then)),
        own_cpu: own.zip(before.2).map(|(now, then)| now.since(&then)),
        latency: Arc::default(),
        resident_kib: memory.zip(after),
        idle_share: spent.map(|spent| spent.as_secs_f64() / length.as_secs_f64()),
    })
}

/// Lets `length` pass; with a keep alive every client asks for a sign of life within it, one after the other, evenly.
/// `turn` is whose turn it is. Answers how many got none, and why the first did not.
async fn hold_still(field: &Field, links: &mut [Link], length: Duration, turn: &mut usize) -> (u64, Option<String>) {
    let begin = field.clock.now();
    let left = |until: Duration| until.saturating_sub(field.clock.now().saturating_duration_since(begin));
    let mut failure = (0, None);
    if field.args.keep_alive > 0 && !links.is_empty() {
        let period = Duration::from_secs(field.args.keep_alive.into()).mul_f64(PING_SHARE);
        let gap = period.div_f64(links.len() as f64);
        let mut due = Duration::ZERO;
        loop {
            due += gap;
            if due >= length {
                break;
            }
            *turn = (*turn + 1) % links.len();
            tokio::time::sleep(left(due)).await;
            let Some(link) = links.get_mut(*turn) else { break };
            if let Err(error) = link.ping().await {
                failure.0 += 1;
                failure.1.get_or_insert_with(|| error.to_string());
            }
        }
    }
    tokio::time::sleep(left(length)).await;
    failure
}

/// Clients that connect and leave, each once a round.
struct Storm {
    callers: Vec<Caller>,
    target: Target,
    clock: Clock,
    next: AtomicUsize,
    connected: AtomicU64,
    failed: AtomicU64,
    resumed: AtomicU64,
    failure: Mutex<Option<String>>,
    latency: Arc<Histogram>,
    measuring: std::sync::atomic::AtomicBool,
}

impl Storm {
    fn new(field: &Field, callers: Vec<Caller>) -> Self {
        Self {
            callers,
            target: field.target.clone(),
            clock: field.clock.clone(),
            next: AtomicUsize::new(0),
            connected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            failure: Mutex::default(),
            latency: Arc::default(),
            measuring: false.into(),
        }
    }

    fn reset(&self) {
        self.next.store(0, Relaxed);
        [&self.connected, &self.failed, &self.resumed].iter().for_each(|count| count.store(0, Relaxed));
        self.measuring.store(true, Relaxed);
    }

    fn check(&self) -> Result<(), Error> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |failure| Err(Error::Usage(format!("in the first round: {failure}"))))
    }

    async fn round(self: &Arc<Self>, args: &Args) -> Result<(), Error> {
        let tasks = Tasks::new();
        for _ in 0..args.concurrency.max(1) {
            let storm = Arc::clone(self);
            tasks.spawn("connecting", async move { storm.work().await });
        }
        let done = || self.connected.load(Relaxed) + self.failed.load(Relaxed);
        watch::connecting(&tasks, args.json, self.callers.len(), done).await
    }

    async fn work(&self) {
        while let Some(caller) = self.callers.get(self.next.fetch_add(1, Relaxed)) {
            let begin = self.clock.now();
            match dial::dial(&self.target, caller).await {
                Ok(link) => {
                    if self.measuring.load(Relaxed) {
                        self.latency.record(self.clock.now().saturating_duration_since(begin));
                    }
                    self.connected.fetch_add(1, Relaxed);
                    self.resumed.fetch_add(u64::from(link.resumed() == Some(true)), Relaxed);
                    link.leave().await;
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
