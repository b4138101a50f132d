//! Reads: what is in memory first, then what is on disk.
//!
//! Invariant: memory is looked at before the view of the disk is taken, so that
//! what moves from one to the other meanwhile is seen at least once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::EmbeddedStore;
use super::engine::{Read, View, key_of, kind, row_key, run_key};
use super::fold::floor_run;
use super::pending::Sight;
use crate::store::record::{self, Body, Head, Run, RunEntry, weight};
use crate::store::{Load, Position, QueueEntry, Queued, Row, SessionUid, StoreError, StoredMessage, Table};
use crate::telemetry::metrics::Counter;

impl EmbeddedStore {
    pub(super) fn read_queue(&self, session: SessionUid, from: u64, limit: usize) -> Result<Vec<Queued>, StoreError> {
        let Some(sight) = self.pending.sight(session, from, limit) else { return Ok(Vec::new()) };
        let durable = self.commits.durable();
        let from = from.max(sight.wanted);
        let (mut entries, head) = if sight.stored {
            self.with_engine(|engine| QueueOnDisk::new(&engine.view(), session)?.entries(&sight, from, limit))?
        } else {
            (BTreeMap::new(), Head::default())
        };
        for (entry, position) in &sight.entries {
            if entry.seq >= from && !head.is_finished(entry.seq) {
                let position = if *position <= durable { Position::NONE } else { *position };
                entries.entry(entry.seq).or_insert_with(|| (entry.clone(), position));
            }
        }
        let queued = |(entry, position): (QueueEntry, Position)| {
            let released = sight.released.contains(entry.seq) || head.released.contains(entry.seq);
            Queued { entry, released, position }
        };
        Ok(entries.into_values().take(limit).map(queued).collect())
    }

    pub(super) fn read_inbound(&self, session: SessionUid) -> Result<Vec<u16>, StoreError> {
        let Some(sight) = self.pending.sight(session, u64::MAX, 0) else { return Ok(Vec::new()) };
        let mut inbound = self.head(session, &sight)?.inbound;
        for (packet_id, held) in sight.inbound {
            if held { inbound.insert(packet_id.into()) } else { inbound.remove(packet_id.into()) }
        }
        Ok(inbound.iter().flatten().filter_map(|packet_id| u16::try_from(packet_id).ok()).collect())
    }

    pub(super) fn read_released(&self, session: SessionUid) -> Result<Vec<u64>, StoreError> {
        let Some(sight) = self.pending.sight(session, u64::MAX, 0) else { return Ok(Vec::new()) };
        let mut released = self.head(session, &sight)?.released;
        sight.released.iter().for_each(|piece| released.insert_range(piece));
        Ok(released.iter().flatten().filter(|seq| *seq >= sight.wanted && !sight.finished.contains(*seq)).collect())
    }

    /// Finished entries of runs on disk are counted with the bytes of the mean.
    pub(super) fn read_load(&self, session: SessionUid) -> Result<Load, StoreError> {
        let Some(sight) = self.pending.sight(session, 0, usize::MAX) else { return Ok(Load::default()) };
        let head = self.head(session, &sight)?;
        let here = |(entry, _): &(QueueEntry, Position)| weight(&entry.message);
        let mut load = Load { messages: sight.entries.len() as u64, bytes: sight.entries.iter().map(here).sum() };
        let on_disk = load_of(&head, sight.wanted);
        load.messages += on_disk.messages;
        load.bytes += on_disk.bytes;
        Ok(load)
    }

    fn head(&self, session: SessionUid, sight: &Sight) -> Result<Head, StoreError> {
        if sight.stored { self.with_engine(|engine| head_of(&engine.view(), session)) } else { Ok(Head::default()) }
    }

    pub(super) fn read_row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = row_key(table, key);
        self.with_engine(|engine| match engine.view().get(&key)? {
            Some(value) => Ok(Some(row_of(&key, &value).map_err(Read::Malformed)?)),
            None => Ok(None),
        })
    }

    pub(super) fn read_rows(
        &self,
        table: Table,
        prefix: &[u8],
        from: Bound<Vec<u8>>,
        most: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let prefix = row_key(table, prefix);
        let from = match from {
            Bound::Included(key) => Bound::Included(row_key(table, &key)),
            Bound::Excluded(key) => Bound::Excluded(row_key(table, &key)),
            Bound::Unbounded => Bound::Included(prefix.clone()),
        };
        self.with_engine(|engine| {
            let (view, mut rows) = (engine.view(), Vec::new());
            for row in view.range((from, Bound::Unbounded)) {
                let (key, value) = row?;
                if rows.len() >= most || !key.starts_with(&prefix) {
                    break;
                }
                match row_of(&key, &value) {
                    Ok(value) => rows.push(Row { key: key.get(2..).unwrap_or_default().to_vec(), value }),
                    Err(_) => Counter::StoreDamagedRecords.one(),
                }
            }
            Ok(rows)
        })
    }
}

/// What a queue holds on disk from `wanted` on.
pub(super) fn load_of(head: &Head, wanted: u64) -> Load {
    let wanted = head.wanted.max(wanted);
    let on_disk = head.unused.saturating_sub(wanted).min(head.entries);
    let finished = head.finished.iter().flatten().filter(|seq| *seq >= wanted).count() as u64;
    let messages = on_disk.saturating_sub(finished);
    Load { messages, bytes: (head.weight / head.entries.max(1)).saturating_mul(messages) }
}

fn row_of(key: &[u8], value: &[u8]) -> Result<Vec<u8>, record::Malformed> {
    let mut from = record::unsealed(key, value)?;
    from.take(from.left()).map(<[u8]>::to_vec)
}

/// The head of a queue on disk; an empty one when there is none, or none that
/// can be read.
fn head_of(view: &View<'_>, session: SessionUid) -> Result<Head, StoreError> {
    match view.head(session) {
        Ok(head) => Ok(head.unwrap_or_default()),
        Err(Read::Malformed(_)) => {
            Counter::StoreDamagedRecords.one();
            Ok(Head::default())
        }
        Err(Read::Failed(error)) => Err(error),
    }
}

/// Entries by their numbers, with where they are durable.
type Entries = BTreeMap<u64, (QueueEntry, Position)>;

/// A queue at one moment of the index.
struct QueueOnDisk<'a> {
    view: &'a View<'a>,
    session: SessionUid,
    head: Head,
    /// Messages that stand apart, as far as they were read.
    bodies: HashMap<u64, Arc<StoredMessage>, RandomState>,
}

impl<'a> QueueOnDisk<'a> {
    fn new(view: &'a View<'a>, session: SessionUid) -> Result<Self, StoreError> {
        Ok(Self { view, session, head: head_of(view, session)?, bodies: HashMap::default() })
    }

    /// Up to `limit` wanted entries from `from` on.
    fn entries(mut self, sight: &Sight, from: u64, limit: usize) -> Result<(Entries, Head), StoreError> {
        let mut entries = Entries::new();
        if self.head.entries == 0 {
            return Ok((entries, self.head));
        }
        let first = floor_run(self.view, self.session, self.head.lowest_run, from)?.unwrap_or(from);
        let range = (Bound::Included(run_key(self.session, first)), Bound::Included(run_key(self.session, u64::MAX)));
        for row in self.view.range(range) {
            let (key, value) = row?;
            if entries.len() >= limit {
                break;
            }
            let Some((first, run)) = super::engine::first_of(&key).zip(Run::from_bytes(&key, &value).ok()) else {
                Counter::StoreDamagedRecords.one();
                continue;
            };
            for (seq, entry) in (first..).zip(run.entries) {
                let is_finished = seq < from || sight.finished.contains(seq) || self.head.is_finished(seq);
                if is_finished || entries.len() >= limit {
                    continue;
                }
                if let Some(entry) = self.entry(seq, entry)? {
                    entries.insert(seq, (entry, Position::NONE));
                }
            }
        }
        Ok((entries, self.head))
    }

    fn entry(&mut self, seq: u64, entry: RunEntry) -> Result<Option<QueueEntry>, StoreError> {
        let RunEntry { qos, retain, subscription_ids, group, body } = entry;
        let message = match body {
            Body::Here(message) => Some(message),
            Body::Apart { body, .. } => self.body(body)?,
        };
        Ok(message.map(|message| QueueEntry { seq, qos, retain, subscription_ids, group, message }))
    }

    fn body(&mut self, body: u64) -> Result<Option<Arc<StoredMessage>>, StoreError> {
        if let Some(message) = self.bodies.get(&body) {
            return Ok(Some(Arc::clone(message)));
        }
        let key = key_of(kind::BODY, body);
        let message = self.view.get(&key)?.and_then(|value| {
            let mut from = record::unsealed(&key, &value).ok()?;
            record::read_message(&mut from).ok()
        });
        let Some(message) = message.map(Arc::new) else {
            Counter::StoreDamagedRecords.one();
            return Ok(None);
        };
        self.bodies.insert(body, Arc::clone(&message));
        Ok(Some(message))
    }
}
