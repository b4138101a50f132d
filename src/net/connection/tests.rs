//! The driver dropped at each Pending of a conversation.
//!
//! What lives here: two clients that are played with, and what must hold
//! wherever one of them lost its driver. What does not: the node (`scene`), how
//! clients behave (`tests/sim/client.rs`). Invariant: one
//! thread does everything, so that a run depends on the sockets alone.

#[path = "../../../tests/sim/client.rs"]
#[allow(dead_code)]
mod client;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::codec::{self, ConnAck, Connect, Packet, PropertiesBuf, Subscribe};
use crate::mqtt::{Qos, SubscriptionOptions, TopicFilter, Version};

use super::Connection;
use client::{Message, Publisher, Subscriber};
use scene::{RETAINED, Scene, count, filters};

/// Bytes that a client sends at a time: most packets come in pieces.
const MOUTHFUL: usize = 16;
/// More Pendings than the conversation ever has.
const MOST: usize = 600;
/// Reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// An idle connection is mostly this and its TLS state.
#[test]
fn the_driver_fits_in_a_kibibyte() {
    let size = size_of::<Connection>();
    assert!(size <= 1024, "{size} bytes");
}

impl Scene {
    /// Lets everybody move until `is_over`.
    async fn play(&self, clients: &mut [Client], mut is_over: impl FnMut(&mut [Client]) -> bool) {
        let end = self.node.clock.now() + PATIENCE;
        while !is_over(clients) {
            assert!(self.node.clock.now() < end, "nothing moves: {clients:?}");
            for client in &mut *clients {
                client.step(self).await;
            }
            if let Some(slow) = &self.slow {
                slow.step(1);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A client with a session that lasts, and that comes back.
#[derive(Debug)]
struct Client {
    name: &'static str,
    fated: bool,
    filters: Vec<TopicFilter>,
    publisher: Publisher,
    subscriber: Subscriber,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    out: Vec<u8>,
    /// CONNACK came once: the session is there.
    known: bool,
    subscribed: bool,
    may_publish: bool,
    /// It wants two answers to two pings, one after the other: what is sent
    /// twice comes before the second.
    asks: bool,
    pongs: usize,
    /// Its next connection is its last, and ends the session.
    leaves: bool,
    gone: bool,
}

impl Client {
    fn new(name: &'static str, numbers: &[u8], rest: Option<&str>, messages: &[Message]) -> Self {
        let mut filters = filters(numbers);
        filters.extend(rest.map(|filter| TopicFilter::new(filter).unwrap()));
        Self {
            name,
            fated: false,
            filters,
            publisher: Publisher::new(Version::V5, 4, messages.to_vec()),
            subscriber: Subscriber::new(Version::V5),
            stream: None,
            input: Vec::new(),
            out: Vec::new(),
            known: false,
            subscribed: false,
            may_publish: false,
            asks: false,
            pongs: 0,
            leaves: false,
            gone: false,
        }
    }

    async fn step(&mut self, scene: &Scene) {
        if self.stream.is_none() && !self.gone {
            self.stream = Some(scene.dial(self.fated).await);
            (self.input, self.out) = (Vec::new(), self.connect());
        }
        let Some(stream) = &self.stream else { return };
        let mut buffer = [0; 4096];
        loop {
            match stream.try_read(&mut buffer) {
                Ok(count) if count > 0 => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    self.stream = None;
                    break;
                }
            }
        }
        while let Some(frame) = codec::peek(&self.input, usize::MAX).unwrap() {
            let frame: Vec<u8> = self.input.drain(..frame.len).collect();
            self.receive(&frame);
        }
        if self.subscribed && self.may_publish {
            self.publisher.send_all(&mut self.out);
        }
        if let Some(Ok(count)) =
            self.stream.as_ref().map(|stream| stream.try_write(&self.out[..self.out.len().min(MOUTHFUL)]))
        {
            self.out.drain(..count);
        }
        self.stream.take_if(|_| self.gone && self.out.is_empty());
    }

    fn connect(&self) -> Vec<u8> {
        let mut properties = PropertiesBuf::new();
        properties.session_expiry(if self.leaves { 0 } else { u32::MAX });
        let connect = Connect {
            version: Version::V5,
            bridge: false,
            clean_start: self.leaves,
            keep_alive: 0,
            properties: properties.as_properties(),
            client_id: self.name,
            will: None,
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        bytes
    }

    fn receive(&mut self, bytes: &[u8]) {
        let frame = codec::peek(bytes, usize::MAX).unwrap().unwrap();
        match frame.first >> 4 {
            2 => self.begin(&ConnAck::decode(&frame, Version::V5).unwrap()),
            3 | 6 => self.subscriber.receive(bytes, &mut self.out),
            4 | 5 | 7 => self.publisher.receive(bytes, &mut self.out),
            9 => {
                self.subscribed = true;
                self.publisher.resume(&mut self.out);
            }
            13 => {
                self.pongs += 1;
                if self.pongs == 1 {
                    Packet::PingReq.encode(Version::V5, &mut self.out);
                }
            }
            14 => {}
            other => panic!("a packet of type {other} for {}", self.name),
        }
    }

    fn begin(&mut self, connack: &ConnAck<'_>) {
        assert!(!connack.reason.is_error(), "{connack:?}");
        if self.leaves {
            self.gone = true;
            return self.out.extend_from_slice(&[0xE0, 0]);
        }
        assert!(connack.session_present || !self.known, "a session that was acknowledged is gone");
        self.known = true;
        self.subscriber.resume();
        if self.asks {
            self.ask();
        }
        if self.subscribed {
            return self.publisher.resume(&mut self.out);
        }
        let options = SubscriptionOptions::of_qos(Qos::ExactlyOnce);
        let filters: Vec<_> =
            self.filters.iter().map(|filter| codec::Subscription { filter: filter.as_str(), options }).collect();
        let (packet_id, properties) = (NonZeroU16::new(999).unwrap(), codec::Properties::EMPTY);
        Subscribe { packet_id, properties, filters: filters.as_slice().into() }.encode(Version::V5, &mut self.out);
    }

    fn ask(&mut self) {
        (self.asks, self.pongs) = (true, 0);
        Packet::PingReq.encode(Version::V5, &mut self.out);
    }

    /// How many different messages came that may not be lost.
    fn kept(&self) -> usize {
        let kept = self.subscriber.given.iter().filter(|(topic, _)| qos_of(topic) > Qos::AtMostOnce);
        kept.collect::<BTreeSet<_>>().len()
    }
}

/// So many messages of each topic in turn; a topic has one quality of service.
fn messages(topics: &[u8], rounds: usize) -> Vec<Message> {
    let message = |topic: &u8| Message { topic: *topic, qos: qos_of(&client::topic(*topic)), padding: 3 };
    (0..rounds).flat_map(|_| topics.iter().map(message)).collect()
}

fn qos_of(topic: &str) -> Qos {
    match topic {
        "topic/0" | "topic/5" => Qos::AtMostOnce,
        "topic/2" | "topic/4" | "topic/7" => Qos::ExactlyOnce,
        _ => Qos::AtLeastOnce,
    }
}

/// Each message came as often as its quality of service says, in order.
fn judge(who: &str, sent: &[Message], topics: &[u8], got: &BTreeMap<(String, usize), usize>) {
    for (number, message) in sent.iter().enumerate().filter(|(_, message)| topics.contains(&message.topic)) {
        let times = got.get(&(client::topic(message.topic), number)).copied().unwrap_or(0);
        let right = match message.qos {
            Qos::AtMostOnce => times <= 1,
            Qos::AtLeastOnce => times >= 1,
            Qos::ExactlyOnce => times == 1,
        };
        assert!(right, "{who} got message {number}, {message:?}, {times} times");
    }
}

fn assert_ordered(given: &[(String, usize)]) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (topic, number) in given {
        if seen.insert((topic, number))
            && let Some(last) = last.insert(topic, *number)
        {
            assert!(last < *number, "{topic}: {number} came first behind {last}");
        }
    }
}

/// The conversation with the driver of one client dropped at this Pending.
/// Answers whether it came to that.
async fn converse(at: usize, lags: bool) -> bool {
    let scene = Scene::new(lags).await;
    let charged = scene.node.budget.used();
    scene.fate.left.store(at, Ordering::Relaxed);
    let (said, heard) = (messages(&[0, 1, 2, 3, 4], 2), messages(&[5, 6, 7], 3));
    let mut clients = [
        Client::new("other", &[0, 1, 2, 3, 4], None, &heard),
        Client::new("subject", &[5, 6, 7], Some("topic/9/#"), &said),
    ];
    clients[1].fated = true;
    scene.play(&mut clients[..1], |clients| clients[0].subscribed).await;
    clients[1].may_publish = true;
    let expected = [8, 6 + RETAINED as usize];
    scene
        .play(&mut clients, |clients| {
            clients[0].may_publish = clients[1].subscribed;
            let is_done =
                |client: &Client| client.publisher.is_done() && client.kept() == expected[usize::from(client.fated)];
            clients.iter().all(is_done)
        })
        .await;
    clients.iter_mut().for_each(Client::ask);
    scene.play(&mut clients, |clients| clients.iter().all(|client| client.pongs == 2)).await;
    let [other, subject] = &clients;
    judge("other", &said, &[0, 1, 2, 3, 4], &count(other.subscriber.given.iter().cloned()));
    judge("subject", &heard, &[5, 6, 7], &count(subject.subscriber.given.iter().cloned()));
    assert_ordered(&other.subscriber.given);
    let left = scene.left_for(&scene.wide[0]);
    judge("one who was away", &said, &[3, 4], &left);
    assert!(scene.wide.iter().all(|mailbox| scene.left_for(mailbox) == left), "a fan-out reaches all or none");
    let dropped = scene.fate.left.load(Ordering::Relaxed) == 0;
    assert!(!dropped || scene.fate.rests.load(Ordering::Relaxed), "the session has an owner that is gone");
    for client in &mut clients {
        (client.leaves, client.fated, client.stream) = (true, false, None);
    }
    let live = Arc::clone(&scene.node.live);
    scene.play(&mut clients, |clients| clients.iter().all(|client| client.gone) && live.is_empty()).await;
    scene.assert_empty(charged);
    dropped
}

fn at_every_pending(lags: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dropped = (1..MOST).take_while(|at| {
        println!("dropped at Pending {at}");
        runtime.block_on(converse(*at, lags))
    });
    let dropped = dropped.count();
    assert!((20..MOST - 1).contains(&dropped), "{dropped} Pendings");
}

#[test]
fn a_driver_dropped_at_any_pending_loses_nothing() {
    at_every_pending(false);
}

/// The same where answers and QoS 2 wait for the disk.
#[test]
fn a_driver_dropped_while_it_waits_for_the_disk_loses_nothing() {
    at_every_pending(true);
}
