//! Groups of devices (contracts/flotas-control.md 3.8).

use model::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use things::{Group, GroupDraft};
use uuid::Uuid;

use crate::asking::Asking;
use crate::error::Problem;
use crate::reply::Reply;
use crate::wire::{self, named};
use crate::{Shared, patch};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: String,
    name: String,
    description: Option<String>,
    devices: Vec<String>,
    creation: String,
    last_modified: String,
}

impl From<Group> for View {
    fn from(group: Group) -> Self {
        let Group { id, name, description, things, created, updated } = group;
        Self { id: id.to_string(), name, description, devices: things, creation: wire::time(created), last_modified: wire::time(updated) }
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    devices: Option<Vec<String>>,
}

impl From<Body> for GroupDraft {
    fn from(body: Body) -> Self {
        // An absent name is an empty one, which the verb refuses.
        Self { name: body.name.unwrap_or_default(), description: body.description, things: body.devices.unwrap_or_default() }
    }
}

fn id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::not_found("group"))
}

pub(crate) async fn list(app: &Shared, asking: &Asking) -> Result<Reply> {
    let groups = app.things.groups(&asking.caller).await?;
    Ok(Reply::ok(&named("groups", groups.into_iter().map(View::from).collect::<Vec<_>>())).with_null_error())
}

pub(crate) async fn create(app: &Shared, asking: &Asking, body: &[u8]) -> Result<Reply> {
    let body: Body = edge::json(body)?;
    let group = app.things.create_group(&asking.caller, body.into()).await?;
    Ok(Reply::created(&View::from(group)).with_null_error())
}

pub(crate) async fn one(app: &Shared, asking: &Asking, group: &str) -> Result<Reply> {
    let group = app.things.group(&asking.caller, id(group)?).await?;
    Ok(Reply::ok(&View::from(group)).with_null_error())
}

pub(crate) async fn replace(app: &Shared, asking: &Asking, group: &str, body: &[u8]) -> Result<Reply> {
    let body: Body = edge::json(body)?;
    let group = app.things.change_group(&asking.caller, id(group)?, |_| Ok(body.into())).await?;
    Ok(Reply::ok(&View::from(group)).with_null_error())
}

pub(crate) async fn change(app: &Shared, asking: &Asking, group: &str, body: &[u8]) -> std::result::Result<Reply, Problem> {
    let operations = patch::read(body)?;
    let mut broken = None;
    let changed = app
        .things
        .change_group(&asking.caller, id(group)?, |old| {
            patched(old, &operations).map_err(|reason| {
                let error = Error::invalid("patch", reason.as_str());
                broken = Some(reason);
                error
            })
        })
        .await;
    match (changed, broken) {
        (_, Some(reason)) => Err(Problem::Patch(reason)),
        (changed, None) => Ok(Reply::ok(&View::from(changed?)).with_null_error()),
    }
}

/// The members a patch may not change.
const FIXED: &[&str] = &["id", "creation", "lastModified"];
const KNOWN: &[&str] = &["id", "creation", "lastModified", "name", "description", "devices"];

fn patched(old: &Group, operations: &[patch::Operation]) -> std::result::Result<GroupDraft, String> {
    let before = patch::document(&View::from(old.clone()))?;
    let after: Map<String, Value> = patch::apply(&before, operations, FIXED, KNOWN)?;
    serde_json::from_value::<Body>(Value::Object(after)).map(GroupDraft::from).map_err(|e| e.to_string())
}

pub(crate) async fn remove(app: &Shared, asking: &Asking, group: &str) -> Result<Reply> {
    app.things.delete_group(&asking.caller, id(group)?).await?;
    Ok(Reply::empty().with_null_error())
}
