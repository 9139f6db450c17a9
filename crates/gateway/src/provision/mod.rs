//! Declarative provisioning: a TOML file that says which tenants, users, clients, keys and things there are.

mod apply;
mod file;

pub use apply::apply;
pub use file::{Fleet, Known};
