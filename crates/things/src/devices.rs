//! Devices: things with what belongs to their type — title, aliases, gateway, the configuration they should have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use model::{
    Caller, Coordinates, Error, Listed, Object, Permission, Result, Selector, Slice, Thing, ThingId, ThingStatus, ThingTypeId, Twin, Value,
    check_interval,
};
use store::{Tx, TypeHead};

use crate::catalogue::{check, tidy_tags};
use crate::kinds::{check_words, heads, replace};
use crate::schema::size;
use crate::{Found, Things};

/// Characters of a title, a location, an alias.
const SHORT: usize = 255;
/// Characters of a description.
const LONG: usize = 512;
/// Aliases of a thing.
const MAX_ALIASES: usize = 64;
/// A configuration, and what is kept beside, as JSON.
const MAX_OBJECT: usize = 64 << 10;
/// Alternatives in a selector.
const MAX_WANTED: usize = 1_000;
/// Things looked through at a time.
const STEP: u32 = 1_000;

/// A thing and what it has beyond.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The thing.
    pub thing: Thing,
    /// The rest; the default when there is nothing more.
    pub twin: Twin,
}

impl Device {
    /// What people call it: its title, else its name.
    #[must_use]
    pub fn title(&self) -> &str {
        if self.twin.title.is_empty() { &self.thing.name } else { &self.twin.title }
    }
}

/// A device to be; it is recognised by certificates registered later.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// What people call it: 1 to 255 characters, not unique.
    pub title: String,
    /// Its type.
    pub thing_type: Option<ThingTypeId>,
    /// At most 512 characters.
    pub description: Option<String>,
    /// At most 255 characters.
    pub location: Option<String>,
    /// Where on some plan.
    pub coordinates: Option<Coordinates>,
    /// When it was installed.
    pub installed: Option<Timestamp>,
    /// Letters, digits, `_` and `-`, at most 64 of at most 256; kept in lower case, each once.
    pub tags: Vec<String>,
    /// The gateway it is behind.
    pub connected_by: Option<ThingId>,
    /// At most 64 of 1 to 255 characters, unique in the tenant.
    pub aliases: Vec<String>,
    /// 0 to 172,800 seconds; absent: the type's.
    pub communication_interval: Option<u32>,
    /// The configuration it should have; at most 64 KiB as JSON.
    pub configuration: Object,
    /// At most 64 KiB as JSON.
    pub custom: Object,
}

/// What to change of a device; absent fields stay, and `Some(None)` takes away what may be absent.
#[derive(Clone, Debug, Default)]
pub struct DeviceChange {
    /// Another title.
    pub title: Option<String>,
    /// Another type.
    pub thing_type: Option<ThingTypeId>,
    /// Another description.
    pub description: Option<Option<String>>,
    /// Another location.
    pub location: Option<Option<String>>,
    /// Another place on the plan.
    pub coordinates: Option<Option<Coordinates>>,
    /// When it was installed.
    pub installed: Option<Option<Timestamp>>,
    /// All its tags.
    pub tags: Option<Vec<String>>,
    /// Another gateway.
    pub connected_by: Option<Option<ThingId>>,
    /// All its aliases.
    pub aliases: Option<Vec<String>>,
    /// Another interval.
    pub communication_interval: Option<Option<u32>>,
    /// Merged into the configuration it should have (RFC 7396: null removes); what changed is sent to it.
    pub configuration: Option<Object>,
    /// Merged into what is kept beside it (RFC 7396).
    pub custom: Option<Object>,
}

impl Things {
    /// Makes a device. With a configuration, that is sent to it (to its gateway, if it has one).
    ///
    /// Errors: Forbidden(quota), Invalid (`thing_type` too when there is none such), Conflict(`connected_by`) when there is no such
    /// gateway, Conflict(aliases). Permission: `thing:write`.
    pub async fn create_device(&self, caller: &Caller, new: NewDevice) -> Result<Device> {
        let id: ThingId = self.inner.identity.clock().new_id();
        let result = self.create_device_as(caller, id, new).await;
        self.audit(caller, "thing.provisioned", &format!("thing:{id}"), &result);
        result
    }

    async fn create_device_as(&self, caller: &Caller, id: ThingId, new: NewDevice) -> Result<Device> {
        caller.require(Permission::ThingWrite)?;
        let now = self.now();
        let thing = Thing {
            id,
            tenant: caller.tenant,
            key: id.to_string(),
            name: id.to_string(),
            kind: String::new(),
            distribution: String::new(),
            tags: folded(new.tags)?,
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: caller.user(),
            created: now,
            updated: now,
        };
        check(&thing)?;
        let mut configuration = Object::new();
        merge(&mut configuration, &new.configuration, 0)?;
        let twin = Twin {
            thing_type: new.thing_type,
            title: new.title,
            description: new.description,
            location: new.location,
            coordinates: new.coordinates,
            installed: new.installed,
            connected_by: new.connected_by,
            aliases: new.aliases,
            communication_interval: new.communication_interval,
            configuration,
            custom: new.custom,
        };
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        self.check_twin(&mut tx, &thing, &twin).await?;
        self.check_room(&mut tx, &thing).await?;
        tx.insert_thing(&thing, None).await?;
        tx.set_twin(caller.tenant, id, &twin).await?;
        self.commit_named(tx, None, Some(&thing)).await?;
        self.inner.subjects.forget_thing(caller.tenant, id);
        if !twin.configuration.is_empty() {
            self.configure(caller, id, twin.configuration.clone()).await;
        }
        Ok(Device { thing, twin })
    }

    /// A device by its id or key. Permission: `thing:read`; a thing sees itself without.
    pub async fn device(&self, caller: &Caller, handle: &str) -> Result<Device> {
        let Found { thing, .. } = self.find(caller, handle, Permission::ThingRead, true).await?;
        let twin = self.inner.db.read().await?.twin(thing.id).await?.unwrap_or_default();
        Ok(Device { thing, twin })
    }

    /// The device of this alias. Permission: `thing:read`.
    pub async fn device_by_alias(&self, caller: &Caller, alias: &str) -> Result<Device> {
        caller.require(Permission::ThingRead)?;
        let id = self.aliased(caller.tenant, alias).await?.ok_or(Error::not_found("thing"))?;
        self.device(caller, &id.to_string()).await
    }

    /// The tenant's devices that the selector chooses, newest first. Permission: `thing:read`.
    pub async fn devices(&self, caller: &Caller, selector: &Selector, slice: Slice) -> Result<Listed<Device>> {
        caller.require(Permission::ThingRead)?;
        let mut tx = self.inner.db.read().await?;
        let Listed { items: ids, total } = self.chosen(&mut tx, caller, selector, slice).await?;
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            // One that has just gone is left out.
            if let Some(thing) = tx.thing(caller.tenant, id).await? {
                let twin = tx.twin(id).await?.unwrap_or_default();
                items.push(Device { thing, twin });
            }
        }
        Ok(Listed { items, total })
    }

    /// Changes a device. The parts of the configuration that are given are sent to it, each key with its whole new value. Errors: as for
    /// making one. Permission: `thing:write`.
    pub async fn update_device(&self, caller: &Caller, handle: &str, change: DeviceChange) -> Result<Device> {
        let result = self.update_device_inner(caller, handle, change).await;
        let target = result.as_ref().map_or_else(|_| format!("thing:{handle:.64}"), |d| format!("thing:{}", d.thing.id));
        self.audit(caller, "thing.changed", &target, &result);
        result
    }

    async fn update_device_inner(&self, caller: &Caller, handle: &str, change: DeviceChange) -> Result<Device> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let mut thing = self.find_in(&mut tx, caller, handle).await?.thing;
        let mut twin = tx.twin(thing.id).await?.unwrap_or_default();
        replace(&mut twin.title, change.title);
        if change.thing_type.is_some() {
            twin.thing_type = change.thing_type;
        }
        replace(&mut twin.description, change.description);
        replace(&mut twin.location, change.location);
        replace(&mut twin.coordinates, change.coordinates);
        replace(&mut twin.installed, change.installed);
        replace(&mut twin.connected_by, change.connected_by);
        replace(&mut twin.aliases, change.aliases);
        replace(&mut twin.communication_interval, change.communication_interval);
        let mut told = Object::new();
        if let Some(patch) = change.configuration {
            merge(&mut twin.configuration, &patch, 0)?;
            told = patch.keys().map(|key| (key.clone(), twin.configuration.get(key).cloned().unwrap_or(Value::Null))).collect();
        }
        if let Some(patch) = change.custom {
            merge(&mut twin.custom, &patch, 0)?;
        }
        if let Some(tags) = change.tags {
            thing.tags = folded(tags)?;
        }
        thing.updated = self.now();
        check(&thing)?;
        self.check_twin(&mut tx, &thing, &twin).await?;
        tx.update_thing(&thing).await?;
        tx.set_twin(caller.tenant, thing.id, &twin).await?;
        tx.commit().await?;
        self.inner.certificates.forget(thing.id);
        self.inner.subjects.forget_thing(caller.tenant, thing.id);
        if !told.is_empty() {
            self.configure(caller, thing.id, told).await;
        }
        Ok(Device { thing, twin })
    }

    /// The tags of the tenant's things, in alphabetical order. Permission: `thing:read`.
    pub async fn device_tags(&self, caller: &Caller) -> Result<Vec<String>> {
        caller.require(Permission::ThingRead)?;
        let mut tx = self.inner.db.read().await?;
        let (mut tags, mut before) = (BTreeSet::new(), None);
        loop {
            let heads = tx.twin_heads(caller.tenant, before, STEP).await?;
            before = heads.last().map(|head| head.thing);
            tags.extend(heads.into_iter().flat_map(|head| head.tags));
            if before.is_none() {
                return Ok(tags.into_iter().collect());
            }
        }
    }

    /// Which things the selector chooses, newest first, and how many in all. Looks through the tenant's things, unless all of them or
    /// some by their ids are meant.
    pub(crate) async fn chosen(&self, tx: &mut Tx, caller: &Caller, selector: &Selector, slice: Slice) -> Result<Listed<ThingId>> {
        check_selector(selector)?;
        let tenant = caller.tenant;
        if selector.is_empty() {
            let items = tx.newest_things(tenant, slice.limit, slice.offset).await?;
            return Ok(Listed { items, total: tx.count_things(tenant).await? });
        }
        let (offset, limit) = (usize::try_from(slice.offset).unwrap_or(usize::MAX), slice.limit as usize);
        if !selector.things.is_empty() {
            let wanted: BTreeSet<ThingId> = selector.things.iter().copied().collect();
            let mut ids = Vec::new();
            for id in wanted.into_iter().rev() {
                let known = self.known_in(tx, tenant, id).await?.map(crate::Subject);
                ids.extend(known.filter(|subject| selector.matches(&subject.view())).map(|_| id));
            }
            return Ok(Listed { total: ids.len() as u64, items: ids.into_iter().skip(offset).take(limit).collect() });
        }
        let types: HashMap<ThingTypeId, TypeHead> = heads(tx, tenant).await?.into_iter().map(|head| (head.id, head)).collect();
        let (mut items, mut total, mut before) = (Vec::new(), 0_u64, None);
        loop {
            let heads = tx.twin_heads(tenant, before, STEP).await?;
            for head in &heads {
                let of = head.thing_type.and_then(|id| types.get(&id));
                let subject = model::Subject {
                    id: head.thing,
                    name: &head.name,
                    tags: &head.tags,
                    thing_type: head.thing_type,
                    type_name: of.map_or("", |t| t.name.as_str()),
                    categories: of.map_or(&[], |t| t.categories.as_slice()),
                    connected_by: head.connected_by,
                    aliases: &head.aliases,
                };
                if selector.matches(&subject) {
                    if total >= slice.offset && items.len() < limit {
                        items.push(head.thing);
                    }
                    total += 1;
                }
            }
            before = heads.last().map(|head| head.thing);
            if before.is_none() {
                return Ok(Listed { items, total });
            }
        }
    }

    async fn check_twin(&self, tx: &mut Tx, thing: &Thing, twin: &Twin) -> Result<()> {
        check_words("name", &twin.title, SHORT)?;
        check_words("description", twin.description.as_deref().unwrap_or_default(), LONG)?;
        check_words("location", twin.location.as_deref().unwrap_or_default(), SHORT)?;
        check_interval(twin.communication_interval)?;
        for (field, object) in [("configuration", &twin.configuration), ("custom", &twin.custom)] {
            if size(object) > MAX_OBJECT {
                return Err(Error::invalid(field, format!("must have at most {MAX_OBJECT} bytes as JSON")));
            }
        }
        if let Some(id) = twin.thing_type {
            let compiled = self.compiled(tx, thing.tenant, id).await?;
            let compiled = compiled.ok_or_else(|| Error::invalid("thing_type", format!("there is no type {id}")))?;
            if !twin.configuration.is_empty() {
                compiled.desired(&twin.configuration).map_err(|fault| fault.refusal("configuration"))?;
            }
        }
        if let Some(gateway) = twin.connected_by {
            let there = tx.thing(thing.tenant, gateway).await?.filter(|there| there.id != thing.id);
            there.ok_or_else(|| Error::conflict("connected_by", format!("there is no other thing {gateway}")))?;
            // Neither would ever get a message.
            if tx.twin(gateway).await?.is_some_and(|twin| twin.connected_by == Some(thing.id)) {
                return Err(Error::conflict("connected_by", format!("{gateway} is behind this one")));
            }
        }
        if twin.aliases.len() > MAX_ALIASES {
            return Err(Error::invalid("aliases", format!("are more than {MAX_ALIASES}")));
        }
        let mut seen = BTreeSet::new();
        for alias in &twin.aliases {
            check_words("aliases", alias, SHORT)?;
            if alias.is_empty() || !seen.insert(alias) {
                return Err(Error::invalid("aliases", "must not be empty nor be told twice"));
            }
            if tx.thing_by_alias(thing.tenant, alias).await?.is_some_and(|other| other != thing.id) {
                return Err(Error::conflict("aliases", format!("'{alias}' is taken")));
            }
        }
        Ok(())
    }
}

/// Tags in lower case, each once.
fn folded(tags: Vec<String>) -> Result<Vec<String>> {
    if tags.iter().any(|tag| tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')) {
        return Err(Error::invalid("tags", "must be letters, digits, '_' and '-'"));
    }
    Ok(tidy_tags(tags.into_iter().map(|tag| tag.to_ascii_lowercase()).collect()))
}

/// A patch is merged in (RFC 7396): objects key by key, null removes, anything else replaces.
fn merge(target: &mut Object, patch: &Object, depth: usize) -> Result<()> {
    const DEPTH: usize = 32;
    if depth > DEPTH {
        return Err(Error::invalid("configuration", format!("must not be nested deeper than {DEPTH}")));
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let slot = target.entry(key).or_insert_with(|| Value::Object(Object::new()));
                if !slot.is_object() {
                    *slot = Value::Object(Object::new());
                }
                if let Value::Object(there) = slot {
                    merge(there, inner, depth + 1)?;
                }
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
    Ok(())
}

fn check_selector(s: &Selector) -> Result<()> {
    let texts = [&s.tags, &s.type_names, &s.categories, &s.names, &s.aliases];
    let count = s.things.len() + s.types.len() + s.connected_by.len() + texts.iter().map(|list| list.len()).sum::<usize>();
    if count > MAX_WANTED || texts.iter().any(|list| list.iter().any(|text| text.len() > SHORT * 4)) {
        return Err(Error::invalid("filter", format!("must have at most {MAX_WANTED} alternatives of at most {SHORT} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_patch_merges_key_by_key() {
        let mut target = object(json!({ "a": 1, "b": { "c": 1, "d": 2 }, "e": [1, 2] }));
        merge(&mut target, &object(json!({ "a": null, "b": { "c": 3 }, "e": [3], "f": { "g": null, "h": 1 } })), 0).unwrap();
        assert_eq!(Value::Object(target), json!({ "b": { "c": 3, "d": 2 }, "e": [3], "f": { "h": 1 } }));
    }

    #[test]
    fn tags_are_kept_in_lower_case() {
        assert_eq!(folded(vec!["Room-1".into(), "room-1".into(), "A_b".into()]).unwrap(), ["room-1", "a_b"]);
        assert!(folded(vec!["a b".into()]).is_err() && folded(vec![String::new()]).is_err());
    }
}
