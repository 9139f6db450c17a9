//! Types of things.

use model::{Object, ReportingRule, TenantId, ThingId, ThingType, ThingTypeId, TypeSchema};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, name, manufacturer, model, description, categories, reporting, sections, slots, communication_interval, \
             created, updated from thing_type where tenant = $1 and id = $2";
    HEADS = "select id, name, categories from thing_type where tenant = $1 and id < $2 order by id desc limit $3";
    COUNT = "select count(*) as n from thing_type where tenant = $1";
    INSERT = "insert into thing_type (id, tenant, name, manufacturer, model, description, categories, reporting, sections, slots, \
              communication_interval, created, updated) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    UPDATE = "update thing_type set name = $3, manufacturer = $4, model = $5, description = $6, categories = $7, reporting = $8, \
              sections = $9, slots = $10, communication_interval = $11, updated = $12 where tenant = $1 and id = $2";
    DELETE = "delete from thing_type where tenant = $1 and id = $2";
    IN_USE = "select thing from thing_twin where thing_type = $1 limit 1";
}

row! {
    struct TypeRow {
        id: Uuid, tenant: Uuid, name: String, manufacturer: Option<String>, model: Option<String>, description: Option<String>,
        categories: String, reporting: String, sections: String, slots: String, communication_interval: Option<i64>, created: i64,
        updated: i64,
    }
}
row! { struct HeadRow { id: Uuid, name: String, categories: String } }
row! { struct CountRow { n: i64 } }
row! { struct UserRow { thing: Uuid } }

/// As much of a type as a selector looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeHead {
    /// Its id.
    pub id: ThingTypeId,
    /// Its name.
    pub name: String,
    /// Its categories.
    pub categories: Vec<String>,
}

/// Seconds as stored.
pub(crate) fn seconds(table: &'static str, id: Uuid, stored: Option<i64>) -> Result<Option<u32>, Error> {
    stored.map(|s| u32::try_from(s).map_err(|e| Error::corrupt(table, "communication_interval", id, e))).transpose()
}

impl TypeRow {
    fn model(self) -> Result<ThingType, Error> {
        let reporting: Vec<ReportingRule> = from_json("thing_type", "reporting", &self.reporting)?;
        let schema: TypeSchema = from_json("thing_type", "sections", &self.sections)?;
        let slots: Object = from_json("thing_type", "slots", &self.slots)?;
        Ok(ThingType {
            id: ThingTypeId(self.id),
            tenant: TenantId(self.tenant),
            name: self.name,
            manufacturer: self.manufacturer,
            model: self.model,
            description: self.description,
            categories: from_json("thing_type", "categories", &self.categories)?,
            reporting,
            schema,
            slots,
            communication_interval: seconds("thing_type", self.id, self.communication_interval)?,
            created: timestamp("thing_type", "created", self.created)?,
            updated: timestamp("thing_type", "updated", self.updated)?,
        })
    }
}

impl Tx {
    /// The tenant's type with this id.
    pub async fn thing_type(&mut self, tenant: TenantId, id: ThingTypeId) -> Result<Option<ThingType>, Error> {
        fetch_optional!(self, TypeRow, sql::BY_ID, tenant.uuid(), id.uuid())?.map(TypeRow::model).transpose()
    }

    /// The tenant's types, newest first, from the one before `before` on.
    pub async fn thing_type_heads(&mut self, tenant: TenantId, before: Option<ThingTypeId>, limit: u32) -> Result<Vec<TypeHead>, Error> {
        let before = before.map_or(Uuid::max(), ThingTypeId::uuid);
        let rows = fetch_all!(self, HeadRow, sql::HEADS, tenant.uuid(), before, i64::from(limit))?;
        rows.into_iter()
            .map(|row| {
                let categories = from_json("thing_type", "categories", &row.categories)?;
                Ok(TypeHead { id: ThingTypeId(row.id), name: row.name, categories })
            })
            .collect()
    }

    /// How many types the tenant has.
    pub async fn count_thing_types(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(u64::try_from(fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n).unwrap_or(0))
    }

    /// Adds a type.
    pub async fn insert_thing_type(&mut self, t: &ThingType) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            t.id.uuid(),
            t.tenant.uuid(),
            &t.name,
            t.manufacturer.as_deref(),
            t.model.as_deref(),
            t.description.as_deref(),
            to_json(&t.categories),
            to_json(&t.reporting),
            to_json(&t.schema),
            to_json(&t.slots),
            t.communication_interval.map(i64::from),
            micros(t.created),
            micros(t.updated),
        )?;
        Ok(())
    }

    /// Changes a type; false when there is none.
    pub async fn update_thing_type(&mut self, t: &ThingType) -> Result<bool, Error> {
        let touched = execute!(
            self,
            sql::UPDATE,
            t.tenant.uuid(),
            t.id.uuid(),
            &t.name,
            t.manufacturer.as_deref(),
            t.model.as_deref(),
            t.description.as_deref(),
            to_json(&t.categories),
            to_json(&t.reporting),
            to_json(&t.schema),
            to_json(&t.slots),
            t.communication_interval.map(i64::from),
            micros(t.updated),
        )?;
        Ok(touched == 1)
    }

    /// Removes a type that no thing is of; false when there is none.
    pub async fn delete_thing_type(&mut self, tenant: TenantId, id: ThingTypeId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), id.uuid())? == 1)
    }

    /// A thing of this type, if there is one.
    pub async fn thing_of_type(&mut self, id: ThingTypeId) -> Result<Option<ThingId>, Error> {
        Ok(fetch_optional!(self, UserRow, sql::IN_USE, id.uuid())?.map(|row| ThingId(row.thing)))
    }
}
