//! What REST parses before it knows who asks.
//!
//! What lives here: the parts of the API that the product closes to all but
//! their neighbours, taken in by their paths; so these modules have the names
//! of theirs. Invariant: a target sees the code as the product has it.

pub mod api;
