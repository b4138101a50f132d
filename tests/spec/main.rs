//! The standard, chapter by chapter.
//!
//! What lives here: tests whose doc comments name normative statements, of
//! packets alone (`codec…`) and of a broker in the test's own process
//! (`server`), and the count of those that have none (`coverage`). What does
//! not: scenarios with foreign clients. Invariant: a statement that binds a
//! server is tested, or a reason is written down.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod codec;
mod codec_malformed;
mod codec_oracles;
mod codec_oracles_let_through;
mod codec_properties;
mod codec_round_trip;
mod codec_valid;
mod coverage;
#[cfg(feature = "server")]
mod server;
