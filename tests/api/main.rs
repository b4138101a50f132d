//! The API as its callers see it: over TLS, from the outside.
//!
//! What lives here: what holds for all operations (`frame`), and the
//! operations by what they are about. What does not: the rules behind them,
//! which are tested where they are decided. Invariant: every broker is a
//! test's own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../support/control_plane.rs"]
mod control_plane;
#[path = "../support/https_client.rs"]
mod https_client;

mod callers;
mod centiloc;
mod cumulocity;
mod devices;
mod document;
mod est;
mod frame;
mod mindconnect;
mod operations;
