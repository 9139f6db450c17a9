//! The gateway itself: facts, audit trail, signing keys, outbox, provisioning, backup.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use identity::{Algorithm, AuditFilter};
use model::{Error, Permission};

use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, Text, id};
use crate::wire::{
    AuditEntry, AuditQuery, Backup, Counts, Delivery, Info, NewBackup, OutboxQuery, Page, Paging, Report, Rotation, SigningKey,
};
use crate::{App, Failure};

/// Get facts about the gateway
///
/// Operators also see what it holds and does.
#[utoipa::path(get, path = "/info", tag = "gateway", responses((status = 200, description = "The gateway", body = Info)))]
pub async fn info(State(app): State<App>, Auth(caller): Auth) -> Result<Json<Info>> {
    let counts = match &app.counts {
        Some(count) if caller.permissions.has(Permission::Operate) => {
            let streams = u64::try_from(app.options.streams.open()).unwrap_or(u64::MAX);
            Some(Counts { streams, ..count().await })
        }
        _ => None,
    };
    let now = app.identity.clock().now();
    Ok(Json(Info {
        name: "heliograph",
        version: app.options.version.clone(),
        public_url: app.identity.public_url(),
        now,
        started: app.options.started,
        uptime_seconds: u64::try_from(now.duration_since(app.options.started).as_secs()).unwrap_or(0),
        counts,
    }))
}

/// Read the audit trail
///
/// Newest first.
#[utoipa::path(
    get, path = "/audit", tag = "gateway", params(AuditQuery),
    responses((status = 200, description = "Lines of the trail, newest first", body = Page<AuditEntry>))
)]
pub async fn list_audit(State(app): State<App>, Auth(caller): Auth, Params(query): Params<AuditQuery>) -> Result<Json<Page<AuditEntry>>> {
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    let filter = AuditFilter {
        from: query.from.map(|m| m.0),
        to: query.to.map(|m| m.0),
        actor: query.actor,
        action: query.action,
        allowed: query.allowed,
        everywhere: query.everywhere.unwrap_or(false),
    };
    Ok(Json(Page::of(app.identity.audit(&caller, &filter, &page).await?)))
}

/// List signing keys
///
/// Operators only.
#[utoipa::path(
    get, path = "/keys", tag = "gateway",
    responses((status = 200, description = "Keys, all on one page", body = Page<SigningKey>))
)]
pub async fn list_signing_keys(State(app): State<App>, Auth(caller): Auth) -> Result<Json<Page<SigningKey>>> {
    let keys = app.identity.signing_keys(&caller).await?;
    Ok(Json(keys.into_iter().map(SigningKey::from).collect::<Vec<_>>().into()))
}

/// Rotate a signing key
///
/// Operators only. The new key is published before it signs; the old one verifies until the last token it signed has ended.
#[utoipa::path(
    post, path = "/keys", tag = "gateway", request_body = Rotation,
    responses((status = 201, description = "The new key", body = SigningKey))
)]
pub async fn rotate_signing_key(
    State(app): State<App>,
    Auth(caller): Auth,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<SigningKey>)> {
    let algorithm =
        Algorithm::from_name(&rotation.algorithm).ok_or_else(|| Failure::input("algorithm", "is not one of RS256, EdDSA, HS512"))?;
    let key = app.identity.rotate_signing_key(&caller, algorithm).await?;
    Ok((StatusCode::CREATED, Json(key.into())))
}

/// List the outbox
///
/// What waits to be sent or, with `state=dead`, was given up. Operators see every tenant's.
#[utoipa::path(
    get, path = "/outbox", tag = "gateway", params(OutboxQuery),
    responses((status = 200, description = "Deliveries, oldest first", body = Page<Delivery>))
)]
pub async fn list_outbox(State(app): State<App>, Auth(caller): Auth, Params(query): Params<OutboxQuery>) -> Result<Json<Page<Delivery>>> {
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    let state = query.state.unwrap_or_default().into();
    Ok(Json(Page::of(app.notify.deliveries(&caller, state, &page).await?)))
}

/// Retry a dead delivery
///
/// It is queued again, due at once.
#[utoipa::path(
    post, path = "/outbox/{id}/retry", tag = "gateway", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 202, description = "It is queued"))
)]
pub async fn retry_outbox(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.notify.retry(&caller, id("delivery", &text)?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Apply a provisioning file
///
/// Operators only. The body is the TOML text, whatever its content type says. Applying it twice changes nothing.
#[utoipa::path(
    post, path = "/provision", tag = "gateway", request_body(content = String, content_type = "application/toml", description = "A provisioning file"),
    responses((status = 200, description = "What was done", body = Report))
)]
pub async fn provision(State(app): State<App>, Auth(caller): Auth, Text(text): Text) -> Result<Json<Report>> {
    caller.require(Permission::Operate)?;
    let apply = app.provision.ok_or_else(|| Error::unavailable("provisioning is switched off"))?;
    Ok(Json(apply(caller, text).await?))
}

/// Make a backup
///
/// Operators only. It is consistent, and made while the gateway runs. It holds every key: keep it as you would keep the machine.
#[utoipa::path(
    post, path = "/backup", tag = "gateway", request_body = Option<NewBackup>,
    responses((status = 201, description = "The backup", body = Backup))
)]
pub async fn back_up(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewBackup>) -> Result<(StatusCode, Json<Backup>)> {
    caller.require(Permission::Operate)?;
    if let Some(name) = &new.name {
        model::Thing::check_name("name", name)?;
    }
    let make = app.backup.ok_or_else(|| Error::unavailable("backups are switched off"))?;
    Ok((StatusCode::CREATED, Json(make(caller, new.name).await?)))
}
