//! Checks of the house that the compiler does not make.
fn main() {}
