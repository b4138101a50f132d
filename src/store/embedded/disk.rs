//! The files of the log, and where they lie.
//!
//! What lives here: the few things that the log asks of a disk, and the disk of
//! this machine. What does not: what stands in the files (`log`). Invariant: a
//! name that [`Disk::create`] gave is there after a crash, and bytes are once
//! [`LogFile::sync`] has answered; nothing else is promised, so a double may
//! drop, tear and reorder all the rest.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

/// Zeros are written in pieces of so many bytes.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// So much is written between two syncs: a sync of the log waits for no more of it.
const STEP: u64 = 1 << 20;

/// A directory for the log. All names are plain file names.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The names of the files.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn names(&self) -> io::Result<Vec<String>>;

    /// The whole of a file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// The first bytes of a file, at most so many.
    ///
    /// # Errors
    /// It cannot be read.
    fn beginning(&self, name: &str, bytes: usize) -> io::Result<Vec<u8>> {
        let mut found = self.read(name)?;
        found.truncate(bytes);
        Ok(found)
    }

    /// Makes a file that begins with `beginning`, and nothing or zeros behind
    /// it. Where its name outlives a crash, so does its beginning. `spare` may be
    /// taken for it.
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&self, name: &str, beginning: &[u8]) -> io::Result<Box<dyn LogFile>>;

    /// Prepares the space of a file of `bytes` zeros, so that a later sync
    /// writes data only. Does nothing when it is prepared already.
    ///
    /// # Errors
    /// There is no room.
    fn prepare(&self, bytes: u64) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Keeps bytes that nobody can read under a name of their own, and says
    /// where.
    ///
    /// # Errors
    /// They cannot be kept.
    fn set_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// The file system does not say, or is read-only.
    fn free(&self) -> io::Result<u64>;
}

/// A file that is written from its beginning to its end.
pub trait LogFile: fmt::Debug + Send {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// They were not all written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all that was written is on the medium.
    ///
    /// # Errors
    /// It may not be, and no later sync can tell.
    fn sync(&mut self) -> io::Result<()>;
}

/// A directory of this machine.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

const SPARE: &str = "spare";
const BEING_PREPARED: &str = "spare.new";
/// A file until it has its beginning.
const BEGUN: &str = "begun";
/// Where [`Disk::set_aside`] puts things.
const ASIDE: &str = "damaged";

impl Directory {
    /// The directory, made when it is absent, for this user alone.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        std::fs::read_dir(path)?;
        Ok(Self { path: path.to_owned() })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // An image of a store has links in it.
            if !entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn beginning(&self, name: &str, bytes: usize) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        File::open(self.path.join(name))?.take(bytes as u64).read_to_end(&mut found)?;
        Ok(found)
    }

    fn create(&self, name: &str, beginning: &[u8]) -> io::Result<Box<dyn LogFile>> {
        let (path, begun) = (self.path.join(name), self.path.join(BEGUN));
        match std::fs::rename(self.path.join(SPARE), &begun) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(File::create(&begun)?),
            Err(error) => return Err(error),
        }
        let named = || {
            let mut file = OpenOptions::new().write(true).open(&begun)?;
            file.write_all_at(beginning, 0)?;
            file.sync()?;
            std::fs::rename(&begun, &path)?;
            self.sync()?;
            Ok::<_, io::Error>(file)
        };
        match named() {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                // A sync that failed once says nothing by succeeding later.
                let _ = std::fs::remove_file(&begun);
                Err(error)
            }
        }
    }

    fn prepare(&self, bytes: u64) -> io::Result<()> {
        let (spare, new) = (self.path.join(SPARE), self.path.join(BEING_PREPARED));
        if spare.try_exists()? {
            return Ok(());
        }
        let written = write_zeros(&new, bytes);
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written?;
        std::fs::rename(&new, &spare)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn set_aside(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        let aside = self.path.join(ASIDE);
        std::fs::create_dir_all(&aside)?;
        let path = aside.join(name);
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path.display().to_string())
    }

    fn free(&self) -> io::Result<u64> {
        let system = rustix::fs::statvfs(&self.path)?;
        if system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

fn write_zeros(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all(ZEROS.get(..piece).unwrap_or_default())?;
        left -= piece as u64;
        if left.is_multiple_of(STEP) {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

impl LogFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
