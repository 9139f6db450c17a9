//! Thing types: what things of one kind report and understand.

use std::collections::BTreeSet;

use model::{
    Caller, Error, Listed, Object, Permission, ReportingRule, Result, Slice, TenantId, ThingType, ThingTypeId, TypeSchema, check_interval,
    wildcard,
};
use store::TypeHead;

use crate::Things;
use crate::schema::{Compiled, size};

/// Types of a tenant.
const MAX_TYPES: u32 = 1_000;
/// Characters of a name, a maker, a model.
const SHORT: usize = 255;
/// Characters of a description.
const LONG: usize = 1_024;
/// Categories of a type.
const MAX_CATEGORIES: usize = 64;
/// Slots as JSON.
const MAX_SLOTS: usize = 16 << 10;

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
    /// Makes a type. Errors: Invalid(name, manufacturer, model, description, categories, reporting, path, schema, slots,
    /// `communication_interval`), Conflict(`thing_type`) beyond 1,000 of them. Permission: `type:write`.
    pub async fn create_type(&self, caller: &Caller, new: NewType) -> Result<ThingType> {
        let id: ThingTypeId = self.inner.identity.clock().new_id();
        let result = self.create_type_as(caller, id, new).await;
        self.audit(caller, "type.created", &format!("type:{id}"), &result);
        result
    }

    async fn create_type_as(&self, caller: &Caller, id: ThingTypeId, new: NewType) -> Result<ThingType> {
        caller.require(Permission::TypeWrite)?;
        let now = self.now();
        let NewType { name, manufacturer, model, description, categories, reporting, mut schema, slots, communication_interval } = new;
        schema.settle();
        let thing_type = ThingType {
            id,
            tenant: caller.tenant,
            name,
            manufacturer,
            model,
            description,
            categories,
            reporting,
            schema,
            slots,
            communication_interval,
            created: now,
            updated: now,
        };
        check(&thing_type)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        if tx.count_thing_types(caller.tenant).await? >= u64::from(MAX_TYPES) {
            return Err(Error::conflict("thing_type", format!("a tenant has {MAX_TYPES} types at most")));
        }
        tx.insert_thing_type(&thing_type).await?;
        tx.commit().await?;
        Ok(thing_type)
    }

    /// One type. Permission: `type:read`.
    pub async fn thing_type(&self, caller: &Caller, id: ThingTypeId) -> Result<ThingType> {
        caller.require(Permission::TypeRead)?;
        self.inner.db.read().await?.thing_type(caller.tenant, id).await?.ok_or(Error::not_found("thing type"))
    }

    /// The tenant's types, newest first. Permission: `type:read`.
    pub async fn thing_types(&self, caller: &Caller, filter: &TypeFilter, slice: Slice) -> Result<Listed<ThingType>> {
        caller.require(Permission::TypeRead)?;
        let mut tx = self.inner.db.read().await?;
        let heads = heads(&mut tx, caller.tenant).await?;
        let chosen: Vec<ThingTypeId> = heads.iter().filter(|head| filter.chooses(head)).map(|head| head.id).collect();
        let offset = usize::try_from(slice.offset).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        for id in chosen.iter().skip(offset).take(slice.limit as usize) {
            // One that has just gone is left out.
            items.extend(tx.thing_type(caller.tenant, *id).await?);
        }
        Ok(Listed { items, total: chosen.len() as u64 })
    }

    /// Changes a type; its things are held to it from the next message on. Permission: `type:write`.
    pub async fn update_type(&self, caller: &Caller, id: ThingTypeId, change: TypeChange) -> Result<ThingType> {
        let result = self.update_type_inner(caller, id, change).await;
        self.audit(caller, "type.changed", &format!("type:{id}"), &result);
        result
    }

    async fn update_type_inner(&self, caller: &Caller, id: ThingTypeId, change: TypeChange) -> Result<ThingType> {
        caller.require(Permission::TypeWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let mut thing_type = tx.thing_type(caller.tenant, id).await?.ok_or(Error::not_found("thing type"))?;
        let t = &mut thing_type;
        replace(&mut t.name, change.name);
        replace(&mut t.manufacturer, change.manufacturer);
        replace(&mut t.model, change.model);
        replace(&mut t.description, change.description);
        replace(&mut t.categories, change.categories);
        replace(&mut t.reporting, change.reporting);
        replace(&mut t.schema.configuration, change.configuration);
        replace(&mut t.schema.attributes, change.attributes);
        replace(&mut t.schema.events, change.events);
        replace(&mut t.schema.actions, change.actions);
        replace(&mut t.slots, change.slots);
        replace(&mut t.communication_interval, change.communication_interval);
        t.schema.settle();
        t.updated = self.now();
        check(t)?;
        tx.update_thing_type(t).await?;
        tx.commit().await?;
        self.inner.subjects.forget_type(caller.tenant, id);
        Ok(thing_type)
    }

    /// Deletes a type. Error: Conflict(`thing_type`) while things are of it. Permission: `type:write`.
    pub async fn delete_type(&self, caller: &Caller, id: ThingTypeId) -> Result<()> {
        let result = self.delete_type_inner(caller, id).await;
        self.audit(caller, "type.deleted", &format!("type:{id}"), &result);
        result
    }

    async fn delete_type_inner(&self, caller: &Caller, id: ThingTypeId) -> Result<()> {
        caller.require(Permission::TypeWrite)?;
        let mut tx = self.inner.db.begin().await?;
        // A device of this type made meanwhile waits here too.
        tx.lock_tenant(caller.tenant).await?;
        tx.thing_type(caller.tenant, id).await?.ok_or(Error::not_found("thing type"))?;
        if tx.thing_of_type(id).await?.is_some() {
            return Err(Error::conflict("thing_type", "is in use"));
        }
        tx.delete_thing_type(caller.tenant, id).await?;
        tx.commit().await?;
        self.inner.subjects.forget_type(caller.tenant, id);
        Ok(())
    }

    /// Categories of the tenant's types, in alphabetical order. Permission: `type:read`.
    pub async fn type_categories(&self, caller: &Caller) -> Result<Vec<String>> {
        caller.require(Permission::TypeRead)?;
        let heads = heads(&mut self.inner.db.read().await?, caller.tenant).await?;
        let all: BTreeSet<String> = heads.into_iter().flat_map(|head| head.categories).collect();
        Ok(all.into_iter().collect())
    }
}

/// Every type of the tenant, newest first; there are not many.
pub(crate) async fn heads(tx: &mut store::Tx, tenant: TenantId) -> Result<Vec<TypeHead>> {
    Ok(tx.thing_type_heads(tenant, None, MAX_TYPES).await?)
}

impl TypeFilter {
    fn chooses(&self, head: &TypeHead) -> bool {
        let name = head.name.to_lowercase();
        (self.ids.is_empty() || self.ids.contains(&head.id))
            && (self.names.is_empty() || self.names.iter().any(|pattern| wildcard(&pattern.to_lowercase(), &name)))
            && (self.categories.is_empty() || self.categories.iter().any(|category| head.categories.contains(category)))
    }
}

/// Sets what is given.
pub(crate) fn replace<T>(field: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *field = new;
    }
}

/// At most so many characters, none of them a control character other than a line break.
pub(crate) fn check_words(field: &'static str, text: &str, max: usize) -> Result<()> {
    if text.len() > max * 4 || text.chars().count() > max || text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Error::invalid(field, format!("must have at most {max} characters and no control characters")));
    }
    Ok(())
}

fn check(t: &ThingType) -> Result<()> {
    if t.name.trim().is_empty() {
        return Err(Error::invalid("name", "must not be empty"));
    }
    check_words("name", &t.name, SHORT)?;
    for (field, text, max) in [("manufacturer", &t.manufacturer, SHORT), ("model", &t.model, SHORT), ("description", &t.description, LONG)]
    {
        check_words(field, text.as_deref().unwrap_or_default(), max)?;
    }
    if t.categories.len() > MAX_CATEGORIES || t.categories.iter().any(String::is_empty) {
        return Err(Error::invalid("categories", format!("must be at most {MAX_CATEGORIES}, and none empty")));
    }
    for category in &t.categories {
        check_words("categories", category, SHORT)?;
    }
    if size(&t.slots) > MAX_SLOTS {
        return Err(Error::invalid("slots", format!("must have at most {MAX_SLOTS} bytes as JSON")));
    }
    check_interval(t.communication_interval)?;
    Compiled::new(t.clone()).map(|_| ())
}
