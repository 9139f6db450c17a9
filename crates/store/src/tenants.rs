//! Tenants.

use model::{PageRequest, PlanName, Tenant, TenantId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    BY_ID = "select id, name, affiliation, plan, plan_since, created from tenant where id = $1";
    BY_NAME = "select id, name, affiliation, plan, plan_since, created from tenant where name = $1";
    PAGE = "select id, name, affiliation, plan, plan_since, created from tenant where id > $1 order by id limit $2";
    INSERT = "insert into tenant (id, name, affiliation, plan, plan_since, created) values ($1, $2, $3, $4, $5, $6)";
    UPDATE = "update tenant set name = $2, affiliation = $3, plan = $4, plan_since = $5 where id = $1";
    DELETE = "delete from tenant where id = $1";
}

row! {
    struct TenantRow { id: Uuid, name: String, affiliation: Option<String>, plan: String, plan_since: i64, created: i64 }
}

impl TenantRow {
    fn model(self) -> Result<Tenant, Error> {
        let plan: PlanName = self.plan.parse().map_err(|e| Error::corrupt("tenant", "plan", self.id, e))?;
        Ok(Tenant {
            id: TenantId(self.id),
            name: self.name,
            affiliation: self.affiliation,
            plan,
            plan_since: timestamp("tenant", "plan_since", self.plan_since)?,
            created: timestamp("tenant", "created", self.created)?,
        })
    }
}

impl Tx {
    /// The tenant, if there is one.
    pub async fn tenant(&mut self, id: TenantId) -> Result<Option<Tenant>, Error> {
        fetch_optional!(self, TenantRow, sql::BY_ID, id.uuid())?.map(TenantRow::model).transpose()
    }

    /// The tenant of that name.
    pub async fn tenant_named(&mut self, name: &str) -> Result<Option<Tenant>, Error> {
        fetch_optional!(self, TenantRow, sql::BY_NAME, name)?.map(TenantRow::model).transpose()
    }

    /// Tenants by id, one more than the page holds.
    pub async fn tenants(&mut self, after: Option<TenantId>, page: &PageRequest) -> Result<Vec<Tenant>, Error> {
        let after = after.map_or(Uuid::nil(), TenantId::uuid);
        fetch_all!(self, TenantRow, sql::PAGE, after, i64::from(page.limit) + 1)?.into_iter().map(TenantRow::model).collect()
    }

    /// Adds a tenant.
    pub async fn insert_tenant(&mut self, t: &Tenant) -> Result<(), Error> {
        execute!(self, sql::INSERT, t.id.uuid(), &t.name, &t.affiliation, t.plan.name(), micros(t.plan_since), micros(t.created))?;
        Ok(())
    }

    /// Changes a tenant; false when there is none.
    pub async fn update_tenant(&mut self, t: &Tenant) -> Result<bool, Error> {
        Ok(execute!(self, sql::UPDATE, t.id.uuid(), &t.name, &t.affiliation, t.plan.name(), micros(t.plan_since))? == 1)
    }

    /// Removes a tenant and, by cascade, all that is its; false when there is none.
    pub async fn delete_tenant(&mut self, id: TenantId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id.uuid())? == 1)
    }
}
