//! Online monitoring: after how much silence a device counts as offline.

use axum::extract::{Path, State};
use edge::Payload;
use http::StatusCode;
use model::Error;
use serde::Deserialize;
use serde_json::json;
use things::{DeviceChange, TypeChange};

use super::{Place, types};
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::reply::data;
use crate::wire::{Patch, body};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(default)]
    communication_interval: Patch<u32>,
}

fn answer(seconds: Option<u32>) -> Answer {
    Ok(data(StatusCode::OK, json!({ "communicationInterval": seconds })))
}

/// The interval asked for; null has to be said.
fn wanted(payload: Payload) -> Answer<Option<u32>> {
    let missing = || Error::invalid("communicationInterval", "is required");
    Ok(body::<Body>(payload)?.communication_interval.change().ok_or_else(missing)?)
}

pub(super) async fn of_type(State(app): State<App>, asking: Asking, Path(id): Path<String>) -> Answer {
    answer(app.things.thing_type(&asking, types::type_id(&id)?).await?.communication_interval)
}

pub(super) async fn change_type(State(app): State<App>, asking: Asking, Path(id): Path<String>, payload: Payload) -> Answer {
    let (id, seconds) = (types::type_id(&id)?, wanted(payload)?);
    let change = TypeChange { communication_interval: Some(seconds), ..TypeChange::default() };
    answer(app.things.update_type(&asking, id, change).await?.communication_interval)
}

pub(super) async fn of_device(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    answer(app.things.device(&asking, &place.device()?).await?.twin.communication_interval)
}

pub(super) async fn change_device(State(app): State<App>, asking: Asking, Path(place): Path<Place>, payload: Payload) -> Answer {
    let (id, seconds) = (place.device()?, wanted(payload)?);
    let change = DeviceChange { communication_interval: Some(seconds), ..DeviceChange::default() };
    answer(app.things.update_device(&asking, &id, change).await?.twin.communication_interval)
}
