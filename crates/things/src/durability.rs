//! How safely a tenant's messages are kept: its own level, before the listener's and the gateway's.

use journal::Durability;
use model::{Caller, Error, Permission, Result, TenantId};

use crate::Things;

/// A level as a word; none when it is no such word.
#[must_use]
pub fn durability_named(word: &str) -> Option<Durability> {
    match word {
        "sync" => Some(Durability::Sync),
        "flush" => Some(Durability::Flush),
        "memory" => Some(Durability::Memory),
        _ => None,
    }
}

/// The word of a level.
#[must_use]
pub fn durability_name(level: Durability) -> &'static str {
    match level {
        Durability::Sync => "sync",
        Durability::Flush => "flush",
        Durability::Memory => "memory",
    }
}

impl Things {
    /// The tenant's own level, from memory; none: the listener's or the gateway's holds. For the hot path: knows tenants that
    /// [`Things::prepare`] was called for.
    #[must_use]
    pub fn durability_now(&self, tenant: TenantId) -> Option<Durability> {
        self.known_state(tenant)?.durability()
    }

    /// The level of messages that come by no listener with one of its own.
    #[must_use]
    pub fn default_durability(&self) -> Durability {
        self.inner.options.durability
    }

    /// A tenant's own level. Another tenant's: operators only. Permission: `tenant:read`.
    pub async fn durability(&self, caller: &Caller, tenant: TenantId) -> Result<Option<Durability>> {
        let caller = within(caller, tenant)?;
        caller.require(Permission::TenantRead)?;
        let mut tx = self.inner.db.read().await?;
        tx.tenant(tenant).await?.ok_or(Error::not_found("tenant"))?;
        Ok(tx.durability(tenant).await?.as_deref().and_then(durability_named))
    }

    /// Gives a tenant a level of its own, or takes it away. It holds for every message accepted from now on (other nodes on the same
    /// database follow within a minute). Operators only: what is safer costs everybody's disk.
    pub async fn set_durability(&self, caller: &Caller, tenant: TenantId, level: Option<Durability>) -> Result<()> {
        let result = self.change_durability(caller, tenant, level).await;
        self.audit(caller, "tenant.durability_changed", &format!("tenant:{tenant}"), &result);
        result
    }

    async fn change_durability(&self, caller: &Caller, tenant: TenantId, level: Option<Durability>) -> Result<()> {
        within(caller, tenant)?;
        caller.require(Permission::Operate)?;
        let mut tx = self.inner.db.begin().await?;
        tx.tenant(tenant).await?.ok_or(Error::not_found("tenant"))?;
        tx.set_durability(tenant, level.map(durability_name)).await?;
        tx.commit().await?;
        if let Some(state) = self.known_state(tenant) {
            state.set_durability(level);
        }
        Ok(())
    }
}

/// A tenant that is not the caller's own is not found, unless an operator asks.
fn within(caller: &Caller, tenant: TenantId) -> Result<Caller> {
    caller.in_tenant(tenant).map_err(|_| Error::not_found("tenant"))
}
