//! AUTH. Source: MQTT 5.0 section 3.15.
//!
//! What lives here: the packet. What does not: the exchange (`session`).
//! Invariant: it exists in MQTT 5.0 only, and names its method unless empty.

use super::frame::{Frame, PacketType};
use super::properties::{Properties, PropertyId};
use super::reader::Reader;
use super::{DecodeError, reasons, writer};
use crate::mqtt::{ReasonCode, Version};

/// One step of an extended authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Method, data, reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes AUTH.
    ///
    /// # Errors
    /// The first breach that is found; every AUTH before MQTT 5.0.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.expect(PacketType::Auth, version)?;
        if !version.is_v5() {
            return Err(DecodeError::UnknownPacketType(PacketType::Auth as u8));
        }
        let mut body = Reader::new(frame, PacketType::Auth);
        if body.is_empty() {
            return Ok(Self { reason: ReasonCode::Success, properties: Properties::EMPTY });
        }
        let reason = reasons::read(PacketType::Auth, body.byte()?)?;
        let properties = Properties::read_optional(&mut body)?;
        body.end()?;
        if !properties.has(PropertyId::AuthenticationMethod) {
            return Err(DecodeError::NoAuthenticationMethod);
        }
        Ok(Self { reason, properties })
    }

    /// A client never says success (section 3.15.2.1).
    pub(super) const fn check_from_client(&self) -> Result<(), DecodeError> {
        match self.reason {
            ReasonCode::Success => Err(DecodeError::ReasonCode { packet: PacketType::Auth, code: 0 }),
            _ => Ok(()),
        }
    }

    /// Appends the packet; nothing before MQTT 5.0, which has no AUTH.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if !version.is_v5() {
            return;
        }
        writer::packet(out, PacketType::Auth, |out| {
            if self.reason != ReasonCode::Success || !self.properties.is_empty() {
                out.push(self.reason.code());
                self.properties.encode(out);
            }
        });
    }
}
