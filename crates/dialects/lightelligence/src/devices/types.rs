//! Device types.

use axum::extract::{Path, State};
use edge::Payload;
use http::StatusCode;
use model::{Error, Object, ReportTo, ReportingRule, Result, ThingType, ThingTypeId, TypeSchema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use things::{NewType, TypeChange, TypeFilter};

use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::filter;
use crate::query::Query;
use crate::reply::{Paging, data, list as paged, nothing};
use crate::wire::{Patch, body, id};

/// What POST and PATCH take.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    manufacturer: Patch<String>,
    model: Patch<String>,
    description: Patch<String>,
    categories: Patch<Vec<String>>,
    reporting_rules: Patch<Vec<Rule>>,
    schema: Option<Schema>,
    slots: Patch<Object>,
    communication_interval: Patch<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    path: String,
    report_to: Vec<ReportTo>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Schema {
    configuration: Option<Object>,
    attributes: Option<Object>,
    events: Option<Object>,
    actions: Option<Object>,
}

fn reporting(rules: Vec<Rule>) -> Vec<ReportingRule> {
    rules.into_iter().map(|rule| ReportingRule { path: rule.path, to: rule.report_to }).collect()
}

impl Body {
    fn create(self) -> Result<NewType> {
        let missing = |name: &'static str| Error::invalid(name, "is required");
        let schema = self.schema.ok_or_else(|| missing("schema"))?;
        Ok(NewType {
            name: self.name.ok_or_else(|| missing("name"))?,
            manufacturer: self.manufacturer.value(),
            model: self.model.value(),
            description: self.description.value(),
            categories: self.categories.value().unwrap_or_default(),
            reporting: reporting(self.reporting_rules.value().unwrap_or_default()),
            schema: TypeSchema {
                configuration: schema.configuration.unwrap_or_default(),
                attributes: schema.attributes.unwrap_or_default(),
                events: schema.events.unwrap_or_default(),
                actions: schema.actions.unwrap_or_default(),
            },
            slots: self.slots.value().unwrap_or_default(),
            communication_interval: self.communication_interval.value(),
        })
    }

    fn change(self) -> TypeChange {
        let schema = self.schema.unwrap_or_default();
        TypeChange {
            name: self.name,
            manufacturer: self.manufacturer.change(),
            model: self.model.change(),
            description: self.description.change(),
            categories: self.categories.list(),
            reporting: self.reporting_rules.list().map(reporting),
            configuration: schema.configuration,
            attributes: schema.attributes,
            events: schema.events,
            actions: schema.actions,
            slots: self.slots.list(),
            communication_interval: self.communication_interval.change(),
        }
    }
}

/// The filter of the list as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    device_type_id: Option<Vec<ThingTypeId>>,
    device_type_name: Option<Vec<String>>,
    device_type_category: Option<Vec<String>>,
}

const ID: &[&str] = &["deviceTypeId"];
const NAME: &[&str] = &["deviceTypeName", "name"];
const CATEGORY: &[&str] = &["deviceTypeCategory"];

fn filter(query: &Query, payload: Payload) -> Answer<TypeFilter> {
    fn full<T>(name: &'static str, list: Option<Vec<T>>) -> Result<Vec<T>> {
        match list {
            Some(list) if list.is_empty() => Err(Error::invalid(name, "must hold at least one value")),
            list => Ok(list.unwrap_or_default()),
        }
    }
    if let Some(text) = filter::given(payload)? {
        if [ID, NAME, CATEGORY].iter().any(|names| query.has(names)) {
            return Err(Error::invalid("query", "holds a filter, and so does the body; use one of them").into());
        }
        let given: Filter = body(Payload(Ok(text)))?;
        return Ok(TypeFilter {
            ids: full("deviceTypeId", given.device_type_id)?,
            names: full("deviceTypeName", given.device_type_name)?,
            categories: full("deviceTypeCategory", given.device_type_category)?,
        });
    }
    let texts = |names| Ok::<_, Error>(query.list(names)?.into_iter().map(str::to_owned).collect());
    Ok(TypeFilter { ids: filter::ids(query, ID)?, names: texts(NAME)?, categories: texts(CATEGORY)? })
}

fn wire(one: &ThingType) -> Value {
    let rules: Vec<Value> = one.reporting.iter().map(|rule| json!({ "path": rule.path, "reportTo": rule.to })).collect();
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    put("id", json!(one.id));
    put("name", json!(one.name));
    put("manufacturer", json!(one.manufacturer));
    put("model", json!(one.model));
    put("description", json!(one.description));
    put("categories", json!(one.categories));
    put("reportingRules", json!(rules));
    put("schema", json!(one.schema));
    put("slots", json!(one.slots));
    put("communicationInterval", json!(one.communication_interval));
    Value::Object(out)
}

pub(super) async fn create(State(app): State<App>, asking: Asking, payload: Payload) -> Answer {
    let new = body::<Body>(payload)?.create()?;
    let made = app.things.create_type(&asking, new).await?;
    Ok(data(StatusCode::CREATED, wire(&made)))
}

pub(super) async fn list(State(app): State<App>, asking: Asking, query: Query, payload: Payload) -> Answer {
    let (paging, filter) = (Paging::open(&query)?, filter(&query, payload)?);
    let found = app.things.thing_types(&asking, &filter, paging.slice()?).await?;
    Ok(paged(paging, found.total, found.items.iter().map(wire).collect::<Vec<_>>()))
}

pub(super) async fn categories(State(app): State<App>, asking: Asking) -> Answer {
    Ok(data(StatusCode::OK, app.things.type_categories(&asking).await?))
}

/// The type in a path.
pub(super) fn type_id(text: &str) -> Result<ThingTypeId> {
    id("deviceTypeId", text)
}

pub(super) async fn one(State(app): State<App>, asking: Asking, Path(id): Path<String>) -> Answer {
    let found = app.things.thing_type(&asking, type_id(&id)?).await?;
    Ok(data(StatusCode::OK, wire(&found)))
}

pub(super) async fn change(State(app): State<App>, asking: Asking, Path(id): Path<String>, payload: Payload) -> Answer {
    let (id, change) = (type_id(&id)?, body::<Body>(payload)?.change());
    let changed = app.things.update_type(&asking, id, change).await?;
    Ok(data(StatusCode::OK, wire(&changed)))
}

pub(super) async fn remove(State(app): State<App>, asking: Asking, Path(id): Path<String>) -> Answer {
    app.things.delete_type(&asking, type_id(&id)?).await?;
    Ok(nothing())
}
