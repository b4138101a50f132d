//! Buffers that a worker thread lends to the connection it is polling.
//!
//! Invariant: nothing in them outlives the turn, so an idle connection holds
//! none of them.

use std::cell::Cell;

use crate::delivery::Turn;

/// What a turn works in.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Bytes as they came from the socket.
    pub cipher: Vec<u8>,
    /// Packets, behind what was left of the last turn.
    pub input: Vec<u8>,
    /// Packets to be written.
    pub output: Vec<u8>,
    /// Properties that are passed on, when they must be picked out.
    pub properties: Vec<u8>,
    /// Routed messages.
    pub turn: Turn,
}

/// What a buffer may keep between turns.
const KEEP: usize = 512 * 1024;

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// Calls `work` with this thread's buffers.
pub(super) fn lend<R>(work: impl FnOnce(&mut Buffers) -> R) -> R {
    let mut buffers = BUFFERS.take().unwrap_or_default();
    let result = work(&mut buffers);
    for buffer in [&mut buffers.input, &mut buffers.output, &mut buffers.properties] {
        buffer.clear();
        buffer.shrink_to(KEEP);
    }
    BUFFERS.set(Some(buffers));
    result
}
