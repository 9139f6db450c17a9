//! `/tenants`: founding one, what it is, its members.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, delete, get, post};
use edge::Payload;
use http::StatusCode;
use identity::{TenantChange, TenantRole, account_name};
use model::{Error, Tenant};
use serde_json::{Map, Value, json};

use super::{contract, roles, users, wire};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, list, nothing};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/tenants", post(found)),
        ("/v1/tenants/{tenant}", get(tenant).patch(update).delete(end)),
        ("/v1/tenants/{tenant}/roles", get(role_names)),
        ("/v1/tenants/{tenant}/users", get(members)),
        ("/v1/tenants/{tenant}/users/{user}", delete(remove_member)),
        ("/v1/tenants/{tenant}/users/{user}/roles", get(roles::of_member).put(roles::put_of_member)),
        ("/v1/tenants/{tenant}/users/{user}/permissions", get(member_permissions)),
    ]
}

/// A tenant as its members see it.
pub(super) fn basic(tenant: &Tenant, held: &[TenantRole], up_to_date: bool) -> Value {
    json!({
        "id": tenant.id,
        "name": account_name(tenant),
        "status": { "code": "active" },
        "userRoles": held.iter().map(roles::brief).collect::<Vec<_>>(),
        "applicationInstallationStatus": if up_to_date { "ok" } else { "outdated" },
    })
}

fn name(body: &Map<String, Value>) -> Result<Option<String>, Error> {
    match body.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if (3..=32).contains(&name.trim().chars().count()) => Ok(Some(name.trim().to_owned())),
        Some(_) => Err(Error::invalid("name", "must be a text of 3 to 32 characters")),
    }
}

/// Everything about a tenant. One that was not founded here has said nothing of billing.
fn full(tenant: &Tenant, contract: Map<String, Value>) -> Map<String, Value> {
    let mut all = contract;
    all.insert("id".to_owned(), json!(tenant.id));
    all.insert("name".to_owned(), json!(account_name(tenant)));
    all.entry("package").or_insert_with(|| json!({ "id": tenant.plan.name() }));
    all
}

async fn found(State(app): State<App>, caller: Asking, payload: Payload) -> Answer {
    let body: Map<String, Value> = wire::object(payload)?;
    let name = name(&body)?.ok_or_else(|| Error::invalid("name", "is missing"))?;
    let contract = contract::read(&body, true)?;
    let tenant = app.identity.found_tenant(&caller, &name, contract.clone()).await?;
    let mut all = full(&tenant, contract);
    all.insert("status".to_owned(), json!({ "code": "active" }));
    Ok(data(StatusCode::CREATED, all))
}

async fn tenant(State(app): State<App>, caller: Asking, Path(tenant): Path<String>) -> Answer {
    let id = wire::own_tenant(&caller, &tenant)?;
    let tenant = app.identity.tenant(&caller, id).await?;
    let mut all = full(&tenant, app.identity.tenant_contract(&caller).await?);
    all.insert("status".to_owned(), json!({ "code": "active" }));
    Ok(data(StatusCode::OK, all))
}

async fn update(State(app): State<App>, caller: Asking, Path(tenant): Path<String>, payload: Payload) -> Answer {
    let id = wire::own_tenant(&caller, &tenant)?;
    caller.require(model::Permission::TenantWrite)?;
    let body: Map<String, Value> = wire::object(payload)?;
    let (name, change) = (name(&body)?, contract::read(&body, false)?);
    let tenant = app.identity.update_tenant(&caller, id, TenantChange { name, ..TenantChange::default() }).await?;
    let mut contract = app.identity.tenant_contract(&caller).await?;
    if !change.is_empty() {
        contract.extend(change);
        app.identity.set_tenant_contract(&caller, contract.clone()).await?;
    }
    Ok(data(StatusCode::OK, full(&tenant, contract)))
}

async fn end(State(app): State<App>, caller: Asking, Path(tenant): Path<String>) -> Answer {
    app.identity.delete_tenant(&caller, wire::own_tenant(&caller, &tenant)?).await?;
    Ok(nothing())
}

async fn role_names(State(app): State<App>, caller: Asking, Path(tenant): Path<String>, query: Query) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.role_names(&caller, span).await?;
    let row = |r: &TenantRole| json!({ "id": r.id, "name": r.name, "description": r.description, "createdAt": r.created, "updatedAt": r.updated });
    Ok(list(paging, all.total, all.items.iter().map(row).collect::<Vec<_>>()))
}

async fn members(State(app): State<App>, caller: Asking, Path(tenant): Path<String>, query: Query) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.tenant_members(&caller, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(users::member).collect::<Vec<_>>()))
}

async fn remove_member(State(app): State<App>, caller: Asking, Path((tenant, user)): Path<(String, String)>) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    app.identity.remove_member(&caller, wire::user(&user)?).await?;
    Ok(nothing())
}

async fn member_permissions(State(app): State<App>, caller: Asking, Path((tenant, user)): Path<(String, String)>) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    Ok(data(StatusCode::OK, users::may_do(&app.identity.may_do(&caller, wire::user(&user)?).await?)))
}
