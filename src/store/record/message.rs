//! A message and the flags of one of its deliveries.

use bytes::Bytes;

use super::{Decoder, Malformed, bytes, number};
use crate::mqtt::{MessageId, Qos};
use crate::store::StoredMessage;

const EXPIRES: u8 = 1 << 2;

/// Appends a message.
pub(in crate::store) fn write_message(into: &mut Vec<u8>, message: &StoredMessage) {
    let StoredMessage { id, topic, properties, payload, qos, expires_at } = message;
    into.push(qos.bits() | if expires_at.is_some() { EXPIRES } else { 0 });
    number(into, id.publisher);
    number(into, id.epoch.into());
    number(into, id.counter);
    expires_at.iter().for_each(|&at| number(into, at));
    bytes(into, topic.as_bytes());
    bytes(into, properties);
    bytes(into, payload);
}

/// Reads what [`write_message`] wrote. The payload is copied out, so that a
/// message pins nothing.
pub(in crate::store) fn read_message(from: &mut Decoder<'_>) -> Result<StoredMessage, Malformed> {
    let flags = from.byte()?;
    if flags & !(EXPIRES | 3) != 0 {
        return Err(Malformed::Field("message flag"));
    }
    let qos = Qos::from_bits(flags & 3).ok_or(Malformed::Field("quality of service"))?;
    let id = MessageId { publisher: from.number()?, epoch: from.small("epoch")?, counter: from.number()? };
    let expires_at = if flags & EXPIRES == 0 { None } else { Some(from.number()?) };
    let topic = from.text("topic")?.into();
    let properties = from.bytes()?.into();
    let payload = Bytes::copy_from_slice(from.bytes()?);
    Ok(StoredMessage { id, topic, properties, payload, qos, expires_at })
}

const RETAIN: u8 = 1 << 2;
const IDS: u8 = 1 << 3;

/// How an entry is delivered: QoS, RETAIN, subscription identifiers. `extra` is
/// the caller's own flag.
pub(super) fn write_manner(into: &mut Vec<u8>, qos: Qos, retain: bool, ids: &[u32], extra: bool) {
    let flag = |bit: u8, set: bool| if set { bit } else { 0 };
    into.push(qos.bits() | flag(RETAIN, retain) | flag(IDS, !ids.is_empty()) | flag(EXTRA, extra));
    if !ids.is_empty() {
        number(into, ids.len() as u64);
        ids.iter().for_each(|&id| number(into, id.into()));
    }
}

const EXTRA: u8 = 1 << 4;

pub(super) struct Manner {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: Box<[u32]>,
    pub(super) extra: bool,
}

pub(super) fn read_manner(from: &mut Decoder<'_>) -> Result<Manner, Malformed> {
    let flags = from.byte()?;
    if flags & !(3 | RETAIN | IDS | EXTRA) != 0 {
        return Err(Malformed::Field("entry flag"));
    }
    let qos = Qos::from_bits(flags & 3).ok_or(Malformed::Field("quality of service"))?;
    let count = if flags & IDS == 0 { 0 } else { from.count()? };
    let ids = (0..count).map(|_| from.small("subscription identifier")).collect::<Result<_, _>>()?;
    Ok(Manner { qos, retain: flags & RETAIN != 0, ids, extra: flags & EXTRA != 0 })
}
