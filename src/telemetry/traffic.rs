//! What the clients of one tenant send and receive.
//!
//! What lives here: sums of some of the counters, by tenant. What does not: the
//! counting; a tenant's share of it is the difference between two looks of one
//! thread at its own cells, around work that was done for that tenant alone.
//! Invariant: an addition costs no line of memory that another thread writes,
//! as long as there are no more than `SHARDS` threads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::{self, Counter};

/// Threads beyond so many share their sums with others.
const SHARDS: usize = 16;

/// The counters of which a tenant's share is kept.
const COUNTED: [Counter; 17] = [
    Counter::PacketsReceived,
    Counter::AnswersSent,
    Counter::BytesReceived,
    Counter::BytesSent,
    Counter::ReceivedQos0,
    Counter::ReceivedQos1,
    Counter::ReceivedQos2,
    Counter::SentQos0,
    Counter::SentQos1,
    Counter::SentQos2,
    Counter::PublishBytesReceived,
    Counter::PublishBytesSent,
    Counter::DroppedAway,
    Counter::DroppedSlow,
    Counter::DroppedLarge,
    Counter::DroppedNoRight,
    Counter::DroppedExpired,
];

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([AtomicU64; COUNTED.len()]);

/// The sums of one tenant.
#[derive(Debug, Default)]
pub struct Traffic {
    shards: [Shard; SHARDS],
}

/// What a thread had counted when its work for a tenant began.
#[derive(Debug)]
pub struct Mark([u64; COUNTED.len()]);

/// Work for one tenant begins.
#[must_use]
pub fn mark() -> Mark {
    Mark(metrics::here(COUNTED))
}

impl Traffic {
    /// Adds what the present thread has counted since `mark`, which it set.
    pub fn add_since(&self, mark: &Mark) {
        let Some(Shard(cells)) = self.shards.get(metrics::thread_number() % SHARDS) else { return };
        for ((now, before), cell) in metrics::here(COUNTED).iter().zip(mark.0).zip(cells) {
            let added = now.wrapping_sub(before);
            if added > 0 {
                cell.fetch_add(added, Ordering::Relaxed);
            }
        }
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |counter: Counter| {
            let cell = COUNTED.iter().position(|counted| *counted == counter);
            let cells = self.shards.iter().filter_map(|shard| shard.0.get(cell?));
            cells.map(|cell| cell.load(Ordering::Relaxed)).sum::<u64>()
        };
        let all = |counters: &[Counter]| counters.iter().map(|counter| sum(*counter)).sum::<u64>();
        let publish_sent = all(&[Counter::SentQos0, Counter::SentQos1, Counter::SentQos2]);
        Totals {
            messages_received: sum(Counter::PacketsReceived),
            messages_sent: sum(Counter::AnswersSent) + publish_sent,
            bytes_received: sum(Counter::BytesReceived),
            bytes_sent: sum(Counter::BytesSent),
            publish_received: all(&[Counter::ReceivedQos0, Counter::ReceivedQos1, Counter::ReceivedQos2]),
            publish_sent,
            publish_dropped: all(&[
                Counter::DroppedAway,
                Counter::DroppedSlow,
                Counter::DroppedLarge,
                Counter::DroppedNoRight,
                Counter::DroppedExpired,
            ]),
            publish_bytes_received: sum(Counter::PublishBytesReceived),
            publish_bytes_sent: sum(Counter::PublishBytesSent),
        }
    }
}

/// What a tenant's clients sent and received, from the CONNACK of each on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Control packets read.
    pub messages_received: u64,
    /// Control packets written.
    pub messages_sent: u64,
    /// Bytes read, TLS included.
    pub bytes_received: u64,
    /// Bytes written, TLS left out.
    pub bytes_sent: u64,
    /// PUBLISH packets read.
    pub publish_received: u64,
    /// PUBLISH packets written.
    pub publish_sent: u64,
    /// Messages that a recipient did not get.
    pub publish_dropped: u64,
    /// Payload bytes of PUBLISH packets read.
    pub publish_bytes_received: u64,
    /// Payload bytes of PUBLISH packets written.
    pub publish_bytes_sent: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_what_was_done_for_it() {
        let (one, other) = (Traffic::default(), Traffic::default());
        let work = || {
            for round in 1..=10 {
                let before = mark();
                Counter::SentQos1.add(round);
                Counter::DroppedSlow.one();
                one.add_since(&before);
                let before = mark();
                Counter::PacketsReceived.add(2);
                other.add_since(&before);
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
        let expected = Totals { messages_sent: 440, publish_sent: 440, publish_dropped: 80, ..Totals::default() };
        assert_eq!(one.totals(), expected);
        assert_eq!(other.totals(), Totals { messages_received: 160, ..Totals::default() });
    }
}
