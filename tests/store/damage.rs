//! Damage anywhere in the files of a store.
//!
//! What lives here: every file of a store, changed, cut and blanked in many
//! places, and what a start may answer to that. What does not: what a crash may
//! leave of the log (`crash`). Invariant: no panic, nothing that was never
//! appended, and no loss that nobody is told of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use certus::store::{
    EmbeddedStore, Level, Op, OpenError, Opened, Part, SessionUid, Settings, Store, StoredMessage, Table,
};

use crate::running::{Running, copy_tree, scratch, small};
use crate::{append, enqueue, entry, message};

const SESSIONS: [SessionUid; 3] = [SessionUid(1), SessionUid(2), SessionUid(65)];

pub fn settings() -> Settings {
    Settings { apply_bytes: 4096, segment_bytes: 1 << 20, ..small(Level::Os) }
}

/// Messages that do not fit into one block of the index.
static LONG: LazyLock<Vec<Arc<StoredMessage>>> = LazyLock::new(|| (0..600).map(long).collect());

fn long(counter: u64) -> Arc<StoredMessage> {
    let noise = (0..700_u64).map(|byte| (counter.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (byte % 57)) as u8);
    Arc::new(StoredMessage { payload: Bytes::from_iter(noise), ..(*message(counter)).clone() })
}

/// What a process that was killed left: tables, a journal and a log, of which
/// the log has forgotten the beginning.
pub fn killed() -> Arc<tempfile::TempDir> {
    let mut store = Running::new(settings());
    for seq in 0..600 {
        append(&*store, SESSIONS.map(|session| Op::Enqueue { session, entry: entry(seq, &LONG[seq as usize]) }));
    }
    for number in 0..200_u16 {
        let (key, value) = (number.to_be_bytes().to_vec(), vec![7; 50]);
        append(&*store, [Op::Put { table: Table::Retained, key, value }]);
    }
    store.stop();
    let left = store.killed();
    EmbeddedStore::open(left.path(), settings()).unwrap().store.compact().unwrap();
    let store = Running::start(left, settings());
    for seq in 600..700 {
        let last = append(&*store, SESSIONS.map(|session| enqueue(session, seq, seq)));
        assert!(store.wait(last));
    }
    store.killed()
}

/// A copy without the space that the engine's journal takes beforehand.
pub fn copy(from: &Path) -> Arc<tempfile::TempDir> {
    let to = Arc::new(scratch());
    copy_tree(from, to.path());
    for path in files(to.path()).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "jnl")) {
        let bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        std::fs::write(&path, &bytes[..used]).unwrap();
    }
    to
}

pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

#[derive(Clone, Copy, Debug)]
pub enum Harm {
    Flip,
    Blank,
    Cut,
    Gone,
}

pub fn harm(path: &Path, place: usize, harm: Harm) {
    let mut bytes = std::fs::read(path).unwrap();
    match harm {
        Harm::Flip => bytes[place] ^= 0x10,
        Harm::Blank => bytes.iter_mut().skip(place).take(100).for_each(|byte| *byte = 0),
        Harm::Cut => bytes.truncate(place),
        Harm::Gone => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

/// What is there of a store, and whether reading any of it fails.
#[derive(Debug, Default)]
struct Found {
    entries: BTreeSet<(u64, u64)>,
    rows: BTreeSet<Vec<u8>>,
    complaint: Option<String>,
}

fn found(store: &EmbeddedStore) -> Found {
    let mut found = Found::default();
    for session in SESSIONS {
        match store.poll_queue(&mut Context::from_waker(Waker::noop()), session, 0, usize::MAX) {
            Poll::Ready(Ok(entries)) => {
                for queued in entries {
                    let seq = queued.entry.seq;
                    let whole = LONG.get(seq as usize).map_or_else(|| message(seq), Arc::clone);
                    assert_eq!(queued.entry.message, whole, "what was never appended");
                    found.entries.insert((session.0, seq));
                }
            }
            Poll::Ready(Err(error)) => found.complaint = Some(error.to_string()),
            Poll::Pending => unreachable!(),
        }
    }
    match store.scan(Table::Retained, &[], None, usize::MAX) {
        Ok(rows) => found.rows.extend(rows.into_iter().map(|row| row.key)),
        Err(error) => found.complaint = Some(error.to_string()),
    }
    found
}

const WHOLE: (usize, usize) = (3 * 700, 200);

/// Whether all is there, or somebody is told what is not.
fn is_honest(opened: &Opened) -> Result<Found, String> {
    let found = found(&opened.store);
    let is_whole = (found.entries.len(), found.rows.len()) == WHOLE;
    let is_told = !opened.damage.is_empty() || !opened.missing.is_empty() || found.complaint.is_some();
    let is_told = is_told || opened.store.check().map_or(true, |report| report.faults > 0);
    let counts = (found.entries.len(), found.rows.len());
    if is_whole || is_told { Ok(found) } else { Err(format!("{counts:?} and nobody is told")) }
}

/// A start either serves and tells, or refuses, naming a file and the command
/// that saves the rest; and that command does.
fn is_answered(directory: &Path, harmed: &Path) -> Result<&'static str, String> {
    let again = scratch();
    copy_tree(directory, again.path());
    match EmbeddedStore::open(directory, settings()) {
        Ok(opened) => {
            let found = is_honest(&opened)?;
            Ok(if found.complaint.is_some() { "served, complains" } else { "served" })
        }
        Err(OpenError::Foreign { .. }) if harmed.ends_with("format") => Ok("foreign"),
        Err(OpenError::Newer { .. }) if harmed.ends_with("format") => Ok("newer"),
        Err(error) => {
            let text = error.to_string();
            if !text.contains("certus store salvage") {
                return Err(format!("{text}: no remedy"));
            }
            let name = harmed.file_name().unwrap().to_str().unwrap();
            if !text.contains(name) {
                return Err(format!("{text}: it does not name {name}"));
            }
            let salvaged = EmbeddedStore::salvage(again.path(), settings()).map_err(|error| error.to_string())?;
            let opened = EmbeddedStore::open(again.path(), settings()).map_err(|error| error.to_string())?;
            let found = found(&opened.store);
            match found.complaint {
                Some(complaint) => Err(complaint),
                None if !salvaged.kept_as.exists() => Err("nothing is kept aside".to_owned()),
                None => Ok("refused, salvaged"),
            }
        }
    }
}

/// Damages every file that `is_meant` at so many places, one at a time.
fn harm_each(places_each: usize, is_meant: impl Fn(&Path) -> bool) {
    let image = copy(killed().path());
    let whole = copy(image.path());
    let opened = EmbeddedStore::open(whole.path(), settings()).unwrap();
    let sound = found(&opened.store);
    assert_eq!((sound.entries.len(), sound.rows.len()), WHOLE);
    assert_eq!((opened.damage, opened.missing), (vec![], vec![]));
    drop(opened.store);
    let (mut wrong, mut answers) = (Vec::new(), BTreeMap::<_, usize>::new());
    for path in files(image.path()).into_iter().filter(|path| is_meant(path)) {
        let name = path.strip_prefix(image.path()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let places: BTreeSet<usize> =
            (0..places_each).map(|part| (used.max(1) - 1) * part / (places_each - 1)).collect();
        let harms = places.iter().flat_map(|&place| [Harm::Flip, Harm::Blank, Harm::Cut].map(|harm| (place, harm)));
        for (place, done) in harms.filter(|_| !bytes.is_empty()).chain([(0, Harm::Gone)]) {
            let directory = copy(image.path());
            let harmed = directory.path().join(name);
            harm(&harmed, place, done);
            let answer = std::panic::catch_unwind(|| is_answered(directory.path(), &harmed));
            match answer.unwrap_or_else(|_| Err("it panicked".to_owned())) {
                Ok(answer) => *answers.entry(answer).or_default() += 1,
                Err(what) => wrong.push(format!("{} {done:?} at {place}: {what}", name.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{answers:?}; {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(answers.values().sum::<usize>() > 3 * places_each, "{answers:?}");
}

fn is_in(path: &Path, part: &str) -> bool {
    path.components().any(|component| component.as_os_str() == part)
}

#[test]
fn a_damaged_table_is_survived_or_named_with_the_remedy() {
    harm_each(4, |path| is_in(path, "tables"));
}

#[test]
fn a_damaged_list_of_tables_is_named_with_the_remedy() {
    harm_each(2, |path| is_in(path, "keyspaces") && !is_in(path, "tables"));
}

#[test]
fn a_damaged_journal_or_log_is_survived_and_reported() {
    harm_each(7, |path| !is_in(path, "keyspaces"));
}

/// What the log still holds is not lost with the journal behind it.
#[test]
fn a_journal_that_is_cut_costs_nothing_while_the_log_reaches_back_as_far() {
    let store = Running::new(settings());
    for seq in 0..300 {
        let last = append(&*store, [enqueue(SESSIONS[0], seq, seq)]);
        assert!(store.wait(last));
    }
    let image = copy(store.killed().path());
    let journal = image.path().join("index/0.jnl");
    let used = std::fs::read(&journal).unwrap().len();
    assert!(used > 1000, "{used}");
    for (place, done) in [(used / 2, Harm::Flip), (used / 3, Harm::Cut), (0, Harm::Blank), (used / 2, Harm::Blank)] {
        let directory = copy(image.path());
        harm(&directory.path().join("index/0.jnl"), place, done);
        let opened = EmbeddedStore::open(directory.path(), settings()).unwrap();
        assert_eq!(crate::seqs(&*opened.store, SESSIONS[0]).len(), 300, "{done:?} at {place}");
        assert!(
            opened.damage.iter().all(|damage| damage.part == Part::Index && !damage.is_a_gap),
            "{:?}",
            opened.damage
        );
        assert_eq!(opened.store.check().unwrap().faults, 0);
    }
}

/// One block of a table is lost, and told of by the name of its file; all that
/// lies around it is saved.
#[test]
fn a_damaged_block_costs_no_more_than_what_it_held() {
    let directory = copy(killed().path());
    let tables = files(&directory.path().join("index/keyspaces/1/tables"));
    let table = tables.iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    harm(table, std::fs::metadata(table).unwrap().len() as usize / 2, Harm::Flip);
    let opened = EmbeddedStore::open(directory.path(), settings()).unwrap();
    let complaint = opened.store.check().unwrap_err().to_string();
    assert!(complaint.contains(table.to_str().unwrap()) && complaint.contains("certus store salvage"), "{complaint}");
    drop(opened);
    let salvaged = EmbeddedStore::salvage(directory.path(), settings()).unwrap();
    assert_eq!((salvaged.holes, salvaged.opened), (1, true));
    let opened = EmbeddedStore::open(directory.path(), settings()).unwrap();
    // What was lost is still waited for, until the entries are finished.
    let report = opened.store.check().unwrap();
    assert!(report.told.iter().all(|fault| fault.contains("is missing")), "{:?}", report.told);
    let found = found(&opened.store);
    assert_eq!((found.complaint, found.rows.len()), (None, WHOLE.1));
    // A run holds up to 128 entries, and shares of their messages are counted anew.
    assert!(found.entries.len() >= WHOLE.0 - 3 * 128 && found.entries.len() < WHOLE.0, "{}", found.entries.len());
}

/// Names of an earlier life are not given again, though the index forgot it.
#[test]
fn the_epoch_never_goes_back_with_the_index() {
    let store = Running::new(settings()).again(settings()).again(settings());
    assert_eq!(store.epoch(), 3);
    let image = copy(store.killed().path());
    harm(&image.path().join("index/0.jnl"), 0, Harm::Blank);
    let opened = EmbeddedStore::open(image.path(), settings()).unwrap();
    assert_eq!(opened.store.epoch(), 4);
}
