//! A client that does what the test says, right or wrong, and nothing else.
//!
//! What lives here: CONNECT and its answer (`Dial`), a connection that sends
//! packets and expects packets (`Client`). What does not: acknowledgements of
//! its own accord. Invariant: whatever is expected comes within [`PATIENCE`],
//! or the test fails and says what came instead.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use certus::codec::{
    self, Ack, AckKind, ConnAck, Connect, Disconnect, Packet, Properties, PropertiesBuf, Subscribe, Unsubscribe, Will,
};
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, TopicName, Version};

/// Far longer than any answer takes.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A will, as CONNECT carries it.
pub struct LastWords {
    topic: &'static str,
    payload: &'static [u8],
    qos: Qos,
    retain: bool,
    properties: PropertiesBuf,
}

/// CONNECT in the making.
pub struct Dial {
    address: SocketAddr,
    client_id: String,
    version: Version,
    clean: bool,
    keep_alive: u16,
    properties: PropertiesBuf,
    will: Option<LastWords>,
}

impl Dial {
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        let properties = PropertiesBuf::new();
        let (version, client_id) = (Version::V5, client_id.to_owned());
        Self { address, client_id, version, clean: true, keep_alive: 0, properties, will: None }
    }

    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Clean Start 0.
    pub fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub fn with(mut self, add: impl FnOnce(&mut PropertiesBuf) -> &mut PropertiesBuf) -> Self {
        add(&mut self.properties);
        self
    }

    /// Clean Start 0, and a session that lasts.
    pub fn lasting(self) -> Self {
        let dial = self.resume();
        if dial.version.is_v5() { dial.with(|properties| properties.session_expiry(3600)) } else { dial }
    }

    pub fn will(mut self, topic: &'static str, payload: &'static [u8], qos: Qos) -> Self {
        self.will = Some(LastWords { topic, payload, qos, retain: false, properties: PropertiesBuf::new() });
        self
    }

    pub fn retained_will(mut self) -> Self {
        self.will.as_mut().unwrap().retain = true;
        self
    }

    pub fn will_with(mut self, add: impl FnOnce(&mut PropertiesBuf) -> &mut PropertiesBuf) -> Self {
        add(&mut self.will.as_mut().unwrap().properties);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let will = self.will.as_ref().map(|will| Will {
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.as_properties(),
            topic: TopicName::new(will.topic).unwrap(),
            payload: will.payload,
        });
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            properties: self.properties.as_properties(),
            client_id: &self.client_id,
            will,
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        bytes
    }

    /// Sends CONNECT and takes whatever CONNACK answers.
    pub fn call(self) -> Client {
        let bytes = self.bytes();
        let mut client = Client::raw(self.address, self.version);
        client.send_bytes(&bytes);
        client.connack = client.frame();
        client
    }

    /// Connects.
    pub fn open(self) -> Client {
        let client = self.call();
        assert_eq!(client.connack().reason, ReasonCode::Success, "{:?}", client.connack());
        client
    }

    /// Is refused, and disconnected.
    pub fn refused(self) -> ReasonCode {
        let mut client = self.call();
        let reason = client.connack().reason;
        assert!(reason.is_error(), "{:?}", client.connack());
        client.expect_end();
        reason
    }
}

/// A PUBLISH that came, or that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    pub id: u16,
    pub topic: String,
    pub payload: Vec<u8>,
    /// In wire form.
    pub properties: Vec<u8>,
}

impl Message {
    pub fn new(topic: &str, payload: &[u8], qos: Qos) -> Self {
        let (topic, payload) = (topic.to_owned(), payload.to_vec());
        Self { dup: false, qos, retain: false, id: 0, topic, payload, properties: Vec::new() }
    }

    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    pub fn with(mut self, add: impl FnOnce(&mut PropertiesBuf) -> &mut PropertiesBuf) -> Self {
        let mut properties = PropertiesBuf::new();
        add(&mut properties);
        self.properties.extend_from_slice(properties.as_properties().as_bytes());
        self
    }

    /// All properties, read back.
    pub fn read<T>(&self, read: impl FnOnce(Properties<'_>) -> T) -> T {
        let mut packet = Vec::new();
        self.encode(Version::V5, &mut packet);
        match Packet::decode(&codec::peek(&packet, usize::MAX).unwrap().unwrap(), Version::V5).unwrap() {
            Packet::Publish(publish) => read(publish.properties),
            other => panic!("{other:?}"),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// By hand, so that what is wrong can be written too.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        body.extend(u16::try_from(self.topic.len()).unwrap().to_be_bytes());
        body.extend(self.topic.as_bytes());
        if self.qos > Qos::AtMostOnce {
            body.extend(self.id.to_be_bytes());
        }
        if version.is_v5() {
            varint(self.properties.len(), &mut body);
            body.extend(&self.properties);
        }
        body.extend(&self.payload);
        out.push(0x30 | u8::from(self.dup) << 3 | self.qos.bits() << 1 | u8::from(self.retain));
        varint(body.len(), out);
        out.extend(body);
    }
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One connection.
pub struct Client {
    socket: TcpStream,
    version: Version,
    input: Vec<u8>,
    connack: Vec<u8>,
    last_id: u16,
    /// What the server's topic aliases stand for.
    aliases: HashMap<NonZeroU16, String>,
}

impl Client {
    /// A connection on which nothing was said.
    pub fn raw(address: SocketAddr, version: Version) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, version, input: Vec::new(), connack: Vec::new(), last_id: 0, aliases: HashMap::new() }
    }

    pub fn connack(&self) -> ConnAck<'_> {
        ConnAck::decode(&codec::peek(&self.connack, usize::MAX).unwrap().unwrap(), self.version).unwrap()
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.send_bytes(&bytes);
    }

    /// Sends PUBLISH and waits for nothing; gives its identifier.
    pub fn send_message(&mut self, message: &Message) -> u16 {
        let mut message = message.clone();
        if message.qos > Qos::AtMostOnce && message.id == 0 {
            message.id = self.next_id();
        }
        let mut bytes = Vec::new();
        message.encode(self.version, &mut bytes);
        self.send_bytes(&bytes);
        message.id
    }

    fn next_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    /// Publishes and finishes what its QoS asks for; gives the first answer's
    /// reason code.
    pub fn publish(&mut self, message: &Message) -> ReasonCode {
        let id = self.send_message(message);
        match message.qos {
            Qos::AtMostOnce => {
                // What comes behind it is answered when it was routed.
                self.send(&Packet::PingReq);
                self.expect_pong();
                ReasonCode::Success
            }
            Qos::AtLeastOnce => self.expect_ack(AckKind::PubAck, id),
            Qos::ExactlyOnce => {
                let reason = self.expect_ack(AckKind::PubRec, id);
                if !reason.is_error() {
                    self.acknowledge(AckKind::PubRel, id);
                    assert_eq!(self.expect_ack(AckKind::PubComp, id), ReasonCode::Success);
                }
                reason
            }
        }
    }

    pub fn acknowledge(&mut self, kind: AckKind, id: u16) {
        self.acknowledge_with(kind, id, ReasonCode::Success);
    }

    pub fn acknowledge_with(&mut self, kind: AckKind, id: u16, reason: ReasonCode) {
        self.send(&Packet::Ack(Ack::new(kind, NonZeroU16::new(id).unwrap(), reason)));
    }

    /// Subscribes to one filter with its QoS, which must be granted.
    pub fn subscribe(&mut self, filter: &str, qos: Qos) {
        let codes = self.subscribe_all(&[(filter, SubscriptionOptions::of_qos(qos))], None);
        assert_eq!(codes, [ReasonCode::granted(qos)], "{filter}");
    }

    /// Subscribes to one filter with options and an identifier.
    pub fn subscribe_with(&mut self, filter: &str, options: SubscriptionOptions, id: Option<u32>) {
        let codes = self.subscribe_all(&[(filter, options)], id);
        assert_eq!(codes, [ReasonCode::granted(options.qos)], "{filter}");
    }

    /// Sends SUBSCRIBE and gives its packet identifier.
    pub fn send_subscribe(&mut self, filters: &[(&str, SubscriptionOptions)], id: Option<u32>) -> u16 {
        let mut properties = PropertiesBuf::new();
        if let Some(id) = id {
            properties.subscription_id(id);
        }
        let packet_id = self.next_id();
        let filters: Vec<_> =
            filters.iter().map(|&(filter, options)| codec::Subscription { filter, options }).collect();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: NonZeroU16::new(packet_id).unwrap(),
            properties: properties.as_properties(),
            filters: filters.as_slice().into(),
        }));
        packet_id
    }

    /// Subscribes, and gives the codes of SUBACK.
    pub fn subscribe_all(&mut self, filters: &[(&str, SubscriptionOptions)], id: Option<u32>) -> Vec<ReasonCode> {
        let packet_id = self.send_subscribe(filters, id);
        self.expect_suback(packet_id)
    }

    pub fn expect_suback(&mut self, packet_id: u16) -> Vec<ReasonCode> {
        let frame = self.frame();
        match self.decode(&frame) {
            Packet::SubAck(suback) => {
                assert_eq!(suback.packet_id.get(), packet_id);
                suback.codes.iter().collect()
            }
            other => panic!("no SUBACK but {other:?}"),
        }
    }

    /// Ends subscriptions, and gives the codes of UNSUBACK.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<ReasonCode> {
        let packet_id = NonZeroU16::new(self.next_id()).unwrap();
        self.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties: Properties::EMPTY,
            filters: filters.into(),
        }));
        let frame = self.frame();
        match self.decode(&frame) {
            Packet::UnsubAck(unsuback) => {
                assert_eq!(unsuback.packet_id, packet_id);
                unsuback.codes.iter().collect()
            }
            other => panic!("no UNSUBACK but {other:?}"),
        }
    }

    /// DISCONNECT, and the end of the stream.
    pub fn disconnect(self) {
        self.disconnect_with(ReasonCode::Success, |properties| properties);
    }

    pub fn disconnect_with(mut self, reason: ReasonCode, add: impl FnOnce(&mut PropertiesBuf) -> &mut PropertiesBuf) {
        let mut properties = PropertiesBuf::new();
        add(&mut properties);
        self.send(&Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() }));
        self.expect_end();
    }

    /// Closes the stream without a word.
    pub fn vanish(self) {
        drop(self);
    }

    fn decode<'a>(&self, frame: &'a [u8]) -> Packet<'a> {
        Packet::decode(&codec::peek(frame, usize::MAX).unwrap().unwrap(), self.version).unwrap()
    }

    /// The next packet; `None` at the end of the stream.
    fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = codec::peek(&self.input, usize::MAX).unwrap() {
                let len = frame.len;
                return Some(self.input.drain(..len).collect());
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}; half a packet: {:?}", self.input),
            }
        }
    }

    pub fn frame(&mut self) -> Vec<u8> {
        self.read().expect("a packet, not the end of the stream")
    }

    /// Whether something came that was not read.
    pub fn has_input(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let seen = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        seen.is_ok()
    }

    /// The stream ends; nothing comes before.
    pub fn expect_end(&mut self) {
        let next = self.read();
        assert!(next.is_none(), "not the end but {:?}", self.decode(&next.unwrap()));
    }

    /// DISCONNECT with this reason code, then the end.
    pub fn expect_disconnect(&mut self, reason: ReasonCode) {
        let frame = self.frame();
        match self.decode(&frame) {
            Packet::Disconnect(disconnect) => {
                assert_eq!(disconnect.reason, reason);
                assert_eq!(disconnect.properties.session_expiry(), None, "[MQTT-3.14.2-2]");
            }
            other => panic!("no DISCONNECT but {other:?}"),
        }
        self.expect_end();
    }

    /// One of the four acknowledgements; gives its reason code.
    pub fn expect_ack(&mut self, kind: AckKind, id: u16) -> ReasonCode {
        let frame = self.frame();
        match self.decode(&frame) {
            Packet::Ack(ack) => {
                assert_eq!((ack.kind, ack.packet_id.get()), (kind, id));
                ack.reason
            }
            other => panic!("no {kind:?} but {other:?}"),
        }
    }

    pub fn expect_pong(&mut self) {
        let frame = self.frame();
        assert_eq!(self.decode(&frame), Packet::PingResp);
    }

    /// The next packet is PUBLISH. Nothing is answered.
    pub fn take(&mut self) -> Message {
        let frame = self.frame();
        self.message_in(&frame)
    }

    /// The message that a packet holds, by its alias too.
    pub fn message_in(&mut self, frame: &[u8]) -> Message {
        match self.decode(frame) {
            Packet::Publish(publish) => Message {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                id: publish.packet_id.map_or(0, NonZeroU16::get),
                topic: self.topic_of(&publish),
                payload: publish.payload.to_vec(),
                properties: publish.properties.as_bytes().to_vec(),
            },
            other => panic!("no PUBLISH but {other:?}"),
        }
    }

    fn topic_of(&mut self, publish: &codec::Publish<'_>) -> String {
        let named = publish.topic.map(|topic| topic.as_str().to_owned());
        let Some(alias) = publish.topic_alias else { return named.expect("a topic or an alias") };
        if let Some(topic) = named {
            self.aliases.insert(alias, topic);
        }
        self.aliases.get(&alias).expect("an alias that was announced").clone()
    }

    /// The next packet is PUBLISH, and all that its QoS asks for is done.
    pub fn receive(&mut self) -> Message {
        let message = self.take();
        self.finish(&message);
        message
    }

    /// Does all that the QoS of a message asks of its receiver.
    pub fn finish(&mut self, message: &Message) {
        match message.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.acknowledge(AckKind::PubAck, message.id),
            Qos::ExactlyOnce => {
                self.acknowledge(AckKind::PubRec, message.id);
                assert_eq!(self.expect_ack(AckKind::PubRel, message.id), ReasonCode::Success);
                self.acknowledge(AckKind::PubComp, message.id);
            }
        }
    }

    /// Nothing waits for us: of two pings, the first answer leaves in front of
    /// what waits, the second behind it.
    pub fn expect_nothing(&mut self) {
        for _ in 0..2 {
            self.send(&Packet::PingReq);
            self.expect_pong();
        }
    }
}
