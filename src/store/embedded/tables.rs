//! The engine's files, looked at before it opens them and when it cannot.
//!
//! What lives here: whether the lists of its files are what was written, and
//! which of its tables is damaged. What does not: its journal (`journal`).
//! Invariant: the engine is never given a list that is damaged: it deletes every
//! file that its list does not name.
//!
//! A tree is a folder with `tables/`, a list `v<number>`, and `current`: the
//! number of the list (8 bytes), its XXH3-128 (16), 0. A table is blocks of 33
//! bytes of header (magic, kind, checksum, length, length unpacked, checksum of
//! the header) and contents, a table of contents and a trailer that names it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::list;

/// Says that the folder is the engine's.
const VERSION: &str = "version";
const TREES: &str = "keyspaces";
const TABLES: &str = "tables";
const CURRENT: &str = "current";
const BLOCK: &[u8] = b"LSM\x03";
const CONTENTS: &[u8] = b"TOC!";
const TRAILER: &[u8] = b"SFA!";
const HEADER_BYTES: usize = 33;
/// Magic, version and kind of checksum, checksum, place and length of the table
/// of contents.
const TRAILER_BYTES: usize = 38;
/// What may stand between two blocks.
const BETWEEN: usize = 64;

/// A file of the index that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) file: PathBuf,
    pub(super) what: &'static str,
}

fn broken(file: PathBuf, what: &'static str) -> Broken {
    Broken { file, what }
}

/// What is found of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or what the engine may open.
    Sound,
    /// Its making was interrupted: it holds nothing.
    Unmade,
    /// It would not be opened as what it was.
    Broken(Broken),
}

/// Looks at what the engine trusts without a look.
pub(super) fn look(index: &Path) -> io::Result<Found> {
    if !index.is_dir() || fs::read_dir(index)?.next().is_none() {
        return Ok(Found::Sound);
    }
    let trees = trees(index)?;
    if !index.join(VERSION).is_file() {
        let has_tables = trees.iter().map(|tree| tables(tree)).collect::<io::Result<Vec<_>>>()?.concat();
        if has_tables.is_empty() {
            return Ok(Found::Unmade);
        }
        return Ok(Found::Broken(broken(index.join(VERSION), "it is missing")));
    }
    if !index.join("0.jnl").is_file() && trees.is_empty() {
        return Ok(Found::Broken(broken(index.join(TREES), "it is missing")));
    }
    for tree in trees {
        if let Some(broken) = list_fault(&tree)? {
            return Ok(Found::Broken(broken));
        }
    }
    // The engine asks for it, and holds it by a lock of the kernel.
    if !index.join("lock").is_file() {
        fs::File::create(index.join("lock"))?;
    }
    Ok(Found::Sound)
}

/// The folders of the trees.
pub(super) fn trees(index: &Path) -> io::Result<Vec<PathBuf>> {
    paths(&index.join(TREES)).map(|paths| paths.into_iter().filter(|path| path.is_dir()).collect())
}

fn tables(tree: &Path) -> io::Result<Vec<PathBuf>> {
    paths(&tree.join(TABLES))
}

fn paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn list_fault(tree: &Path) -> io::Result<Option<Broken>> {
    let path = tree.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(current) => current,
        // A tree that was being made holds nothing; the engine makes it anew.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((!tables(tree)?.is_empty()).then(|| broken(path, "it is missing")));
        }
        Err(error) => return Err(error),
    };
    let Some((number, rest)) = current.split_first_chunk::<8>() else {
        return Ok(Some(broken(path, "it ends too early")));
    };
    let list = tree.join(format!("v{}", u64::from_le_bytes(*number)));
    let bytes = match fs::read(&list) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "current names it, and it is missing, or current is damaged";
            return Ok(Some(broken(list, what)));
        }
        Err(error) => return Err(error),
    };
    let fits = rest.strip_prefix(&xxh3_128(&bytes).to_le_bytes()) == Some(&[0]);
    Ok((!fits).then(|| broken(list, "its checksum in current does not fit")))
}

/// Makes `current` of a tree name its latest list, whatever it said.
pub(super) fn trust_latest_list(tree: &Path) -> io::Result<()> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix('v')?.parse::<u64>().ok();
    let lists = paths(tree)?;
    let Some(latest) = lists.iter().filter_map(|path| Some((number(path)?, path))).max() else { return Ok(()) };
    let sum = xxh3_128(&fs::read(latest.1)?);
    let current = [latest.0.to_le_bytes().as_slice(), &sum.to_le_bytes(), &[0]].concat();
    fs::write(tree.join(CURRENT), current)
}

/// The first file of the index that is damaged, looked for in all of them.
pub(super) fn find_broken(index: &Path) -> Option<Broken> {
    let version = index.join(VERSION);
    if fs::read(&version).is_ok_and(|found| found != b"FJL\x03") {
        return Some(broken(version, "it is not what the engine writes"));
    }
    let trees = trees(index).ok()?;
    if let Some(missing) = trees.iter().find_map(|tree| missing(tree)) {
        return Some(missing);
    }
    let tables = trees.iter().filter_map(|tree| tables(tree).ok()).flatten();
    tables.into_iter().find_map(|path| {
        let bytes = fs::read(&path).ok()?;
        let what = table_fault(&bytes)?;
        Some(broken(path, what))
    })
}

/// The first table that a tree's list names and that is not there.
fn missing(tree: &Path) -> Option<Broken> {
    let current = fs::read(tree.join(CURRENT)).ok()?;
    let list = fs::read(tree.join(format!("v{}", u64::from_le_bytes(*current.first_chunk::<8>()?)))).ok()?;
    let paths = list::tables_of(&list)?.into_iter().map(|number| tree.join(TABLES).join(number.to_string()));
    paths.into_iter().find(|path| !path.exists()).map(|path| broken(path, "it is missing"))
}

fn table_fault(bytes: &[u8]) -> Option<&'static str> {
    let trailer = bytes.len().checked_sub(TRAILER_BYTES).and_then(|at| bytes.get(at..));
    let Some(trailer) = trailer.and_then(|trailer| trailer.strip_prefix(TRAILER)) else {
        return Some("its trailer is missing");
    };
    let number = |from: usize| {
        let bytes = trailer.get(from..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    let contents = number(18).zip(number(26)).and_then(|(at, length)| bytes.get(at..at.checked_add(length)?));
    let sum = contents.filter(|bytes| bytes.starts_with(CONTENTS)).map(|bytes| xxh3_128(bytes).to_le_bytes());
    if sum.as_ref().map(<[u8; 16]>::as_slice) != trailer.get(2..18) {
        return Some("the checksum of its contents does not fit");
    }
    blocks_fault(bytes.get(..number(18)?)?)
}

fn blocks_fault(bytes: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(BLOCK) {
            match block_length(rest) {
                Some(length) => at += length,
                None => return Some("the checksum of a block does not fit"),
            }
        } else {
            let next = rest.windows(BLOCK.len()).take(BETWEEN).position(|window| window == BLOCK);
            match next {
                Some(distance) => at += distance,
                None if rest.len() < BETWEEN => return None,
                None => return Some("a block has no header"),
            }
        }
    }
    None
}

/// The length of the block that `bytes` begin with, if it is whole.
fn block_length(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (fields, sum) = header.split_last_chunk::<4>()?;
    // The header's own checksum is the lower quarter of one.
    let is_header = xxh3_128(fields).to_le_bytes().starts_with(sum);
    let length = u32::from_le_bytes(*fields.get(21..)?.first_chunk::<4>()?) as usize;
    let contents = rest.get(..length)?;
    let is_whole = is_header && fields.get(5..21)? == xxh3_128(contents).to_le_bytes();
    is_whole.then_some(HEADER_BYTES + length)
}
