//! Tenants, users, invitations, roles, applications, the audit trail.
//!
//! [`catalogue`] says what the platform's permissions mean here; the other files are one resource each. Paths may end in a slash.

mod applications;
mod audit;
mod catalogue;
mod contract;
mod developer;
mod invites;
mod roles;
mod tenants;
mod users;
mod wire;

use axum::Router;
use axum::routing::MethodRouter;

use crate::App;
use crate::error::Service;

/// Routes with and without a slash at the end.
fn table(routes: impl IntoIterator<Item = (&'static str, MethodRouter<App>)>) -> Router<App> {
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods.clone()).route(&format!("{path}/"), methods))
}

pub(crate) fn router() -> Router<App> {
    let identity = users::routes().into_iter().chain(tenants::routes()).chain(invites::routes()).chain(roles::routes());
    let identity = identity.chain(developer::permission_routes());
    let applications = developer::routes().into_iter().chain(applications::routes());
    Router::new()
        .merge(Service::Identity.over(table(identity)))
        .merge(Service::Applications.over(table(applications)))
        .merge(Service::Audit.over(table(audit::routes())))
}
