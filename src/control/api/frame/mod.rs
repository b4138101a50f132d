//! What all routes of HTTPS have in common.
//!
//! What lives here: how a request is let in, read, bounded, answered, counted
//! and described; the one internal error and the shapes that the faces give
//! it. What does not: any operation. Invariant: a handler sees a request only
//! within its bounds, and whatever becomes of it leaves in its face's shape.

pub(super) mod access;
pub(super) mod authorization;
pub(super) mod body;
pub(super) mod caller;
pub(super) mod conditional;
pub(super) mod cumulocity;
pub(super) mod document;
pub(super) mod face;
pub(super) mod guard;
pub(super) mod idempotency;
pub(super) mod moment;
pub(super) mod operation;
pub(super) mod paging;
pub(super) mod problem;
mod shape;
