//! Tenants, users, invitations, roles, applications, the audit trail.

use axum::Router;

use crate::App;

pub(crate) fn router() -> Router<App> {
    Router::new()
}
