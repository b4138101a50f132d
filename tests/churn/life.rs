//! The life of a store under churn: sessions come and go, messages are queued,
//! taken, expire and overflow, retained messages are set and cleared.
//!
//! What lives here: the changes, the account of what the store must hold, and
//! the bound of what it may take on disk. What does not: how long it lasts.
//! Invariant: the same seed makes the same changes; what is held at any moment
//! is bounded, so a directory that grows with time has lost something.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use certus::mqtt::{MessageId, Qos};
use certus::store::{Batch, Op, Position, QueueEntry, SessionUid, Settings, Store, StoreError, StoredMessage, Table};

/// Sessions that are there at once.
const SESSIONS: usize = 200;
/// Messages that a queue holds at most; the oldest go.
const QUEUE: usize = 200;
/// Topics that have a retained message, or not.
const TOPICS: u64 = 2000;
const PAYLOAD: usize = 400;
/// What a record takes on disk beside its payload.
const RECORD: u64 = 200;

struct Session {
    uid: SessionUid,
    next: u64,
    held: BTreeSet<u64>,
}

/// See the module.
pub struct Churn {
    random: u64,
    sessions: Vec<Session>,
    retained: BTreeSet<u64>,
    next_uid: u64,
    published: u64,
    payload: Bytes,
    last: Position,
    /// Changes that were made.
    pub changes: u64,
}

impl Churn {
    pub fn new(seed: u64) -> Self {
        let mut churn = Self {
            random: seed.wrapping_mul(2) | 1,
            sessions: Vec::new(),
            retained: BTreeSet::new(),
            next_uid: 1,
            published: 0,
            payload: Bytes::new(),
            last: Position::NONE,
            changes: 0,
        };
        // Nothing that a compression could make small.
        churn.payload = (0..PAYLOAD * 64).map(|_| churn.below(256) as u8).collect();
        churn
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// The most that a store with these settings may take on disk for it. The
    /// log: the file that is written, the next one, and what the index does not
    /// hold yet. The journals of the index. Its tables: what is wanted, as much
    /// again that is dead before half of it is, or `compact_bytes`, and a copy
    /// while it is rewritten.
    pub fn bound(settings: &Settings) -> u64 {
        let log = 3 * settings.segment_bytes + settings.pending_bytes;
        let journals = (settings.segment_bytes * 4).max(1 << 26) + (64 << 20);
        let most = (SESSIONS * QUEUE) as u64 + TOPICS + 2 * SESSIONS as u64;
        let wanted = most * (PAYLOAD as u64 + RECORD);
        log + journals + 2 * (2 * wanted).max(wanted + settings.compact_bytes) + settings.memtable_bytes
    }

    /// Makes one batch of changes.
    pub fn turn(&mut self, store: &dyn Store) {
        let mut batch = Batch::default();
        match self.below(100) {
            0..2 => self.come_and_go(&mut batch),
            2..12 => self.retain(&mut batch),
            12..20 => self.expire(&mut batch),
            20..88 => self.publish(&mut batch),
            _ => self.take(&mut batch),
        }
        self.changes += batch.ops.len() as u64;
        self.last = appended(store, batch).max(self.last);
    }

    fn come_and_go(&mut self, batch: &mut Batch) {
        if self.sessions.len() == SESSIONS {
            let place = self.below(SESSIONS as u64) as usize;
            let session = self.sessions.swap_remove(place).uid;
            batch.push(Op::DropSession { session });
            for table in [Table::Sessions, Table::Subscriptions] {
                batch.push(Op::Delete { table, key: session.0.to_be_bytes().to_vec() });
            }
        }
        let uid = SessionUid(self.next_uid);
        self.next_uid += 1;
        for table in [Table::Sessions, Table::Subscriptions] {
            batch.push(Op::Put { table, key: uid.0.to_be_bytes().to_vec(), value: vec![7; 90] });
        }
        self.sessions.push(Session { uid, next: 0, held: BTreeSet::new() });
    }

    fn retain(&mut self, batch: &mut Batch) {
        let topic = self.below(TOPICS);
        let (table, key) = (Table::Retained, topic.to_be_bytes().to_vec());
        if self.below(3) == 0 {
            self.retained.remove(&topic);
            batch.push(Op::Delete { table, key });
        } else {
            self.retained.insert(topic);
            let value = self.bytes().to_vec();
            batch.push(Op::Put { table, key, value });
        }
    }

    /// One message for up to eight sessions.
    fn publish(&mut self, batch: &mut Batch) {
        self.published += 1;
        let message = Arc::new(StoredMessage {
            id: MessageId { publisher: 1 << 50, epoch: 1, counter: self.published },
            topic: "plant/line-07/pump-0042/temp".into(),
            properties: Box::default(),
            payload: self.bytes(),
            qos: Qos::AtLeastOnce,
            expires_at: None,
        });
        let count = self.sessions.len() as u64;
        let wanted = 1 + self.below(8);
        let chosen: BTreeSet<u64> = (0..wanted.min(count)).map(|_| self.below(count)).collect();
        for place in chosen {
            let session = &mut self.sessions[place as usize];
            let (seq, message, subscription_ids) = (session.next, Arc::clone(&message), Box::default());
            let entry =
                QueueEntry { seq, qos: Qos::AtLeastOnce, retain: false, subscription_ids, group: None, message };
            batch.push(Op::Enqueue { session: session.uid, entry });
            session.held.insert(seq);
            session.next += 1;
            if session.held.len() > QUEUE {
                let oldest: Vec<u64> = session.held.pop_first().into_iter().collect();
                batch.push(Op::Advance { session: session.uid, up_to: 0, sparse: oldest });
            }
        }
    }

    /// A session is back and takes what waits, all or some of it.
    fn take(&mut self, batch: &mut Batch) {
        let most = 1 + self.below(40) as usize;
        let Some(session) = self.any_session() else { return };
        let Some(&last) = session.held.iter().take(most).next_back() else { return };
        session.held = session.held.split_off(&(last + 1));
        batch.push(Op::Advance { session: session.uid, up_to: last + 1, sparse: Vec::new() });
    }

    /// Some messages of one queue, anywhere in it.
    fn expire(&mut self, batch: &mut Batch) {
        let (first, step) = (self.below(9) as usize, 1 + self.below(9) as usize);
        let Some(session) = self.any_session() else { return };
        let sparse: Vec<u64> = session.held.iter().skip(first).step_by(step).take(20).copied().collect();
        if !sparse.is_empty() {
            session.held.retain(|seq| !sparse.contains(seq));
            batch.push(Op::Advance { session: session.uid, up_to: 0, sparse });
        }
    }

    fn any_session(&mut self) -> Option<&mut Session> {
        let place = self.below(SESSIONS as u64) as usize;
        self.sessions.get_mut(place)
    }

    fn bytes(&mut self) -> Bytes {
        let (length, start) = (self.below(PAYLOAD as u64) as usize, self.below(63 * PAYLOAD as u64) as usize);
        self.payload.slice(start..start + length)
    }

    /// Waits until the store has all of it for good. Another start of it counts
    /// positions anew.
    pub fn settle(&mut self, store: &dyn Store) {
        while store.durable() < self.last {
            assert!(!store.is_latched(), "the store stopped");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.last = Position::NONE;
    }

    /// Says where the store holds something else than it was given.
    pub fn compare(&self, store: &dyn Store) -> Result<(), String> {
        for Session { uid, held, .. } in &self.sessions {
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(read) = store.poll_queue(&mut cx, *uid, 0, usize::MAX) else { continue };
            let found: BTreeSet<u64> = read.unwrap().iter().map(|queued| queued.entry.seq).collect();
            if found != *held {
                return Err(format!("queue {}: {} entries, {} expected", uid.0, found.len(), held.len()));
            }
        }
        let rows = |table| store.scan(table, b"", None, usize::MAX).unwrap().len();
        let found = (rows(Table::Retained), rows(Table::Sessions), rows(Table::Subscriptions));
        let wanted = (self.retained.len(), self.sessions.len(), self.sessions.len());
        if found == wanted { Ok(()) } else { Err(format!("{found:?} rows, {wanted:?} expected")) }
    }
}

/// Appends as soon as there is room.
fn appended(store: &dyn Store, batch: Batch) -> Position {
    loop {
        match store.append(batch.clone()) {
            Ok(position) => return position,
            Err(StoreError::Behind | StoreError::Full) => std::thread::park_timeout(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes that a directory takes: blocks, not lengths, since journals have holes.
pub fn taken(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => taken(&entry.path()),
        // A file may go while it is looked at.
        Ok(_) => entry.metadata().map_or(0, |found| std::os::unix::fs::MetadataExt::blocks(&found) * 512),
        Err(_) => 0,
    });
    sizes.sum()
}
