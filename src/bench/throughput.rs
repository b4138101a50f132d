//! Messages through a broker: connect, warm up, measure, drain, count.
//!
//! What lives here: the course of one run. What does not: its clients. Invariant: the measured
//! window begins after every subscriber has its SUBACK and every cache is warm, and what is
//! outstanding at its end is waited for before losses are counted.

use std::sync::Arc;
use std::time::Duration;

use super::beside::{self, Beside, Prepared};
use super::dial::{Caller, Link};
use super::error::Error;
use super::pacer;
use super::process::Process;
use super::publisher::{Pace, Publisher, Work};
use super::queue::visit;
use super::run::{Bounds, Counts, Remains, Run};
use super::shape::{Field, Roles};
use super::subscriber::Subscriber;
use super::tally::{Faults, Group, Tally};
use super::watch::Watch;
use crate::shutdown::Tasks;

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
    /// The second window, if one was asked for.
    pub beside: Option<Beside>,
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
    let prepared = beside::prepare(field).await?;
    let mut subscribers = field.callers("s", roles.filters.len())?;
    let lasting = lasting(field, &mut subscribers)?;
    let once = |caller: &Caller| Caller { persistent: false, ..caller.clone() };
    let once: Vec<Caller> = lasting.iter().map(once).collect();
    visit(field, once.clone(), Vec::new()).await?;
    let (_, sleepers) = lasting.split_at_checked(usize::from(args.lasting)).unwrap_or_default();
    visit(field, sleepers.to_vec(), roles.filters.iter().cycle().take(sleepers.len()).cloned().collect()).await?;
    let outcome = deliver(field, tasks, &roles, subscribers, prepared).await;
    // A clean start is how a client has its session forgotten.
    visit(field, once, Vec::new()).await?;
    outcome
}

/// Those whose sessions last: the first of the subscribers, which are told so, and the sleepers behind them.
fn lasting(field: &Field, subscribers: &mut [Caller]) -> Result<Vec<Caller>, Error> {
    let args = &field.args;
    if usize::from(args.lasting) > subscribers.len() {
        return Err(Error::Usage(format!("--lasting {}: there are {} subscribers", args.lasting, subscribers.len())));
    }
    let awake = subscribers.iter_mut().take(args.lasting.into());
    let mut lasting: Vec<Caller> = awake
        .map(|caller| {
            caller.persistent = true;
            caller.clone()
        })
        .collect();
    let sleepers = field.callers("z", args.sleepers.into())?;
    lasting.extend(sleepers.into_iter().map(|caller| Caller { persistent: true, ..caller }));
    Ok(lasting)
}

async fn deliver(
    field: &Field,
    tasks: &Tasks,
    roles: &Roles,
    subscribers: Vec<Caller>,
    prepared: Option<Prepared>,
) -> Result<Outcome, Error> {
    let args = &field.args;
    let subscribers = field.connect(subscribers, roles.filters.clone(), args.qos).await?;
    let publishers = field.connect(field.callers("p", roles.topics.len())?, Vec::new(), args.qos).await?;
    let bounds = Bounds {
        fan: roles.fan,
        backlog: args.backlog.max(roles.fan),
        publishers: roles.topics.len() as u64,
        count: args.count(),
    };
    let run = Arc::new(Run::new(field.clock.clone(), bounds));
    let group = roles.is_shared.then(Arc::<Group>::default);
    start_subscribers(field, tasks, &run, subscribers, group.as_ref());
    start_publishers(field, tasks, &run, publishers, roles)?;
    let mut outcome = course(field, roles, &run, tasks, prepared).await?;
    outcome.faults = (args.size >= 8).then(|| faults(roles, group.as_deref(), &run.remains()));
    Ok(outcome)
}

/// Starts a subscriber for each link, alone or as members of `group`.
pub fn start_subscribers(field: &Field, tasks: &Tasks, run: &Arc<Run>, links: Vec<Link>, group: Option<&Arc<Group>>) {
    let time_all = field.args.rate().is_some();
    for (number, link) in links.into_iter().enumerate() {
        let tally = group.map_or_else(Tally::default, |group| Tally::of_member(Arc::clone(group)));
        let stop = tasks.stop_signal();
        start(tasks, run, Subscriber::new(link, Arc::clone(run), stop, number, tally, time_all));
    }
}

/// Starts a publisher for each link, and what paces them.
///
/// # Errors
/// A rate that is none, a topic that cannot be published to, or no room for a thread.
pub fn start_publishers(
    field: &Field,
    tasks: &Tasks,
    run: &Arc<Run>,
    links: Vec<Link>,
    roles: &Roles,
) -> Result<(), Error> {
    let args = &field.args;
    let paces = paces(field, run, roles.topics.len())?;
    for (index, link) in links.into_iter().enumerate() {
        let work = Work {
            number: u16::try_from(index).unwrap_or(u16::MAX),
            topic: roles.topics.get(index).cloned().unwrap_or_default(),
            qos: args.qos,
            size: args.size,
            window: u64::from(args.window),
            pace: paces.get(index).cloned(),
        };
        start(tasks, run, Publisher::new(link, Arc::clone(run), tasks.stop_signal(), work)?);
    }
    if !paces.is_empty() {
        pacer::start(tasks, run, paces).map_err(Error::Io)?;
    }
    Ok(())
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
fn paces(field: &Field, run: &Run, publishers: usize) -> Result<Vec<Arc<Pace>>, Error> {
    let Some(rate) = field.args.rate() else { return Ok(Vec::new()) };
    if rate <= 0.0 || !rate.is_finite() {
        return Err(Error::Usage("--rate must be above 0".into()));
    }
    let step = Duration::from_secs_f64(1.0 / rate);
    let begin = run.elapsed() + Duration::from_millis(50);
    let count = u32::try_from(publishers).unwrap_or(u32::MAX);
    let burst = pacer::burst(step);
    Ok((0..count).map(|index| Arc::new(Pace::new(begin + step * index, step * count, burst))).collect())
}

/// What is read at the ends of the measured window.
pub struct Mark {
    /// When, since the run began.
    pub at: Duration,
    /// What had happened until then.
    pub counts: Counts,
    /// CPU time of the broker.
    pub cpu: Option<super::process::CpuTime>,
    own: Option<super::process::CpuTime>,
}

/// Reads it now.
pub fn mark(field: &Field, run: &Run) -> Mark {
    let (cpu, own) = (field.watched.and_then(Process::cpu), field.own.cpu());
    Mark { at: run.elapsed(), counts: run.counts(), cpu, own }
}

async fn course(
    field: &Field,
    roles: &Roles,
    run: &Arc<Run>,
    tasks: &Tasks,
    prepared: Option<Prepared>,
) -> Result<Outcome, Error> {
    let args = &field.args;
    let mut watch = Watch::new(args.json, "delivered", |counts| counts.received);
    if args.count().is_none() {
        watch.until(run, Duration::from_secs_f64(args.warm_up.max(0.0)), |_| false).await;
    }
    run.measure(true);
    let before = mark(field, run);
    let length = if args.count().is_some() { Duration::MAX } else { Duration::from_secs_f64(args.duration.max(0.1)) };
    watch.until(run, length, |run| (run.has_sent_all() && run.outstanding() == 0) || run.failures().0 > 0).await;
    let after = mark(field, run);
    run.measure(false);
    let resident_kib = field.watched.and_then(Process::resident_kib);
    let beside = match prepared {
        Some(prepared) => Some(beside::window(field, roles, run, &mut watch, prepared).await?),
        None => None,
    };
    run.stop_publishing();
    watch.drain(run).await;
    watch.end();
    tasks.stop();
    let _ = tasks.drained(Duration::from_secs(10)).await;
    Ok(Outcome {
        took: after.at.saturating_sub(before.at),
        sent: after.counts.sent - before.counts.sent,
        acknowledged: after.counts.acknowledged - before.counts.acknowledged,
        delivered: after.counts.received - before.counts.received,
        cpu: after.cpu.zip(before.cpu).map(|(after, before)| after.since(&before)),
        own_cpu: after.own.zip(before.own).map(|(after, before)| after.since(&before)),
        resident_kib,
        faults: None,
        failures: run.failures(),
        run: Arc::clone(run),
        beside,
    })
}

/// What went wrong at all subscribers, and in the group that they are.
pub fn faults(roles: &Roles, group: Option<&Group>, remains: &Remains) -> Faults {
    let mut sent = vec![0; roles.topics.len()];
    for &(publisher, count) in &remains.sent {
        if let Some(place) = sent.get_mut(usize::from(publisher)) {
            *place = count;
        }
    }
    let publishers = u16::try_from(sent.len()).unwrap_or(u16::MAX);
    let sent = |publisher: usize| sent.get(publisher).copied().unwrap_or(0);
    let whole = group.map(|group| group.faults(publishers, |publisher| sent(usize::from(publisher))));
    let mut all = whole.unwrap_or_default();
    for (subscriber, tally) in &remains.tallies {
        all += tally.faults(publishers, |publisher| {
            let publisher = usize::from(publisher);
            if roles.reaches(publisher, *subscriber) { sent(publisher) } else { 0 }
        });
    }
    all
}
