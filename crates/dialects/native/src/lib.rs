//! Heliograph's own REST API under `/heliograph/v1`, and the API pages under `/docs`.
//!
//! A route is one function: wire to input, one verb, output to wire. `routes!` mounts it and writes it into the OpenAPI document
//! in one step, so the two cannot differ. [`error`] is the one place where errors become problem details (RFC 9457).

mod docs;
mod document;
mod error;
mod extract;
mod routes;
mod tokens;
mod topics;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use identity::Identity;
use jiff::Timestamp;
use model::{Caller, TenantId};
use notify::Notify;
use rules::Rules;
use things::Things;

pub use docs::ApiDoc;
pub use document::openapi;
pub use error::{Failure, Problem, ProblemQuota};
pub use tokens::TOKENS;
pub use topics::TOPICS;
pub use wire::{Backup, Counts, Report, ReportEntry, ReportOutcome};

/// Everything the handlers need; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Who calls, and the people.
    pub identity: Identity,
    /// The devices and their messages.
    pub things: Things,
    /// The outbox.
    pub notify: Notify,
    /// Rules, alerts and notifications.
    pub rules: Rules,
    /// Limits and facts.
    pub options: Options,
    /// Applies a provisioning file (TOML text) for an operator.
    pub provision: Option<Provision>,
    /// Makes a backup of that name, or named by the present time, for an operator.
    pub backup: Option<BackUp>,
    /// Counts what the gateway holds and does.
    pub counts: Option<Count>,
    /// Further API documents to show under `/docs`, after this API's own.
    pub docs: Vec<ApiDoc>,
}

/// Applies a provisioning file.
pub type Provision = Arc<dyn Fn(Caller, String) -> BoxFuture<'static, model::Result<Report>> + Send + Sync>;
/// Makes a backup.
pub type BackUp = Arc<dyn Fn(Caller, Option<String>) -> BoxFuture<'static, model::Result<Backup>> + Send + Sync>;
/// Counts.
pub type Count = Arc<dyn Fn() -> BoxFuture<'static, Counts> + Send + Sync>;

/// Limits and facts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's version.
    pub version: String,
    /// When the gateway was started.
    pub started: Timestamp,
    /// The largest body, bytes.
    pub body_limit: usize,
    /// How often a silent stream says that it is alive.
    pub keep_alive: Duration,
    /// How many streams may be open.
    pub streams: Streams,
}

impl Options {
    /// The defaults: bodies to 1 MiB, a sign of life every 15 s, 1,024 streams.
    #[must_use]
    pub fn new(version: impl Into<String>, started: Timestamp) -> Self {
        Self { version: version.into(), started, body_limit: 1 << 20, keep_alive: Duration::from_secs(15), streams: Streams::new(1_024) }
    }
}

/// A bounded number of open streams, on the whole and for each tenant; clones share it.
#[derive(Clone, Debug)]
pub struct Streams {
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
    most: usize,
    most_of_one: usize,
}

impl Streams {
    /// That many at a time, a quarter of them for one tenant.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { open: Arc::default(), most, most_of_one: most.div_ceil(4) }
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().values().sum()
    }

    /// Takes a place; given back on drop.
    fn enter(&self, tenant: TenantId) -> model::Result<StreamPlace> {
        let mut open = self.lock();
        let all: usize = open.values().sum();
        if all >= self.most || open.get(&tenant).is_some_and(|ours| *ours >= self.most_of_one) {
            return Err(model::Error::unavailable("too many streams are open"));
        }
        *open.entry(tenant).or_default() += 1;
        Ok(StreamPlace { streams: self.clone(), tenant })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open stream's place.
struct StreamPlace {
    streams: Streams,
    tenant: TenantId,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(ours) = open.get_mut(&self.tenant) {
            *ours -= 1;
            if *ours == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

/// Every route of the API and its pages.
pub fn router(app: App) -> Router {
    let (api, collected) = document::api().split_for_parts();
    let document = document::complete(collected);
    let api = api.fallback(async || Failure::Path).layer(axum::middleware::from_fn(error::finish)).with_state(app.clone());
    Router::new().nest(document::BASE, api).merge(docs::router(&document, &app.docs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_and_places_come_back() {
        let streams = Streams::new(6);
        let tenant = |n: u128| TenantId(uuid::Uuid::from_u128(n));
        let mut places: Vec<_> = (0..2).map(|_| streams.enter(tenant(1)).unwrap()).collect();
        assert!(matches!(streams.enter(tenant(1)), Err(model::Error::Unavailable { .. })), "one tenant cannot take them all");
        places.extend([2, 2, 3, 3].map(|n| streams.enter(tenant(n)).unwrap()));
        assert!(streams.enter(tenant(4)).is_err());
        places.remove(0);
        assert!(streams.enter(tenant(4)).is_ok());
        drop(places);
        assert_eq!(streams.open(), 0);
        assert!(streams.lock().is_empty(), "nothing is remembered of tenants that are gone");
    }
}
