//! The API as far as it is fuzzed.

pub mod cumulocity;
pub mod frame;
