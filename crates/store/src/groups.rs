//! Fleets: groups of things, user profiles, calls by day.

use jiff::Timestamp;
use model::{TenantId, ThingId, UserId};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    GROUP = "select id, name, description, created, updated from thing_group where tenant = $1 and id = $2";
    GROUP_NAMED = "select id, name, description, created, updated from thing_group where tenant = $1 and name = $2";
    GROUPS = "select id, name, description, created, updated from thing_group where tenant = $1 order by id limit $2";
    COUNT_GROUPS = "select count(*) as n from thing_group where tenant = $1";
    INSERT_GROUP = "insert into thing_group (id, tenant, name, description, created, updated) values ($1, $2, $3, $4, $5, $6)";
    UPDATE_GROUP = "update thing_group set name = $3, description = $4, updated = $5 where tenant = $1 and id = $2";
    DELETE_GROUP = "delete from thing_group where tenant = $1 and id = $2";
    MEMBERS = "select m.group_id, t.thing_key from thing_group_member m join thing t on t.id = m.thing \
               where m.tenant = $1 and m.group_id = $2 order by m.position";
    ALL_MEMBERS = "select m.group_id, t.thing_key from thing_group_member m join thing t on t.id = m.thing \
                   where m.tenant = $1 order by m.group_id, m.position";
    COUNT_MEMBERS = "select count(*) as n from thing_group_member where tenant = $1";
    CLEAR_MEMBERS = "delete from thing_group_member where tenant = $1 and group_id = $2";
    ADD_MEMBER = "insert into thing_group_member (tenant, group_id, position, thing) values ($1, $2, $3, $4)";
    PROFILE = "select user_id, profile, updated, last_login from user_profile where tenant = $1 and user_id = $2";
    PROFILES = "select user_id, profile, updated, last_login from user_profile where tenant = $1 and user_id > $2 order by user_id limit $3";
    SET_PROFILE = "insert into user_profile (tenant, user_id, profile, updated, last_login) values ($1, $2, $3, $4, null) \
                   on conflict (tenant, user_id) do update set profile = excluded.profile, updated = excluded.updated";
    LOGGED_IN = "insert into user_profile (tenant, user_id, profile, updated, last_login) values ($1, $2, '{}', 0, $3) \
                 on conflict (tenant, user_id) do update set last_login = excluded.last_login";
    CALLS = "select user_id, calls from api_calls where tenant = $1 and day = $2";
    ADD_CALLS = "insert into api_calls (tenant, day, user_id, calls) values ($1, $2, $3, $4) \
                 on conflict (tenant, day, user_id) do update set calls = api_calls.calls + excluded.calls";
    PURGE_CALLS = "delete from api_calls where tenant = $1 and day < $2";
}

row! { struct GroupRow { id: Uuid, name: String, description: Option<String>, created: i64, updated: i64 } }
row! { struct MemberRow { group_id: Uuid, thing_key: String } }
row! { struct CountRow { n: i64 } }
row! { struct ProfileRow { user_id: Uuid, profile: String, updated: i64, last_login: Option<i64> } }
row! { struct CallsRow { user_id: Uuid, calls: i64 } }

/// A group of things, without its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// What a fleet platform knows of a member beyond its account.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRecord {
    /// The member.
    pub user: UserId,
    /// Free fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// When the fields were last changed; absent: never.
    pub updated: Option<Timestamp>,
    /// When the member last signed in there.
    pub last_login: Option<Timestamp>,
}

impl GroupRow {
    fn model(self) -> Result<GroupRecord, Error> {
        Ok(GroupRecord {
            id: self.id,
            name: self.name,
            description: self.description,
            created: timestamp("thing_group", "created", self.created)?,
            updated: timestamp("thing_group", "updated", self.updated)?,
        })
    }
}

impl ProfileRow {
    fn model(self) -> Result<ProfileRecord, Error> {
        let changed = Some(self.updated).filter(|at| *at > 0);
        Ok(ProfileRecord {
            user: UserId(self.user_id),
            fields: from_json("user_profile", "profile", &self.profile)?,
            updated: changed.map(|at| timestamp("user_profile", "updated", at)).transpose()?,
            last_login: self.last_login.map(|at| timestamp("user_profile", "last_login", at)).transpose()?,
        })
    }
}

fn count(row: CountRow) -> u64 {
    u64::try_from(row.n).unwrap_or(0)
}

impl Tx {
    /// The tenant's group with this id.
    pub async fn group(&mut self, tenant: TenantId, id: Uuid) -> Result<Option<GroupRecord>, Error> {
        fetch_optional!(self, GroupRow, sql::GROUP, tenant.uuid(), id)?.map(GroupRow::model).transpose()
    }

    /// The tenant's group of this name.
    pub async fn group_named(&mut self, tenant: TenantId, name: &str) -> Result<Option<GroupRecord>, Error> {
        fetch_optional!(self, GroupRow, sql::GROUP_NAMED, tenant.uuid(), name)?.map(GroupRow::model).transpose()
    }

    /// The tenant's groups by id, at most `limit`.
    pub async fn groups(&mut self, tenant: TenantId, limit: u32) -> Result<Vec<GroupRecord>, Error> {
        fetch_all!(self, GroupRow, sql::GROUPS, tenant.uuid(), i64::from(limit))?.into_iter().map(GroupRow::model).collect()
    }

    /// How many groups the tenant has.
    pub async fn count_groups(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(count(fetch_one!(self, CountRow, sql::COUNT_GROUPS, tenant.uuid())?))
    }

    /// Adds a group.
    pub async fn insert_group(&mut self, tenant: TenantId, g: &GroupRecord) -> Result<(), Error> {
        execute!(self, sql::INSERT_GROUP, g.id, tenant.uuid(), &g.name, &g.description, micros(g.created), micros(g.updated))?;
        Ok(())
    }

    /// Changes a group; false when there is none.
    pub async fn update_group(&mut self, tenant: TenantId, g: &GroupRecord) -> Result<bool, Error> {
        Ok(execute!(self, sql::UPDATE_GROUP, tenant.uuid(), g.id, &g.name, &g.description, micros(g.updated))? == 1)
    }

    /// Removes a group, not its things; false when there is none.
    pub async fn delete_group(&mut self, tenant: TenantId, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_GROUP, tenant.uuid(), id)? == 1)
    }

    /// The keys of a group's things, in their order.
    pub async fn group_members(&mut self, tenant: TenantId, group: Uuid) -> Result<Vec<String>, Error> {
        let rows = fetch_all!(self, MemberRow, sql::MEMBERS, tenant.uuid(), group)?;
        Ok(rows.into_iter().map(|row| row.thing_key).collect())
    }

    /// Group and key of every thing in a group of the tenant.
    pub async fn all_group_members(&mut self, tenant: TenantId) -> Result<Vec<(Uuid, String)>, Error> {
        let rows = fetch_all!(self, MemberRow, sql::ALL_MEMBERS, tenant.uuid())?;
        Ok(rows.into_iter().map(|row| (row.group_id, row.thing_key)).collect())
    }

    /// How many places in groups the tenant's things take.
    pub async fn count_group_members(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(count(fetch_one!(self, CountRow, sql::COUNT_MEMBERS, tenant.uuid())?))
    }

    /// Says which things a group has; each of them once.
    pub async fn set_group_members(&mut self, tenant: TenantId, group: Uuid, things: &[ThingId]) -> Result<(), Error> {
        execute!(self, sql::CLEAR_MEMBERS, tenant.uuid(), group)?;
        for (position, thing) in (0i64..).zip(things) {
            execute!(self, sql::ADD_MEMBER, tenant.uuid(), group, position, thing.uuid())?;
        }
        Ok(())
    }

    /// A member's profile.
    pub async fn user_profile(&mut self, tenant: TenantId, user: UserId) -> Result<Option<ProfileRecord>, Error> {
        fetch_optional!(self, ProfileRow, sql::PROFILE, tenant.uuid(), user.uuid())?.map(ProfileRow::model).transpose()
    }

    /// Profiles of the tenant's members by user, at most `limit`.
    pub async fn user_profiles(&mut self, tenant: TenantId, after: Option<UserId>, limit: u32) -> Result<Vec<ProfileRecord>, Error> {
        let after = after.map_or(Uuid::nil(), UserId::uuid);
        fetch_all!(self, ProfileRow, sql::PROFILES, tenant.uuid(), after, i64::from(limit))?.into_iter().map(ProfileRow::model).collect()
    }

    /// Sets a member's profile; it goes with the membership.
    pub async fn set_user_profile(
        &mut self,
        tenant: TenantId,
        user: UserId,
        fields: &serde_json::Map<String, serde_json::Value>,
        at: Timestamp,
    ) -> Result<(), Error> {
        execute!(self, sql::SET_PROFILE, tenant.uuid(), user.uuid(), to_json(fields), micros(at))?;
        Ok(())
    }

    /// A member signed in.
    pub async fn user_logged_in(&mut self, tenant: TenantId, user: UserId, at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::LOGGED_IN, tenant.uuid(), user.uuid(), micros(at))?;
        Ok(())
    }

    /// The day's calls by user; nil stands for callers that are no users.
    pub async fn api_calls(&mut self, tenant: TenantId, day: i64) -> Result<Vec<(Uuid, u64)>, Error> {
        let rows = fetch_all!(self, CallsRow, sql::CALLS, tenant.uuid(), day)?;
        Ok(rows.into_iter().map(|row| (row.user_id, u64::try_from(row.calls).unwrap_or(0))).collect())
    }

    /// Adds to a user's calls of the day.
    pub async fn add_api_calls(&mut self, tenant: TenantId, day: i64, user: Uuid, more: u64) -> Result<(), Error> {
        execute!(self, sql::ADD_CALLS, tenant.uuid(), day, user, i64::try_from(more).unwrap_or(i64::MAX))?;
        Ok(())
    }

    /// Forgets the calls of days before this one.
    pub async fn purge_api_calls(&mut self, tenant: TenantId, before: i64) -> Result<(), Error> {
        execute!(self, sql::PURGE_CALLS, tenant.uuid(), before)?;
        Ok(())
    }
}
