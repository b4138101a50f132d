//! Messages through a broker: connect, warm up, measure, drain, count.
//!
//! What lives here: the course of one run. What does not: its clients. Invariant: the measured
//! window begins after every subscriber has its SUBACK and every cache is warm, and what is
//! outstanding at its end is waited for before losses are counted.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::pacer;
use super::process::Process;
use super::publisher::{Pace, Publisher, Work};
use super::run::{Bounds, Counts, Remains, Run};
use super::shape::{Field, Roles};
use super::subscriber::Subscriber;
use super::tally::Faults;
use crate::shutdown::Tasks;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks without a delivery after which what is outstanding is given up.
const STALLED: u32 = 10;

/// What a run gave.
pub struct Outcome {
    /// Length of the measured window.
    pub took: Duration,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages acknowledged in it, at QoS 1 and 2.
    pub acknowledged: u64,
    /// Deliveries in it.
    pub delivered: u64,
    /// CPU time of the broker in it, if it was watched.
    pub cpu: Option<Duration>,
    /// CPU time of the generator in it.
    pub own_cpu: Option<Duration>,
    /// Resident memory of the broker at its end, KiB.
    pub resident_kib: Option<u64>,
    /// Losses, repeats and disorder over the whole run; `None` when payloads are too short to tell.
    pub faults: Option<Faults>,
    /// Clients that failed, and why.
    pub failures: (u64, Vec<String>),
    /// The histograms.
    pub run: Arc<Run>,
}

impl Outcome {
    /// Whether everything arrived once and in order, and nobody failed.
    pub fn is_clean(&self) -> bool {
        self.failures.0 == 0 && self.faults.unwrap_or_default() == Faults::default()
    }
}

/// Runs one shape.
///
/// # Errors
/// Clients that cannot connect or subscribe; what fails later is part of the outcome.
pub async fn measure(field: &Field, tasks: &Tasks) -> Result<Outcome, Error> {
    let args = &field.args;
    let roles = Roles::of(args)?;
    if args.rate.is_some_and(|rate| rate <= 0.0 || !rate.is_finite()) {
        return Err(Error::Usage("--rate must be above 0".into()));
    }
    let subscribers = field.callers("s", roles.filters.len())?;
    let subscribers = field.connect(subscribers, roles.filters.clone(), args.qos).await?;
    let publishers = field.connect(field.callers("p", roles.topics.len())?, Vec::new(), args.qos).await?;
    let bounds = Bounds {
        fan: roles.fan,
        backlog: args.backlog.max(roles.fan),
        publishers: roles.topics.len() as u64,
        count: args.count,
    };
    let run = Arc::new(Run::new(field.clock.clone(), bounds));
    for (number, link) in subscribers.into_iter().enumerate() {
        let stop = tasks.stop_signal();
        start(tasks, &run, Subscriber::new(link, Arc::clone(&run), stop, number, args.rate.is_some()));
    }
    let paces = paces(field, &run, roles.topics.len());
    for (index, link) in publishers.into_iter().enumerate() {
        let work = Work {
            number: u16::try_from(index).unwrap_or(u16::MAX),
            topic: roles.topics.get(index).cloned().unwrap_or_default(),
            qos: args.qos,
            size: args.size,
            window: u64::from(args.window),
            pace: paces.get(index).cloned(),
        };
        start(tasks, &run, Publisher::new(link, Arc::clone(&run), tasks.stop_signal(), work)?);
    }
    if !paces.is_empty() {
        pacer::start(tasks, &run, paces).map_err(Error::Io)?;
    }
    course(field, &roles, run, tasks).await
}

fn start(tasks: &Tasks, run: &Arc<Run>, client: impl Future<Output = Result<(), Error>> + Send + 'static) {
    let run = Arc::clone(run);
    tasks.spawn("client", async move {
        if let Err(error) = client.await {
            run.fail(error.to_string());
        }
    });
}

/// The due times by publisher; none when the load is flat out. They take turns, evenly.
fn paces(field: &Field, run: &Run, publishers: usize) -> Vec<Arc<Pace>> {
    let Some(rate) = field.args.rate else { return Vec::new() };
    let step = Duration::from_secs_f64(1.0 / rate);
    let begin = run.elapsed() + Duration::from_millis(50);
    let count = u32::try_from(publishers).unwrap_or(u32::MAX);
    (0..count).map(|index| Arc::new(Pace::new(begin + step * index, step * count))).collect()
}

/// What is read at the ends of the measured window.
struct Mark {
    at: Duration,
    counts: Counts,
    cpu: Option<super::process::CpuTime>,
    own: Option<super::process::CpuTime>,
}

fn mark(field: &Field, run: &Run) -> Mark {
    let (cpu, own) = (field.watched.and_then(Process::cpu), field.own.cpu());
    Mark { at: run.elapsed(), counts: run.counts(), cpu, own }
}

async fn course(field: &Field, roles: &Roles, run: Arc<Run>, tasks: &Tasks) -> Result<Outcome, Error> {
    let args = &field.args;
    let mut watch = Watch::new(args.json);
    if args.count.is_none() {
        watch.until(&run, Duration::from_secs_f64(args.warm_up.max(0.0)), |_| false).await;
    }
    run.measure(true);
    let before = mark(field, &run);
    let length = if args.count.is_some() { Duration::MAX } else { Duration::from_secs_f64(args.duration.max(0.1)) };
    watch.until(&run, length, |run| (run.has_sent_all() && run.outstanding() == 0) || run.failures().0 > 0).await;
    let after = mark(field, &run);
    run.measure(false);
    let resident_kib = field.watched.and_then(Process::resident_kib);
    run.stop_publishing();
    watch.drain(&run).await;
    watch.end();
    tasks.stop();
    let _ = tasks.drained(Duration::from_secs(10)).await;
    let remains = run.remains();
    Ok(Outcome {
        took: after.at.saturating_sub(before.at),
        sent: after.counts.sent - before.counts.sent,
        acknowledged: after.counts.acknowledged - before.counts.acknowledged,
        delivered: after.counts.received - before.counts.received,
        cpu: after.cpu.zip(before.cpu).map(|(after, before)| after.since(&before)),
        own_cpu: after.own.zip(before.own).map(|(after, before)| after.since(&before)),
        resident_kib,
        faults: (args.size >= 8).then(|| faults(field, roles, &remains)),
        failures: run.failures(),
        run,
    })
}

fn faults(field: &Field, roles: &Roles, remains: &Remains) -> Faults {
    let mut sent = vec![0; roles.topics.len()];
    for &(publisher, count) in &remains.sent {
        if let Some(place) = sent.get_mut(usize::from(publisher)) {
            *place = count;
        }
    }
    let publishers = u16::try_from(sent.len()).unwrap_or(u16::MAX);
    let mut all = Faults::default();
    for (subscriber, tally) in &remains.tallies {
        all += tally.faults(publishers, |publisher| {
            let publisher = usize::from(publisher);
            let reached = roles.reaches(publisher, *subscriber, field.args.shape);
            if reached { sent.get(publisher).copied().unwrap_or(0) } else { 0 }
        });
    }
    all
}

/// Looks at a run while it goes on, and says what it sees.
struct Watch {
    quiet: bool,
    terminal: bool,
    received: u64,
    idle: u32,
    looks: u32,
    told: (Duration, u64),
}

impl Watch {
    fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, terminal, received: 0, idle: 0, looks: 0, told: (Duration::ZERO, 0) }
    }

    async fn until(&mut self, run: &Run, length: Duration, done: impl Fn(&Run) -> bool) {
        let end = run.elapsed().saturating_add(length);
        while let Some(left) = end.checked_sub(run.elapsed()).filter(|left| !left.is_zero()) {
            if done(run) {
                return;
            }
            tokio::time::sleep(left.min(LOOK)).await;
            if self.is_stalled(run) {
                run.write_off();
            }
            self.looks += 1;
            if self.looks.is_multiple_of(10) {
                self.tell(run);
            }
        }
    }

    /// Waits until nothing is outstanding, or nothing comes any more.
    async fn drain(&mut self, run: &Run) {
        self.idle = 0;
        while run.outstanding() > 0 && self.idle < 3 * STALLED {
            tokio::time::sleep(LOOK).await;
            self.is_stalled(run);
        }
    }

    fn is_stalled(&mut self, run: &Run) -> bool {
        let received = run.counts().received;
        self.idle = if received == self.received && run.outstanding() > 0 { self.idle + 1 } else { 0 };
        self.received = received;
        self.idle > 0 && self.idle.is_multiple_of(STALLED)
    }

    fn tell(&mut self, run: &Run) {
        let (now, counts) = (run.elapsed(), run.counts());
        let span = now.saturating_sub(self.told.0).as_secs_f64().max(1e-3);
        let rate = (counts.received - self.told.1) as f64 / span;
        self.told = (now, counts.received);
        if !self.quiet || self.terminal {
            let end = if self.terminal { '\r' } else { '\n' };
            eprint!(
                "{:5.1} s  sent {:>11}  delivered {:>11}  {rate:>9.0}/s  outstanding {:>6}{end}",
                now.as_secs_f64(),
                counts.sent,
                counts.received,
                run.outstanding()
            );
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
