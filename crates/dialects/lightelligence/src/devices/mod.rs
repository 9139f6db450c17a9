//! Device types, devices, certificates, events, ingest, series.

mod actions;
mod certificates;
mod ingest;
mod lists;
mod monitoring;
mod reports;
mod series;
mod streaming;
mod types;
mod wire;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, delete, get, post};
use edge::Payload;
use http::StatusCode;
use model::ThingId;
use serde::Deserialize;

use crate::App;
use crate::asking::Asking;
use crate::error::{Answer, Service};
use crate::reply::{data, nothing};

/// The ids in a path.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    #[serde(rename = "deviceId")]
    device: String,
    #[serde(rename = "certId")]
    certificate: Option<String>,
}

impl Place {
    /// The device: by its id only, as its other names could be another one's id.
    fn device(&self) -> model::Result<String> {
        crate::wire::id::<ThingId>("deviceId", &self.device).map(|id| id.to_string())
    }
}

/// Paths below `/v1`, with and without a slash at the end: some of the platform's clients write one.
fn routes<const N: usize>(service: Service, list: [(&str, MethodRouter<App>); N]) -> Router<App> {
    service.over(list.into_iter().fold(Router::new(), |router, (path, methods)| {
        router.route(&format!("/v1{path}"), methods.clone()).route(&format!("/v1{path}/"), methods)
    }))
}

pub(crate) fn router() -> Router<App> {
    routes(
        Service::Devices,
        [
            ("/device-types", get(types::list).post(types::create)),
            ("/device-types/categories", get(types::categories)),
            ("/device-types/{deviceTypeId}", get(types::one).patch(types::change).delete(types::remove)),
            ("/devices", get(lists::devices).post(create)),
            ("/devices/tags", get(lists::tags)),
            ("/devices/{deviceId}", get(one).patch(change).delete(remove)),
            ("/devices/actions", post(actions::many)),
            ("/devices/{deviceId}/actions", post(actions::one)),
            ("/devices/{deviceId}/last-events", get(reports::last_events)),
            ("/devices/{deviceId}/events", get(reports::events)),
            ("/event-ingest", post(ingest::event)),
        ],
    )
    .merge(routes(
        Service::Monitoring,
        [
            ("/device-types/{deviceTypeId}/onlinemonitoring", get(monitoring::of_type).patch(monitoring::change_type)),
            ("/devices/{deviceId}/onlinemonitoring", get(monitoring::of_device).patch(monitoring::change_device)),
        ],
    ))
    .merge(routes(Service::State, [("/devices/states", get(lists::states)), ("/devices/{deviceId}/state", get(reports::state))]))
    .merge(routes(
        Service::Certificates,
        [
            ("/devices/{deviceId}/certificates", get(certificates::list).post(certificates::create)),
            ("/devices/{deviceId}/certificates/{certId}", get(certificates::one).patch(certificates::change).delete(certificates::remove)),
        ],
    ))
    .merge(routes(Service::Diagnostics, [("/devices/{deviceId}/last-diagnostics", get(reports::last_diagnostics))]))
    .merge(routes(
        Service::Series,
        [("/devices/{deviceId}/last-timeseries", get(series::last)), ("/devices/{deviceId}/timeseries", delete(series::remove))],
    ))
    .merge(routes(Service::Aggregated, [("/devices/{deviceId}/aggregated-timeseries", get(series::aggregated))]))
    .merge(routes(Service::Ingest, [("/data-ingest", post(ingest::data))]))
    .merge(
        routes(
            Service::Streaming,
            [
                ("/devices/streaming-connections", post(streaming::open)),
                ("/devices/streaming-connections/{token}/ws", get(streaming::untyped)),
                ("/devices/streaming-connections/{token}/ws/{type}", get(streaming::typed)),
            ],
        )
        .layer(axum::Extension(streaming::Doors::default())),
    )
}

async fn create(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let new = crate::wire::body::<wire::Body>(payload)?.create()?;
    let made = app.things.create_device(&asking, new).await?;
    Ok(data(StatusCode::CREATED, wire::device(&made)))
}

async fn one(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    let found = app.things.device(&asking, &place.device()?).await?;
    Ok(data(StatusCode::OK, wire::device(&found)))
}

async fn change(State(app): State<App>, asking: Asking, Path(place): Path<Place>, payload: Payload) -> Answer {
    let id = place.device()?;
    let body = crate::wire::body::<wire::Body>(payload)?;
    let present = app.things.device(&asking, &id).await?;
    let changed = app.things.update_device(&asking, &id, body.change(&present.twin)?).await?;
    Ok(data(StatusCode::OK, wire::device(&changed)))
}

async fn remove(State(app): State<App>, asking: Asking, Path(place): Path<Place>) -> Answer {
    app.things.deprovision(&asking, &place.device()?).await?;
    Ok(nothing())
}
