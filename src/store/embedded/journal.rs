//! The engine's own journal, made whole before the engine opens it.
//!
//! What lives here: reading its batches (format 3 of fjall), cutting off what
//! is torn, and leaving out what is damaged. What does not: what a batch means
//! (`fold`), the log in front of it (`log`). Invariant: the engine finds whole
//! batches and nothing else: left to itself it would refuse to open, or take a
//! length that is wrong for the end of the journal, and say nothing.
//!
//! A batch is a start (tag 1, number of items, sequence number), its items (tag
//! 2, or 4 for one that empties a keyspace) and an end (tag 3, XXH3 of the
//! items, magic). Numbers are little-endian.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::disk::Disk;
use super::engine::APPLIED;
use super::log::{Damage, Part};
use crate::store::record::unsealed;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8; 4] = b"FJL\x03";
/// Tag, count and sequence number.
const START_BYTES: usize = 13;
/// What stands in front of an item's key: tag, kind, compression, keyspace,
/// length of the key, of the value, of the value as it is written.
const ITEM_BYTES: usize = 21;

/// A batch that is whole.
#[derive(Clone, Copy, Debug)]
struct Whole {
    seqno: u64,
    bytes: u64,
    /// The group of the log that it says is in the index.
    applied: Option<u64>,
}

/// Makes every journal in `index` whole. `log_begins` is the first group that
/// the log still holds.
pub(super) fn mend(index: &Path, disk: &dyn Disk, log_begins: Option<u64>) -> io::Result<Vec<Damage>> {
    let journals = journals(index)?;
    let (mut found, mut applied, mut seqno) = (Vec::new(), None, 0);
    for (place, path) in journals.iter().enumerate() {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let kept = read_whole(&mut file, length, &mut applied, &mut seqno)?;
        file.seek(SeekFrom::Start(kept))?;
        let Some(rest) = Rest::read(file)? else { continue };
        // What the log still holds is read from there again, unless a later
        // journal says that it is in the index already.
        let is_last = place + 1 == journals.len();
        let is_in_log = is_last && log_begins.is_some_and(|first| first <= applied.unwrap_or(0) + 1);
        let pieces = if is_in_log { Vec::new() } else { later_batches(&rest.bytes, &mut applied, &mut seqno) };
        found.push(leave_out(path, kept, &rest.bytes, &pieces, disk)?);
    }
    Ok(found)
}

fn journals(index: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(index) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|kind| kind == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads whole batches, and answers where they end.
fn read_whole(file: &mut File, length: u64, applied: &mut Option<u64>, seqno: &mut u64) -> io::Result<u64> {
    let (mut from, mut item, mut at) = (BufReader::with_capacity(1 << 16, file), Vec::new(), 0);
    while let Some(batch) = whole_batch(&mut from, length - at, &mut item)? {
        at += batch.bytes;
        *applied = batch.applied.or(*applied);
        *seqno = batch.seqno.max(*seqno);
    }
    Ok(at)
}

/// What stands behind the whole batches, without the zeros at its end.
struct Rest {
    bytes: Vec<u8>,
}

impl Rest {
    /// `None` when it is all zeros: the space that is taken beforehand.
    fn read(mut file: File) -> io::Result<Option<Self>> {
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 18]);
        // Most of a journal is space that is taken beforehand: compared at once.
        let (blank, mut zeros) = (piece.clone(), 0);
        loop {
            let count = file.read(&mut piece)?;
            let read = piece.get(..count).unwrap_or_default();
            if count == 0 {
                break;
            }
            let is_blank = blank.get(..count) == Some(read);
            let last = if is_blank { None } else { read.iter().rposition(|&byte| byte != 0) };
            match last {
                Some(last) => {
                    bytes.resize(bytes.len() + zeros, 0);
                    bytes.extend_from_slice(read.get(..=last).unwrap_or_default());
                    zeros = count - last - 1;
                }
                None => zeros += count,
            }
        }
        Ok((!bytes.is_empty()).then_some(Self { bytes }))
    }
}

/// The next batch, if it is whole and fits into `left` bytes.
fn whole_batch(from: &mut impl Read, left: u64, item: &mut Vec<u8>) -> io::Result<Option<Whole>> {
    match read_batch(from, left, item) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read,
    }
}

fn read_batch(from: &mut impl Read, left: u64, item: &mut Vec<u8>) -> io::Result<Option<Whole>> {
    let mut start = [0; START_BYTES];
    from.read_exact(&mut start)?;
    let [START, c0, c1, c2, c3, s0, s1, s2, s3, s4, s5, s6, s7] = start else { return Ok(None) };
    let (count, seqno) = (u32::from_le_bytes([c0, c1, c2, c3]), u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]));
    let mut batch = Whole { seqno, bytes: START_BYTES as u64, applied: None };
    let mut sum = Xxh3::new();
    for _ in 0..count {
        if !read_item(from, left.saturating_sub(batch.bytes), item)? {
            return Ok(None);
        }
        sum.update(item);
        batch.bytes += item.len() as u64;
        batch.applied = applied_in(item).or(batch.applied);
    }
    let mut end = [0; 13];
    from.read_exact(&mut end)?;
    batch.bytes += end.len() as u64;
    let [END, s0, s1, s2, s3, s4, s5, s6, s7, magic @ ..] = end else { return Ok(None) };
    let is_whole = magic == *MAGIC && u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]) == sum.digest();
    Ok(is_whole.then_some(batch))
}

/// Reads an item with its tag into `item`; answers whether it is one.
fn read_item(from: &mut impl Read, left: u64, item: &mut Vec<u8>) -> io::Result<bool> {
    item.clear();
    item.resize(1, 0);
    from.read_exact(item)?;
    let rest = match item.first() {
        Some(&CLEAR) => size_of::<u64>(),
        Some(&ITEM) => ITEM_BYTES - 1,
        _ => return Ok(false),
    };
    item.resize(1 + rest, 0);
    from.read_exact(item.get_mut(1..).unwrap_or_default())?;
    let Some(&[_, kind, compression, _, _, _, _, _, _, _, _, k0, k1, v0, v1, v2, v3, w0, w1, w2, w3]) =
        item.first_chunk::<ITEM_BYTES>()
    else {
        return Ok(true);
    };
    let (key, value) = (u16::from_le_bytes([k0, k1]), u32::from_le_bytes([v0, v1, v2, v3]));
    let bytes = u64::from(key) + u64::from(value);
    // We write values, deletions and no compression.
    let is_ours = kind <= 2 && compression == 0 && value == u32::from_le_bytes([w0, w1, w2, w3]);
    if !is_ours || bytes > left {
        return Ok(false);
    }
    item.resize(ITEM_BYTES + bytes as usize, 0);
    from.read_exact(item.get_mut(ITEM_BYTES..).unwrap_or_default())?;
    Ok(true)
}

fn applied_in(item: &[u8]) -> Option<u64> {
    let value = item.get(ITEM_BYTES..)?.strip_prefix(APPLIED)?;
    unsealed(APPLIED, value).ok()?.number().ok()
}

/// Where whole batches lie in `bytes`, each later than the one before.
fn later_batches(bytes: &[u8], applied: &mut Option<u64>, seqno: &mut u64) -> Vec<Range<usize>> {
    let (mut pieces, mut item, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > START_BYTES) {
        let is_start = rest.first() == Some(&START);
        // Reading from memory does not fail.
        let batch = is_start.then(|| whole_batch(&mut &*rest, rest.len() as u64, &mut item).ok().flatten()).flatten();
        match batch.filter(|batch| batch.seqno > *seqno) {
            Some(batch) => {
                pieces.push(at..at + batch.bytes as usize);
                (*seqno, *applied) = (batch.seqno, batch.applied.or(*applied));
                at += batch.bytes as usize;
            }
            None => at += 1,
        }
    }
    pieces
}

/// Keeps `rest`, which begins at `kept`, aside, and leaves of it in the journal
/// what `pieces` names.
fn leave_out(path: &Path, kept: u64, rest: &[u8], pieces: &[Range<usize>], disk: &dyn Disk) -> io::Result<Damage> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kept_as = disk.set_aside(&format!("index-{name}.{kept}"), rest)?;
    if pieces.is_empty() {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(kept)?;
        file.sync_all()?;
    } else {
        let new = path.with_extension("mending");
        let mut file = File::create(&new)?;
        io::copy(&mut File::open(path)?.take(kept), &mut file)?;
        for piece in pieces {
            file.write_all(rest.get(piece.clone()).unwrap_or_default())?;
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |index| File::open(index)?.sync_all())?;
    }
    let saved: usize = pieces.iter().map(Range::len).sum();
    Ok(Damage {
        part: Part::Index,
        file: name.into_owned(),
        offset: kept,
        bytes: (rest.len() - saved) as u64,
        kept_as,
        is_a_gap: !pieces.is_empty(),
    })
}
