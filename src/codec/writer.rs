//! Appends the data types of section 1.5 to a buffer.
//!
//! What lives here: numbers, texts, the fixed header. What does not: packets.
//! Invariant: a length that is written is the length of what follows.

use super::frame::{PacketType, VARINT_MAX};

/// Appends a packet whose length is known only when its body is written.
pub(super) fn packet(out: &mut Vec<u8>, packet: PacketType, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(packet.first());
    prefixed(out, body);
}

/// Appends what `body` writes, behind its length as a variable byte integer.
pub(super) fn prefixed(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.push(0);
    body(out);
    let len = u32::try_from(out.len() - at - 1).unwrap_or(VARINT_MAX);
    if len < 0x80 {
        if let Some(slot) = out.get_mut(at) {
            *slot = len as u8;
        }
    } else {
        // Only a long packet is moved, and by at most three bytes.
        let (bytes, used) = varint_bytes(len);
        out.splice(at..=at, bytes.into_iter().take(used));
    }
}

/// The bytes of a variable byte integer, and how many of them count.
pub(super) fn varint_bytes(value: u32) -> ([u8; 4], usize) {
    let byte = |shift: u32| (value >> shift & 0x7F) as u8;
    match super::frame::varint_len(value) {
        1 => ([byte(0), 0, 0, 0], 1),
        2 => ([byte(0) | 0x80, byte(7), 0, 0], 2),
        3 => ([byte(0) | 0x80, byte(7) | 0x80, byte(14), 0], 3),
        _ => ([byte(0) | 0x80, byte(7) | 0x80, byte(14) | 0x80, byte(21)], 4),
    }
}

/// Appends a variable byte integer; larger values become the largest.
#[inline]
pub(super) fn varint(out: &mut Vec<u8>, value: u32) {
    if value < 0x80 {
        out.push(value as u8);
        return;
    }
    let (bytes, used) = varint_bytes(value.min(VARINT_MAX));
    out.extend(bytes.into_iter().take(used));
}

#[inline]
pub(super) fn two(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn four(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends binary data behind its length; what a length of two bytes cannot
/// hold is cut off.
#[inline]
pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    two(out, len);
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or(bytes));
}

/// Appends a text behind its length, cut between two characters when it is
/// longer than 65,535 bytes.
#[inline]
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    binary(out, fitting(text).as_bytes());
}

/// As much of `text` as a string of the standard can hold.
#[inline]
pub(super) fn fitting(text: &str) -> &str {
    let limit = usize::from(u16::MAX);
    if text.len() <= limit { text } else { text.get(..text.floor_char_boundary(limit)).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::frame::peek;

    #[test]
    fn a_body_of_any_length_stands_behind_its_length() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = vec![0xEE];
            packet(&mut out, PacketType::Auth, |out| out.resize(out.len() + len, 7));
            let frame = peek(&out[1..], usize::MAX).unwrap().unwrap();
            assert_eq!((frame.body.len(), frame.len), (len, out.len() - 1));
            assert!(frame.body.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_two_characters() {
        let long = "é".repeat(40_000);
        let mut out = Vec::new();
        text(&mut out, &long);
        assert_eq!(out[..2], 65_534_u16.to_be_bytes());
        assert!(std::str::from_utf8(&out[2..]).is_ok_and(|cut| cut.len() == 65_534));
    }
}
