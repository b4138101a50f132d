//! One life: a fresh directory, and kills in a row.
//!
//! Invariant: everything that is random about a life comes from its seed.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::broker::Broker;
use super::chance::Chance;
use super::ledger::Track;
use super::publisher::Publisher;
use super::retained;
use super::subscriber::{END, Goal, Subscriber};
use super::wills::Mortal;
use super::wire::{Hello, Link, Message, PUBACK, Packet, Trouble, broken};

/// More than a publisher can say before the kill.
const TALK: u64 = 20_000;

/// What a life will be like.
pub struct Plan {
    seed: u64,
    pub level: String,
    pub rounds: u64,
}

impl Plan {
    pub fn new(seed: u64, level: Option<&str>, most: u64) -> Self {
        let mut chance = Chance::new(seed);
        let drawn = if chance.once_in(2) { "fsync" } else { "os" };
        Self { seed, level: level.unwrap_or(drawn).to_owned(), rounds: (1 + chance.below(6)).min(most) }
    }
}

/// What happened.
#[derive(Default)]
pub struct Tally {
    pub kills: u64,
    pub acknowledged: u64,
    /// Unacknowledged in the moments of the kills.
    pub in_flight: u64,
    pub resent: u64,
    pub deliveries: u64,
    pub wills: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.in_flight += other.in_flight;
        self.resent += other.resent;
        self.deliveries += other.deliveries;
        self.wills += other.wills;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, acknowledged, in_flight, resent, deliveries, wills } = self;
        write!(f, "{kills} kills, {acknowledged} messages acknowledged, {in_flight} in flight at a kill, ")?;
        write!(f, "{resent} sent again, {deliveries} deliveries, {wills} wills")
    }
}

struct Cast {
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    mortals: Vec<Mortal>,
}

impl Cast {
    fn new(chance: &mut Chance) -> Self {
        let count = 2 + chance.below(7);
        let publishers: Vec<_> = (0..count).map(|n| Publisher::new(&format!("pub{n}"), chance)).collect();
        let wants = |n: u64| if n.is_multiple_of(2) { "t/#".to_owned() } else { format!("t/pub{}/+", n % count) };
        let subscribers =
            (0..2 + chance.below(5)).map(|n| Subscriber::new(&format!("sub{n}"), wants(n), chance)).collect();
        let mortals = (0..2).map(|n| Mortal::new(&format!("mortal{n}"), chance)).collect();
        Self { publishers, subscribers, mortals }
    }

    fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.publishers.iter().flat_map(|publisher| &publisher.tracks)
    }

    fn tally(&self, kills: u64, in_flight: u64) -> Tally {
        Tally {
            kills,
            in_flight,
            acknowledged: self.tracks().map(|track| track.sent - track.open.len() as u64).sum(),
            resent: self.tracks().map(|track| track.resent.len() as u64).sum(),
            deliveries: self.subscribers.iter().map(|subscriber| subscriber.deliveries).sum(),
            wills: self.mortals.iter().map(|mortal| mortal.track.acknowledged).sum(),
        }
    }
}

/// Plays a life through. What it leaves on disk is kept when it breaks.
pub fn play(binary: &Path, plan: &Plan) -> (Tally, Result<(), String>) {
    let home = tempfile::Builder::new().prefix("certus-crash-").tempdir().unwrap();
    let mut chance = Chance::new(plan.seed);
    let queue = [4, 100, 50_000][chance.below(3) as usize];
    let broker = Broker::new(binary, home.path(), &plan.level, queue, &mut chance);
    let cast = Cast::new(&mut chance);
    let mut life = Life { broker, cast, chance, kills: 0, in_flight: 0, settled: 0 };
    let end = life.rounds(plan.rounds);
    let tally = life.cast.tally(life.kills, life.in_flight);
    drop(life);
    let end = end.map_err(|why| format!("{why}\n{} holds the log and the state", home.keep().display()));
    (tally, end)
}

struct Life {
    broker: Broker,
    cast: Cast,
    chance: Chance,
    kills: u64,
    in_flight: u64,
    settled: u64,
}

impl Life {
    fn rounds(&mut self, rounds: u64) -> Result<(), String> {
        self.broker.start()?;
        let port = self.broker.port;
        for subscriber in &mut self.cast.subscribers {
            said(subscriber.enrol(port))?;
        }
        for round in 1..=rounds {
            self.kill_in_full_flight()?;
            self.broker.start()?;
            said(retained::check(port, self.cast.tracks()))?;
            // Otherwise the next kill finds what this one has left.
            if round == rounds || !self.chance.once_in(3) {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Everybody at once, and in the middle of it the kill.
    fn kill_in_full_flight(&mut self) -> Result<(), String> {
        let Self { broker, cast, chance, .. } = self;
        let port = broker.port;
        // Every so often the kill meets what comes back, not what flows.
        let wait = if chance.once_in(4) { chance.below(30) } else { 30 + chance.below(450) };
        let mut troubles = thread::scope(|scope| {
            let mut all = Vec::new();
            for mortal in &mut cast.mortals {
                all.push(scope.spawn(move || mortal.live(port)));
            }
            for subscriber in &mut cast.subscribers {
                // A third of them sleeps; a third falls silent.
                let (asleep, silent) = (chance.once_in(3), chance.once_in(2));
                let patience = if silent { chance.below(200) } else { u64::MAX };
                if !asleep {
                    all.push(scope.spawn(move || subscriber.listen(port, patience)));
                }
            }
            for publisher in &mut cast.publishers {
                all.push(scope.spawn(move || publisher.publish(port, TALK)));
            }
            thread::sleep(Duration::from_millis(wait));
            let killed = broker.kill().map_err(Trouble::Broken);
            let mut troubles: Vec<_> = all.into_iter().map(|client| client.join().unwrap()).collect();
            troubles.push(killed);
            troubles.into_iter().map(during_a_kill)
        });
        self.kills += 1;
        self.in_flight += self.cast.publishers.iter().map(|publisher| publisher.in_flight() as u64).sum::<u64>();
        troubles.find_map(Result::err).map_or(Ok(()), Err)
    }

    /// Everything that is open is brought to its end, and compared.
    fn settle(&mut self) -> Result<(), String> {
        let port = self.broker.port;
        self.settled += 1;
        let wills: Vec<_> = self.cast.mortals.iter().map(|mortal| mortal.track.clone()).collect();
        let goal = &Goal { round: self.settled, wills: &wills };
        let Cast { publishers, subscribers, .. } = &mut self.cast;
        let mut all = thread::scope(|scope| {
            let listening: Vec<_> =
                subscribers.iter_mut().map(|subscriber| scope.spawn(move || subscriber.drain(port, goal))).collect();
            let publishing: Vec<_> =
                publishers.iter_mut().map(|publisher| scope.spawn(move || publisher.publish(port, 5))).collect();
            let mut ends: Vec<_> = publishing.into_iter().map(|publisher| publisher.join().unwrap()).collect();
            ends.push(end_of_round(port, goal.round));
            ends.extend(listening.into_iter().map(|subscriber| subscriber.join().unwrap()));
            ends.into_iter().map(said)
        });
        all.find_map(Result::err).map_or(Ok(()), Err)?;
        for subscriber in &self.cast.subscribers {
            for track in self.cast.tracks().chain(&wills) {
                subscriber.verify(track)?;
            }
        }
        said(retained::check(port, self.cast.tracks()))
    }
}

/// Tells all subscribers that nothing comes behind.
fn end_of_round(port: u16, round: u64) -> Result<(), Trouble> {
    let (mut link, _) = Link::open(port, &Hello { id: "crier", v5: false, lasting: false, will: None })?;
    let payload = round.to_string().into_bytes();
    link.publish(&Message { topic: END.into(), payload, qos: 1, dup: false, retain: false, id: 1 });
    match link.next()? {
        Packet::Ack { kind: PUBACK, id: 1, .. } => Ok(()),
        other => broken(format!("the crier got {other:?}")),
    }
}

/// While nobody is killed, a connection that is gone is a defect too.
fn said(end: Result<(), Trouble>) -> Result<(), String> {
    end.map_err(|trouble| match trouble {
        Trouble::Gone => "a connection was closed by the broker, which was not killed".to_owned(),
        Trouble::Broken(what) => what,
    })
}

fn during_a_kill(end: Result<(), Trouble>) -> Result<(), String> {
    match end {
        Ok(()) | Err(Trouble::Gone) => Ok(()),
        Err(Trouble::Broken(what)) => Err(what),
    }
}
