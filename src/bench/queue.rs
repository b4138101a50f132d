//! Messages for sessions that sleep: queued while nobody reads, fetched when they wake.
//!
//! What lives here: the course of such a run. What does not: its clients. Invariant: a session is known to
//! sleep before the first message is sent, and nothing of it is left at the broker afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::dial::Caller;
use super::error::Error;
use super::process::Process;
use super::run::{Bounds, Remains, Run};
use super::shape::{Field, Roles};
use super::tally::Faults;
use super::throughput::{faults, start_publishers, start_subscribers};
use super::watch::Watch;
use crate::mqtt::Qos;
use crate::shutdown::Tasks;

/// How long a broker may acknowledge nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing may come before what is missing counts as lost.
const SILENCE: Duration = Duration::from_secs(5);
/// How long is listened for repetitions after the last message.
const ECHO: Duration = Duration::from_millis(300);
/// How long clients may take to leave.
const FAREWELL: Duration = Duration::from_secs(10);

/// One half of the run.
pub struct Phase {
    /// Messages acknowledged, or deliveries.
    pub count: u64,
    /// From its begin to the last of them.
    pub took: Duration,
    /// CPU time of the broker, if it was watched.
    pub cpu: Option<Duration>,
    /// CPU time of the generator.
    pub own_cpu: Option<Duration>,
}

impl Phase {
    /// Messages or deliveries a second.
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// CPU-seconds of the broker per million messages or deliveries, if it was watched.
    pub fn cpu_per_million(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e6 / self.count.max(1) as f64)
    }
}

/// What a run gave.
pub struct Outcome {
    /// Publishing to sessions that sleep, counted in acknowledged messages.
    pub queued: Phase,
    /// Waking the sessions, counted in deliveries.
    pub drained: Phase,
    /// Resident memory of the broker before, with all messages queued, and with none, KiB.
    pub resident_kib: [Option<u64>; 3],
    /// Losses, repeats and disorder; `None` when payloads are too short to tell.
    pub faults: Option<Faults>,
    /// Clients that failed, and why.
    pub failures: (u64, Vec<String>),
    /// The histogram of acknowledgements.
    pub run: Arc<Run>,
    /// Deliveries that each message causes.
    pub fan: u64,
}

impl Outcome {
    /// Whether everything arrived once and in order, and nobody failed.
    pub fn is_clean(&self) -> bool {
        self.failures.0 == 0 && self.faults.unwrap_or_default() == Faults::default()
    }
}

/// Queues and drains.
///
/// # Errors
/// Arguments that do not go together, or clients that cannot connect or subscribe.
pub async fn measure(field: &Field) -> Result<Outcome, Error> {
    let args = &field.args;
    if args.qos == Qos::AtMostOnce {
        return Err(Error::Usage("queue: QoS 0 is not kept for sessions that sleep; use -q 1 or -q 2".into()));
    }
    if args.null {
        return Err(Error::Usage("queue: the null broker keeps nothing; leave out --null".into()));
    }
    let roles = Roles::of(args)?;
    let once = field.callers("s", roles.filters.len())?;
    let lasting: Vec<Caller> = once.iter().map(|caller| Caller { persistent: true, ..caller.clone() }).collect();
    visit(field, once.clone(), Vec::new()).await?;
    visit(field, lasting.clone(), roles.filters.clone()).await?;
    let outcome = queue_and_drain(field, &roles, lasting).await;
    // A clean start is how a client has its session forgotten.
    visit(field, once, Vec::new()).await?;
    outcome
}

/// Connects, subscribes if there are filters, and leaves.
pub async fn visit(field: &Field, callers: Vec<Caller>, filters: Vec<String>) -> Result<(), Error> {
    for link in field.connect(callers, filters, field.args.qos).await? {
        link.leave_and_wait().await;
    }
    Ok(())
}

async fn queue_and_drain(field: &Field, roles: &Roles, sessions: Vec<Caller>) -> Result<Outcome, Error> {
    let resident = || field.watched.and_then(Process::resident_kib);
    let before = resident();
    let (queued, run, sent) = queue(field, roles).await?;
    let full = resident();
    let (drained, fetched) = drain(field, roles, sessions, queued.count).await?;
    let remains = Remains { sent: sent.sent, tallies: fetched.remains().tallies };
    let (mut failed, mut reasons) = run.failures();
    let (later, more) = fetched.failures();
    failed += later;
    reasons.extend(more);
    Ok(Outcome {
        queued,
        drained,
        resident_kib: [before, full, resident()],
        faults: (field.args.size >= 8).then(|| faults(roles, None, &remains)),
        failures: (failed, reasons),
        run,
        fan: roles.fan,
    })
}

/// The counters of both processes at the begin of a phase.
struct Begin {
    at: Duration,
    cpu: Option<super::process::CpuTime>,
    own: Option<super::process::CpuTime>,
}

impl Begin {
    fn of(field: &Field, run: &Run) -> Self {
        Self { at: run.elapsed(), cpu: field.watched.and_then(Process::cpu), own: field.own.cpu() }
    }

    fn end(self, field: &Field, run: &Run, count: u64) -> Phase {
        let (cpu, own) = (field.watched.and_then(Process::cpu), field.own.cpu());
        Phase {
            count,
            took: run.last().saturating_sub(self.at),
            cpu: cpu.zip(self.cpu).map(|(now, then)| now.since(&then)),
            own_cpu: own.zip(self.own).map(|(now, then)| now.since(&then)),
        }
    }
}

/// Publishes until every message is acknowledged.
async fn queue(field: &Field, roles: &Roles) -> Result<(Phase, Arc<Run>, Remains), Error> {
    let args = &field.args;
    let links = field.connect(field.callers("p", roles.topics.len())?, Vec::new(), args.qos).await?;
    let count = args.count().unwrap_or_default();
    // Nobody reads, so nothing is outstanding and the window alone bounds.
    let bounds = Bounds { fan: 0, backlog: u64::MAX, publishers: roles.topics.len() as u64, count: Some(count) };
    let run = Arc::new(Run::new(field.clock.clone(), bounds));
    let (tasks, mut watch) = (Tasks::new(), Watch::new(args.json, "acknowledged", |counts| counts.acknowledged));
    run.measure(true);
    let begin = Begin::of(field, &run);
    start_publishers(field, &tasks, &run, links, roles)?;
    let is_complete = watch.reaches(&run, count, PATIENCE).await;
    let phase = begin.end(field, &run, run.counts().acknowledged);
    watch.end();
    if !is_complete && run.failures().0 == 0 {
        run.fail(format!("nothing was acknowledged for {} s", PATIENCE.as_secs()));
    }
    run.stop_publishing();
    tasks.stop();
    let _ = tasks.drained(FAREWELL).await;
    let remains = run.remains();
    Ok((phase, run, remains))
}

/// Wakes the sessions and reads what was kept for them.
async fn drain(field: &Field, roles: &Roles, sessions: Vec<Caller>, sent: u64) -> Result<(Phase, Arc<Run>), Error> {
    let bounds = Bounds { fan: 0, backlog: 0, publishers: 0, count: None };
    let run = Arc::new(Run::new(field.clock.clone(), bounds));
    let (tasks, mut watch) = (Tasks::new(), Watch::new(field.args.json, "delivered", |counts| counts.received));
    let begin = Begin::of(field, &run);
    let links = field.connect(sessions, Vec::new(), field.args.qos).await?;
    let forgotten = links.iter().filter(|link| !link.session_present).count();
    if forgotten > 0 {
        run.fail(format!("the broker has forgotten {forgotten} of {} sessions", links.len()));
    }
    start_subscribers(field, &tasks, &run, links, None);
    let wanted = sent * roles.fan;
    watch.reaches(&run, wanted, SILENCE).await;
    let phase = begin.end(field, &run, run.counts().received.min(wanted));
    watch.end();
    tokio::time::sleep(ECHO).await;
    tasks.stop();
    let _ = tasks.drained(FAREWELL).await;
    Ok((phase, run))
}
