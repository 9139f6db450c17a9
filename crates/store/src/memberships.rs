//! Users in tenants.

use model::{Membership, PageRequest, Role, TenantId, UserId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    GET = "select tenant, user_id, role, created from membership where tenant = $1 and user_id = $2";
    OF_USER = "select tenant, user_id, role, created from membership where user_id = $1 order by created, tenant limit 1000";
    PAGE = "select tenant, user_id, role, created from membership where tenant = $1 and user_id > $2 order by user_id limit $3";
    COUNT_ROLE = "select count(*) as n from membership where tenant = $1 and role = $2";
    LOCK = "update tenant set name = name where id = $1";
    SET = "insert into membership (tenant, user_id, role, created) values ($1, $2, $3, $4) \
           on conflict (tenant, user_id) do update set role = excluded.role";
    DELETE = "delete from membership where tenant = $1 and user_id = $2";
}

row! {
    struct MembershipRow { tenant: Uuid, user_id: Uuid, role: String, created: i64 }
}

row! {
    struct CountRow { n: i64 }
}

impl MembershipRow {
    fn model(self) -> Result<Membership, Error> {
        let role: Role = self.role.parse().map_err(|e| Error::corrupt("membership", "role", self.user_id, e))?;
        Ok(Membership {
            tenant: TenantId(self.tenant),
            user: UserId(self.user_id),
            role,
            created: timestamp("membership", "created", self.created)?,
        })
    }
}

impl Tx {
    /// The user's membership in that tenant.
    pub async fn membership(&mut self, tenant: TenantId, user: UserId) -> Result<Option<Membership>, Error> {
        fetch_optional!(self, MembershipRow, sql::GET, tenant.uuid(), user.uuid())?.map(MembershipRow::model).transpose()
    }

    /// The user's memberships, oldest first, 1,000 at most.
    pub async fn memberships_of(&mut self, user: UserId) -> Result<Vec<Membership>, Error> {
        fetch_all!(self, MembershipRow, sql::OF_USER, user.uuid())?.into_iter().map(MembershipRow::model).collect()
    }

    /// A tenant's memberships by user, one more than the page holds.
    pub async fn memberships_in(&mut self, tenant: TenantId, after: Option<UserId>, page: &PageRequest) -> Result<Vec<Membership>, Error> {
        let after = after.map_or(Uuid::nil(), UserId::uuid);
        fetch_all!(self, MembershipRow, sql::PAGE, tenant.uuid(), after, i64::from(page.limit) + 1)?
            .into_iter()
            .map(MembershipRow::model)
            .collect()
    }

    /// How many members have that role.
    pub async fn count_members(&mut self, tenant: TenantId, role: Role) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_ROLE, tenant.uuid(), role.name())?.n.unsigned_abs())
    }

    /// Holds off other changes to this tenant's members until the transaction ends; false when there is no such tenant.
    pub async fn lock_tenant(&mut self, tenant: TenantId) -> Result<bool, Error> {
        Ok(execute!(self, sql::LOCK, tenant.uuid())? == 1)
    }

    /// Makes a membership, or changes its role.
    pub async fn set_membership(&mut self, m: &Membership) -> Result<(), Error> {
        execute!(self, sql::SET, m.tenant.uuid(), m.user.uuid(), m.role.name(), micros(m.created))?;
        Ok(())
    }

    /// Ends a membership; false when there is none.
    pub async fn delete_membership(&mut self, tenant: TenantId, user: UserId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), user.uuid())? == 1)
    }
}
