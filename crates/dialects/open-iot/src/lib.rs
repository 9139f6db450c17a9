//! Open IoT Service Platform (enableiot) on the wire: authorization, users and accounts.
//!
//! [`router`] serves `/v1/api` and the page that the mails link to; [`TOKENS`] is a day's token that speaks for a person and
//! carries the accounts and roles it had when the token was issued. A handler is three steps: wire to input ([`schema`] is as
//! strict as the platform's), one verb, output to wire; what can go wrong is mapped in [`error`] to the platform's numbers. What
//! the platform's documentation leaves open is decided in `docs/dialects/open-iot.md`.

mod accounts;
mod auth;
mod error;
mod holder;
mod invites;
mod mails;
mod page;
mod public;
mod respond;
mod routes;
mod schema;
mod tokens;
mod users;
mod wire;

use std::sync::Arc;

use identity::Identity;
use notify::Notify;

pub use routes::{OPERATIONS, router};
pub use tokens::TOKENS;

/// What the dialect works with.
#[derive(Clone)]
pub struct App {
    /// Who calls, and tokens.
    pub identity: Identity,
    /// Mail: activation, forgotten passwords, invitations.
    pub notify: Notify,
    /// May anybody register?
    pub registration: bool,
    /// The gateway's version, for `health`.
    pub version: &'static str,
}

/// The state of the handlers.
type Shared = axum::extract::State<Arc<App>>;
