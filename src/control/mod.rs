//! The control plane: what people and scripts use to run the broker.
//!
//! What lives here: the command line, HTTP, what is done now and then, and the
//! fetching of revocation lists. What does not: the data plane; it is reached
//! through `broker::Handle` only. Invariant: a change that fails leaves
//! everything as it was and says why.

pub mod api;
pub mod chores;
pub mod cli;
pub mod lists;
pub mod settings;
