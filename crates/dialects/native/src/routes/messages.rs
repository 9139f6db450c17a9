//! History, sending, inboxes.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use things::{MessageFilter, Outgoing};

use super::Created;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{
    Burial, Deleted, DurabilityChange, Message, MessageQuery, NewMessage, Order, Page, Paging, RangeQuery, Redelivery, TenantDurability,
};
use crate::{App, Failure};

/// List a thing's messages
///
/// Both directions, newest first unless asked otherwise. `from` and `to` are inclusive.
#[utoipa::path(
    get, path = "/things/{thing}/messages", tag = "messages", params(("thing" = String, Path, description = "Its key or id"), MessageQuery),
    responses((status = 200, description = "Messages by time", body = Page<Message>))
)]
pub async fn list_messages(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Params(query): Params<MessageQuery>,
) -> Result<Json<Page<Message>>> {
    let filter = MessageFilter { from: query.from.map(|m| m.0), to: query.to.map(|m| m.0), direction: query.direction };
    let newest_first = query.order.unwrap_or_default() == Order::Desc;
    let page = Paging { limit: query.limit, cursor: query.cursor }.request()?;
    Ok(Json(Page::of(app.things.messages(&caller, &handle, &filter, newest_first, &page).await?)))
}

/// Get a message
#[utoipa::path(
    get, path = "/things/{thing}/messages/{id}", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    responses((status = 200, description = "The message", body = Message))
)]
pub async fn get_message(State(app): State<App>, Auth(caller): Auth, At((handle, text)): At<(String, String)>) -> Result<Json<Message>> {
    Ok(Json(app.things.queued(&caller, &handle, id("message", &text)?).await?.into()))
}

/// Send a message
///
/// It is on disk and in the thing's inbox when the answer comes; the thing receives it when it connects. With an
/// `Idempotency-Key` a repeated call within 24 hours sends once and is answered with the first message.
#[utoipa::path(
    post, path = "/things/{thing}/messages", tag = "messages",
    params(
        ("thing" = String, Path, description = "Its key or id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters of the client's choosing")
    ),
    request_body = NewMessage,
    responses((status = 201, description = "The message", body = Message, headers(
        ("Location" = String, description = "Where it lies"),
        ("Idempotency-Replayed" = Option<String>, description = "`true` when it was sent before under this key")
    )))
)]
pub async fn send_message(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    headers: HeaderMap,
    Body(new): Body<NewMessage>,
) -> Result<Response> {
    let idempotency_key = idempotency_key(&headers)?;
    let payload = new.bytes()?;
    let expires = new.expires(app.identity.clock().now())?;
    let outgoing = Outgoing { payload: payload.clone(), idempotency_key, expires };
    let priority = new.priority.unwrap_or(things::NORMAL_PRIORITY);
    let sent = app.things.send_at(&caller, &handle, outgoing, priority).await?;
    if sent.duplicate && sent.message.payload != payload {
        let reason = "the key was used for another payload within the last 24 hours";
        return Err(model::Error::conflict("Idempotency-Key", reason).into());
    }
    let id = sent.message.id.to_string();
    // Of one that was sent before, nobody has looked up the priority it had.
    let told = Message { priority: (!sent.duplicate).then_some(priority), ..sent.message.into() };
    let mut response = Created::at(["things", &handle, "messages", &id], told).into_response();
    if sent.duplicate {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    const NAME: &str = "idempotency-key";
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|t| (1..=255).contains(&t.len()) && values.next().is_none());
    text.map(|t| Some(t.to_owned())).ok_or_else(|| Failure::input("Idempotency-Key", "is 1 to 255 visible characters, once"))
}

/// Delete a thing's messages
///
/// All, or those in a range of time and of one direction. Undelivered ones leave the inbox too.
#[utoipa::path(
    delete, path = "/things/{thing}/messages", tag = "messages", params(("thing" = String, Path, description = "Its key or id"), RangeQuery),
    responses((status = 200, description = "How many are gone", body = Deleted))
)]
pub async fn delete_messages(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Params(range): Params<RangeQuery>,
) -> Result<Json<Deleted>> {
    let filter = MessageFilter { from: range.from.map(|m| m.0), to: range.to.map(|m| m.0), direction: range.direction };
    Ok(Json(Deleted { deleted: app.things.delete_messages(&caller, &handle, &filter).await? }))
}

/// List a thing's inbox
///
/// What it has not acknowledged yet, in the order it will receive it.
#[utoipa::path(
    get, path = "/things/{thing}/inbox", tag = "messages", params(("thing" = String, Path, description = "Its key or id"), Paging),
    responses((status = 200, description = "Waiting messages, by priority, then oldest first", body = Page<Message>))
)]
pub async fn list_inbox(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<Message>>> {
    Ok(Json(Page::of(app.things.queue(&caller, &handle, &paging.request()?).await?)))
}

/// Remove a message from a thing's inbox
///
/// The thing will not receive it; it stays in the history.
#[utoipa::path(
    delete, path = "/things/{thing}/inbox/{id}", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    responses((status = 204, description = "It is out of the inbox"))
)]
pub async fn remove_from_inbox(State(app): State<App>, Auth(caller): Auth, At((handle, text)): At<(String, String)>) -> Result<StatusCode> {
    app.things.inbox_remove(&caller, &handle, id("message", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Expire a message
///
/// Its time is over now: the thing will not receive it. It stays in the history as `expired`.
#[utoipa::path(
    post, path = "/things/{thing}/inbox/{id}/expire", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    responses((status = 204, description = "Its time is over"))
)]
pub async fn expire_message(State(app): State<App>, Auth(caller): Auth, At((handle, text)): At<(String, String)>) -> Result<StatusCode> {
    app.things.expire_message(&caller, &handle, id("message", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a message aside
///
/// Out of the inbox, among the thing's dead letters: it is not delivered and does not expire until somebody decides.
#[utoipa::path(
    post, path = "/things/{thing}/inbox/{id}/bury", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    request_body = Burial, responses((status = 204, description = "It is a dead letter"))
)]
pub async fn bury_message(
    State(app): State<App>,
    Auth(caller): Auth,
    At((handle, text)): At<(String, String)>,
    Body(burial): Body<Burial>,
) -> Result<StatusCode> {
    app.things.bury(&caller, &handle, id("message", &text)?, &burial.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a message once more
///
/// Any message that was sent to the thing: waiting, delivered, expired or dead. A copy with an id of its own goes to the end of its
/// priority, or with `first` before everything; the original leaves the inbox or the dead letters. Its expiry begins anew.
#[utoipa::path(
    post, path = "/things/{thing}/messages/{id}/redeliver", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    request_body = Redelivery,
    responses((status = 201, description = "The copy", body = Message, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn redeliver_message(
    State(app): State<App>,
    Auth(caller): Auth,
    At((handle, text)): At<(String, String)>,
    Body(how): Body<Redelivery>,
) -> Result<Created<Message>> {
    let copy = app.things.redeliver(&caller, &handle, id("message", &text)?, how.first).await?;
    let at = copy.message.id.to_string();
    Ok(Created::at(["things", &handle, "messages", &at], copy.into()))
}

/// List a thing's dead letters
///
/// What it refused, what could not be delivered, and what was taken aside, each with the reason; oldest first.
#[utoipa::path(
    get, path = "/things/{thing}/dead-letters", tag = "messages", params(("thing" = String, Path, description = "Its key or id"), Paging),
    responses((status = 200, description = "Dead letters", body = Page<Message>))
)]
pub async fn list_dead_letters(
    State(app): State<App>,
    Auth(caller): Auth,
    At(handle): At<String>,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<Message>>> {
    Ok(Json(Page::of(app.things.dead_letters(&caller, &handle, &paging.request()?).await?)))
}

/// Delete a dead letter
///
/// It will not be delivered; it stays in the history as long as the plan keeps messages.
#[utoipa::path(
    delete, path = "/things/{thing}/dead-letters/{id}", tag = "messages",
    params(("thing" = String, Path, description = "Its key or id"), ("id" = uuid::Uuid, Path, description = "The message's id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_dead_letter(
    State(app): State<App>,
    Auth(caller): Auth,
    At((handle, text)): At<(String, String)>,
) -> Result<StatusCode> {
    app.things.delete_dead_letter(&caller, &handle, id("message", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get how safely a tenant's messages are kept
#[utoipa::path(
    get, path = "/tenants/{id}/durability", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "Its level", body = crate::wire::TenantDurability))
)]
pub async fn get_durability(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<Json<TenantDurability>> {
    let own = app.things.durability(&caller, id("tenant", &text)?).await?;
    Ok(Json(told(&app, own)))
}

/// Set how safely a tenant's messages are kept
///
/// Operators only. `sync`: on disk before the acknowledgement; `flush`: with the operating system; `memory`: at once. It goes before the
/// level of the listener and of the gateway, from the next message on.
#[utoipa::path(
    put, path = "/tenants/{id}/durability", tag = "tenants", params(("id" = uuid::Uuid, Path, description = "Its id")),
    request_body = DurabilityChange, responses((status = 200, description = "Its level", body = crate::wire::TenantDurability))
)]
pub async fn set_durability(
    State(app): State<App>,
    Auth(caller): Auth,
    At(text): At<String>,
    Body(change): Body<DurabilityChange>,
) -> Result<Json<TenantDurability>> {
    let level = match change.level.as_deref() {
        None => None,
        Some(word) => {
            Some(things::durability_named(word).ok_or_else(|| Failure::input("level", "is one of sync, flush, memory, or null"))?)
        }
    };
    app.things.set_durability(&caller, id("tenant", &text)?, level).await?;
    Ok(Json(told(&app, level)))
}

fn told(app: &App, own: Option<things::Durability>) -> TenantDurability {
    let effective = own.unwrap_or_else(|| app.things.default_durability());
    TenantDurability { level: own.map(things::durability_name), effective: things::durability_name(effective) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_one_short_text() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.parse().unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&["abc"]), Ok(Some("abc".into())));
        assert!(with(&[""]).is_err() && with(&["a", "b"]).is_err() && with(&[&"x".repeat(256)]).is_err());
    }
}
