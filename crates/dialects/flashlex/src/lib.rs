//! FlashLex API 1.4 on the wire: tokens, things, messages, collect, publish, distributions.
//!
//! [`router`] serves the HTTP API at its natural paths beside other dialects, [`host_router`] on a host of its own; [`TOPICS`] says
//! what MQTT topics mean to a thing, [`TOKENS`] what its users' tokens look like. A handler is three steps: wire to input, one verb,
//! output to wire; what can go wrong is mapped in `error`. What the platform's documentation leaves open is decided in
//! `docs/dialects/flashlex.md`.

mod archive;
mod auth;
mod base;
mod dist;
mod error;
mod filter;
mod lists;
mod messages;
mod names;
mod payload;
mod places;
mod register;
mod respond;
mod routes;
mod stream;
mod subscriptions;
mod thing;
mod token;
mod tokens;
mod topics;
mod users;
mod wire;
mod zipped;

use std::path::PathBuf;
use std::sync::Arc;

use identity::Identity;
use notify::Notify;
use things::Things;

pub use routes::{host_router, router};
pub use tokens::TOKENS;
pub use topics::TOPICS;

/// What the dialect works with.
#[derive(Clone)]
pub struct App {
    /// Who calls, and tokens.
    pub identity: Identity,
    /// Things and their messages.
    pub things: Things,
    /// Mail, for registration codes.
    pub notify: Notify,
    /// The dialect's settings.
    pub options: Options,
}

/// The dialect's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host name or address devices reach MQTT over TLS at; written into distributions and must be in the server's certificate.
    pub mqtt_host: String,
    /// Its port.
    pub mqtts_port: u16,
    /// The device SDK to put into distributions: a zip, or a directory.
    pub sdk_zip: Option<PathBuf>,
    /// Does reading a thing give its private key again, as the platform did? Creating it and its distribution always do.
    pub return_private_key_on_get: bool,
    /// May anybody register?
    pub registration: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { mqtt_host: "localhost".to_owned(), mqtts_port: 8883, sdk_zip: None, return_private_key_on_get: true, registration: false }
    }
}

/// The state of the handlers.
type Shared = axum::extract::State<Arc<App>>;

/// The description of the HTTP API (OpenAPI 3.1, JSON), served at `/docs/flashlex/openapi.json`.
#[must_use]
pub fn openapi() -> &'static str {
    include_str!("../openapi.json")
}
