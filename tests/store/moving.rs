//! Checks, snapshots, exports and imports of the embedded store.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use certus::shutdown::Tasks;
use certus::store::{CopyError, EmbeddedStore, Level, Op, SessionUid, Settings, Store, Table};

use crate::durable::contents;
use crate::running::{Running, scratch, small};
use crate::{advance, append, enqueue, entry, message, seqs};

const ONE: SessionUid = SessionUid(1);
const TWO: SessionUid = SessionUid(2);

/// A bit of everything: a queue with a gap, a shared message, rows.
fn filled() -> Running {
    let store = Running::new(small(Level::Os));
    append(&*store, (0..300).map(|seq| enqueue(ONE, seq, seq)));
    append(&*store, [advance(ONE, 20, &[25, 299]), Op::Released { session: ONE, seq: 30 }]);
    append(&*store, [Op::SetInbound { session: ONE, packet_id: 7, held: true }]);
    let shared = message(1000);
    append(&*store, [TWO, SessionUid(65)].map(|session| Op::Enqueue { session, entry: entry(0, &shared) }));
    for table in Table::ALL {
        append(&*store, [Op::Put { table: *table, key: vec![1, 2], value: vec![table.code()] }]);
    }
    store
}

fn exported(store: &EmbeddedStore) -> Vec<u8> {
    let mut file = Vec::new();
    assert!(store.snapshot(&mut file).unwrap() > 0);
    file
}

fn imported(file: &[u8]) -> Result<Running, CopyError> {
    let directory = Arc::new(scratch());
    let opened = EmbeddedStore::open(directory.path(), small(Level::Os)).unwrap();
    opened.store.import(&mut Cursor::new(file))?;
    drop(opened);
    Ok(Running::start(directory, small(Level::Os)))
}

#[test]
fn an_import_holds_what_was_exported_and_another_epoch() {
    let store = filled();
    let copy = imported(&exported(&store)).unwrap();
    assert_eq!(contents(&*copy), contents(&*store));
    assert_eq!(copy.released(ONE).unwrap(), [30]);
    assert!(copy.epoch() > store.epoch(), "what it names was never named before");
    let known = |store: &EmbeddedStore| {
        let report = store.check().unwrap();
        (report.queues, report.entries, report.shared_messages, report.rows, report.told)
    };
    assert_eq!(known(&copy), known(&store));
}

#[test]
fn a_damaged_export_is_refused_whole() {
    let file = exported(&filled());
    let places: Vec<usize> = (0..file.len()).step_by(97).chain([8, file.len() - 1]).collect();
    for place in places {
        assert!(imported(&file[..place]).is_err(), "cut at {place}");
        let mut flipped = file.clone();
        flipped[place] ^= 0x40;
        // Three bytes of the header mean nothing yet.
        let refused = imported(&flipped);
        assert!(refused.is_err() || (9..12).contains(&place), "flipped at {place}");
    }
    let mut newer = file;
    newer[8] = 9;
    assert!(matches!(imported(&newer), Err(CopyError::Newer(9))));
}

#[test]
fn an_import_into_a_store_that_holds_something_is_refused() {
    let (file, mut store) = (exported(&filled()), Running::new(small(Level::Os)));
    append(&*store, [enqueue(ONE, 0, 7)]);
    store.stop();
    let before = contents(&*store);
    assert!(matches!(store.import(&mut Cursor::new(file)), Err(CopyError::NotEmpty)));
    assert_eq!(contents(&*store), before);
}

/// Every batch is in the snapshot whole or not at all, all of them up to one
/// moment, and those that were appended before it are.
#[test]
fn a_snapshot_of_a_running_store_is_of_one_moment() {
    let settings = Settings { apply_bytes: 4096, ..small(Level::Os) };
    let (store, over) = (Running::new(settings), AtomicBool::new(false));
    let writer = store.handle();
    let over = Arc::new(over);
    let ends = Arc::clone(&over);
    let tasks = Tasks::new();
    let thread = tasks.spawn_thread("writer", move || {
        let mut seq = 0;
        while !ends.load(Ordering::Relaxed) {
            append(&*writer, [enqueue(ONE, seq, seq), enqueue(TWO, seq, seq)]);
            seq += 1;
            std::thread::park_timeout(Duration::from_micros(200));
        }
    });
    for _ in 0..5 {
        let before = store.queue_span(ONE).unwrap().end;
        let copy = imported(&exported(&store)).unwrap();
        let (one, two) = (seqs(&*copy, ONE), seqs(&*copy, TWO));
        assert_eq!(one, two);
        assert_eq!(one, (0..one.len() as u64).collect::<Vec<_>>());
        assert!(one.len() as u64 >= before, "{} of {before}", one.len());
        assert_eq!(copy.check().unwrap().faults, 0);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    over.store(true, Ordering::Relaxed);
    thread.unwrap().join().unwrap();
}

#[test]
fn a_check_counts_and_compaction_loses_nothing() {
    let mut running = filled();
    let before = contents(&*running);
    running.stop();
    let left = running.killed();
    let store = EmbeddedStore::open(left.path(), small(Level::Os)).unwrap().store;
    let report = store.check().unwrap();
    assert_eq!((report.faults, report.queues, report.shared_messages), (0, 3, 1), "{:?}", report.told);
    assert_eq!(report.rows.len(), Table::ALL.len());
    store.compact().unwrap();
    assert_eq!(contents(&*store), before);
    assert_eq!(store.check().unwrap(), report);
}
