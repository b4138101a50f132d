//! Looking at a store, and changing nothing of it.
//!
//! What lives here: an image of the store's files, which is opened in their
//! place. What does not: what is looked for (`inspect`, `copy`). Invariant: no
//! byte of the store and no name in its directory changes, whatever a crash or a
//! disk did to it.
//!
//! Opening a store is work: a torn end is cut off, the log is folded into the
//! index, the epoch is raised. All of that happens to the image: links to the
//! files that are never written again, copies of the others, in the directory
//! for temporary files. It takes as much space there as the journal of the
//! index holds, and what the log holds beyond the index.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::disk::Directory;
use super::lock::Lock;
use super::log::first_of;
use super::open::{FORMAT, INDEX, LOG, OpenError, Opened, has_format, log_of};
use super::salvage::SALVAGED;
use super::{EmbeddedStore, Settings};

/// What damage is kept as.
const UNTOUCHED: &str = "it is, since nothing was changed";
/// Files are copied in pieces of so many bytes.
const PIECE: usize = 1 << 18;

/// Stands in for a store's directory, and vanishes with its value.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
}

impl EmbeddedStore {
    /// Opens the store in `directory` for reading: nothing of it is changed, and
    /// it takes no batch ([`StoreError::Latched`](super::StoreError::Latched)).
    /// What was appended by whoever wrote it last is there, whether it ended in
    /// order or not. Several may look at once; none while somebody writes it.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::Absent`] when no store is there,
    /// [`OpenError::Locked`] when a broker has it.
    pub fn look(directory: &Path, settings: Settings) -> Result<Opened, OpenError> {
        if !has_format(directory)? {
            return Err(OpenError::Absent { path: directory.to_owned() });
        }
        let lock = Lock::share(directory)?;
        let image = Image::of(directory)?;
        let opened = image.open(settings, lock);
        let mut opened = opened.map_err(|error| image.as_in(directory, error))?;
        for damage in opened.damage.iter_mut().filter(|damage| damage.bytes > 0) {
            UNTOUCHED.clone_into(&mut damage.kept_as);
        }
        // Nobody else has it yet.
        if let Some(store) = Arc::get_mut(&mut opened.store) {
            store.commits.refuse();
            directory.clone_into(&mut store.directory);
            store.image = Some(image);
        }
        Ok(opened)
    }
}

impl Image {
    fn of(directory: &Path) -> Result<Self, OpenError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("certus-look-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // Messages are for their tenants, not for every user of this machine.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| OpenError::Directory { path: path.clone(), error })?;
        let image = Self { path };
        match image.fill(directory) {
            Ok(()) => Ok(image),
            Err((path, error)) => Err(OpenError::Directory { path, error }),
        }
    }

    fn fill(&self, directory: &Path) -> Result<(), (PathBuf, io::Error)> {
        let here = |error| (self.path.clone(), error);
        let whole = fs::canonicalize(directory).map_err(|error| (directory.to_owned(), error))?;
        fs::copy(whole.join(FORMAT), self.path.join(FORMAT)).map_err(here)?;
        let log = self.path.join(LOG);
        fs::create_dir(&log).map_err(here)?;
        for (name, file) in entries(&whole.join(LOG))? {
            if first_of(&name).is_some() {
                symlink(&file, log.join(name)).map_err(here)?;
            }
        }
        // As an open finds it: a salvage may have been interrupted.
        let index = [INDEX, SALVAGED].into_iter().find(|name| whole.join(name).exists());
        index.map_or(Ok(()), |name| draw(&whole.join(name), &self.path.join(INDEX)))
    }

    fn open(&self, settings: Settings, lock: Lock) -> Result<Opened, OpenError> {
        let path = log_of(&self.path);
        let disk = Directory::open(&path).map_err(|error| OpenError::Directory { path, error })?;
        EmbeddedStore::open_locked(&self.path, Arc::new(disk), settings, lock)
    }

    /// The same error about the directory that it is the image of.
    fn as_in(&self, directory: &Path, error: OpenError) -> OpenError {
        let there = |path: PathBuf| path.strip_prefix(&self.path).map_or(path.clone(), |rest| directory.join(rest));
        match error {
            OpenError::Damaged { file, what } => OpenError::Damaged { file: there(file), what },
            OpenError::Engine { path, error } => OpenError::Engine { path: there(path), error },
            OpenError::Log { path, error } => OpenError::Log { path: there(path), error },
            OpenError::NewerTable { path, table } => OpenError::NewerTable { path: there(path), table },
            // What cannot be written is the image.
            error => error,
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Names and paths of what is in a directory; nothing if it is not there.
fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, (PathBuf, io::Error)> {
    let found = fs::read_dir(directory).and_then(|entries| {
        let named = entries.map(|entry| entry.map(|it| (it.file_name().to_string_lossy().into_owned(), it.path())));
        named.collect::<io::Result<Vec<_>>>()
    });
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found.map_err(|error| (directory.to_owned(), error)),
    }
}

/// Draws a folder of the engine: its tables are never written again.
fn draw(from: &Path, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    fs::create_dir(to).map_err(|error| (to.to_owned(), error))?;
    let is_final = from.file_name().is_some_and(|name| name == "tables");
    for (name, path) in entries(from)? {
        let target = to.join(name);
        if path.is_dir() {
            draw(&path, &target)?;
        } else {
            let drawn = if is_final { symlink(&path, &target) } else { copy(&path, &target) };
            drawn.map_err(|error| (path, error))?;
        }
    }
    Ok(())
}

/// Copies a file; zeros become a hole, since most of a journal is space that
/// was taken beforehand.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
    let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
    let mut length = 0;
    loop {
        let count = from.read(&mut piece)?;
        let read = piece.get(..count).unwrap_or_default();
        match read {
            [] => return to.set_len(length),
            _ if zeros.get(..count) == Some(read) => drop(to.seek(SeekFrom::Current(count as i64))?),
            _ => to.write_all(read)?,
        }
        length += count as u64;
    }
}
