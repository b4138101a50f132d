//! What the embedded store alone does: threads, files, and what is there again.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use certus::store::{
    Batch, Contents, EmbeddedStore, Level, Op, OpenError, Position, QueueContents, SessionUid, Settings, Store, Table,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{Model, batches};
use crate::running::{Running, small};
use crate::{advance, append, enqueue, read, seqs};

const ONE: SessionUid = SessionUid(1);

/// All that a store holds of the sessions that the tests use.
pub fn contents(store: &dyn Store) -> Contents {
    let queue = |session| {
        let mut entries = read(store, session, 0, usize::MAX);
        entries.iter_mut().for_each(|queued| queued.position = Position::NONE);
        QueueContents { span: store.queue_span(session).unwrap(), entries, inbound: store.inbound(session).unwrap() }
    };
    let queues = [1, 2, 65].map(SessionUid).map(|session| (session, queue(session)));
    let rows = |table| {
        let rows = store.scan(table, b"", None, usize::MAX).unwrap();
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row.value)).collect();
        rows.iter().for_each(|(key, value)| assert_eq!(store.get(table, key).unwrap().as_ref(), Some(value)));
        rows
    };
    let tables = Table::ALL.iter().map(|&table| (table, rows(table)));
    Contents {
        queues: queues.into_iter().filter(|(_, contents)| *contents != QueueContents::default()).collect(),
        tables: tables.filter(|(_, rows)| !rows.is_empty()).collect(),
    }
}

/// Publications of another life have other names, and new entries come behind
/// those of earlier lives: whose batch did not arrive before the end is gone
/// with its process. Nor does anybody speak of sessions that ended before.
fn in_life(batches: Vec<Batch>, life: u64, past: &[Batch]) -> Vec<Batch> {
    let ended = past.iter().flat_map(|batch| &batch.ops).filter_map(|op| match op {
        Op::DropSession { session } => Some(*session),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    let rename = |mut op: Op| {
        if let Op::Enqueue { entry, .. } = &mut op {
            Arc::make_mut(&mut entry.message).id.epoch = life as u32;
            entry.seq += 20 * life;
        }
        op
    };
    let is_alive = |op: &Op| match op {
        Op::Enqueue { session, .. } | Op::Advance { session, .. } | Op::Released { session, .. } => {
            !ended.contains(session)
        }
        Op::SetInbound { session, .. } | Op::DropSession { session } => !ended.contains(session),
        Op::Put { .. } | Op::Delete { .. } => true,
    };
    let renamed = batches.into_iter().map(|batch| batch.ops.into_iter().filter(is_alive).map(rename).collect());
    renamed.map(|ops| Batch { ops }).collect()
}

#[derive(Clone, Debug)]
enum End {
    Closed,
    Killed,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever was appended is there at once, and there again after an end of
    /// either kind, wherever log and index stand.
    #[test]
    fn it_holds_what_the_model_holds_through_several_lives(
        lives in vec((batches(), prop_oneof![Just(End::Closed), Just(End::Killed)], any::<bool>()), 1..4),
        os in any::<bool>(),
    ) {
        let settings = small(if os { Level::Os } else { Level::Fsync });
        let mut store = Running::new(settings.clone());
        let mut all: Vec<Batch> = Vec::new();
        for (life, (batches, end, slow)) in lives.into_iter().enumerate() {
            let mut last = Position::NONE;
            let batches = in_life(batches, life as u64, &all);
            for batch in batches {
                last = store.append(batch.clone()).unwrap();
                all.push(batch);
                if slow {
                    prop_assert!(store.wait(last));
                }
            }
            prop_assert_eq!(contents(&*store), Model::of(&all));
            store = match end {
                End::Closed => store.again(settings.clone()),
                End::Killed => {
                    prop_assert!(store.wait(last));
                    Running::start(store.killed(), settings.clone())
                }
            };
            prop_assert_eq!(contents(&*store), Model::of(&all));
        }
    }
}

#[test]
fn every_start_has_an_epoch_of_its_own() {
    let store = Running::new(small(Level::Fsync));
    assert_eq!(store.epoch(), 1);
    let store = store.again(small(Level::Fsync));
    assert_eq!(store.epoch(), 2);
    let killed = Running::start(store.killed(), small(Level::Fsync));
    assert_eq!(killed.epoch(), 3);
}

#[test]
fn a_position_is_durable_soon_without_any_other_write() {
    let store = Running::log_only();
    for seq in 0..3 {
        let position = append(&*store, [enqueue(ONE, seq, seq)]);
        assert!(store.wait(position));
        assert_eq!(store.durable(), position, "no later position came");
    }
}

#[test]
fn an_entry_says_where_it_is_durable_until_it_is() {
    let store = Running::log_only();
    let position = append(&*store, [enqueue(ONE, 0, 0)]);
    let found = read(&*store, ONE, 0, 9)[0].position;
    assert!(found == position || (found == Position::NONE && store.durable() >= position));
    assert!(store.wait(position));
    assert_eq!(read(&*store, ONE, 0, 9)[0].position, Position::NONE);
}

/// It was refused as a twin of one that had ended, if that one had reached the
/// index before it ended.
#[test]
fn a_publication_that_was_finished_may_come_again_wherever_it_lay() {
    for sparse in [false, true] {
        let store = Running::new(small(Level::Os));
        append(&*store, [enqueue(ONE, 0, 6), enqueue(ONE, 1, 7)]);
        store.snapshot(&mut std::io::sink()).unwrap();
        append(&*store, [if sparse { advance(ONE, 0, &[1]) } else { advance(ONE, 2, &[]) }]);
        if sparse {
            store.snapshot(&mut std::io::sink()).unwrap();
        }
        append(&*store, [enqueue(ONE, 2, 7), enqueue(ONE, 3, 7)]);
        assert_eq!(seqs(&*store, ONE), if sparse { vec![0, 2] } else { vec![2] });
    }
}

/// A message that many wait for is stored once, and gone when the last has it.
#[test]
fn a_shared_body_lasts_as_long_as_one_queue_wants_it() {
    let mut store = Running::new(small(Level::Fsync));
    let body = crate::message(7);
    let sessions = [1, 2, 65].map(SessionUid);
    append(&*store, sessions.map(|session| Op::Enqueue { session, entry: crate::entry(0, &body) }));
    for (gone, session) in sessions.into_iter().enumerate() {
        store = store.again(small(Level::Fsync));
        for &other in &sessions[gone..] {
            assert_eq!(read(&*store, other, 0, 9)[0].entry.message, body);
        }
        append(&*store, [advance(session, 1, &[])]);
    }
    let store = store.again(small(Level::Fsync));
    assert!(sessions.iter().all(|&session| seqs(&*store, session).is_empty()));
}

#[test]
fn a_queue_of_many_entries_is_read_in_slices_after_a_start() {
    let store = Running::new(small(Level::Fsync));
    for seq in 0..2000 {
        append(&*store, [enqueue(ONE, seq, seq)]);
    }
    append(&*store, [advance(ONE, 700, &[800, 801, 1999])]);
    let store = store.again(small(Level::Fsync));
    let (mut from, mut found) = (0, Vec::new());
    loop {
        let slice = read(&*store, ONE, from, 33);
        found.extend(slice.iter().map(|queued| queued.entry.seq));
        assert!(slice.iter().all(|queued| queued.entry.message == crate::message(queued.entry.seq)));
        let Some(last) = slice.last() else { break };
        from = last.entry.seq + 1;
    }
    assert_eq!(found, (700..1999).filter(|seq| ![800, 801].contains(seq)).collect::<Vec<_>>());
    assert_eq!(store.queue_span(ONE).unwrap(), 700..2000);
}

fn refusal(settings: Settings, path: &std::path::Path) -> OpenError {
    EmbeddedStore::open(path, settings).unwrap_err()
}

#[test]
fn a_second_store_in_one_directory_is_refused_and_told_who_has_it() {
    let store = Running::new(small(Level::Fsync));
    let error = refusal(small(Level::Fsync), store.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn a_newer_format_and_foreign_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let format = directory.path().join("format");
    std::fs::write(&format, "certus store 9\n").unwrap();
    let error = refusal(small(Level::Fsync), directory.path());
    assert!(matches!(error, OpenError::Newer { found: 9, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "certus store 9\n");
    assert!(!directory.path().join("index").exists(), "nothing was made");
    std::fs::write(&format, "something else").unwrap();
    assert!(matches!(refusal(small(Level::Fsync), directory.path()), OpenError::Foreign { .. }));
    std::fs::remove_file(&format).unwrap();
    std::fs::create_dir(directory.path().join("log")).unwrap();
    assert!(matches!(refusal(small(Level::Fsync), directory.path()), OpenError::Foreign { .. }));
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refusal(small(Level::Fsync), &file).to_string();
    assert!(error.contains("file") && error.contains("store's directory"), "{error}");
    let locked = directory.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    // Whoever may do everything is not stopped by permissions.
    if std::fs::write(locked.join("probe"), "").is_err() {
        let error = refusal(small(Level::Fsync), &locked).to_string();
        assert!(error.contains("give it to the user"), "{error}");
    }
}

#[test]
fn a_store_of_this_user_is_not_readable_by_others() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    drop(EmbeddedStore::open(&path, small(Level::Fsync)).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn what_was_appended_before_the_close_is_kept_and_nothing_is_taken_after_it() {
    let mut store = Running::log_only();
    append(&*store, (0..50).map(|seq| enqueue(ONE, seq, seq)));
    store.stop();
    assert!(store.append(Batch { ops: vec![enqueue(ONE, 60, 60)] }).is_err());
    let store = store.again(small(Level::Fsync));
    assert_eq!(seqs(&*store, ONE).len(), 50);
}

#[test]
fn a_clean_end_leaves_no_log_to_be_read_again() {
    let mut store = Running::log_only();
    append(&*store, (0..50).map(|seq| enqueue(ONE, seq, seq)));
    store.stop();
    let left = store.killed();
    let opened = EmbeddedStore::open(left.path(), small(Level::Fsync)).unwrap();
    assert_eq!(opened.groups, 0);
}

/// Blocks on disk of all but the engine's journal, whose space is taken before
/// it is used.
fn blocks(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => blocks(&entry.path()),
            _ if entry.path().extension().is_some_and(|extension| extension == "jnl") => 0,
            _ => entry.metadata().map_or(0, |found| std::os::unix::fs::MetadataExt::blocks(&found) * 512),
        })
        .sum()
}

#[test]
fn churn_does_not_let_the_directory_grow() {
    let store = Running::new(Settings { apply_bytes: 1 << 16, segment_bytes: 1 << 16, ..small(Level::Os) });
    let payload = bytes::Bytes::from(vec![7; 4096]);
    let mut written = 0;
    for round in 0..40_u64 {
        let entries = (round * 100..round * 100 + 100).map(|seq| {
            let message = certus::store::StoredMessage { payload: payload.clone(), ..(*crate::message(seq)).clone() };
            Op::Enqueue { session: ONE, entry: crate::entry(seq, &Arc::new(message)) }
        });
        let position = append(&*store, entries);
        assert!(store.wait(position));
        written += 100 * payload.len() as u64;
        // It must have been in the index for a while.
        while !store.is_at_rest() {
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        let position = append(&*store, [advance(ONE, round * 100 + 99, &[])]);
        assert!(store.wait(position));
    }
    let limit = written / 3;
    for _ in 0..2000 {
        let compactions = certus::telemetry::metrics::Counter::StoreCompactions.total();
        if compactions > 0 && blocks(store.path()) < limit {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    let compactions = certus::telemetry::metrics::Counter::StoreCompactions.total();
    let left = blocks(store.path());
    let parts = ["log", "index"].map(|part| blocks(&store.path().join(part)));
    assert!(
        left < limit,
        "{left} of {written} bytes are left after {compactions} compactions, {parts:?} in log and index"
    );
    assert_eq!(seqs(&*store, ONE), [39 * 100 + 99]);
}
