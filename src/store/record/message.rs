//! A message and the flags of one of its deliveries.

use bytes::Bytes;

use super::{Decoder, Malformed, bytes, number};
use crate::mqtt::{MessageId, Qos, TopicFilter};
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

const EXTRA: u8 = 1 << 4;
const GROUP: u8 = 1 << 5;

/// How an entry is delivered.
pub(super) struct Manner<Ids, Group> {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) ids: Ids,
    pub(super) group: Group,
    /// The caller's own flag.
    pub(super) extra: bool,
}

pub(super) fn write_manner(into: &mut Vec<u8>, manner: &Manner<&[u32], Option<&TopicFilter>>) {
    let Manner { qos, retain, ids, group, extra } = manner;
    let flag = |bit: u8, set: bool| if set { bit } else { 0 };
    let flags = flag(RETAIN, *retain) | flag(IDS, !ids.is_empty()) | flag(EXTRA, *extra) | flag(GROUP, group.is_some());
    into.push(qos.bits() | flags);
    if !ids.is_empty() {
        number(into, ids.len() as u64);
        ids.iter().for_each(|&id| number(into, id.into()));
    }
    group.iter().for_each(|group| bytes(into, group.as_str().as_bytes()));
}

pub(super) fn read_manner(from: &mut Decoder<'_>) -> Result<Manner<Box<[u32]>, Option<TopicFilter>>, Malformed> {
    let flags = from.byte()?;
    if flags & !(3 | RETAIN | IDS | EXTRA | GROUP) != 0 {
        return Err(Malformed::Field("entry flag"));
    }
    let qos = Qos::from_bits(flags & 3).ok_or(Malformed::Field("quality of service"))?;
    let count = if flags & IDS == 0 { 0 } else { from.count()? };
    let ids = (0..count).map(|_| from.small("subscription identifier")).collect::<Result<_, _>>()?;
    let group = if flags & GROUP == 0 { None } else { Some(read_group(from)?) };
    Ok(Manner { qos, retain: flags & RETAIN != 0, ids, group, extra: flags & EXTRA != 0 })
}

fn read_group(from: &mut Decoder<'_>) -> Result<TopicFilter, Malformed> {
    TopicFilter::new(from.text("group")?).map_err(|_| Malformed::Field("group"))
}
