//! Which topics have a retained message.
//!
//! What lives here: the index of one shard, and scans that stop and go on. What
//! does not: the messages (`T` is the caller's), the shard's lock. Invariant:
//! the totals are those of the entries.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::mqtt::{TopicFilter, TopicName, matches};

#[derive(Debug)]
struct Slot<T> {
    value: T,
    bytes: usize,
}

/// Retained values by topic.
#[derive(Debug)]
pub struct Retained<T> {
    slots: BTreeMap<Box<str>, Slot<T>>,
    bytes: usize,
}

/// How far a part of a scan has come.
#[derive(Debug)]
pub struct RetainedSlice {
    /// Where to go on, as `after` of the next scan; `None` at the end.
    pub next: Option<Box<str>>,
    /// Topics that were looked at.
    pub seen: usize,
}

impl<T> Default for Retained<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), bytes: 0 }
    }
}

impl<T> Retained<T> {
    /// Sets the value of `topic`, which counts for `bytes` in the totals
    /// [MQTT-3.3.1-5]; answers the one before.
    pub fn put(&mut self, topic: TopicName<'_>, value: T, bytes: usize) -> Option<T> {
        self.bytes += bytes;
        let old = match self.slots.get_mut(topic.as_str()) {
            Some(slot) => Some(std::mem::replace(slot, Slot { value, bytes })),
            None => self.slots.insert(Box::from(topic.as_str()), Slot { value, bytes }),
        };
        self.forget(old)
    }

    /// Removes the value of `topic` [MQTT-3.3.1-6].
    pub fn remove(&mut self, topic: TopicName<'_>) -> Option<T> {
        let old = self.slots.remove(topic.as_str());
        self.forget(old)
    }

    /// The value of `topic`, and the bytes that it counts for.
    #[must_use]
    pub fn get(&self, topic: TopicName<'_>) -> Option<(&T, usize)> {
        let slot = self.slots.get(topic.as_str())?;
        Some((&slot.value, slot.bytes))
    }

    /// Looks at up to `limit` topics behind `after` and shows those that
    /// `filter` matches to `found`, in order of the topics' bytes and with the
    /// bytes that they count for, until that answers false. A topic that is set
    /// or removed between two slices is seen if it lies behind the first.
    pub fn scan(
        &self,
        filter: &TopicFilter,
        after: Option<&str>,
        limit: usize,
        mut found: impl FnMut(&str, &T, usize) -> bool,
    ) -> RetainedSlice {
        let path = filter.path();
        let prefix = literal_prefix(path);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut slice = RetainedSlice { next: None, seen: 0 };
        let range = self.slots.range::<str, _>((from, Bound::Unbounded));
        for (topic, slot) in range.take_while(|(topic, _)| topic.starts_with(prefix)) {
            slice.seen += 1;
            let goes_on = !matches(path, topic) || found(topic, &slot.value, slot.bytes);
            if !goes_on || slice.seen >= limit {
                slice.next = Some(topic.clone());
                break;
            }
        }
        slice
    }

    /// The number of topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The sum of the bytes that were named to [`Retained::put`].
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget(&mut self, old: Option<Slot<T>>) -> Option<T> {
        let old = old?;
        self.bytes -= old.bytes;
        Some(old.value)
    }
}

/// What all matching topics begin with. `a/#` also means `a`, so the slash
/// before a `#` is not part of it.
fn literal_prefix(path: &str) -> &str {
    let end = path.find(['+', '#']).unwrap_or(path.len());
    let prefix = path.get(..end).unwrap_or_default();
    if path.get(end..) == Some("#") { prefix.strip_suffix('/').unwrap_or(prefix) } else { prefix }
}
