//! Messages: to a thing (publish), from a thing (collect), and what is stored of both.

use axum::extract::State;
use edge::Payload;
use http::{HeaderMap, HeaderValue};
use model::{Caller, Error, Message, Page, Result};
use things::{MessageFilter, Outgoing};

use crate::auth::{Handle, ThingItself, User, idempotency_key};
use crate::error::{Answer, counted};
use crate::filter::Filter;
use crate::respond::{REPLAYED, ok, with_next};
use crate::wire::{Collected, MessageWire};
use crate::{App, Shared, archive, lists, payload, zipped};

/// Where a message collected over HTTP says it came in.
const CHANNEL: &str = "http:collect";

pub(crate) async fn publish(State(app): Shared, user: User, Handle(handle): Handle, headers: HeaderMap, body: Payload) -> Answer {
    let outgoing =
        Outgoing { payload: payload::json_or_text(&body.0?)?.into(), idempotency_key: idempotency_key(&headers)?, expires: None };
    let sent = match app.things.send(&user.caller, &handle, outgoing).await {
        Ok(sent) => sent,
        Err(error) => return Err(counted(&app, &user.caller, error).await),
    };
    let message = "Message published.";
    let mut response = ok(message, Collected { message, flthingspk: handle, flmessagespk: sent.message.id.uuid() });
    if sent.duplicate {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The thing itself calls, with a token signed by its own key.
pub(crate) async fn collect(State(app): Shared, ThingItself { caller, handle }: ThingItself, headers: HeaderMap, body: Payload) -> Answer {
    let payload = payload::json(&body.0?)?.into();
    let key = idempotency_key(&headers)?;
    let collected = match app.things.collect(&caller, &handle, CHANNEL, payload, key.as_deref()).await {
        Ok(collected) => collected,
        Err(error) => return Err(counted(&app, &caller, error).await),
    };
    let message = "Message collected.";
    Ok(ok(message, Collected { message, flthingspk: handle, flmessagespk: collected.id.uuid() }))
}

pub(crate) async fn list(State(app): Shared, user: User, Handle(handle): Handle, filter: Filter) -> Answer {
    let thing = app.things.thing(&user.caller, &handle).await?;
    let page = stored(&app, &user.caller, &handle, &filter).await?;
    let messages: Vec<_> = page.items.iter().map(|message| MessageWire::new(&thing, message)).collect();
    Ok(with_next(ok("Messages found.", messages), page.next.as_deref()))
}

pub(crate) async fn remove(State(app): Shared, user: User, Handle(handle): Handle, filter: Filter) -> Answer {
    let count = app.things.delete_messages(&user.caller, &handle, &which(&filter)).await?;
    Ok(ok("Messages deleted.", serde_json::json!({ "message": "Messages deleted.", "flthingspk": handle, "count": count })))
}

pub(crate) async fn archive(State(app): Shared, user: User, Handle(handle): Handle, filter: Filter, headers: HeaderMap) -> Answer {
    let thing = app.things.thing(&user.caller, &handle).await?;
    let page = stored(&app, &user.caller, &handle, &filter).await?;
    let name = archive::file_name(&thing, app.identity.clock().now());
    let zip = tokio::task::spawn_blocking(move || archive::archive(&thing, &page.items)).await.map_err(Error::internal)??;
    Ok(with_next(zipped::respond(&zip, &name, zipped::wants_raw(filter.raw, &headers)), page.next.as_deref()))
}

/// Oldest first.
async fn stored(app: &App, caller: &Caller, handle: &str, filter: &Filter) -> Result<Page<Message>> {
    lists::walk(filter, |page| async move { app.things.messages(caller, handle, &which(filter), false, &page).await }).await
}

/// Which messages a query means.
pub(crate) fn which(filter: &Filter) -> MessageFilter {
    MessageFilter { from: filter.from, to: filter.to, direction: filter.direction }
}
