//! Facts: what a message says, read out of its payload. Pure.
//!
//! A message is understood by what its topic means: values of a section, an event, or plain. Of a plain message whose payload is a JSON
//! object every member is an attribute, whoever's words they are. Scalars become values with a path (`$.attributes.color.r`,
//! `$.attributes.cells[0]`); there is a bound on how many, how deep and how long.

use jiff::{SignedDuration, Timestamp};
use model::{Object, ThingId, Value};

use crate::Publish;
use crate::schema::{Fault, MAX_PATH, shortened};

/// Values one message has at most; what comes after them is only state.
pub(crate) const MAX_VALUES: usize = 64;
/// How deep values are looked for.
const MAX_DEPTH: usize = 8;
/// The longest text that is a value.
pub(crate) const MAX_TEXT: usize = 1_024;
/// The longest name of an event.
const MAX_EVENT: usize = 255;
/// The longest alias.
const MAX_ALIAS: usize = 1_020;
/// A clock may be that much ahead; what lies further in the future is taken as of its receipt.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// Of which thing a message speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The one that sent it.
    Sender,
    /// The one of this id.
    Thing(ThingId),
    /// The one of this alias.
    Alias(String),
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// Nothing that is understood here.
    Nothing,
    /// Values of a section.
    Values { about: About, at: Timestamp, configuration: bool, values: Object },
    /// Something happened.
    Event { about: About, at: Timestamp, name: String, value: Value },
}

/// Reads a payload that was taken at `received`.
pub(crate) fn understand(meaning: Publish, payload: &[u8], received: Timestamp) -> Result<Said, Fault> {
    let declared = matches!(meaning, Publish::Values | Publish::Event);
    // Most plain messages that are no objects say so with their first byte.
    let object: Option<Object> = match payload.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice(payload).ok(),
        _ => None,
    };
    let Some(mut object) = object else {
        return if declared { Err(Fault::new("payload", "must be a JSON object")) } else { Ok(Said::Nothing) };
    };
    if !declared {
        return Ok(Said::Values { about: About::Sender, at: received, configuration: false, values: object });
    }
    let about = about(&object)?;
    if meaning == Publish::Values {
        let configuration = match object.get("type").and_then(Value::as_str) {
            Some("configuration") => true,
            Some("attributes") => false,
            _ => return Err(Fault::new("type", "must be 'attributes' or 'configuration'")),
        };
        let at = moment("time", object.get("time"), received)?;
        let Some(Value::Object(values)) = object.remove("value") else {
            return Err(Fault::new("value", "must be a JSON object"));
        };
        return Ok(Said::Values { about, at, configuration, values });
    }
    let at = moment("createdAt", object.get("createdAt"), received)?;
    let name = object.get("type").and_then(Value::as_str).filter(|name| is_event_name(name));
    let name = name.ok_or_else(|| Fault::new("type", "must be letters, digits and '_', at most 255"))?.to_owned();
    let value = object.remove("value").unwrap_or(Value::Null);
    Ok(Said::Event { about, at, name, value })
}

fn is_event_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_EVENT && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn about(object: &Object) -> Result<About, Fault> {
    match (object.get("deviceId"), object.get("alias")) {
        (None | Some(Value::Null), None | Some(Value::Null)) => Ok(About::Sender),
        (Some(Value::String(id)), _) => id.parse().map(About::Thing).map_err(|_| Fault::new("deviceId", "must be a UUID")),
        (Some(Value::Null) | None, Some(Value::String(alias))) if !alias.is_empty() && alias.len() <= MAX_ALIAS => {
            Ok(About::Alias(alias.clone()))
        }
        (Some(Value::Null) | None, Some(_)) => Err(Fault::new("alias", "must be a text of 1 to 255 characters")),
        (Some(_), _) => Err(Fault::new("deviceId", "must be a UUID")),
    }
}

fn moment(field: &'static str, value: Option<&Value>, received: Timestamp) -> Result<Timestamp, Fault> {
    let text = match value {
        None | Some(Value::Null) => return Ok(received),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Fault::new(field, "must be a time as in RFC 3339")),
    };
    let at: Timestamp = text.parse().map_err(|_| Fault::new(field, format!("'{}' is no time as in RFC 3339", shortened(text, 40))))?;
    let latest = received.checked_add(AHEAD).unwrap_or(received);
    // To the microsecond, as everything is kept.
    let micros = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(received);
    Ok(if at > latest || at < Timestamp::UNIX_EPOCH { received } else { micros })
}

/// The scalars of a section with their paths, at most 64, in the order of their names.
pub(crate) fn scalars(configuration: bool, values: &Object) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let root = if configuration { "$.configuration" } else { "$.attributes" };
    for (name, value) in values {
        walk(format!("{root}.{name}"), value, 1, &mut found);
    }
    found
}

fn walk(path: String, value: &Value, depth: usize, found: &mut Vec<(String, Value)>) {
    if found.len() >= MAX_VALUES || path.len() > MAX_PATH || depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => found.push((path, value.clone())),
        Value::String(text) => {
            // PostgreSQL takes no NUL.
            if text.len() <= MAX_TEXT && !path.contains('\0') {
                found.push((path, value.clone()));
            }
        }
        Value::Object(inner) => inner.iter().for_each(|(name, value)| walk(format!("{path}.{name}"), value, depth + 1, found)),
        Value::Array(items) => {
            items.iter().take(MAX_VALUES).enumerate().for_each(|(i, value)| walk(format!("{path}[{i}]"), value, depth + 1, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-05-01T12:00:00Z")
    }

    fn read(meaning: Publish, payload: &Value) -> Result<Said, Fault> {
        understand(meaning, payload.to_string().as_bytes(), now())
    }

    #[test]
    fn values_of_a_section() {
        let said =
            read(Publish::Values, &json!({ "type": "configuration", "value": { "b": 60 }, "time": "2026-05-01T11:00:00.5Z" })).unwrap();
        let values = json!({ "b": 60 }).as_object().unwrap().clone();
        assert_eq!(said, Said::Values { about: About::Sender, at: at("2026-05-01T11:00:00.5Z"), configuration: true, values });
        let id = "00000000-0000-7000-8000-000000000001";
        for (more, about) in [
            (json!({ "deviceId": id }), About::Thing(id.parse().unwrap())),
            (json!({ "alias": "front" }), About::Alias("front".into())),
            (json!({ "deviceId": id, "alias": "front" }), About::Thing(id.parse().unwrap())),
            (json!({ "deviceId": null }), About::Sender),
        ] {
            let mut message = json!({ "type": "attributes", "value": {} });
            message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert!(matches!(read(Publish::Values, &message).unwrap(), Said::Values { about: found, .. } if found == about), "{message}");
        }
    }

    #[test]
    fn events() {
        let said =
            read(Publish::Event, &json!({ "type": "overheated", "value": { "t": 1 }, "createdAt": "2030-01-01T00:00:00Z" })).unwrap();
        let value = json!({ "t": 1 });
        assert_eq!(said, Said::Event { about: About::Sender, at: now(), name: "overheated".into(), value }, "the far future is now");
        assert!(matches!(read(Publish::Event, &json!({ "type": "x" })).unwrap(), Said::Event { value: Value::Null, .. }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (meaning, message, path) in [
            (Publish::Values, json!([1]), "payload"),
            (Publish::Values, json!({ "value": {} }), "type"),
            (Publish::Values, json!({ "type": "other", "value": {} }), "type"),
            (Publish::Values, json!({ "type": "attributes" }), "value"),
            (Publish::Values, json!({ "type": "attributes", "value": 5 }), "value"),
            (Publish::Values, json!({ "type": "attributes", "value": {}, "time": "yesterday" }), "time"),
            (Publish::Values, json!({ "type": "attributes", "value": {}, "deviceId": "x" }), "deviceId"),
            (Publish::Values, json!({ "type": "attributes", "value": {}, "alias": 5 }), "alias"),
            (Publish::Event, json!({}), "type"),
            (Publish::Event, json!({ "type": "over heated" }), "type"),
            (Publish::Event, json!({ "type": "x", "createdAt": 5 }), "createdAt"),
        ] {
            assert_eq!(read(meaning, &message).unwrap_err().path, path, "{message}");
        }
        assert_eq!(understand(Publish::Message, b"on", now()).unwrap(), Said::Nothing);
        assert_eq!(understand(Publish::Message, b"[1]", now()).unwrap(), Said::Nothing);
    }

    #[test]
    fn scalars_have_paths() {
        let values = json!({ "a": 1, "b": { "c": true, "d": null, "e": ["x", { "f": 2.5 }] }, "long": "x".repeat(2_000) });
        let found = scalars(false, values.as_object().unwrap());
        let found: Vec<(&str, &Value)> = found.iter().map(|(path, value)| (path.as_str(), value)).collect();
        assert_eq!(
            found,
            [
                ("$.attributes.a", &json!(1)),
                ("$.attributes.b.c", &json!(true)),
                ("$.attributes.b.e[0]", &json!("x")),
                ("$.attributes.b.e[1].f", &json!(2.5)),
            ]
        );
        let many: Object = (0..200).map(|i| (format!("v{i:03}"), json!(i))).collect();
        assert_eq!(scalars(true, &many).len(), MAX_VALUES);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(10, 200, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..8).prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for meaning in [Publish::Message, Publish::Test, Publish::Values, Publish::Event] {
                let said = understand(meaning, &bytes, now());
                prop_assert!(said.is_ok() || matches!(meaning, Publish::Values | Publish::Event));
            }
        }

        #[test]
        fn any_object_keeps_the_bounds(value in json_value()) {
            let object: Object = [("v".to_owned(), value)].into_iter().collect();
            let found = scalars(false, &object);
            prop_assert!(found.len() <= MAX_VALUES);
            for (path, value) in found {
                prop_assert!(path.starts_with("$.attributes.v") && path.len() <= MAX_PATH);
                prop_assert!(!value.is_object() && !value.is_array() && !value.is_null());
            }
        }
    }
}
