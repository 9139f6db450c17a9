//! What is known of a device: state, last events, diagnostics.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use model::{Error, Event, Timestamp};
use serde_json::{Value, json};

use super::{Place, wire};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{Paging, data, list};

pub(super) async fn state(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    let found = app.things.state_of_device(&asking, &place.device()?).await?;
    Ok(data(StatusCode::OK, wire::state(&found)))
}

/// Names of events out of the query.
fn names(query: &Query) -> Answer<Vec<String>> {
    let names = query.list(&["eventTypes", "eventType"])?;
    let good = |name: &&str| name.len() <= 255 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !names.iter().all(good) {
        return Err(Error::invalid("eventTypes", "must be letters, digits and underscores").into());
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

async fn found(app: &App, asking: &Asking, place: &Place, query: &Query) -> Answer<Vec<Value>> {
    let (device, names) = (place.device()?, names(query)?);
    let events = app.things.last_events(asking, &device, &names).await?;
    Ok(events.iter().map(|(at, event)| written(&device, *at, event)).collect())
}

fn written(device: &str, at: Timestamp, event: &Event) -> Value {
    let mut out = json!({ "id": event.id, "type": event.name, "createdAt": at, "deviceId": device });
    if let Some(map) = out.as_object_mut().filter(|_| !event.value.is_null()) {
        map.insert("value".to_owned(), event.value.clone());
    }
    out
}

pub(super) async fn last_events(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer {
    Ok(data(StatusCode::OK, found(&app, &asking, &place, &query).await?))
}

/// The same in pages, as the platform's older clients ask for it.
pub(super) async fn events(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer<Response> {
    let paging = Paging::open(&query)?;
    let (total, rows) = paging.cut(found(&app, &asking, &place, &query).await?);
    Ok(list(paging, total, rows))
}

pub(super) async fn last_diagnostics(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    let found = app.things.last_diagnostics(&asking, &place.device()?).await?;
    let rows = found.iter().map(|one| json!({ "deviceId": one.thing, "tenantId": one.tenant, "message": one.text, "time": one.at }));
    Ok(data(StatusCode::OK, rows.collect::<Vec<_>>()))
}
