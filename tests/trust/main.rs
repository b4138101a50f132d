//! Trust, proved with certificates that openssl made.
//!
//! What lives here: every kind of client certificate that the devices of the
//! three platforms have, judged alone and in handshakes of both TLS versions,
//! and the answers to CONNECT. What does not: sockets and foreign clients
//! (`tests/clients`). Invariant: certificates come from `kinds.sh` alone, and
//! time from them, so that nothing here depends on the date.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod admission;
mod explain;
mod handshakes;
mod kinds;
mod passwords;
mod paths;
mod pki;
mod suites;
mod tickets;
mod withdrawn;
