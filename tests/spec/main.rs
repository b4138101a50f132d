//! The standard, chapter by chapter.
//!
//! What lives here: tests whose doc comments name normative statements, and
//! the count of those that have none (`coverage`). What does not: scenarios
//! with foreign clients. Invariant: no test here needs a server.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod codec;
mod codec_malformed;
mod codec_oracles;
mod codec_oracles_let_through;
mod codec_properties;
mod codec_round_trip;
mod codec_valid;
mod coverage;
