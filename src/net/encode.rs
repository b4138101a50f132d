//! The encoder that `delivery` is handed: messages in the common shape.

use crate::codec::{self, Outgoing};
use crate::delivery::{FrameShape, Payload};
use crate::mqtt::{MessageView, Qos, Version};

/// Appends `message` as 3.1.1 would send it, RETAIN 0, without properties.
pub(super) fn common(message: &MessageView<'_>, out: &mut Vec<u8>, payload: Payload) -> FrameShape {
    let start = out.len();
    let outgoing = Outgoing {
        dup: false,
        qos: message.qos,
        retain: false,
        packet_id: None,
        topic: message.topic,
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: message.payload,
    };
    codec::publish::encode(out, Version::V4, &outgoing);
    let payload_at = out.len() - start - message.payload.len();
    if payload == Payload::Apart {
        out.truncate(start + payload_at);
    }
    let id = if message.qos == Qos::AtMostOnce { 0 } else { 2 };
    let topic_at = payload_at - id - message.topic.as_str().len();
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    FrameShape {
        topic: offset(topic_at),
        packet_id: if id == 0 { 0 } else { offset(payload_at - id) },
        payload: offset(payload_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::TopicName;

    #[test]
    fn the_parts_lie_where_the_shape_says() {
        for (qos, length) in [(Qos::AtMostOnce, 3), (Qos::AtLeastOnce, 300), (Qos::ExactlyOnce, 20_000)] {
            let payload = vec![7; length];
            let topic = TopicName::new("a/bc").unwrap();
            let message = MessageView { topic, qos, retain: true, properties: &[], expiry: None, payload: &payload };
            let mut out = vec![1, 2, 3];
            let shape = common(&message, &mut out, Payload::Inline);
            let frame = &out[3..];
            assert_eq!(&frame[shape.topic as usize..][..4], b"a/bc");
            assert_eq!(&frame[shape.payload as usize..], payload);
            if qos > Qos::AtMostOnce {
                assert_eq!(&frame[shape.packet_id as usize..][..2], [0, 0]);
            }
            let mut apart = Vec::new();
            assert_eq!(common(&message, &mut apart, Payload::Apart), shape);
            assert_eq!(apart, &frame[..shape.payload as usize]);
        }
    }
}
