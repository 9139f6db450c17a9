//! Thing types: what things of one kind report and understand.

use model::{Caller, Error, Listed, Object, ReportingRule, Result, Slice, ThingType, ThingTypeId, TypeSchema};

use crate::Things;

/// A type to be.
#[derive(Clone, Debug, Default)]
pub struct NewType {
    /// 1 to 255 characters.
    pub name: String,
    /// At most 255 characters.
    pub manufacturer: Option<String>,
    /// At most 255 characters.
    pub model: Option<String>,
    /// At most 1,024 characters.
    pub description: Option<String>,
    /// URIs, at most 64 of at most 255 bytes.
    pub categories: Vec<String>,
    /// At most 256.
    pub reporting: Vec<ReportingRule>,
    /// At most 64 KiB as JSON.
    pub schema: TypeSchema,
    /// At most 16 KiB as JSON.
    pub slots: Object,
    /// 0 to 172,800 seconds.
    pub communication_interval: Option<u32>,
}

/// What to change of a type; absent fields stay, and `Some(None)` takes away what may be absent.
#[derive(Clone, Debug, Default)]
pub struct TypeChange {
    /// A new name.
    pub name: Option<String>,
    /// Another maker.
    pub manufacturer: Option<Option<String>>,
    /// Another model.
    pub model: Option<Option<String>>,
    /// Another description.
    pub description: Option<Option<String>>,
    /// All its categories.
    pub categories: Option<Vec<String>>,
    /// All its rules.
    pub reporting: Option<Vec<ReportingRule>>,
    /// Sections that replace those there are; a section that is absent stays.
    pub configuration: Option<Object>,
    /// As above.
    pub attributes: Option<Object>,
    /// As above.
    pub events: Option<Object>,
    /// As above.
    pub actions: Option<Object>,
    /// All its slots.
    pub slots: Option<Object>,
    /// Another interval.
    pub communication_interval: Option<Option<u32>>,
}

/// Which types a list shows; an empty list does not filter, alternatives join by OR, conditions by AND.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFilter {
    /// One of these.
    pub ids: Vec<ThingTypeId>,
    /// Called one of these, in any case; `*` stands for any text.
    pub names: Vec<String>,
    /// In one of these categories.
    pub categories: Vec<String>,
}

impl Things {
    /// Makes a type. Errors: Invalid. Permission: `type:write`.
    pub async fn create_type(&self, caller: &Caller, new: NewType) -> Result<ThingType> {
        let _ = (caller, new);
        Err(Error::unavailable("begun"))
    }

    /// One type. Permission: `type:read`.
    pub async fn thing_type(&self, caller: &Caller, id: ThingTypeId) -> Result<ThingType> {
        let _ = (caller, id);
        Err(Error::unavailable("begun"))
    }

    /// The tenant's types, newest first. Permission: `type:read`.
    pub async fn thing_types(&self, caller: &Caller, filter: &TypeFilter, slice: Slice) -> Result<Listed<ThingType>> {
        let _ = (caller, filter, slice);
        Err(Error::unavailable("begun"))
    }

    /// Changes a type; its things are held to it from the next message on. Permission: `type:write`.
    pub async fn update_type(&self, caller: &Caller, id: ThingTypeId, change: TypeChange) -> Result<ThingType> {
        let _ = (caller, id, change);
        Err(Error::unavailable("begun"))
    }

    /// Deletes a type. Error: Conflict(`thing_type`) while things are of it. Permission: `type:write`.
    pub async fn delete_type(&self, caller: &Caller, id: ThingTypeId) -> Result<()> {
        let _ = (caller, id);
        Err(Error::unavailable("begun"))
    }

    /// Categories of the tenant's types, in alphabetical order. Permission: `type:read`.
    pub async fn type_categories(&self, caller: &Caller) -> Result<Vec<String>> {
        let _ = caller;
        Err(Error::unavailable("begun"))
    }
}
