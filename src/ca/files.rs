//! New files for certificates and keys.
//!
//! What lives here: writing one whole or not at all. What does not: which.
//! Invariant: a file appears complete, with its mode, and never in the place of
//! another.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner: private keys.
    Owner,
    /// Everybody: certificates.
    All,
}

/// Writes `text` to the new file `path`.
pub(super) fn create(path: &Path, text: &str, readers: Readers) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = write(&draft, text, readers).and_then(|()| publish(&draft, path));
    // A draft that was not moved is of no use to anybody.
    let _ = fs::remove_file(&draft);
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ => Error::Write { path: path.to_owned(), source: error },
    })
}

/// Makes the names of new files durable.
pub(super) fn sync(directory: &Path) -> Result<(), Error> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| Error::Write { path: directory.to_owned(), source })
}

fn write(draft: &Path, text: &str, readers: Readers) -> std::io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::All => 0o644,
    };
    // Left over by a process of this id that was killed.
    let _ = fs::remove_file(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A hard link fails where a file exists; a rename would replace it.
fn publish(draft: &Path, path: &Path) -> std::io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            // Some file systems know no hard links.
            if path.exists() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(draft, path)
        }
        linked => linked,
    }
}
