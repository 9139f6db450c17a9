//! What anybody may ask: health and time (contract 1.1).

use axum::extract::State;
use http::StatusCode;
use serde_json::json;

use crate::Shared;
use crate::error::Answer;
use crate::respond::json as write;

pub(crate) async fn health(State(app): Shared) -> Answer {
    let now = app.identity.clock().now().to_string();
    let body = json!({
        "kind": "healthcheck", "isHealthy": true, "currentSetting": "prod", "name": "iot-dashboard",
        "build": app.version, "revision": app.version, "date": now, "items": [],
    });
    Ok(write(StatusCode::OK, &body))
}

pub(crate) async fn time(State(app): Shared) -> Answer {
    Ok(write(StatusCode::OK, &json!({ "actualTime": app.identity.clock().now().strftime("%Y-%m-%d %H:%M:%S").to_string() })))
}
