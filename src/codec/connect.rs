//! CONNECT. Source: MQTT 5.0 section 3.1, MQTT 3.1.1 section 3.1.
//!
//! What lives here: the packet and the will in it, for all three versions.
//! What does not: whether the client may come. Invariant: an empty user name
//! or password is told apart from a missing one.

use super::frame::{Frame, PacketType};
use super::properties::{Place, Properties};
use super::reader::Reader;
use super::{DecodeError, v3, writer};
use crate::mqtt::{Qos, TopicName, Version};

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks.
    pub version: Version,
    /// The client marks itself as a bridge (the top bit of the level).
    pub bridge: bool,
    /// Clean start, or clean session before MQTT 5.0.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// MQTT 5.0 properties.
    pub properties: Properties<'a>,
    /// The client identifier; may be empty.
    pub client_id: &'a str,
    /// What to publish when the connection ends without a word.
    pub will: Option<Will<'a>>,
    /// The user name, if there is one; it may be empty.
    pub user_name: Option<&'a str>,
    /// The password, any bytes, if there is one; it may be empty.
    pub password: Option<&'a [u8]>,
}

/// The will in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The quality of service to publish it with.
    pub qos: Qos,
    /// Whether it is published retained.
    pub retain: bool,
    /// Will delay, expiry and what is passed on; MQTT 5.0 only.
    pub properties: Properties<'a>,
    /// Where it is published to.
    pub topic: TopicName<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl<'a> Connect<'a> {
    /// Decodes CONNECT of any version.
    ///
    /// # Errors
    /// The first breach that is found. [`DecodeError::UnsupportedLevel`] can be
    /// answered by CONNACK, [`DecodeError::ProtocolName`] is no MQTT client.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        frame.expect(PacketType::Connect, Version::V5)?;
        let mut body = Reader::new(frame, PacketType::Connect);
        let (version, bridge) = v3::version(body.binary()?, body.byte()?)?;
        let flags = checked_flags(version, body.byte()?)?;
        let keep_alive = body.two()?;
        let properties = if version.is_v5() { Properties::read_all(&mut body)? } else { Properties::EMPTY };
        let client_id = body.text()?;
        let will = if flags & WILL == 0 { None } else { Some(Will::read(&mut body, version, flags)?) };
        let user_name = match flags & USER_NAME != 0 && !v3::login_is_missing(version, &body) {
            true => Some(body.text()?),
            false => None,
        };
        let password = match flags & PASSWORD != 0 && !v3::login_is_missing(version, &body) {
            true => Some(body.binary()?),
            false => None,
        };
        body.end()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self { version, bridge, clean_start, keep_alive, properties, client_id, will, user_name, password })
    }

    /// Appends the packet in the form of its own version.
    pub fn encode(&self, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::Connect, |out| {
            writer::binary(out, v3::protocol_name(self.version));
            let mark = if self.bridge { v3::BRIDGE } else { 0 };
            out.push(self.version.level() | mark);
            out.push(self.flags());
            writer::two(out, self.keep_alive);
            if self.version.is_v5() {
                self.properties.encode(out);
            }
            writer::text(out, self.client_id);
            if let Some(will) = &self.will {
                will.encode(self.version, out);
            }
            if let Some(user_name) = self.user_name {
                writer::text(out, user_name);
            }
            if let Some(password) = self.password {
                writer::binary(out, password);
            }
        });
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.bits() << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

fn checked_flags(version: Version, flags: u8) -> Result<u8, DecodeError> {
    if flags & 1 != 0 && v3::refuses_reserved_flag(version) {
        return Err(DecodeError::ConnectReservedFlag);
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::WillFlagsWithoutWill);
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && v3::password_needs_user_name(version) {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(flags)
}

impl<'a> Will<'a> {
    fn read(body: &mut Reader<'a>, version: Version, flags: u8) -> Result<Self, DecodeError> {
        let qos = Qos::from_bits((flags & WILL_QOS) >> 3).ok_or(DecodeError::WillQos)?;
        let properties =
            if version.is_v5() { Properties::read(body, Place::Will).map(|(raw, _)| raw)? } else { Properties::EMPTY };
        let topic = TopicName::new(body.topic()?).map_err(DecodeError::WillTopic)?;
        let payload = body.binary()?;
        Ok(Self { qos, retain: flags & WILL_RETAIN != 0, properties, topic, payload })
    }

    fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if version.is_v5() {
            self.properties.encode(out);
        }
        writer::text(out, self.topic.as_str());
        writer::binary(out, self.payload);
    }
}
