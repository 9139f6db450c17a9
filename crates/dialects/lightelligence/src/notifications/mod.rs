//! Notifications: whom to tell by mail, of which events of which devices.

use axum::Router;

use crate::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
}
