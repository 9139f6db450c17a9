//! Declarative provisioning.
mod file;
pub use file::*;
