//! A small MQTT client, one packet at a time, for `certus pub` and `certus sub`.
//!
//! What lives here: its options (as mosquitto's clients name them), publishing with every QoS, and
//! receiving. What does not: the terminal (`control::cli`). Invariant: `publish` returns when the
//! broker has answered for the message, and a QoS 2 message is given out once.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::version;
use super::credentials::{Credentials, Identity, TlsVersion, Trust, common_name, identity_from};
use super::dial::{self, Caller, Link};
use super::error::Error;
use crate::codec::{Ack, AckKind, Outgoing, Packet, publish};
use crate::mqtt::{Qos, ReasonCode, TopicName, Version};

/// How to connect.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Options {
    /// The broker's name or address
    #[arg(long, short = 'h', default_value = "localhost")]
    pub host: String,
    /// Its port [default: 8883 with TLS, 1883 without]
    #[arg(long, short)]
    pub port: Option<u16>,
    /// Use TLS; the CA that signed the broker's certificate
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// The client's certificate (PEM, leaf first)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The client's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Use TLS, and do not check the broker's certificate (for tests)
    #[arg(long, conflicts_with = "cafile")]
    pub insecure: bool,
    /// Only this TLS version
    #[arg(long, value_enum)]
    pub tls_version: Option<TlsVersion>,
    /// The ClientId [default: the CN of --cert]
    #[arg(long, short)]
    pub id: Option<String>,
    /// User name
    #[arg(long, short)]
    pub username: Option<String>,
    /// File that holds the password; with -u and without it the password is asked for
    #[arg(long, short = 'P', value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// Seconds of silence after which a ping is sent
    #[arg(long, short, default_value_t = 60)]
    pub keepalive: u16,
    /// Protocol version: 3.1, 3.1.1 or 5.0
    #[arg(long, short = 'V', default_value = "5.0", value_parser = version)]
    pub protocol: Version,
    /// Keep the session after the connection (no clean start)
    #[arg(long, short = 'c')]
    pub persistent: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
}

impl Options {
    fn uses_tls(&self) -> bool {
        self.cafile.is_some() || self.cert.is_some() || self.insecure
    }

    /// Whether the password must be asked for at the terminal.
    pub fn wants_password(&self) -> bool {
        self.username.is_some() && self.password_file.is_none()
    }

    fn caller(&self, asked: Option<Vec<u8>>) -> Result<Caller, Error> {
        let client_id = match (&self.id, &self.cert) {
            (Some(id), _) => id.clone(),
            (None, Some(cert)) => common_name(cert)?.unwrap_or_default(),
            (None, None) => format!("certus-{}", std::process::id()),
        };
        let tls = if self.uses_tls() { Some(self.credentials()?) } else { None };
        let password = match &self.password_file {
            Some(file) => Some(password_in(file)?),
            None => asked,
        };
        let login = self.username.clone().zip(password);
        Ok(Caller { client_id, tls, source: None, keep_alive: self.keepalive, persistent: self.persistent, login })
    }

    fn credentials(&self) -> Result<std::sync::Arc<rustls::ClientConfig>, Error> {
        let trust = match (&self.cafile, self.insecure) {
            (Some(file), _) => Trust::File(file.clone()),
            (None, true) => Trust::Anyone,
            (None, false) => {
                let what = "--cert needs --cafile: the CA of the broker's certificate, such as certs/server-ca.pem";
                return Err(Error::Usage(what.into()));
            }
        };
        let identity = match self.cert.as_ref().zip(self.key.as_ref()) {
            Some((cert, key)) => identity_from(cert, key)?,
            None => Identity::Anonymous,
        };
        Credentials::new(&trust, self.tls_version)?.client(identity)
    }
}

/// The first line of a file.
fn password_in(file: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(file).map_err(|error| Error::file(file, error))?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published to.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Whether it was a retained one.
    pub retain: bool,
}

/// A connected client.
pub struct Client {
    link: Link,
    keep_alive: u16,
    next_id: NonZeroU16,
    /// QoS 2 messages that were given out and not yet released.
    held: HashSet<NonZeroU16>,
}

/// What one incoming packet means here.
enum Event {
    Message { message: Message, qos: Qos, packet_id: Option<NonZeroU16> },
    Ack { kind: AckKind, packet_id: NonZeroU16, reason: ReasonCode, words: Option<String> },
    Ended(String),
    Nothing,
}

impl Client {
    /// Connects; `password` is what was asked for, if [`Options::wants_password`].
    ///
    /// # Errors
    /// Files that cannot be used, or a broker that cannot be reached or refuses.
    pub async fn connect(options: &Options, password: Option<Vec<u8>>) -> Result<Self, Error> {
        let port = options.port.unwrap_or(if options.uses_tls() { 8883 } else { 1883 });
        let caller = options.caller(password)?;
        let target = dial::resolve(&options.host, port, options.protocol).await?;
        let link = dial::dial(&target, &caller).await.map_err(|error| hinted(error, options.uses_tls(), port))?;
        Ok(Self { link, keep_alive: options.keepalive, next_id: NonZeroU16::MIN, held: HashSet::new() })
    }

    /// Subscribes to all filters.
    ///
    /// # Errors
    /// The broker refuses one, or the connection ended.
    pub async fn subscribe(&mut self, filters: &[String], qos: Qos) -> Result<(), Error> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        self.link.subscribe(&filters, qos).await
    }

    /// Publishes and waits for the broker's answer, if the QoS has one.
    ///
    /// # Errors
    /// The topic is wrong, the broker refuses the message, or the connection ended.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos, retain: bool) -> Result<(), Error> {
        let name = TopicName::new(topic).map_err(|error| Error::Usage(format!("the topic {topic:?}: {error}")))?;
        let packet_id = self.next_id;
        self.next_id = packet_id.checked_add(1).unwrap_or(NonZeroU16::MIN);
        let message = Outgoing {
            dup: false,
            qos,
            retain,
            packet_id: Some(packet_id),
            topic: name,
            alias: None,
            expiry: None,
            subscription_ids: &[],
            properties: &[],
            payload,
        };
        publish::encode(&mut self.link.wire.out, self.link.version, &message);
        self.link.flush().await?;
        if qos == Qos::AtMostOnce {
            return Ok(());
        }
        let last = if qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubComp };
        self.acknowledged(topic, packet_id, last).await
    }

    async fn acknowledged(&mut self, topic: &str, packet_id: NonZeroU16, last: AckKind) -> Result<(), Error> {
        loop {
            match self.event().await? {
                Event::Ack { kind, packet_id: id, reason, words } if id == packet_id => {
                    if reason.is_error() {
                        let reason = words.unwrap_or_else(|| reason.text().to_owned());
                        return Err(Error::Denied { what: format!("the message to {topic}"), reason });
                    }
                    if kind == last {
                        return Ok(());
                    }
                    self.answer(AckKind::PubRel, packet_id).await?;
                }
                Event::Ended(words) => return Err(Error::Closed(words)),
                _ => {}
            }
        }
    }

    /// The next message; pings are sent meanwhile. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn receive(&mut self) -> Result<Message, Error> {
        loop {
            match self.event().await? {
                Event::Message { message, qos, packet_id } => {
                    let new = self.accept(qos, packet_id).await?;
                    if new {
                        return Ok(message);
                    }
                }
                Event::Ack { kind: AckKind::PubRel, packet_id, .. } => {
                    self.held.remove(&packet_id);
                    self.answer(AckKind::PubComp, packet_id).await?;
                }
                Event::Ended(words) => return Err(Error::Closed(words)),
                _ => {}
            }
        }
    }

    /// Acknowledges a message; answers whether it is new.
    async fn accept(&mut self, qos: Qos, packet_id: Option<NonZeroU16>) -> Result<bool, Error> {
        let Some(packet_id) = packet_id else { return Ok(true) };
        let kind = if qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
        let new = qos == Qos::AtLeastOnce || self.held.insert(packet_id);
        self.answer(kind, packet_id).await?;
        Ok(new)
    }

    async fn answer(&mut self, kind: AckKind, packet_id: NonZeroU16) -> Result<(), Error> {
        Ack::new(kind, packet_id, ReasonCode::Success).encode(self.link.version, &mut self.link.wire.out);
        self.link.flush().await
    }

    /// The next packet. After three quarters of the keep alive without one a ping is sent; after as
    /// long again without an answer the connection counts as lost.
    async fn event(&mut self) -> Result<Event, Error> {
        if self.keep_alive == 0 {
            return self.link.next(|packet| Ok(meaning(packet))).await;
        }
        let quiet = Duration::from_secs(u64::from(self.keep_alive)) * 3 / 4;
        if let Ok(event) = tokio::time::timeout(quiet, self.link.next(|packet| Ok(meaning(packet)))).await {
            return event;
        }
        Packet::PingReq.encode(self.link.version, &mut self.link.wire.out);
        let answer = tokio::time::timeout(quiet, self.link.next(|packet| Ok(meaning(packet)))).await;
        answer.map_err(|_| Error::Late("an answer to a ping", quiet.as_secs()))?
    }

    /// Says goodbye.
    pub async fn disconnect(self) {
        self.link.leave().await;
    }
}

fn meaning(packet: &Packet<'_>) -> Event {
    match packet {
        Packet::Publish(publish) => Event::Message {
            message: Message {
                topic: publish.topic.map_or_else(String::new, |topic| topic.as_str().to_owned()),
                payload: publish.payload.to_vec(),
                retain: publish.retain,
            },
            qos: publish.qos,
            packet_id: publish.packet_id,
        },
        Packet::Ack(ack) => Event::Ack {
            kind: ack.kind,
            packet_id: ack.packet_id,
            reason: ack.reason,
            words: ack.properties.reason_string().map(str::to_owned),
        },
        Packet::Disconnect(end) => {
            let words = end.properties.reason_string().map_or_else(String::new, |words| format!(" ({words})"));
            Event::Ended(format!(": {}{words}", end.reason.text()))
        }
        _ => Event::Nothing,
    }
}

/// A connection that ends before CONNACK says nothing: what it usually means.
fn hinted(error: Error, tls: bool, port: u16) -> Error {
    let broken = match &error {
        Error::Closed(words) => words.is_empty(),
        Error::Io(error) => {
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
        }
        _ => false,
    };
    match (broken, tls) {
        (false, _) => error,
        (true, true) if port == 1883 => {
            Error::Closed(" before it answered; port 1883 is usually plain: leave out --cafile and --cert".into())
        }
        (true, true) => {
            let what = " before it answered; its log says why it refused this certificate or ClientId";
            Error::Closed(format!("{what} (or it is a plain port)"))
        }
        (true, false) => Error::Closed(" before it answered; if this is a TLS port, give --cafile".into()),
    }
}
