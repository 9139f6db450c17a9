//! What things have beyond their entry: type, title, gateway, aliases, the configuration they should have.

use model::{Coordinates, TenantId, ThingId, ThingTypeId, Twin};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;
use crate::thing_types::seconds;

sql! {
    OF = "select thing, thing_type, title, description, location, coordinates, installed, connected_by, aliases, communication_interval, \
          configuration, custom from thing_twin where thing = $1";
    // Newest first: an id begins with the time it was given.
    HEADS = "select t.id as thing, t.name as name, t.tags as tags, w.title as title, w.thing_type as thing_type, \
             w.connected_by as connected_by, w.aliases as aliases from thing t left join thing_twin w on w.thing = t.id \
             where t.tenant = $1 and t.id < $2 order by t.id desc limit $3";
    NEWEST = "select id as thing from thing where tenant = $1 order by id desc limit $2 offset $3";
    ANY = "select thing from thing_twin where tenant = $1 limit 1";
    BEHIND = "select thing from thing_twin where connected_by = $1";
    SET = "insert into thing_twin (thing, tenant, thing_type, title, description, location, coordinates, installed, connected_by, aliases, \
           communication_interval, configuration, custom) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
           on conflict (thing) do update set thing_type = excluded.thing_type, title = excluded.title, description = excluded.description, \
           location = excluded.location, coordinates = excluded.coordinates, installed = excluded.installed, \
           connected_by = excluded.connected_by, aliases = excluded.aliases, communication_interval = excluded.communication_interval, \
           configuration = excluded.configuration, custom = excluded.custom";
    ALIAS = "select thing from thing_alias where tenant = $1 and alias = $2";
    ALIAS_SET = "insert into thing_alias (tenant, alias, thing) values ($1, $2, $3)";
    ALIAS_CLEAR = "delete from thing_alias where thing = $1";
}

row! {
    struct TwinRow {
        thing: Uuid, thing_type: Option<Uuid>, title: String, description: Option<String>, location: Option<String>,
        coordinates: Option<String>, installed: Option<i64>, connected_by: Option<Uuid>, aliases: String,
        communication_interval: Option<i64>, configuration: String, custom: String,
    }
}
row! {
    struct HeadRow {
        thing: Uuid, name: String, tags: String, title: Option<String>, thing_type: Option<Uuid>, connected_by: Option<Uuid>,
        aliases: Option<String>,
    }
}
row! { struct ThingOnly { thing: Uuid } }

/// As much of a thing as a selector looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinHead {
    /// The thing.
    pub thing: ThingId,
    /// Its title, or its name if it has none.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its type.
    pub thing_type: Option<ThingTypeId>,
    /// Its gateway.
    pub connected_by: Option<ThingId>,
    /// Its aliases.
    pub aliases: Vec<String>,
}

impl TwinRow {
    fn model(self) -> Result<Twin, Error> {
        let coordinates: Option<Coordinates> =
            self.coordinates.as_deref().map(|text| from_json("thing_twin", "coordinates", text)).transpose()?;
        Ok(Twin {
            thing_type: self.thing_type.map(ThingTypeId),
            title: self.title,
            description: self.description,
            location: self.location,
            coordinates,
            installed: self.installed.map(|at| timestamp("thing_twin", "installed", at)).transpose()?,
            connected_by: self.connected_by.map(ThingId),
            aliases: from_json("thing_twin", "aliases", &self.aliases)?,
            communication_interval: seconds("thing_twin", self.thing, self.communication_interval)?,
            configuration: from_json("thing_twin", "configuration", &self.configuration)?,
            custom: from_json("thing_twin", "custom", &self.custom)?,
        })
    }
}

impl HeadRow {
    fn model(self) -> Result<TwinHead, Error> {
        Ok(TwinHead {
            thing: ThingId(self.thing),
            name: self.title.filter(|title| !title.is_empty()).unwrap_or(self.name),
            tags: from_json("thing", "tags", &self.tags)?,
            thing_type: self.thing_type.map(ThingTypeId),
            connected_by: self.connected_by.map(ThingId),
            aliases: self.aliases.map_or(Ok(Vec::new()), |text| from_json("thing_twin", "aliases", &text))?,
        })
    }
}

fn things(rows: Vec<ThingOnly>) -> Vec<ThingId> {
    rows.into_iter().map(|row| ThingId(row.thing)).collect()
}

impl Tx {
    /// What the thing has beyond its entry; none: nothing.
    pub async fn twin(&mut self, thing: ThingId) -> Result<Option<Twin>, Error> {
        fetch_optional!(self, TwinRow, sql::OF, thing.uuid())?.map(TwinRow::model).transpose()
    }

    /// The tenant's things as selectors see them, with a twin or not, newest first, from the one before `before` on.
    pub async fn twin_heads(&mut self, tenant: TenantId, before: Option<ThingId>, limit: u32) -> Result<Vec<TwinHead>, Error> {
        let before = before.map_or(Uuid::max(), ThingId::uuid);
        fetch_all!(self, HeadRow, sql::HEADS, tenant.uuid(), before, i64::from(limit))?.into_iter().map(HeadRow::model).collect()
    }

    /// The tenant's things, newest first.
    pub async fn newest_things(&mut self, tenant: TenantId, limit: u32, offset: u64) -> Result<Vec<ThingId>, Error> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        Ok(things(fetch_all!(self, ThingOnly, sql::NEWEST, tenant.uuid(), i64::from(limit), offset)?))
    }

    /// Has the tenant a thing with a twin?
    pub async fn has_twins(&mut self, tenant: TenantId) -> Result<bool, Error> {
        Ok(fetch_optional!(self, ThingOnly, sql::ANY, tenant.uuid())?.is_some())
    }

    /// Things behind this gateway.
    pub async fn things_behind(&mut self, gateway: ThingId) -> Result<Vec<ThingId>, Error> {
        Ok(things(fetch_all!(self, ThingOnly, sql::BEHIND, gateway.uuid())?))
    }

    /// The tenant's thing of this alias.
    pub async fn thing_by_alias(&mut self, tenant: TenantId, alias: &str) -> Result<Option<ThingId>, Error> {
        Ok(fetch_optional!(self, ThingOnly, sql::ALIAS, tenant.uuid(), alias)?.map(|row| ThingId(row.thing)))
    }

    /// Sets what the thing has beyond its entry, aliases included. A unique violation: another thing has the alias.
    pub async fn set_twin(&mut self, tenant: TenantId, thing: ThingId, twin: &Twin) -> Result<(), Error> {
        execute!(
            self,
            sql::SET,
            thing.uuid(),
            tenant.uuid(),
            twin.thing_type.map(ThingTypeId::uuid),
            &twin.title,
            twin.description.as_deref(),
            twin.location.as_deref(),
            twin.coordinates.as_ref().map(to_json),
            twin.installed.map(micros),
            twin.connected_by.map(ThingId::uuid),
            to_json(&twin.aliases),
            twin.communication_interval.map(i64::from),
            to_json(&twin.configuration),
            to_json(&twin.custom),
        )?;
        execute!(self, sql::ALIAS_CLEAR, thing.uuid())?;
        for alias in &twin.aliases {
            execute!(self, sql::ALIAS_SET, tenant.uuid(), alias, thing.uuid())?;
        }
        Ok(())
    }
}
