//! CONNACK. Source: MQTT 5.0 section 3.2, MQTT 3.1.1 section 3.2.
//!
//! What lives here: the packet. What does not: who is admitted. Invariant: a
//! refusal never says that a session is present [MQTT-3.2.2-6].

use super::frame::{Frame, PacketType};
use super::properties::Properties;
use super::reader::Reader;
use super::{DecodeError, reasons, v3, writer};
use crate::mqtt::{ReasonCode, Version};

/// The server's answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server has kept a session; unknown to MQTT 3.1.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// What the server offers and asks; MQTT 5.0 only.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    /// Refuses a connection, without properties.
    #[must_use]
    pub const fn refusal(reason: ReasonCode) -> Self {
        Self { session_present: false, reason, properties: Properties::EMPTY }
    }

    /// Decodes CONNACK.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.expect(PacketType::ConnAck, version)?;
        let mut body = Reader::new(frame, PacketType::ConnAck);
        let flags = body.byte()?;
        if flags > 1 {
            return Err(DecodeError::ConnAckFlags(flags));
        }
        let code = body.byte()?;
        let (reason, properties) = if version.is_v5() {
            (reasons::read(PacketType::ConnAck, code)?, Properties::read_all(&mut body)?)
        } else {
            let error = DecodeError::ReasonCode { packet: PacketType::ConnAck, code };
            (v3::connack_reason(code).ok_or(error)?, Properties::EMPTY)
        };
        body.end()?;
        if flags == 1 && reason != ReasonCode::Success {
            return Err(DecodeError::SessionPresentWithRefusal);
        }
        Ok(Self { session_present: v3::connack_flags(version, flags == 1) == 1, reason, properties })
    }

    /// Appends the packet.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let present = self.session_present && self.reason == ReasonCode::Success;
        writer::packet(out, PacketType::ConnAck, |out| {
            out.push(v3::connack_flags(version, present));
            if version.is_v5() {
                out.push(self.reason.code());
                self.properties.encode(out);
            } else {
                out.push(self.reason.connack_v3());
            }
        });
    }
}
