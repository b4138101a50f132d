//! The same two clients against a whole broker on loopback sockets.
//!
//! What lives here: clients whose connections end after a number of bytes that
//! a seed decides, in the middle of a packet as a rule. What does not: a broker
//! that is killed (`pair`). Invariant: which bytes are lost depends on the seed;
//! how tasks interleave does not, so a failure names the seed and may need
//! several runs.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use certus::broker::{self, Durability, ServerTls};
use certus::ca::{Wanted, ensure};
use certus::clock::Clock;
use certus::codec::{self, ConnAck, Connect, Packet, PropertiesBuf, Subscribe};
use certus::identity::switch::Profile;
use certus::identity::tenant::TenantSettings;
use certus::mqtt::{Qos, SubscriptionOptions, TenantId, Version};
use certus::net::ListenerSettings;
use certus::{delivery, net};
use tokio::runtime::{self, Runtime};

use crate::client::{Message, Publisher, Subscriber};
use crate::pair::verdict;

/// Longer than any of this takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    runtime: Runtime,
    broker: Option<broker::Broker>,
    address: SocketAddr,
    _files: tempfile::TempDir,
}

impl Running {
    fn start(slow_store: Option<&str>) -> Self {
        let files = tempfile::tempdir().unwrap();
        let wanted = Wanted { server: true, devices: false, server_names: &["localhost".to_owned()] };
        let clock = Clock::system();
        ensure(files.path(), &wanted, clock.wall()).unwrap();
        let tenant = TenantId::new("sim");
        let listener = ListenerSettings {
            name: "plain".into(),
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: false,
            websocket: None,
            proxies: Vec::new(),
            default_tenant: Some(tenant.clone()),
        };
        let settings = broker::Settings {
            listeners: vec![listener],
            server_tls: ServerTls {
                certificate: files.path().join("server.pem"),
                key: files.path().join("server.key"),
                ca: None,
            },
            net: net::Settings { max_inflight: 4, ..net::Settings::default() },
            delivery: delivery::Settings::default(),
            tenants: vec![TenantSettings::new(tenant, Profile::Open)],
            durability: Durability::Memory,
            sealing_key_file: None,
            slow_store: slow_store.map(str::to_owned),
            https: None,
        };
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let broker = broker::start(settings, clock).unwrap();
        drop(entered);
        let address = broker.handle().listening()[0].1;
        Self { runtime, broker: Some(broker), address, _files: files }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.stop(Duration::from_secs(5)));
        }
    }
}

/// A connection that ends after so many bytes in either direction.
struct Line {
    socket: TcpStream,
    writes: usize,
    reads: usize,
}

impl Line {
    /// Writes what may leave; an error when the line is lost.
    fn write(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let count = bytes.len().min(self.writes);
        self.socket.write_all(&bytes[..count])?;
        self.writes -= count;
        if count < bytes.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        bytes.clear();
        Ok(())
    }

    fn read<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let most = buffer.len().min(self.reads);
        if most == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = self.socket.read(&mut buffer[..most])?;
        self.reads -= count;
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(&buffer[..count]) }
    }
}

/// How a client comes back, again and again.
struct Caller {
    address: SocketAddr,
    version: Version,
    name: &'static str,
    random: u64,
    /// So many connections are lost; the next one is not.
    losses: usize,
}

impl Caller {
    fn random(&mut self, below: u64) -> usize {
        // xorshift64: uneven enough, and the same for the same seed.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below) as usize
    }

    /// Connects; the answer says whether the session was there.
    fn call(&mut self) -> (Line, bool) {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut properties = PropertiesBuf::new();
        if self.version.is_v5() {
            properties.session_expiry(u32::MAX);
        }
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: false,
            keep_alive: 0,
            properties: properties.as_properties(),
            client_id: self.name,
            will: None,
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        socket.write_all(&bytes).unwrap();
        let connack = read_packet(&mut socket);
        let frame = codec::peek(&connack, usize::MAX).unwrap().unwrap();
        let connack = ConnAck::decode(&frame, self.version).unwrap();
        assert!(!connack.reason.is_error(), "{connack:?}");
        let lost = self.losses > 0;
        self.losses = self.losses.saturating_sub(1);
        let mut budget = |below| if lost { 1 + self.random(below) } else { usize::MAX };
        let (writes, reads) = (budget(120), budget(120));
        (Line { socket, writes, reads }, connack.session_present)
    }

    /// Subscribes on a connection of its own.
    fn subscribe(&mut self) {
        let (mut line, _) = self.call();
        let options = SubscriptionOptions::of_qos(Qos::ExactlyOnce);
        let filters = [codec::Subscription { filter: "topic/#", options }];
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            properties: codec::Properties::EMPTY,
            filters: filters.as_slice().into(),
        };
        let mut bytes = Vec::new();
        subscribe.encode(self.version, &mut bytes);
        line.socket.write_all(&bytes).unwrap();
        let suback = read_packet(&mut line.socket);
        assert_eq!(suback.last(), Some(&2), "granted QoS 2: {suback:?}");
    }
}

/// One packet that comes alone, and whose length takes one byte.
fn read_packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut packet = vec![0; 2];
    socket.read_exact(&mut packet).unwrap();
    packet.resize(2 + usize::from(packet[1]), 0);
    socket.read_exact(&mut packet[2..]).unwrap();
    packet
}

/// Publishes until everything is acknowledged.
fn publish_all(caller: &mut Caller, publisher: &mut Publisher) {
    let mut first = true;
    while !publisher.is_done() {
        let (mut line, present) = caller.call();
        assert!(present || first, "the publisher's session is gone");
        first = false;
        let mut out = Vec::new();
        publisher.resume(&mut out);
        let mut buffer = [0; 512];
        let ended = loop {
            publisher.send_all(&mut out);
            let turn = line.write(&mut out).and_then(|()| line.read(&mut buffer));
            match turn {
                Ok(bytes) => publisher.receive(bytes, &mut out),
                Err(error) => break error,
            }
            if publisher.is_done() {
                let _ = line.write(&mut out);
                return;
            }
        };
        assert_ordered(&ended, caller, publisher);
    }
}

/// Receives until `expected` messages were seen, and then what was under way.
fn receive_all(caller: &mut Caller, subscriber: &mut Subscriber, expected: usize) {
    while subscriber.distinct() < expected || caller.losses > 0 {
        let (mut line, present) = caller.call();
        assert!(present, "the subscriber's session is gone");
        subscriber.resume();
        let (mut out, mut buffer) = (Vec::new(), [0; 512]);
        let ended = loop {
            if subscriber.distinct() >= expected {
                break io::ErrorKind::BrokenPipe.into();
            }
            let turn = line.read(&mut buffer).map(|bytes| subscriber.receive(bytes, &mut out));
            if let Err(error) = turn.and_then(|()| line.write(&mut out)) {
                break error;
            }
        };
        assert_ordered(&ended, caller, subscriber);
    }
    drain(caller, subscriber);
}

/// A last connection that loses nothing: what is resent comes before the
/// second answer to a ping.
fn drain(caller: &mut Caller, subscriber: &mut Subscriber) {
    let (mut line, _) = caller.call();
    subscriber.resume();
    let mut buffer = [0; 512];
    for ping in 1..=2 {
        let mut out = Vec::new();
        Packet::PingReq.encode(caller.version, &mut out);
        line.write(&mut out).unwrap();
        while subscriber.others < ping {
            let bytes = line.read(&mut buffer).unwrap();
            subscriber.receive(bytes, &mut out);
            line.write(&mut out).unwrap();
        }
    }
}

/// A time-out is not a loss that was ordered.
fn assert_ordered(error: &io::Error, caller: &Caller, client: &dyn Debug) {
    let Caller { name, losses, .. } = caller;
    assert!(
        error.kind() == io::ErrorKind::BrokenPipe,
        "the broker let the {name} down with {losses} losses to come: {error}; {client:?}"
    );
}

/// One publisher, one subscriber, and losses that `seed` decides.
fn run(slow_store: Option<&str>, seed: u64) {
    let running = Running::start(slow_store);
    let version = if seed.is_multiple_of(2) { Version::V4 } else { Version::V5 };
    let caller = |name, salt| {
        let random = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt;
        Caller { address: running.address, version, name, random, losses: 0 }
    };
    let (mut sender, mut receiver) = (caller("publisher", 1), caller("subscriber", 2));
    let messages: Vec<_> = (0..40)
        .map(|_| {
            let topic = u8::try_from(sender.random(4)).unwrap();
            let qos = if topic < 2 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            Message { topic, qos, padding: u8::try_from(sender.random(20)).unwrap() }
        })
        .collect();
    receiver.subscribe();
    (sender.losses, receiver.losses) = (12, 12);
    let mut publisher = Publisher::new(version, 4, messages.clone());
    let mut subscriber = Subscriber::new(version);
    println!("seed {seed}");
    thread::scope(|scope| {
        scope.spawn(|| publish_all(&mut sender, &mut publisher));
        scope.spawn(|| receive_all(&mut receiver, &mut subscriber, messages.len()));
    });
    if let Err(fault) = verdict(&publisher, &subscriber, &messages, Qos::ExactlyOnce) {
        panic!("seed {seed}: {fault}");
    }
}

/// [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.4.0-1] [MQTT-4.6.0-5]
#[test]
fn a_whole_broker_loses_nothing_with_its_connections() {
    for seed in 0..10 {
        run(None, seed);
    }
}

/// The same while every acknowledgement waits for a disk that lags.
#[test]
fn a_broker_whose_disk_lags_loses_nothing_with_its_connections() {
    for seed in 0..10 {
        run(Some("late:1ms"), seed);
    }
}
