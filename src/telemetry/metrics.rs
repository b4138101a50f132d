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
    /// A number that only grows. Those of one family stand side by side.
    Counter {
        ConnectionsAccepted "certus_connections_accepted_total" "Sockets accepted"
        ConnectionsShed "certus_connections_shed_total" "Sockets closed at once because a bound was reached"
        ConnectionsClosed "certus_connections_closed_total" "Connections that ended"
        HandshakesFull r#"certus_handshakes_total{verdict="full"}"# "TLS handshakes by how they ended"
        HandshakesResumed r#"certus_handshakes_total{verdict="resumed"}"# "TLS handshakes by how they ended"
        HandshakesFailed r#"certus_handshakes_total{verdict="failed"}"# "TLS handshakes by how they ended"
        HttpsConnections "certus_https_connections_total" "Connections accepted by the HTTPS listener"
        HttpsShed "certus_https_connections_shed_total" "Connections that the HTTPS listener closed at once because a bound was reached"
        HttpRequestsShed "certus_http_requests_shed_total" "Requests over HTTPS that were answered with 429 because of their address's rate"
        PasswordsRemembered "certus_passwords_remembered_total" "Passwords over HTTPS that had been right shortly before and were not checked again"
        WebSocketsOpened "certus_websockets_opened_total" "Requests for a WebSocket answered with yes"
        SessionsOpened "certus_sessions_opened_total" "CONNECT packets answered with success"
        SessionsResumed "certus_sessions_resumed_total" "Sessions found present at CONNECT"
        SessionsTakenOver "certus_sessions_taken_over_total" "Connections closed because their principal connected again"
        SessionsExpired "certus_sessions_expired_total" "Sessions removed because their time was over"
        TrustWithdrawn "certus_trust_withdrawn_total" "Live connections closed because trust no longer admits them"
        CrlStaleAccepted "certus_crl_stale_accepted_total" "Chains accepted by a revocation list that should have been replaced by a newer one"
        CrlFetches "certus_crl_fetches_total" "Attempts to fetch a revocation list that the configuration names"
        CrlFetchFailures "certus_crl_fetch_failures_total" "Revocation lists that could not be fetched, or were not taken"
        NoticesMailed r#"certus_notices_sent_total{way="mail"}"# "Notices of certificates that a mail server or a web address took"
        NoticesPosted r#"certus_notices_sent_total{way="webhook"}"# "Notices of certificates that a mail server or a web address took"
        NoticeMailFailures r#"certus_notice_failures_total{way="mail"}"# "Tries to send a notice that failed"
        NoticePostFailures r#"certus_notice_failures_total{way="webhook"}"# "Tries to send a notice that failed"
        ConnectionsDismissed "certus_connections_dismissed_total" "Live connections ended by whoever runs the broker, or by a platform"
        DevicesRegistered "certus_devices_registered_total" "Devices that became known by their first connection"
        KeepAliveExpired r#"certus_violations_total{kind="keep_alive"}"# "Connections closed for a breach of the protocol or of a bound"
        MalformedPackets r#"certus_violations_total{kind="malformed"}"# "Connections closed for a breach of the protocol or of a bound"
        PacketsTooLarge r#"certus_violations_total{kind="packet_too_large"}"# "Connections closed for a breach of the protocol or of a bound"
        PublishRates r#"certus_violations_total{kind="publish_rate"}"# "Connections closed for a breach of the protocol or of a bound"
        QueuesFull r#"certus_violations_total{kind="queues_full"}"# "Connections closed for a breach of the protocol or of a bound"
        ReceiveMaximumExceeded r#"certus_violations_total{kind="receive_maximum"}"# "Connections closed for a breach of the protocol or of a bound"
        SlowReaders r#"certus_violations_total{kind="slow_reader"}"# "Connections closed for a breach of the protocol or of a bound"
        TopicAliases r#"certus_violations_total{kind="topic_alias"}"# "Connections closed for a breach of the protocol or of a bound"
        TopicLevels r#"certus_violations_total{kind="topic_levels"}"# "Connections closed for a breach of the protocol or of a bound"
        OtherViolations r#"certus_violations_total{kind="other"}"# "Connections closed for a breach of the protocol or of a bound"
        WillsPublished "certus_wills_published_total" "Will messages published"
        PacketsReceived "certus_packets_received_total" "Control packets read"
        AnswersSent "certus_answers_sent_total" "Control packets sent, PUBLISH left out"
        BytesReceived "certus_bytes_received_total" "Bytes read from clients, TLS included"
        BytesSent "certus_bytes_sent_total" "MQTT bytes written"
        ReceivedQos0 r#"certus_messages_received_total{qos="0"}"# "PUBLISH packets read from clients"
        ReceivedQos1 r#"certus_messages_received_total{qos="1"}"# "PUBLISH packets read from clients"
        ReceivedQos2 r#"certus_messages_received_total{qos="2"}"# "PUBLISH packets read from clients"
        PublishBytesReceived r#"certus_publish_bytes_total{direction="received"}"# "Payload bytes of PUBLISH packets"
        PublishBytesSent r#"certus_publish_bytes_total{direction="sent"}"# "Payload bytes of PUBLISH packets"
        MessagesRouted "certus_messages_routed_total" "Messages offered to session queues, one for each recipient"
        SentQos0 r#"certus_messages_sent_total{qos="0"}"# "PUBLISH packets sent to clients, repetitions included"
        SentQos1 r#"certus_messages_sent_total{qos="1"}"# "PUBLISH packets sent to clients, repetitions included"
        SentQos2 r#"certus_messages_sent_total{qos="2"}"# "PUBLISH packets sent to clients, repetitions included"
        AliasesSent "certus_topic_aliases_sent_total" "PUBLISH packets sent with an alias instead of their topic"
        MessagesUnrouted "certus_messages_unrouted_total" "Messages without a recipient"
        DroppedAway r#"certus_messages_dropped_total{cause="queue_full"}"# "Messages that a recipient did not get"
        DroppedSlow r#"certus_messages_dropped_total{cause="slow_reader"}"# "Messages that a recipient did not get"
        DroppedNode r#"certus_messages_dropped_total{cause="node_full"}"# "Messages that a recipient did not get"
        DroppedLarge r#"certus_messages_dropped_total{cause="packet_too_large"}"# "Messages that a recipient did not get"
        DroppedNoRight r#"certus_messages_dropped_total{cause="no_right"}"# "Messages that a recipient did not get"
        DroppedExpired r#"certus_messages_dropped_total{cause="expired"}"# "Messages that a recipient did not get"
        MessagesDenied "certus_messages_denied_total" "Messages refused by the rights of their sender"
        RetainedRefused "certus_retained_refused_total" "Messages refused because the tenant retains as many as it may"
        RetainedReads "certus_retained_reads_total" "Retained messages read from the store for a new subscription"
        RetainedUnread "certus_retained_unread_total" "Retained messages that a new subscription did not get, because the store could not read them"
        SubscriptionsDenied r#"certus_subscriptions_refused_total{cause="no_right"}"# "Subscriptions refused"
        SubscriptionsBeyond r#"certus_subscriptions_refused_total{cause="bound"}"# "Subscriptions refused"
        Turns "certus_turns_total" "Turns taken by connection drivers"
        Parcels "certus_parcels_total" "Parcels made"
        ParcelCopies "certus_parcel_copies_total" "Copies of a parcel's bytes"
        Wakes "certus_wakes_total" "Recipients woken by a parcel"
        SocketReads "certus_socket_reads_total" "Reads from sockets"
        SocketWrites "certus_socket_writes_total" "Writes to sockets"
        TlsRecordsSent "certus_tls_records_sent_total" "TLS records written"
        PublishersHeld "certus_publishers_held_total" "Turns after which a client was not read for a while, being above its rate"
        PublishersChoked "certus_publishers_choked_total" "Turns that wait until the store, full or far behind, has room for them"
        PublishersPaused "certus_publishers_paused_total" "Turns after which a publisher was not read for a while, memory being short"
        SlotHits "certus_topic_slot_hits_total" "Publishes routed from the slot of their connection"
        SlotMisses "certus_topic_slot_misses_total" "Publishes routed by a full look-up"
        StoreAppends "certus_store_appends_total" "Batches appended to the store"
        StoreRefusals "certus_store_refusals_total" "Batches that the store did not take"
        StoreGroups "certus_store_groups_total" "Groups of batches written to the store's log, each with one sync at most"
        StoreBytes "certus_store_bytes_total" "Bytes written to the store's log"
        StoreStruckOut "certus_store_struck_out_total" "Queue entries that were finished before they were written"
        StoreFolds "certus_store_folds_total" "Stretches of the log folded into the store's index"
        StoreCompactions "certus_store_compactions_total" "Times that the store's index was rewritten to give back space"
        StoreDamagedRecords "certus_store_damaged_records_total" "Records of the store's index that could not be read"
        StoreDamagedBytes "certus_store_damaged_bytes_total" "Bytes of the store's log that could not be read, and were set aside"
        StoreMissingGroups "certus_store_missing_groups_total" "Groups that are missing in the store's log"
        Panics "certus_panics_total" "Tasks and threads ended by a panic, which is a bug"
    }
}

listed! {
    /// A number that grows and shrinks.
    Gauge {
        Connections "certus_connections" "Open connections, those in their handshake included"
        HandshakesInProgress "certus_handshakes_in_progress" "Handshakes that are under way"
        CrlStale "certus_crl_stale" "Revocation lists in use that should have been replaced by a newer one"
        Devices "certus_devices" "Devices that are known, connected or not"
        Sessions "certus_sessions" "Sessions, connected or not"
        Subscriptions "certus_subscriptions" "Subscriptions in the routers"
        RetainedMessages "certus_retained_messages" "Retained messages"
        RetainedBytes "certus_retained_bytes" "Bytes of retained messages"
        RetainedInMemory "certus_retained_memory_bytes" "Bytes that memory holds of retained messages, beside their topics"
        WaitingMessages r#"certus_queue_messages{place="ring"}"# "Messages in session queues: on their way to a connected client (ring), or kept until it has them (store)"
        StoredMessages r#"certus_queue_messages{place="store"}"# "Messages in session queues: on their way to a connected client (ring), or kept until it has them (store)"
        WaitingBytes r#"certus_queue_bytes{place="ring"}"# "Bytes in session queues, counted once for each recipient"
        StoredBytes r#"certus_queue_bytes{place="store"}"# "Bytes in session queues, counted once for each recipient"
        StoreFull "certus_store_full" "1 while the store takes nothing that grows, because its disk is full or read-only"
        StoreLatched "certus_store_latched" "1 once a write or sync has failed and nothing more is acknowledged"
        StoreFreeBytes "certus_store_free_bytes" "Bytes free on the disk of the store"
        StorePendingBytes "certus_store_pending_bytes" "Bytes that wait in memory for the store's log or index"
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
    /// How many were made before it.
    number: usize,
}

impl Shard {
    const fn new(number: usize) -> Self {
        Self { cells: [const { AtomicU64::new(0) }; CELLS], number }
    }
}

/// Serves threads that are being taken down, several at once.
static LAST_RESORT: Shard = Shard::new(0);

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
        let shard: &'static Shard = Box::leak(Box::new(Shard::new(shards.all.len())));
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

    /// What counts received messages of a QoS.
    #[must_use]
    pub const fn received(qos: u8) -> Self {
        match qos {
            0 => Self::ReceivedQos0,
            1 => Self::ReceivedQos1,
            _ => Self::ReceivedQos2,
        }
    }

    /// What counts sent messages of a QoS.
    #[must_use]
    pub const fn sent(qos: u8) -> Self {
        match qos {
            0 => Self::SentQos0,
            1 => Self::SentQos1,
            _ => Self::SentQos2,
        }
    }

    /// The sum over all threads. May miss additions of this very moment.
    pub fn total(self) -> u64 {
        sum(self as usize)
    }
}

/// What this thread has counted of `counters`, for a difference to a later
/// look from the same thread.
pub(super) fn here<const N: usize>(counters: [Counter; N]) -> [u64; N] {
    let read = |lease: &Lease| {
        let cells = &lease.0.cells;
        counters.map(|counter| cells.get(counter as usize).map_or(0, |cell| cell.load(Ordering::Relaxed)))
    };
    SHARD.try_with(read).unwrap_or([0; N])
}

/// A small number that no other running thread has.
pub(super) fn thread_number() -> usize {
    SHARD.try_with(|lease| lease.0.number).unwrap_or(0)
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
    let mut last = "";
    for counter in Counter::ALL {
        last = head(&mut text, last, counter.name(), counter.help(), "counter");
        let _ = writeln!(text, "{} {}", counter.name(), counter.total());
    }
    for gauge in Gauge::ALL {
        last = head(&mut text, last, gauge.name(), gauge.help(), "gauge");
        let _ = writeln!(text, "{} {}", gauge.name(), gauge.value());
    }
    text
}

/// A family is described once, in front of its first member.
fn head(text: &mut String, last: &str, name: &'static str, help: &str, kind: &str) -> &'static str {
    let family = family(name);
    if family != last {
        let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
    }
    family
}

/// A name without its labels.
fn family(name: &str) -> &str {
    name.split('{').next().unwrap_or(name)
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
        assert!(counters.clone().all(|name| family(name).ends_with("_total")));
        let names: BTreeSet<_> = counters.chain(Gauge::ALL.iter().map(|gauge| gauge.name())).collect();
        assert_eq!(names.len(), CELLS - 1);
        assert!(names.iter().all(|name| exposition().contains(&format!("\n{name} "))));
    }

    /// Prometheus refuses a family that is described twice or torn apart.
    #[test]
    fn a_family_is_described_once() {
        let text = exposition();
        let described: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let families: BTreeSet<_> = described.iter().copied().collect();
        assert_eq!(described.len(), families.len());
        assert!(described.len() < CELLS - 10, "some have several members");
    }
}
