//! Two clients, one broker, and a network that loses connections.
//!
//! What lives here: a publisher and a subscriber as pure machines (`client`),
//! the two sessions between them driven as their contract says (`broker`), and
//! what must hold whatever happens (`pair`). What does not: sockets, tasks and
//! time. Invariant: a run depends on its input alone; a failure prints it, cut
//! down to what is needed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod broker;
mod client;
mod pair;
