//! Bytes on disk.
//!
//! What lives here: how a message, a queue, a group of batches and the rows of
//! the tables are written and read back, and the checksum around each record.
//! What does not: files (`embedded`). Invariant: nothing is taken from a disk
//! without its checksum, and no bytes whatever make a reader panic.
//!
//! The format is described in the manual, `store-format`; [`VERSION`] says
//! which one this is.

mod group;
mod message;
mod queue;

pub(in crate::store) use group::{GroupReader, write_group};
pub(in crate::store) use message::{read_message, write_message};
pub(in crate::store) use queue::{Body, Head, Outline, Run, RunEntry, weight};

/// The format that is written. A store of a newer one is not opened.
pub const VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end too early.
    #[error("a record ends too early")]
    Short,
    /// The checksum says that they are not what was written.
    #[error("the checksum of a record does not fit")]
    Checksum,
    /// They were written by a newer version.
    #[error("a record has format {0}, and this version reads up to {VERSION}")]
    Newer(u8),
    /// It is of a table that a newer version made.
    #[error("a record is of table {0}, which a newer version made")]
    NewerTable(u8),
    /// A field has a value that no version writes.
    #[error("a record holds an impossible {0}")]
    Field(&'static str),
}

/// CRC-32C of a record, begun with its key: a record that comes back under
/// another key is as wrong as one with other bytes.
pub(in crate::store) fn checksum(key: &[u8], bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), bytes)
}

/// A record's value: version, payload, checksum.
pub(in crate::store) fn sealed(key: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = vec![VERSION];
    write(&mut value);
    let sum = checksum(key, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// The payload of a value that [`sealed`] made.
pub(in crate::store) fn unsealed<'a>(key: &[u8], value: &'a [u8]) -> Result<Decoder<'a>, Malformed> {
    let (bytes, sum) = value.split_last_chunk::<4>().ok_or(Malformed::Short)?;
    if checksum(key, bytes) != u32::from_le_bytes(*sum) {
        return Err(Malformed::Checksum);
    }
    match bytes.split_first() {
        Some((&VERSION, payload)) => Ok(Decoder { rest: payload }),
        Some((&version, _)) => Err(Malformed::Newer(version)),
        None => Err(Malformed::Short),
    }
}

/// Appends a number, seven bits a byte, the lowest first.
pub(in crate::store) fn number(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends bytes behind their length.
pub(in crate::store) fn bytes(into: &mut Vec<u8>, value: &[u8]) {
    number(into, value.len() as u64);
    into.extend_from_slice(value);
}

/// Reads what [`number`] and [`bytes()`] wrote.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(in crate::store) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(in crate::store) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(in crate::store) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(first)
    }

    pub(in crate::store) fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Field("number"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Field("number"))
    }

    /// A number that fits into a smaller type.
    pub(in crate::store) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, Malformed> {
        T::try_from(self.number()?).map_err(|_| Malformed::Field(what))
    }

    /// A count of things that take at least a byte each: never more than is left.
    pub(in crate::store) fn count(&mut self) -> Result<usize, Malformed> {
        let count: usize = self.small("count")?;
        if count > self.rest.len() { Err(Malformed::Short) } else { Ok(count) }
    }

    pub(in crate::store) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        self.take(length)
    }

    pub(in crate::store) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(in crate::store) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Field(what))
    }

    /// Nothing may be left.
    pub(in crate::store) const fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Field("length")) }
    }
}

#[cfg(test)]
mod tests;
