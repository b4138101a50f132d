//! `certus store`: the store of a broker that does not run.
//!
//! What lives here: arguments, the file of an export, printing. What does not:
//! reading and writing the store (`store`). Invariant: an export is there whole
//! or not at all; a store that a broker has open is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::broker::Durability;
use crate::store::{self, CopyError, EmbeddedStore, OpenError, Opened, Salvaged};

use super::{Outcome, complain, say, settings};

/// Arguments of `store`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus store check                            count what is stored, name what is wrong
  certus store compact --state-dir /var/lib/certus
  certus store export backup.certus             one file, checked when it is read
  certus store export - | ssh host 'cat > backup.certus'
  certus store import backup.certus --state-dir new
  certus store salvage                          make a new index of what can be read of a damaged one

The broker must not run. check and export change nothing of the store: they read
an image of it in the directory for temporary files. compact and import first
take in what the log holds, as a start does, and set aside and report what is
damaged. Exit code 1 when something is wrong with the store.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read every record, count, and compare what records say of each other.
    Check {
        #[command(flatten)]
        place: settings::Args,
    },
    /// Give back the space of what was deleted.
    Compact {
        #[command(flatten)]
        place: settings::Args,
    },
    /// Write everything into one file.
    Export {
        /// The file; "-" for standard output. One that exists is replaced.
        file: PathBuf,
        #[command(flatten)]
        place: settings::Args,
    },
    /// Make a new index of what can be read of a damaged one, which is kept.
    Salvage {
        #[command(flatten)]
        place: settings::Args,
    },
    /// Fill an empty store from such a file.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        place: settings::Args,
    },
}

pub(super) fn run(args: &Args) -> Outcome {
    let (Command::Check { place }
    | Command::Compact { place }
    | Command::Salvage { place }
    | Command::Export { place, .. }
    | Command::Import { place, .. }) = &args.command;
    let durability = match place.plan_of_store() {
        Ok(plan) => plan.durability,
        Err(problems) => return Outcome::wrong(problems),
    };
    let Durability::Disk { directory, settings } = durability else {
        return Outcome::wrong("storage.durability is memory: there is no store on disk");
    };
    let is_import = matches!(args.command, Command::Import { .. });
    if !is_import && !directory.join("format").exists() {
        let directory = directory.display();
        return Outcome::wrong(format_args!("there is no store in {directory}; name its state_dir with --state-dir"));
    }
    if matches!(args.command, Command::Salvage { .. }) {
        return salvage(&directory, settings);
    }
    let opened = match &args.command {
        Command::Check { .. } | Command::Export { .. } => EmbeddedStore::look(&directory, settings),
        _ => EmbeddedStore::open(&directory, settings),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error @ OpenError::Locked { .. }) => return Outcome::wrong(error),
        Err(error) => return Outcome::failed(error),
    };
    let is_whole = told(&opened);
    let done = match &args.command {
        Command::Check { .. } => check(&opened.store, &directory, is_whole),
        Command::Compact { .. } => compact(&opened.store),
        Command::Salvage { .. } => Outcome::Done,
        Command::Export { file, .. } => export(&opened.store, file),
        Command::Import { file, .. } => import(&opened.store, file),
    };
    match done {
        Outcome::Done if !is_whole => Outcome::failed("the store is damaged; see above"),
        done => done,
    }
}

/// Says what reading the log found; answers whether nothing is wrong.
fn told(opened: &Opened) -> bool {
    for damage in &opened.damage {
        complain(damage);
    }
    for (first, there) in &opened.missing {
        complain(format_args!("groups {first} to {} are missing from the store's log", there - 1));
    }
    opened.damage.is_empty() && opened.missing.is_empty()
}

fn check(store: &Arc<EmbeddedStore>, directory: &Path, is_whole: bool) -> Outcome {
    let report = match store.check() {
        Ok(report) => report,
        Err(error) => return Outcome::failed(error),
    };
    let (queues, entries, shared) = (report.queues, report.entries, report.shared_messages);
    say(format_args!("{}: {} bytes of records", directory.display(), report.bytes));
    say(format_args!("{queues} queues with {entries} entries, {shared} messages shared"));
    for (table, rows) in &report.rows {
        say(format_args!("{rows} rows of {}", table.name()));
    }
    for fault in &report.told {
        complain(fault);
    }
    match report.faults {
        0 if is_whole => {
            say("good");
            Outcome::Done
        }
        0 => {
            say("the index is good, as far as it goes");
            Outcome::Done
        }
        faults => Outcome::failed(format_args!(
            "{faults} faults; `certus store salvage` makes a new index without them, and keeps this one"
        )),
    }
}

fn salvage(directory: &Path, settings: store::Settings) -> Outcome {
    let salvaged = match EmbeddedStore::salvage(directory, settings.clone()) {
        Ok(salvaged) => salvaged,
        Err(error @ OpenError::Locked { .. }) => return Outcome::wrong(error),
        Err(error) => return Outcome::failed(error),
    };
    let Salvaged { records, holes, damaged, opened, kept_as } = salvaged;
    say(format_args!("{records} records read, {damaged} of them damaged, {holes} stretches that cannot be read"));
    if !opened {
        complain("the old index could not be opened at all: only what the log holds is left");
    }
    say(format_args!("the old index is kept in {}; remove it when nothing of it is wanted", kept_as.display()));
    match EmbeddedStore::open(directory, settings) {
        Ok(opened) => {
            let is_whole = told(&opened);
            check(&opened.store, directory, is_whole)
        }
        Err(error) => Outcome::failed(error),
    }
}

fn compact(store: &Arc<EmbeddedStore>) -> Outcome {
    match store.compact() {
        Ok((before, after)) => {
            say(format_args!("the index took {before} bytes and takes {after} now"));
            Outcome::Done
        }
        Err(error) => Outcome::failed(error),
    }
}

fn export(store: &Arc<EmbeddedStore>, file: &Path) -> Outcome {
    if file == Path::new("-") {
        return match store.snapshot(&mut BufWriter::new(io::stdout().lock())) {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::failed(error),
        };
    }
    match written_whole(file, |into| store.snapshot(into)) {
        Ok(records) => {
            say(format_args!("{records} records in {}", file.display()));
            Outcome::Done
        }
        Err(error) => Outcome::failed(format_args!("{}: {error}", file.display())),
    }
}

/// Writes a file under another name, syncs it, and gives it its name.
fn written_whole(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<u64, CopyError>,
) -> Result<u64, CopyError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    // Messages are for their tenants, not for every user of this machine.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let done = created.map_err(CopyError::from).and_then(|created| {
        let mut into = BufWriter::new(created);
        let records = write(&mut into)?;
        into.flush()?;
        into.get_ref().sync_all()?;
        fs::rename(&draft, file)?;
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
        Ok(records)
    });
    if done.is_err() {
        // A draft that was not moved is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    done
}

fn import(store: &Arc<EmbeddedStore>, file: &Path) -> Outcome {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) => return Outcome::failed(format_args!("{}: it cannot be read ({error})", file.display())),
    };
    match store.import(&mut BufReader::new(opened)) {
        Ok(records) => {
            say(format_args!("{records} records imported; start the broker"));
            Outcome::Done
        }
        Err(error @ CopyError::NotEmpty) => Outcome::wrong(error),
        Err(error) => Outcome::failed(format_args!("{}: {error}", file.display())),
    }
}
