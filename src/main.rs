//! certus
fn main() {}
