//! What goes on beside the measured clients: a second window of the same run, with something that should not matter.
//!
//! What lives here: the course of that window, and what is said of it. What does not: those who disturb
//! (`disturb`, `crowd`), and what only lies there (`growth`). Invariant: both windows are measured over the same connections.

use std::sync::Arc;
use std::time::Duration;

use super::args::{Args, Shape};
use super::crowd::{self, Crowd};
use super::dial::Caller;
use super::disturb::{self, Noise};
use super::error::Error;
use super::growth::{self, Growth};
use super::process::Process;
use super::run::{Run, Timings};
use super::shape::{Field, Roles};
use super::throughput::{Mark, mark};
use super::watch::Watch;
use crate::shutdown::Tasks;

/// How long those who disturb may take to leave.
const FAREWELL: Duration = Duration::from_secs(10);

/// What is added for the second window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Sessions that want what the first subscriber wants, and sleep.
    Sleeper,
    /// Devices that come back all at once, while the others work; with --resumed they have tickets.
    Storm,
    /// One publisher flat out, one subscriber that stops reading, one client that sends a byte a second, one that breaks every handshake.
    Unfair,
    /// Subscriptions to topics that nobody publishes to.
    Subscriptions,
    /// The same, with a wildcard in each.
    Wildcards,
    /// Sessions that sleep, each with a subscription to a topic that nobody publishes to.
    Sleeping,
}

impl What {
    /// How many of them there are, unless it is said.
    pub fn usual(self) -> u32 {
        match self {
            Self::Sleeper | Self::Unfair => 1,
            Self::Storm => 1_000,
            Self::Subscriptions | Self::Wildcards => 100_000,
            Self::Sleeping => 20_000,
        }
    }

    /// Connections that it holds open beside those of the shape.
    pub fn connections(self, many: usize) -> usize {
        match self {
            Self::Sleeper => many,
            Self::Storm => many,
            Self::Unfair => 4,
            Self::Subscriptions | Self::Wildcards => many.div_ceil(growth::EACH),
            Self::Sleeping => many.min(growth::BLOCK),
        }
    }

    /// Whether it lies there before the window, so that the load can wait meanwhile.
    fn is_growth(self) -> bool {
        matches!(self, Self::Subscriptions | Self::Wildcards | Self::Sleeping)
    }
}

/// What was made ready before the run: keys and certificates take time.
pub struct Prepared {
    what: What,
    callers: Vec<Caller>,
    frame: Vec<u8>,
}

/// What the second window gave.
pub struct Beside {
    /// What was added.
    pub what: What,
    /// How many of them.
    pub many: u32,
    /// Length of the window.
    pub took: Duration,
    /// Messages sent in it.
    pub sent: u64,
    /// Deliveries in it.
    pub delivered: u64,
    /// CPU time of the broker in it, whoever caused it.
    pub cpu: Option<Duration>,
    /// Resident memory of the broker at its end, KiB.
    pub resident_kib: Option<u64>,
    /// What was timed in it.
    pub timings: Timings,
    /// Of a storm: how the devices fared.
    pub crowd: Option<crowd::Outcome>,
    /// Of the unfair: what they did.
    pub noise: Option<disturb::Outcome>,
}

/// Makes ready what takes time.
///
/// # Errors
/// Keys that cannot be made, devices that cannot fetch tickets.
pub async fn prepare(field: &Field) -> Result<Option<Prepared>, Error> {
    let args = &field.args;
    let Some(what) = args.beside else { return Ok(None) };
    let many = usize::try_from(args.many()).unwrap_or(usize::MAX);
    let callers = match what {
        What::Storm => field.callers("d", many)?,
        What::Unfair => field.callers("n", 3)?,
        _ => Vec::new(),
    };
    if what == What::Storm && args.resumed {
        super::queue::visit(field, callers.clone(), Vec::new()).await?;
    }
    Ok(Some(Prepared { what, callers, frame: disturb::frame(args.protocol)? }))
}

/// Looks whether the arguments go together.
///
/// # Errors
/// They do not.
pub fn check(args: &Args) -> Result<(), Error> {
    if args.beside.is_none() {
        return Ok(());
    }
    let wrong = |text: &str| Err(Error::Usage(text.to_owned()));
    if args.count().is_some() {
        return wrong("--beside compares two windows of --duration; leave out --count");
    }
    if matches!(args.shape, Shape::Connect | Shape::Idle | Shape::Queue) {
        return wrong("--beside needs a shape that sends messages, such as pairs");
    }
    if args.null {
        return wrong("--beside: the null broker keeps nothing; leave out --null");
    }
    Ok(())
}

/// What is there during the window.
enum Company {
    Grown(Growth),
    Storm(Crowd),
    Unfair(Noise),
}

/// The second window of `run`, with what was asked for beside it.
///
/// # Errors
/// Those that are added cannot connect or subscribe, or there is no room for a thread.
pub async fn window(
    field: &Field,
    roles: &Roles,
    run: &Arc<Run>,
    watch: &mut Watch,
    prepared: Prepared,
) -> Result<Beside, Error> {
    let (args, what) = (&field.args, prepared.what);
    let quiet = run.timings.take();
    let tasks = Tasks::new();
    let company = gather(field, roles, run, watch, &tasks, prepared).await?;
    run.measure(true);
    let before = mark(field, run);
    let is_over = |company: &Company| matches!(company, Company::Storm(crowd) if crowd.is_over());
    let length = match what {
        What::Storm => Duration::from_secs(crowd::PATIENCE),
        _ => Duration::from_secs_f64(args.duration.max(0.1)),
    };
    watch.until(run, length, |run| is_over(&company) || run.failures().0 > 0).await;
    let after = mark(field, run);
    run.measure(false);
    let resident_kib = field.watched.and_then(Process::resident_kib);
    let timings = run.timings.take();
    run.timings.add(&quiet);
    tasks.stop();
    let _ = tasks.drained(FAREWELL).await;
    let (crowd, noise) = leave(field, run, company).await?;
    let Mark { counts, .. } = before;
    Ok(Beside {
        what,
        many: args.many(),
        took: after.at.saturating_sub(before.at),
        sent: after.counts.sent - counts.sent,
        delivered: after.counts.received - counts.received,
        cpu: after.cpu.zip(before.cpu).map(|(after, before)| after.since(&before)),
        resident_kib,
        timings,
        crowd,
        noise,
    })
}

async fn gather(
    field: &Field,
    roles: &Roles,
    run: &Arc<Run>,
    watch: &mut Watch,
    tasks: &Tasks,
    prepared: Prepared,
) -> Result<Company, Error> {
    let Prepared { what, callers, frame } = prepared;
    match what {
        What::Storm => return Ok(Company::Storm(Crowd::start(field, tasks, callers)?)),
        What::Unfair => {
            let noise = Noise::start(field, tasks, callers, frame)?;
            watch.until(run, warm_up(field), |_| false).await;
            return Ok(Company::Unfair(noise));
        }
        _ => {}
    }
    let waits = what.is_growth() && field.args.rate().is_none();
    run.pause(waits);
    let grown = Growth::plant(field, roles, what).await;
    run.pause(false);
    watch.until(run, warm_up(field), |_| false).await;
    Ok(Company::Grown(grown?))
}

fn warm_up(field: &Field) -> Duration {
    Duration::from_secs_f64(field.args.warm_up.max(0.0))
}

async fn leave(
    field: &Field,
    run: &Run,
    company: Company,
) -> Result<(Option<crowd::Outcome>, Option<disturb::Outcome>), Error> {
    match company {
        Company::Grown(growth) => growth.clear(field).await.map(|()| (None, None)),
        Company::Unfair(noise) => Ok((None, Some(noise.outcome()))),
        Company::Storm(crowd) => {
            let outcome = crowd.outcome();
            if let Some(reason) = &outcome.failure {
                run.fail(format!("{} devices of the storm: {reason}", outcome.failed));
            }
            Ok((Some(outcome), None))
        }
    }
}
