//! Thing types: what things of one kind report, understand and are called.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result, TenantId, ThingId, ThingTypeId};

/// A JSON object.
pub type Object = Map<String, Value>;

/// What things of one kind have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ThingType {
    /// Its id.
    pub id: ThingTypeId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name; not unique.
    pub name: String,
    /// Who makes such things.
    pub manufacturer: Option<String>,
    /// The maker's name for it.
    pub model: Option<String>,
    /// In words.
    pub description: Option<String>,
    /// What sort of things they are, as URIs.
    pub categories: Vec<String>,
    /// What becomes of which value.
    pub reporting: Vec<ReportingRule>,
    /// What its things say and understand.
    pub schema: TypeSchema,
    /// Places for software, free-form.
    pub slots: Object,
    /// A thing that is silent for so many seconds is offline; 0 or absent: nobody watches.
    pub communication_interval: Option<u32>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// Where the values of a path go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportingRule {
    /// `$.attributes.temperature`, `$.configuration.color.r`, `$.attributes.cells[0]`.
    pub path: String,
    /// Where to.
    pub to: Vec<ReportTo>,
}

/// Where values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportTo {
    /// Kept as points.
    Timeseries,
    /// The state, which shows every value anyhow.
    DeviceManagement,
    /// A word of the platform, without effect here.
    Flow,
}

/// The four sections of a type: names and their JSON Schemas. `additionalProperties` (bool) and `required` (names) are no names but
/// say how strict the section is; [`TypeSchema::settle`] writes down the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TypeSchema {
    /// What can be set.
    pub configuration: Object,
    /// What is measured.
    pub attributes: Object,
    /// What may happen.
    pub events: Object,
    /// What it can be told to do.
    pub actions: Object,
}

impl TypeSchema {
    /// Says what is not said: sections but events take no names besides their own.
    pub fn settle(&mut self) {
        for section in [&mut self.configuration, &mut self.attributes, &mut self.actions] {
            section.entry("additionalProperties").or_insert(Value::Bool(false));
        }
    }
}

/// The longest time of silence, in seconds: two days.
pub const MAX_INTERVAL: u32 = 172_800;

/// Checks a communication interval: 0 to 172,800 seconds.
pub fn check_interval(seconds: Option<u32>) -> Result<()> {
    if seconds.is_some_and(|s| s > MAX_INTERVAL) {
        return Err(Error::invalid("communication_interval", format!("must be 0 to {MAX_INTERVAL} seconds")));
    }
    Ok(())
}

/// What a thing has beyond [`Thing`](crate::Thing) once it is of a type; a thing without one has the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Twin {
    /// Its type.
    pub thing_type: Option<ThingTypeId>,
    /// What people call it; free text, not unique. Empty: it goes by its name.
    pub title: String,
    /// In words.
    pub description: Option<String>,
    /// Where it is, in words.
    pub location: Option<String>,
    /// Where it is on some plan.
    pub coordinates: Option<Coordinates>,
    /// When it was installed.
    pub installed: Option<Timestamp>,
    /// The gateway it is behind, which speaks for it and takes its messages.
    pub connected_by: Option<ThingId>,
    /// Other names, unique in the tenant.
    pub aliases: Vec<String>,
    /// As [`ThingType::communication_interval`], which it overrides; absent: the type's.
    pub communication_interval: Option<u32>,
    /// The configuration it should have.
    pub configuration: Object,
    /// Whatever its owners keep beside it.
    pub custom: Object,
}

/// A place on some plan, in whatever unit the plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coordinates {
    /// To the right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    /// Up the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    /// Height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
}

/// Is the thing heard of?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Within its communication interval.
    Online,
    /// Not within its communication interval.
    Offline,
    /// It has no communication interval.
    NotMonitored,
}

/// What a thing last reported of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The thing.
    pub thing: ThingId,
    /// The configuration it says it has.
    pub configuration: Object,
    /// What it measured.
    pub attributes: Object,
    /// When something last came from it.
    pub last_seen: Option<Timestamp>,
    /// Is it heard of?
    pub presence: Presence,
}
