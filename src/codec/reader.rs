//! A cursor over the body of one packet.
//!
//! What lives here: the data types of section 1.5. What does not: meaning.
//! Invariant: it never reads past its slice; what is missing is an error that
//! names the packet.

use super::DecodeError;
use super::frame::{self, Frame, PacketType};
use std::num::NonZeroU16;

/// What is left of a packet's body.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    packet: PacketType,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(frame: &Frame<'a>, packet: PacketType) -> Self {
        Self { rest: frame.body, packet }
    }

    /// A cursor over `slice`, a part of `packet`.
    #[inline]
    pub(super) const fn over(slice: &'a [u8], packet: PacketType) -> Self {
        Self { rest: slice, packet }
    }

    #[inline]
    pub(super) const fn packet(&self) -> PacketType {
        self.packet
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated(self.packet))?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated(self.packet))?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(super) fn two(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn four(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let (value, rest) = frame::varint(self.rest)?.ok_or(DecodeError::Truncated(self.packet))?;
        self.rest = rest;
        Ok(value)
    }

    /// Binary data (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.two()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 encoded string [MQTT-1.5.4-1] [MQTT-1.5.4-2].
    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?;
        if bytes.contains(&0) { Err(DecodeError::NullCharacter) } else { Ok(text) }
    }

    /// A string that is a topic or a filter: its own check finds U+0000.
    #[inline]
    pub(super) fn topic(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.binary()?).map_err(|_| DecodeError::NotUtf8)
    }

    /// A packet identifier [MQTT-2.2.1-3].
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.two()?).ok_or(DecodeError::PacketIdZero(self.packet))
    }

    /// Refuses bytes behind the last field.
    #[inline]
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes(self.packet)) }
    }
}
