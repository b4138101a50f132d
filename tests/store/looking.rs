//! A store that is looked at: what is seen, and that nothing of it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use certus::store::{Batch, EmbeddedStore, Level, OpenError, SessionUid, Settings, Store, StoreError};

use crate::damage::{Harm, copy, files, harm, killed, settings};
use crate::durable::contents;
use crate::running::{Running, copy_tree, scratch, small};
use crate::{append, enqueue, seqs};

/// Every file with its bytes, and when it was changed.
fn bytes_of(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let read = |path: PathBuf| {
        let read = std::fs::read(&path).unwrap();
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        (path, (read, modified))
    };
    files(directory).into_iter().map(read).collect()
}

/// Images of this process that are still there.
fn images() -> usize {
    let mine = format!("certus-look-{}-", std::process::id());
    let names = std::fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(&mine)).count()
}

/// With a log that was not folded in, and tables of the index.
#[test]
fn all_is_seen_and_no_byte_is_changed() {
    // An applier that waits for ever leaves the log as it is.
    let patient = Settings { apply_bytes: u64::MAX, apply_interval: Duration::from_secs(3600), ..settings() };
    let running = Running::start(killed(), patient);
    assert!(running.wait(append(&*running, [enqueue(SessionUid(1), 700, 700)])));
    let left = copy(running.killed().path());
    let before = bytes_of(left.path());
    let looked = EmbeddedStore::look(left.path(), settings()).unwrap();
    assert_eq!((looked.damage.len(), looked.missing.len()), (0, 0));
    assert!(looked.groups > 0, "the index holds all: nothing is shown of the log");
    assert_eq!(images(), 1);
    let report = looked.store.check().unwrap();
    assert_eq!((report.faults, report.queues), (0, 3), "{:?}", report.told);
    let mut exported = Vec::new();
    looked.store.snapshot(&mut exported).unwrap();
    let seen = contents(&*looked.store);
    drop(looked);
    assert_eq!(images(), 0, "nothing stays in the directory for temporary files");
    assert!(bytes_of(left.path()) == before, "something of the store was changed");
    let opened = EmbeddedStore::open(left.path(), settings()).unwrap();
    assert_eq!(contents(&*opened.store), seen);
    assert_eq!(opened.store.epoch(), 5, "a look is no start: there were four");
    assert!(exported.len() > 100_000, "{}", exported.len());
}

/// What an open would cut off, mend or refuse.
#[test]
fn damage_is_told_and_stays_as_it_is() {
    let image = copy(killed().path());
    let log = files(&image.path().join("log"));
    let [journal, list, log] =
        [image.path().join("index/0.jnl"), image.path().join("index/keyspaces/1/current"), log[0].clone()];
    for (path, done) in [(&journal, Harm::Cut), (&journal, Harm::Flip), (&log, Harm::Flip), (&list, Harm::Flip)] {
        let directory = copy(image.path());
        let harmed = directory.path().join(path.strip_prefix(image.path()).unwrap());
        let used = std::fs::read(&harmed).unwrap().iter().rposition(|&byte| byte != 0).unwrap();
        harm(&harmed, used / 2, done);
        let before = bytes_of(directory.path());
        match EmbeddedStore::look(directory.path(), settings()) {
            Ok(looked) => {
                let told: Vec<_> = looked.damage.iter().map(ToString::to_string).collect();
                assert!(told.iter().any(|told| told.ends_with("kept as it is, since nothing was changed")), "{told:?}");
            }
            Err(error) => {
                let told = error.to_string();
                let folder = harmed.parent().unwrap().to_str().unwrap();
                assert!(told.contains(folder) && told.contains("certus store salvage"), "{told}");
            }
        }
        assert!(bytes_of(directory.path()) == before, "{} {done:?}: something was changed", path.display());
    }
    assert_eq!(images(), 0);
}

#[test]
fn many_may_look_and_nobody_while_it_is_written() {
    let running = Running::new(small(Level::Fsync));
    assert!(running.wait(append(&*running, [enqueue(SessionUid(1), 0, 0)])));
    let refused = EmbeddedStore::look(running.path(), small(Level::Fsync)).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let left = running.killed();
    let [one, other] = [(); 2].map(|()| EmbeddedStore::look(left.path(), small(Level::Fsync)).unwrap());
    assert_eq!([&one, &other].map(|looked| seqs(&*looked.store, SessionUid(1))), [vec![0], vec![0]]);
    let refused = EmbeddedStore::open(left.path(), small(Level::Fsync)).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let batch = Batch { ops: vec![enqueue(SessionUid(1), 1, 1)] };
    assert_eq!(one.store.append(batch), Err(StoreError::Latched), "it would be written nowhere");
    drop((one, other));
    EmbeddedStore::open(left.path(), small(Level::Fsync)).unwrap();
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let directory = scratch();
    let path = directory.path().join("store");
    let error = EmbeddedStore::look(&path, small(Level::Fsync)).unwrap_err();
    assert!(matches!(&error, OpenError::Absent { .. }) && error.to_string().contains("state_dir"), "{error}");
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("format"), "certus store 9\n").unwrap();
    let error = EmbeddedStore::look(&path, small(Level::Fsync)).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 9, .. }), "{error}");
    assert_eq!(files(&path).len(), 1);
}

/// As a backup lies on a medium that cannot be written.
#[test]
fn a_copy_without_a_lock_can_be_looked_at() {
    let left = scratch();
    copy_tree(killed().path(), left.path());
    std::fs::remove_file(left.path().join("lock")).unwrap();
    let looked = EmbeddedStore::look(left.path(), settings()).unwrap();
    assert_eq!(seqs(&*looked.store, SessionUid(1)).len(), 700);
    assert!(!left.path().join("lock").exists());
}
