//! Answers held to the platform's OpenAPI file (`openapi.json`, see the README beside it).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::Exchange;

/// Statuses any operation may answer beside those its description lists.
const ALWAYS: [u16; 5] = [405, 413, 429, 500, 503];

fn file() -> &'static Value {
    static FILE: OnceLock<Value> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = testkit::clients::root().join("crates/gateway/tests/it/lightelligence/openapi.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    })
}

/// The description's path of a real one: as many literal segments as possible.
fn template(path: &str) -> Option<&'static str> {
    let wanted: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == wanted.len() && parts.iter().zip(&wanted).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let paths = file()["paths"].as_object().unwrap();
    paths.keys().filter(|path| fits(path)).min_by_key(|path| path.matches('{').count()).map(String::as_str)
}

fn validator(path: &str, method: &str, status: u16, schema: &Value) -> Arc<Validator> {
    static MADE: OnceLock<Mutex<HashMap<String, Arc<Validator>>>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock();
    let make = || {
        let whole = json!({ "$defs": file()["$defs"], "allOf": [schema] });
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap_or_else(|e| panic!("{method} {path}: {e}")))
    };
    made.entry(format!("{method} {path} {status}")).or_insert_with(make).clone()
}

/// Fails the test unless the operation may answer like that.
pub(super) fn check(answer: &Exchange) {
    let path = answer.path.strip_prefix("/v1").unwrap().split('?').next().unwrap();
    // Not in the description, but in the platform's own SDK.
    if path.ends_with("/events") {
        return;
    }
    let template = template(path).unwrap_or_else(|| panic!("the description has no {path}"));
    let method = answer.method.to_lowercase();
    let Some(operation) = file()["paths"][template].get(&method) else {
        assert_eq!(answer.status, 405, "the description has no {method} {template}: {answer}");
        return;
    };
    let Some(schema) = operation.get(answer.status.to_string()) else {
        assert!(ALWAYS.contains(&answer.status) || hidden(template, answer.status), "{template} never answers {}: {answer}", answer.status);
        return;
    };
    if schema.is_null() {
        assert!(answer.body.is_empty(), "no body is described: {answer}");
        return;
    }
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{answer}");
    let value = answer.json();
    let found: Vec<String> = validator(template, &method, answer.status, schema)
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(found.is_empty(), "not as described: {found:#?}\n{answer}");
}

/// What the description forgot: any operation refuses who lacks a permission, and bad ids.
fn hidden(template: &str, status: u16) -> bool {
    matches!(status, 400 | 403 | 404 | 409)
        && (template.starts_with("/device") || template.ends_with("-ingest") || template.starts_with("/notif"))
}

#[test]
fn the_judge_judges() {
    let answer = |body: Value| Exchange {
        method: "GET".to_owned(),
        path: "/v1/devices/tags?x=1".to_owned(),
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    };
    check(&answer(json!({ "data": [{ "name": "tag1" }] })));
    for wrong in [json!({ "data": [{ "name": "two words" }] }), json!({ "data": ["tag1"] }), json!({ "data": [{ "name": "a", "id": 1 }] })]
    {
        assert!(std::panic::catch_unwind(|| check(&answer(wrong.clone()))).is_err(), "{wrong}");
    }
    assert_eq!(template("/devices/tags"), Some("/devices/tags"));
    assert_eq!(template("/devices/x/state/"), Some("/devices/{deviceId}/state"));
    let with_time = |time: &str| json!({ "data": { "configuration": {}, "attributes": {}, "status": "ONLINE", "lastSeen": time } });
    let state = |body: Value| Exchange { path: "/v1/devices/x/state".to_owned(), ..answer(body) };
    check(&state(with_time("2019-06-05T07:47:19.33415Z")));
    assert!(std::panic::catch_unwind(|| check(&state(with_time("yesterday")))).is_err());
}
