//! Rules, alerts, notifications, and what became of what was sent.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use rules::AlertFilter;

use super::Created;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{
    Alert, AlertQuery, Delivery, DeliveryQuery, Execution, ExecutionQuery, NewNotification, NewRule, Notification, Page, Paging, Part,
    Rule, Told, WebhookSecret, Window,
};
use crate::{App, Failure};

/// List rules
///
/// In the order they were made.
#[utoipa::path(get, path = "/rules", tag = "rules", params(Paging), responses((status = 200, description = "Rules", body = Page<Rule>)))]
pub async fn list_rules(State(app): State<App>, Auth(caller): Auth, Params(paging): Params<Paging>) -> Result<Json<Page<Rule>>> {
    Ok(Json(Page::of(app.rules.rules(&caller, &paging.request()?).await?)))
}

/// Create a rule
///
/// It looks at what is said from now on. What conditions and selectors may hold is told in the documentation of rules.
#[utoipa::path(
    post, path = "/rules", tag = "rules", request_body = NewRule,
    responses((status = 201, description = "The rule", body = Rule))
)]
pub async fn create_rule(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewRule>) -> Result<Created<Rule>> {
    let rule = app.rules.create_rule(&caller, new.into()).await?;
    Ok(Created::at(["rules", &rule.id.to_string()], rule.into()))
}

/// Get a rule
#[utoipa::path(
    get, path = "/rules/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The rule", body = Rule))
)]
pub async fn get_rule(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Rule>> {
    Ok(Json(app.rules.rule(&caller, id("rule", &text)?).await?.into()))
}

/// Replace a rule
///
/// Where its condition, series or things change it starts afresh.
#[utoipa::path(
    put, path = "/rules/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")), request_body = NewRule,
    responses((status = 200, description = "The rule as it is now", body = Rule))
)]
pub async fn replace_rule(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(new): Body<NewRule>,
) -> Result<Json<Rule>> {
    let id = id("rule", &text)?;
    Ok(Json(app.rules.update_rule(&caller, id, |_| Ok(new.into())).await?.into()))
}

/// Delete a rule
///
/// Its open alerts are cleared.
#[utoipa::path(
    delete, path = "/rules/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_rule(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.rules.delete_rule(&caller, id("rule", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List what a rule raised
///
/// Newest first; kept for 30 days.
#[utoipa::path(
    get, path = "/rules/{id}/executions", tag = "rules", params(("id" = uuid::Uuid, Path, description = "The rule's id"), ExecutionQuery),
    responses((status = 200, description = "What it raised, newest first", body = Part<Execution>))
)]
pub async fn list_executions(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Params(query): Params<ExecutionQuery>,
) -> Result<Json<Part<Execution>>> {
    let slice = Window::slice(query.limit, query.offset)?;
    let (from, to) = (query.from.map(|m| m.0), query.to.map(|m| m.0));
    Ok(Json(Part::of(app.rules.rule_executions(&caller, id("rule", &text)?, from, to, slice).await?)))
}

/// List alerts
///
/// Newest first. Cleared ones are kept for 90 days.
#[utoipa::path(get, path = "/alerts", tag = "rules", params(AlertQuery), responses((status = 200, description = "Alerts", body = Page<Alert>)))]
pub async fn list_alerts(State(app): State<App>, Auth(caller): Auth, Params(query): Params<AlertQuery>) -> Result<Json<Page<Alert>>> {
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    let filter = AlertFilter { state: query.state, rule: query.rule.map(Into::into), thing: query.thing.map(Into::into) };
    Ok(Json(Page::of(app.rules.alerts(&caller, filter, &page).await?)))
}

/// Get an alert
#[utoipa::path(
    get, path = "/alerts/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The alert", body = Alert))
)]
pub async fn get_alert(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Alert>> {
    Ok(Json(app.rules.alert(&caller, id("alert", &text)?).await?.into()))
}

/// Acknowledge an alert
///
/// Somebody has seen it. Done twice it is done once.
#[utoipa::path(
    post, path = "/alerts/{id}/acknowledge", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The alert as it is now", body = Alert))
)]
pub async fn acknowledge_alert(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Alert>> {
    Ok(Json(app.rules.acknowledge_alert(&caller, id("alert", &text)?).await?.into()))
}

/// Clear an alert
///
/// Somebody says it is over; raised again, a new one opens.
#[utoipa::path(
    post, path = "/alerts/{id}/clear", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The alert as it is now", body = Alert))
)]
pub async fn clear_alert(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Alert>> {
    Ok(Json(app.rules.clear_alert(&caller, id("alert", &text)?).await?.into()))
}

/// List notifications
///
/// Newest first.
#[utoipa::path(
    get, path = "/notifications", tag = "rules", params(Window),
    responses((status = 200, description = "Notifications, newest first", body = Part<Notification>))
)]
pub async fn list_notifications(
    State(app): State<App>,
    Auth(caller): Auth,
    Params(window): Params<Window>,
) -> Result<Json<Part<Notification>>> {
    Ok(Json(Part::of(app.rules.notifications(&caller, Window::slice(window.limit, window.offset)?).await?)))
}

/// Create a notification
#[utoipa::path(
    post, path = "/notifications", tag = "rules", request_body = NewNotification,
    responses((status = 201, description = "The notification", body = Notification))
)]
pub async fn create_notification(
    State(app): State<App>,
    Auth(caller): Auth,
    Body(new): Body<NewNotification>,
) -> Result<Created<Notification>> {
    let made = app.rules.create_notification(&caller, new.into()).await?;
    Ok(Created::at(["notifications", &made.id.to_string()], made.into()))
}

/// Get a notification
#[utoipa::path(
    get, path = "/notifications/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The notification", body = Notification))
)]
pub async fn get_notification(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<Notification>> {
    Ok(Json(app.rules.notification(&caller, id("notification", &text)?).await?.into()))
}

/// Replace a notification
#[utoipa::path(
    put, path = "/notifications/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    request_body = NewNotification,
    responses((status = 200, description = "The notification as it is now", body = Notification))
)]
pub async fn replace_notification(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(new): Body<NewNotification>,
) -> Result<Json<Notification>> {
    Ok(Json(app.rules.replace_notification(&caller, id("notification", &text)?, new.into()).await?.into()))
}

/// Delete a notification
///
/// Its history goes with it.
#[utoipa::path(
    delete, path = "/notifications/{id}", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_notification(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.rules.delete_notification(&caller, id("notification", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List when a notification was told
///
/// Newest first; also the times when nothing was sent because another delivery was too recent.
#[utoipa::path(
    get, path = "/notifications/{id}/history", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id"), Window),
    responses((status = 200, description = "The times its filter was met", body = Part<Told>))
)]
pub async fn list_told(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Params(window): Params<Window>,
) -> Result<Json<Part<Told>>> {
    let (id, slice) = (id("notification", &text)?, Window::slice(window.limit, window.offset)?);
    Ok(Json(Part::of(app.rules.notification_history(&caller, Some(id), slice).await?)))
}

/// Get the key of a notification's web hooks
///
/// Each carries `heliograph-signature: t=SECONDS,v1=HEX`: HMAC-SHA256 under this key over `SECONDS.BODY`.
#[utoipa::path(
    get, path = "/notifications/{id}/webhook-secret", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The key", body = WebhookSecret))
)]
pub async fn webhook_secret(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<WebhookSecret>> {
    let secret = app.rules.webhook_secret(&caller, id("notification", &text)?).await?;
    Ok(Json(WebhookSecret { secret }))
}

/// List deliveries
///
/// Mails, web hooks and messages to things: what waits, was sent or was given up. Operators see every tenant's.
#[utoipa::path(
    get, path = "/deliveries", tag = "rules", params(DeliveryQuery),
    responses((status = 200, description = "Deliveries, oldest first", body = Page<Delivery>))
)]
pub async fn list_deliveries(
    State(app): State<App>,
    Auth(caller): Auth,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<Page<Delivery>>> {
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    let channel = match query.channel.as_deref() {
        None => None,
        Some(name) => Some(notify::Channel::parse(name).ok_or_else(|| Failure::input("channel", "is not one of mail, webhook, message"))?),
    };
    let state = query.state.unwrap_or_default().into();
    Ok(Json(Page::of(app.notify.deliveries_by(&caller, state, channel, &page).await?)))
}

/// Retry a delivery that was given up
///
/// It is queued again, due at once.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", tag = "rules", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 202, description = "It is queued"))
)]
pub async fn retry_delivery(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.notify.retry(&caller, id("delivery", &text)?).await?;
    Ok(StatusCode::ACCEPTED)
}
