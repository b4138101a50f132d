//! Whose a store is.
//!
//! Invariant: one process writes it, or any number look at it; the kernel keeps
//! this, and forgets it with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::open::OpenError;

const LOCK: &str = "lock";

/// Keeps a second process away.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// For whoever writes.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(LOCK);
        let broken = |error| OpenError::Directory { path: path.clone(), error };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(broken)?;
        had(file.try_lock(), &file, directory)?;
        // For people: the lock itself is the kernel's.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(broken)?;
        Ok(Self { _file: Some(file) })
    }

    /// For whoever looks: nothing is written, not even the name of the process.
    pub(super) fn share(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            // A copy of a store need not have one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { _file: None }),
            Err(error) => return Err(OpenError::Directory { path, error }),
        };
        had(file.try_lock_shared(), &file, directory)?;
        Ok(Self { _file: Some(file) })
    }
}

fn had(locked: Result<(), TryLockError>, file: &File, directory: &Path) -> Result<(), OpenError> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = file.take(20).read_to_string(&mut process);
            Err(OpenError::Locked { path: directory.to_owned(), process: process.trim().to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(OpenError::Directory { path: directory.join(LOCK), error }),
    }
}
