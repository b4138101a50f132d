//! `certus serve`: runs the broker until it is told to stop.
//!
//! What lives here: start, signals, reload, stop. What does not: the broker
//! (`broker`), the reading of configuration (`config`). Invariant: a reload that
//! fails changes nothing and says why.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};
use zeroize::Zeroizing;

use crate::broker::{self, Broker, StartError};
use crate::ca;
use crate::ca::authority::{Caller, Fault, NewToken};
use crate::clock::Clock;
use crate::config::{Config, Problem, load};
use crate::control::api::{self, Admin};
use crate::control::chores;
use crate::control::lists::Lists;
use crate::shutdown::Tasks;
use crate::telemetry::logging::{self, LogControl};

use super::check::{trusted, wanted};
use super::welcome::Welcome;
use super::{Outcome, complain, say, settings};

/// After so many tasks a worker looks for events though others are ready: one of them may be a turn of a publisher flat
/// out, and 61 of those, the runtime's own choice, are tens of milliseconds.
const EVENT_INTERVAL: u32 = 8;

/// Systemd and people wait ten seconds (SYS-08); a second of it is kept for
/// the end of the process itself.
const TIME_TO_STOP: Duration = Duration::from_secs(9);

/// A list that is being written down may end; a fetch is given up.
const LISTS_END: Duration = Duration::from_secs(1);

/// A test that moves the clock is seen within this time.
const CLOCK_STEP: Duration = Duration::from_millis(250);

pub(super) fn run(args: &settings::Args) -> Outcome {
    let mut made = 0;
    let loaded = load(&args.sources(), |plan| {
        let new = ca::ensure(&plan.certs_dir, &wanted(plan), Clock::system().wall()).map_err(Problem::told)?;
        made = new.0.len();
        Ok(Vec::new())
    });
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => return Outcome::wrong(problems),
    };
    if let Err(problems) = trusted(&config.broker.tenants, Clock::system().wall()) {
        return Outcome::wrong(problems);
    }
    let clock = match &config.test_clock {
        None => Clock::system(),
        Some(file) => match Clock::with_test_file(file) {
            Ok(clock) => clock,
            Err(error) => return Outcome::wrong(format_args!("test_clock: {error}")),
        },
    };
    let log = match logging::set_up(config.log_format, &config.log_level) {
        Ok(log) => log,
        Err(error) => return Outcome::failed(error),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.event_interval(EVENT_INTERVAL);
    if config.worker_threads > 0 {
        runtime.worker_threads(config.worker_threads);
    }
    let runtime = match runtime.enable_all().thread_name("certus").build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format_args!("no threads to run on ({error})")),
    };
    let outcome = runtime.block_on(serve(Start { args, config, clock, log, made }));
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

/// What a start has made ready.
struct Start<'a> {
    args: &'a settings::Args,
    config: Config,
    clock: Clock,
    log: LogControl,
    /// Files of the development PKI that are new.
    made: usize,
}

async fn serve(start: Start<'_>) -> Outcome {
    let mut events = match Events::new(&start.clock) {
        Ok(events) => events,
        Err(error) => return Outcome::failed(format_args!("signals cannot be heard ({error})")),
    };
    let admin = match admin(&start).await {
        Ok(admin) => admin,
        Err(outcome) => return outcome,
    };
    let broker = match broker::start(start.config.broker.clone(), start.clock.clone()) {
        Ok(broker) => broker,
        Err(error @ StartError::SlowStore(_)) => return Outcome::wrong(error),
        Err(error @ StartError::Bind { .. }) => {
            let file = start.args.sources();
            let key = "--listen-tls, --listen-plain, --listen-ws, --listen-wss and --listen-https, or [listeners] in";
            return Outcome::failed(format_args!("{error} ({key} {})", file.file().display()));
        }
        Err(error) => return Outcome::failed(error),
    };
    let token = match first_token(&broker).await {
        Ok(token) => token,
        Err(error) => return Outcome::failed(format_args!("the first administrator token: {error}")),
    };
    welcome(&start, &broker, admin.as_ref().map(Admin::address), token.as_ref().map(|token| token.as_str()));
    let answering = Tasks::new();
    if let Some(admin) = admin {
        admin.serve(broker.handle(), &answering);
    }
    api::serve(&broker.handle(), &answering);
    chores::keep(broker.handle(), start.config.notices.clone(), &answering);
    let mut lists = Lists::start(&broker.handle(), start.config.revocation_lists.clone());
    notify(&[NotifyState::Ready]);
    loop {
        match events.next().await {
            Event::Reload => reload(&start, &broker, &mut lists),
            Event::Clock => move_clock(&start.clock, &broker),
            Event::Stop => break,
        }
    }
    notify(&[NotifyState::Stopping]);
    lists.stop(LISTS_END).await;
    let outcome = stop(broker, &mut events).await;
    // Whoever watches the stop is answered until its end.
    answering.stop();
    let _ = answering.drained(Duration::from_secs(1)).await;
    outcome
}

async fn admin(start: &Start<'_>) -> Result<Option<Admin>, Outcome> {
    let Some(address) = start.config.admin else { return Ok(None) };
    Admin::bind(address).await.map(Some).map_err(|error| {
        let file = start.args.sources().file().display().to_string();
        Outcome::failed(format_args!(
            "admin: cannot listen on {address}: {error}; choose another address, or \"off\" \
             (--listen-admin, or listeners.admin in {file})"
        ))
    })
}

/// A token for whoever runs a broker that nobody can log in to yet. It is told
/// once, on standard output, and never logged.
async fn first_token(broker: &Broker) -> Result<Option<Zeroizing<String>>, Fault> {
    let handle = broker.handle();
    let authority = handle.authority();
    if handle.https().is_none() || !authority.is_unclaimed() {
        return Ok(None);
    }
    let new = NewToken { name: "first start".to_owned(), scopes: vec!["admin".to_owned()], lasts: None };
    Ok(Some(authority.create_token(&Caller::broker(), "", new).await?.secret))
}

fn welcome(start: &Start<'_>, broker: &Broker, admin: Option<SocketAddr>, token: Option<&str>) {
    let listening = broker.handle().listening();
    let trusted = trusted(&start.config.broker.tenants, start.clock.wall()).unwrap_or_default();
    let config = &start.config;
    let welcome = Welcome { config, listening: &listening, admin, trusted: &trusted, made: start.made, token };
    say(welcome.text());
    say("\nready");
}

/// A certificate may have ended by a time that a test moved.
fn move_clock(clock: &Clock, broker: &Broker) {
    match clock.reread() {
        Ok(false) => {}
        Ok(true) => broker.handle().recheck(),
        Err(error) => tracing::warn!(%error, "the test clock was not read"),
    }
}

/// Reads the configuration again and hands it over whole.
fn reload(start: &Start<'_>, broker: &Broker, lists: &mut Lists) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    move_clock(&start.clock, broker);
    // Nothing is made by a reload.
    match load(&start.args.sources(), |_| Ok(Vec::new())) {
        Ok(config) => match broker.handle().reload(&config.broker) {
            Ok(()) => {
                start.log.set_level(&config.log_level);
                tracing::info!("the configuration was reloaded");
                later(&start.config, &config);
                lists.renew(config.revocation_lists);
            }
            Err(error) => tracing::error!(%error, "the reload was refused; nothing has changed"),
        },
        Err(problems) => {
            for problem in &problems.0 {
                tracing::error!(%problem, "the reload was refused; nothing has changed");
            }
        }
    }
    notify(&[NotifyState::Ready]);
}

/// Whether HTTPS would be listened for as it is.
fn is_place_kept(old: &Config, new: &Config) -> bool {
    match (&old.broker.https, &new.broker.https) {
        (Some(old), Some(new)) => old.listens_like(new),
        (old, new) => old.is_none() == new.is_none(),
    }
}

/// Names what the new configuration changes that only a start can change.
fn later(old: &Config, new: &Config) {
    let changes = [
        ("worker_threads", old.worker_threads != new.worker_threads),
        ("sealing_key_file", old.broker.sealing_key_file != new.broker.sealing_key_file),
        ("log.format", old.log_format != new.log_format),
        ("test_clock", old.test_clock != new.test_clock),
        ("mail and webhook", old.notices != new.notices),
        ("state_dir", old.state_dir != new.state_dir),
        ("listeners.admin", old.admin != new.admin),
        ("listeners", old.broker.listeners != new.broker.listeners),
        ("listeners.https", !is_place_kept(old, new)),
        ("queues", old.broker.delivery != new.broker.delivery),
        ("storage.slow_store", old.broker.slow_store != new.broker.slow_store),
    ];
    for (key, _) in changes.iter().filter(|(_, has_changed)| *has_changed) {
        tracing::warn!(key, "this change takes effect at the next start");
    }
}

/// Stops in order; a second signal ends the process at once.
async fn stop(broker: Broker, events: &mut Events) -> Outcome {
    tracing::info!("stopping");
    let insisted = async { while !matches!(events.next().await, Event::Stop) {} };
    tokio::select! {
        left = broker.stop(TIME_TO_STOP) => {
            if let Some(left) = left {
                tracing::warn!("{left}");
            }
            Outcome::Done
        }
        () = insisted => {
            complain("stopped at once by a second signal");
            Outcome::Failed(String::new())
        }
    }
}

/// The service manager is told, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

enum Event {
    Reload,
    Clock,
    Stop,
}

/// What the main task waits for.
struct Events {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Only where a test moves the clock.
    clock: Option<Interval>,
}

impl Events {
    fn new(clock: &Clock) -> std::io::Result<Self> {
        let ticks = || {
            let mut ticks = interval(CLOCK_STEP);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            clock: clock.is_moved_by_file().then(ticks),
        })
    }

    async fn next(&mut self) -> Event {
        let tick = async {
            match &mut self.clock {
                Some(ticks) => _ = ticks.tick().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Event::Stop,
            _ = self.terminate.recv() => Event::Stop,
            _ = self.hangup.recv() => Event::Reload,
            () = tick => Event::Clock,
        }
    }
}
