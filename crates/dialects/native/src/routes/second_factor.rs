//! Second factors: who has one, who must, and help for who lost it. Setting one up is the browser's (`/console/second-factor`).

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::users::user;
use crate::App;
use crate::error::Result;
use crate::extract::{At, Auth, Body, id};
use crate::wire::{FactorDemand, SecondFactor};

/// Get a user's second factor
///
/// Never its secret.
#[utoipa::path(
    get, path = "/users/{id}/second-factor", tag = "users", params(("id" = String, Path, description = "The user's id, or `me`")),
    responses((status = 200, description = "What there is, and what must be", body = SecondFactor))
)]
pub async fn get_second_factor(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<SecondFactor>> {
    Ok(Json(app.identity.second_factor(&caller, user(&caller, &text)?).await?.into()))
}

/// Demand a second factor of a user
///
/// Owners for members of their tenant alone, operators for anyone. Who has none is led to it at the next sign-in.
#[utoipa::path(
    put, path = "/users/{id}/second-factor", tag = "users", params(("id" = String, Path, description = "The user's id")),
    request_body = FactorDemand, responses((status = 200, description = "What there is, and what must be", body = SecondFactor))
)]
pub async fn require_second_factor(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(demand): Body<FactorDemand>,
) -> Result<Json<SecondFactor>> {
    Ok(Json(app.identity.require_second_factor(&caller, user(&caller, &text)?, demand.required).await?.into()))
}

/// Reset a user's second factor
///
/// For who lost the phone and the recovery codes. The user's browsers are signed out; the next sign-in asks for the password
/// alone, or leads to a new second factor where one is demanded. Owners for members of their tenant alone, operators for
/// anyone; nobody for oneself.
#[utoipa::path(
    delete, path = "/users/{id}/second-factor", tag = "users", params(("id" = String, Path, description = "The user's id")),
    responses((status = 204, description = "There is none now"))
)]
pub async fn reset_second_factor(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.reset_second_factor(&caller, user(&caller, &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get a tenant's demand
#[utoipa::path(
    get, path = "/tenants/{id}/second-factor", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "The tenant's id")),
    responses((status = 200, description = "Must members have a second factor?", body = FactorDemand))
)]
pub async fn get_tenant_demand(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<FactorDemand>> {
    let required = app.identity.second_factor_required_in(&caller, id("tenant", &text)?).await?;
    Ok(Json(FactorDemand { required }))
}

/// Demand a second factor in a tenant
///
/// Of all its members; its owners and operators. Passwords alone get no tokens there any more, API keys do. Browsers and
/// applications signed in by password alone have to sign in again.
#[utoipa::path(
    put, path = "/tenants/{id}/second-factor", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "The tenant's id")),
    request_body = FactorDemand, responses((status = 200, description = "As it is now", body = FactorDemand))
)]
pub async fn set_tenant_demand(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(demand): Body<FactorDemand>,
) -> Result<Json<FactorDemand>> {
    app.identity.require_second_factor_in(&caller, id("tenant", &text)?, demand.required).await?;
    Ok(Json(demand))
}
