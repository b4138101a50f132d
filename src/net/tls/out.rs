//! Bytes on their way to a socket, in a buffer that a thread lends.
//!
//! Invariant: what lies behind `used` is rubbish, so that nothing is cleared
//! only to be written over.

use std::cell::Cell;

/// What the buffer may keep between calls.
const KEEP: usize = 256 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    used: usize,
}

thread_local! {
    static OUT: Cell<Out> = const { Cell::new(Out { bytes: Vec::new(), used: 0 }) };
}

impl Out {
    /// Calls `work` with this thread's buffer, empty.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        let mut out = OUT.take();
        let result = work(&mut out);
        out.used = 0;
        if out.bytes.len() > KEEP {
            out.bytes.truncate(KEEP);
            out.bytes.shrink_to_fit();
        }
        OUT.set(out);
        result
    }

    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.used += bytes.len();
    }

    /// Room for at least `wanted` bytes; [`Out::wrote`] says how many were used.
    pub(super) fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.bytes.len() < self.used + wanted {
            self.bytes.resize(self.used + wanted, 0);
        }
        self.bytes.get_mut(self.used..).unwrap_or_default()
    }

    pub(super) const fn wrote(&mut self, count: usize) {
        self.used += count;
    }
}
