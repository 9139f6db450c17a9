//! Schemas: what a type lets its things say, compiled once.
//!
//! The four sections of a [`TypeSchema`] become JSON Schema validators (draft 7). Nothing is ever fetched: references are refused.
//! Patterns run in linear time, so that no type can stop the gateway with one.

use std::collections::{HashMap, HashSet};
use std::fmt;

use jsonschema::{Draft, PatternOptions, Validator};
use model::{Error, Object, ReportTo, ReportingRule, Result, ThingType, TypeSchema, Value};
use serde_json::json;

/// The largest schema, all sections together, as JSON.
const MAX_BYTES: usize = 64 << 10;
/// How deep a schema may be nested.
const MAX_DEPTH: usize = 24;
/// Names in all sections.
const MAX_NAMES: usize = 512;
/// The longest name of a value, event or action.
const MAX_NAME: usize = 255;
/// Rules of a type.
const MAX_RULES: usize = 256;
/// The longest path.
pub(crate) const MAX_PATH: usize = 255;
/// How much of a validator's words is passed on.
const MAX_WORDS: usize = 240;
/// The bound on a compiled pattern.
const MAX_PATTERN: usize = 256 << 10;

/// Keys of a section that are no names.
const OPEN: &str = "additionalProperties";
const REQUIRED: &str = "required";

/// What is wrong with a value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `brightness`, `color/r`; the section's name for the whole.
    pub(crate) path: String,
    /// In words.
    pub(crate) reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validation of '{}' failed: {}.", self.path, self.reason.trim_end_matches('.'))
    }
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    /// The same for whoever asked.
    pub(crate) fn refusal(self, field: &'static str) -> Error {
        if self.path == field {
            Error::invalid(field, self.reason)
        } else {
            Error::invalid(field, format!("'{}': {}", self.path, self.reason))
        }
    }
}

/// A type with its validators.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) thing_type: std::sync::Arc<ThingType>,
    configuration: Validator,
    /// A configuration to be: what it lacks stays as it is.
    desired: Validator,
    attributes: Validator,
    events: Named,
    actions: Named,
    /// Paths that become points.
    series: HashSet<String>,
}

/// Schemas by name.
#[derive(Debug)]
struct Named {
    known: HashMap<String, Validator>,
    open: bool,
}

impl Compiled {
    /// Compiles a type. Error: Invalid(schema, reporting).
    pub(crate) fn new(thing_type: ThingType) -> Result<Self> {
        let TypeSchema { configuration, attributes, events, actions } = &thing_type.schema;
        check_bounds(&thing_type.schema)?;
        let series = check_rules(&thing_type.reporting)?;
        Ok(Self {
            configuration: section("configuration", configuration, true)?,
            desired: section("configuration", configuration, false)?,
            attributes: section("attributes", attributes, true)?,
            events: Named::new("events", events)?,
            actions: Named::new("actions", actions)?,
            series,
            thing_type: std::sync::Arc::new(thing_type),
        })
    }

    /// Holds a reported section to the type.
    pub(crate) fn reported(&self, configuration: bool, value: &Value) -> std::result::Result<(), Fault> {
        let (validator, name) = if configuration { (&self.configuration, "configuration") } else { (&self.attributes, "attributes") };
        hold(validator, name, value)
    }

    /// Holds a configuration to be to the type.
    pub(crate) fn desired(&self, value: &Object) -> std::result::Result<(), Fault> {
        hold(&self.desired, "configuration", &Value::Object(value.clone()))
    }

    /// Holds an event to the type.
    pub(crate) fn event(&self, name: &str, value: &Value) -> std::result::Result<(), Fault> {
        self.events.hold("type", "event", name, value)
    }

    /// Holds an action to the type.
    pub(crate) fn action(&self, name: &str, payload: &Value) -> std::result::Result<(), Fault> {
        self.actions.hold("action", "action", name, payload)
    }

    /// Do values of this path become points?
    pub(crate) fn keeps(&self, path: &str) -> bool {
        self.series.contains(path)
    }
}

impl Named {
    fn new(section: &'static str, entries: &Object) -> Result<Self> {
        let mut known = HashMap::new();
        for (name, schema) in names(entries) {
            known.insert(name.clone(), compile(section, name, schema)?);
        }
        let (open, _) = strictness(section, entries)?;
        Ok(Self { known, open })
    }

    fn hold(&self, field: &'static str, noun: &str, name: &str, value: &Value) -> std::result::Result<(), Fault> {
        match self.known.get(name) {
            Some(validator) => hold(validator, "value", value),
            None if self.open => Ok(()),
            None => Err(Fault::new(field, format!("the device type has no {noun} '{}'", shortened(name, 64)))),
        }
    }
}

fn hold(validator: &Validator, whole: &str, value: &Value) -> std::result::Result<(), Fault> {
    validator.validate(value).map_err(|error| {
        let path = error.instance_path().to_string();
        let path = path.trim_start_matches('/');
        Fault::new(if path.is_empty() { whole } else { path }, shortened(&error.to_string(), MAX_WORDS))
    })
}

/// At most so many bytes, cut between characters.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

fn names(entries: &Object) -> impl Iterator<Item = (&String, &Value)> {
    entries.iter().filter(|(name, _)| *name != OPEN && *name != REQUIRED)
}

/// Does the section take other names too, and which must be there?
fn strictness(section: &'static str, entries: &Object) -> Result<(bool, Vec<String>)> {
    let open = match entries.get(OPEN) {
        None => false,
        Some(Value::Bool(open)) => *open,
        Some(_) => return Err(Error::invalid("schema", format!("'{section}.{OPEN}' must be true or false"))),
    };
    let required = match entries.get(REQUIRED) {
        None => Vec::new(),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|_| Error::invalid("schema", format!("'{section}.{REQUIRED}' must be a list of names")))?,
    };
    Ok((open, required))
}

fn section(name: &'static str, entries: &Object, whole: bool) -> Result<Validator> {
    let (open, required) = strictness(name, entries)?;
    for (entry, schema) in names(entries) {
        compile(name, entry, schema)?;
    }
    let properties: Object = names(entries).map(|(name, schema)| (name.clone(), schema.clone())).collect();
    let required = if whole { required } else { Vec::new() };
    let schema = json!({ "type": "object", "properties": properties, "additionalProperties": open, "required": required });
    compile(name, "", &schema)
}

fn compile(section: &'static str, name: &str, schema: &Value) -> Result<Validator> {
    let place = if name.is_empty() { section.to_owned() } else { format!("{section}.{}", shortened(name, 64)) };
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Error::invalid("schema", format!("'{place}' must be a JSON Schema")));
    }
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| Error::invalid("schema", format!("'{place}' is no JSON Schema: {}", shortened(&error.to_string(), MAX_WORDS))))
}

fn check_bounds(schema: &TypeSchema) -> Result<()> {
    let sections = [&schema.configuration, &schema.attributes, &schema.events, &schema.actions];
    let mut count = 0;
    for entries in sections {
        for (name, value) in entries {
            count += 1;
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(Error::invalid("schema", format!("names must have 1 to {MAX_NAME} bytes and no control characters")));
            }
            check_shape(value, 0)?;
        }
    }
    let bytes: usize = sections.iter().map(|section| size(section)).sum();
    if bytes > MAX_BYTES || count > MAX_NAMES {
        return Err(Error::invalid("schema", format!("must have at most {MAX_NAMES} names and {MAX_BYTES} bytes")));
    }
    Ok(())
}

/// How long an object is as JSON.
pub(crate) fn size(object: &Object) -> usize {
    serde_json::to_vec(object).map_or(usize::MAX, |bytes| bytes.len())
}

/// Not too deep, and without references: a reference may fetch, or turn in circles.
fn check_shape(value: &Value, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid("schema", format!("must not be nested deeper than {MAX_DEPTH}")));
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                // `$schema` would choose another draft, `$id` another base.
                if key.starts_with('$') && !matches!(key.as_str(), "$comment") && !(key == "$schema" && draft_7(value)) {
                    return Err(Error::invalid("schema", format!("'{}' is not supported", shortened(key, 64))));
                }
                check_shape(value, depth + 1)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_shape(item, depth + 1)),
        _ => Ok(()),
    }
}

fn draft_7(value: &Value) -> bool {
    value.as_str().is_some_and(|uri| uri.trim_end_matches('#') == "http://json-schema.org/draft-07/schema")
}

/// Checks reporting rules; answers the paths that become points.
fn check_rules(rules: &[ReportingRule]) -> Result<HashSet<String>> {
    if rules.len() > MAX_RULES {
        return Err(Error::invalid("reporting", format!("are more than {MAX_RULES}")));
    }
    for rule in rules {
        check_path(&rule.path)?;
    }
    Ok(rules.iter().filter(|rule| rule.to.contains(&ReportTo::Timeseries)).map(|rule| rule.path.clone()).collect())
}

/// `$.attributes.` or `$.configuration.` and a name. Error: Invalid(path).
pub(crate) fn check_path(path: &str) -> Result<()> {
    let name = path.strip_prefix("$.configuration.").or_else(|| path.strip_prefix("$.attributes."));
    if name.is_none_or(str::is_empty) || path.len() > MAX_PATH || path.chars().any(char::is_control) {
        let reason = format!("must begin with '$.configuration.' or '$.attributes.' and have at most {MAX_PATH} bytes");
        return Err(Error::invalid("path", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{TenantId, ThingTypeId, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn compiled(schema: Value) -> Result<Compiled> {
        Compiled::new(ThingType {
            id: ThingTypeId(Uuid::nil()),
            tenant: TenantId(Uuid::nil()),
            name: "lamp".into(),
            manufacturer: None,
            model: None,
            description: None,
            categories: vec![],
            reporting: vec![],
            schema: serde_json::from_value(schema).unwrap(),
            slots: Object::new(),
            communication_interval: None,
            created: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn sections_are_held_to_their_schemas() {
        let lamp = compiled(json!({
            "configuration": { "brightness": { "type": "number", "maximum": 100 }, "required": ["brightness"] },
            "attributes": { "additionalProperties": true, "n": { "type": "integer" } },
            "events": { "alert": {}, "hot": { "type": "object", "properties": { "t": { "type": "number" } } } },
            "actions": { "dim": { "type": "object", "required": ["to"] } },
        }))
        .unwrap();
        assert!(lamp.reported(true, &json!({ "brightness": 7 })).is_ok());
        let fault = lamp.reported(true, &json!({ "brightness": 101 })).unwrap_err();
        assert_eq!(fault.path, "brightness");
        assert!(fault.to_string().starts_with("Validation of 'brightness' failed: 101 is greater"), "{fault}");
        assert_eq!(lamp.reported(true, &json!({})).unwrap_err().path, "configuration");
        assert!(lamp.desired(&Object::new()).is_ok(), "a wish may be partial");
        assert!(lamp.reported(true, &json!({ "brightness": 1, "other": 1 })).is_err());
        assert!(lamp.reported(false, &json!({ "other": 1 })).is_ok());
        assert!(lamp.reported(false, &json!({ "n": 1.5 })).is_err());
        assert!(lamp.event("alert", &Value::Null).is_ok() && lamp.event("hot", &json!({ "t": 1 })).is_ok());
        assert!(lamp.event("cold", &Value::Null).is_err() && lamp.event("hot", &json!({ "t": "x" })).is_err());
        assert!(lamp.action("dim", &json!({ "to": 1 })).is_ok() && lamp.action("dim", &json!({})).is_err());
        assert!(lamp.action("explode", &json!({})).is_err());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({ "items": deep });
        }
        for bad in [
            json!({ "attributes": { "n": { "type": "nombre" } } }),
            json!({ "attributes": { "n": 5 } }),
            json!({ "attributes": { "additionalProperties": "yes" } }),
            json!({ "actions": { "required": [1] } }),
            json!({ "events": { "e": { "$ref": "#" } } }),
            json!({ "events": { "e": { "$ref": "http://example.com/schema" } } }),
            json!({ "attributes": { "s": { "pattern": "(" } } }),
            json!({ "attributes": { "s": { "pattern": "(?=a)a" } } }),
            json!({ "attributes": { "": {} } }),
            json!({ "attributes": { "x": { "description": "x".repeat(70_000) } } }),
            json!({ "attributes": { "x": deep } }),
        ] {
            assert!(matches!(compiled(bad.clone()), Err(Error::Invalid { field: "schema", .. })), "{bad}");
        }
        assert!(compiled(json!({})).is_ok());
    }

    #[test]
    fn paths() {
        for good in ["$.attributes.a", "$.configuration.a.b[0]"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "$.attributes.", "attributes.a", "$.events.a", "$.attributes.a\0"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
