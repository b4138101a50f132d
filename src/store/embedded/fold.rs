//! From groups of batches to one change of the index.
//!
//! What lives here: what is left of a stretch of the log when everything that
//! came and went within it is struck out, and how that changes the records of
//! the index. What does not: when it happens (`applier`). Invariant: the result
//! depends on the index and the groups alone, so that the log can be read again
//! after a crash and leads to the same index.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::engine::{APPLIED, Changes, DEAD, Read, View, first_of, key_of, kind, row_key, run_key};
use crate::store::intervals::Intervals;
use crate::store::record::{Body, Head, Outline, Run, RunEntry, sealed, weight, write_message};
use crate::store::{Batch, Op, QueueEntry, SessionUid, StoredMessage, Table};
use crate::telemetry::metrics::Counter;

/// Entries of a run at most.
const RUN_ENTRIES: usize = 128;
/// Bytes of the messages in a run, after which it ends.
const RUN_BYTES: u64 = 1 << 18;

/// What a stretch of the log leaves.
#[derive(Debug, Default)]
pub(super) struct Fold {
    sessions: HashMap<SessionUid, SessionFold, RandomState>,
    rows: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

#[derive(Debug, Default)]
struct SessionFold {
    entries: Vec<QueueEntry>,
    wanted: u64,
    unused: u64,
    finished: Intervals,
    released: Intervals,
    inbound: BTreeMap<u16, bool>,
    dropped: bool,
}

/// What the applier must know to write.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) epoch: u32,
    /// The number of the next message that stands apart.
    pub(super) next_body: &'a AtomicU64,
    /// Bytes of the index that nobody wants any more.
    pub(super) dead: &'a AtomicU64,
}

impl Fold {
    /// Takes a batch in; batches come in the order of the log.
    pub(super) fn add(&mut self, batch: &Batch) {
        for op in &batch.ops {
            match op {
                Op::Put { table, key, value } => {
                    drop(self.rows.insert((*table, key.clone()), Some(value.clone())));
                }
                Op::Delete { table, key } => drop(self.rows.insert((*table, key.clone()), None)),
                Op::Enqueue { session, .. }
                | Op::Advance { session, .. }
                | Op::Released { session, .. }
                | Op::SetInbound { session, .. }
                | Op::DropSession { session } => self.sessions.entry(*session).or_default().add(op),
            }
        }
    }

    pub(super) fn sessions(&self) -> Vec<SessionUid> {
        self.sessions.keys().copied().collect()
    }

    /// The change of the index behind `view`, up to group `number`.
    pub(super) fn changes(self, view: &View<'_>, number: u64, writer: &Writer<'_>) -> Result<Changes, Read> {
        let mut out = Out { view, writer, changes: Changes::default(), shares: HashMap::default() };
        let mut bodies = Bodies::default();
        let mut queues = Vec::with_capacity(self.sessions.len());
        for (session, fold) in self.sessions {
            let old = view.head(session)?;
            if fold.dropped {
                out.drop_queue(session, &old.unwrap_or_default())?;
                continue;
            }
            let (queue, fresh) = out.head(session, old, fold)?;
            fresh.iter().for_each(|entry| bodies.count(&entry.message));
            queues.push((session, queue, fresh));
        }
        for (session, head, fresh) in queues {
            out.write_queue(session, head, &fresh, &mut bodies);
        }
        out.write_shares()?;
        for ((table, key), value) in self.rows {
            let key = row_key(table, &key);
            out.bury(view.size_of(&key)?);
            match value {
                Some(value) => {
                    let value = sealed(&key, |into| into.extend_from_slice(&value));
                    out.changes.put(key, value);
                }
                None => out.changes.deletes.push(key),
            }
        }
        out.changes.put_number(DEAD, writer.dead.load(Ordering::Relaxed));
        out.changes.put_number(APPLIED, number);
        Ok(out.changes)
    }
}

impl SessionFold {
    fn add(&mut self, op: &Op) {
        if self.dropped {
            return;
        }
        match op {
            Op::Enqueue { entry, .. } => {
                self.unused = self.unused.max(entry.seq.saturating_add(1));
                if entry.seq >= self.wanted && !self.finished.contains(entry.seq) {
                    self.entries.push(entry.clone());
                }
            }
            Op::Advance { up_to, sparse, .. } => {
                self.wanted = self.wanted.max(*up_to);
                sparse.iter().for_each(|&seq| self.finished.insert(seq));
            }
            Op::Released { seq, .. } => self.released.insert(*seq),
            Op::SetInbound { packet_id, held, .. } => drop(self.inbound.insert(*packet_id, *held)),
            Op::DropSession { .. } => *self = Self { dropped: true, ..Self::default() },
            Op::Put { .. } | Op::Delete { .. } => {}
        }
    }
}

/// How many entries want each message.
#[derive(Debug, Default)]
struct Bodies {
    wanted: HashMap<*const StoredMessage, Apart, RandomState>,
}

#[derive(Debug, Default)]
struct Apart {
    entries: u64,
    /// Its number, when it is written.
    body: Option<u64>,
}

impl Bodies {
    fn count(&mut self, message: &Arc<StoredMessage>) {
        self.wanted.entry(Arc::as_ptr(message)).or_default().entries += 1;
    }
}

struct Out<'a> {
    view: &'a View<'a>,
    writer: &'a Writer<'a>,
    changes: Changes,
    /// By how much the number of sharers of a message changes.
    shares: HashMap<u64, i64, RandomState>,
}

impl Out<'_> {
    fn bury(&self, bytes: u64) {
        self.writer.dead.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The new head of a queue and the entries to be written; runs of which
    /// nothing is wanted any more are deleted.
    fn head(
        &mut self,
        session: SessionUid,
        old: Option<Head>,
        fold: SessionFold,
    ) -> Result<(Head, Vec<QueueEntry>), Read> {
        let mut head = old.unwrap_or_default();
        let newly = new_ends(&head, &fold);
        head.epoch = self.writer.epoch;
        head.wanted = head.wanted.max(fold.wanted);
        fold.finished.iter().for_each(|piece| head.finished.insert_range(piece));
        fold.released.iter().for_each(|piece| head.released.insert_range(piece));
        head.unused = head.unused.max(fold.unused).max(head.wanted).max(head.finished.end().unwrap_or(0));
        for (packet_id, held) in fold.inbound {
            if held { head.inbound.insert(packet_id.into()) } else { head.inbound.remove(packet_id.into()) }
        }
        self.delete_runs(session, &mut head, newly)?;
        head.finished.cut_below(head.wanted);
        head.released.cut_below(head.wanted);
        let mut fresh: Vec<_> = fold.entries.into_iter().filter(|entry| !head.is_finished(entry.seq)).collect();
        fresh.sort_by_key(|entry| entry.seq);
        fresh.dedup_by_key(|entry| entry.seq);
        Ok((head, fresh))
    }

    /// Deletes runs that end in `newly` and of which all is finished.
    fn delete_runs(&mut self, session: SessionUid, head: &mut Head, newly: Intervals) -> Result<(), Read> {
        if head.entries == 0 {
            head.lowest_run = head.lowest_run.max(head.wanted);
            return Ok(());
        }
        // Pieces and runs are in order: no run is looked at twice.
        let mut done = head.lowest_run;
        for piece in newly.iter() {
            let from = floor_run(self.view, session, done, piece.start)?.unwrap_or(piece.start).max(done);
            let mut kept = None;
            for run in runs(self.view, session, from) {
                let run = run?;
                let span = run.span();
                if span.start >= piece.end {
                    kept = kept.or(Some(span.start));
                    break;
                }
                done = span.end;
                let above = span.start.max(head.wanted)..span.end.max(head.wanted);
                if head.finished.covers(&above) {
                    self.delete_run(head, run);
                } else {
                    kept = kept.or(Some(span.start));
                }
            }
            if piece.start <= head.lowest_run {
                head.lowest_run = kept.unwrap_or(piece.end).max(head.lowest_run);
            }
        }
        if head.entries == 0 {
            head.lowest_run = head.wanted;
        }
        Ok(())
    }

    fn delete_run(&mut self, head: &mut Head, run: FoundRun) {
        self.bury(run.size);
        head.entries = head.entries.saturating_sub(run.outline.entries);
        head.weight = head.weight.saturating_sub(run.outline.weight);
        run.outline.bodies.iter().for_each(|&body| *self.shares.entry(body).or_default() -= 1);
        self.changes.deletes.push(run.key);
    }

    fn drop_queue(&mut self, session: SessionUid, head: &Head) -> Result<(), Read> {
        for run in runs(self.view, session, head.lowest_run) {
            let mut gone = head.clone();
            self.delete_run(&mut gone, run?);
        }
        self.changes.deletes.push(key_of(kind::HEAD, session.0));
        Ok(())
    }

    fn write_queue(&mut self, session: SessionUid, mut head: Head, fresh: &[QueueEntry], bodies: &mut Bodies) {
        let mut run = Run::default();
        let (mut first, mut next, mut bytes) = (0, 0, 0);
        for entry in fresh {
            let is_whole = run.entries.len() >= RUN_ENTRIES || bytes >= RUN_BYTES || entry.seq != next;
            if is_whole && !run.entries.is_empty() {
                self.write_run(session, first, std::mem::take(&mut run), &mut head);
            }
            if run.entries.is_empty() {
                (first, bytes) = (entry.seq, 0);
            }
            let body = self.body(&entry.message, bodies);
            if let Body::Here(message) = &body {
                bytes += weight(message);
            }
            let (subscription_ids, group) = (entry.subscription_ids.clone(), entry.group.clone());
            run.entries.push(RunEntry { qos: entry.qos, retain: entry.retain, subscription_ids, group, body });
            next = entry.seq.saturating_add(1);
        }
        if !run.entries.is_empty() {
            self.write_run(session, first, run, &mut head);
        }
        let key = key_of(kind::HEAD, session.0);
        let value = head.to_bytes(&key);
        self.changes.put(key, value);
    }

    fn write_run(&mut self, session: SessionUid, first: u64, run: Run, head: &mut Head) {
        let outline = run.outline();
        // The first run may be a late one.
        head.lowest_run = if head.entries == 0 { first } else { head.lowest_run.min(first) };
        head.entries += outline.entries;
        head.weight += outline.weight;
        let key = run_key(session, first);
        let value = run.to_bytes(&key, self.writer.epoch);
        self.changes.put(key, value);
    }

    /// Where the message of an entry goes: into its run when nobody else wants
    /// it.
    fn body(&mut self, message: &Arc<StoredMessage>, bodies: &mut Bodies) -> Body {
        let Some(apart) = bodies.wanted.get_mut(&Arc::as_ptr(message)).filter(|apart| apart.entries > 1) else {
            return Body::Here(Arc::clone(message));
        };
        let weight = weight(message);
        if let Some(body) = apart.body {
            return Body::Apart { body, weight };
        }
        let body = self.writer.next_body.fetch_add(1, Ordering::Relaxed);
        apart.body = Some(body);
        let key = key_of(kind::BODY, body);
        let value = sealed(&key, |into| write_message(into, message));
        self.changes.put(key, value);
        self.changes.put_number(&key_of(kind::SHARES, body), apart.entries);
        Body::Apart { body, weight }
    }

    fn write_shares(&mut self) -> Result<(), Read> {
        for (body, change) in std::mem::take(&mut self.shares) {
            let key = key_of(kind::SHARES, body);
            let left = match self.view.number(&key) {
                Ok(Some(shares)) => shares.saturating_add_signed(change),
                Ok(None) => 0,
                // Who shares it is not known any more: it stays.
                Err(Read::Malformed(_)) => {
                    Counter::StoreDamagedRecords.one();
                    continue;
                }
                Err(error) => return Err(error),
            };
            if left == 0 {
                let body = key_of(kind::BODY, body);
                self.bury(self.view.size_of(&body)?);
                self.changes.deletes.push(body);
                self.changes.deletes.push(key);
            } else {
                self.changes.put_number(&key, left);
            }
        }
        Ok(())
    }
}

/// What `fold` finishes that `head` did not know.
fn new_ends(head: &Head, fold: &SessionFold) -> Intervals {
    let mut newly = Intervals::default();
    newly.insert_range(head.wanted..fold.wanted.max(head.wanted));
    if fold.wanted > head.wanted {
        // Runs below the point may have been kept for what was above it.
        newly.insert_range(head.lowest_run.min(head.wanted)..fold.wanted);
    }
    fold.finished.iter().for_each(|piece| newly.insert_range(piece));
    newly
}

/// A run in the index.
#[derive(Debug)]
pub(super) struct FoundRun {
    pub(super) key: Vec<u8>,
    pub(super) first: u64,
    pub(super) outline: Outline,
    /// Bytes of its key and value.
    pub(super) size: u64,
}

impl FoundRun {
    fn span(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.outline.entries)
    }
}

/// The runs of a queue from the one that begins at `first` on. One that cannot
/// be read is counted and passed over.
fn runs<'a>(view: &'a View<'_>, session: SessionUid, first: u64) -> impl Iterator<Item = Result<FoundRun, Read>> + 'a {
    let range = (Bound::Included(run_key(session, first)), Bound::Included(run_key(session, u64::MAX)));
    view.range(range).filter_map(|row| {
        let (key, value) = match row {
            Ok(row) => row,
            Err(error) => return Some(Err(Read::Failed(error))),
        };
        match (first_of(&key), Outline::of(&key, &value)) {
            (Some(first), Ok(outline)) => {
                let size = (key.len() + value.len()) as u64;
                Some(Ok(FoundRun { key: key.to_vec(), first, outline, size }))
            }
            _ => {
                Counter::StoreDamagedRecords.one();
                None
            }
        }
    })
}

/// Where the last run begins that does so at `seq` or below, and at `lowest` or
/// above.
pub(super) fn floor_run(view: &View<'_>, session: SessionUid, lowest: u64, seq: u64) -> Result<Option<u64>, Read> {
    if seq < lowest {
        return Ok(None);
    }
    let range = (Bound::Included(run_key(session, lowest)), Bound::Included(run_key(session, seq)));
    match view.range(range).next_back() {
        Some(row) => Ok(first_of(&row?.0)),
        None => Ok(None),
    }
}
