//! Device types, devices, certificates, events, ingest, series.

use axum::Router;

use crate::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
}
