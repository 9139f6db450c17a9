//! Bodies as strict as the platform's schemas: every field known, of its type, and none missing (contract, appendix C).

use http::StatusCode;
use serde_json::{Map, Value};

use crate::error::{INVALID_REQUEST, Problem};

/// What a field must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Number,
    Object,
}

use Kind::{Bool, Number, Object, Text};

/// Name, kind, required?
pub(crate) type Field = (&'static str, Kind, bool);

pub(crate) const AUTH: &[Field] = &[("username", Text, true), ("password", Text, true)];
pub(crate) const NOTHING: &[Field] = &[];
pub(crate) const REFRESH: &[Field] = &[("refreshToken", Text, true)];
pub(crate) const NEW_USER: &[Field] = &[
    ("id", Text, false),
    ("role", Text, false),
    ("accounts", Object, false),
    ("attributes", Object, false),
    ("email", Text, true),
    ("password", Text, true),
    ("salt", Text, false),
    ("provider", Text, false),
    ("verified", Bool, false),
    ("termsAndConditions", Bool, false),
    ("created", Number, false),
    ("updated", Number, false),
    ("challenge", Text, false),
    ("response", Text, false),
];
pub(crate) const USER: &[Field] = &[
    ("id", Text, false),
    ("role", Text, false),
    ("type", Text, false),
    ("accounts", Object, false),
    ("attributes", Object, false),
    ("email", Text, false),
    ("password", Text, false),
    ("salt", Text, false),
    ("provider", Text, false),
    ("verified", Bool, false),
    ("termsAndConditions", Bool, false),
    ("created", Number, false),
    ("updated", Number, false),
];
pub(crate) const EMAIL: &[Field] = &[("email", Text, true)];
pub(crate) const TOKEN: &[Field] = &[("token", Text, true)];
pub(crate) const NEW_PASSWORD: &[Field] = &[("token", Text, true), ("password", Text, true)];
pub(crate) const CHANGE_PASSWORD: &[Field] = &[("currentpwd", Text, true), ("password", Text, true)];
pub(crate) const ACCOUNT: &[Field] = &[
    ("id", Text, false),
    ("public_id", Text, false),
    ("name", Text, true),
    ("healthTimePeriod", Number, false),
    ("created", Number, false),
    ("updated", Number, false),
    ("exec_interval", Number, false),
    ("base_line_exec_interval", Number, false),
    ("cd_model_frequency", Number, false),
    ("cd_execution_frequency", Number, false),
    ("data_retention", Number, false),
    ("attributes", Object, false),
    ("settings", Object, false),
    ("activation_code", Text, false),
    ("activation_code_expire_date", Number, false),
];
pub(crate) const ACCEPT: &[Field] = &[("accept", Bool, true)];

/// Reads a body. Nothing at all counts as an empty object, as it did there.
pub(crate) fn object(body: &[u8], fields: &[Field]) -> Result<Body, Problem> {
    let value: Value = if body.iter().all(u8::is_ascii_whitespace) {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(body).map_err(|_| Problem::Generic(StatusCode::BAD_REQUEST, "Invalid request"))?
    };
    let Value::Object(map) = value else { return Err(wrong(vec!["body is not an object".to_owned()])) };
    let mut errors: Vec<String> = map
        .keys()
        .filter(|name| !fields.iter().any(|f| f.0 == name.as_str()))
        .map(|name| format!("{} is not allowed", shown(name)))
        .collect();
    for (name, kind, required) in fields {
        match map.get(*name) {
            None if *required => errors.push(format!("{name} is required")),
            Some(value) if !fits(*kind, value) => errors.push(format!("{name} is not {}", noun(*kind))),
            _ => {}
        }
    }
    if errors.is_empty() { Ok(Body(map)) } else { Err(wrong(errors)) }
}

/// A body that does not fit its schema.
pub(crate) fn wrong(errors: Vec<String>) -> Problem {
    Problem::Coded(INVALID_REQUEST, errors)
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Text => value.is_string(),
        Bool => value.is_boolean(),
        Number => value.is_number(),
        Object => value.is_object(),
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Text => "a string",
        Bool => "a boolean",
        Number => "a number",
        Object => "an object",
    }
}

/// A stranger's field name is repeated only in part.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A body that fits.
#[derive(Debug)]
pub(crate) struct Body(Map<String, Value>);

impl Body {
    /// A text; empty only where the schema does not require it.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text that may be absent.
    pub(crate) fn maybe(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn object(&self, name: &str) -> Option<Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(body: &str) -> Vec<String> {
        match object(body.as_bytes(), AUTH) {
            Err(Problem::Coded(_, errors)) => errors,
            Err(Problem::Generic(..)) => vec!["malformed".to_owned()],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_missing_and_mistyped_fields_are_named() {
        assert_eq!(object(br#"{"username":"a","password":"b"}"#, AUTH).unwrap().text("password"), "b");
        assert_eq!(errors(r#"{"username":"a","password":"b","x":1}"#), ["x is not allowed"]);
        assert_eq!(errors(r#"{"username":1}"#), ["username is not a string", "password is required"]);
        assert_eq!(errors(""), ["username is required", "password is required"]);
        assert_eq!(errors("[]"), ["body is not an object"]);
        for bad in ["{", "{]", "\u{0}", "{\"a\":1}}"] {
            assert_eq!(errors(bad), ["malformed"], "{bad}");
        }
    }
}
