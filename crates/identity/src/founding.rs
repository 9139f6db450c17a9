//! Tenants that any signed-in user may found, and what its founder says of billing.

use model::{Caller, Denial, Error, Permission, Result, Role, Tenant, UserId};
use serde_json::{Map, Value};
use store::CustomPermissionRecord;

use crate::accounts::{OWNED_MAX, TOO_MANY_ACCOUNTS};
use crate::roles::roles_of;
use crate::{Change, Identity, Listing, MemberOf, NewTenant, Span, TenantRole};

const CONTRACT_MAX: usize = 16 * 1024;

/// What a member may do, in our words and in applications'.
#[derive(Clone, Debug)]
pub struct MayDo {
    /// Of the gateway.
    pub permissions: model::Permissions,
    /// Of installed applications, by the roles that carry them.
    pub custom: Vec<CustomPermissionRecord>,
}

impl Identity {
    /// Makes a tenant that the calling user owns, on the plan of self-registration. Error: Unavailable where the operator does not
    /// let users found tenants, Conflict(name).
    pub async fn found_tenant(&self, caller: &Caller, name: &str, contract: Map<String, Value>) -> Result<Tenant> {
        let outcome = self.do_found_tenant(caller, name, contract).await;
        let target = outcome.as_ref().ok().map(|t| format!("tenant:{}", t.id));
        let tenant = outcome.as_ref().map_or(caller.tenant, |t| t.id);
        self.audited(&Caller { tenant, ..caller.clone() }, "tenant.created", target, outcome)
    }

    async fn do_found_tenant(&self, caller: &Caller, name: &str, contract: Map<String, Value>) -> Result<Tenant> {
        let user = caller.user().ok_or(Error::Forbidden(Denial::Rule("only users own tenants")))?;
        if !self.inner.options.found_tenants {
            return Err(Error::unavailable("users cannot make tenants here; ask the operator"));
        }
        check_contract(&contract)?;
        let mut tx = self.inner.db.begin().await?;
        let owned = tx.memberships_of(user).await?.iter().filter(|m| m.role == Role::Owner).count();
        if owned >= OWNED_MAX {
            return Err(TOO_MANY_ACCOUNTS);
        }
        let plan = Some(self.inner.options.registration_plan);
        let tenant = self.insert_tenant(&mut tx, NewTenant { name: name.to_owned(), plan, ..NewTenant::default() }).await?;
        let membership = self.joining(&mut tx, tenant.id, user, Role::Owner).await?;
        tx.set_membership(&membership).await?;
        tx.set_tenant_contract(tenant.id, &contract).await?;
        tx.commit().await?;
        self.inner.announce(Change::MemberChanged { tenant: tenant.id, user, removed: false });
        Ok(tenant)
    }

    /// What was said of billing; empty where nothing was.
    pub async fn tenant_contract(&self, caller: &Caller) -> Result<Map<String, Value>> {
        caller.require(Permission::TenantRead)?;
        Ok(self.inner.db.read().await?.tenant_contract(caller.tenant).await?.unwrap_or_default())
    }

    /// Says something else of billing, as a whole.
    pub async fn set_tenant_contract(&self, caller: &Caller, contract: Map<String, Value>) -> Result<()> {
        let outcome = async {
            caller.require(Permission::TenantWrite)?;
            check_contract(&contract)?;
            let mut tx = self.inner.db.begin().await?;
            tx.set_tenant_contract(caller.tenant, &contract).await?;
            Ok(tx.commit().await?)
        };
        let outcome = outcome.await;
        self.audited(caller, "tenant.updated", Some(format!("tenant:{}", caller.tenant)), outcome)
    }

    /// The calling user's tenants with its roles there, the youngest tenant first.
    pub async fn own_tenants(&self, caller: &Caller, span: Span) -> Result<Listing<(MemberOf, Vec<TenantRole>)>> {
        let mut all = self.memberships_of(caller).await?;
        all.sort_by_key(|m| std::cmp::Reverse((m.tenant.created, m.tenant.id)));
        let Listing { items, total } = Listing::cut(all, span);
        let mut tx = self.inner.db.read().await?;
        let mut with_roles = Vec::with_capacity(items.len());
        for member in items {
            let roles = roles_of(&mut tx, &member.membership).await?;
            with_roles.push((member, roles));
        }
        Ok(Listing { items: with_roles, total })
    }

    /// What a member may do in the caller's tenant; oneself: as far as the token goes. Error: NotFound(member).
    pub async fn may_do(&self, caller: &Caller, user: UserId) -> Result<MayDo> {
        let roles = self.member_roles(caller, user).await?;
        let standing = self.inner.directory.user(user).await?.ok_or(Error::not_found("member"))?;
        let permissions = if caller.user() == Some(user) { caller.permissions } else { standing.permissions(caller.tenant) };
        let mut custom: Vec<CustomPermissionRecord> = roles.into_iter().flat_map(|r| r.custom).collect();
        custom.sort_by(|a, b| a.alias.cmp(&b.alias).then(a.id.cmp(&b.id)));
        custom.dedup_by_key(|p| p.id);
        let mut here = Vec::with_capacity(custom.len());
        for permission in custom {
            if self.inner.directory.installed(permission.application, caller.tenant).await?.is_some() {
                here.push(permission);
            }
        }
        Ok(MayDo { permissions, custom: here })
    }

    /// A user as a face shows it: the user, and whether it signs in with a second factor. Oneself, or a member of the caller's tenant
    /// for who sees members. Error: NotFound(user).
    pub async fn seen_user(&self, caller: &Caller, id: UserId) -> Result<(model::User, bool)> {
        let absent = Error::not_found("user");
        if caller.user() != Some(id) {
            caller.require(Permission::UserRead).map_err(|_| absent.clone())?;
        }
        let standing = self.inner.directory.user(id).await?.ok_or(absent.clone())?;
        if caller.user() != Some(id) && standing.membership(caller.tenant).is_none() {
            return Err(absent);
        }
        Ok((standing.record.user.clone(), standing.factor.enrolled))
    }

    /// The caller's tenant's audit trail by page number, newest first.
    pub async fn audit_lines(&self, caller: &Caller, span: Span) -> Result<Listing<model::AuditEntry>> {
        caller.require(Permission::AuditRead)?;
        // A trail that cannot be written just now can still be read.
        let _ = self.inner.trail.flush(&self.inner.db).await;
        let (items, total) = self.inner.db.read().await?.audit_lines(caller.tenant, span.skip, span.take).await?;
        Ok(Listing { items, total })
    }

    /// The addresses of users that the caller's tenant's trail names, for who reads it.
    pub async fn emails_of(&self, caller: &Caller, users: &[UserId]) -> Result<Vec<(UserId, String)>> {
        caller.require(Permission::AuditRead)?;
        let mut all = Vec::new();
        for id in users {
            if let Some(standing) = self.inner.directory.user(*id).await?
                && standing.membership(caller.tenant).is_some()
            {
                all.push((*id, standing.record.user.email.clone()));
            }
        }
        Ok(all)
    }
}

fn check_contract(contract: &Map<String, Value>) -> Result<()> {
    let length = serde_json::to_vec(contract).map_err(Error::internal)?.len();
    if length > CONTRACT_MAX { Err(Error::TooLarge { limit: CONTRACT_MAX as u64 }) } else { Ok(()) }
}
