//! `/users/{userId}`: what a person may know of itself.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, patch};
use edge::Payload;
use http::{HeaderMap, StatusCode};
use identity::MayDo;
use model::{Caller, Denial, Error, Result, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{catalogue, invites, roles, tenants, wire};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, list};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/users/{user}", get(user)),
        ("/v1/users/{user}/tenants", get(user_tenants)),
        ("/v1/users/{user}/tenants/{tenant}", get(user_tenant)),
        ("/v1/users/{user}/permissions", get(permissions)),
        ("/v1/users/{user}/invites", get(user_invites)),
        ("/v1/users/{user}/invites/{invite}", patch(answer_invite)),
    ]
}

/// The user of the path, which has to be the caller; of anybody else not even the existence is told.
fn oneself(caller: &Caller, text: &str) -> Result<UserId> {
    let id = wire::user(text)?;
    if caller.user() == Some(id) { Ok(id) } else { Err(Error::Forbidden(Denial::Rule("User is not permitted to access this resource"))) }
}

async fn user(State(app): State<App>, caller: Asking, Path(user): Path<String>) -> Answer {
    let (user, two_factor) = app.identity.seen_user(&caller, wire::user(&user)?).await?;
    Ok(data(
        StatusCode::OK,
        json!({
            "id": user.id,
            "enabled": !user.disabled,
            "email": user.email,
            "emailVerified": user.verified,
            "firstName": user.given_name.unwrap_or_default(),
            "lastName": user.family_name.unwrap_or_default(),
            "twoFactorAuthEnabled": two_factor,
        }),
    ))
}

async fn user_tenants(State(app): State<App>, caller: Asking, headers: HeaderMap, Path(user): Path<String>, query: Query) -> Answer {
    oneself(&caller, &user)?;
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.own_tenants(&caller, span).await?;
    let mut rows = Vec::with_capacity(all.items.len());
    for (member, held) in &all.items {
        let agreed = app.identity.agreed_to_in(&caller, wire::token(&headers), member.tenant.id).await?;
        rows.push(tenants::basic(&member.tenant, held, agreed));
    }
    Ok(list(paging, all.total, rows))
}

async fn user_tenant(State(app): State<App>, caller: Asking, headers: HeaderMap, Path((user, tenant)): Path<(String, String)>) -> Answer {
    oneself(&caller, &user)?;
    let id: model::TenantId = wire::id("tenantId", &tenant)?;
    let all = app.identity.own_tenants(&caller, identity::Span::max()).await?;
    let found = all.items.iter().find(|(member, _)| member.tenant.id == id).ok_or(Error::not_found("tenant"))?;
    let agreed = app.identity.agreed_to_in(&caller, wire::token(&headers), id).await?;
    Ok(data(StatusCode::OK, tenants::basic(&found.0.tenant, &found.1, agreed)))
}

async fn permissions(State(app): State<App>, caller: Asking, Path(user): Path<String>) -> Answer {
    let id = wire::user(&user)?;
    if caller.user() != Some(id) {
        caller.require(model::Permission::UserRead)?;
    }
    Ok(data(StatusCode::OK, may_do(&app.identity.may_do(&caller, id).await?)))
}

pub(super) fn may_do(may: &MayDo) -> Value {
    let custom: Vec<_> = may.custom.iter().map(|p| json!({ "id": p.id, "alias": p.alias })).collect();
    let own: Vec<_> = catalogue::within(may.permissions).map(catalogue::Entry::short).collect();
    json!({ "permissions": own, "customPermissions": custom })
}

async fn user_invites(State(app): State<App>, caller: Asking, Path(user): Path<String>, query: Query) -> Answer {
    oneself(&caller, &user)?;
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.received_invitations(&caller, invites::status(&query)?, span).await?;
    let rows: Vec<_> = all.items.iter().map(invites::invite).collect();
    Ok(list(paging, all.total, rows))
}

#[derive(Deserialize)]
struct Answered {
    status: String,
}

async fn answer_invite(State(app): State<App>, caller: Asking, Path((user, invite)): Path<(String, String)>, payload: Payload) -> Answer {
    oneself(&caller, &user)?;
    let id = wire::id("inviteId", &invite)?;
    let body: Answered = wire::object(payload)?;
    let accept = match body.status.as_str() {
        "accepted" => true,
        "declined" => false,
        _ => return Err(Error::invalid("status", "must be accepted or declined").into()),
    };
    app.identity.answer_own_invitation(&caller, id, accept).await?;
    Ok(data(StatusCode::OK, json!({ "id": id, "status": body.status })))
}

/// A member with its roles.
pub(super) fn member(holder: &identity::RoleHolder) -> Value {
    let user = &holder.user;
    json!({
        "id": user.id,
        "email": user.email,
        "firstName": user.given_name.clone().unwrap_or_default(),
        "lastName": user.family_name.clone().unwrap_or_default(),
        "userRoles": holder.roles.iter().map(roles::brief).collect::<Vec<_>>(),
        "twoFactorAuthEnabled": holder.two_factor,
    })
}
