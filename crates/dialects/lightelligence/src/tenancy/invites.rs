//! `/tenants/{tenantId}/invites`.

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, delete, post};
use edge::Payload;
use http::StatusCode;
use identity::{InvitationStatus, NOBODY, SentInvitation, Span, account_name};
use model::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::Reference;
use super::{roles, wire};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, list, nothing};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![("/v1/tenants/{tenant}/invites", post(create).get(sent)), ("/v1/tenants/{tenant}/invites/{invite}", delete(revoke))]
}

/// The query's `status`.
pub(super) fn status(query: &Query) -> Result<Option<InvitationStatus>> {
    let named = |text| InvitationStatus::from_name(text).ok_or_else(|| Error::invalid("status", "must be open, accepted or declined"));
    query.one("status")?.map(named).transpose()
}

pub(super) fn invite(sent: &SentInvitation) -> Value {
    let record = &sent.record;
    json!({
        "id": record.id,
        "receiverEmail": record.email,
        "senderId": record.sender.unwrap_or(NOBODY),
        "status": record.status.name(),
        "createdAt": record.created,
        "tenant": { "id": sent.tenant.id, "name": account_name(&sent.tenant) },
        "roles": sent.roles.iter().map(roles::brief).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewInvite {
    receiver_email: String,
    roles: Option<Vec<Reference>>,
    role_names: Option<Vec<String>>,
}

async fn create(State(app): State<App>, caller: Asking, Path(tenant): Path<String>, payload: Payload) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    caller.require(model::Permission::UserWrite)?;
    let body: NewInvite = wire::object(payload)?;
    let mut ids = wire::ids("roles", body.roles.as_deref().unwrap_or_default())?;
    if let Some(names) = &body.role_names {
        let known = app.identity.roles(&caller, None, Span::max()).await?.items;
        for name in names {
            let found = known.iter().find(|r| r.name == *name);
            ids.push(found.ok_or_else(|| Error::invalid("roleNames", "one of them is no role of this tenant"))?.id);
        }
    }
    if ids.is_empty() {
        return Err(Error::invalid("roles", "at least one is needed").into());
    }
    let sent = app.identity.invite_into(&caller, &body.receiver_email, &ids).await?;
    Ok(data(StatusCode::CREATED, invite(&sent)))
}

async fn sent(State(app): State<App>, caller: Asking, Path(tenant): Path<String>, query: Query) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    let (paging, span) = wire::paging(&query)?;
    let all = app.identity.sent_invitations(&caller, status(&query)?, span).await?;
    Ok(list(paging, all.total, all.items.iter().map(invite).collect::<Vec<_>>()))
}

async fn revoke(State(app): State<App>, caller: Asking, Path((tenant, invite)): Path<(String, String)>) -> Answer {
    wire::own_tenant(&caller, &tenant)?;
    app.identity.revoke_invitation(&caller, wire::id("inviteId", &invite)?).await?;
    Ok(nothing())
}
