//! Every number that the broker counts, listed once.
//!
//! What lives here: the lists of [`Counter`] and [`Gauge`], and the cells in
//! which threads add them up. What does not: counters of one session or one
//! connection. Invariant: no two running threads write to one cell, so an
//! addition is a load and a store without a locked instruction.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes an enum of metrics with their names and texts.
macro_rules! listed {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $help:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $kind { $(#[doc = $help] $variant,)* }

        impl $kind {
            /// All of them, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name under which it is read from outside.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it counts, in one line.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

listed! {
    /// A number that only grows.
    Counter {
        ConnectionsAccepted "certus_connections_accepted_total" "Sockets accepted"
        ConnectionsClosed "certus_connections_closed_total" "Sockets closed again"
        ConnectionsShed "certus_connections_shed_total" "Sockets closed at once because a limit was reached"
        HandshakesFull "certus_handshakes_full_total" "TLS handshakes completed with a certificate exchange"
        HandshakesResumed "certus_handshakes_resumed_total" "TLS handshakes completed by a ticket"
        HandshakesFailed "certus_handshakes_failed_total" "TLS handshakes that failed"
        VerdictCacheHits "certus_verdict_cache_hits_total" "Chain verdicts answered from the cache"
        VerdictCacheMisses "certus_verdict_cache_misses_total" "Chain verdicts worked out"
        SessionsOpened "certus_sessions_opened_total" "CONNECT packets answered with success"
        SessionsResumed "certus_sessions_resumed_total" "Sessions found present at CONNECT"
        SessionsTakenOver "certus_sessions_taken_over_total" "Connections closed because their principal connected again"
        SessionsExpired "certus_sessions_expired_total" "Sessions removed because their time was over"
        Refusals "certus_refusals_total" "Connections refused, for whatever reason"
        TrustWithdrawn "certus_trust_withdrawn_total" "Live connections closed because trust no longer admits them"
        Violations "certus_violations_total" "Connections closed for a breach of the protocol"
        KeepAliveExpired "certus_keep_alive_expired_total" "Connections closed because they fell silent"
        WillsPublished "certus_wills_published_total" "Will messages published"
        PacketsReceived "certus_packets_received_total" "Control packets decoded"
        PacketsSent "certus_packets_sent_total" "Control packets encoded"
        BytesReceived "certus_bytes_received_total" "MQTT bytes read"
        BytesSent "certus_bytes_sent_total" "MQTT bytes written"
        MessagesReceived "certus_messages_received_total" "PUBLISH packets accepted from clients"
        MessagesRouted "certus_messages_routed_total" "Entries made in session queues"
        MessagesSent "certus_messages_sent_total" "PUBLISH packets sent to clients"
        MessagesUnrouted "certus_messages_unrouted_total" "Messages without a recipient"
        MessagesDropped "certus_messages_dropped_total" "Messages dropped because a queue was full"
        MessagesExpired "certus_messages_expired_total" "Messages dropped because they were too old"
        MessagesDenied "certus_messages_denied_total" "Messages refused by the rights of their sender"
        SubscriptionsDenied "certus_subscriptions_denied_total" "Subscriptions refused by the rights of their client"
        Turns "certus_turns_total" "Turns taken by connection drivers"
        Parcels "certus_parcels_total" "Parcels made"
        ParcelCopies "certus_parcel_copies_total" "Copies of a parcel's bytes"
        Wakes "certus_wakes_total" "Recipients woken by a parcel"
        SocketReads "certus_socket_reads_total" "Reads from sockets"
        SocketWrites "certus_socket_writes_total" "Writes to sockets"
        TlsRecordsSent "certus_tls_records_sent_total" "TLS records written"
        SlotHits "certus_topic_slot_hits_total" "Publishes routed from the slot of their connection"
        SlotMisses "certus_topic_slot_misses_total" "Publishes routed by a full look-up"
        StoreAppends "certus_store_appends_total" "Batches appended to the store"
        StoreCommits "certus_store_commits_total" "Groups of batches made durable"
        Panics "certus_panics_total" "Tasks and threads ended by a panic, which is a bug"
    }
}

listed! {
    /// A number that grows and shrinks.
    Gauge {
        Connections "certus_connections" "Open connections"
        HandshakesInProgress "certus_handshakes_in_progress" "TLS handshakes that are under way"
        Sessions "certus_sessions" "Sessions, connected or not"
        Subscriptions "certus_subscriptions" "Subscriptions in the routers"
        RetainedMessages "certus_retained_messages" "Retained messages"
        RetainedBytes "certus_retained_bytes" "Bytes of retained messages"
        QueuedMessages "certus_queued_messages" "Messages that wait in session queues"
        QueuedBytes "certus_queued_bytes" "Bytes that wait in session queues"
        ParcelBytes "certus_parcel_bytes" "Bytes of parcels that somebody still holds"
    }
}

/// Tests count in a cell of their own, because other tests count too.
const CELLS: usize = Counter::ALL.len() + Gauge::ALL.len() + cfg!(test) as usize;

/// The cells of one thread. The alignment keeps two threads off one cache line
/// (two lines, because the prefetcher fetches them in pairs).
#[repr(align(128))]
struct Shard {
    cells: [AtomicU64; CELLS],
}

impl Shard {
    const fn new() -> Self {
        Self { cells: [const { AtomicU64::new(0) }; CELLS] }
    }
}

/// Serves threads that are being taken down, several at once.
static LAST_RESORT: Shard = Shard::new();

/// All shards that were ever made. Those of ended threads keep their sums and
/// are given to new threads.
static SHARDS: Mutex<Shards> = Mutex::new(Shards { all: Vec::new(), free: Vec::new() });

struct Shards {
    all: Vec<&'static Shard>,
    free: Vec<&'static Shard>,
}

fn shards() -> MutexGuard<'static, Shards> {
    SHARDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shard for as long as its thread lives.
struct Lease(&'static Shard);

impl Lease {
    fn take() -> Self {
        let mut shards = shards();
        if let Some(shard) = shards.free.pop() {
            return Self(shard);
        }
        let shard: &'static Shard = Box::leak(Box::new(Shard::new()));
        shards.all.push(shard);
        Self(shard)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        shards().free.push(self.0);
    }
}

thread_local! {
    static SHARD: Lease = Lease::take();
}

#[inline]
fn add_to(cell: usize, amount: u64) {
    let added = SHARD.try_with(|lease| {
        if let Some(cell) = lease.0.cells.get(cell) {
            // Only this thread writes here, so nothing is lost between the two.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
        }
    });
    if added.is_err()
        && let Some(cell) = LAST_RESORT.cells.get(cell)
    {
        cell.fetch_add(amount, Ordering::Relaxed);
    }
}

fn sum(cell: usize) -> u64 {
    let all = shards();
    let read = |shard: &Shard| shard.cells.get(cell).map_or(0, |cell| cell.load(Ordering::Relaxed));
    all.all.iter().fold(read(&LAST_RESORT), |sum, shard| sum.wrapping_add(read(shard)))
}

impl Counter {
    /// Adds `amount`.
    #[inline]
    pub fn add(self, amount: u64) {
        add_to(self as usize, amount);
    }

    /// Adds one.
    #[inline]
    pub fn one(self) {
        self.add(1);
    }

    /// The sum over all threads. May miss additions of this very moment.
    pub fn total(self) -> u64 {
        sum(self as usize)
    }
}

impl Gauge {
    /// Adds `amount`, which may be negative. The thread that takes away need
    /// not be the one that added.
    #[inline]
    pub fn add(self, amount: i64) {
        add_to(Counter::ALL.len() + self as usize, amount.cast_unsigned());
    }

    /// The sum over all threads. May be off by changes of this very moment.
    pub fn value(self) -> i64 {
        sum(Counter::ALL.len() + self as usize).cast_signed()
    }
}

/// All metrics in the text form that Prometheus reads.
pub fn exposition() -> String {
    let mut text = String::with_capacity(CELLS * 128);
    for counter in Counter::ALL {
        let (name, help) = (counter.name(), counter.help());
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}", counter.total());
    }
    for gauge in Gauge::ALL {
        let (name, help) = (gauge.name(), gauge.help());
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}", gauge.value());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn additions_of_ended_threads_are_kept() {
        const SPARE: usize = CELLS - 1;
        let work = || (0..10_000).for_each(|_| add_to(SPARE, 3));
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(sum(SPARE), 240_000);
        add_to(SPARE, (-240_001_i64).cast_unsigned());
        assert_eq!(sum(SPARE).cast_signed(), -1);
    }

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let counters = Counter::ALL.iter().map(|counter| counter.name());
        assert!(counters.clone().all(|name| name.ends_with("_total")));
        let names: BTreeSet<_> = counters.chain(Gauge::ALL.iter().map(|gauge| gauge.name())).collect();
        assert_eq!(names.len(), CELLS - 1);
        assert!(names.iter().all(|name| exposition().contains(&format!("\n{name} "))));
    }
}
