//! The `ca` room.
