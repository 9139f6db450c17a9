//! The OpenID provider on the wire. `identity::oauth` decides; this crate reads requests and writes answers.
//!
//! One set of handlers serves two faces ([`realms`]): the plain one (`/.well-known/…`, `/oauth2/…`) and the
//! Keycloak-shaped realm of Lightelligence (`/v1/id/auth/realms/olt/…`). [`pages`] are what a person sees: sign in,
//! consent, sessions, errors — server-rendered, without need for JavaScript.

mod error;
mod forms;
mod frames;
mod pages;
mod provider;
pub mod realms;
mod registration;

use axum::Router;
use identity::Identity;
use notify::Notify;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// Who is who.
    pub identity: Identity,
    /// What goes out by mail.
    pub notify: Notify,
}

/// Every route of the provider and its pages.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(provider::router(&app, &realms::PLAIN))
        .merge(provider::router(&app, &realms::OLT))
        .merge(pages::router(&app))
        .merge(frames::router(&app))
}
