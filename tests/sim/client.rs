//! The clients: what the standard asks of them, and nothing clever.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;

use certus::codec::{self, Ack, AckKind, Packet};
use certus::mqtt::{Qos, ReasonCode, TopicName, Version};

/// What is published: the number in the list is the message's name.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub topic: u8,
    pub qos: Qos,
    /// Bytes of payload behind the number.
    pub padding: u8,
}

pub fn topic(number: u8) -> String {
    format!("topic/{number}")
}

#[derive(Debug)]
struct Flight {
    packet_id: u16,
    message: usize,
    /// PUBREC came: PUBREL is what is sent again.
    released: bool,
}

/// Publishes a list, in order, with a window.
#[derive(Debug)]
pub struct Publisher {
    version: Version,
    window: usize,
    messages: Vec<Message>,
    next: usize,
    flights: VecDeque<Flight>,
    last_id: u16,
    input: Vec<u8>,
}

impl Publisher {
    pub fn new(version: Version, window: usize, messages: Vec<Message>) -> Self {
        Self { version, window, messages, next: 0, flights: VecDeque::new(), last_id: 0, input: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        self.next == self.messages.len() && self.flights.is_empty()
    }

    /// A new connection: everything unfinished again, in order [MQTT-4.4.0-1].
    pub fn resume(&mut self, out: &mut Vec<u8>) {
        self.input.clear();
        for flight in &self.flights {
            if flight.released {
                ack(AckKind::PubRel, flight.packet_id, self.version, out);
            } else {
                self.publish(flight.packet_id, flight.message, true, out);
            }
        }
    }

    /// Sends as many as the window takes.
    pub fn send_all(&mut self, out: &mut Vec<u8>) {
        while self.next < self.messages.len() && self.flights.len() < self.window {
            self.send(out);
        }
    }

    /// Sends the next message, if the window has room.
    pub fn send(&mut self, out: &mut Vec<u8>) {
        if self.next == self.messages.len() || self.flights.len() >= self.window {
            return;
        }
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            if self.flights.iter().all(|flight| flight.packet_id != self.last_id) {
                break;
            }
        }
        self.publish(self.last_id, self.next, false, out);
        if self.messages[self.next].qos > Qos::AtMostOnce {
            self.flights.push_back(Flight { packet_id: self.last_id, message: self.next, released: false });
        }
        self.next += 1;
    }

    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for Received { kind, packet_id, .. } in frames(&mut self.input, bytes, self.version) {
            let Some(at) = self.flights.iter().position(|flight| flight.packet_id == packet_id) else {
                assert_eq!(kind, Some(AckKind::PubRec), "an acknowledgement of nothing");
                ack(AckKind::PubRel, packet_id, self.version, out);
                continue;
            };
            match (kind, self.messages[self.flights[at].message].qos) {
                (Some(AckKind::PubAck), Qos::AtLeastOnce) => drop(self.flights.remove(at)),
                (Some(AckKind::PubRec), Qos::ExactlyOnce) => {
                    self.flights[at].released = true;
                    ack(AckKind::PubRel, packet_id, self.version, out);
                }
                (Some(AckKind::PubComp), Qos::ExactlyOnce) => {
                    assert!(self.flights[at].released, "PUBCOMP for what was not released");
                    self.flights.remove(at);
                }
                other => panic!("{other:?} for packet {packet_id}"),
            }
        }
    }

    fn publish(&self, packet_id: u16, number: usize, dup: bool, out: &mut Vec<u8>) {
        let message = self.messages[number];
        let text = topic(message.topic);
        let mut payload = u32::try_from(number).unwrap().to_be_bytes().to_vec();
        payload.resize(4 + usize::from(message.padding), 0xAA);
        let publish = codec::Outgoing {
            dup,
            qos: message.qos,
            retain: false,
            packet_id: NonZeroU16::new(packet_id).filter(|_| message.qos > Qos::AtMostOnce),
            topic: TopicName::new(&text).unwrap(),
            alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload: &payload,
        };
        codec::publish::encode(out, self.version, &publish);
    }
}

/// Receives, and remembers what it must.
#[derive(Debug)]
pub struct Subscriber {
    version: Version,
    /// Received and not released.
    held: BTreeSet<u16>,
    /// The numbers that the application was given, with their topics.
    pub given: Vec<(String, usize)>,
    /// Packets that were neither PUBLISH nor an acknowledgement.
    pub others: usize,
    input: Vec<u8>,
}

impl Subscriber {
    pub const fn new(version: Version) -> Self {
        Self { version, held: BTreeSet::new(), given: Vec::new(), others: 0, input: Vec::new() }
    }

    /// How many different messages came.
    pub fn distinct(&self) -> usize {
        self.given.iter().map(|(_, number)| number).collect::<BTreeSet<_>>().len()
    }

    /// A new connection. The broker resends what is unfinished.
    pub fn resume(&mut self) {
        self.input.clear();
    }

    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for Received { kind, packet_id, publish } in frames(&mut self.input, bytes, self.version) {
            match (kind, publish) {
                (Some(AckKind::PubRel), _) => {
                    self.held.remove(&packet_id);
                    ack(AckKind::PubComp, packet_id, self.version, out);
                }
                (None, Some((Qos::AtMostOnce, topic, number))) => self.given.push((topic, number)),
                (None, Some((qos, topic, number))) => {
                    let answer = if qos == Qos::ExactlyOnce { AckKind::PubRec } else { AckKind::PubAck };
                    if qos == Qos::AtLeastOnce || self.held.insert(packet_id) {
                        self.given.push((topic, number));
                    }
                    ack(answer, packet_id, self.version, out);
                }
                (None, None) => self.others += 1,
                other => panic!("{other:?} for packet {packet_id}"),
            }
        }
    }
}

struct Received {
    kind: Option<AckKind>,
    packet_id: u16,
    publish: Option<(Qos, String, usize)>,
}

/// The whole packets that `bytes` complete.
fn frames(input: &mut Vec<u8>, bytes: &[u8], version: Version) -> Vec<Received> {
    input.extend_from_slice(bytes);
    let mut received = Vec::new();
    while let Some(frame) = codec::peek(input, usize::MAX).unwrap() {
        received.push(match Packet::decode(&frame, version).unwrap() {
            Packet::Ack(ack) => Received { kind: Some(ack.kind), packet_id: ack.packet_id.get(), publish: None },
            Packet::Publish(publish) => {
                let number = u32::from_be_bytes(publish.payload[..4].try_into().unwrap()) as usize;
                let topic = publish.topic.unwrap().as_str().to_owned();
                let packet_id = publish.packet_id.map_or(0, NonZeroU16::get);
                Received { kind: None, packet_id, publish: Some((publish.qos, topic, number)) }
            }
            _ => Received { kind: None, packet_id: 0, publish: None },
        });
        let length = frame.len;
        input.drain(..length);
    }
    received
}

fn ack(kind: AckKind, packet_id: u16, version: Version, out: &mut Vec<u8>) {
    Ack::new(kind, NonZeroU16::new(packet_id).unwrap(), ReasonCode::Success).encode(version, out);
}
