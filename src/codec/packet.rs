//! Any packet.
//!
//! What lives here: the sum of all packets and the dispatch by type. What does
//! not: the packets themselves. Invariant: `decode` accepts what either side
//! may send; `decode_from_client` only what a client may send.

use super::frame::{Frame, PacketType};
use super::{
    Ack, AckKind, Auth, ConnAck, Connect, DecodeError, Disconnect, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe,
};
use crate::mqtt::Version;

/// A decoded control packet; its texts and payloads lie in the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Decodes a packet of a connection that speaks `version`; CONNECT names
    /// its version itself. [`Publish::decode`] is the shorter way for the
    /// packet that comes most: a `Packet` is as large as a CONNECT.
    ///
    /// # Errors
    /// The first breach that is found.
    #[inline]
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        if frame.is_publish() {
            return Publish::decode(frame, version).map(Self::Publish);
        }
        Self::decode_other(frame, version)
    }

    /// As [`Packet::decode`], for a server: refuses also what only a server
    /// may send.
    ///
    /// # Errors
    /// The first breach that is found.
    #[inline]
    pub fn decode_from_client(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        if frame.is_publish() {
            let publish = Publish::decode(frame, version)?;
            publish.check_from_client()?;
            return Ok(Self::Publish(publish));
        }
        let packet = Self::decode_other(frame, version)?;
        packet.check_from_client()?;
        Ok(packet)
    }

    fn decode_other(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let kind = match frame.packet_type(version)? {
            PacketType::PubAck => AckKind::PubAck,
            PacketType::PubRec => AckKind::PubRec,
            PacketType::PubRel => AckKind::PubRel,
            PacketType::PubComp => AckKind::PubComp,
            PacketType::Connect => return Connect::decode(frame).map(Self::Connect),
            PacketType::ConnAck => return ConnAck::decode(frame, version).map(Self::ConnAck),
            PacketType::Publish => return Publish::decode(frame, version).map(Self::Publish),
            PacketType::Subscribe => return Subscribe::decode(frame, version).map(Self::Subscribe),
            PacketType::SubAck => return SubAck::decode(frame, version).map(Self::SubAck),
            PacketType::Unsubscribe => return Unsubscribe::decode(frame, version).map(Self::Unsubscribe),
            PacketType::UnsubAck => return UnsubAck::decode(frame, version).map(Self::UnsubAck),
            PacketType::PingReq => return bare(frame, PacketType::PingReq, Self::PingReq),
            PacketType::PingResp => return bare(frame, PacketType::PingResp, Self::PingResp),
            PacketType::Disconnect => return Disconnect::decode(frame, version).map(Self::Disconnect),
            PacketType::Auth => return Auth::decode(frame, version).map(Self::Auth),
        };
        Ack::decode_as(kind, frame, version).map(Self::Ack)
    }

    fn check_from_client(&self) -> Result<(), DecodeError> {
        match self {
            Self::Publish(publish) => publish.check_from_client(),
            Self::Disconnect(disconnect) => disconnect.check_from_client(),
            Self::Auth(auth) => auth.check_from_client(),
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) | Self::PingResp => {
                Err(DecodeError::NotFromClient(self.packet_type()))
            }
            _ => Ok(()),
        }
    }

    /// Which packet this is.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::Ack(ack) => ack.kind.packet_type(),
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the packet in the form of `version`; CONNECT takes its own
    /// version, AUTH is written only for MQTT 5.0.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::Ack(packet) => packet.encode(version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => out.extend_from_slice(&[0xC0, 0]),
            Self::PingResp => out.extend_from_slice(&[0xD0, 0]),
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        }
    }
}

/// PINGREQ and PINGRESP have no body.
fn bare<'a>(frame: &Frame<'a>, kind: PacketType, packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    if frame.body.is_empty() { Ok(packet) } else { Err(DecodeError::TrailingBytes(kind)) }
}
