//! DISCONNECT. Source: MQTT 5.0 section 3.14.
//!
//! What lives here: the packet. What does not: what becomes of the will
//! (`session`). Invariant: before MQTT 5.0 it has no body and only clients
//! send it.

use super::frame::{Frame, PacketType};
use super::properties::{Properties, PropertyId};
use super::reader::Reader;
use super::{DecodeError, reasons, writer};
use crate::mqtt::{ReasonCode, Version};

/// The last packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; success (normal disconnection) before MQTT 5.0.
    pub reason: ReasonCode,
    /// Session expiry, reason string, user properties, server reference.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    #[must_use]
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: Properties::EMPTY }
    }

    /// Decodes DISCONNECT; in MQTT 5.0 reason and properties may be missing.
    ///
    /// # Errors
    /// The first breach that is found.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        frame.expect(PacketType::Disconnect, version)?;
        let mut body = Reader::new(frame, PacketType::Disconnect);
        if !version.is_v5() || body.is_empty() {
            body.end()?;
            return Ok(Self::new(ReasonCode::Success));
        }
        let reason = reasons::read(PacketType::Disconnect, body.byte()?)?;
        let properties = Properties::read_optional(&mut body)?;
        body.end()?;
        Ok(Self { reason, properties })
    }

    /// Codes and properties that only a server sends.
    pub(super) fn check_from_client(&self) -> Result<(), DecodeError> {
        let packet = PacketType::Disconnect;
        if !reasons::may_client_disconnect_with(self.reason) {
            return Err(DecodeError::ReasonCode { packet, code: self.reason.code() });
        }
        if self.properties.has(PropertyId::ServerReference) {
            return Err(DecodeError::PropertyNotAllowed { packet, property: PropertyId::ServerReference });
        }
        Ok(())
    }

    /// Appends the packet; the shortest form that says the same.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::Disconnect, |out| {
            if version.is_v5() && (self.reason != ReasonCode::Success || !self.properties.is_empty()) {
                out.push(self.reason.code());
                self.properties.encode_optional(out);
            }
        });
    }
}
