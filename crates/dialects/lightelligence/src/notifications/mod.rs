//! Notifications: whom to tell by mail, of which events of which devices.

mod wire;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use edge::Payload;
use http::StatusCode;
use model::{Error, Listed, NotificationHistory, NotificationId, Slice};

use crate::App;
use crate::asking::Asking;
use crate::error::{Answer, Service};
use crate::filter::ids;
use crate::query::Query;
use crate::reply::{Paging, data, list as paged, nothing};
use crate::wire::{body, id};

/// Rows of a page.
const PAGE: u64 = 100;
/// Notifications whose histories are shown together.
const TOGETHER: usize = 20;

pub(crate) fn router() -> Router<App> {
    let list = get(list).post(create);
    let each = get(one).put(replace).patch(change).delete(remove);
    let history = get(history);
    let routes = Router::new()
        .route("/v1/notifications", list.clone())
        .route("/v1/notifications/", list)
        .route("/v1/notifications/history", history.clone())
        .route("/v1/notifications/history/", history)
        .route("/v1/notifications/{notificationId}", each.clone())
        .route("/v1/notifications/{notificationId}/", each);
    Service::Notifications.over(routes)
}

fn named(text: &str) -> model::Result<NotificationId> {
    id("notificationId", text)
}

async fn list(State(app): State<App>, asking: Asking, query: Query) -> Answer {
    let paging = Paging::read(&query, PAGE)?;
    let found = app.rules.notifications(&asking, paging.slice()?).await?;
    Ok(paged(paging, found.total, found.items.iter().map(wire::notification).collect::<Vec<_>>()))
}

/// Answers 200, not 201: so the platform.
async fn create(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let draft = body::<wire::Body>(payload)?.create()?;
    let made = app.rules.create_notification(&asking, draft).await?;
    Ok(data(StatusCode::OK, wire::notification(&made)))
}

async fn one(State(app): State<App>, asking: Asking, Path(id): Path<String>) -> Answer {
    let found = app.rules.notification(&asking, named(&id)?).await?;
    Ok(data(StatusCode::OK, wire::notification(&found)))
}

async fn replace(State(app): State<App>, asking: Asking, Path(id): Path<String>, payload: Payload) -> Answer {
    let (id, mut draft) = (named(&id)?, body::<wire::Body>(payload)?.replace()?);
    // Channels that this face has no words for stay as they are.
    draft.channels = app.rules.notification(&asking, id).await?.channels;
    app.rules.replace_notification(&asking, id, draft).await?;
    Ok(nothing())
}

async fn change(State(app): State<App>, asking: Asking, Path(id): Path<String>, payload: Payload) -> Answer {
    let (id, asked) = (named(&id)?, body::<wire::Body>(payload)?);
    let present = app.rules.notification(&asking, id).await?;
    app.rules.patch_notification(&asking, id, asked.change(&present.filter.selector)?).await?;
    Ok(nothing())
}

async fn remove(State(app): State<App>, asking: Asking, Path(id): Path<String>) -> Answer {
    app.rules.delete_notification(&asking, named(&id)?).await?;
    Ok(nothing())
}

async fn history(State(app): State<App>, asking: Asking, query: Query) -> Answer {
    let (paging, wanted) = (Paging::read(&query, PAGE)?, ids::<NotificationId>(&query, &["notificationId"])?);
    let found = match wanted.as_slice() {
        [] => app.rules.notification_history(&asking, None, paging.slice()?).await?,
        [one] => known(app.rules.notification_history(&asking, Some(*one), paging.slice()?).await)?,
        several => together(&app, &asking, several, paging).await?,
    };
    Ok(paged(paging, found.total, found.items.iter().map(wire::line).collect::<Vec<_>>()))
}

/// A filter that chooses nothing gives an empty list.
fn known(found: model::Result<Listed<NotificationHistory>>) -> model::Result<Listed<NotificationHistory>> {
    match found {
        Err(Error::NotFound { .. }) => Ok(Listed { items: Vec::new(), total: 0 }),
        other => other,
    }
}

/// The histories of several, newest first.
async fn together(app: &App, asking: &Asking, several: &[NotificationId], paging: Paging) -> Answer<Listed<NotificationHistory>> {
    let mut several = several.to_vec();
    several.sort_unstable();
    several.dedup();
    if several.len() > TOGETHER {
        return Err(Error::invalid("notificationId", format!("names more than {TOGETHER} notifications")).into());
    }
    let upto = u32::try_from(paging.offset().saturating_add(paging.size)).ok().filter(|n| *n <= Slice::MAX);
    let limit = upto.ok_or_else(|| Error::invalid("page", "is too far for several notifications; ask for one of them"))?;
    let (mut items, mut total) = (Vec::new(), 0);
    for one in several {
        let found = known(app.rules.notification_history(asking, Some(one), Slice { offset: 0, limit }).await)?;
        total += found.total;
        items.extend(found.items);
    }
    items.sort_by_key(|line| std::cmp::Reverse((line.at, line.id)));
    let (_, items) = paging.cut(items);
    Ok(Listed { items, total })
}
