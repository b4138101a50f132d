//! The retained messages of one tenant.
//!
//! A slot is replaced under its shard's lock, and what the store must know of
//! it is appended under the same lock: the lock's order is the log's order.
//! The store has all of them. Memory has their topics, and as many messages as
//! its bound lets in, first come first held; of the others it is read when
//! somebody subscribes. What the broker tells of itself lies apart: it is found
//! by filters that begin with `$SYS` only, counts for no bound and is not stored.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::mqtt::{MessageId, MessageView, TopicFilter, TopicName};
use crate::router;
use crate::store::{Position, StoreError, StoredMessage};
use crate::telemetry::metrics::Gauge;

use super::{NEVER, Settings};

/// Why a message is not retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tenant retains as many messages or bytes as it may")]
pub struct RetainedFull;

const SHARDS: usize = 16;
/// The shard of what the broker tells of itself.
const OWN: usize = SHARDS;
/// What filters begin with that may find it.
const SYS: &str = "$SYS";

/// Retained messages by topic.
#[derive(Debug)]
pub struct RetainedMessages {
    shards: [Mutex<Slots>; SHARDS + 1],
    hasher: RandomState,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// What the slots hold themselves.
    in_memory: AtomicUsize,
    max_messages: usize,
    max_bytes: usize,
    max_in_memory: usize,
}

type Slots = router::Retained<Place>;

/// Where a message is.
#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<StoredMessage>),
    Store,
}

impl Place {
    /// What a message of `bytes` takes in memory beside its topic's slot.
    const fn weight(&self, bytes: usize) -> usize {
        match self {
            Self::Memory(_) => weight(bytes),
            Self::Store => 0,
        }
    }
}

/// With the three allocations of a message.
const fn weight(bytes: usize) -> usize {
    bytes + size_of::<StoredMessage>() + 64
}

/// Topics that a scan looks at in one go, the bytes that it finds about, and
/// the messages among them that the store is asked for.
const SLICE: usize = 1024;
const SLICE_BYTES: usize = 256 * 1024;
const SLICE_READS: usize = 256;

/// Where a scan for a new subscription stands.
#[derive(Clone, Debug)]
pub struct Scan {
    filter: TopicFilter,
    shard: usize,
    after: Option<Box<str>>,
}

impl Scan {
    /// A scan that begins.
    #[must_use]
    pub fn new(filter: TopicFilter) -> Self {
        // What the others hold cannot be found by such a filter, nor the other way round.
        let own = filter.path().strip_prefix(SYS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let shard = if own { OWN } else { 0 };
        Self { filter, shard, after: None }
    }

    /// The one topic that the filter matches, if it has no wildcard.
    fn only(&self) -> Option<TopicName<'_>> {
        TopicName::new(self.filter.path()).ok()
    }
}

impl RetainedMessages {
    /// None yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            in_memory: AtomicUsize::new(0),
            max_messages: settings.retained_messages,
            max_bytes: settings.retained_bytes,
            max_in_memory: settings.retained_memory,
        }
    }

    fn shard(&self, number: usize) -> Option<MutexGuard<'_, Slots>> {
        // A map is whole between any two calls.
        Some(self.shards.get(number)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps `message` for its topic [MQTT-3.3.1-5], or forgets the one there
    /// if the payload is empty [MQTT-3.3.1-6] [MQTT-3.3.1-7]. `log` is called
    /// under the lock that orders changes of this topic; what it answers is
    /// where the store has the change.
    ///
    /// # Errors
    /// [`RetainedFull`] when the tenant's bound is reached; nothing is changed.
    pub fn set(
        &self,
        message: &MessageView<'_>,
        id: MessageId,
        now: u64,
        log: impl FnOnce(Option<&StoredMessage>) -> Position,
    ) -> Result<Position, RetainedFull> {
        let Some(mut shard) = self.shard(self.shard_of(message.topic)) else { return Err(RetainedFull) };
        let bytes = message.topic.as_str().len() + message.payload.len() + message.properties.len();
        let is_new = shard.get(message.topic).is_none();
        if message.payload.is_empty() {
            let position = log(None);
            self.remove(&mut shard, message.topic);
            return Ok(position);
        }
        let full = self.messages.load(Ordering::Relaxed) + usize::from(is_new) > self.max_messages
            || self.bytes.load(Ordering::Relaxed) + bytes > self.max_bytes;
        if full {
            return Err(RetainedFull);
        }
        let kept = retained(message, id, now);
        let position = log(Some(&kept));
        self.put(&mut shard, message.topic, kept, position != NEVER);
        Ok(position)
    }

    /// Puts back a message that a store remembers, whatever the bounds say:
    /// it was acknowledged. Does nothing for a topic that is none.
    pub fn restore(&self, message: StoredMessage) {
        let name = message.topic.clone();
        let Ok(topic) = TopicName::new(&name) else { return };
        let Some(mut shard) = self.shard(self.shard_of(topic)) else { return };
        self.put(&mut shard, topic, message, true);
    }

    fn put(&self, shard: &mut Slots, topic: TopicName<'_>, message: StoredMessage, is_stored: bool) {
        let bytes = size(&message);
        let (was, old) = shard.get(topic).map_or((0, None), |(place, old)| (place.weight(old), Some(old)));
        let held = self.in_memory.load(Ordering::Relaxed) - was;
        let has_room = held + weight(bytes) <= self.max_in_memory;
        let place = if has_room || !is_stored { Place::Memory(Arc::new(message)) } else { Place::Store };
        self.weigh(was, place.weight(bytes));
        drop(shard.put(topic, place, bytes));
        self.count(i64::from(old.is_none()), old.unwrap_or(0), bytes);
    }

    fn remove(&self, shard: &mut Slots, topic: TopicName<'_>) {
        let Some((was, bytes)) = shard.get(topic).map(|(place, bytes)| (place.weight(bytes), bytes)) else { return };
        self.weigh(was, 0);
        drop(shard.remove(topic));
        self.count(-1, bytes, 0);
    }

    fn shard_of(&self, topic: TopicName<'_>) -> usize {
        (self.hasher.hash_one(topic.as_str()) >> 60) as usize % SHARDS
    }

    /// Keeps what the broker tells of itself.
    pub fn set_own(&self, message: &MessageView<'_>, id: MessageId, now: u64) {
        if let Some(mut own) = self.shard(OWN) {
            own.put(message.topic, Place::Memory(Arc::new(retained(message, id, now))), 0);
        }
    }

    /// Forgets what the broker told of itself.
    pub fn forget_own(&self) {
        if let Some(mut own) = self.shard(OWN) {
            *own = Slots::default();
        }
    }

    /// How many messages are retained, and their bytes; without the broker's
    /// own.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn weigh(&self, was: usize, is: usize) {
        self.in_memory.fetch_add(is, Ordering::Relaxed);
        self.in_memory.fetch_sub(was, Ordering::Relaxed);
        Gauge::RetainedInMemory.add(is.cast_signed() as i64 - was.cast_signed() as i64);
    }

    /// Counts messages that came or went, and their bytes.
    fn count(&self, messages: i64, was: usize, is: usize) {
        self.messages.fetch_add(usize::from(messages > 0), Ordering::Relaxed);
        self.messages.fetch_sub(usize::from(messages < 0), Ordering::Relaxed);
        self.bytes.fetch_add(is, Ordering::Relaxed);
        self.bytes.fetch_sub(was, Ordering::Relaxed);
        Gauge::RetainedMessages.add(messages);
        Gauge::RetainedBytes.add(is.cast_signed() as i64 - was.cast_signed() as i64);
    }

    /// Looks at a slice of the topics and adds what matches to `found`; `read`
    /// asks the store for what memory does not hold. Answers whether the scan
    /// is complete.
    ///
    /// # Errors
    /// Those of `read`. The scan is where it was then, and `found` as it was.
    pub fn scan(
        &self,
        scan: &mut Scan,
        now: u64,
        read: impl FnMut(&str) -> Result<Option<StoredMessage>, StoreError>,
        found: &mut Vec<Arc<StoredMessage>>,
    ) -> Result<bool, StoreError> {
        let mut here = scan.clone();
        let mut places = Vec::new();
        let complete = self.collect(&mut here, &mut places);
        found.extend(fetched(places, now, read)?);
        *scan = here;
        Ok(complete)
    }

    /// The places of a slice's messages, the topic of each that the store has.
    fn collect(&self, scan: &mut Scan, places: &mut Vec<(Place, Box<str>)>) -> bool {
        if let Some(topic) = scan.only() {
            let number = if scan.shard == OWN { OWN } else { self.shard_of(topic) };
            let place = self.shard(number).and_then(|shard| Some(shard.get(topic)?.0.clone()));
            places.extend(place.map(|place| (place, topic.as_str().into())));
            return true;
        }
        let (mut seen, mut bytes, mut reads) = (0, 0, 0);
        while seen < SLICE && bytes < SLICE_BYTES && reads < SLICE_READS {
            let Some(shard) = self.shard(scan.shard) else { return true };
            let slice = shard.scan(&scan.filter, scan.after.as_deref(), SLICE - seen, |topic, place, size| {
                let in_store = matches!(place, Place::Store);
                (bytes, reads) = (bytes + size, reads + usize::from(in_store));
                places.push((place.clone(), if in_store { topic.into() } else { Box::default() }));
                bytes < SLICE_BYTES && reads < SLICE_READS
            });
            drop(shard);
            seen += slice.seen;
            scan.after = slice.next;
            scan.shard += usize::from(scan.after.is_none());
            if scan.after.is_none() && (scan.shard == SHARDS || scan.shard > OWN) {
                return true;
            }
        }
        false
    }
}

/// The messages of `places` that have not expired.
fn fetched(
    places: Vec<(Place, Box<str>)>,
    now: u64,
    mut read: impl FnMut(&str) -> Result<Option<StoredMessage>, StoreError>,
) -> Result<Vec<Arc<StoredMessage>>, StoreError> {
    let mut messages = Vec::with_capacity(places.len());
    for (place, topic) in places {
        let message = match place {
            Place::Memory(message) => Some(message),
            // It may have been replaced since, or be gone.
            Place::Store => read(&topic)?.map(Arc::new),
        };
        messages.extend(message.filter(|message| message.expires_at.is_none_or(|at| at > now)));
    }
    Ok(messages)
}

fn retained(message: &MessageView<'_>, id: MessageId, now: u64) -> StoredMessage {
    StoredMessage {
        id,
        topic: message.topic.as_str().into(),
        payload: Bytes::copy_from_slice(message.payload),
        properties: message.properties.into(),
        qos: message.qos,
        expires_at: message.expiry.map(|seconds| now + u64::from(seconds) * 1000),
    }
}

fn size(message: &StoredMessage) -> usize {
    message.topic.len() + message.payload.len() + message.properties.len()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::mqtt::Qos;

    /// Rows, as a store would have them.
    type Rows = RefCell<HashMap<String, StoredMessage>>;

    fn set(all: &RetainedMessages, rows: &Rows, topic: &str, payload: &[u8], position: Position) {
        let id = MessageId { publisher: 0, epoch: 0, counter: 0 };
        let name = TopicName::new(topic).unwrap();
        let qos = Qos::AtMostOnce;
        let message = MessageView { topic: name, qos, retain: true, properties: &[], expiry: None, payload };
        let log = |kept: Option<&StoredMessage>| {
            if position != NEVER {
                match kept {
                    Some(kept) => drop(rows.borrow_mut().insert(topic.to_owned(), kept.clone())),
                    None => drop(rows.borrow_mut().remove(topic)),
                }
            }
            position
        };
        all.set(&message, id, 0, log).unwrap();
    }

    /// Slices until the scan is complete, what was found, and what was read.
    fn search(all: &RetainedMessages, rows: &Rows, filter: &str) -> (usize, usize, usize) {
        let (mut scan, mut found, mut reads) = (Scan::new(TopicFilter::new(filter).unwrap()), Vec::new(), 0);
        for slices in 1.. {
            let read = |topic: &str| {
                reads += 1;
                Ok(rows.borrow().get(topic).cloned())
            };
            if all.scan(&mut scan, 0, read, &mut found).unwrap() {
                return (slices, found.len(), reads);
            }
        }
        unreachable!()
    }

    /// A client that leaves at once gets what few looks have found.
    #[test]
    fn a_search_looks_at_topics_not_at_shards() {
        let (all, rows) = (RetainedMessages::new(&Settings::default()), Rows::default());
        (0..3000).for_each(|number| set(&all, &rows, &format!("t/{number}"), b"x", Position::NONE));
        let found = |filter| search(&all, &rows, filter);
        assert_eq!(
            (found("t/1"), found("t"), found("u/#"), found("$SYS/a")),
            ((1, 1, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0))
        );
        assert_eq!((found("t/#"), found("+/299")), ((3, 3000, 0), (3, 1, 0)));
    }

    #[test]
    fn what_memory_has_no_room_for_is_read_from_the_store() {
        let few = Settings { retained_memory: 10 * weight(4), ..Settings::default() };
        let (all, rows) = (RetainedMessages::new(&few), Rows::default());
        (100..400).for_each(|number| set(&all, &rows, &number.to_string(), b"x", Position::NONE));
        assert_eq!((all.held(), all.in_memory.load(Ordering::Relaxed)), ((300, 1200), 10 * weight(4)));
        assert_eq!(search(&all, &rows, "100"), (1, 1, 0), "first come, first held");
        assert_eq!(search(&all, &rows, "399"), (1, 1, 1));
        assert_eq!(search(&all, &rows, "#"), (2, 300, 290), "a slice asks the store 256 times");
        set(&all, &rows, "100", b"", Position::NONE);
        set(&all, &rows, "399", b"y", Position::NONE);
        assert_eq!(search(&all, &rows, "399"), (1, 1, 0), "a place that is free is taken");
        assert_eq!(search(&all, &rows, "100"), (1, 0, 0));
        set(&all, &rows, "no room", b"z", NEVER);
        assert_eq!(search(&all, &rows, "no room"), (1, 1, 0), "memory holds what the store did not take");
        (100..400).for_each(|number| set(&all, &rows, &number.to_string(), b"", Position::NONE));
        set(&all, &rows, "no room", b"", NEVER);
        assert_eq!((all.held(), all.in_memory.load(Ordering::Relaxed)), ((0, 0), 0));
    }

    #[test]
    fn a_store_that_cannot_be_read_leaves_a_scan_where_it_was() {
        let none = Settings { retained_memory: 0, ..Settings::default() };
        let (all, rows) = (RetainedMessages::new(&none), Rows::default());
        (0..100).for_each(|number| set(&all, &rows, &format!("t/{number}"), b"x", Position::NONE));
        let (mut scan, mut found) = (Scan::new(TopicFilter::new("#").unwrap()), Vec::new());
        for _ in 0..2 {
            assert_eq!(all.scan(&mut scan, 0, |_| Err(StoreError::Full), &mut found), Err(StoreError::Full));
        }
        while !all.scan(&mut scan, 0, |topic| Ok(rows.borrow().get(topic).cloned()), &mut found).unwrap() {}
        assert_eq!(found.len(), 100);
    }
}
