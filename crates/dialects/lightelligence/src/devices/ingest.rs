//! Ingest over HTTP: the same messages that devices publish over MQTT.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use edge::Payload;
use http::StatusCode;
use jiff::Timestamp;
use model::{Error, Object, ThingId, Value};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::topics::{DATA, EVENT};
use crate::wire::body;

/// What both kinds say: which device, and who reports for it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Of {
    device_id: Option<ThingId>,
    alias: Option<String>,
    sender_id: Option<ThingId>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(flatten)]
    of: Of,
    r#type: Section,
    value: Object,
    time: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Section {
    Attributes,
    Configuration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(flatten)]
    of: Of,
    r#type: String,
    value: Option<Value>,
    created_at: Option<Timestamp>,
}

/// The message as a device publishes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<T> {
    device_id: ThingId,
    r#type: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

impl Of {
    /// The device that is meant, and the one that says so: itself, unless another is named.
    async fn resolve(&self, app: &App, asking: &Asking) -> Answer<(ThingId, ThingId)> {
        let device = match (self.device_id, &self.alias) {
            (Some(_), Some(_)) => return Err(Error::invalid("alias", "and deviceId cannot both be given").into()),
            (None, None) => return Err(Error::invalid("deviceId", "or an alias is required").into()),
            (Some(id), None) => app.things.device(asking, &id.to_string()).await?,
            (None, Some(alias)) => app.things.device_by_alias(asking, alias).await?,
        };
        Ok((device.thing.id, self.sender_id.unwrap_or(device.thing.id)))
    }
}

async fn hand_in<T: Serialize>(app: &App, asking: &Asking, sender: ThingId, topic: &str, message: &Message<T>) -> Answer {
    let payload = serde_json::to_vec(message).map_err(Error::internal)?;
    app.things.collect(asking, &sender.to_string(), topic, payload.into(), None).await?;
    Ok(accepted())
}

fn accepted() -> Response {
    StatusCode::ACCEPTED.into_response()
}

/// `POST /data-ingest`.
pub(super) async fn data(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let said: Data = body(payload)?;
    let (device, sender) = said.of.resolve(&app, &asking).await?;
    let value = Some(Value::Object(said.value));
    let message = Message { device_id: device, r#type: said.r#type, value, time: said.time, created_at: None };
    hand_in(&app, &asking, sender, DATA, &message).await
}

/// `POST /event-ingest`.
pub(super) async fn event(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let said: Event = body(payload)?;
    let (device, sender) = said.of.resolve(&app, &asking).await?;
    let message = Message { device_id: device, r#type: said.r#type, value: said.value, time: None, created_at: said.created_at };
    hand_in(&app, &asking, sender, EVENT, &message).await
}
