//! Two clients, one broker, and a network that loses connections.
//!
//! What lives here: a publisher and a subscriber as pure machines (`client`);
//! the two sessions between them, driven as their contract says (`broker`), with
//! what must hold whatever happens (`pair`); and the same clients against a
//! whole broker (`wire`). What does not: single packets (`tests/spec`).
//! Invariant: what is lost and when depends on the input or the seed alone, and
//! a failure prints it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod broker;
mod client;
mod pair;
mod rivals;
mod shared;
mod wire;
