//! Tenants: made and ended by operators, looked after by their owners and administrators.

use model::{Caller, Denial, Error, Page, PageRequest, Permission, PlanName, Result, Role, Tenant, TenantId};
use store::Tx;

use crate::access::{self, cursor, own_tenant};
use crate::{Change, Identity, MemberOf, NewTenant, TenantChange};

impl Identity {
    /// Makes a tenant; operators only.
    pub async fn create_tenant(&self, caller: &Caller, new: NewTenant) -> Result<Tenant> {
        let outcome = self.do_create_tenant(caller, new).await;
        let target = outcome.as_ref().ok().map(|t| format!("tenant:{}", t.id));
        self.audited(caller, "tenant.created", target, outcome)
    }

    async fn do_create_tenant(&self, caller: &Caller, new: NewTenant) -> Result<Tenant> {
        caller.require(Permission::Operate)?;
        let mut tx = self.inner.db.begin().await?;
        let tenant = self.insert_tenant(&mut tx, new).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(tenant)
    }

    /// Checks and adds a tenant within a transaction.
    pub(crate) async fn insert_tenant(&self, tx: &mut Tx, new: NewTenant) -> Result<Tenant> {
        let now = self.clock().now();
        let tenant = Tenant {
            id: new.id.unwrap_or_else(|| self.clock().new_id()),
            name: access::text("name", &new.name)?,
            affiliation: access::optional_text("affiliation", new.affiliation.as_deref())?,
            plan: new.plan.unwrap_or(PlanName::Amber),
            plan_since: now,
            created: now,
        };
        if tx.tenant_named(&tenant.name).await?.is_some() {
            return Err(Error::conflict("name", "another tenant has it"));
        }
        if tx.tenant(tenant.id).await?.is_some() {
            return Err(Error::conflict("id", "another tenant has it"));
        }
        tx.insert_tenant(&tenant).await?;
        Ok(tenant)
    }

    /// One's own tenant; operators: any.
    pub async fn tenant(&self, caller: &Caller, id: TenantId) -> Result<Tenant> {
        own_tenant(caller, id)?;
        caller.require(Permission::TenantRead)?;
        self.inner.db.read().await?.tenant(id).await?.ok_or(Error::not_found("tenant"))
    }

    /// Operators: every tenant, by id. Others: the tenants they are a member of.
    pub async fn tenants(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Tenant>> {
        caller.require(Permission::TenantRead)?;
        let after: Option<TenantId> = cursor(page.cursor.as_deref())?;
        if caller.permissions.has(Permission::Operate) {
            let rows = self.inner.db.read().await?.tenants(after, page).await?;
            return Ok(Page::cut(rows, page.limit, |t| t.id.to_string()));
        }
        let mut own = match caller.user() {
            Some(_) => self.memberships_of(caller).await?.into_iter().map(|m| m.tenant).collect(),
            None => vec![self.tenant(caller, caller.tenant).await?],
        };
        own.sort_by_key(|t| t.id);
        own.retain(|t| after.is_none_or(|after| t.id > after));
        Ok(Page::cut(own, page.limit, |t| t.id.to_string()))
    }

    /// Changes a tenant. Its name is its administrators' to change; plan and affiliation are an operator's.
    pub async fn update_tenant(&self, caller: &Caller, id: TenantId, change: TenantChange) -> Result<Tenant> {
        let outcome = self.do_update_tenant(caller, id, change).await;
        self.audited(caller, "tenant.updated", Some(format!("tenant:{id}")), outcome)
    }

    async fn do_update_tenant(&self, caller: &Caller, id: TenantId, change: TenantChange) -> Result<Tenant> {
        own_tenant(caller, id)?;
        caller.require(Permission::TenantWrite)?;
        if change.plan.is_some() || change.affiliation.is_some() {
            caller.require(Permission::Operate)?;
        }
        let mut tx = self.inner.db.begin().await?;
        let mut tenant = tx.tenant(id).await?.ok_or(Error::not_found("tenant"))?;
        if let Some(name) = &change.name {
            tenant.name = access::text("name", name)?;
            if tx.tenant_named(&tenant.name).await?.is_some_and(|other| other.id != id) {
                return Err(Error::conflict("name", "another tenant has it"));
            }
        }
        if let Some(affiliation) = &change.affiliation {
            tenant.affiliation = access::optional_text("affiliation", affiliation.as_deref())?;
        }
        if let Some(plan) = change.plan
            && plan != tenant.plan
        {
            tenant.plan = plan;
            tenant.plan_since = self.clock().now();
        }
        tx.update_tenant(&tenant).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(tenant)
    }

    /// Ends a tenant with all that is its: owners and operators only. Users stay, without this membership.
    pub async fn delete_tenant(&self, caller: &Caller, id: TenantId) -> Result<()> {
        let outcome = self.do_delete_tenant(caller, id).await;
        self.audited(caller, "tenant.deleted", Some(format!("tenant:{id}")), outcome)
    }

    async fn do_delete_tenant(&self, caller: &Caller, id: TenantId) -> Result<()> {
        own_tenant(caller, id)?;
        caller.require(Permission::TenantWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if access::rank_of(&mut tx, caller).await? < access::rank(Role::Owner) {
            return Err(Error::Forbidden(Denial::Rule("only its owner ends a tenant")));
        }
        if !tx.delete_tenant(id).await? {
            return Err(Error::not_found("tenant"));
        }
        tx.commit().await?;
        self.inner.announce(Change::TenantRemoved(id));
        Ok(())
    }

    /// The tenants the calling user is a member of, oldest membership first.
    pub async fn memberships_of(&self, caller: &Caller) -> Result<Vec<MemberOf>> {
        let Some(user) = caller.user() else { return Ok(Vec::new()) };
        let mut tx = self.inner.db.read().await?;
        let mut all = Vec::new();
        for membership in tx.memberships_of(user).await? {
            if let Some(tenant) = tx.tenant(membership.tenant).await? {
                all.push(MemberOf { tenant, membership });
            }
        }
        Ok(all)
    }
}
