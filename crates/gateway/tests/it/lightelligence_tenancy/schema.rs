//! Answers held to the platform's own description: the success schemas of its OpenAPI file's operations about tenants, users, roles,
//! applications and audit logs (`tenancy-openapi.json`, references resolved, prose left out).

use std::sync::OnceLock;

use serde_json::Value;
use testkit::Exchange;

fn file() -> &'static Value {
    static FILE: OnceLock<Value> = OnceLock::new();
    FILE.get_or_init(|| serde_json::from_str(include_str!("tenancy-openapi.json")).unwrap())
}

/// The operations described, `GET /users/{userId}`.
pub(super) fn operations() -> Vec<&'static str> {
    file().as_object().unwrap().keys().map(String::as_str).collect()
}

/// The operation of a real path: as many literal segments as possible.
fn operation(method: &str, path: &str) -> Option<&'static str> {
    let wanted: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == wanted.len() && parts.iter().zip(&wanted).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let all = operations().into_iter().filter(|o| o.split_once(' ').is_some_and(|(m, template)| m == method && fits(template)));
    all.min_by_key(|o| o.matches('{').count())
}

/// Fails the test unless a success looks as described, and a refusal has text and code. Operations of the SDK alone pass.
pub(super) fn check(answer: &Exchange) {
    let path = answer.path.strip_prefix("/v1").unwrap().split('?').next().unwrap();
    if answer.status >= 400 {
        let body = answer.json();
        assert!(body["errorMessage"].as_str().is_some_and(|t| !t.is_empty()) && body["errorCode"].is_string(), "{answer}");
        return;
    }
    let Some(name) = operation(&answer.method, path) else { return };
    let described = &file()[name];
    let schema = described.get(answer.status.to_string()).unwrap_or_else(|| panic!("{name} never answers {}: {answer}", answer.status));
    if schema.is_null() {
        assert!(answer.body.is_empty(), "no body is described: {answer}");
        return;
    }
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")) {
        return;
    }
    let mut wrong = Vec::new();
    judge(schema, &answer.json(), "$", &mut wrong);
    assert!(wrong.is_empty(), "not as described: {wrong:#?}\n{answer}");
}

/// The part of JSON Schema that the file uses.
fn judge(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for part in schema["allOf"].as_array().into_iter().flatten() {
        judge(part, value, at, wrong);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(wanted) = schema["type"].as_str()
        && wanted != kind
        && !(wanted == "number" && kind == "integer")
    {
        wrong.push(format!("{at}: is {kind}, not {wanted}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    match value {
        Value::String(text) => {
            let length = u64::try_from(text.chars().count()).unwrap();
            let fits = schema["minLength"].as_u64().is_none_or(|least| length >= least)
                && schema["maxLength"].as_u64().is_none_or(|most| length <= most);
            let plain = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
            let shaped = match schema["format"].as_str() {
                Some("uuid") => text.len() == 36 && text.parse::<uuid::Uuid>().is_ok(),
                Some("date-time") => text.ends_with('Z') && text.parse::<model::Timestamp>().is_ok(),
                Some("email") => model::normalize_email(text).is_ok(),
                _ => true,
            };
            if !fits || !shaped || (schema.get("pattern").is_some() && !text.chars().all(plain)) {
                wrong.push(format!("{at}: {text:?} does not fit {schema}"));
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                judge(&schema["items"], item, &format!("{at}[{n}]"), wrong);
            }
        }
        Value::Object(members) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    wrong.push(format!("{at}: {name} is missing"));
                }
            }
            for (name, member) in members {
                match schema["properties"].get(name) {
                    Some(part) => judge(part, member, &format!("{at}.{name}"), wrong),
                    None if schema["additionalProperties"] == false => wrong.push(format!("{at}: {name} is not described")),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_judge_judges() {
    let answer = |method: &str, path: &str, status: u16, body: Value| Exchange {
        method: method.to_owned(),
        path: path.to_owned(),
        status,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    };
    let id = "0190a0b0-1234-7abc-8def-0123456789ab";
    let good = serde_json::json!({ "data": { "id": id, "status": "accepted" } });
    let path = format!("/v1/users/{id}/invites/{id}");
    check(&answer("PATCH", &path, 200, good.clone()));
    for (pointer, bad) in [("/data/id", "x"), ("/data/status", "lost")] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = bad.into();
        assert!(std::panic::catch_unwind(|| check(&answer("PATCH", &path, 200, wrong))).is_err(), "{pointer}");
    }
    let more = serde_json::json!({ "data": { "id": id, "status": "accepted", "more": 1 } });
    assert!(std::panic::catch_unwind(|| check(&answer("PATCH", &path, 200, more))).is_err());
    assert!(std::panic::catch_unwind(|| check(&answer("PATCH", &path, 201, good))).is_err());
    assert!(std::panic::catch_unwind(|| check(&answer("GET", "/v1/roles", 403, serde_json::json!({})))).is_err());
    assert_eq!(operations().len(), 48);
}
