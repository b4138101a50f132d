//! Who takes part: clients, their topics and filters, and how they reach the broker.
//!
//! What lives here: the shapes as plain data, and connecting many clients at once. What does not:
//! what they do then. Invariant: every client has a ClientId, a certificate and a source of its own.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::args::{Args, Shape};
use super::credentials::{Credentials, Identity, Mint, Trust};
use super::dial::{self, Caller, Link, Target};
use super::error::Error;
use super::limits;
use super::null::Child;
use super::process::Process;
use super::watch;
use crate::clock::Clock;
use crate::mqtt::Qos;
use crate::shutdown::Tasks;

/// Everything around the clients.
pub struct Field {
    /// What was asked for.
    pub args: Args,
    /// Measures time.
    pub clock: Clock,
    /// The broker.
    pub target: Target,
    /// The broker's process, if it is to be measured.
    pub watched: Option<Process>,
    /// This process.
    pub own: Process,
    tls: Option<(Credentials, Option<Mint>)>,
}

impl Field {
    /// Reads the certificates and finds the address.
    ///
    /// # Errors
    /// A file is missing or wrong, or the host is unknown.
    pub async fn new(args: &Args, clock: &Clock, null: Option<&Child>) -> Result<Self, Error> {
        let port = null.map_or(args.port(), |child| child.port);
        let trust =
            if args.reach.insecure || args.null { Trust::Anyone } else { Trust::File(args.reach.cafile.clone()) };
        let tls = if args.plain {
            None
        } else {
            let mint = if args.reach.no_client_cert {
                None
            } else {
                Some(Mint::open(&args.reach.ca_cert, &args.reach.ca_key, args.key)?)
            };
            Some((Credentials::new(&trust, args.reach.tls)?, mint))
        };
        let target = dial::resolve(&args.reach.host, port, args.protocol).await?;
        let watched = null.map(|child| child.process()).or(args.reach.pid.map(Process));
        if let Some(process) = watched.filter(|process| process.cpu().is_none()) {
            return Err(Error::Usage(format!("--pid {}: there is no such process", process.0)));
        }
        let own = Process(std::process::id());
        limits::check(args, own, watched, dial::spread(&target, 0).is_some())?;
        Ok(Self { args: args.clone(), clock: clock.clone(), target, watched, own, tls })
    }

    /// One client, with a new certificate for its identifier.
    ///
    /// # Errors
    /// The CA cannot sign.
    pub fn caller(&self, role: &str, index: usize) -> Result<Caller, Error> {
        let client_id = format!("{}{role}{index}", self.args.reach.prefix);
        let tls = match &self.tls {
            None => None,
            Some((credentials, None)) => Some(credentials.client(Identity::Anonymous)?),
            Some((credentials, Some(mint))) => Some(credentials.client(mint.issue(&client_id)?)?),
        };
        let source = dial::spread(&self.target, index);
        Ok(Caller { client_id, tls, source, ..Caller::default() })
    }

    /// Callers `0..count` of one role.
    ///
    /// # Errors
    /// The CA cannot sign.
    pub fn callers(&self, role: &str, count: usize) -> Result<Vec<Caller>, Error> {
        (0..count).map(|index| self.caller(role, index)).collect()
    }

    /// Connects all callers, so many at once, and subscribes each to its filter if it has one.
    ///
    /// # Errors
    /// The first failure of any of them.
    pub async fn connect(&self, callers: Vec<Caller>, filters: Vec<String>, qos: Qos) -> Result<Vec<Link>, Error> {
        let line = Arc::new(Line::new(callers, filters, qos, self.target.clone()));
        let tasks = Tasks::new();
        for _ in 0..self.args.concurrency.max(1) {
            let line = Arc::clone(&line);
            tasks.spawn("dialling", async move { line.work().await });
        }
        let connected = || line.done.lock().unwrap_or_else(PoisonError::into_inner).links.len() as u64;
        watch::connecting(&tasks, self.args.json, line.callers.len(), connected).await?;
        line.take()
    }
}

/// Callers that wait to be connected.
struct Line {
    callers: Vec<Caller>,
    filters: Vec<String>,
    qos: Qos,
    target: Target,
    next: AtomicUsize,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    links: Vec<(usize, Link)>,
    failure: Option<Error>,
}

impl Line {
    fn new(callers: Vec<Caller>, filters: Vec<String>, qos: Qos, target: Target) -> Self {
        Self { callers, filters, qos, target, next: AtomicUsize::new(0), done: Mutex::default() }
    }

    async fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            let Some(caller) = self.callers.get(index) else { return };
            let answer = self.one(caller, index).await;
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(link) => done.links.push((index, link)),
                Err(error) => {
                    done.failure.get_or_insert(error);
                    self.next.store(self.callers.len(), Relaxed);
                }
            }
        }
    }

    async fn one(&self, caller: &Caller, index: usize) -> Result<Link, Error> {
        let mut link = dial::dial(&self.target, caller).await?;
        if let Some(filter) = self.filters.get(index) {
            link.subscribe(&[filter], self.qos).await?;
        }
        Ok(link)
    }

    fn take(&self) -> Result<Vec<Link>, Error> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = done.failure.take() {
            return Err(failure);
        }
        done.links.sort_by_key(|(index, _)| *index);
        Ok(std::mem::take(&mut done.links).into_iter().map(|(_, link)| link).collect())
    }
}

/// Topics by publisher, filters by subscriber, and deliveries each message causes.
pub struct Roles {
    /// Where each publisher publishes to.
    pub topics: Vec<String>,
    /// What each subscriber subscribes to.
    pub filters: Vec<String>,
    /// Deliveries of one message.
    pub fan: u64,
    /// Whether the subscribers share the messages.
    pub is_shared: bool,
}

impl Roles {
    /// The roles of a shape that sends messages.
    ///
    /// # Errors
    /// Numbers that do not go together.
    pub fn of(args: &Args) -> Result<Self, Error> {
        let (publishers, subscribers) = args.sides();
        if publishers == 0 || subscribers == 0 {
            return Err(Error::Usage("--publishers and --subscribers must be at least 1".into()));
        }
        let number = |index: u16| format!("b/{index}");
        let value = |index: u16| format!("b/{index}/v");
        let same = |text: &str, count: u16| vec![text.to_owned(); usize::from(count)];
        let all = u64::from(subscribers);
        let roles = |topics: Vec<String>, filters: Vec<String>, fan| Self { topics, filters, fan, is_shared: false };
        Ok(match args.shape {
            Shape::Pairs if subscribers % publishers != 0 => {
                let what = format!(
                    "pairs: {subscribers} subscribers cannot be dealt to {publishers} publishers; use a multiple"
                );
                return Err(Error::Usage(what));
            }
            Shape::Pairs => roles(
                (0..publishers).map(number).collect(),
                (0..subscribers).map(|index| number(index % publishers)).collect(),
                u64::from(subscribers / publishers),
            ),
            Shape::FanOut => roles(same("b/all", publishers), same("b/all", subscribers), all),
            Shape::Wildcard => roles((0..publishers).map(value).collect(), same("b/+/v", subscribers), all),
            Shape::Shared => {
                let topics = (0..publishers).map(number).collect();
                Self { is_shared: true, ..roles(topics, same("$share/bench/b/+", subscribers), 1) }
            }
            Shape::Slow | Shape::Queue => Self::dealt(publishers, subscribers)?,
            _ => roles((0..publishers).map(number).collect(), same("b/+", subscribers), all),
        })
    }

    /// The larger side is dealt evenly to the smaller one: each member of that one has a room of topics.
    fn dealt(publishers: u16, subscribers: u16) -> Result<Self, Error> {
        let (rooms, many) = (publishers.min(subscribers), publishers.max(subscribers));
        if many % rooms != 0 {
            let what = format!(
                "{publishers} publishers and {subscribers} subscribers cannot be dealt to each other; make one a multiple of the other"
            );
            return Err(Error::Usage(what));
        }
        Ok(Self {
            topics: (0..publishers).map(|index| format!("b/{}/{index}", index % rooms)).collect(),
            filters: (0..subscribers).map(|index| format!("b/{}/+", index % rooms)).collect(),
            fan: u64::from(subscribers / rooms),
            is_shared: false,
        })
    }

    /// Whether `subscriber` gets what `publisher` sends, shared or not.
    pub fn reaches(&self, publisher: usize, subscriber: usize) -> bool {
        let (topic, filter) = (self.topics.get(publisher), self.filters.get(subscriber));
        topic.zip(filter).is_some_and(|(topic, filter)| self.is_shared || crate::mqtt::matches(filter, topic))
    }
}
