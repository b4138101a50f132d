//! From an address to an accepted MQTT connection, and single packets over it.
//!
//! What lives here: TCP with a chosen source, the TLS handshake, CONNECT to CONNACK, and packets one
//! at a time for what is not hot. What does not: load (`publisher`, `subscriber`). Invariant: a
//! `Link` has been accepted by the broker.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::{TcpSocket, TcpStream};

use super::error::Error;
use super::wire::Wire;
use crate::codec::{Connect, Disconnect, Frame, Packet, Subscribe, Subscription, peek};
use crate::mqtt::{Qos, ReasonCode, SubscriptionOptions, Version};

/// How long a broker may take for the way from TCP to CONNACK.
const PATIENCE: u64 = 30;
/// How long a broker may take to end a connection that its client has left.
const FAREWELL: u64 = 5;
/// The largest packet that our clients take.
const LARGEST: usize = 256 * 1024 * 1024;

/// Where to connect to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address; the first that the host name gives.
    pub address: SocketAddr,
    /// The name that the server's certificate is checked against.
    pub name: ServerName<'static>,
    /// The protocol to speak.
    pub version: Version,
}

/// Who connects.
#[derive(Clone, Default)]
pub struct Caller {
    /// The client identifier.
    pub client_id: String,
    /// TLS with the client's certificate, or plain.
    pub tls: Option<Arc<ClientConfig>>,
    /// The source address, where it matters.
    pub source: Option<IpAddr>,
    /// Keep alive in seconds, 0 for none.
    pub keep_alive: u16,
    /// Whether an earlier session is to be forgotten.
    pub persistent: bool,
    /// User name and password.
    pub login: Option<(String, Vec<u8>)>,
}

/// A connection that the broker has accepted.
pub struct Link {
    /// The socket.
    pub wire: Wire,
    /// The protocol it speaks.
    pub version: Version,
    /// Whether the broker had kept a session.
    pub session_present: bool,
}

/// Finds the address of `host`, an IPv4 one where there is one.
///
/// # Errors
/// The name is unknown, or is none that a certificate can hold.
pub async fn resolve(host: &str, port: u16, version: Version) -> Result<Target, Error> {
    let bad = |source| Error::Connect { address: format!("{host}:{port}"), source };
    let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(bad)?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    let address = found.first().copied().ok_or_else(|| bad(std::io::ErrorKind::NotFound.into()))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Usage(format!("{host:?} is neither a host name nor an IP address")))?;
    Ok(Target { address, name, version })
}

/// The `index`-th address of 127.0.0.0/8 in steps of a hundred clients, so that neither ports nor a budget by address run out.
pub fn spread(target: &Target, index: usize) -> Option<IpAddr> {
    let block = u32::try_from(index / 100).ok()?;
    let first = u32::from(Ipv4Addr::new(127, 0, 1, 1));
    target.address.ip().is_loopback().then(|| Ipv4Addr::from(first + block % 60_000).into())
}

/// Connects, shakes hands and waits for CONNACK.
///
/// # Errors
/// Whatever stood in the way, with the broker's own reason where it gave one.
pub async fn dial(target: &Target, caller: &Caller) -> Result<Link, Error> {
    let limit = Duration::from_secs(PATIENCE);
    let late = |_| Error::Late("connecting", PATIENCE);
    tokio::time::timeout(limit, connect(target, caller)).await.map_err(late)?
}

async fn connect(target: &Target, caller: &Caller) -> Result<Link, Error> {
    let refused = |source| Error::Connect { address: target.address.to_string(), source };
    let tcp = open(target.address, caller.source).await.map_err(refused)?;
    let tls = match &caller.tls {
        Some(config) => Some(rustls::ClientConnection::new(Arc::clone(config), target.name.clone())?.into()),
        None => None,
    };
    let mut link = Link { wire: Wire::new(tcp, tls)?, version: target.version, session_present: false };
    let login = caller.login.as_ref();
    let mut properties = crate::codec::PropertiesBuf::new();
    if caller.persistent && target.version.is_v5() {
        properties.session_expiry(3600);
    }
    let packet = Connect {
        version: target.version,
        bridge: false,
        clean_start: !caller.persistent,
        keep_alive: caller.keep_alive,
        properties: properties.as_properties(),
        client_id: &caller.client_id,
        will: None,
        user_name: login.map(|(name, _)| name.as_str()),
        password: login.map(|(_, password)| password.as_slice()),
    };
    packet.encode(&mut link.wire.out);
    let version = target.version;
    let answer = link.next(|packet| match packet {
        Packet::ConnAck(answer) => {
            Ok((answer.session_present, answer.reason, answer.properties.reason_string().map(str::to_owned)))
        }
        other => Err(Error::Protocol(format!("{} where CONNACK was due", other.packet_type().name()))),
    });
    let (session_present, reason, words) = answer.await?;
    if reason != ReasonCode::Success {
        let code = if version.is_v5() { reason.code() } else { reason.connack_v3() };
        let reason = words.map_or_else(|| reason.text().to_owned(), |words| format!("{}: {words}", reason.text()));
        return Err(Error::Refused { client_id: caller.client_id.clone(), code, reason });
    }
    link.session_present = session_present;
    Ok(link)
}

/// Begins a handshake, takes the broker's answer and goes; without TLS, the same with half a CONNECT.
///
/// # Errors
/// The broker does not take the connection, or says nothing in time.
pub async fn break_off(target: &Target, caller: &Caller) -> Result<(), Error> {
    let limit = Duration::from_secs(PATIENCE);
    let tcp = open(target.address, caller.source).await?;
    let tls = match &caller.tls {
        Some(config) => Some(rustls::ClientConnection::new(Arc::clone(config), target.name.clone())?.into()),
        None => None,
    };
    let is_plain = tls.is_none();
    let mut wire = Wire::new(tcp, tls)?;
    if is_plain {
        wire.out.extend_from_slice(&[0x10, 40, 0, 4, b'M']);
    }
    poll_fn(|cx| wire.poll_flush(cx)).await?;
    if !is_plain {
        let answer = poll_fn(|cx| wire.poll_read(cx));
        tokio::time::timeout(limit, answer).await.map_err(|_| Error::Late("a handshake", PATIENCE))??;
    }
    Ok(())
}

async fn open(address: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

impl Link {
    /// Whether the TLS handshake was resumed; `None` for a plain connection.
    pub fn resumed(&self) -> Option<bool> {
        Some(self.wire.tls()?.handshake_kind()? == HandshakeKind::Resumed)
    }

    /// Sends what stands in `wire.out`, waits for one whole packet and shows it to `look`.
    ///
    /// # Errors
    /// The connection ended, or the bytes are no MQTT; also what `look` answers.
    pub async fn next<T>(&mut self, look: impl FnOnce(&Packet<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let len = loop {
            if let Some(frame) = peeked(&self.wire.inbox)? {
                break frame.len;
            }
            self.more().await?;
        };
        let answer = match peeked(&self.wire.inbox)? {
            Some(frame) => {
                let packet =
                    Packet::decode(&frame, self.version).map_err(|error| Error::Protocol(error.to_string()))?;
                look(&packet)
            }
            None => Err(Error::Closed(String::new())),
        };
        self.wire.consume(len);
        answer
    }

    /// Sends what stands in `wire.out` and reads once.
    async fn more(&mut self) -> Result<(), Error> {
        let wire = &mut self.wire;
        poll_fn(|cx| {
            let _ = wire.poll_flush(cx)?;
            let answer = wire.poll_read(cx);
            // A handshake step may have left something to say; an alert too, before the error is told.
            let flushed = wire.poll_flush(cx);
            if answer.is_pending() {
                let _ = flushed?;
            }
            answer
        })
        .await?;
        Ok(())
    }

    /// Sends what stands in `wire.out`.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn flush(&mut self) -> Result<(), Error> {
        Ok(poll_fn(|cx| self.wire.poll_flush(cx)).await?)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// The connection ended, or none came in time.
    pub async fn ping(&mut self) -> Result<(), Error> {
        self.wire.out.extend_from_slice(&[0xC0, 0]);
        let answer = self.next(|packet| match packet {
            Packet::PingResp => Ok(()),
            other => Err(Error::Protocol(format!("{} where PINGRESP was due", other.packet_type().name()))),
        });
        let late = |_| Error::Late("PINGRESP", FAREWELL);
        tokio::time::timeout(Duration::from_secs(FAREWELL), answer).await.map_err(late)?
    }

    /// Says DISCONNECT and ends.
    pub async fn leave(mut self) {
        let mut last = Vec::new();
        Disconnect::new(ReasonCode::Success).encode(self.version, &mut last);
        poll_fn(|cx| {
            self.wire.say_goodbye(cx, &last);
            Poll::Ready(())
        })
        .await;
    }

    /// Says DISCONNECT and waits, for a while, until the broker has ended the connection too.
    pub async fn leave_and_wait(mut self) {
        Disconnect::new(ReasonCode::Success).encode(self.version, &mut self.wire.out);
        let ended = async {
            while self.more().await.is_ok() {
                self.wire.inbox.clear();
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(FAREWELL), ended).await;
    }

    /// Subscribes and waits for SUBACK; PUBLISH packets that come before it are dropped.
    ///
    /// # Errors
    /// The connection ended, or the broker refused a filter.
    pub async fn subscribe(&mut self, filters: &[&str], qos: Qos) -> Result<(), Error> {
        let options = SubscriptionOptions::of_qos(qos);
        let list: Vec<Subscription<'_>> = filters.iter().map(|&filter| Subscription { filter, options }).collect();
        let packet = Subscribe {
            packet_id: NonZeroU16::MIN,
            properties: crate::codec::Properties::EMPTY,
            filters: list.as_slice().into(),
        };
        packet.encode(self.version, &mut self.wire.out);
        loop {
            let answer = self.next(|packet| match packet {
                Packet::SubAck(answer) => Ok(Some(answer.codes.iter().collect::<Vec<_>>())),
                _ => Ok(None),
            });
            let Some(codes) = answer.await? else { continue };
            let refused = codes.iter().zip(filters).find(|(code, _)| code.is_error());
            return match refused {
                Some((code, filter)) => {
                    Err(Error::Denied { what: format!("the subscription to {filter}"), reason: code.text().to_owned() })
                }
                None => Ok(()),
            };
        }
    }
}

/// The packet at the head of `bytes`, if it is whole.
///
/// # Errors
/// The bytes are no MQTT.
pub fn peeked(bytes: &[u8]) -> Result<Option<Frame<'_>>, Error> {
    peek(bytes, LARGEST).map_err(|error| Error::Protocol(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn target(host: &str) -> Target {
        resolve(host, 8883, Version::V5).await.unwrap()
    }

    #[tokio::test]
    async fn clients_come_from_many_addresses_of_the_loopback_net() {
        let local = target("127.0.0.1").await;
        let sources: Vec<_> = (0..20_000).filter_map(|index| spread(&local, index)).collect();
        assert_eq!(sources.len(), 20_000);
        assert!(sources.iter().all(IpAddr::is_loopback));
        let different: std::collections::BTreeSet<_> = sources.iter().collect();
        assert_eq!(different.len(), 200, "a hundred clients an address");
        assert!(spread(&local, usize::MAX).is_none_or(|source| source.is_loopback()));
    }

    #[tokio::test]
    async fn a_broker_elsewhere_is_reached_from_wherever_the_system_says() {
        assert_eq!(spread(&target("192.0.2.7").await, 5), None);
    }
}
