//! Lists of devices, their tags and their states.

use axum::extract::State;
use edge::Payload;
use http::StatusCode;
use serde_json::{Value, json};

use super::wire;
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::filter;
use crate::query::Query;
use crate::reply::{Paging, data, list};

pub(super) async fn devices(State(app): State<App>, asking: Asking, query: Query, payload: Payload) -> Answer {
    let (paging, selector) = (Paging::open(&query)?, filter::of_list(&query, payload)?);
    let found = app.things.devices(&asking, &selector, paging.slice()?).await?;
    Ok(list(paging, found.total, found.items.iter().map(wire::small).collect::<Vec<_>>()))
}

pub(super) async fn tags(State(app): State<App>, asking: Asking) -> Answer {
    let tags = app.things.device_tags(&asking).await?;
    Ok(data(StatusCode::OK, tags.into_iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>()))
}

pub(super) async fn states(State(app): State<App>, asking: Asking, query: Query, payload: Payload) -> Answer {
    let (paging, selector) = (Paging::open(&query)?, filter::of_list(&query, payload)?);
    let found = app.things.states(&asking, &selector, paging.slice()?).await?;
    let rows = found.items.iter().map(|state| {
        let mut row = wire::state(state);
        if let Some(map) = row.as_object_mut() {
            map.insert("deviceId".to_owned(), json!(state.thing));
        }
        row
    });
    Ok(list(paging, found.total, rows.collect::<Vec<Value>>()))
}
