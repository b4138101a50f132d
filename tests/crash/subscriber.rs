//! A subscriber that keeps its half of QoS 2 and checks what it gets: nothing
//! skipped that was promised, nothing of QoS 2 twice, every topic in order.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Chance;
use super::ledger::{Track, number};
use super::wire::{Hello, Link, Message, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Trouble, broken};

/// Where the end of a round is told.
pub const END: &str = "end";

/// What came on one topic.
#[derive(Default)]
struct Seen {
    last: u64,
    skipped: BTreeSet<u64>,
    /// Numbers that came again without DUP: the publisher sent them again, or it is a defect.
    repeated: BTreeSet<u64>,
}

/// When a subscriber has all of a round.
pub struct Goal<'a> {
    pub round: u64,
    /// Wills, which come by themselves and not before the round's end.
    pub wills: &'a [Track],
}

pub struct Subscriber {
    name: String,
    v5: bool,
    qos: u8,
    /// The publisher whose topics it wants, or all.
    wants: String,
    known: bool,
    seen: BTreeMap<String, Seen>,
    /// QoS 2: identifiers that were received and not released.
    held: BTreeSet<u16>,
    ended: u64,
    pub deliveries: u64,
}

impl Subscriber {
    pub fn new(name: &str, wants: String, chance: &mut Chance) -> Self {
        Self {
            name: name.to_owned(),
            v5: chance.once_in(2),
            qos: if chance.once_in(3) { 1 } else { 2 },
            wants,
            known: false,
            seen: BTreeMap::new(),
            held: BTreeSet::new(),
            ended: 0,
            deliveries: 0,
        }
    }

    fn open(&mut self, port: u16) -> Result<Link, Trouble> {
        let hello = Hello { id: &self.name, v5: self.v5, lasting: true, will: None };
        let (link, present) = Link::open(port, &hello)?;
        if self.known && !present {
            return broken(format!("{}: the session of a subscriber is gone", self.name));
        }
        self.known = true;
        Ok(link)
    }

    /// Makes the session and its subscriptions, and goes to sleep.
    pub fn enrol(&mut self, port: u16) -> Result<(), Trouble> {
        let mut link = self.open(port)?;
        link.subscribe(&[(&self.wants, self.qos), ("w/#", self.qos), (END, 1)]);
        match link.next()? {
            Packet::Suback(granted) if granted == [self.qos, self.qos, 1] => Ok(()),
            other => broken(format!("{}: SUBSCRIBE was answered by {other:?}", self.name)),
        }
    }

    /// Receives until the broker is killed. After `patience` messages it
    /// receives without a word.
    pub fn listen(&mut self, port: u16, patience: u64) -> Result<(), Trouble> {
        let mut link = self.open(port)?;
        let mut count = 0;
        loop {
            let packet = link.next()?;
            count += 1;
            self.take(&mut link, packet, count <= patience)?;
        }
    }

    /// Receives until it has everything, then sees that nothing else comes.
    pub fn drain(&mut self, port: u16, goal: &Goal) -> Result<(), Trouble> {
        let mut link = self.open(port)?;
        while self.ended < goal.round || !self.held.is_empty() || !self.has(goal.wills) {
            let packet = link.next().map_err(|trouble| self.still_waiting(trouble, goal))?;
            self.take(&mut link, packet, true)?;
        }
        link.ping();
        loop {
            match link.next()? {
                Packet::Pong => return Ok(()),
                packet => self.take(&mut link, packet, true)?,
            }
        }
    }

    fn has(&self, wills: &[Track]) -> bool {
        wills.iter().all(|will| self.last(&will.topic) >= will.due())
    }

    fn last(&self, topic: &str) -> u64 {
        self.seen.get(topic).map_or(0, |seen| seen.last)
    }

    fn still_waiting(&self, trouble: Trouble, goal: &Goal) -> Trouble {
        let Trouble::Broken(what) = trouble else { return trouble };
        let missing: Vec<_> =
            goal.wills.iter().filter(|will| self.last(&will.topic) < will.due()).map(|will| &will.topic).collect();
        let (name, ended, round) = (&self.name, self.ended, goal.round);
        Trouble::Broken(format!(
            "{name}: {what}; heard the end of round {ended} of {round}, held {:?}, wills missing {missing:?}",
            self.held
        ))
    }

    fn take(&mut self, link: &mut Link, packet: Packet, answer: bool) -> Result<(), Trouble> {
        match packet {
            Packet::Publish(message) => {
                self.deliveries += 1;
                let (qos, id) = (message.qos, message.id);
                // The same identifier before PUBREL is the same message, and is not looked at again.
                if qos != 2 || self.held.insert(id) {
                    self.read(&message)?;
                }
                if answer {
                    link.acknowledge(if qos == 2 { PUBREC } else { PUBACK }, id);
                }
                Ok(())
            }
            Packet::Ack { kind: PUBREL, id, .. } => {
                let _ = self.held.remove(&id);
                if answer {
                    link.acknowledge(PUBCOMP, id);
                }
                Ok(())
            }
            other => broken(format!("{}: {other:?}", self.name)),
        }
    }

    fn read(&mut self, message: &Message) -> Result<(), Trouble> {
        let Message { topic, qos, dup, .. } = message;
        let name = &self.name;
        let Some(number) = number(&message.payload) else {
            return broken(format!("{name}: {message:?} has no number"));
        };
        if message.retain {
            return broken(format!("{name}: {topic} {number} is said to be retained"));
        }
        if topic == END {
            self.ended = self.ended.max(number);
            return Ok(());
        }
        let seen = self.seen.entry(topic.clone()).or_default();
        if number > seen.last {
            seen.skipped.extend(seen.last + 1..number);
            seen.last = number;
        } else if seen.skipped.contains(&number) {
            return broken(format!("{name}: {topic} {number} came after {} (QoS {qos}, DUP {dup})", seen.last));
        } else if *qos == 2 {
            return broken(format!(
                "{name}: {topic} {number} came twice with QoS 2 (DUP {dup}, last was {})",
                seen.last
            ));
        } else if !dup {
            let _ = seen.repeated.insert(number);
        }
        Ok(())
    }

    /// What came against what was sent, once all is drained.
    pub fn verify(&self, track: &Track) -> Result<(), String> {
        let (name, topic) = (&self.name, &track.topic);
        if !self.wants_topic(topic) {
            return Ok(());
        }
        let nothing = Seen::default();
        let seen = self.seen.get(topic).unwrap_or(&nothing);
        if let Some(lost) = seen.skipped.difference(&track.open).next() {
            return Err(format!("{name}: {topic} {lost} is lost; {} came", seen.last));
        }
        if seen.last < track.due() {
            return Err(format!("{name}: {topic} is lost from {} to {}", seen.last + 1, track.due()));
        }
        if seen.last > track.sent {
            return Err(format!("{name}: {topic} {} was never sent", seen.last));
        }
        match seen.repeated.difference(&track.resent).next() {
            Some(twice) => Err(format!("{name}: {topic} {twice} came again without DUP, and nobody had sent it again")),
            None => Ok(()),
        }
    }

    fn wants_topic(&self, topic: &str) -> bool {
        topic.starts_with("w/") || topic.starts_with(self.wants.trim_end_matches(['#', '+']))
    }
}
