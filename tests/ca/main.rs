//! The certificate authority against the openssl command line.
//!
//! What lives here: what we write, read by openssl, and what openssl writes,
//! read by us. What does not: trust (`tests/trust`). Invariant: nothing here is
//! both written and read by us alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod forge;
mod issuing;
mod lists;
mod paths;
mod proofs;
mod requests;
mod workshop;
