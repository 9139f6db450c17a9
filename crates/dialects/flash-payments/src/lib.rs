//! Flash Payments' partner API, as far as it is about who you are: GraphQL `login` with affiliation, `logout`, the API
//! Playground in the browser — and, behind "execute any other queries", a GraphQL face for what the gateway holds.
//!
//! [`http`](self) is GraphQL over HTTP (the GraphQL-over-HTTP draft), [`socket`] is `graphql-transport-ws`; both run one
//! schema ([`schema`]), whose resolvers call one verb each. Money movement is not part of this product.

mod caller;
mod error;
mod login;
mod objects;
mod pace;
mod places;
mod playground;
mod rules;
mod schema;
mod socket;
mod tokens;
mod transport;

use std::sync::Arc;

use ::rules::Rules;
use axum::Router;
use axum::routing::get;
use identity::Identity;
use things::Things;

pub use tokens::TOKENS;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// Who is who.
    pub identity: Identity,
    /// Devices and messages.
    pub things: Things,
    /// Rules, alerts and notifications.
    pub rules: Rules,
}

#[derive(Clone)]
struct Shared {
    app: App,
    schema: schema::Schema,
    pace: Arc<pace::Pace>,
    places: places::Places,
}

/// `/` and `/graphql`, and the playground's files.
pub fn router(app: App) -> Router {
    let pace = Arc::new(pace::Pace::new(app.identity.clock().clone()));
    let shared = Shared { schema: schema::build(), app, pace, places: places::Places::default() };
    let endpoint = || get(transport::get).post(transport::post).options(transport::preflight);
    Router::new().route("/", endpoint()).route("/graphql", endpoint()).merge(playground::router()).with_state(shared)
}

/// The schema in GraphQL's own language.
#[must_use]
pub fn sdl() -> String {
    schema::build().sdl()
}
