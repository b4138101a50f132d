//! Crashes at every write, and disks that fail.

use std::sync::Arc;
use std::time::Duration;

use certus::store::{Batch, EmbeddedStore, Level, Op, Opened, SessionUid, Settings, Store, StoreError, Table};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::disk::{Event, Failing, ForgetfulDisk, Loss};
use crate::durable::contents;
use crate::model::{Model, batches};
use crate::running::{Running, copy_tree, scratch, small};
use crate::{append, enqueue, seqs};

const ONE: SessionUid = SessionUid(1);

/// The log alone: the index is written at the end only.
fn log_only() -> Settings {
    Settings { apply_bytes: 1 << 30, ..small(Level::Fsync) }
}

fn open(directory: &TempDir, disk: &ForgetfulDisk) -> Opened {
    EmbeddedStore::open_on(directory.path(), Arc::new(disk.clone()), log_only()).unwrap()
}

/// Random batches, the same for the same seed.
fn some_batches(seed: u8, least: usize) -> Vec<Batch> {
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig::default(),
        proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed; 32]),
    );
    let mut all = Vec::new();
    while all.len() < least {
        all.extend(batches().new_tree(&mut runner).unwrap().current());
    }
    all.retain(|batch| !batch.is_empty());
    all
}

/// One moment of a store's life.
struct Moment {
    /// Events of the log's disk until then.
    events: usize,
    /// Batches that were durable then.
    durable: usize,
    /// The index then.
    index: Option<Arc<TempDir>>,
}

/// Runs batches through a store, one group each, and keeps what a crash could
/// leave. The index is kept every so many batches.
fn live(batches: &[Batch], settings: Settings, keep_every: usize) -> (Vec<Event>, Vec<Moment>) {
    let (disk, directory) = (ForgetfulDisk::default(), Arc::new(scratch()));
    let mut store = Running::on(Arc::clone(&directory), Arc::new(disk.clone()), settings);
    let mut moments = vec![Moment { events: disk.history().len(), durable: 0, index: Some(store.killed()) }];
    for (index, batch) in batches.iter().enumerate() {
        let position = store.append(batch.clone()).unwrap();
        let appended = disk.history().len();
        assert!(store.wait(position));
        let kept = (index % keep_every == keep_every - 1).then(|| store.killed());
        let events = if kept.is_some() { disk.history().len() } else { appended };
        moments.push(Moment { events, durable: index + 1, index: kept });
    }
    let history = disk.history();
    store.stop();
    (history, moments)
}

fn losses(seed: u64) -> [Loss; 5] {
    [Loss::Unsynced, Loss::Nothing, Loss::Torn, Loss::Sectors(seed), Loss::Sectors(seed + 1)]
}

/// Every batch that was acknowledged is there, whole and in order, and nothing
/// that was not appended; wherever the crash hit, whatever the disk kept of the
/// write that it hit.
#[test]
fn a_crash_at_any_write_keeps_all_that_was_durable() {
    let batches = some_batches(7, 25);
    let (history, moments) = live(&batches, log_only(), usize::MAX);
    let index = moments[0].index.clone().unwrap();
    let mut images = 0;
    for events in 1..=history.len() {
        let is_sync = matches!(history[events - 1], Event::Sync(_));
        // Syncs answer one group each, in order.
        let durable = history[..events].iter().filter(|event| matches!(event, Event::Sync(_))).count();
        for loss in losses(events as u64).into_iter().take(if is_sync { 1 } else { 5 }) {
            let disk = ForgetfulDisk::crashed(&history[..events], loss);
            let directory = scratch();
            copy_tree(index.path(), directory.path());
            let opened = open(&directory, &disk);
            let found = contents(&*opened.store);
            let fits = (durable..=durable + 1).any(|count| found == Model::of(&batches[..count.min(batches.len())]));
            assert!(fits, "after {events} events, {loss:?}: {found:?}");
            assert_eq!(opened.missing, [], "after {events} events, {loss:?}");
            assert!(opened.damage.iter().all(|damage| !damage.is_a_gap), "{:?}", opened.damage);
            images += 1;
        }
    }
    assert!(images > 100, "{images}");
}

/// The same with an index that follows, and files of the log that go when it
/// has.
#[test]
fn a_crash_between_log_and_index_keeps_all_that_was_durable() {
    let batches = some_batches(8, 120);
    let settings = Settings { segment_bytes: 512, apply_bytes: 256, ..small(Level::Fsync) };
    let (history, moments) = live(&batches, settings, 9);
    let removed = history.iter().filter(|event| matches!(event, Event::Remove(_))).count();
    assert!(removed > 3, "the log was shortened {removed} times");
    for moment in moments.iter().filter(|moment| moment.index.is_some()) {
        for loss in losses(moment.events as u64) {
            let disk = ForgetfulDisk::crashed(&history[..moment.events], loss);
            let directory = scratch();
            copy_tree(moment.index.as_ref().unwrap().path(), directory.path());
            let opened = open(&directory, &disk);
            assert_eq!(contents(&*opened.store), Model::of(&batches[..moment.durable]), "{loss:?}");
            // The header of a file that was just begun may be torn.
            assert!(opened.damage.iter().all(|damage| !damage.is_a_gap && damage.offset == 0), "{:?}", opened.damage);
            assert_eq!(opened.missing, []);
        }
    }
}

/// A byte in the middle of what was durable is changed: what is behind it is
/// lost, kept aside and reported; the start goes on.
#[test]
fn damage_in_the_middle_is_set_aside_and_reported_as_a_gap() {
    let (disk, directory) = (ForgetfulDisk::default(), Arc::new(scratch()));
    let store = Running::on(Arc::clone(&directory), Arc::new(disk.clone()), log_only());
    for seq in 0..10 {
        let position = append(&*store, [enqueue(ONE, seq, seq)]);
        store.wait(position);
    }
    let (killed, image) = (store.killed(), ForgetfulDisk::crashed(&disk.history(), Loss::Nothing));
    let length = image.bytes().len();
    image.flip(length / 2);
    let opened = open(&killed, &image);
    let [damage] = opened.damage.as_slice() else { panic!("{:?}", opened.damage) };
    assert!(damage.is_a_gap && damage.bytes as usize > length / 4 && damage.kept_as.starts_with("aside/"));
    assert_eq!(image.aside().len(), 1);
    let found = seqs(&*opened.store, ONE);
    assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>());
    assert!((3..9).contains(&found.len()), "{found:?}");
}

#[test]
fn a_file_of_the_log_that_is_gone_is_reported() {
    let (disk, directory) = (ForgetfulDisk::default(), Arc::new(scratch()));
    let settings = Settings { segment_bytes: 300, ..log_only() };
    let store = Running::on(Arc::clone(&directory), Arc::new(disk.clone()), settings);
    for seq in 0..40 {
        let position = append(&*store, [enqueue(ONE, seq, seq)]);
        store.wait(position);
    }
    let history = disk.history();
    let created = history.iter().filter_map(|event| match event {
        Event::Create(name, _) => Some(name.clone()),
        _ => None,
    });
    let created: Vec<_> = created.collect();
    assert!(created.len() > 4, "{created:?}");
    let without: Vec<_> = history.into_iter().chain([Event::Remove(created[2].clone())]).collect();
    let opened = open(&store.killed(), &ForgetfulDisk::crashed(&without, Loss::Nothing));
    let [(first, there)] = opened.missing.as_slice() else { panic!("{:?}", opened.missing) };
    assert_eq!(seqs(&*opened.store, ONE).len() as u64, 40 - (there - first), "the rest is there");
}

#[test]
fn a_failed_sync_latches_for_ever_and_the_next_start_finds_what_was_durable() {
    for failing in 0..6 {
        let disk = ForgetfulDisk::failing(Failing { sync: Some(failing), ..Failing::default() });
        let store = Running::on(Arc::new(scratch()), Arc::new(disk.clone()), log_only());
        let mut durable = Vec::new();
        for seq in 0..10 {
            let batch = Batch { ops: vec![enqueue(ONE, seq, seq)] };
            match store.append(batch) {
                Ok(position) if store.wait(position) => durable.push(seq),
                Ok(_) => assert!(store.is_latched()),
                Err(error) => assert_eq!(error, StoreError::Latched),
            }
        }
        assert!(store.is_latched());
        assert_eq!(durable, (0..failing).collect::<Vec<_>>());
        let image = ForgetfulDisk::crashed(&disk.history(), Loss::Unsynced);
        assert_eq!(seqs(&*open(&store.killed(), &image).store, ONE), durable);
    }
}

#[test]
fn a_failed_write_latches() {
    let disk = ForgetfulDisk::failing(Failing { write: Some(3), times: 1, ..Failing::default() });
    let store = Running::on(Arc::new(scratch()), Arc::new(disk), log_only());
    let lasted = (0..10).filter(|&seq| {
        let appended = store.append(Batch { ops: vec![enqueue(ONE, seq, seq)] });
        appended.is_ok_and(|position| store.wait(position))
    });
    assert_eq!((lasted.count(), store.is_latched()), (3, true));
}

/// What was appended when the disk became full waits, is durable when there is
/// space, and nothing is lost or repeated.
#[test]
fn a_full_disk_heals_by_itself() {
    let disk = ForgetfulDisk::failing(Failing { write: Some(4), times: 3, full: true, sync: None });
    let directory = Arc::new(scratch());
    let store = Running::on(Arc::clone(&directory), Arc::new(disk.clone()), log_only());
    let mut refused = 0;
    for seq in 0..8 {
        let position = loop {
            match store.append(Batch { ops: vec![enqueue(ONE, seq, seq)] }) {
                Ok(position) => break position,
                Err(error) => {
                    assert_eq!(error, StoreError::Full);
                    refused += 1;
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        };
        assert!(store.wait(position), "{seq}");
    }
    assert!(refused > 0 || !store.is_latched());
    let image = ForgetfulDisk::crashed(&disk.history(), Loss::Unsynced);
    assert_eq!(seqs(&*open(&store.killed(), &image).store, ONE), (0..8).collect::<Vec<_>>());
}

/// A write that was refused changed nothing, so it may be tried again; a failed
/// sync may not.
#[test]
fn a_file_system_that_becomes_read_only_heals_when_it_is_mounted_for_writing() {
    let disk = ForgetfulDisk::default();
    let store = Running::on(Arc::new(scratch()), Arc::new(disk.clone()), log_only());
    assert!(store.wait(append(&*store, [enqueue(ONE, 0, 0), enqueue(ONE, 1, 1)])));
    disk.set_read_only(true);
    // The committer meets it at once, the keeper within its interval.
    let waiting = append(&*store, [crate::advance(ONE, 1, &[])]);
    while store.refuses() != Some(StoreError::ReadOnly) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(store.append(Batch { ops: vec![enqueue(ONE, 2, 2)] }), Err(StoreError::ReadOnly));
    assert_eq!((seqs(&*store, ONE), store.is_latched()), (vec![1], false), "what is there is read");
    assert!(store.durable() < waiting);
    disk.set_read_only(false);
    while store.refuses().is_some() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert!(store.wait(waiting) && store.wait(append(&*store, [enqueue(ONE, 2, 2)])));
    let image = ForgetfulDisk::crashed(&disk.history(), Loss::Unsynced);
    assert_eq!(seqs(&*open(&store.killed(), &image).store, ONE), [1, 2]);
}

/// Before the disk is full, what makes space is still taken.
#[test]
fn little_space_refuses_what_grows_and_takes_what_shrinks() {
    let disk = ForgetfulDisk::default();
    let settings = Settings { min_free: 1 << 20, apply_interval: Duration::from_millis(1), ..small(Level::Fsync) };
    let store = Running::on(Arc::new(scratch()), Arc::new(disk.clone()), settings);
    append(&*store, [enqueue(ONE, 0, 0), enqueue(ONE, 1, 1)]);
    disk.set_free(1000);
    while store.refuses() != Some(StoreError::Full) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(store.append(Batch { ops: vec![enqueue(ONE, 2, 2)] }), Err(StoreError::Full));
    let put = |table| Op::Put { table, key: vec![1], value: vec![2] };
    assert_eq!(store.append(Batch { ops: vec![put(Table::Retained)] }), Err(StoreError::Full));
    let position = append(&*store, [crate::advance(ONE, 1, &[]), put(Table::Sessions)]);
    assert!(store.wait(position), "who comes back to empty its queue is let in");
    disk.set_free(1 << 30);
    while store.refuses().is_some() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let position = append(&*store, [enqueue(ONE, 2, 2)]);
    assert!(store.wait(position));
    assert_eq!(seqs(&*store, ONE), [1, 2]);
}
