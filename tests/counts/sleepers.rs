//! What a session costs that sleeps in the store, counted in the bytes of the heap.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use certus::broker::Durability;
use certus::clock::Clock;
use certus::mqtt::{Qos, SubscriptionOptions};
use certus::store::rows::{Keeper, SessionRow, SubscriptionRow};
use certus::store::{Batch, EmbeddedStore, Level, Op, SessionUid, Settings, Store, Table};
use certus::telemetry::metrics::Gauge;

use super::{ONE, allocations, host};

/// What it may cost, with its name of 14 bytes and its subscription of 8; nothing is queued for it.
const MOST: i64 = 300;

/// Whatever the engine keeps of what it has read is left out: it is bounded by itself.
fn settings() -> Settings {
    let (level, segment_bytes) = (Level::Os, 1 << 20);
    Settings { level, cache_bytes: 64 << 10, memtable_bytes: 64 << 10, segment_bytes, ..Settings::default() }
}

/// Fills a store with sessions that end in a day, each with one subscription and a queue that was used.
fn fill(directory: &Path, sessions: std::ops::Range<u64>) {
    let store = EmbeddedStore::open(directory, settings()).unwrap().store;
    let work: [fn(&EmbeddedStore); 2] = [EmbeddedStore::run_committer, EmbeddedStore::run_applier];
    let threads = work.map(|work| {
        let store = Arc::clone(&store);
        std::thread::spawn(move || work(&store))
    });
    for session in sessions.map(SessionUid) {
        let name = format!("sleeper-{:06}", session.0);
        let row = SessionRow {
            uid: session,
            client_id: name.clone(),
            keeper: Keeper::Certificate { platform: None, common_name: name.clone() },
            account: None,
            attributes: Vec::new(),
            expiry: 86_400,
            window: 0,
            left_at: Some(Clock::system().unix_millis()),
            will: None,
        };
        let subscription = SubscriptionRow { options: SubscriptionOptions::of_qos(Qos::AtLeastOnce), id: 0 };
        let filter = format!("s/{:06}", session.0);
        let key = [&session.0.to_be_bytes(), filter.as_bytes()].concat();
        let ops = vec![
            Op::Put { table: Table::Sessions, key: format!("lab\0{name}").into_bytes(), value: row.encode() },
            Op::Put { table: Table::Subscriptions, key, value: subscription.encode() },
            Op::Advance { session, up_to: 3, sparse: Vec::new() },
        ];
        store.append(Batch { ops }).unwrap();
    }
    store.close();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Bytes that a broker holds which has started on the store in `directory`.
fn held_after_start(directory: &Path, sessions: u64) -> i64 {
    let (before, known) = (allocations::held(), Gauge::Sessions.value());
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let host = host::Host::start(threads.worker_threads(1), &Clock::system(), |chosen| {
        chosen.durability = Durability::Disk { directory: directory.to_owned(), settings: settings() };
    });
    assert_eq!(Gauge::Sessions.value() - known, sessions.cast_signed(), "they must all be there");
    // The engine may merge files meanwhile: what is least is what stays.
    let looks = (0..50).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        allocations::held() - before
    });
    let held = looks.min().unwrap_or_default();
    host.stop();
    held
}

/// The tables of hashes are filled by two thirds then, as they are on the average: just behind a doubling by 44 of a
/// hundred, just before it by 88.
#[test]
fn a_session_that_sleeps_costs_a_small_index_and_no_more() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let (few, many) = (1_340, 43_000);
    fill(directory.path(), 1..few + 1);
    let at_first = held_after_start(directory.path(), few);
    fill(directory.path(), few + 1..many + 1);
    let each = (held_after_start(directory.path(), many) - at_first) / (many - few).cast_signed();
    assert!(each <= MOST, "a session that sleeps costs {each} bytes, at most {MOST} are allowed");
    assert!(each > 100, "{each} bytes are too few to be true");
}
