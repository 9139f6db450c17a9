//! Groups of things, as fleets are ordered by: named, in their maker's order, one thing in as many as one likes.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use model::{Caller, Error, Permission, Result, ThingId};
use store::{GroupRecord, Tx};
use uuid::Uuid;

use crate::Things;

/// Groups of a tenant.
const GROUPS: u64 = 1_000;
/// Things in one group.
const MEMBERS: usize = 5_000;
/// Things in all groups of a tenant, each counted as often as it is in one; bounds what a list has to hold.
const MEMBERS_OF_ALL: u64 = 100_000;
/// The longest name, in bytes.
const NAME: usize = 128;
/// The longest description, in bytes.
const DESCRIPTION: usize = 1_024;

/// A group of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The keys of its things, in its maker's order.
    pub things: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What a group is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDraft {
    /// 1 to 128 bytes, unique in the tenant.
    pub name: String,
    /// At most 1,024 bytes.
    pub description: Option<String>,
    /// Keys or ids of things, 5,000 at most; repetitions count once.
    pub things: Vec<String>,
}

impl Things {
    /// The tenant's groups, oldest first. Permission: `thing:read`.
    pub async fn groups(&self, caller: &Caller) -> Result<Vec<Group>> {
        caller.require(Permission::ThingRead)?;
        let mut tx = self.inner.db.read().await?;
        let records = tx.groups(caller.tenant, u32::try_from(GROUPS).unwrap_or(u32::MAX)).await?;
        let mut members: HashMap<Uuid, Vec<String>> = HashMap::new();
        for (group, key) in tx.all_group_members(caller.tenant).await? {
            members.entry(group).or_default().push(key);
        }
        Ok(records
            .into_iter()
            .map(|record| {
                let things = members.remove(&record.id).unwrap_or_default();
                group(record, things)
            })
            .collect())
    }

    /// A group. Permission: `thing:read`.
    pub async fn group(&self, caller: &Caller, id: Uuid) -> Result<Group> {
        caller.require(Permission::ThingRead)?;
        find(&mut self.inner.db.read().await?, caller, id).await
    }

    /// Makes a group. Errors: Conflict(name), Invalid, also for a thing the tenant does not have. Permission: `thing:write`.
    pub async fn create_group(&self, caller: &Caller, draft: GroupDraft) -> Result<Group> {
        let id: Uuid = self.inner.identity.clock().new_id();
        let result = self.create_group_as(caller, id, draft).await;
        self.audit(caller, "group.created", &format!("group:{id}"), &result);
        result
    }

    async fn create_group_as(&self, caller: &Caller, id: Uuid, draft: GroupDraft) -> Result<Group> {
        caller.require(Permission::ThingWrite)?;
        let draft = tidy(draft)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        if tx.count_groups(caller.tenant).await? >= GROUPS {
            return Err(Error::conflict("groups", format!("there are {GROUPS} already, which is the most a tenant may have")));
        }
        let now = self.now();
        let record = GroupRecord { id, name: draft.name.clone(), description: draft.description.clone(), created: now, updated: now };
        free(&mut tx, caller, &record).await?;
        tx.insert_group(caller.tenant, &record).await?;
        let things = place(&mut tx, caller, id, &draft.things).await?;
        tx.commit().await?;
        Ok(group(record, things))
    }

    /// Changes a group: `change` sees it as it is and says what it is to be, with nobody else in between. Errors: as for making one, and
    /// what `change` says. Permission: `thing:write`.
    pub async fn change_group(&self, caller: &Caller, id: Uuid, change: impl FnOnce(&Group) -> Result<GroupDraft> + Send) -> Result<Group> {
        let result = self.change_group_inner(caller, id, change).await;
        self.audit(caller, "group.changed", &format!("group:{id}"), &result);
        result
    }

    async fn change_group_inner(
        &self,
        caller: &Caller,
        id: Uuid,
        change: impl FnOnce(&Group) -> Result<GroupDraft> + Send,
    ) -> Result<Group> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let old = find(&mut tx, caller, id).await?;
        let draft = tidy(change(&old)?)?;
        let record =
            GroupRecord { id, name: draft.name.clone(), description: draft.description, created: old.created, updated: self.now() };
        free(&mut tx, caller, &record).await?;
        tx.update_group(caller.tenant, &record).await?;
        let things = if draft.things == old.things { old.things } else { place(&mut tx, caller, id, &draft.things).await? };
        tx.commit().await?;
        Ok(group(record, things))
    }

    /// Removes a group; its things stay. Permission: `thing:write`.
    pub async fn delete_group(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let result = self.delete_group_inner(caller, id).await;
        self.audit(caller, "group.deleted", &format!("group:{id}"), &result);
        result
    }

    async fn delete_group_inner(&self, caller: &Caller, id: Uuid) -> Result<()> {
        caller.require(Permission::ThingWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.delete_group(caller.tenant, id).await? {
            return Err(Error::not_found("group"));
        }
        Ok(tx.commit().await?)
    }
}

fn group(record: GroupRecord, things: Vec<String>) -> Group {
    let GroupRecord { id, name, description, created, updated } = record;
    Group { id, name, description, things, created, updated }
}

async fn find(tx: &mut Tx, caller: &Caller, id: Uuid) -> Result<Group> {
    let record = tx.group(caller.tenant, id).await?.ok_or(Error::not_found("group"))?;
    let things = tx.group_members(caller.tenant, id).await?;
    Ok(group(record, things))
}

async fn free(tx: &mut Tx, caller: &Caller, record: &GroupRecord) -> Result<()> {
    match tx.group_named(caller.tenant, &record.name).await? {
        Some(other) if other.id != record.id => Err(Error::conflict("name", format!("a group '{}' exists already", record.name))),
        _ => Ok(()),
    }
}

/// Puts the things of these handles into the group; answers their keys.
async fn place(tx: &mut Tx, caller: &Caller, group: Uuid, handles: &[String]) -> Result<Vec<String>> {
    let (mut ids, mut keys, mut seen) = (Vec::new(), Vec::new(), BTreeSet::<ThingId>::new());
    for handle in handles {
        let unknown = || Error::invalid("things", format!("there is no '{handle:.64}'"));
        if handle.len() > model::Thing::NAME_MAX || handle.contains('\0') {
            return Err(unknown());
        }
        let thing = tx.thing_by_handle(caller.tenant, handle).await?.ok_or_else(unknown)?;
        if seen.insert(thing.id) {
            ids.push(thing.id);
            keys.push(thing.key);
        }
    }
    tx.set_group_members(caller.tenant, group, &ids).await?;
    if tx.count_group_members(caller.tenant).await? > MEMBERS_OF_ALL {
        return Err(Error::conflict("things", format!("all groups together would have more than {MEMBERS_OF_ALL}")));
    }
    Ok(keys)
}

fn tidy(draft: GroupDraft) -> Result<GroupDraft> {
    let name = draft.name.trim().to_owned();
    if name.is_empty() {
        return Err(Error::invalid("name", "must not be empty"));
    }
    if name.len() > NAME || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", format!("must have at most {NAME} bytes and no control characters")));
    }
    if let Some(text) = &draft.description
        && (text.len() > DESCRIPTION || text.contains('\0'))
    {
        return Err(Error::invalid("description", format!("must have at most {DESCRIPTION} bytes and no NUL")));
    }
    if draft.things.len() > MEMBERS {
        return Err(Error::invalid("things", format!("are more than {MEMBERS}")));
    }
    Ok(GroupDraft { name, ..draft })
}
