//! What MQTT 3.1 and 3.1.1 do differently.
//!
//! What lives here: level and name of CONNECT, repeat flags, missing logins,
//! return codes. What does not: the fields that all versions share. Invariant:
//! nothing outside this file compares a version with 3.1 or 3.1.1.

use super::frame::PacketType;
use super::{DecodeError, reader::Reader};
use crate::mqtt::{ReasonCode, Version};

/// Marks a bridge in the level byte of CONNECT (`0x83`, `0x84`; MQTT-CON-07).
pub(super) const BRIDGE: u8 = 0x80;

/// The protocol name of CONNECT.
pub(super) const fn protocol_name(version: Version) -> &'static [u8] {
    match version {
        Version::V3 => b"MQIsdp",
        Version::V4 | Version::V5 => b"MQTT",
    }
}

/// Tells the version from name and level; the flag is the bridge's mark.
pub(super) fn version(name: &[u8], level: u8) -> Result<(Version, bool), DecodeError> {
    if name != protocol_name(Version::V3) && name != protocol_name(Version::V4) {
        return Err(DecodeError::ProtocolName);
    }
    let version = Version::from_level(level & !BRIDGE).filter(|version| protocol_name(*version) == name);
    match version {
        Some(version) => Ok((version, level & BRIDGE != 0)),
        None => Err(DecodeError::UnsupportedLevel(level)),
    }
}

/// MQTT 3.1 sets DUP on a PUBREL, SUBSCRIBE or UNSUBSCRIBE that is sent again
/// (3.1, section 2.1).
pub(super) const fn is_repeat(version: Version, packet: PacketType, flags: u8) -> bool {
    matches!(version, Version::V3)
        && matches!(packet, PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe)
        && flags == 0b1010
}

/// Bit 0 of the connect flags is "not used" in 3.1 and must be 0 since.
pub(super) const fn refuses_reserved_flag(version: Version) -> bool {
    !matches!(version, Version::V3)
}

/// In 3.1 the remaining length is stronger than the flags: user name and
/// password may be announced and missing (3.1, section 3.1).
pub(super) fn login_is_missing(version: Version, body: &Reader<'_>) -> bool {
    matches!(version, Version::V3) && body.is_empty()
}

/// Before 5.0 a password needs a user name (3.1.1: MQTT-3.1.2-22).
pub(super) const fn password_needs_user_name(version: Version) -> bool {
    !version.is_v5()
}

/// The acknowledge flags of CONNACK: 3.1 knows no session present.
pub(super) const fn connack_flags(version: Version, session_present: bool) -> u8 {
    match version {
        Version::V3 => 0,
        Version::V4 | Version::V5 => session_present as u8,
    }
}

/// The meaning of a CONNACK return code (3.1.1, section 3.2.2.3).
pub(super) const fn connack_reason(code: u8) -> Option<ReasonCode> {
    Some(match code {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return None,
    })
}

/// The SUBACK return code: every failure is 0x80 (3.1.1, section 3.9.3).
pub(super) const fn suback_code(reason: ReasonCode) -> u8 {
    if reason.is_error() { 0x80 } else { reason.code() }
}

/// Whether 3.x knows this SUBACK return code.
pub(super) const fn is_suback_code(code: u8) -> bool {
    matches!(code, 0..=2 | 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Ack, AckKind, Auth, Codes, ConnAck, Disconnect, Properties, PropertiesBuf, SubAck, UnsubAck};
    use std::num::NonZeroU16;

    const ID: NonZeroU16 = NonZeroU16::new(7).unwrap();

    /// MQTT-CON-01: a client of an unknown version is told so.
    #[test]
    fn a_refused_connect_is_answered_in_the_codes_of_its_version() {
        for (version, reason, bytes) in [
            (Version::V3, ReasonCode::NotAuthorized, &[0x20, 2, 0, 5][..]),
            (Version::V4, ReasonCode::UnsupportedProtocolVersion, &[0x20, 2, 0, 1]),
            (Version::V4, ReasonCode::ClientIdentifierNotValid, &[0x20, 2, 0, 2]),
            (Version::V5, ReasonCode::UnsupportedProtocolVersion, &[0x20, 3, 0, 0x84, 0]),
        ] {
            let mut out = Vec::new();
            ConnAck::refusal(reason).encode(version, &mut out);
            assert_eq!(out, bytes);
        }
    }

    /// 3.1.1 [MQTT-3.2.2-4]: session present only with success, and not in 3.1.
    #[test]
    fn session_present_is_said_only_where_it_may_be() {
        for (version, reason, flags) in [
            (Version::V3, ReasonCode::Success, 0),
            (Version::V4, ReasonCode::Success, 1),
            (Version::V4, ReasonCode::NotAuthorized, 0),
            (Version::V5, ReasonCode::Success, 1),
        ] {
            let mut out = Vec::new();
            ConnAck { session_present: true, reason, properties: Properties::EMPTY }.encode(version, &mut out);
            assert_eq!(out[2], flags);
        }
    }

    #[test]
    fn reasons_and_properties_are_not_written_before_5_0() {
        let mut with = PropertiesBuf::new();
        with.reason_string("why");
        let properties = with.as_properties();
        let mut out = Vec::new();
        Ack { kind: AckKind::PubAck, packet_id: ID, reason: ReasonCode::NotAuthorized, properties }
            .encode(Version::V4, &mut out);
        let codes = [ReasonCode::GrantedQos1, ReasonCode::NotAuthorized];
        SubAck { packet_id: ID, properties, codes: Codes::from(codes.as_slice()) }.encode(Version::V4, &mut out);
        UnsubAck { packet_id: ID, properties, codes: Codes::from(codes.as_slice()) }.encode(Version::V4, &mut out);
        Disconnect { reason: ReasonCode::ServerBusy, properties }.encode(Version::V4, &mut out);
        Auth { reason: ReasonCode::Success, properties }.encode(Version::V4, &mut out);
        assert_eq!(out, [0x40, 2, 0, 7, 0x90, 4, 0, 7, 1, 0x80, 0xB0, 2, 0, 7, 0xE0, 0]);
    }

    #[test]
    fn the_shortest_forms_of_5_0_are_written() {
        let mut out = Vec::new();
        Ack::new(AckKind::PubRel, ID, ReasonCode::Success).encode(Version::V5, &mut out);
        Ack::new(AckKind::PubRec, ID, ReasonCode::NotAuthorized).encode(Version::V5, &mut out);
        Disconnect::new(ReasonCode::Success).encode(Version::V5, &mut out);
        Disconnect::new(ReasonCode::SessionTakenOver).encode(Version::V5, &mut out);
        assert_eq!(out, [0x62, 2, 0, 7, 0x50, 3, 0, 7, 0x87, 0xE0, 0, 0xE0, 1, 0x8E]);
    }

    #[test]
    fn only_the_six_return_codes_of_connack_are_known() {
        for code in 0..=u8::MAX {
            assert_eq!(connack_reason(code).map(ReasonCode::connack_v3), (code < 6).then_some(code));
        }
    }
}
