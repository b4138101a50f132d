//! What the broker tells about itself: log lines and numbers.
//!
//! What lives here: the set-up of `tracing` ([`logging`]), the bound
//! of its lines ([`gate`]), the list of all
//! [`metrics`], the share of them that one tenant's clients have ([`traffic`]),
//! how much [`memory`] there is, and how much is [`resident`]. What does not: the
//! decision what is worth an event; it is taken where the thing happens. Invariant: an instrument on the hot path costs a
//! thread-local addition or nothing.

pub mod gate;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod requests;
pub mod resident;
pub mod traffic;
