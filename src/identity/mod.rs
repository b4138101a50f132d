//! Who a connection is, and what it may do.
//!
//! What lives here: tenants and their switches, the check of a client's
//! certificate chain, the rule that binds a ClientId to a certificate, rights,
//! and the record of every refusal. What does not: sockets (`net`), the
//! signing of certificates (`ca`). Invariant: nothing here is decided by what a
//! client claims, only by what its handshake proved and the current
//! `TrustSnapshot` allows. The pure half knows only the words of `mqtt`.

pub mod policy;
pub mod principal;
pub mod rule;
pub mod switch;
pub mod tenant;
