//! Devices as JSON, and what a body asks for.

use jiff::Timestamp;
use model::{Coordinates, Error, Object, Result, State, ThingId, ThingTypeId, Twin};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use things::{Device, DeviceChange, NewDevice};

use crate::wire::Patch;

/// What POST and PATCH take. What the platform writes itself (`id`, `creationTimestamp`) and unknown names are read past.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    info: Option<Info>,
    configuration: Option<Object>,
    custom: Patch<Object>,
    /// An older place of `info.tags`.
    tags: Patch<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    name: Option<String>,
    device_type_id: Option<ThingTypeId>,
    description: Patch<String>,
    installation_timestamp: Patch<Timestamp>,
    tags: Patch<Vec<String>>,
    connected_by: Patch<ThingId>,
    location: Patch<String>,
    aliases: Patch<Vec<String>>,
    coordinates: Patch<Place>,
    communication_interval: Patch<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    x: Patch<f64>,
    y: Patch<f64>,
    z: Patch<f64>,
}

impl Place {
    fn over(self, old: Coordinates) -> Coordinates {
        let put = |patch: Patch<f64>, old| patch.change().unwrap_or(old);
        Coordinates { x: put(self.x, old.x), y: put(self.y, old.y), z: put(self.z, old.z) }
    }
}

/// A name that is given must say something: the core takes an empty one for none.
fn titled(name: Option<String>) -> Result<Option<String>> {
    if name.as_deref() == Some("") { Err(Error::invalid("info.name", "must not be empty")) } else { Ok(name) }
}

impl Body {
    pub(super) fn create(self) -> Result<NewDevice> {
        let missing = |name: &'static str| Error::invalid(name, "is required");
        let info = self.info.ok_or_else(|| missing("info"))?;
        Ok(NewDevice {
            title: titled(info.name)?.ok_or_else(|| missing("info.name"))?,
            thing_type: Some(info.device_type_id.ok_or_else(|| missing("info.deviceTypeId"))?),
            description: info.description.value(),
            location: info.location.value(),
            coordinates: info.coordinates.value().map(|place| place.over(Coordinates::default())),
            installed: info.installation_timestamp.value(),
            tags: info.tags.value().or(self.tags.value()).unwrap_or_default(),
            connected_by: info.connected_by.value(),
            aliases: info.aliases.value().unwrap_or_default(),
            communication_interval: info.communication_interval.value(),
            configuration: self.configuration.unwrap_or_default(),
            custom: self.custom.value().unwrap_or_default(),
        })
    }

    /// The change of a device that has `present`; only there stands what single coordinates are changed in.
    pub(super) fn change(self, present: &Twin) -> Result<DeviceChange> {
        let info = self.info.unwrap_or_default();
        let custom = match self.custom {
            Patch::Keep => None,
            Patch::Set(custom) => Some(custom),
            // All of it goes, key by key.
            Patch::Remove => Some(present.custom.keys().map(|key| (key.clone(), Value::Null)).collect()),
        };
        Ok(DeviceChange {
            title: titled(info.name)?,
            thing_type: info.device_type_id,
            description: info.description.change(),
            location: info.location.change(),
            coordinates: info.coordinates.map(|place| place.over(present.coordinates.unwrap_or_default())).change(),
            installed: info.installation_timestamp.change(),
            tags: info.tags.list().or(self.tags.list()),
            connected_by: info.connected_by.change(),
            aliases: info.aliases.list(),
            communication_interval: info.communication_interval.change(),
            configuration: self.configuration,
            custom,
        })
    }
}

fn info(device: &Device) -> Value {
    let (thing, twin) = (&device.thing, &device.twin);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    put("name", json!(device.title()));
    // A thing that came by another face may have no type; the field is required, so it names none.
    put("deviceTypeId", json!(twin.thing_type.map_or_else(|| uuid::Uuid::nil().to_string(), |id| id.to_string())));
    put("description", json!(twin.description));
    put("creationTimestamp", json!(thing.created));
    put("installationTimestamp", json!(twin.installed));
    // Always there: the platform's own web applications do not look before they map.
    put("tags", json!(thing.tags));
    put("connectedBy", json!(twin.connected_by));
    put("location", json!(twin.location));
    put("aliases", json!(twin.aliases));
    put("coordinates", json!(twin.coordinates));
    put("communicationInterval", json!(twin.communication_interval));
    Value::Object(out)
}

/// A device in whole.
pub(super) fn device(device: &Device) -> Value {
    json!({
        "id": device.thing.id,
        "info": info(device),
        "configuration": device.twin.configuration,
        "custom": device.twin.custom,
    })
}

/// A device in a list.
pub(super) fn small(device: &Device) -> Value {
    json!({ "id": device.thing.id, "info": info(device) })
}

/// What a device reported.
pub(super) fn state(state: &State) -> Value {
    let status = match state.presence {
        model::Presence::Online => "ONLINE",
        model::Presence::Offline => "OFFLINE",
        model::Presence::NotMonitored => "NOT MONITORED",
    };
    let mut out = json!({ "configuration": state.configuration, "attributes": state.attributes, "status": status });
    if let (Some(at), Some(map)) = (state.last_seen, out.as_object_mut()) {
        map.insert("lastSeen".to_owned(), json!(at));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Body {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_new_device_needs_a_name_and_a_type() {
        let id = "04f14462-0d8c-4b56-9d8a-3a6f4c1fd1a0";
        assert!(read(json!({})).create().is_err());
        assert!(read(json!({ "info": { "name": "x" } })).create().is_err());
        assert!(read(json!({ "info": { "deviceTypeId": id } })).create().is_err());
        let new = read(json!({ "id": "ignored", "info": { "name": "x", "deviceTypeId": id, "coordinates": { "x": 1, "y": null } } }));
        let new = new.create().unwrap();
        assert_eq!((new.title.as_str(), new.thing_type), ("x", Some(id.parse().unwrap())));
        assert_eq!(new.coordinates, Some(Coordinates { x: Some(1.0), y: None, z: None }));
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name() {
        let present = Twin {
            coordinates: Some(Coordinates { x: Some(1.0), y: Some(2.0), z: None }),
            custom: json!({ "a": 1, "b": 2 }).as_object().unwrap().clone(),
            ..Twin::default()
        };
        let change = read(json!({ "info": { "description": null, "coordinates": { "y": null, "z": 3 } } })).change(&present).unwrap();
        assert_eq!((change.title, change.description, change.location, change.tags), (None, Some(None), None, None));
        assert_eq!(change.coordinates, Some(Some(Coordinates { x: Some(1.0), y: None, z: Some(3.0) })));
        assert_eq!((change.configuration, change.custom), (None, None));
        let change =
            read(json!({ "tags": ["a"], "custom": null, "info": { "aliases": null, "connectedBy": null } })).change(&present).unwrap();
        assert_eq!((change.tags, change.aliases, change.connected_by), (Some(vec!["a".to_owned()]), Some(vec![]), Some(None)));
        assert_eq!(change.custom, json!({ "a": null, "b": null }).as_object().cloned());
    }
}
