//! Everything remembered but messages: entities, credentials, audit, outbox.
//!
//! [`Db`] is SQLite (embedded, the default) or PostgreSQL; the SQL text is the same for both and lives beside the
//! functions that use it, one file per aggregate. `db.read()` hands out a connection for looking, `db.begin()` a
//! transaction for changing; both are a [`Tx`], so that a look-up is written once. Rows never leak: every function
//! takes and gives `model` types. A test prepares every statement on both engines and refuses full scans.

#[macro_use]
mod macros;
mod db;
mod error;
mod migrate;

mod tenants;

pub use db::{Db, Tx};
pub use error::Error;

/// Every SQL statement of the program by name, for the test that prepares them all.
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [tenants::sql::ALL].concat()
}
