//! Who a connection is, and what it may do.
//!
//! What lives here: tenants and their switches, the check of a client's
//! certificate chain, the rule that binds a ClientId to a certificate, rights,
//! and the record of every refusal. What does not: sockets (`net`), the
//! signing of certificates (`ca`). Invariant: nothing here is decided by what a
//! client claims, only by what its handshake proved and the current
//! `TrustSnapshot` allows. The pure half knows only the words of `mqtt`.

pub mod account;
pub mod acl_file;
pub mod crl;
pub mod fingerprint;
pub mod policy;
pub mod principal;
pub mod reason;
pub mod revocation;
pub mod rule;
pub mod switch;
pub mod tenant;

#[cfg(feature = "server")]
pub mod admission;
#[cfg(feature = "server")]
pub mod anchor;
#[cfg(feature = "server")]
mod assembly;
#[cfg(feature = "server")]
pub mod attributes;
#[cfg(feature = "server")]
pub mod capture;
#[cfg(feature = "server")]
pub mod certificate;
#[cfg(feature = "server")]
pub mod chain;
#[cfg(feature = "server")]
mod conditions;
#[cfg(feature = "server")]
pub mod credentials;
#[cfg(feature = "server")]
pub mod device_proof;
#[cfg(feature = "server")]
pub mod devices;
#[cfg(feature = "server")]
pub mod explain;
#[cfg(feature = "server")]
pub mod handshake;
#[cfg(feature = "server")]
pub mod https;
#[cfg(feature = "server")]
pub mod key;
#[cfg(feature = "server")]
pub mod lockout;
#[cfg(feature = "server")]
pub mod name;
#[cfg(feature = "server")]
pub mod password;
#[cfg(feature = "server")]
pub mod path;
#[cfg(feature = "server")]
pub mod pem;
#[cfg(feature = "server")]
pub mod proved_passwords;
#[cfg(feature = "server")]
pub mod readmission;
#[cfg(feature = "server")]
pub mod refusal;
#[cfg(feature = "server")]
pub mod refusals;
#[cfg(feature = "server")]
pub mod renewal;
#[cfg(feature = "server")]
mod revoked;
#[cfg(feature = "server")]
pub mod server_certificate;
#[cfg(feature = "server")]
pub mod signature;
#[cfg(feature = "server")]
pub mod tickets;
#[cfg(feature = "server")]
pub mod trust;
#[cfg(feature = "server")]
mod upload;
#[cfg(feature = "server")]
mod verdicts;
#[cfg(feature = "server")]
pub mod verifier;
