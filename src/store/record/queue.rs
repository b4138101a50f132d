//! A queue in the index: its head, and runs of entries.
//!
//! A run is written once and never changed; what is finished of it stands in
//! the head. A message of one run lies in the run, one of several stands apart
//! under a number that the runs name.

use std::sync::Arc;

use super::message::{Manner, read_manner, write_manner};
use super::{Decoder, Malformed, number, read_message, sealed, unsealed, write_message};
use crate::mqtt::{Qos, TopicFilter};
use crate::store::StoredMessage;
use crate::store::intervals::Intervals;

/// What is known of a queue beside its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Head {
    /// The epoch of the owner that wrote it.
    pub(in crate::store) epoch: u32,
    /// Every entry below is finished.
    pub(in crate::store) wanted: u64,
    /// The high-water mark: no number from here on was ever used.
    pub(in crate::store) unused: u64,
    /// No run begins below.
    pub(in crate::store) lowest_run: u64,
    /// How many entries its runs hold, finished ones included, so that a run
    /// that is missing is noticed.
    pub(in crate::store) entries: u64,
    /// What the messages of these entries weigh.
    pub(in crate::store) weight: u64,
    /// Finished although `wanted` is below.
    pub(in crate::store) finished: Intervals,
    /// PUBREC came, PUBCOMP has not.
    pub(in crate::store) released: Intervals,
    /// Packet identifiers of incoming QoS 2 publications.
    pub(in crate::store) inbound: Intervals,
}

fn write_intervals(into: &mut Vec<u8>, intervals: &Intervals) {
    number(into, intervals.pieces() as u64);
    let mut last = 0;
    for piece in intervals.iter() {
        number(into, piece.start - last);
        number(into, piece.end - piece.start);
        last = piece.end;
    }
}

fn read_intervals(from: &mut Decoder<'_>) -> Result<Intervals, Malformed> {
    let (mut intervals, mut last) = (Intervals::default(), 0_u64);
    for _ in 0..from.count()? {
        let start = last.checked_add(from.number()?).ok_or(Malformed::Field("interval"))?;
        last = start.checked_add(from.number()?).ok_or(Malformed::Field("interval"))?;
        intervals.insert_range(start..last);
    }
    Ok(intervals)
}

impl Head {
    /// The value under `key`.
    pub(in crate::store) fn to_bytes(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |into| {
            number(into, self.epoch.into());
            number(into, self.wanted);
            number(into, self.unused);
            number(into, self.lowest_run);
            number(into, self.entries);
            number(into, self.weight);
            write_intervals(into, &self.finished);
            write_intervals(into, &self.released);
            write_intervals(into, &self.inbound);
        })
    }

    pub(in crate::store) fn from_bytes(key: &[u8], value: &[u8]) -> Result<Self, Malformed> {
        let mut from = unsealed(key, value)?;
        let head = Self {
            epoch: from.small("epoch")?,
            wanted: from.number()?,
            unused: from.number()?,
            lowest_run: from.number()?,
            entries: from.number()?,
            weight: from.number()?,
            finished: read_intervals(&mut from)?,
            released: read_intervals(&mut from)?,
            inbound: read_intervals(&mut from)?,
        };
        from.end()?;
        Ok(head)
    }

    pub(in crate::store) fn is_finished(&self, seq: u64) -> bool {
        seq < self.wanted || self.finished.contains(seq)
    }
}

/// Where an entry's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Body {
    /// In the run.
    Here(Arc<StoredMessage>),
    /// Apart.
    Apart {
        /// Its number.
        body: u64,
        /// The bytes of the message, as [`weight`] counts them.
        weight: u64,
    },
}

/// What a message counts for in the size of a queue.
pub(in crate::store) fn weight(message: &StoredMessage) -> u64 {
    (message.topic.len() + message.properties.len() + message.payload.len()) as u64
}

/// An entry of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct RunEntry {
    pub(in crate::store) qos: Qos,
    pub(in crate::store) retain: bool,
    pub(in crate::store) subscription_ids: Box<[u32]>,
    pub(in crate::store) group: Option<TopicFilter>,
    pub(in crate::store) body: Body,
}

/// Entries whose numbers follow each other; the key holds the first, so that
/// the spans of two runs never overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Run {
    pub(in crate::store) entries: Vec<RunEntry>,
}

/// What a run holds, without its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Outline {
    pub(in crate::store) entries: u64,
    pub(in crate::store) weight: u64,
    /// The messages that it shares with other runs.
    pub(in crate::store) bodies: Vec<u64>,
}

impl Run {
    /// The value under `key`.
    pub(in crate::store) fn to_bytes(&self, key: &[u8], epoch: u32) -> Vec<u8> {
        sealed(key, |into| {
            number(into, epoch.into());
            number(into, self.entries.len() as u64);
            for entry in &self.entries {
                let RunEntry { qos, retain, subscription_ids: ids, group, body } = entry;
                let extra = matches!(body, Body::Apart { .. });
                write_manner(into, &Manner { qos: *qos, retain: *retain, ids, group: group.as_ref(), extra });
                match &entry.body {
                    Body::Here(message) => write_message(into, message),
                    Body::Apart { body, weight } => {
                        number(into, *body);
                        number(into, *weight);
                    }
                }
            }
        })
    }

    pub(in crate::store) fn from_bytes(key: &[u8], value: &[u8]) -> Result<Self, Malformed> {
        let mut run = Self::default();
        each_entry(key, value, |entry| run.entries.push(entry))?;
        Ok(run)
    }

    pub(in crate::store) fn outline(&self) -> Outline {
        let mut outline = Outline::default();
        self.entries.iter().for_each(|entry| outline.add(&entry.body));
        outline
    }
}

impl Outline {
    /// The outline of the run under `key`.
    pub(in crate::store) fn of(key: &[u8], value: &[u8]) -> Result<Self, Malformed> {
        let mut outline = Self::default();
        each_entry(key, value, |entry| outline.add(&entry.body))?;
        Ok(outline)
    }

    fn add(&mut self, body: &Body) {
        self.entries += 1;
        match body {
            Body::Here(message) => self.weight = self.weight.saturating_add(weight(message)),
            Body::Apart { body, weight } => {
                self.weight = self.weight.saturating_add(*weight);
                self.bodies.push(*body);
            }
        }
    }
}

fn each_entry(key: &[u8], value: &[u8], mut take: impl FnMut(RunEntry)) -> Result<(), Malformed> {
    let mut from = unsealed(key, value)?;
    let _epoch: u32 = from.small("epoch")?;
    for _ in 0..from.count()? {
        let manner = read_manner(&mut from)?;
        let body = match manner.extra {
            true => Body::Apart { body: from.number()?, weight: from.number()? },
            false => Body::Here(Arc::new(read_message(&mut from)?)),
        };
        let (qos, retain, subscription_ids, group) = (manner.qos, manner.retain, manner.ids, manner.group);
        take(RunEntry { qos, retain, subscription_ids, group, body });
    }
    from.end()
}
