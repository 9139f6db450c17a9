//! The Flotas control (Plaspy) REST API on the wire: tokens by API key, devices, locations, alerts, commands, groups, users.
//!
//! [`router`] serves all 21 operations below `/api`, in any case of their paths, and `/api/osmand` for phone trackers; [`TOKENS`] says what
//! its tokens look like, [`TOPICS`] where MQTT trackers report. `routes` finds the operation, [`asking`] recognises and counts the caller,
//! each handler is three steps (wire to input, one verb, output to wire), `error` decides every status once. What the platform's
//! documentation leaves open is decided in `docs/dialects/flotas-control.md`.

mod alerts;
mod asking;
mod commands;
mod devices;
mod error;
mod groups;
mod lists;
mod location;
mod osmand;
mod patch;
mod people;
mod reply;
mod routes;
mod token;
mod topics;
mod users;
mod wire;

use axum::Router;
use identity::Identity;
use things::Things;

pub use routes::OPERATIONS;
pub use token::TOKENS;
pub use topics::TOPICS;

/// What the dialect works with.
#[derive(Clone)]
pub struct App {
    /// Who calls, tokens, users.
    pub identity: Identity,
    /// Things, their messages and groups.
    pub things: Things,
}

/// The state of the handlers.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) things: Things,
    /// A user is changed in several steps; one change at a time.
    pub(crate) people: tokio::sync::Mutex<()>,
}

/// Everything below `/api`.
pub fn router(app: App) -> Router {
    routes::router(app)
}
