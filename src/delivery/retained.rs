//! The retained messages of one tenant.
//!
//! A slot is replaced under its shard's lock, and what the store must know of
//! it is appended under the same lock: the lock's order is the log's order.
//! What the broker tells of itself lies apart: it is found by filters that begin
//! with `$SYS` only, and counts for no bound.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::mqtt::{MessageId, MessageView, TopicFilter, TopicName};
use crate::router;
use crate::store::StoredMessage;
use crate::telemetry::metrics::Gauge;

use super::Settings;

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
    shards: [Mutex<router::Retained<StoredMessage>>; SHARDS + 1],
    hasher: RandomState,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    max_messages: usize,
    max_bytes: usize,
}

/// Topics that a scan looks at in one go, and the bytes that it finds about.
const SLICE: usize = 1024;
const SLICE_BYTES: usize = 256 * 1024;

/// Where a scan for a new subscription stands.
#[derive(Clone, Debug)]
pub struct Scan {
    filter: TopicFilter,
    shard: usize,
    after: Option<Arc<str>>,
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
            max_messages: settings.retained_messages,
            max_bytes: settings.retained_bytes,
        }
    }

    fn shard(&self, number: usize) -> Option<MutexGuard<'_, router::Retained<StoredMessage>>> {
        // A map is whole between any two calls.
        Some(self.shards.get(number)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps `message` for its topic [MQTT-3.3.1-5], or forgets the one there
    /// if the payload is empty [MQTT-3.3.1-6] [MQTT-3.3.1-7]. `log` is called
    /// under the lock that orders changes of this topic.
    ///
    /// # Errors
    /// [`RetainedFull`] when the tenant's bound is reached; nothing is changed.
    pub fn set<T>(
        &self,
        message: &MessageView<'_>,
        id: MessageId,
        now: u64,
        log: impl FnOnce(Option<&StoredMessage>) -> T,
    ) -> Result<T, RetainedFull> {
        let Some(mut shard) = self.shard(self.shard_of(message.topic)) else { return Err(RetainedFull) };
        let bytes = message.topic.as_str().len() + message.payload.len() + message.properties.len();
        let old = shard.get(message.topic).map(|old| size(old));
        let is_new = old.is_none() && !message.payload.is_empty();
        let full = self.messages.load(Ordering::Relaxed) + usize::from(is_new) > self.max_messages
            || self.bytes.load(Ordering::Relaxed) + bytes > self.max_bytes;
        if full && !message.payload.is_empty() {
            return Err(RetainedFull);
        }
        let kept = (!message.payload.is_empty()).then(|| Arc::new(retained(message, id, now)));
        match &kept {
            Some(kept) => drop(shard.put(message.topic, Arc::clone(kept), bytes)),
            None => drop(shard.remove(message.topic)),
        }
        self.count(is_new, bytes, old, kept.is_none());
        Ok(log(kept.as_deref()))
    }

    /// Puts back a message that a store remembers, whatever the bounds say:
    /// it was acknowledged. Does nothing for a topic that is none.
    pub fn restore(&self, message: StoredMessage) {
        let message = Arc::new(message);
        let Ok(topic) = TopicName::new(&message.topic) else { return };
        let Some(mut shard) = self.shard(self.shard_of(topic)) else { return };
        let bytes = size(&message);
        let old = shard.get(topic).map(|old| size(old));
        shard.put(topic, Arc::clone(&message), bytes);
        self.count(old.is_none(), bytes, old, false);
    }

    fn shard_of(&self, topic: TopicName<'_>) -> usize {
        (self.hasher.hash_one(topic.as_str()) >> 60) as usize % SHARDS
    }

    /// Keeps what the broker tells of itself.
    pub fn set_own(&self, message: &MessageView<'_>, id: MessageId, now: u64) {
        if let Some(mut own) = self.shard(OWN) {
            own.put(message.topic, Arc::new(retained(message, id, now)), 0);
        }
    }

    /// Forgets what the broker told of itself.
    pub fn forget_own(&self) {
        if let Some(mut own) = self.shard(OWN) {
            *own = router::Retained::default();
        }
    }

    /// How many messages are retained, and their bytes; without the broker's
    /// own.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn count(&self, is_new: bool, bytes: usize, old: Option<usize>, cleared: bool) {
        let added = if cleared { 0 } else { bytes };
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(old.unwrap_or(0), Ordering::Relaxed);
        Gauge::RetainedBytes.add(added.cast_signed() as i64 - old.unwrap_or(0).cast_signed() as i64);
        if is_new {
            self.messages.fetch_add(1, Ordering::Relaxed);
            Gauge::RetainedMessages.add(1);
        } else if cleared && old.is_some() {
            self.messages.fetch_sub(1, Ordering::Relaxed);
            Gauge::RetainedMessages.add(-1);
        }
    }

    /// Looks at a slice of the topics and adds what matches to `found`.
    /// Answers whether the scan is complete.
    pub fn scan(&self, scan: &mut Scan, now: u64, found: &mut Vec<Arc<StoredMessage>>) -> bool {
        if let Some(topic) = scan.only() {
            let number = if scan.shard == OWN { OWN } else { self.shard_of(topic) };
            let message = self.shard(number).and_then(|shard| shard.get(topic).cloned());
            found.extend(message.filter(|message| !is_expired(message, now)));
            return true;
        }
        let (mut seen, mut bytes) = (0, 0);
        while seen < SLICE && bytes < SLICE_BYTES {
            let Some(shard) = self.shard(scan.shard) else { return true };
            let slice = shard.scan(&scan.filter, scan.after.as_deref(), SLICE - seen, SLICE_BYTES - bytes);
            drop(shard);
            let fresh = slice.found.into_iter().map(|(_, message)| message).filter(|message| !is_expired(message, now));
            found.extend(fresh);
            (seen, bytes) = (seen + slice.seen, bytes + slice.bytes);
            scan.after = slice.next;
            scan.shard += usize::from(scan.after.is_none());
            if scan.after.is_none() && (scan.shard == SHARDS || scan.shard > OWN) {
                return true;
            }
        }
        false
    }
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

fn is_expired(message: &StoredMessage, now: u64) -> bool {
    message.expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::Qos;

    /// A client that leaves at once gets what few looks have found.
    #[test]
    fn a_search_looks_at_topics_not_at_shards() {
        let all = RetainedMessages::new(&Settings::default());
        for number in 0..3000_u64 {
            let (topic, qos) = (format!("t/{number}"), Qos::AtMostOnce);
            let topic = TopicName::new(&topic).unwrap();
            let message = MessageView { topic, qos, retain: true, properties: &[], expiry: None, payload: b"x" };
            all.set(&message, MessageId { publisher: 0, epoch: 0, counter: number }, 0, |_| ()).unwrap();
        }
        let slices = |filter: &str| {
            let (mut scan, mut found) = (Scan::new(TopicFilter::new(filter).unwrap()), Vec::new());
            let count = 1 + std::iter::from_fn(|| (!all.scan(&mut scan, 0, &mut found)).then_some(())).count();
            (count, found.len())
        };
        assert_eq!((slices("t/1"), slices("t"), slices("u/#"), slices("$SYS/a")), ((1, 1), (1, 0), (1, 0), (1, 0)));
        assert_eq!((slices("t/#"), slices("+/299")), ((3, 3000), (3, 1)));
    }
}
