//! The binary `heliograph`.
fn main() {}
