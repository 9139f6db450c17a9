//! Actions: to one device, or to all that a filter chooses.

use axum::extract::{Path, State};
use edge::Payload;
use http::StatusCode;
use model::Object;
use serde::Deserialize;
use serde_json::{Value, json};
use things::Action;

use super::Place;
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::filter::DeviceFilter;
use crate::reply::{data, nothing};
use crate::wire::body;

/// Unknown names beside these are read past, as the platform did.
#[derive(Debug, Deserialize)]
struct One {
    action: String,
    payload: Object,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Many {
    action: String,
    payload: Object,
    device_filter: DeviceFilter,
}

pub(super) async fn one(State(app): State<App>, asking: Asking, Path(place): Path<Place>, payload: Payload) -> Answer {
    let (id, asked) = (place.device()?, body::<One>(payload)?);
    let action = Action { name: asked.action, payload: Value::Object(asked.payload) };
    let id = app.things.act(&asking, &id, &action).await?;
    Ok(data(StatusCode::ACCEPTED, json!({ "actionId": id })))
}

pub(super) async fn many(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let asked: Many = body(payload)?;
    let action = Action { name: asked.action, payload: Value::Object(asked.payload) };
    app.things.act_all(&asking, &asked.device_filter.selector()?, &action).await?;
    Ok(nothing())
}
