//! Where the parts of a written 3.1.1 PUBLISH lie.
//!
//! What lives here: offsets, for those who keep frames and patch them. What
//! does not: checks of the content, which was ours. Invariant: every offset
//! lies within the frame.

use crate::codec::frame::peek;
use crate::mqtt::Qos;
use std::num::NonZeroU16;
use std::ops::Range;

/// Offsets into one 3.1.1 PUBLISH frame, from its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameParts {
    /// The quality of service in the first byte.
    pub qos: Qos,
    /// The topic's bytes.
    pub topic: Range<usize>,
    /// Where the two bytes of the packet identifier are; `None` at QoS 0.
    pub packet_id: Option<usize>,
    /// The payload's bytes; ends with the frame.
    pub payload: Range<usize>,
}

impl FrameParts {
    /// Finds the parts of the frame at the head of `bytes`; `None` when there
    /// is no whole PUBLISH.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let frame = peek(bytes, usize::MAX).ok()??;
        if !frame.is_publish() {
            return None;
        }
        let qos = Qos::from_bits(frame.first >> 1 & 3)?;
        let (len, _) = frame.body.split_first_chunk()?;
        let start = frame.len - frame.body.len() + 2;
        let topic = start..start + usize::from(u16::from_be_bytes(*len));
        let packet_id = (qos != Qos::AtMostOnce).then_some(topic.end);
        let payload = packet_id.map_or(topic.end, |at| at + 2)..frame.len;
        (payload.start <= payload.end).then_some(Self { qos, topic, packet_id, payload })
    }

    /// Sets DUP and the packet identifier of `frame`, whose QoS stays; at QoS 0
    /// there is neither, and nothing happens.
    pub fn patch(&self, frame: &mut [u8], dup: bool, packet_id: NonZeroU16) {
        let Some(at) = self.packet_id else { return };
        if let Some(first) = frame.first_mut() {
            *first = (*first & !DUP) | if dup { DUP } else { 0 };
        }
        if let Some(slot) = frame.get_mut(at..at + 2) {
            slot.copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }
}

const DUP: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_frame_that_is_cut_or_no_publish_are_not_found() {
        let frame = b"\x32\x09\0\x03t/x\0\0hi";
        let parts = FrameParts::of(frame).unwrap();
        assert_eq!((parts.topic.clone(), parts.packet_id, parts.payload.clone()), (4..7, Some(7), 9..11));
        for len in 0..frame.len() {
            assert_eq!(FrameParts::of(&frame[..len]), None);
        }
        for bad in [b"\x40\x02\0\x01".as_slice(), b"\x30\x02\0\x05", b"\x32\x03\0\0\0", b"\x36\x04\0\0\0\0"] {
            assert_eq!(FrameParts::of(bad), None);
        }
    }

    /// [MQTT-3.3.1-2]: at QoS 0 DUP stays 0.
    #[test]
    fn a_patch_sets_dup_and_identifier_and_nothing_else() {
        let mut frame = *b"\x33\x09\0\x03t/x\0\0hi";
        let parts = FrameParts::of(&frame).unwrap();
        let id = NonZeroU16::new(0x0102).unwrap();
        parts.patch(&mut frame, true, id);
        assert_eq!(&frame, b"\x3b\x09\0\x03t/x\x01\x02hi");
        parts.patch(&mut frame, false, id);
        assert_eq!(&frame, b"\x33\x09\0\x03t/x\x01\x02hi");
        let mut plain = *b"\x30\x03\0\x01t";
        FrameParts::of(&plain).unwrap().patch(&mut plain, true, id);
        assert_eq!(&plain, b"\x30\x03\0\x01t");
    }
}
