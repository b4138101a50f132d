//! What the log keeps of one sync: batches, each message once.
//!
//! An entry that is finished within its own group is left out: its number is
//! kept by the change that finished it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::message::{Manner, read_manner, write_manner};
use super::{Decoder, Malformed, bytes, number, read_message, write_message};
use crate::store::intervals::Intervals;
use crate::store::{Batch, Op, QueueEntry, SessionUid, StoredMessage, Table};

const END: u8 = 0;
const ENQUEUE: u8 = 1;
/// As ENQUEUE, for the same session, with the distance to the number before.
const MORE: u8 = 2;
const ADVANCE: u8 = 3;
const RELEASED: u8 = 4;
const HOLD: u8 = 5;
const FREE: u8 = 6;
const DROP: u8 = 7;
const PUT: u8 = 8;
const DELETE: u8 = 9;

/// What a group finishes, to leave out what it also begins.
#[derive(Default)]
struct Finished {
    sessions: HashMap<SessionUid, (u64, Intervals), RandomState>,
}

impl Finished {
    fn of<'a>(batches: impl Iterator<Item = &'a Batch>) -> Self {
        let mut finished = Self::default();
        for op in batches.flat_map(|batch| &batch.ops) {
            match op {
                Op::Advance { session, up_to, sparse } => {
                    let (wanted, more) = finished.sessions.entry(*session).or_default();
                    *wanted = (*wanted).max(*up_to);
                    sparse.iter().for_each(|&seq| more.insert(seq));
                }
                Op::DropSession { session } => {
                    drop(finished.sessions.insert(*session, (u64::MAX, Intervals::default())))
                }
                _ => {}
            }
        }
        finished
    }

    fn holds(&self, session: SessionUid, seq: u64) -> bool {
        !self.sessions.is_empty()
            && self.sessions.get(&session).is_some_and(|(wanted, more)| seq < *wanted || more.contains(seq))
    }
}

/// Appends a group; answers how many entries were left out of it.
pub(in crate::store) fn write_group(into: &mut Vec<u8>, batches: &[Arc<Batch>]) -> u64 {
    let finished = Finished::of(batches.iter().map(|batch| &**batch));
    let mut writer = Writer { into, messages: HashMap::default(), last: None, left_out: 0 };
    number(writer.into, batches.len() as u64);
    for batch in batches {
        batch.ops.iter().for_each(|op| writer.op(op, &finished));
        writer.into.push(END);
        writer.last = None;
    }
    writer.left_out
}

struct Writer<'a> {
    into: &'a mut Vec<u8>,
    /// Messages by where they lie; the batches keep them there.
    messages: HashMap<*const StoredMessage, u64, RandomState>,
    /// The entry before, when it was an entry.
    last: Option<(SessionUid, u64)>,
    left_out: u64,
}

impl Writer<'_> {
    fn op(&mut self, op: &Op, finished: &Finished) {
        if let Op::Enqueue { session, entry } = op {
            if finished.holds(*session, entry.seq) {
                self.left_out += 1;
            } else {
                self.enqueue(*session, entry);
            }
            return;
        }
        self.last = None;
        match op {
            Op::Enqueue { .. } => {}
            Op::Advance { session, up_to, sparse } => {
                self.head(ADVANCE, *session);
                number(self.into, *up_to);
                number(self.into, sparse.len() as u64);
                sparse.iter().for_each(|&seq| number(self.into, seq));
            }
            Op::Released { session, seq } => {
                self.head(RELEASED, *session);
                number(self.into, *seq);
            }
            Op::SetInbound { session, packet_id, held } => {
                self.head(if *held { HOLD } else { FREE }, *session);
                number(self.into, (*packet_id).into());
            }
            Op::DropSession { session } => self.head(DROP, *session),
            Op::Put { table, key, value } => {
                self.into.extend([PUT, table.code()]);
                bytes(self.into, key);
                bytes(self.into, value);
            }
            Op::Delete { table, key } => {
                self.into.extend([DELETE, table.code()]);
                bytes(self.into, key);
            }
        }
    }

    fn head(&mut self, tag: u8, session: SessionUid) {
        self.into.push(tag);
        number(self.into, session.0);
    }

    fn enqueue(&mut self, session: SessionUid, entry: &QueueEntry) {
        match self.last {
            Some((last, seq)) if last == session && seq <= entry.seq => {
                self.into.push(MORE);
                number(self.into, entry.seq - seq);
            }
            _ => {
                self.head(ENQUEUE, session);
                number(self.into, entry.seq);
            }
        }
        self.last = Some((session, entry.seq));
        let next = self.messages.len() as u64;
        let known = *self.messages.entry(Arc::as_ptr(&entry.message)).or_insert(next);
        let (qos, retain, ids, group) = (entry.qos, entry.retain, &*entry.subscription_ids, entry.group.as_ref());
        write_manner(self.into, &Manner { qos, retain, ids, group, extra: known < next });
        if known < next {
            number(self.into, known);
        } else {
            write_message(self.into, &entry.message);
        }
    }
}

/// Reads what [`write_group`] wrote, batch by batch.
#[derive(Debug)]
pub(in crate::store) struct GroupReader<'a> {
    from: Decoder<'a>,
    batches: usize,
    messages: Vec<Arc<StoredMessage>>,
}

impl<'a> GroupReader<'a> {
    pub(in crate::store) fn new(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Decoder::new(payload);
        let batches = from.count()?;
        Ok(Self { from, batches, messages: Vec::new() })
    }

    /// The next batch; `None` behind the last.
    pub(in crate::store) fn next_batch(&mut self) -> Result<Option<Batch>, Malformed> {
        let Some(left) = self.batches.checked_sub(1) else {
            return self.from.end().map(|()| None);
        };
        self.batches = left;
        let (mut batch, mut last) = (Batch::default(), None);
        while let Some(op) = self.op(last)? {
            last = match &op {
                Op::Enqueue { session, entry } => Some((*session, entry.seq)),
                _ => None,
            };
            batch.push(op);
        }
        Ok(Some(batch))
    }

    fn op(&mut self, last: Option<(SessionUid, u64)>) -> Result<Option<Op>, Malformed> {
        let tag = self.from.byte()?;
        Ok(Some(match tag {
            END => return Ok(None),
            PUT => Op::Put { table: self.table()?, key: self.from.bytes()?.into(), value: self.from.bytes()?.into() },
            DELETE => Op::Delete { table: self.table()?, key: self.from.bytes()?.into() },
            MORE => {
                let (session, seq) = last.ok_or(Malformed::Field("entry"))?;
                let seq = seq.checked_add(self.from.number()?).ok_or(Malformed::Field("number"))?;
                self.entry(session, seq)?
            }
            _ => self.op_of_session(tag)?,
        }))
    }

    fn op_of_session(&mut self, tag: u8) -> Result<Op, Malformed> {
        let session = SessionUid(self.from.number()?);
        Ok(match tag {
            ENQUEUE => {
                let seq = self.from.number()?;
                self.entry(session, seq)?
            }
            ADVANCE => {
                let (up_to, count) = (self.from.number()?, self.from.count()?);
                let sparse = (0..count).map(|_| self.from.number()).collect::<Result<_, _>>()?;
                Op::Advance { session, up_to, sparse }
            }
            RELEASED => Op::Released { session, seq: self.from.number()? },
            HOLD | FREE => {
                let packet_id = self.from.small("packet identifier")?;
                Op::SetInbound { session, packet_id, held: tag == HOLD }
            }
            DROP => Op::DropSession { session },
            _ => return Err(Malformed::Field("change")),
        })
    }

    fn table(&mut self) -> Result<Table, Malformed> {
        let code = self.from.byte()?;
        Table::from_code(code).ok_or(Malformed::NewerTable(code))
    }

    fn entry(&mut self, session: SessionUid, seq: u64) -> Result<Op, Malformed> {
        let manner = read_manner(&mut self.from)?;
        let message = if manner.extra {
            let known: usize = self.from.small("message")?;
            Arc::clone(self.messages.get(known).ok_or(Malformed::Field("message"))?)
        } else {
            let message = Arc::new(read_message(&mut self.from)?);
            self.messages.push(Arc::clone(&message));
            message
        };
        let (qos, retain, subscription_ids, group) = (manner.qos, manner.retain, manner.ids, manner.group);
        Ok(Op::Enqueue { session, entry: QueueEntry { seq, qos, retain, subscription_ids, group, message } })
    }
}
