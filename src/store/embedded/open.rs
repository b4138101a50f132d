//! Opening: whose directory it is, what a crash left, and what is known at
//! once.
//!
//! Invariant: when the store is handed out, the index holds all that the log
//! did, and nothing of an earlier life has to be read again. What cannot be
//! opened is left as it was.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use super::applier::{applied, write};
use super::commits::Commits;
use super::disk::{Directory, Disk};
use super::engine::{self, Changes, DEAD, EPOCH, Engine, key_of, kind, number_of};
use super::fold::{Fold, Writer};
use super::journal;
use super::lock::Lock;
use super::log::{self, Damage, Headers, LogError, LogWriter};
use super::pending::Pending;
use super::read::load_of;
use super::rows::Rows;
use super::salvage::SALVAGED;
use super::settings::Settings;
use super::tables::{self, Broken};
use super::{EmbeddedStore, Loads, hold};
use crate::store::record::{GroupReader, Head, Malformed, VERSION};
use crate::store::{SessionUid, StoreError, Table};
use crate::telemetry::metrics::Counter;

pub(super) const LOG: &str = "log";
pub(super) const INDEX: &str = "index";
pub(super) const FORMAT: &str = "format";

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("the store's directory {}: {error}{}", .path.display(), hint(.error))]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody else has it.
    #[error(
        "the store in {} is in use by process {process}; stop that one, or give this broker another state_dir",
        .path.display()
    )]
    Locked {
        /// Which.
        path: PathBuf,
        /// Who, as far as it said.
        process: String,
    },
    /// A newer version wrote it.
    #[error(
        "the store in {} has format {found}, and this version reads up to {VERSION}; start the version that wrote it, and move with `certus store export`",
        .path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A newer version made a table of it.
    #[error(
        "the store in {} holds table {table}, which this version does not know; start the version that wrote it, and move with `certus store export`",
        .path.display()
    )]
    NewerTable {
        /// Which.
        path: PathBuf,
        /// The table's code.
        table: u8,
    },
    /// Nothing is there to be looked at.
    #[error("there is no store in {}; name the state_dir of the broker that made it", .path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The directory holds something else.
    #[error("{} holds files that are not a store of certus; name another state_dir", .path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The index cannot be opened.
    #[error(
        "the store's index in {} cannot be opened: {error}; `certus store salvage` makes a new index of what can be read, and keeps this one",
        .path.display()
    )]
    Engine {
        /// Where it lies.
        path: PathBuf,
        /// What it said.
        error: String,
    },
    /// A file of the index is not what was written.
    #[error(
        "the store's index is damaged: {}: {what}; `certus store salvage` makes a new index of what can be read, and keeps this one",
        .file.display()
    )]
    Damaged {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The log cannot be read.
    #[error("the store's log in {} cannot be read: {error}", .path.display())]
    Log {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; give it to the user that runs the broker, or name another state_dir",
        io::ErrorKind::StorageFull => "; free space on its disk",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it for writing, or name another state_dir",
        io::ErrorKind::NotADirectory => "; remove the file of that name, or name another state_dir",
        _ => "",
    }
}

/// A store and what was found when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store. Its threads are not running yet.
    pub store: Arc<EmbeddedStore>,
    /// Groups that were read from the log.
    pub groups: u64,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// Groups that are missing: the first of each gap, and the first behind it.
    pub missing: Vec<(u64, u64)>,
}

impl LogError {
    pub(super) fn of(self, directory: &Path) -> OpenError {
        OpenError::Log { path: log_of(directory), error: self.to_string() }
    }
}

pub(super) fn log_of(directory: &Path) -> PathBuf {
    directory.join(LOG)
}

/// Looks at the format of a store; one that is new is given ours.
pub(super) fn check_format(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(FORMAT);
    match has_format(directory)? {
        true => Ok(()),
        false => write_format(&path).map_err(|error| OpenError::Directory { path, error }),
    }
}

/// Whether a store is there; if so, it is one that this version reads.
pub(super) fn has_format(directory: &Path) -> Result<bool, OpenError> {
    let path = directory.join(FORMAT);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_foreign = [INDEX, LOG].iter().any(|name| directory.join(name).exists());
            return if is_foreign { Err(OpenError::Foreign { path: directory.to_owned() }) } else { Ok(false) };
        }
        Err(error) => return Err(OpenError::Directory { path, error }),
    };
    let found = text.trim().strip_prefix("certus store ").and_then(|number| number.parse::<u32>().ok());
    match found {
        Some(found) if found > VERSION.into() => Err(OpenError::Newer { path: directory.to_owned(), found }),
        Some(_) => Ok(true),
        None => Err(OpenError::Foreign { path: directory.to_owned() }),
    }
}

fn write_format(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "certus store {VERSION}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

impl EmbeddedStore {
    /// Opens the store in `directory`, which is made when it is absent.
    ///
    /// # Errors
    /// See [`OpenError`]. What a crash damaged is none.
    pub fn open(directory: &Path, settings: Settings) -> Result<Opened, OpenError> {
        let broken = |error| OpenError::Directory { path: directory.to_owned(), error };
        Directory::open(directory).map_err(broken)?;
        let lock = Lock::take(directory)?;
        check_format(directory)?;
        let path = directory.join(LOG);
        let disk = Directory::open(&path).map_err(|error| OpenError::Directory { path, error })?;
        Self::open_locked(directory, Arc::new(disk), settings, lock)
    }

    /// As [`EmbeddedStore::open`], with the log on a disk of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(directory: &Path, disk: Arc<dyn Disk>, settings: Settings) -> Result<Opened, OpenError> {
        let broken = |error| OpenError::Directory { path: directory.to_owned(), error };
        Directory::open(directory).map_err(broken)?;
        let lock = Lock::take(directory)?;
        check_format(directory)?;
        Self::open_locked(directory, disk, settings, lock)
    }

    pub(super) fn open_locked(
        directory: &Path,
        disk: Arc<dyn Disk>,
        settings: Settings,
        lock: Lock,
    ) -> Result<Opened, OpenError> {
        let headers = Headers::of(&*disk).map_err(|error| error.of(directory))?;
        let (engine, mended) = open_index(directory, &*disk, &headers, &settings)?;
        let wrong = |error: StoreError| index_fault(directory, error.to_string());
        if let Some(table) = unknown_table(&engine).map_err(wrong)? {
            return Err(OpenError::NewerTable { path: directory.to_owned(), table });
        }
        let epoch = raise_epoch(&engine, headers.epoch).map_err(wrong)?;
        let next_body = AtomicU64::new(u64::from(epoch) << 40);
        let dead = engine.view().number(DEAD).map_err(|error| wrong(error.into()))?.unwrap_or(0).into();
        let writer = Writer { epoch, next_body: &next_body, dead: &dead };
        let replayed = replay(&engine, &*disk, &settings, &writer);
        let (mut found, groups) = replayed.map_err(|error| error.of(directory))?;
        let is_a_gap = !found.missing.is_empty();
        if found.files.is_empty() && epoch > 1 {
            found.damage.push(Damage::of_no_log());
        }
        found
            .damage
            .extend(mended.into_iter().map(|damage| Damage { is_a_gap: damage.is_a_gap || is_a_gap, ..damage }));
        engine.checkpoint().map_err(wrong)?;
        let broken = |error| OpenError::Directory { path: directory.join(LOG), error };
        // A log without any file is one that somebody took away.
        let (empty, old): (Vec<_>, _) = found.files.iter().partition(|name| log::first_of(name) == Some(found.next));
        empty.into_iter().try_for_each(|name| disk.remove(name)).map_err(broken)?;
        let log = LogWriter::begin(Arc::clone(&disk), found.next, epoch, settings.segment_bytes).map_err(broken)?;
        old.into_iter().try_for_each(|name: &String| disk.remove(name)).map_err(broken)?;
        let pending = Pending::default();
        let loads = know_heads(&engine, &pending).map_err(wrong)?;
        Counter::StoreDamagedBytes.add(found.damage.iter().map(|damage| damage.bytes).sum());
        Counter::StoreMissingGroups.add(found.missing.iter().map(|(first, there)| there - first).sum());
        let store = Self {
            commits: Commits::new(&settings),
            settings,
            directory: directory.to_owned(),
            disk,
            epoch,
            pending,
            loads: Mutex::new(loads),
            rows: Rows::default(),
            engine: RwLock::new(Some(engine)),
            log: Mutex::new(Some(log)),
            complete: Mutex::default(),
            next_body,
            dead,
            image: None,
            _lock: lock,
        };
        Ok(Opened { store: Arc::new(store), groups, damage: found.damage, missing: found.missing })
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Files of the log that are complete and not removed yet.
    #[must_use]
    pub fn complete_log_files(&self) -> usize {
        hold(&self.complete).len()
    }
}

/// Opens the index once what a crash or a disk did to it is known.
fn open_index(
    directory: &Path,
    disk: &dyn Disk,
    headers: &Headers,
    settings: &Settings,
) -> Result<(Engine, Vec<Damage>), OpenError> {
    let broken = |error| OpenError::Directory { path: directory.to_owned(), error };
    let (index, salvaged) = (directory.join(INDEX), directory.join(SALVAGED));
    if !index.exists() && salvaged.exists() {
        std::fs::rename(salvaged, &index).map_err(broken)?;
    }
    match tables::look(&index).map_err(broken)? {
        tables::Found::Sound => {}
        tables::Found::Unmade if headers.begins.unwrap_or(1) <= 1 => std::fs::remove_dir_all(&index).map_err(broken)?,
        tables::Found::Unmade => {
            return Err(index_fault(directory, "it was not made to the end".to_owned()));
        }
        tables::Found::Broken(Broken { file, what }) => {
            return Err(OpenError::Damaged { file, what: what.to_owned() });
        }
    }
    let mended = journal::mend(&index, disk, headers.begins).map_err(broken)?;
    // The engine takes some damage for a mistake of its own.
    let opened = catch_unwind(AssertUnwindSafe(|| Engine::open(&index, settings)));
    match opened {
        Ok(Ok(engine)) => Ok((engine, mended)),
        Ok(Err(error)) => Err(index_fault(directory, error.to_string())),
        Err(_) => Err(index_fault(directory, "the engine gave up".to_owned())),
    }
}

/// Why the index cannot be used, with the file that is damaged if there is one.
fn index_fault(directory: &Path, error: String) -> OpenError {
    let index = directory.join(INDEX);
    match tables::find_broken(&index) {
        Some(Broken { file, what }) => OpenError::Damaged { file, what: what.to_owned() },
        None => OpenError::Engine { path: index, error },
    }
}

/// The first table in the index that this version does not know.
fn unknown_table(engine: &Engine) -> Result<Option<u8>, StoreError> {
    let view = engine.view();
    for code in (0..=u8::MAX).filter(|&code| Table::from_code(code).is_none()) {
        let end = code.checked_add(1).map_or_else(|| vec![kind::ROW + 1], |next| vec![kind::ROW, next]);
        let mut rows = view.range((Bound::Included(vec![kind::ROW, code]), Bound::Excluded(end)));
        if rows.next().transpose()?.is_some() {
            return Ok(Some(code));
        }
    }
    Ok(None)
}

/// Every start has an epoch of its own, durable before anything is named by it;
/// also when the index has forgotten some, which `begun` knows of.
fn raise_epoch(engine: &Engine, begun: u32) -> Result<u32, StoreError> {
    let epoch = engine.view().number(EPOCH)?.unwrap_or(0).max(begun.into()) + 1;
    let mut changes = Changes::default();
    changes.put_number(EPOCH, epoch);
    engine.commit(changes)?;
    engine.checkpoint()?;
    u32::try_from(epoch).map_err(|_| StoreError::Io("the store was opened too often".to_owned()))
}

enum ReplayError {
    Log(LogError),
    Group(u64, Malformed),
    Store(StoreError),
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Group(number, error) => write!(f, "group {number}: {error}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl ReplayError {
    fn of(self, directory: &Path) -> OpenError {
        match self {
            Self::Store(error) => index_fault(directory, error.to_string()),
            Self::Group(_, Malformed::NewerTable(table)) => OpenError::NewerTable { path: directory.to_owned(), table },
            error => OpenError::Log { path: directory.join(LOG), error: error.to_string() },
        }
    }
}

/// Folds what only the log has into the index.
fn replay(
    engine: &Engine,
    disk: &dyn Disk,
    settings: &Settings,
    writer: &Writer<'_>,
) -> Result<(log::Found, u64), ReplayError> {
    let store = |error: StoreError| ReplayError::Store(error);
    let from = applied(engine).map_err(|error| store(error.into()))? + 1;
    let (mut fold, mut bytes, mut groups, mut last) = (Fold::default(), 0, 0, None);
    let found = log::read(disk, from, |number, payload| {
        let broken = |error| ReplayError::Group(number, error);
        let mut batches = GroupReader::new(payload).map_err(broken)?;
        while let Some(batch) = batches.next_batch().map_err(broken)? {
            fold.add(&batch);
        }
        (bytes, groups, last) = (bytes + payload.len() as u64, groups + 1, Some(number));
        if bytes >= settings.apply_bytes {
            bytes = 0;
            write(engine, std::mem::take(&mut fold), number, writer).map_err(store)?;
        }
        Ok::<_, ReplayError>(())
    })?;
    if let Some(last) = last {
        write(engine, fold, last, writer).map_err(store)?;
    }
    Ok((found, groups))
}

/// Reads the head of every queue: the small index that is kept in memory, and
/// what each holds, until somebody asks.
fn know_heads(engine: &Engine, pending: &Pending) -> Result<Loads, StoreError> {
    let (view, mut loads) = (engine.view(), Loads::default());
    let range = (Bound::Included(key_of(kind::HEAD, 0)), Bound::Included(key_of(kind::HEAD, u64::MAX)));
    for row in view.range(range) {
        let (key, value) = row?;
        match (number_of(&key), Head::from_bytes(&key, &value)) {
            (Some(session), Ok(head)) => {
                pending.found(SessionUid(session), head.wanted..head.unused);
                loads.insert(SessionUid(session), load_of(&head, head.wanted));
            }
            _ => Counter::StoreDamagedRecords.one(),
        }
    }
    Ok(loads)
}

impl From<engine::Read> for ReplayError {
    fn from(error: engine::Read) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::sealed;

    /// Its rows would be passed over, and what they say be forgotten.
    #[test]
    fn a_table_of_a_newer_version_is_refused_by_its_code() {
        let directory = tempfile::tempdir().unwrap();
        let opened = EmbeddedStore::open(directory.path(), Settings::default()).unwrap();
        let key = vec![kind::ROW, 99, 1];
        let value = sealed(&key, |into| into.push(1));
        let changes = Changes { puts: vec![(key, value)], deletes: Vec::new() };
        opened.store.with_engine(|engine| engine.commit(changes)).unwrap();
        drop(opened);
        let error = EmbeddedStore::open(directory.path(), Settings::default()).unwrap_err();
        assert!(matches!(error, OpenError::NewerTable { table: 99, .. }), "{error}");
        assert!(error.to_string().contains("start the version that wrote it"), "{error}");
    }
}
