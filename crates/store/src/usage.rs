//! What tenants have used of their plans, by period.

use model::{TenantId, Timestamp};

use crate::db::{Tx, micros};
use crate::error::Error;

sql! {
    ONE = "select collected, published from usage where tenant = $1 and period = $2";
    SET = "insert into usage (tenant, period, collected, published) select $1, $2, $3, $4 where exists (select 1 from tenant where id = $1) \
           on conflict (tenant, period) do update set collected = excluded.collected, published = excluded.published";
    PURGE = "delete from usage where tenant = $1 and period < $2";
}

row! { struct UsageRow { collected: i64, published: i64 } }

/// Messages counted in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCount {
    /// Inbound.
    pub collected: u64,
    /// Outbound.
    pub published: u64,
}

impl Tx {
    /// What was counted in the period that begins at `period`; zero when nothing was.
    pub async fn usage(&mut self, tenant: TenantId, period: Timestamp) -> Result<UsageCount, Error> {
        let row = fetch_optional!(self, UsageRow, sql::ONE, tenant.uuid(), micros(period))?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(row.map_or(UsageCount::default(), |r| UsageCount { collected: count(r.collected), published: count(r.published) }))
    }

    /// Remembers the counts of a period; nothing happens when the tenant is gone.
    pub async fn set_usage(&mut self, tenant: TenantId, period: Timestamp, count: UsageCount) -> Result<(), Error> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        execute!(self, sql::SET, tenant.uuid(), micros(period), number(count.collected), number(count.published))?;
        Ok(())
    }

    /// Drops the counts of a tenant's periods that began before `before`.
    pub async fn purge_usage(&mut self, tenant: TenantId, before: Timestamp) -> Result<(), Error> {
        execute!(self, sql::PURGE, tenant.uuid(), micros(before))?;
        Ok(())
    }
}
