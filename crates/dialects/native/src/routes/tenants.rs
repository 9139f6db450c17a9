//! Tenants and what they use.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::TenantId;

use super::Created;
use crate::App;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{NewTenant, Page, Paging, Tenant, TenantPatch, Usage};

/// List tenants
///
/// An operator sees all, anyone else its own.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(Paging), responses((status = 200, description = "Tenants by id", body = Page<Tenant>)))]
pub async fn list_tenants(State(app): State<App>, Auth(caller): Auth, Params(paging): Params<Paging>) -> Result<Json<Page<Tenant>>> {
    let page = app.identity.tenants(&caller, &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Create a tenant
///
/// Operators only.
#[utoipa::path(
    post, path = "/tenants", tag = "tenants", request_body = NewTenant,
    responses((status = 201, description = "The tenant", body = Tenant, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn create_tenant(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewTenant>) -> Result<Created<Tenant>> {
    let new = identity::NewTenant { id: new.id.map(TenantId), name: new.name, affiliation: new.affiliation, plan: new.plan };
    let tenant = app.identity.create_tenant(&caller, new).await?;
    Ok(Created::at(["tenants", &tenant.id.to_string()], tenant.into()))
}

/// Get a tenant
#[utoipa::path(
    get, path = "/tenants/{id}", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The tenant", body = Tenant))
)]
pub async fn get_tenant(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Tenant>> {
    Ok(Json(app.identity.tenant(&caller, id("tenant", &text)?).await?.into()))
}

/// Change a tenant
///
/// A merge patch (RFC 7396): absent members stay. The plan is an operator's to change.
#[utoipa::path(
    patch, path = "/tenants/{id}", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "Its id")), request_body = TenantPatch,
    responses((status = 200, description = "The tenant", body = Tenant))
)]
pub async fn update_tenant(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(patch): Body<TenantPatch>,
) -> Result<Json<Tenant>> {
    let change = identity::TenantChange { name: patch.name, affiliation: patch.affiliation, plan: patch.plan };
    Ok(Json(app.identity.update_tenant(&caller, id("tenant", &text)?, change).await?.into()))
}

/// Delete a tenant
///
/// With its things, messages, clients and keys; users stay.
#[utoipa::path(
    delete, path = "/tenants/{id}", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_tenant(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.delete_tenant(&caller, id("tenant", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get the tenant's use
///
/// The plan, and how much of it is used in this period.
#[utoipa::path(get, path = "/usage", tag = "tenants", responses((status = 200, description = "Plan and use", body = Usage)))]
pub async fn get_usage(State(app): State<App>, Auth(caller): Auth) -> Result<Json<Usage>> {
    let usage = app.things.usage(&caller).await?;
    Ok(Json(Usage {
        plan: usage.plan.name,
        retention_seconds: usage.plan.retention.as_secs(),
        period_start: usage.period_start,
        period_end: usage.period_end,
        things: usage.things.into(),
        collected: usage.collected.into(),
        published: usage.published.into(),
    }))
}
