//! A publisher at full speed, which remembers what it was promised.
//!
//! Invariant: after a kill one with a lasting session resumes as the standard
//! asks, so that all it has ever sent arrives; one without sends nothing again.

use std::collections::VecDeque;

use super::chance::Chance;
use super::ledger::Track;
use super::wire::{Hello, Link, Message, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Trouble, broken};

/// Messages in flight.
const WINDOW: usize = 20;

struct Flight {
    id: u16,
    track: usize,
    number: u64,
    /// PUBREC came.
    received: bool,
    /// It was in flight at a kill.
    resumed: bool,
}

pub struct Publisher {
    name: String,
    v5: bool,
    pub lasting: bool,
    /// CONNACK came once, so there is a session.
    known: bool,
    pub tracks: Vec<Track>,
    flights: VecDeque<Flight>,
    last_id: u16,
    padding: u64,
    chance: Chance,
}

impl Publisher {
    pub fn new(name: &str, chance: &mut Chance) -> Self {
        let mut tracks = Vec::new();
        for qos in [1, 2] {
            tracks.extend((0..2).map(|place| Track::new(format!("t/{name}/{qos}-{place}"), qos, false)));
            tracks.push(Track::new(format!("t/{name}/{qos}-kept"), qos, true));
            tracks.push(Track::new(format!("c/{name}/{qos}"), qos, true));
        }
        Self {
            name: name.to_owned(),
            v5: chance.once_in(2),
            lasting: !chance.once_in(3),
            known: false,
            tracks,
            flights: VecDeque::new(),
            last_id: 0,
            padding: [8, 256, 2000][chance.below(3) as usize],
            chance: chance.fork(),
        }
    }

    /// What is sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Resumes, publishes `count` messages and waits for every acknowledgement.
    pub fn publish(&mut self, port: u16, mut count: u64) -> Result<(), Trouble> {
        let mut link = self.resume(port)?;
        loop {
            while count > 0 && self.flights.len() < WINDOW {
                self.send(&mut link);
                count -= 1;
            }
            if self.flights.is_empty() {
                link.disconnect();
                return Ok(());
            }
            let packet = link.next()?;
            self.take(&mut link, packet)?;
        }
    }

    fn resume(&mut self, port: u16) -> Result<Link, Trouble> {
        if !self.lasting {
            for flight in self.flights.drain(..).filter(|flight| !flight.received) {
                let _ = self.tracks[flight.track].open.insert(flight.number);
            }
        }
        let hello = Hello { id: &self.name, v5: self.v5, lasting: self.lasting, will: None };
        let (mut link, present) = Link::open(port, &hello)?;
        if self.lasting && self.known && !present {
            return broken(format!("{}: the session of a publisher is gone", self.name));
        }
        self.known = true;
        for at in 0..self.flights.len() {
            self.flights[at].resumed = true;
            if self.flights[at].received {
                link.acknowledge(PUBREL, self.flights[at].id);
            } else {
                let (track, number) = (self.flights[at].track, self.flights[at].number);
                let _ = self.tracks[track].resent.insert(number);
                link.publish(&self.message(&self.flights[at], true));
            }
        }
        Ok(link)
    }

    fn message(&self, flight: &Flight, dup: bool) -> Message {
        let Track { topic, qos, retain, .. } = &self.tracks[flight.track];
        // On topics below c/ every second message clears what is retained.
        let payload = match (topic.starts_with("c/"), flight.number % 2) {
            (true, 0) => Vec::new(),
            _ => format!("{} {}", flight.number, "x".repeat((flight.number % self.padding) as usize)).into_bytes(),
        };
        Message { topic: topic.clone(), payload, qos: *qos, dup, retain: *retain, id: flight.id }
    }

    fn send(&mut self, link: &mut Link) {
        let track = self.chance.below(self.tracks.len() as u64) as usize;
        let number = self.tracks[track].begin();
        let flight = Flight { id: self.free_id(), track, number, received: false, resumed: false };
        link.publish(&self.message(&flight, false));
        self.flights.push_back(flight);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && self.flights.iter().all(|flight| flight.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn take(&mut self, link: &mut Link, packet: Packet) -> Result<(), Trouble> {
        let Packet::Ack { kind, id, reason } = packet else {
            return broken(format!("{}: {packet:?}", self.name));
        };
        // That of 5.0 to PUBREL which came again: the broker has forgotten it, PUBCOMP was lost with the broker.
        let forgotten = kind == PUBCOMP && reason == 0x92;
        if reason >= 0x80 && !forgotten {
            return broken(format!("{}: packet {id} was refused with {reason:#x} ({kind})", self.name));
        }
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else {
            return broken(format!("{}: acknowledgement {kind} of packet {id}, which is not in flight", self.name));
        };
        let flight = &mut self.flights[at];
        if forgotten && !flight.resumed {
            return broken(format!("{}: PUBREL of packet {id}, sent once, is answered by 0x92", self.name));
        }
        let track = &mut self.tracks[flight.track];
        match (kind, track.qos, flight.received) {
            (PUBACK, 1, _) => {
                track.acknowledge(flight.number);
                let _ = self.flights.remove(at);
            }
            (PUBREC, 2, false) => {
                track.acknowledge(flight.number);
                flight.received = true;
                link.acknowledge(PUBREL, id);
            }
            (PUBCOMP, 2, true) => {
                let _ = self.flights.remove(at);
            }
            _ => return broken(format!("{}: acknowledgement {kind} of packet {id} is out of place", self.name)),
        }
        Ok(())
    }
}
