//! Where the parts of a written 3.1.1 PUBLISH lie.
//!
//! What lives here: offsets, for those who keep frames and patch them. What
//! does not: checks of the content, which was ours. Invariant: every offset
//! lies within the frame.

use crate::codec::frame::{PacketType, peek};
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
        if frame.first >> 4 != PacketType::Publish as u8 {
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
