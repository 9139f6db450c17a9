//! Things: the catalogue.

use std::collections::BTreeMap;

use model::{PageRequest, TenantId, Thing, ThingId, ThingStatus, UserId};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, thing_key, name, kind, distribution, tags, attributes, status, owner, created, updated \
             from thing where tenant = $1 and id = $2";
    BY_KEY = "select id, tenant, thing_key, name, kind, distribution, tags, attributes, status, owner, created, updated \
              from thing where tenant = $1 and thing_key = $2";
    BY_NAME = "select id, tenant, thing_key, name, kind, distribution, tags, attributes, status, owner, created, updated \
               from thing where tenant = $1 and name = $2";
    // `replace` finds a part of a text in both engines, with the case and without wildcards to escape.
    PAGE = "select id, tenant, thing_key, name, kind, distribution, tags, attributes, status, owner, created, updated \
            from thing where tenant = $1 and id > $2 \
            and ($3 = '' or replace(lower(name), $3, '') <> lower(name)) \
            and ($4 = '' or replace(tags, $4, '') <> tags) \
            and ($5 = '' or kind = $5) \
            and ($6 = '' or status = $6) \
            order by id limit $7";
    NAMES = "select id, thing_key, name from thing where tenant = $1 and id > $2 order by id limit $3";
    COUNT = "select count(*) as n from thing where tenant = $1";
    INSERT = "insert into thing (id, tenant, thing_key, name, kind, distribution, tags, attributes, status, owner, secret_hash, created, updated) \
              values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    UPDATE = "update thing set thing_key = $3, name = $4, kind = $5, distribution = $6, tags = $7, attributes = $8, updated = $9 \
              where tenant = $1 and id = $2";
    SET_SECRET = "update thing set secret_hash = $3, updated = $4 where tenant = $1 and id = $2";
    SET_STATUS = "update thing set status = $2, updated = $3 where id = $1 and status <> $2";
    DELETE = "delete from thing where tenant = $1 and id = $2";
    FORGETTING = "select thing, tenant from forgetting where thing > $1 order by thing limit $2";
    FORGOTTEN = "delete from forgetting where thing = $1";
}

row! {
    struct ThingRow {
        id: Uuid, tenant: Uuid, thing_key: String, name: String, kind: String, distribution: String, tags: String, attributes: String,
        status: String, owner: Option<Uuid>, created: i64, updated: i64,
    }
}
row! { struct NameRow { id: Uuid, thing_key: String, name: String } }
row! { struct CountRow { n: i64 } }
row! { struct ForgettingRow { thing: Uuid, tenant: Uuid } }

fn status_name(status: ThingStatus) -> &'static str {
    match status {
        ThingStatus::Created => "CREATED",
        ThingStatus::Verified => "VERIFIED",
    }
}

impl ThingRow {
    fn model(self) -> Result<Thing, Error> {
        let status = match self.status.as_str() {
            "CREATED" => ThingStatus::Created,
            "VERIFIED" => ThingStatus::Verified,
            other => return Err(Error::corrupt("thing", "status", self.id, other)),
        };
        let attributes: BTreeMap<String, String> = from_json("thing", "attributes", &self.attributes)?;
        Ok(Thing {
            id: ThingId(self.id),
            tenant: TenantId(self.tenant),
            key: self.thing_key,
            name: self.name,
            kind: self.kind,
            distribution: self.distribution,
            tags: from_json("thing", "tags", &self.tags)?,
            attributes,
            status,
            owner: self.owner.map(UserId),
            created: timestamp("thing", "created", self.created)?,
            updated: timestamp("thing", "updated", self.updated)?,
        })
    }
}

/// Which things a list shows; an empty text means "any".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingSelection {
    /// Part of the name, in any case.
    pub name_contains: String,
    /// A tag it has.
    pub tag: String,
    /// Its kind.
    pub kind: String,
    /// Its status.
    pub status: Option<ThingStatus>,
}

impl Tx {
    /// The tenant's thing with this id.
    pub async fn thing(&mut self, tenant: TenantId, id: ThingId) -> Result<Option<Thing>, Error> {
        fetch_optional!(self, ThingRow, sql::BY_ID, tenant.uuid(), id.uuid())?.map(ThingRow::model).transpose()
    }

    /// The tenant's thing with this key.
    pub async fn thing_by_key(&mut self, tenant: TenantId, key: &str) -> Result<Option<Thing>, Error> {
        fetch_optional!(self, ThingRow, sql::BY_KEY, tenant.uuid(), key)?.map(ThingRow::model).transpose()
    }

    /// The tenant's thing of this name.
    pub async fn thing_by_name(&mut self, tenant: TenantId, name: &str) -> Result<Option<Thing>, Error> {
        fetch_optional!(self, ThingRow, sql::BY_NAME, tenant.uuid(), name)?.map(ThingRow::model).transpose()
    }

    /// The tenant's thing with this key or, failing that, this id.
    pub async fn thing_by_handle(&mut self, tenant: TenantId, handle: &str) -> Result<Option<Thing>, Error> {
        if let Some(thing) = self.thing_by_key(tenant, handle).await? {
            return Ok(Some(thing));
        }
        match handle.parse() {
            Ok(id) => self.thing(tenant, id).await,
            Err(_) => Ok(None),
        }
    }

    /// Things by id, one more than the page holds.
    pub async fn things(
        &mut self,
        tenant: TenantId,
        selection: &ThingSelection,
        after: Option<ThingId>,
        page: &PageRequest,
    ) -> Result<Vec<Thing>, Error> {
        let after = after.map_or(Uuid::nil(), ThingId::uuid);
        let tag = if selection.tag.is_empty() { String::new() } else { to_json(&selection.tag) };
        let status = selection.status.map_or("", status_name);
        let name = selection.name_contains.to_ascii_lowercase();
        let limit = i64::from(page.limit) + 1;
        fetch_all!(self, ThingRow, sql::PAGE, tenant.uuid(), after, &name, &tag, &selection.kind, status, limit)?
            .into_iter()
            .map(ThingRow::model)
            .collect()
    }

    /// Ids, keys and names of a tenant's things by id, at most `limit`.
    pub async fn thing_names(
        &mut self,
        tenant: TenantId,
        after: Option<ThingId>,
        limit: u32,
    ) -> Result<Vec<(ThingId, String, String)>, Error> {
        let after = after.map_or(Uuid::nil(), ThingId::uuid);
        let rows = fetch_all!(self, NameRow, sql::NAMES, tenant.uuid(), after, i64::from(limit))?;
        Ok(rows.into_iter().map(|row| (ThingId(row.id), row.thing_key, row.name)).collect())
    }

    /// How many things the tenant has.
    pub async fn count_things(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(u64::try_from(fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n).unwrap_or(0))
    }

    /// Adds a thing, with the SHA-256 of its secret if it has one.
    pub async fn insert_thing(&mut self, t: &Thing, secret_hash: Option<&[u8]>) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            t.id.uuid(),
            t.tenant.uuid(),
            &t.key,
            &t.name,
            &t.kind,
            &t.distribution,
            to_json(&t.tags),
            to_json(&t.attributes),
            status_name(t.status),
            t.owner.map(UserId::uuid),
            secret_hash.map(<[u8]>::to_vec),
            micros(t.created),
            micros(t.updated),
        )?;
        Ok(())
    }

    /// Changes what may change of a thing (not its status or secret); false when there is none.
    pub async fn update_thing(&mut self, t: &Thing) -> Result<bool, Error> {
        let (tags, attributes) = (to_json(&t.tags), to_json(&t.attributes));
        let (tenant, id) = (t.tenant.uuid(), t.id.uuid());
        let at = micros(t.updated);
        Ok(execute!(self, sql::UPDATE, tenant, id, &t.key, &t.name, &t.kind, &t.distribution, &tags, &attributes, at)? == 1)
    }

    /// Sets or removes the SHA-256 of a thing's secret; false when there is no such thing.
    pub async fn set_thing_secret(
        &mut self,
        tenant: TenantId,
        id: ThingId,
        secret_hash: Option<&[u8]>,
        at: model::Timestamp,
    ) -> Result<bool, Error> {
        Ok(execute!(self, sql::SET_SECRET, tenant.uuid(), id.uuid(), secret_hash.map(<[u8]>::to_vec), micros(at))? == 1)
    }

    /// Sets a thing's status; false when it had it already, or there is no such thing.
    pub async fn set_thing_status(&mut self, id: ThingId, status: ThingStatus, at: model::Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::SET_STATUS, id.uuid(), status_name(status), micros(at))? == 1)
    }

    /// Removes a thing and its certificates; the schema's trigger notes that its messages must still be forgotten. False when there is none.
    pub async fn delete_thing(&mut self, tenant: TenantId, id: ThingId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), id.uuid())? == 1)
    }

    /// Things that are gone (deprovisioned, or with their tenant) and whose messages have not yet been forgotten; at most `limit`.
    pub async fn things_to_forget(&mut self, limit: u32) -> Result<Vec<(TenantId, ThingId)>, Error> {
        let rows = fetch_all!(self, ForgettingRow, sql::FORGETTING, Uuid::nil(), i64::from(limit))?;
        Ok(rows.into_iter().map(|row| (TenantId(row.tenant), ThingId(row.thing))).collect())
    }

    /// The messages of this thing are forgotten.
    pub async fn thing_forgotten(&mut self, id: ThingId) -> Result<(), Error> {
        execute!(self, sql::FORGOTTEN, id.uuid())?;
        Ok(())
    }
}
