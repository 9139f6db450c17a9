//! Streaming: an address for a WebSocket, good for 15 seconds; over it goes what devices report, from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use edge::{Payload, TextSocket, WebSocketUpgrade};
use http::{HeaderMap, StatusCode};
use identity::ExposeSecret as _;
use jiff::{SignedDuration, Timestamp};
use model::{Caller, Denial, Error, FactKind, Object, Result, Selector, ThingId, Value};
use serde::Deserialize;
use serde_json::json;
use things::{LiveReadings, Reading};

use crate::App;
use crate::asking::Asking;
use crate::error::{Answer, Refusal};
use crate::filter::DeviceFilter;
use crate::reply::data;
use crate::wire::body;

/// How long an address may be used to connect.
const VALID: SignedDuration = SignedDuration::from_secs(15);
/// Addresses asked for and neither used up nor over; above that nobody gets one.
const MOST: usize = 10_000;
/// Clients are not expected to say anything.
const MESSAGE_MAX: usize = 4 * 1024;

const UNKNOWN: Error = Error::Forbidden(Denial::Rule("token is invalid."));

/// Addresses handed out.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors(Arc<Mutex<HashMap<String, Door>>>);

#[derive(Clone, Debug)]
struct Door {
    /// Whose it is, asked anew before each message: rights end while a stream runs.
    token: String,
    until: Timestamp,
    wanted: Arc<Wanted>,
}

/// What a stream shows.
#[derive(Debug, Default)]
struct Wanted {
    attributes: bool,
    configuration: bool,
    events: bool,
    devices: Selector,
    attribute_paths: Vec<String>,
    configuration_paths: Vec<String>,
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    r#type: Kind,
    filter: Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Live,
    Buffered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Update {
    #[serde(rename = "attributeUpdate")]
    Attribute,
    #[serde(rename = "configurationUpdate")]
    Configuration,
    #[serde(rename = "eventUpdate")]
    Event,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Paths {
    attributes: Option<Vec<String>>,
    configurations: Option<Vec<String>>,
}

impl Wanted {
    /// Takes the filter's own names out; the rest says which devices.
    fn read(mut filter: Object) -> Answer<Self> {
        fn part<T: serde::de::DeserializeOwned>(filter: &mut Object, name: &str) -> Answer<Option<T>> {
            let given = filter.remove(name).map(serde_json::from_value).transpose();
            given.map_err(|error| Refusal::body(format!("filter.{name}"), error.to_string()))
        }
        fn full<T>(name: &'static str, list: Option<Vec<T>>) -> Result<Vec<T>> {
            match list {
                Some(list) if list.is_empty() || list.len() > Selector::MAX => Err(Error::invalid(name, "must hold 1 to 1,000 values")),
                list => Ok(list.unwrap_or_default()),
            }
        }
        let types: Vec<Update> = part(&mut filter, "type")?.ok_or_else(|| Error::invalid("filter.type", "is required"))?;
        let types = full("filter.type", Some(types))?;
        let paths: Paths = part(&mut filter, "path")?.unwrap_or_default();
        let names = full("filter.event", part(&mut filter, "event")?)?;
        let devices: DeviceFilter =
            serde_json::from_value(Value::Object(filter)).map_err(|error| Refusal::body("filter".to_owned(), error.to_string()))?;
        let devices = devices.over(Selector::default())?;
        devices.check()?;
        Ok(Self {
            attributes: types.contains(&Update::Attribute),
            configuration: types.contains(&Update::Configuration),
            events: types.contains(&Update::Event),
            devices,
            attribute_paths: full("filter.path.attributes", paths.attributes)?,
            configuration_paths: full("filter.path.configurations", paths.configurations)?,
            names,
        })
    }

    /// What of a reading is to be told, before anybody asked which devices.
    fn frames(&self, reading: &Reading) -> Vec<(ThingId, Value)> {
        let when = |thing: ThingId| reading.facts.iter().find(|fact| fact.thing == thing).map(|fact| fact.at);
        let heard = reading.heard.first().map(|heard| heard.at);
        let mut frames = Vec::new();
        for part in &reading.reported {
            let (wanted, paths, kind) = if part.configuration {
                (self.configuration, &self.configuration_paths, "configurationUpdate")
            } else {
                (self.attributes, &self.attribute_paths, "attributeUpdate")
            };
            if wanted && (paths.is_empty() || paths.iter().any(|path| holds(&part.values, path))) {
                let time = when(part.thing).or(heard);
                frames
                    .push((part.thing, json!({ "type": kind, "payload": { "deviceId": part.thing, "time": time, "value": part.values } })));
            }
        }
        for fact in &reading.facts {
            if let FactKind::Event(event) = &fact.kind
                && self.events
                && (self.names.is_empty() || self.names.contains(&event.name))
            {
                let mut payload = json!({ "deviceId": fact.thing, "type": event.name, "time": fact.at });
                if let Some(map) = payload.as_object_mut().filter(|_| !event.value.is_null()) {
                    map.insert("value".to_owned(), event.value.clone());
                }
                frames.push((fact.thing, json!({ "type": "eventUpdate", "payload": payload })));
            }
        }
        frames
    }
}

/// Is there a value at `$.light.intensity`?
fn holds(values: &Object, path: &str) -> bool {
    let mut steps = path.strip_prefix("$.").unwrap_or(path).split('.');
    let mut at = steps.next().and_then(|step| values.get(step));
    for step in steps {
        at = at.and_then(|value| value.get(step));
    }
    at.is_some()
}

/// `POST /devices/streaming-connections`.
pub(super) async fn open(
    State(app): State<App>,
    Extension(doors): Extension<Doors>,
    asking: Asking,
    headers: HeaderMap,
    payload: Payload,
) -> Answer {
    let asked: Body = body(payload)?;
    if asked.r#type == Kind::Buffered {
        return Err(Error::invalid("type", "must be live; buffered streams are not offered").into());
    }
    let wanted = Arc::new(Wanted::read(asked.filter)?);
    // Refuses who may not, while there is somebody to tell.
    drop(app.things.live_readings(&asking)?);
    let token = edge::bearer(&headers).ok_or(UNKNOWN)?.to_owned();
    let now = app.identity.clock().now();
    let until = now + VALID;
    let name: String =
        identity::hash_secret(identity::random_secret("").expose_secret()).iter().map(|byte| format!("{byte:02x}")).collect();
    {
        let mut open = doors.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, door| door.until > now);
        if open.len() >= MOST {
            return Err(Error::unavailable("too many streaming connections are about to open").into());
        }
        open.insert(name.clone(), Door { token, until, wanted });
    }
    let url = app.identity.public_url();
    let url = url.strip_prefix("http").map_or_else(|| url.clone(), |rest| format!("ws{rest}"));
    Ok(data(StatusCode::OK, json!({ "url": format!("{url}/v1/devices/streaming-connections/{name}/ws/live"), "validUntil": until })))
}

/// The address without a type, as older clients know it.
pub(super) async fn untyped(
    State(app): State<App>,
    Extension(doors): Extension<Doors>,
    Path(token): Path<String>,
    request: Request,
) -> Answer {
    connect(app, &doors, &token, request).await
}

/// `GET /devices/streaming-connections/{token}/ws/{type}`.
pub(super) async fn typed(
    State(app): State<App>,
    Extension(doors): Extension<Doors>,
    Path((token, kind)): Path<(String, String)>,
    request: Request,
) -> Answer {
    if kind != "live" {
        return Err(UNKNOWN.into());
    }
    connect(app, &doors, &token, request).await
}

async fn connect(app: App, doors: &Doors, token: &str, request: Request) -> Answer {
    let now = app.identity.clock().now();
    let door = doors.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).filter(|door| door.until > now).cloned();
    let door = door.ok_or(UNKNOWN)?;
    let caller = app.identity.verify(&door.token, app.realm).await.map_err(|_| UNKNOWN)?;
    // From here on nothing is missed.
    let readings = app.things.live_readings(&caller)?;
    match WebSocketUpgrade::accept(request, "", MESSAGE_MAX) {
        Ok((response, upgrade)) => {
            tokio::spawn(async move {
                match upgrade.texts().await {
                    Ok(socket) => talk(app, door, caller, readings, socket).await,
                    Err(error) => tracing::debug!(%error, "a WebSocket did not open"),
                }
            });
            Ok(response)
        }
        Err(refusal) => Ok::<Response, Refusal>(refusal.into_response()),
    }
}

async fn talk(app: App, door: Door, caller: Caller, mut readings: LiveReadings, socket: TextSocket) {
    let (mut sink, mut source) = socket.split();
    loop {
        let reading = tokio::select! {
            reading = readings.next() => reading,
            said = source.next() => match said {
                Some(_) => continue,
                None => return,
            },
        };
        let reading = match reading {
            Some(Ok(reading)) => reading,
            // Whoever reads too slowly comes again: a gap must be seen.
            Some(Err(_)) => return sink.close(1013, "messages were missed").await,
            None => return sink.close(1001, "the gateway stops").await,
        };
        let frames = door.wanted.frames(&reading);
        if frames.is_empty() {
            continue;
        }
        let still = app.identity.verify(&door.token, app.realm).await;
        if !still.is_ok_and(|now| now.tenant == caller.tenant && app.things.live_readings(&now).is_ok()) {
            return sink.close(1008, "the token is over").await;
        }
        for (thing, frame) in frames {
            if !door.wanted.devices.is_empty() {
                let subjects = app.things.subjects(caller.tenant, &[thing]).await.unwrap_or_default();
                if !subjects.iter().any(|subject| door.wanted.devices.matches(&subject.view())) {
                    continue;
                }
            }
            if sink.send(frame.to_string()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filter: Value) -> Answer<Wanted> {
        Wanted::read(filter.as_object().unwrap().clone())
    }

    #[test]
    fn a_filter_says_what_and_of_which_devices() {
        let wanted = read(json!({ "type": ["eventUpdate"], "deviceTypeCategory": ["io:x"], "event": ["done"], "tag": ["a"] })).unwrap();
        assert!(wanted.events && !wanted.attributes && !wanted.configuration);
        assert_eq!(
            (wanted.names, wanted.devices.categories, wanted.devices.tags),
            (vec!["done".into()], vec!["io:x".into()], vec!["a".into()])
        );
        for wrong in [
            json!({}),
            json!({ "type": [] }),
            json!({ "type": "eventUpdate" }),
            json!({ "type": ["update"] }),
            json!({ "type": ["eventUpdate"], "event": [] }),
            json!({ "type": ["eventUpdate"], "devices": ["a"] }),
            json!({ "type": ["eventUpdate"], "path": { "events": ["$.a"] } }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_looks_into_values() {
        let values = json!({ "light": { "intensity": 27 } }).as_object().unwrap().clone();
        assert!(holds(&values, "$.light.intensity") && holds(&values, "$.light") && holds(&values, "light"));
        assert!(!holds(&values, "$.light.color") && !holds(&values, "$.intensity") && !holds(&values, "$.light.intensity.x"));
    }
}
