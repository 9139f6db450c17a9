//! Roles that tenants make, and who has them.

use model::{Membership, Permissions, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, name, description, grants, created, updated from tenant_role where id = $1 and tenant = $2";
    NAMED = "select id, tenant, name, description, grants, created, updated from tenant_role where tenant = $1 and name = $2";
    OF_TENANT = "select id, tenant, name, description, grants, created, updated from tenant_role where tenant = $1 \
                 order by created desc, id desc limit $2";
    INSERT = "insert into tenant_role (id, tenant, name, description, grants, created, updated) values ($1, $2, $3, $4, $5, $6, $7)";
    UPDATE = "update tenant_role set name = $3, description = $4, grants = $5, updated = $6 where id = $1 and tenant = $2";
    DELETE = "delete from tenant_role where id = $1 and tenant = $2";
    COUNT = "select count(*) as n from tenant_role where tenant = $1";
    OF_MEMBER = "select r.id, r.tenant, r.name, r.description, r.grants, r.created, r.updated from member_role m \
                 join tenant_role r on r.id = m.role where m.tenant = $1 and m.user_id = $2 limit 1000";
    OF_USER = "select r.tenant, r.grants from member_role m join tenant_role r on r.id = m.role where m.user_id = $1 limit 10000";
    GIVE = "insert into member_role (tenant, user_id, role, created) values ($1, $2, $3, $4) on conflict (tenant, user_id, role) do nothing";
    TAKE = "delete from member_role where tenant = $1 and user_id = $2 and role = $3";
    COUNT_MEMBERS = "select count(*) as n from member_role where role = $1";
    MEMBERS = "select user_id, created from member_role where role = $1 order by created desc, user_id desc limit $2 offset $3";
    MEMBERS_AS = "select user_id, created from membership where tenant = $1 and role = $2 order by created desc, user_id desc limit $3 offset $4";
    MEMBERS_SINCE = "select user_id, created from membership where tenant = $1 order by created desc, user_id desc limit $2 offset $3";
    COUNT_ALL_MEMBERS = "select count(*) as n from membership where tenant = $1";
    CUSTOM_OF = "select permission from role_custom_permission where role = $1 limit 1000";
    ADD_CUSTOM = "insert into role_custom_permission (role, permission) values ($1, $2) on conflict (role, permission) do nothing";
    CLEAR_CUSTOM = "delete from role_custom_permission where role = $1";
}

row! {
    struct RoleRow { id: Uuid, tenant: Uuid, name: String, description: String, grants: String, created: i64, updated: i64 }
}
row! {
    struct GrantsRow { tenant: Uuid, grants: String }
}
row! {
    struct CountRow { n: i64 }
}
row! {
    struct SinceRow { user_id: Uuid, created: i64 }
}
row! {
    struct PermissionRow { permission: Uuid }
}

/// Permissions, and what the face in which they were chosen calls them: several of its words may stand for one of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// What is permitted.
    #[serde(with = "names")]
    pub permissions: Permissions,
    /// The face's own words for it, to be shown again.
    #[serde(default)]
    pub words: Vec<String>,
}

/// Permissions by name.
mod names {
    use model::{Permission, Permissions};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &Permissions, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(Permission::name))
    }

    /// A name this version does not know permits nothing.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Permissions, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(Permissions::of(&names.iter().filter_map(|n| n.parse().ok()).collect::<Vec<_>>()))
    }
}

/// A role that a tenant made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    /// Its id.
    pub id: Uuid,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it permits.
    pub grants: Grants,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl RoleRow {
    fn model(self) -> Result<RoleRecord, Error> {
        Ok(RoleRecord {
            id: self.id,
            tenant: TenantId(self.tenant),
            name: self.name,
            description: self.description,
            grants: from_json("tenant_role", "grants", &self.grants)?,
            created: timestamp("tenant_role", "created", self.created)?,
            updated: timestamp("tenant_role", "updated", self.updated)?,
        })
    }
}

impl SinceRow {
    fn model(self) -> Result<(UserId, Timestamp), Error> {
        Ok((UserId(self.user_id), timestamp("member_role", "created", self.created)?))
    }
}

impl Tx {
    /// A role of that tenant.
    pub async fn role(&mut self, tenant: TenantId, id: Uuid) -> Result<Option<RoleRecord>, Error> {
        fetch_optional!(self, RoleRow, sql::BY_ID, id, tenant.uuid())?.map(RoleRow::model).transpose()
    }

    /// The tenant's role of that name.
    pub async fn role_named(&mut self, tenant: TenantId, name: &str) -> Result<Option<RoleRecord>, Error> {
        fetch_optional!(self, RoleRow, sql::NAMED, tenant.uuid(), name)?.map(RoleRow::model).transpose()
    }

    /// A tenant's roles, newest first.
    pub async fn roles(&mut self, tenant: TenantId, limit: u32) -> Result<Vec<RoleRecord>, Error> {
        fetch_all!(self, RoleRow, sql::OF_TENANT, tenant.uuid(), i64::from(limit))?.into_iter().map(RoleRow::model).collect()
    }

    /// How many roles a tenant made.
    pub async fn count_roles(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n.unsigned_abs())
    }

    /// Adds a role.
    pub async fn insert_role(&mut self, r: &RoleRecord) -> Result<(), Error> {
        let (created, updated) = (micros(r.created), micros(r.updated));
        execute!(self, sql::INSERT, r.id, r.tenant.uuid(), &r.name, &r.description, to_json(&r.grants), created, updated)?;
        Ok(())
    }

    /// Changes a role of that tenant; false when there is none.
    pub async fn update_role(&mut self, r: &RoleRecord) -> Result<bool, Error> {
        let done = execute!(self, sql::UPDATE, r.id, r.tenant.uuid(), &r.name, &r.description, to_json(&r.grants), micros(r.updated))?;
        Ok(done == 1)
    }

    /// Removes a role, also from who has it; false when there is none.
    pub async fn delete_role(&mut self, tenant: TenantId, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, id, tenant.uuid())? == 1)
    }

    /// The roles a member has beside its base role.
    pub async fn roles_of_member(&mut self, tenant: TenantId, user: UserId) -> Result<Vec<RoleRecord>, Error> {
        fetch_all!(self, RoleRow, sql::OF_MEMBER, tenant.uuid(), user.uuid())?.into_iter().map(RoleRow::model).collect()
    }

    /// What a user's roles permit beside its base roles, tenant by tenant.
    pub async fn role_grants_of(&mut self, user: UserId) -> Result<Vec<(TenantId, Permissions)>, Error> {
        let rows = fetch_all!(self, GrantsRow, sql::OF_USER, user.uuid())?;
        rows.into_iter()
            .map(|row| Ok((TenantId(row.tenant), from_json::<Grants>("tenant_role", "grants", &row.grants)?.permissions)))
            .collect()
    }

    /// Gives a member a role; it may have it already.
    pub async fn give_role(&mut self, m: &Membership, role: Uuid, at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::GIVE, m.tenant.uuid(), m.user.uuid(), role, micros(at))?;
        Ok(())
    }

    /// Takes a role from a member.
    pub async fn take_role(&mut self, m: &Membership, role: Uuid) -> Result<(), Error> {
        execute!(self, sql::TAKE, m.tenant.uuid(), m.user.uuid(), role)?;
        Ok(())
    }

    /// How many members have a role.
    pub async fn count_role_members(&mut self, role: Uuid) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_MEMBERS, role)?.n.unsigned_abs())
    }

    /// Who has a role, who got it last first.
    pub async fn role_members(&mut self, role: Uuid, skip: u32, take: u32) -> Result<Vec<(UserId, Timestamp)>, Error> {
        fetch_all!(self, SinceRow, sql::MEMBERS, role, i64::from(take), i64::from(skip))?.into_iter().map(SinceRow::model).collect()
    }

    /// Who has a base role in a tenant, who joined last first.
    pub async fn members_as(
        &mut self,
        tenant: TenantId,
        role: model::Role,
        skip: u32,
        take: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, Error> {
        fetch_all!(self, SinceRow, sql::MEMBERS_AS, tenant.uuid(), role.name(), i64::from(take), i64::from(skip))?
            .into_iter()
            .map(SinceRow::model)
            .collect()
    }

    /// A tenant's members, who joined last first.
    pub async fn members_since(&mut self, tenant: TenantId, skip: u32, take: u32) -> Result<Vec<(UserId, Timestamp)>, Error> {
        fetch_all!(self, SinceRow, sql::MEMBERS_SINCE, tenant.uuid(), i64::from(take), i64::from(skip))?
            .into_iter()
            .map(SinceRow::model)
            .collect()
    }

    /// How many members a tenant has.
    pub async fn count_all_members(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(fetch_one!(self, CountRow, sql::COUNT_ALL_MEMBERS, tenant.uuid())?.n.unsigned_abs())
    }

    /// The custom permissions a role carries.
    pub async fn role_custom_permissions(&mut self, role: Uuid) -> Result<Vec<Uuid>, Error> {
        Ok(fetch_all!(self, PermissionRow, sql::CUSTOM_OF, role)?.into_iter().map(|row| row.permission).collect())
    }

    /// Lets a role carry exactly these custom permissions.
    pub async fn set_role_custom_permissions(&mut self, role: Uuid, permissions: &[Uuid]) -> Result<(), Error> {
        execute!(self, sql::CLEAR_CUSTOM, role)?;
        for permission in permissions {
            execute!(self, sql::ADD_CUSTOM, role, *permission)?;
        }
        Ok(())
    }
}
