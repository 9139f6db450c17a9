//! OSRAM Lightelligence API 1.0.0 on the wire, everything below `/v1` but the realm itself (that is the OpenID provider's).
//!
//! Three parts that do not know each other: [`tenancy`] (tenants, users, invitations, roles, applications, the audit trail), [`devices`]
//! (types, devices, certificates, events, ingest, series) and [`notifications`]. Each handler is three steps (wire to input, one verb,
//! output to wire); `asking` recognises the caller by a token of the realm, `reply` holds the envelopes and paging, `error` renders
//! refusals with each service's own codes. What the platform's texts leave open is decided in `docs/dialects/lightelligence.md`.

mod asking;
mod cors;
mod devices;
mod error;
mod filter;
mod notifications;
mod query;
mod reply;
mod tenancy;
mod topics;
mod wire;

use axum::Router;
use identity::{Identity, TokenProfile};
use rules::Rules;
use things::Things;

pub use topics::TOPICS;

/// What the dialect works with.
#[derive(Clone)]
pub struct App {
    /// Who calls, tenants, users, applications.
    pub identity: Identity,
    /// Things and what they say.
    pub things: Things,
    /// Rules and notifications.
    pub rules: Rules,
    /// How the tokens of the realm `olt` look.
    pub realm: &'static TokenProfile,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// Every operation below `/v1`.
pub fn router(app: App) -> Router {
    let all = Router::new().merge(tenancy::router()).merge(devices::router()).merge(notifications::router());
    all.route_layer(axum::middleware::from_fn(cors::cors)).with_state(app)
}
