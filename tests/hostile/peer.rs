//! A client that does exactly what it is told, however wrong that is.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certus::codec::{self, AckKind, Connect, Packet, PropertiesBuf, Subscribe, Will};
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, TopicName, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longer than anything here takes; reached only when something hangs.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What CONNECT says.
#[derive(Clone)]
pub struct Hello {
    pub id: String,
    pub version: Version,
    pub clean: bool,
    pub expiry: u32,
    pub receive_maximum: Option<u16>,
    pub keep_alive: u16,
    pub will: Option<(String, Qos)>,
}

impl Hello {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            version: Version::V5,
            clean: true,
            expiry: 0,
            receive_maximum: None,
            keep_alive: 0,
            will: None,
        }
    }

    pub fn v311(mut self) -> Self {
        self.version = Version::V4;
        self
    }

    /// A session that outlives its connection.
    pub fn lasting(mut self) -> Self {
        (self.clean, self.expiry) = (false, 3600);
        self
    }

    pub fn window(mut self, most: u16) -> Self {
        self.receive_maximum = Some(most);
        self
    }

    pub fn will(mut self, topic: &str, qos: Qos) -> Self {
        self.will = Some((topic.to_owned(), qos));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut properties = PropertiesBuf::new();
        if self.version.is_v5() {
            properties.session_expiry(self.expiry);
            if let Some(most) = self.receive_maximum {
                properties.receive_maximum(most);
            }
        }
        let will = self.will.as_ref().map(|(topic, qos)| Will {
            qos: *qos,
            retain: false,
            properties: codec::Properties::EMPTY,
            topic: TopicName::new(topic).unwrap(),
            payload: self.id.as_bytes(),
        });
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            properties: properties.as_properties(),
            client_id: &self.id,
            will,
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        bytes
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub qos: Qos,
    pub retain: bool,
    pub packet_id: u16,
    pub payload: Vec<u8>,
}

pub struct Peer {
    stream: Stream,
    version: Version,
    input: Vec<u8>,
    /// Whether CONNACK said that the session was there.
    pub present: bool,
}

impl Peer {
    /// A socket on which nothing was said.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { stream: Stream::Plain(socket), version: Version::V5, input: Vec::new(), present: false }
    }

    pub fn connect(address: SocketAddr, hello: &Hello) -> Self {
        let mut peer = Self::silent(address);
        let reason = peer.greet(hello);
        assert_eq!(reason, Some(ReasonCode::Success), "{}", hello.id);
        peer
    }

    /// With the certificate `name` of `files`, over TLS.
    pub fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>, hello: &Hello) -> Self {
        let mut peer = Self::over_tls(address, config);
        let reason = peer.greet(hello);
        assert_eq!(reason, Some(ReasonCode::Success), "{}", hello.id);
        peer
    }

    /// A TLS stream on which nothing was said.
    pub fn over_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let peer = Self::silent(address);
        let Stream::Plain(socket) = peer.stream else { unreachable!() };
        let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let stream = Stream::Tls(Box::new(StreamOwned::new(tls, socket)));
        Self { stream, version: Version::V5, input: Vec::new(), present: false }
    }

    /// Says CONNECT and gives the answer; nothing when the stream ended.
    pub fn greet(&mut self, hello: &Hello) -> Option<ReasonCode> {
        self.version = hello.version;
        self.send(&hello.bytes()).ok()?;
        let packet = self.packet()?;
        let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
        let Packet::ConnAck(connack) = Packet::decode(&frame, self.version).unwrap() else { panic!("{packet:?}") };
        self.present = connack.session_present;
        Some(connack.reason)
    }

    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    pub fn tls(&mut self) -> &mut StreamOwned<ClientConnection, TcpStream> {
        match &mut self.stream {
            Stream::Tls(stream) => stream,
            Stream::Plain(_) => panic!("no TLS here"),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Writes again and again until the socket takes no more for `time`, an
    /// error ends it, or `most` bytes have left. Gives what was written.
    pub fn flood(&mut self, bytes: &[u8], most: usize, time: Duration) -> usize {
        self.socket().set_write_timeout(Some(time)).unwrap();
        let mut written = 0;
        while written < most {
            let sent = match &mut self.stream {
                Stream::Plain(socket) => socket.write(bytes),
                Stream::Tls(stream) => stream.write(bytes),
            };
            match sent {
                // A packet that was cut is gone on with, so that all stay whole.
                Ok(count) if count < bytes.len() => match self.send(&bytes[count..]) {
                    Ok(()) => written += bytes.len(),
                    Err(_) => return written,
                },
                Ok(count) => written += count,
                Err(_) => return written,
            }
        }
        written
    }

    /// The next packet; nothing when the stream has ended.
    pub fn packet(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(frame) = codec::peek(&self.input, usize::MAX).unwrap() {
                let length = frame.len;
                return Some(self.input.drain(..length).collect());
            }
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(&mut buffer),
                Stream::Tls(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing came in time"),
                Err(_) => return None,
            }
        }
    }

    /// The next message, whatever stands before it. Nothing is acknowledged.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        self.try_message().expect("the stream ended")
    }

    pub fn try_message(&mut self) -> Option<Message> {
        loop {
            let packet = self.packet()?;
            let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
            if let Packet::Publish(publish) = Packet::decode(&frame, self.version).unwrap() {
                let packet_id = publish.packet_id.map_or(0, NonZeroU16::get);
                if publish.qos == Qos::AtLeastOnce {
                    let _ = self.send(&[0x40, 2, (packet_id >> 8) as u8, packet_id as u8]);
                }
                return Some(Message {
                    topic: publish.topic.unwrap().as_str().to_owned(),
                    qos: publish.qos,
                    retain: publish.retain,
                    packet_id,
                    payload: publish.payload.to_vec(),
                });
            }
        }
    }

    /// The next PUBACK, PUBREC, PUBREL or PUBCOMP.
    #[track_caller]
    pub fn acknowledgement(&mut self) -> (AckKind, ReasonCode) {
        loop {
            let packet = self.packet().expect("the stream ended");
            let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
            if let Packet::Ack(ack) = Packet::decode(&frame, self.version).unwrap() {
                return (ack.kind, ack.reason);
            }
        }
    }

    /// How the broker ends the connection: with which reason, if it says one.
    pub fn ending(&mut self) -> Option<ReasonCode> {
        while let Some(packet) = self.packet() {
            let frame = codec::peek(&packet, usize::MAX).unwrap().unwrap();
            if let Packet::Disconnect(disconnect) = Packet::decode(&frame, self.version).unwrap() {
                return Some(disconnect.reason);
            }
        }
        None
    }

    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.send(&subscribe(self.version, &[filter], qos)).unwrap();
        loop {
            let packet = self.packet().expect("the stream ended");
            if packet[0] == 0x90 {
                assert_eq!(packet.last(), Some(&qos.bits()), "granted: {packet:?}");
                return;
            }
        }
    }

    #[track_caller]
    pub fn publish(&mut self, topic: &str, qos: Qos, packet_id: u16, payload: &[u8]) {
        let bytes = publish(self.version, topic, qos, packet_id, payload);
        self.send(&bytes).unwrap();
    }

    /// A ping and its answer: everything before it was handled.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(&PING).unwrap();
        while self.packet().expect("the stream ended")[0] != 0xD0 {}
    }
}

pub const PING: [u8; 2] = [0xC0, 0];
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

pub fn subscribe(version: Version, filters: &[&str], qos: Qos) -> Vec<u8> {
    let options = SubscriptionOptions::of_qos(qos);
    let filters: Vec<_> = filters.iter().map(|filter| codec::Subscription { filter, options }).collect();
    let packet = Subscribe {
        packet_id: NonZeroU16::MIN,
        properties: codec::Properties::EMPTY,
        filters: filters.as_slice().into(),
    };
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

pub fn publish(version: Version, topic: &str, qos: Qos, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    shaped(version, topic, qos, packet_id, payload, false)
}

pub fn retained(version: Version, topic: &str, payload: &[u8]) -> Vec<u8> {
    shaped(version, topic, Qos::AtMostOnce, 0, payload, true)
}

fn shaped(version: Version, topic: &str, qos: Qos, packet_id: u16, payload: &[u8], retain: bool) -> Vec<u8> {
    let publish = codec::Outgoing {
        dup: false,
        qos,
        retain,
        packet_id: NonZeroU16::new(packet_id),
        topic: TopicName::new(topic).unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload,
    };
    let mut bytes = Vec::new();
    codec::publish::encode(&mut bytes, version, &publish);
    bytes
}

/// A TLS client with the certificate `name` of `files`.
pub fn device(files: &Path, name: &str, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.join("server-ca.pem")).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_file(files.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.join(format!("{name}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
