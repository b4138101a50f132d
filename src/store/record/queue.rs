//! A queue in the index: its head, and runs of entries.
//!
//! A run is written once and never changed; what is finished of it stands in
//! the head. A message of one run lies in the run, one of several stands apart
//! under a number that the runs name.

use std::sync::Arc;

use super::message::{read_manner, write_manner};
use super::{Decoder, Malformed, number, read_message, sealed, unsealed, write_message};
use crate::mqtt::Qos;
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
    /// Apart, under this number.
    Apart(u64),
}

/// An entry of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct RunEntry {
    pub(in crate::store) seq: u64,
    pub(in crate::store) qos: Qos,
    pub(in crate::store) retain: bool,
    pub(in crate::store) subscription_ids: Box<[u32]>,
    pub(in crate::store) body: Body,
}

/// Entries in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Run {
    pub(in crate::store) entries: Vec<RunEntry>,
}

impl Run {
    /// The value under `key`.
    pub(in crate::store) fn to_bytes(&self, key: &[u8], epoch: u32) -> Vec<u8> {
        sealed(key, |into| {
            number(into, epoch.into());
            number(into, self.entries.len() as u64);
            let mut last = 0;
            for entry in &self.entries {
                number(into, entry.seq - last);
                last = entry.seq;
                let apart = matches!(entry.body, Body::Apart(_));
                write_manner(into, entry.qos, entry.retain, &entry.subscription_ids, apart);
                match &entry.body {
                    Body::Here(message) => write_message(into, message),
                    Body::Apart(body) => number(into, *body),
                }
            }
        })
    }

    pub(in crate::store) fn from_bytes(key: &[u8], value: &[u8]) -> Result<Self, Malformed> {
        let mut from = unsealed(key, value)?;
        let _epoch: u32 = from.small("epoch")?;
        let count = from.count()?;
        let (mut entries, mut last) = (Vec::with_capacity(count), 0_u64);
        for _ in 0..count {
            let seq = last.checked_add(from.number()?).ok_or(Malformed::Field("number"))?;
            last = seq;
            let manner = read_manner(&mut from)?;
            let body = match manner.extra {
                true => Body::Apart(from.number()?),
                false => Body::Here(Arc::new(read_message(&mut from)?)),
            };
            let (qos, retain, subscription_ids) = (manner.qos, manner.retain, manner.ids);
            entries.push(RunEntry { seq, qos, retain, subscription_ids, body });
        }
        from.end()?;
        Ok(Self { entries })
    }

    /// The numbers between its first and its last.
    pub(in crate::store) fn span(&self) -> std::ops::Range<u64> {
        let first = self.entries.first().map_or(0, |entry| entry.seq);
        first..self.entries.last().map_or(0, |entry| entry.seq.saturating_add(1))
    }
}
