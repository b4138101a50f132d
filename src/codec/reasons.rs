//! Which packet may carry which reason code.
//!
//! Source: the tables of MQTT 5.0 sections 3.2.2.2, 3.4.2.1 to 3.7.2.1, 3.9.3,
//! 3.11.3, 3.14.2.1 and 3.15.2.1. Invariant: a code that is not in a packet's
//! table is refused.

use super::DecodeError;
use super::frame::PacketType;
use crate::mqtt::ReasonCode;

/// Reads the reason code of `packet`.
pub(super) fn read(packet: PacketType, code: u8) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_code(code).filter(|_| belongs(packet, code)).ok_or(DecodeError::ReasonCode { packet, code })
}

const fn belongs(packet: PacketType, code: u8) -> bool {
    match packet {
        PacketType::ConnAck => matches!(code, 0 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F),
        PacketType::PubAck | PacketType::PubRec => {
            matches!(code, 0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        PacketType::PubRel | PacketType::PubComp => matches!(code, 0 | 0x92),
        PacketType::SubAck => {
            matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
        }
        PacketType::UnsubAck => matches!(code, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
        PacketType::Disconnect => {
            matches!(code, 0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2)
        }
        PacketType::Auth => matches!(code, 0 | 0x18 | 0x19),
        _ => false,
    }
}

/// Whether a client may send DISCONNECT with this code (section 3.14.2.1).
pub(super) const fn may_client_disconnect_with(reason: ReasonCode) -> bool {
    matches!(reason.code(), 0 | 4 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of sections 3.2.2.2 to 3.15.2.1 have this many rows.
    #[test]
    fn every_packet_has_as_many_reason_codes_as_its_table() {
        for (packet, rows) in [
            (PacketType::ConnAck, 22),
            (PacketType::PubAck, 9),
            (PacketType::PubRec, 9),
            (PacketType::PubRel, 2),
            (PacketType::PubComp, 2),
            (PacketType::SubAck, 12),
            (PacketType::UnsubAck, 7),
            (PacketType::Disconnect, 29),
            (PacketType::Auth, 3),
            (PacketType::Publish, 0),
        ] {
            let known = (0..=u8::MAX).filter(|code| read(packet, *code).is_ok()).count();
            assert_eq!(known, rows, "{packet}");
        }
    }
}
