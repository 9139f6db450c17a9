//! (development) Every way in for bytes of strangers, as a function of bytes.
//!
//! `fuzz/` walks through these doors with bytes nobody thought of; `tests/corpus.rs` replays what it kept. A door panics when something
//! is wrong: a handler that fell, an answer of 5xx, a redirect to where nobody registered, a packet that reads back otherwise, a journal
//! that lost what it held. [`mqtt`] and [`log`] call their crates directly; [`web`] sends requests through the real routers of one
//! gateway that is opened once.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a door tells of what is wrong by panicking")]

mod log;
mod mqtt;
mod web;

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// A door: its name is its corpus' folder.
pub type Door = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Door] = &[
    ("mqtt_codec", mqtt::codec),
    ("mqtt_session", mqtt::session),
    ("tracker", web::tracker),
    ("numbers", web::numbers),
    ("token", web::token),
    ("graphql", web::graphql),
    ("json", web::json),
    ("oauth", web::oauth),
    ("segment", log::segment),
];

/// The door of that name.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn named(name: &str) -> fn(&[u8]) {
    ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no door {name}")).1
}

/// One runtime for all; nothing here waits for a real network.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
}
