//! The log: what was appended, group by group, in files of a bounded length.
//!
//! What lives here: the frame around a group, the order of the files, and what
//! is done about bytes that cannot be read. What does not: what a group holds
//! (`record`), when it is written (`committer`). Invariant: a group is read
//! back whole and in its order or not at all, and a group that is missing
//! between two others is noticed.
//!
//! A file begins with a header of [`HEADER`] bytes, then come groups, each
//! behind a frame of [`FRAME`] bytes; then zeros, or nothing. Checksums begin
//! with the number of the file's first group, so that what an earlier file left
//! in the same blocks is never taken for a group.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::disk::{Disk, LogFile};
use crate::store::record::{VERSION, checksum};

const MAGIC: &[u8; 8] = b"CERTUSLG";
const HEADER: usize = 32;
const FRAME: usize = 16;

/// The name of the file whose first group is `first`.
fn name_of(first: u64) -> String {
    format!("{first:020}.log")
}

pub(super) fn first_of(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

fn header(first: u64, epoch: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let fields = [MAGIC.as_slice(), &[VERSION, 0, 0, 0], &epoch.to_le_bytes(), &first.to_le_bytes(), &[0; 4]].concat();
    let sum = checksum(b"log", &fields);
    header.iter_mut().zip(fields.into_iter().chain(sum.to_le_bytes())).for_each(|(to, from)| *to = from);
    header
}

/// The files of the log, as they are written.
#[derive(Debug)]
pub(super) struct LogWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn LogFile>,
    first: u64,
    /// The number of the next group.
    next: u64,
    epoch: u32,
    /// Where the next group goes.
    end: u64,
    segment_bytes: u64,
    /// Kept from group to group.
    buffer: Vec<u8>,
}

/// Larger buffers are not kept.
const KEPT_BUFFER: usize = 1 << 22;

impl LogWriter {
    /// Begins a file with group `next`.
    pub(super) fn begin(disk: Arc<dyn Disk>, next: u64, epoch: u32, segment_bytes: u64) -> io::Result<Self> {
        let file = begin_file(&*disk, next, epoch)?;
        Ok(Self { disk, file, first: next, next, epoch, end: HEADER as u64, segment_bytes, buffer: Vec::new() })
    }

    /// Writes the next group and says how long it is. After an error the same
    /// place is written again.
    pub(super) fn write(&mut self, payload: impl FnOnce(&mut Vec<u8>)) -> io::Result<u64> {
        self.buffer.clear();
        self.buffer.extend([0; FRAME]);
        payload(&mut self.buffer);
        let length = self.buffer.len() - FRAME;
        let frame = frame(self.first, self.next, self.buffer.get(FRAME..).unwrap_or_default())
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, format!("a group of {length} bytes")))?;
        self.buffer.iter_mut().zip(frame).for_each(|(to, from)| *to = from);
        self.file.write_at(self.end, &self.buffer)?;
        let written = self.buffer.len() as u64;
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        self.end += written;
        self.next += 1;
        Ok(written)
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// The number of the last group that was written.
    pub(super) const fn last(&self) -> u64 {
        self.next - 1
    }

    /// The file that is written now.
    pub(super) fn name(&self) -> String {
        name_of(self.first)
    }

    pub(super) const fn is_full(&self) -> bool {
        self.end >= self.segment_bytes
    }

    /// Goes on in a new file. The old one must be synced.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        self.file = begin_file(&*self.disk, self.next, self.epoch)?;
        (self.first, self.end) = (self.next, HEADER as u64);
        Ok(())
    }
}

fn begin_file(disk: &dyn Disk, first: u64, epoch: u32) -> io::Result<Box<dyn LogFile>> {
    disk.create(&name_of(first), &header(first, epoch))
}

fn frame(first: u64, number: u64, payload: &[u8]) -> Option<[u8; FRAME]> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut frame = [0; FRAME];
    let sum = sum_of(first, number, length, payload);
    let fields = length.to_le_bytes().into_iter().chain(sum.to_le_bytes()).chain(number.to_le_bytes());
    frame.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    Some(frame)
}

fn sum_of(first: u64, number: u64, length: u32, payload: &[u8]) -> u32 {
    let [a, b] = [first, number].map(u64::to_le_bytes);
    let [c, d, e, f] = length.to_le_bytes();
    checksum(&[a.as_slice(), &b, &[c, d, e, f]].concat(), payload)
}

/// Which part of the store is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The log.
    Log,
    /// The journal of the index.
    Index,
}

/// Bytes that cannot be read, and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Of what.
    pub part: Part,
    /// The file.
    pub file: String,
    /// Where they begin.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// Where they were put.
    pub kept_as: String,
    /// Whether something that was durable may be among them: more of the file
    /// follows, or a group was numbered past them, or the log holds it no more.
    pub is_a_gap: bool,
}

impl Damage {
    /// All files of the log are gone.
    pub(super) fn of_no_log() -> Self {
        Self::of_nothing("all its files".to_owned())
    }

    /// There is nothing in `file`, or it is not there.
    fn of_nothing(file: String) -> Self {
        Self { part: Part::Log, file, offset: 0, bytes: 0, kept_as: "nothing".to_owned(), is_a_gap: true }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, file, offset, bytes, kept_as, is_a_gap } = self;
        let (part, harmless) = match part {
            Part::Log => ("log", "nothing of it was acknowledged"),
            Part::Index => ("index", "the log holds it too"),
        };
        let what = if *is_a_gap { "what was acknowledged may be lost" } else { harmless };
        if *bytes == 0 {
            return write!(f, "the store's {part} lacks what {file} held ({what})");
        }
        write!(
            f,
            "{bytes} bytes of the store's {part} cannot be read, from {offset} of {file} on ({what}); kept as {kept_as}"
        )
    }
}

/// What reading the log found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The number behind the last group that was read.
    pub(super) next: u64,
    pub(super) damage: Vec<Damage>,
    /// Groups that are missing: the first, and the first that is there again.
    pub(super) missing: Vec<(u64, u64)>,
    /// The files, to be removed when what they hold is elsewhere.
    pub(super) files: Vec<String>,
}

/// Why the log cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("{0}: {1}")]
    Io(String, io::Error),
    #[error("{0} was written by a newer version (format {1}, this one reads up to {VERSION})")]
    Newer(String, u8),
}

/// Reads every group from number `from` on, in order.
///
/// Damaged bytes end their file: they are set aside and reported, and reading
/// goes on with the next file, since what was acknowledged later is not given
/// up for what is lost already.
pub(super) fn read<E: From<LogError>>(
    disk: &dyn Disk,
    from: u64,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<Found, E> {
    let names = disk.names().map_err(|error| LogError::Io("the log".to_owned(), error))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    let mut found = Found { next: from, ..Found::default() };
    for (index, &first) in firsts.iter().enumerate() {
        let name = name_of(first);
        let bytes = disk.read(&name).map_err(|error| LogError::Io(name.clone(), error))?;
        let is_last = index + 1 == firsts.len();
        let mut offset = if check_header(&name, &bytes, first)?.is_some() { HEADER } else { 0 };
        if offset == 0 && bytes.iter().all(|&byte| byte == 0) {
            // A file has its header before it has its name.
            found.damage.push(Damage::of_nothing(name.clone()));
        }
        if offset > 0 && first > found.next {
            // Files are begun when all before them is durable.
            found.missing.push((found.next, first));
            found.next = first;
        }
        while offset > 0
            && let Some((number, payload)) = group_at(&bytes, offset, first)
        {
            if number >= found.next {
                if number > found.next {
                    found.missing.push((found.next, number));
                }
                take(number, payload)?;
                found.next = number + 1;
            }
            offset += FRAME + payload.len();
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        if rest.iter().any(|&byte| byte != 0) {
            let kept_as = disk.set_aside(&format!("{name}.{offset}"), rest);
            let kept_as = kept_as.unwrap_or_else(|error| format!("nowhere ({error})"));
            let is_a_gap = !is_last || holds_a_group(rest, first, found.next);
            let (offset, bytes) = (offset as u64, rest.len() as u64);
            found.damage.push(Damage { part: Part::Log, file: name.clone(), offset, bytes, kept_as, is_a_gap });
        }
        found.files.push(name);
    }
    Ok(found)
}

/// Whether a whole group that comes later lies somewhere in `bytes`. A power cut
/// leaves none behind the group that it tore, since each is synced before the
/// next is written.
fn holds_a_group(bytes: &[u8], first: u64, next: u64) -> bool {
    let is_later = |frame: &[u8]| match frame.last_chunk::<8>() {
        Some(number) => (next..next.saturating_add(1 << 32)).contains(&u64::from_le_bytes(*number)),
        None => false,
    };
    let mut offsets = bytes.windows(FRAME).enumerate().filter(|(_, frame)| is_later(frame));
    offsets.any(|(offset, _)| group_at(bytes, offset, first).is_some())
}

/// What the headers of the log say, before anything of it is read.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// The highest epoch in which a file was begun.
    pub(super) epoch: u32,
    /// The first group that may be there.
    pub(super) begins: Option<u64>,
}

impl Headers {
    pub(super) fn of(disk: &dyn Disk) -> Result<Self, LogError> {
        let names = disk.names().map_err(|error| LogError::Io("the log".to_owned(), error))?;
        let mut headers = Self::default();
        for (name, first) in names.iter().filter_map(|name| Some((name, first_of(name)?))) {
            let bytes = disk.beginning(name, HEADER).map_err(|error| LogError::Io(name.clone(), error))?;
            if let Some(epoch) = check_header(name, &bytes, first)? {
                headers.epoch = headers.epoch.max(epoch);
                headers.begins = Some(headers.begins.map_or(first, |begins| begins.min(first)));
            }
        }
        Ok(headers)
    }
}

/// The epoch in a file's header, if it can be read. A file whose header never
/// reached the disk holds no group that did.
fn check_header(name: &str, bytes: &[u8], first: u64) -> Result<Option<u32>, LogError> {
    let Some(found) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let [.., a, b, c, d] = *found;
    let fields = found.get(..HEADER - 4).unwrap_or_default();
    if checksum(b"log", fields) != u32::from_le_bytes([a, b, c, d]) {
        return Ok(None);
    }
    match found {
        [b'C', b'E', b'R', b'T', b'U', b'S', b'L', b'G', version, ..] if *version > VERSION => {
            Err(LogError::Newer(name.to_owned(), *version))
        }
        [b'C', b'E', b'R', b'T', b'U', b'S', b'L', b'G', _, _, _, _, a, b, c, d, number @ ..]
            if number.starts_with(&first.to_le_bytes()) =>
        {
            Ok(Some(u32::from_le_bytes([*a, *b, *c, *d])))
        }
        _ => Ok(None),
    }
}

/// The group at `offset`: its number and payload.
fn group_at(bytes: &[u8], offset: usize, first: u64) -> Option<(u64, &[u8])> {
    let frame = bytes.get(offset..)?.first_chunk::<FRAME>()?;
    let [l0, l1, l2, l3, s0, s1, s2, s3, number @ ..] = *frame;
    let (length, number) = (u32::from_le_bytes([l0, l1, l2, l3]), u64::from_le_bytes(number));
    let begin = offset + FRAME;
    let payload = bytes.get(begin..begin.checked_add(usize::try_from(length).ok()?)?)?;
    let sum = u32::from_le_bytes([s0, s1, s2, s3]);
    // No group is empty, so zeros are none.
    (length > 0 && sum_of(first, number, length, payload) == sum).then_some((number, payload))
}
