//! JSON Patch (RFC 6902) with JSON Pointer (RFC 6901): all operations or none, and no growing beyond measure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Problem;

/// Operations in one patch.
const OPERATIONS: usize = 256;
/// The largest document on the way, in bytes as JSON: `copy` can double it each time.
const DOCUMENT: usize = 256 << 10;

/// One step.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// The steps out of a request's body.
pub(crate) fn read(body: &[u8]) -> Result<Vec<Operation>, Problem> {
    let operations: Vec<Value> = edge::json(body)?;
    if operations.is_empty() || operations.len() > OPERATIONS {
        return Err(Problem::Patch(format!("there must be 1 to {OPERATIONS}")));
    }
    let read = |(index, value)| serde_json::from_value(value).map_err(|e| Problem::Patch(format!("operation {}: {e}", index + 1)));
    operations.into_iter().enumerate().map(read).collect()
}

/// What a patch is applied to.
pub(crate) fn document(view: &impl Serialize) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(view) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err("there is nothing to change".to_owned()),
    }
}

/// The object after all steps. `fixed` members must come out as they were, and none may appear that is not `known`.
pub(crate) fn apply(
    before: &Map<String, Value>,
    operations: &[Operation],
    fixed: &[&str],
    known: &[&str],
) -> Result<Map<String, Value>, String> {
    let mut document = Value::Object(before.clone());
    for (index, operation) in operations.iter().enumerate() {
        step(&mut document, operation).map_err(|reason| format!("operation {}: {reason}", index + 1))?;
        if let Operation::Copy { .. } | Operation::Add { .. } | Operation::Replace { .. } = operation
            && weight(&document) > DOCUMENT
        {
            return Err(format!("operation {}: the document grows beyond {DOCUMENT} bytes", index + 1));
        }
    }
    let Value::Object(after) = document else { return Err("the whole may not be replaced by something else than an object".to_owned()) };
    if let Some(name) = fixed.iter().find(|name| after.get(**name) != before.get(**name)) {
        return Err(format!("/{name} cannot be changed"));
    }
    if let Some(name) = after.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no /{name:.64}"));
    }
    Ok(after)
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, item)| key.len() + weight(item) + 4).sum::<usize>() + 2,
        _ => 8,
    }
}

fn step(document: &mut Value, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(document, path, value.clone()),
        Operation::Remove { path } => remove(document, path).map(|_| ()),
        Operation::Replace { path, value } => {
            let place = document.pointer_mut(checked(path)?).ok_or_else(|| absent(path))?;
            *place = value.clone();
            Ok(())
        }
        Operation::Move { from, path } => {
            if path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                return Err("nothing can be moved into itself".to_owned());
            }
            let value = remove(document, from)?;
            add(document, path, value)
        }
        Operation::Copy { from, path } => {
            let value = document.pointer(checked(from)?).cloned().ok_or_else(|| absent(from))?;
            add(document, path, value)
        }
        Operation::Test { path, value } => match document.pointer(checked(path)?) {
            Some(found) if same(found, value) => Ok(()),
            Some(_) => Err(format!("{path:.128} has another value")),
            None => Err(absent(path)),
        },
    }
}

/// Equal as JSON: numbers by value (RFC 6902 4.6).
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64().is_some_and(|x| b.as_f64() == Some(x)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
        _ => a == b,
    }
}

fn absent(path: &str) -> String {
    format!("there is nothing at '{path:.128}'")
}

/// A pointer is empty or begins with a slash.
fn checked(path: &str) -> Result<&str, String> {
    if path.is_empty() || path.starts_with('/') {
        Ok(path)
    } else {
        Err(format!("'{path:.128}' is not a JSON Pointer, which begins with /"))
    }
}

/// Where the last step of a pointer is taken, and that step unescaped.
fn parent<'a>(document: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (above, last) = checked(path)?.rsplit_once('/').ok_or("the whole cannot be removed")?;
    let place = document.pointer_mut(above).ok_or_else(|| absent(path))?;
    Ok((place, last.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    match parent(document, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
            Ok(())
        }
        (Value::Array(items), key) => {
            let at = if key == "-" { items.len() } else { index(&key).ok_or_else(|| absent(path))? };
            if at > items.len() {
                return Err(absent(path));
            }
            items.insert(at, value);
            Ok(())
        }
        _ => Err(absent(path)),
    }
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    match parent(document, path)? {
        (Value::Object(map), key) => map.remove(&key).ok_or_else(|| absent(path)),
        (Value::Array(items), key) => match index(&key) {
            Some(at) if at < items.len() => Ok(items.remove(at)),
            _ => Err(absent(path)),
        },
        _ => Err(absent(path)),
    }
}

/// Digits without a leading zero.
fn index(text: &str) -> Option<usize> {
    let plain = text == "0" || (!text.starts_with('0') && !text.is_empty());
    if plain && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn run(document: &Value, patch: &Value) -> Result<Value, String> {
        let Value::Object(before) = document else { panic!("an object") };
        let operations = read(patch.to_string().as_bytes()).map_err(|p| format!("{p:?}"))?;
        let known = ["a", "b", "c", "d", "a/b", "m~n"];
        apply(before, &operations, &["id"], &[&known[..], &["id"]].concat()).map(Value::Object)
    }

    #[test]
    fn the_examples_of_the_specification() {
        let doc = json!({ "id": 1, "a": ["x", "y"], "b": { "c": 1 }, "a/b": 1, "m~n": 2 });
        for (patch, pointer, value) in [
            (json!([{ "op": "add", "path": "/a/1", "value": "z" }]), "/a", json!(["x", "z", "y"])),
            (json!([{ "op": "add", "path": "/a/-", "value": ["z"] }]), "/a", json!(["x", "y", ["z"]])),
            (json!([{ "op": "add", "path": "/c", "value": null }]), "/c", json!(null)),
            (json!([{ "op": "remove", "path": "/a/0" }]), "/a", json!(["y"])),
            (json!([{ "op": "replace", "path": "/b", "value": 7 }]), "/b", json!(7)),
            (json!([{ "op": "move", "from": "/b/c", "path": "/d" }]), "/d", json!(1)),
            (json!([{ "op": "move", "from": "/a/0", "path": "/a/1" }]), "/a", json!(["y", "x"])),
            (json!([{ "op": "copy", "from": "/a", "path": "/d" }]), "/d", json!(["x", "y"])),
            (
                json!([{ "op": "test", "path": "/b", "value": { "c": 1.0 } }, { "op": "test", "path": "/a~1b", "value": 1 }]),
                "/id",
                json!(1),
            ),
            (json!([{ "op": "replace", "path": "/m~0n", "value": 3, "comment": "ignored" }]), "/m~0n", json!(3)),
        ] {
            assert_eq!(run(&doc, &patch).unwrap().pointer(pointer), Some(&value), "{patch}");
        }
    }

    #[test]
    fn what_cannot_be_done() {
        let doc = json!({ "id": 1, "a": ["x"], "b": { "c": 1 } });
        let mut bomb = vec![json!({ "op": "add", "path": "/a", "value": ["x".repeat(100)] })];
        bomb.extend((0..60).map(|_| json!({ "op": "copy", "from": "/a", "path": "/a/-" })));
        for patch in [
            json!({}),
            json!([]),
            json!([7]),
            json!([{ "op": "add", "path": "/c" }]),
            json!([{ "op": "paint", "path": "/c", "value": 1 }]),
            json!([{ "op": "replace", "path": "/c", "value": 1 }]),
            json!([{ "op": "remove", "path": "/c" }]),
            json!([{ "op": "remove", "path": "" }]),
            json!([{ "op": "add", "path": "c", "value": 1 }]),
            json!([{ "op": "add", "path": "/a/2", "value": 1 }]),
            json!([{ "op": "add", "path": "/a/01", "value": 1 }]),
            json!([{ "op": "remove", "path": "/a/-" }]),
            json!([{ "op": "add", "path": "/c/d", "value": 1 }]),
            json!([{ "op": "move", "from": "/b", "path": "/b/d" }]),
            json!([{ "op": "test", "path": "/b/c", "value": 2 }]),
            json!([{ "op": "test", "path": "/zzz", "value": null }]),
            json!([{ "op": "replace", "path": "/id", "value": 2 }]),
            json!([{ "op": "remove", "path": "/id" }]),
            json!([{ "op": "add", "path": "/unknown", "value": 2 }]),
            json!([{ "op": "replace", "path": "", "value": 2 }]),
            json!(bomb),
        ] {
            assert!(run(&doc, &patch).is_err(), "{patch}");
        }
    }

    proptest! {
        #[test]
        fn add_then_remove_is_nothing(key in "[a-d]", value in "[a-z]{0,5}", at in 0usize..3) {
            let doc = json!({ "a": ["x", "y"] });
            let patch = json!([{ "op": "add", "path": format!("/a/{at}"), "value": value }, { "op": "remove", "path": format!("/a/{at}") }]);
            prop_assert_eq!(run(&doc, &patch).unwrap(), doc.clone());
            if key != "a" {
                let path = format!("/{key}");
                let patch = json!([{ "op": "add", "path": path, "value": value }, { "op": "remove", "path": path }]);
                prop_assert_eq!(run(&doc, &patch).unwrap(), doc);
            }
        }

        #[test]
        fn no_pointer_breaks_it(path in "[/~01a-]{0,12}", from in "[/~01a-]{0,12}") {
            for op in ["add", "remove", "replace", "move", "copy", "test"] {
                let _ = run(&json!({ "a": [["x"], { "a": 1 }], "b": {} }), &json!([{ "op": op, "path": path, "from": from, "value": 1 }]));
            }
        }
    }
}
