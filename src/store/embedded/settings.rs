//! The bounds of the store.

use std::time::Duration;

/// How long an acknowledged message lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It survives a power cut: every group is synced before it is acknowledged.
    Fsync,
    /// It survives the end of the process: every group is handed to the
    /// operating system.
    Os,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is durable.
    pub level: Level,
    /// How long the committer waits for a group to fill once two batches wait;
    /// zero for not at all. A lone batch never waits.
    pub group_wait: Duration,
    /// Bytes of a group, after which the rest waits for the next one.
    pub group_bytes: u64,
    /// Bytes that may wait in memory for the log and the index. Beyond it,
    /// appends are refused.
    pub pending_bytes: u64,
    /// Bytes of durable groups after which they are folded into the index.
    pub apply_bytes: u64,
    /// The same by time. The longer, the more is struck out that came and went.
    pub apply_interval: Duration,
    /// Bytes after which a file of the log is complete.
    pub segment_bytes: u64,
    /// Bytes of the index that are kept in memory for reads.
    pub cache_bytes: u64,
    /// Bytes of the index that are collected in memory before a file is written,
    /// and of a file that is merged. Each is synced in one go.
    pub memtable_bytes: u64,
    /// Bytes of the index that are dead before it is rewritten to give them back.
    pub compact_bytes: u64,
    /// Bytes of free space below which nothing that grows is taken.
    pub min_free: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: Level::Fsync,
            group_wait: Duration::ZERO,
            group_bytes: 4 << 20,
            pending_bytes: 64 << 20,
            apply_bytes: 8 << 20,
            apply_interval: Duration::from_millis(500),
            segment_bytes: 32 << 20,
            cache_bytes: 32 << 20,
            memtable_bytes: 8 << 20,
            compact_bytes: 128 << 20,
            min_free: 256 << 20,
        }
    }
}
