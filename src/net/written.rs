//! One message of a queue as the bytes of PUBLISH.
//!
//! What lives here: the copy of a frame that fits as it is, the packet of every
//! other shape, and what is too long for its reader. What does not: order and
//! windows (`outgoing`), the bytes themselves (`codec`).

use std::num::{NonZeroU16, NonZeroU32};

use crate::codec::publish::Alias;
use crate::codec::{self, Outgoing as Publish};
use crate::delivery::{Manner, MessageRef};
use crate::mqtt::{Qos, TopicName, Version};
use crate::store::QueueEntry;
use crate::telemetry::metrics::Counter;

use super::outgoing::Drain;

/// Writes a message of a parcel: its frame as it lies there, patched, when the
/// shape is the common one; else from its parts.
pub(super) fn write_message(
    drain: &mut Drain<'_>,
    message: &MessageRef<'_>,
    born: u64,
    manner: &Manner,
    qos: Qos,
    packet_id: Option<u16>,
) {
    let version = drain.session.terms().version;
    let retain = manner.retain_as_published && message.retain;
    let limit = drain.session.terms().max_packet_out as usize;
    if !version.is_v5() && qos == message.qos && !retain && !message.apart {
        let at = drain.out.len();
        drain.out.extend_from_slice(message.frame);
        if let Some(packet_id) = packet_id {
            let from = at + message.packet_id_at;
            if let Some(place) = drain.out.get_mut(from..from + 2) {
                place.copy_from_slice(&packet_id.to_be_bytes());
            }
        }
        count_sent(qos, message.payload);
        return;
    }
    let expiry = message.expiry.map(|seconds| born + u64::from(seconds) * 1000);
    let ids: Vec<u32> = manner.ids.iter().flat_map(|ids| ids.iter().copied().map(NonZeroU32::get)).collect();
    let Some(topic) = std::str::from_utf8(message.topic).ok().and_then(|topic| TopicName::new(topic).ok()) else {
        return;
    };
    let shape = Shape { topic, qos, retain, packet_id, dup: false, expires_at: expiry, ids: &ids };
    write_shaped(drain, version, limit, &shape, message.properties, message.payload);
}

/// Writes an entry of the store.
pub(super) fn write_entry(drain: &mut Drain<'_>, entry: &QueueEntry, qos: Qos, packet_id: Option<u16>, dup: bool) {
    let version = drain.session.terms().version;
    let limit = drain.session.terms().max_packet_out as usize;
    let message = &entry.message;
    let Ok(topic) = TopicName::new(&message.topic) else { return };
    let ids = &entry.subscription_ids;
    let shape = Shape { topic, qos, retain: entry.retain, packet_id, dup, expires_at: message.expires_at, ids };
    write_shaped(drain, version, limit, &shape, &message.properties, &message.payload);
}

struct Shape<'a> {
    topic: TopicName<'a>,
    qos: Qos,
    retain: bool,
    packet_id: Option<u16>,
    dup: bool,
    expires_at: Option<u64>,
    ids: &'a [u32],
}

fn write_shaped(
    drain: &mut Drain<'_>,
    version: Version,
    limit: usize,
    shape: &Shape<'_>,
    properties: &[u8],
    payload: &[u8],
) {
    let mut publish = Publish {
        dup: shape.dup,
        qos: shape.qos,
        retain: shape.retain,
        packet_id: shape.packet_id.and_then(NonZeroU16::new),
        topic: shape.topic,
        alias: drain.session.outgoing_aliases().and_then(|(aliases, most)| aliases.choose(shape.topic.as_str(), most)),
        expiry: shape.expires_at.map(|at| remaining(at, drain.now)),
        subscription_ids: shape.ids,
        properties,
        payload,
    };
    if codec::publish::encoded_len(version, &publish) > limit
        && let Some(Alias::Announce(_)) = publish.alias
        && let Some((aliases, _)) = drain.session.outgoing_aliases()
    {
        aliases.take_back(shape.topic.as_str());
        publish.alias = None;
    }
    if codec::publish::encoded_len(version, &publish) > limit {
        // [MQTT-3.1.2-25]: as if it had been sent and answered.
        Counter::DroppedLarge.one();
        if let Some(id) = shape.packet_id {
            drain.session.outbound_mut().abandon_id(id);
        }
        return;
    }
    codec::publish::encode(drain.out, version, &publish);
    Counter::AliasesSent.add(u64::from(matches!(publish.alias, Some(Alias::Use(_)))));
    count_sent(shape.qos, payload);
}

fn count_sent(qos: Qos, payload: &[u8]) {
    Counter::sent(qos.bits()).one();
    Counter::PublishBytesSent.add(payload.len() as u64);
}

/// Whole seconds left, at least one: what has expired is not sent
/// [MQTT-3.3.2-6].
fn remaining(at: u64, now: u64) -> u32 {
    u32::try_from(at.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}
