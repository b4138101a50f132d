//! Clients that mean harm, against a whole broker on loopback sockets.
//!
//! What lives here: each way in which a peer may try to cost others something,
//! with the figure that it must stay within. What does not: what one malformed
//! packet earns (`spec`). Invariant: one broker at a time, so that the
//! process's counters and its memory are that broker's; every wait is bounded.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bombs;
mod bounds;
mod clients;
mod flood;
mod mutual;
mod node;
mod peer;
mod records;
mod refusals;
mod registration;
mod retained;
mod revocation;
mod silence;
mod stage;
mod takeover;
mod thousand;
