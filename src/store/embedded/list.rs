//! The engine's list of a tree's tables: which files there must be.
//!
//! What lives here: reading it, to name a file that is gone; the engine itself
//! says only that there are too few. What does not: whether the list is what was
//! written (`tables`). Invariant: what cannot be read names nothing.
//!
//! The list is an archive: sections, then a table of contents (magic, number of
//! sections, for each its place, length and name), then a trailer that says
//! where that is. The section `tables` is levels of runs of tables: number,
//! kind of checksum, checksum, sequence number.

const CONTENTS: &[u8] = b"TOC!";
const TRAILER: &[u8] = b"SFA!";
/// Magic, version and kind of checksum, checksum, place and length of the
/// contents.
const TRAILER_BYTES: usize = 38;
/// Kind of checksum, checksum and sequence number, behind a table's number.
const BEHIND_NUMBER: usize = 1 + 16 + 8;

/// The numbers of the tables in a list, by which their files are called.
pub(super) fn tables_of(list: &[u8]) -> Option<Vec<u64>> {
    let mut from = Bytes(section(list, b"tables")?);
    let mut found = Vec::new();
    for _level in 0..from.byte()? {
        for _run in 0..from.byte()? {
            for _table in 0..from.number::<4>()? {
                found.push(from.number::<8>()?);
                from.take(BEHIND_NUMBER)?;
            }
        }
    }
    Some(found)
}

fn section<'a>(archive: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let trailer = archive.get(archive.len().checked_sub(TRAILER_BYTES)?..)?;
    let mut trailer = Bytes(trailer.strip_prefix(TRAILER)?);
    trailer.take(18)?;
    let (place, length) = (trailer.number::<8>()?, trailer.number::<8>()?);
    let mut contents = Bytes(piece(archive, place, length)?.strip_prefix(CONTENTS)?);
    for _section in 0..contents.number::<4>()? {
        let (place, length) = (contents.number::<8>()?, contents.number::<8>()?);
        let name = contents.number::<2>()?;
        if contents.take(usize::try_from(name).ok()?)? == wanted {
            return piece(archive, place, length);
        }
    }
    None
}

fn piece(archive: &[u8], place: u64, length: u64) -> Option<&[u8]> {
    let (place, length) = (usize::try_from(place).ok()?, usize::try_from(length).ok()?);
    archive.get(place..place.checked_add(length)?)
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Option<u64> {
        let bytes = self.take(N)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}
