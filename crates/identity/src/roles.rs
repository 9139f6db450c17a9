//! Roles: those every tenant has, and those it makes; who has which.
//!
//! A member has one base role and any number of its tenant's own; what they permit is united. Nobody gives, takes, makes or
//! changes what permits more than they may themselves, and a tenant never loses its last owner.

use jiff::Timestamp;
use model::{Caller, Error, Membership, Permission, Result, Role, TenantId, User, UserId};
use store::{CustomPermissionRecord, Grants, RoleRecord, RoleSet, Tx};
use uuid::Uuid;

use crate::access::{self, may_allow};
use crate::memberships::keep_an_owner;
use crate::{Change, Identity, Listing, Span};

/// Roles a tenant may make.
const ROLES_MAX: u64 = 500;
/// Roles one member may have.
const HELD_MAX: usize = 50;
const DESCRIPTION_MAX: usize = 1_000;
const CUSTOM_MAX: usize = 500;
const ABSENT: Error = Error::NotFound { what: "role" };

/// A role of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRole {
    /// Its id; a base role has the same in every tenant.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The base role it is; nobody changes those.
    pub base: Option<Role>,
    /// What it permits.
    pub grants: Grants,
    /// Permissions of applications it carries.
    pub custom: Vec<CustomPermissionRecord>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// A role to be.
#[derive(Clone, Debug, Default)]
pub struct NewRole {
    /// Its name, unique in the tenant.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it permits.
    pub grants: Grants,
    /// Permissions of installed applications.
    pub custom: Vec<Uuid>,
}

/// What to change; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// Other permissions, as a whole.
    pub grants: Option<Grants>,
    /// Other permissions of applications, as a whole.
    pub custom: Option<Vec<Uuid>>,
}

/// A member with its roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleHolder {
    /// The person.
    pub user: User,
    /// All its roles in the tenant.
    pub roles: Vec<TenantRole>,
    /// Does it sign in with a second factor?
    pub two_factor: bool,
}

/// The id of a base role.
#[must_use]
pub fn base_role_id(role: Role) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:heliograph:role:{}", role.name()).as_bytes())
}

fn base_role_of(id: Uuid) -> Option<Role> {
    Role::ALL.iter().copied().find(|role| *role != Role::Guest && base_role_id(*role) == id)
}

fn base_role(role: Role, since: Timestamp) -> TenantRole {
    let description = match role {
        Role::Owner => "Default owner role with full access to all resources.",
        Role::Admin => "Default administrator role with full access to all resources but the end of the tenant.",
        Role::Writer => {
            "Default writer role including read and write access to every resource except the tenant itself and the tenant's user management."
        }
        Role::Reader => "Default reader role including read access to every resource except the tenant's user management.",
        Role::User => "Default role of an everyday member: a writer who also sees the other members.",
        Role::Guest => "",
    };
    let grants = Grants { permissions: role.permissions(), words: Vec::new() };
    let (name, description) = (role.name().to_owned(), description.to_owned());
    TenantRole { id: base_role_id(role), name, description, base: Some(role), grants, custom: Vec::new(), created: since, updated: since }
}

async fn own_role(tx: &mut Tx, record: RoleRecord) -> Result<TenantRole> {
    let mut custom = Vec::new();
    for id in tx.role_custom_permissions(record.id).await? {
        custom.extend(tx.custom_permission(id).await?);
    }
    custom.sort_by(|a, b| a.alias.cmp(&b.alias).then(a.id.cmp(&b.id)));
    let RoleRecord { id, name, description, grants, created, updated, .. } = record;
    Ok(TenantRole { id, name, description, base: None, grants, custom, created, updated })
}

/// All roles of a member, the tenant's own first, newest first.
pub(crate) async fn roles_of(tx: &mut Tx, membership: &Membership) -> Result<Vec<TenantRole>> {
    let since = tx.tenant(membership.tenant).await?.map_or(membership.created, |t| t.created);
    let mut records = tx.roles_of_member(membership.tenant, membership.user).await?;
    records.sort_by_key(|r| std::cmp::Reverse((r.created, r.id)));
    let mut all = Vec::with_capacity(records.len() + 1);
    for record in records {
        all.push(own_role(tx, record).await?);
    }
    if membership.role != Role::Guest {
        all.push(base_role(membership.role, since));
    }
    Ok(all)
}

/// The roles a set stands for; one that is gone is left out.
pub(crate) async fn roles_in(tx: &mut Tx, tenant: &model::Tenant, set: &RoleSet) -> Result<Vec<TenantRole>> {
    let mut all = Vec::new();
    for id in &set.roles {
        if let Some(record) = tx.role(tenant.id, *id).await? {
            all.push(own_role(tx, record).await?);
        }
    }
    if set.base != Role::Guest {
        all.push(base_role(set.base, tenant.created));
    }
    Ok(all)
}

/// What these ids stand for. Of several base roles the highest counts, for it permits what the others do.
pub(crate) async fn role_set(tx: &mut Tx, tenant: TenantId, ids: &[Uuid]) -> Result<RoleSet> {
    if ids.len() > HELD_MAX {
        return Err(Error::invalid("roles", format!("at most {HELD_MAX}")));
    }
    let mut set = RoleSet::base(Role::Guest);
    for id in ids {
        if let Some(role) = base_role_of(*id) {
            let wider = access::covers(role.permissions(), set.base.permissions()) && access::rank(role) >= access::rank(set.base);
            set.base = if wider { role } else { set.base };
        } else if tx.role(tenant, *id).await?.is_none() {
            return Err(Error::invalid("roles", "one of them is no role of this tenant"));
        } else if !set.roles.contains(id) {
            set.roles.push(*id);
        }
    }
    Ok(set)
}

/// May the caller give these roles?
pub(crate) async fn may_give(tx: &mut Tx, caller: &Caller, set: &RoleSet) -> Result<()> {
    access::may_grant(tx, caller, set.base).await?;
    for id in &set.roles {
        let role = tx.role(caller.tenant, *id).await?.ok_or(ABSENT)?;
        may_allow(caller, role.grants.permissions)?;
    }
    Ok(())
}

/// Gives a member exactly these roles.
pub(crate) async fn put_roles(tx: &mut Tx, membership: &Membership, set: &RoleSet, now: Timestamp) -> Result<()> {
    tx.set_membership(membership).await?;
    for held in tx.roles_of_member(membership.tenant, membership.user).await? {
        if !set.roles.contains(&held.id) {
            tx.take_role(membership, held.id).await?;
        }
    }
    for role in &set.roles {
        tx.give_role(membership, *role, now).await?;
    }
    Ok(())
}

impl Identity {
    /// The roles of the caller's tenant, newest first, the base roles last. `user` leaves those that member has.
    pub async fn roles(&self, caller: &Caller, user: Option<UserId>, span: Span) -> Result<Listing<TenantRole>> {
        caller.require(Permission::UserRead)?;
        self.all_roles(caller, user, span).await
    }

    /// The same list for who sees the tenant and not its members.
    pub async fn role_names(&self, caller: &Caller, span: Span) -> Result<Listing<TenantRole>> {
        caller.require(Permission::TenantRead)?;
        self.all_roles(caller, None, span).await
    }

    async fn all_roles(&self, caller: &Caller, user: Option<UserId>, span: Span) -> Result<Listing<TenantRole>> {
        let mut tx = self.inner.db.read().await?;
        let all = match user {
            Some(user) => {
                let member = tx.membership(caller.tenant, user).await?;
                match member {
                    Some(member) => roles_of(&mut tx, &member).await?,
                    None => Vec::new(),
                }
            }
            None => {
                let tenant = tx.tenant(caller.tenant).await?.ok_or(Error::not_found("tenant"))?;
                let mut all = Vec::new();
                for record in tx.roles(caller.tenant, u32::try_from(ROLES_MAX).unwrap_or(u32::MAX)).await? {
                    all.push(own_role(&mut tx, record).await?);
                }
                for role in [Role::Owner, Role::Writer, Role::Reader] {
                    all.push(base_role(role, tenant.created));
                }
                // Roles of other faces show where somebody has them.
                for role in [Role::Admin, Role::User] {
                    if tx.count_members(tenant.id, role).await? > 0 {
                        all.push(base_role(role, tenant.created));
                    }
                }
                all
            }
        };
        Ok(Listing::cut(all, span))
    }

    /// One role of the caller's tenant.
    pub async fn role(&self, caller: &Caller, id: Uuid) -> Result<TenantRole> {
        caller.require(Permission::UserRead)?;
        let mut tx = self.inner.db.read().await?;
        if let Some(role) = base_role_of(id) {
            let tenant = tx.tenant(caller.tenant).await?.ok_or(ABSENT)?;
            return Ok(base_role(role, tenant.created));
        }
        let record = tx.role(caller.tenant, id).await?.ok_or(ABSENT)?;
        own_role(&mut tx, record).await
    }

    /// How many members have a role.
    pub async fn count_holders(&self, caller: &Caller, role: &TenantRole) -> Result<u64> {
        let mut tx = self.inner.db.read().await?;
        Ok(match role.base {
            Some(base) => tx.count_members(caller.tenant, base).await?,
            None => tx.count_role_members(role.id).await?,
        })
    }

    /// Makes a role. Error: Conflict(name).
    pub async fn create_role(&self, caller: &Caller, new: NewRole) -> Result<TenantRole> {
        let outcome = self.do_create_role(caller, new).await;
        let target = outcome.as_ref().ok().map(|r| format!("role:{}", r.id));
        self.audited(caller, "role.created", target, outcome)
    }

    async fn do_create_role(&self, caller: &Caller, new: NewRole) -> Result<TenantRole> {
        caller.require(Permission::UserWrite)?;
        may_allow(caller, new.grants.permissions)?;
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        let record = RoleRecord {
            id: self.clock().new_id(),
            tenant: caller.tenant,
            name: free_name(&mut tx, caller.tenant, &new.name, None).await?,
            description: description(&new.description)?,
            grants: new.grants,
            created: now,
            updated: now,
        };
        if tx.count_roles(caller.tenant).await? >= ROLES_MAX {
            return Err(Error::invalid("name", format!("a tenant makes at most {ROLES_MAX} roles")));
        }
        tx.insert_role(&record).await?;
        carry(&mut tx, caller.tenant, record.id, &new.custom).await?;
        let role = own_role(&mut tx, record).await?;
        tx.commit().await?;
        Ok(role)
    }

    /// Changes a role. What it permits, before and after, the caller must be permitted too; base roles never change.
    pub async fn update_role(&self, caller: &Caller, id: Uuid, change: RoleChange) -> Result<TenantRole> {
        let outcome = self.do_update_role(caller, id, change).await;
        self.audited(caller, "role.updated", Some(format!("role:{id}")), outcome)
    }

    async fn do_update_role(&self, caller: &Caller, id: Uuid, change: RoleChange) -> Result<TenantRole> {
        caller.require(Permission::UserWrite)?;
        unlocked(id)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let mut record = tx.role(caller.tenant, id).await?.ok_or(ABSENT)?;
        may_allow(caller, record.grants.permissions)?;
        if let Some(name) = &change.name {
            record.name = free_name(&mut tx, caller.tenant, name, Some(id)).await?;
        }
        if let Some(text) = &change.description {
            record.description = description(text)?;
        }
        if let Some(grants) = change.grants {
            may_allow(caller, grants.permissions)?;
            record.grants = grants;
        }
        record.updated = self.clock().now();
        tx.update_role(&record).await?;
        if let Some(custom) = &change.custom {
            carry(&mut tx, caller.tenant, id, custom).await?;
        }
        let role = own_role(&mut tx, record).await?;
        let holders = tx.role_members(id, 0, 10_000).await?;
        tx.commit().await?;
        self.tell_holders(caller.tenant, &holders);
        Ok(role)
    }

    /// Removes a role, also from who has it; they stay members.
    pub async fn delete_role(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let outcome = self.do_delete_role(caller, id).await;
        self.audited(caller, "role.deleted", Some(format!("role:{id}")), outcome)
    }

    async fn do_delete_role(&self, caller: &Caller, id: Uuid) -> Result<()> {
        caller.require(Permission::UserWrite)?;
        unlocked(id)?;
        let mut tx = self.inner.db.begin().await?;
        let record = tx.role(caller.tenant, id).await?.ok_or(ABSENT)?;
        may_allow(caller, record.grants.permissions)?;
        let holders = tx.role_members(id, 0, 10_000).await?;
        tx.delete_role(caller.tenant, id).await?;
        tx.commit().await?;
        self.tell_holders(caller.tenant, &holders);
        Ok(())
    }

    fn tell_holders(&self, tenant: TenantId, holders: &[(UserId, Timestamp)]) {
        self.inner.directory.changed();
        for (user, _) in holders {
            self.inner.announce(Change::MemberChanged { tenant, user: *user, removed: false });
        }
    }

    /// Who has a role, who got it last first.
    pub async fn role_holders(&self, caller: &Caller, id: Uuid, span: Span) -> Result<Listing<RoleHolder>> {
        caller.require(Permission::UserRead)?;
        let mut tx = self.inner.db.read().await?;
        let (rows, total) = match base_role_of(id) {
            Some(base) => (tx.members_as(caller.tenant, base, span.skip, span.take).await?, tx.count_members(caller.tenant, base).await?),
            None => {
                tx.role(caller.tenant, id).await?.ok_or(ABSENT)?;
                (tx.role_members(id, span.skip, span.take).await?, tx.count_role_members(id).await?)
            }
        };
        drop(tx);
        Ok(Listing { items: self.holders(caller, rows).await?, total })
    }

    /// The members of the caller's tenant with their roles, who joined last first.
    pub async fn tenant_members(&self, caller: &Caller, span: Span) -> Result<Listing<RoleHolder>> {
        caller.require(Permission::UserRead)?;
        let mut tx = self.inner.db.read().await?;
        let rows = tx.members_since(caller.tenant, span.skip, span.take).await?;
        let total = tx.count_all_members(caller.tenant).await?;
        drop(tx);
        Ok(Listing { items: self.holders(caller, rows).await?, total })
    }

    async fn holders(&self, caller: &Caller, rows: Vec<(UserId, Timestamp)>) -> Result<Vec<RoleHolder>> {
        let mut all = Vec::with_capacity(rows.len());
        for (id, _) in rows {
            let Some(standing) = self.inner.directory.user(id).await? else { continue };
            let Some(membership) = standing.membership(caller.tenant) else { continue };
            let roles = roles_of(&mut self.inner.db.read().await?, membership).await?;
            all.push(RoleHolder { user: standing.record.user.clone(), roles, two_factor: standing.factor.enrolled });
        }
        Ok(all)
    }

    /// A member's roles; one's own without permission. Error: NotFound(member).
    pub async fn member_roles(&self, caller: &Caller, user: UserId) -> Result<Vec<TenantRole>> {
        let membership = self.membership(caller, user).await?;
        roles_of(&mut self.inner.db.read().await?, &membership).await
    }

    /// Gives a member exactly these roles. Error: Invalid(roles) for one that is none, Forbidden for more than the caller has.
    pub async fn set_member_roles(&self, caller: &Caller, user: UserId, roles: &[Uuid]) -> Result<()> {
        let outcome = self.do_set_member_roles(caller, user, roles).await;
        self.audited(caller, "member.changed", Some(format!("user:{user}")), outcome)
    }

    async fn do_set_member_roles(&self, caller: &Caller, user: UserId, roles: &[Uuid]) -> Result<()> {
        caller.require(Permission::UserWrite)?;
        let mut tx = self.inner.db.begin().await?;
        tx.lock_tenant(caller.tenant).await?;
        let old = tx.membership(caller.tenant, user).await?.ok_or(Error::not_found("member"))?;
        let set = role_set(&mut tx, caller.tenant, roles).await?;
        access::may_change(&mut tx, caller, &old).await?;
        may_give(&mut tx, caller, &set).await?;
        if set.base != Role::Owner {
            keep_an_owner(&mut tx, &old).await?;
        }
        put_roles(&mut tx, &Membership { role: set.base, ..old }, &set, self.clock().now()).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: caller.tenant, user, removed: false });
        Ok(())
    }
}

fn unlocked(id: Uuid) -> Result<()> {
    match base_role_of(id) {
        Some(_) => Err(Error::Forbidden(model::Denial::Rule("this role is every tenant's and cannot be changed"))),
        None => Ok(()),
    }
}

/// A name no other role of the tenant has; those of the base roles are taken.
async fn free_name(tx: &mut Tx, tenant: TenantId, name: &str, own: Option<Uuid>) -> Result<String> {
    let name = access::text("name", name)?;
    let based = Role::ALL.iter().any(|role| role.name().eq_ignore_ascii_case(&name));
    let taken = tx.role_named(tenant, &name).await?.is_some_and(|other| Some(other.id) != own);
    if based || taken { Err(Error::conflict("name", "another role has it")) } else { Ok(name) }
}

fn description(text: &str) -> Result<String> {
    if text.chars().count() > DESCRIPTION_MAX || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
        return Err(Error::invalid("description", format!("must be at most {DESCRIPTION_MAX} printable characters")));
    }
    Ok(text.to_owned())
}

/// Lets a role carry permissions of applications that are installed in its tenant.
async fn carry(tx: &mut Tx, tenant: TenantId, role: Uuid, custom: &[Uuid]) -> Result<()> {
    if custom.len() > CUSTOM_MAX {
        return Err(Error::invalid("customPermissions", format!("at most {CUSTOM_MAX}")));
    }
    for id in custom {
        let found = tx.custom_permission(*id).await?;
        let here = match &found {
            Some(permission) => tx.installation(permission.application, tenant).await?.is_some(),
            None => false,
        };
        if !here {
            return Err(Error::invalid("customPermissions", "one of them is no permission of an application installed here"));
        }
    }
    Ok(tx.set_role_custom_permissions(role, custom).await?)
}
