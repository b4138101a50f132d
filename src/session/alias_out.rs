//! Topic aliases that we set towards the client. Source: MQTT 5.0 section
//! 3.3.2.3.4.
//!
//! What lives here: which topic has which number. What does not: the packet.
//! Invariant: a number is used only after it was announced on the same
//! connection, and never above what the client takes [MQTT-3.3.2-9].

use std::num::NonZeroU16;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::codec::publish::Alias;

/// Bytes of topics that one connection may have aliases for: a topic may be
/// 64 KiB long.
const MOST_BYTES: usize = 16 * 1024;

/// Topics that were sent once, for each alias that there is.
const CANDIDATES: usize = 8;

/// The aliases of one connection. A topic gets one when it is sent for the
/// second time: most of those that are sent once are never sent again, and each
/// announcement costs three bytes.
#[derive(Debug, Default)]
pub struct OutgoingAliases {
    by_topic: HashMap<Box<str>, u16, RandomState>,
    /// Hashes of topics that were sent once.
    once: HashSet<u64, RandomState>,
    bytes: usize,
}

impl OutgoingAliases {
    /// How a message to `topic` goes out, where numbers up to `maximum` may be
    /// used. The caller sends it so, or calls [`OutgoingAliases::take_back`].
    pub fn choose(&mut self, topic: &str, maximum: u16) -> Option<Alias> {
        if let Some(number) = self.by_topic.get(topic) {
            return NonZeroU16::new(*number).map(Alias::Use);
        }
        let used = self.by_topic.len();
        if used >= usize::from(maximum) || self.bytes + topic.len() > MOST_BYTES {
            return None;
        }
        let hash = std::hash::BuildHasher::hash_one(self.by_topic.hasher(), topic);
        if !self.once.remove(&hash) {
            if self.once.len() >= CANDIDATES * usize::from(maximum) {
                self.once.clear();
            }
            self.once.insert(hash);
            return None;
        }
        let number = u16::try_from(used + 1).ok()?;
        self.bytes += topic.len();
        self.by_topic.insert(topic.into(), number);
        NonZeroU16::new(number).map(Alias::Announce)
    }

    /// The announcement that was just chosen for `topic` was not sent.
    pub fn take_back(&mut self, topic: &str) {
        if self.by_topic.remove(topic).is_some() {
            self.bytes -= topic.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announce(number: u16) -> Option<Alias> {
        NonZeroU16::new(number).map(Alias::Announce)
    }

    fn reuse(number: u16) -> Option<Alias> {
        NonZeroU16::new(number).map(Alias::Use)
    }

    /// [MQTT-3.3.2-9]
    #[test]
    fn a_topic_gets_a_number_the_second_time_and_goes_by_it_from_then_on() {
        let mut aliases = OutgoingAliases::default();
        let mut choose = |topic| aliases.choose(topic, 2);
        assert_eq!(["a", "a", "a", "b", "a"].map(&mut choose), [None, announce(1), reuse(1), None, reuse(1)]);
        assert_eq!(["b", "c", "c", "c", "b"].map(choose), [announce(2), None, None, None, reuse(2)]);
        assert_eq!(OutgoingAliases::default().choose("a", 0), None);
    }

    /// A number that the client never saw is announced anew.
    #[test]
    fn what_was_not_sent_is_not_known() {
        let mut aliases = OutgoingAliases::default();
        assert_eq!([aliases.choose("a", 1), aliases.choose("a", 1)], [None, announce(1)]);
        aliases.take_back("a");
        assert_eq!([aliases.choose("a", 1), aliases.choose("a", 1)], [None, announce(1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut aliases = OutgoingAliases::default();
        for number in 0..10_000 {
            let topic = format!("{number:0>2000}");
            assert!(aliases.choose(&topic, 32).is_none() && aliases.once.len() <= 32 * CANDIDATES);
            aliases.choose(&topic, 32);
        }
        assert_eq!(aliases.by_topic.len(), MOST_BYTES / 2000);
    }
}
