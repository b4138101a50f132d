//! A store as one file: a snapshot of a store that runs, and a new store from
//! it.
//!
//! What lives here: the form of that file. What does not: the records in it
//! (`record`), where it lies (the command line). Invariant: a file is taken
//! whole or not at all: all of it is read and checked before the first record
//! is written.
//!
//! The records are those of the index, under their keys and with their
//! checksums; nothing in them depends on the engine or the machine.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Bound;
use std::time::Duration;

use super::EmbeddedStore;
use super::engine::{APPLIED, Changes, DEAD, Engine, META};
use crate::store::StoreError;
use crate::store::record::{Decoder, VERSION, bytes, checksum, number, unsealed};

const MAGIC: &[u8; 8] = b"CERTUSEX";
/// Bytes of records after which a block ends.
const BLOCK: usize = 1 << 20;
/// A longer block is none of ours: the longest record is far below.
const LONGEST: u32 = 1 << 30;
/// How often it is looked whether the index has caught up.
const SOON: Duration = Duration::from_millis(5);

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file could not be written or read.
    #[error("the file of the export: {0}")]
    File(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is no export, or not whole.
    #[error("{0}; nothing was imported")]
    Damaged(String),
    /// A newer version wrote it.
    #[error(
        "the export has format {0}, and this version reads up to {VERSION}; import it with the version that wrote it"
    )]
    Newer(u8),
    /// The store has sessions, messages or rows.
    #[error("the store is not empty; import into an empty state_dir")]
    NotEmpty,
}

impl EmbeddedStore {
    /// Writes all that was appended before the call, as of one moment, and
    /// answers how many records it is. The store goes on meanwhile; on a store
    /// whose threads do not run, it writes what is there.
    ///
    /// # Errors
    /// When `into` takes no more, or the store fails.
    pub fn snapshot(&self, into: &mut impl Write) -> Result<u64, CopyError> {
        self.catch_up()?;
        self.with_engine(|engine| {
            let view = engine.view();
            let rows = view.range((Bound::Unbounded, Bound::Unbounded));
            Ok(write(rows.map(|row| row.map_err(CopyError::Store)), into))
        })?
    }

    /// Waits until the index holds what was appended.
    fn catch_up(&self) -> Result<(), StoreError> {
        let target = self.commits.hurry();
        while self.commits.applied_up_to() < target {
            if self.commits.is_latched() || self.commits.is_closing() {
                return Err(StoreError::Latched);
            }
            self.commits.hurry();
            self.commits.pause(SOON);
        }
        Ok(())
    }

    /// Fills a store in which nothing is, and answers how many records came.
    /// Call it before anything else is done with the store; what it knows of
    /// sessions is read when it is opened again.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn import(&self, from: &mut (impl Read + Seek)) -> Result<u64, CopyError> {
        self.with_engine(|engine| {
            for row in engine.view().range((Bound::Unbounded, Bound::Unbounded)) {
                if row?.0.first() != Some(&META) {
                    return Ok(Err(CopyError::NotEmpty));
                }
            }
            Ok(Ok(()))
        })??;
        let count = read(from, |_| Ok(()))?;
        from.seek(SeekFrom::Start(0))?;
        read(from, |records| {
            let changes = Changes { puts: records, deletes: Vec::new() };
            self.with_engine(|engine| {
                while engine.is_behind() {
                    self.commits.pause(SOON);
                }
                engine.commit(changes)
            })
        })?;
        self.with_engine(Engine::checkpoint)?;
        Ok(count)
    }
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn write<T: AsRef<[u8]>>(
    rows: impl Iterator<Item = Result<(T, T), CopyError>>,
    into: &mut impl Write,
) -> Result<u64, CopyError> {
    into.write_all(&[MAGIC.as_slice(), &[VERSION, 0, 0, 0]].concat())?;
    let (mut block, mut blocks, mut count) = (Vec::new(), 0_u64, 0_u64);
    for row in rows {
        let (key, value) = row?;
        // Where the log of this store stands says nothing of another's.
        if [APPLIED, DEAD].contains(&key.as_ref()) {
            continue;
        }
        bytes(&mut block, key.as_ref());
        bytes(&mut block, value.as_ref());
        count += 1;
        if block.len() >= BLOCK {
            write_block(into, blocks, &block)?;
            blocks += 1;
            block.clear();
        }
    }
    if !block.is_empty() {
        write_block(into, blocks, &block)?;
        blocks += 1;
    }
    // An empty block, then the count: the end of a whole file.
    write_block(into, blocks, &[])?;
    let mut end = Vec::new();
    number(&mut end, count);
    write_block(into, blocks + 1, &end)?;
    into.flush()?;
    Ok(count)
}

fn write_block(into: &mut impl Write, block: u64, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    into.write_all(&length.to_le_bytes())?;
    into.write_all(&checksum(&block.to_le_bytes(), payload).to_le_bytes())?;
    into.write_all(payload)
}

/// Gives every block's records to `take`, and answers how many there were.
fn read(from: &mut impl Read, mut take: impl FnMut(Records) -> Result<(), StoreError>) -> Result<u64, CopyError> {
    let mut head = [0; 12];
    exactly(from, &mut head)?;
    match head {
        [b'C', b'E', b'R', b'T', b'U', b'S', b'E', b'X', version, ..] if version > VERSION => {
            return Err(CopyError::Newer(version));
        }
        _ if head.starts_with(MAGIC) => {}
        _ => return Err(CopyError::Damaged("the file is no export of a store".to_owned())),
    }
    let (mut block, mut count) = (0, 0);
    loop {
        let payload = read_block(from, block)?;
        block += 1;
        if payload.is_empty() {
            break;
        }
        let records = records(&payload).ok_or_else(|| damaged(block))?;
        count += records.len() as u64;
        take(records)?;
    }
    let end = read_block(from, block)?;
    match Decoder::new(&end).number() {
        Ok(expected) if expected == count => Ok(count),
        _ => Err(damaged(block)),
    }
}

fn records(payload: &[u8]) -> Option<Records> {
    let (mut from, mut records) = (Decoder::new(payload), Records::new());
    while from.left() > 0 {
        let (key, value) = (from.bytes().ok()?, from.bytes().ok()?);
        unsealed(key, value).ok()?;
        records.push((key.to_vec(), value.to_vec()));
    }
    Some(records)
}

fn read_block(from: &mut impl Read, block: u64) -> Result<Vec<u8>, CopyError> {
    let (mut length, mut sum) = ([0; 4], [0; 4]);
    exactly(from, &mut length)?;
    exactly(from, &mut sum)?;
    let length = u32::from_le_bytes(length);
    let mut payload = Vec::new();
    if length <= LONGEST {
        from.take(length.into()).read_to_end(&mut payload)?;
    }
    let is_whole = payload.len() as u64 == u64::from(length);
    if !is_whole || checksum(&block.to_le_bytes(), &payload) != u32::from_le_bytes(sum) {
        return Err(damaged(block));
    }
    Ok(payload)
}

fn exactly(from: &mut impl Read, into: &mut [u8]) -> Result<(), CopyError> {
    from.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => CopyError::Damaged("the file ends too early".to_owned()),
        _ => error.into(),
    })
}

fn damaged(block: u64) -> CopyError {
    CopyError::Damaged(format!("block {block} of the file is damaged"))
}
