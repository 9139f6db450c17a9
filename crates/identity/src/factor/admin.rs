//! Who must have a second factor, and help for who lost it.

use model::{Caller, Denial, Error, Permission, Result, Role, TenantId, UserId};

use super::FactorState;
use crate::access::{self, Reach, reach_account};
use crate::{Change, Identity};

const NOT_ONESELF: Error = Error::Forbidden(Denial::Rule("one's own second factor is removed in the browser, with password and code"));
const OWNERS_ONLY: Error = Error::Forbidden(Denial::Rule("only an owner of the tenant or an operator does that"));

impl Identity {
    /// A user's second factor: one's own, that of a member for who may see users.
    pub async fn second_factor(&self, caller: &Caller, user: UserId) -> Result<FactorState> {
        if caller.user() != Some(user) {
            caller.require(Permission::UserRead)?;
        }
        let mut tx = self.inner.db.read().await?;
        access::visible(&mut tx, caller, user).await?;
        self.factor_state(&mut tx, user).await
    }

    /// Says whether a user must have a second factor, whatever its tenants say. Owners for members of theirs alone, operators
    /// for anyone.
    pub async fn require_second_factor(&self, caller: &Caller, user: UserId, required: bool) -> Result<FactorState> {
        let action = if required { "second_factor.required" } else { "second_factor.not_required" };
        let outcome = self.do_require(caller, user, required).await;
        self.audited(caller, action, Some(format!("user:{user}")), outcome)
    }

    async fn do_require(&self, caller: &Caller, user: UserId, required: bool) -> Result<FactorState> {
        let mut tx = self.inner.db.begin().await?;
        let record = access::visible(&mut tx, caller, user).await?;
        caller.require(Permission::UserWrite)?;
        reach_account(&mut tx, caller, &record).await?;
        owner(&mut tx, caller).await?;
        tx.require_second_factor(user, required).await?;
        let state = self.factor_state(&mut tx, user).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(state)
    }

    /// Takes a member's second factor away, for who lost the phone and the recovery codes. Its browsers are signed out and what
    /// applications got through them ends. Owners for members of their tenant alone, operators for anyone but themselves.
    pub async fn reset_second_factor(&self, caller: &Caller, user: UserId) -> Result<()> {
        let outcome = self.do_reset(caller, user).await;
        self.audited(caller, "second_factor.reset", Some(format!("user:{user}")), outcome)
    }

    async fn do_reset(&self, caller: &Caller, user: UserId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let record = access::visible(&mut tx, caller, user).await?;
        caller.require(Permission::UserWrite)?;
        if reach_account(&mut tx, caller, &record).await? == Reach::Oneself {
            return Err(NOT_ONESELF);
        }
        owner(&mut tx, caller).await?;
        if !tx.remove_second_factor(user).await? {
            return Ok(());
        }
        tx.delete_sessions_of(user).await?;
        tx.delete_half_logins_of(user).await?;
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(user));
        Ok(())
    }

    /// Must members of that tenant have a second factor?
    pub async fn second_factor_required_in(&self, caller: &Caller, tenant: TenantId) -> Result<bool> {
        self.tenant(caller, tenant).await?;
        Ok(self.inner.db.read().await?.tenant_requires_factor(tenant).await?)
    }

    /// Says whether members of that tenant must have a second factor; its owners and operators. Who has none is led to one at the
    /// next sign-in; browsers signed in by password alone have to sign in again, applications with them.
    pub async fn require_second_factor_in(&self, caller: &Caller, tenant: TenantId, required: bool) -> Result<()> {
        let action = if required { "tenant.second_factor_required" } else { "tenant.second_factor_not_required" };
        let outcome = self.do_require_in(caller, tenant, required).await;
        self.audited(caller, action, Some(format!("tenant:{tenant}")), outcome)
    }

    async fn do_require_in(&self, caller: &Caller, tenant: TenantId, required: bool) -> Result<()> {
        access::own_tenant(caller, tenant)?;
        caller.require(Permission::TenantWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if tx.tenant(tenant).await?.is_none() {
            return Err(Error::not_found("tenant"));
        }
        owner(&mut tx, caller).await?;
        tx.require_factor_in(tenant, required).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(())
    }
}

async fn owner(tx: &mut store::Tx, caller: &Caller) -> Result<()> {
    if access::rank_of(tx, caller).await? < access::rank(Role::Owner) { Err(OWNERS_ONLY) } else { Ok(()) }
}
