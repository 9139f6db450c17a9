//! The audit trail: written in batches, read newest first.

use model::{AuditEntry, AuditId, TenantId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    INSERT = "insert into audit (id, tenant, at, actor, action, target, allowed, detail, address) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    // Ids are UUIDv7, so a span of time is a span of ids; coalesce leaves an absent filter without effect.
    OF_TENANT = "select id, tenant, at, actor, action, target, allowed, detail, address from audit \
                 where tenant = $1 and id > $2 and id < $3 \
                 and actor = coalesce($4, actor) and action = coalesce($5, action) and allowed = coalesce($6, allowed) order by id desc limit $7";
    OF_ALL = "select id, tenant, at, actor, action, target, allowed, detail, address from audit \
              where id > $1 and id < $2 \
              and actor = coalesce($3, actor) and action = coalesce($4, action) and allowed = coalesce($5, allowed) order by id desc limit $6";
    AT = "select id, tenant, at, actor, action, target, allowed, detail, address from audit where tenant = $1 \
          order by id desc limit $2 offset $3";
    COUNT = "select count(*) as n from audit where tenant = $1";
    PRUNE = "delete from audit where id in (select id from audit where id < $1 order by id limit $2)";
}

row! {
    struct AuditRow {
        id: Uuid, tenant: Option<Uuid>, at: i64, actor: String, action: String, target: Option<String>,
        allowed: bool, detail: Option<String>, address: Option<String>,
    }
}

row! {
    struct CountRow { n: i64 }
}

impl AuditRow {
    fn model(self) -> Result<AuditEntry, Error> {
        Ok(AuditEntry {
            id: AuditId(self.id),
            tenant: self.tenant.map(TenantId),
            at: timestamp("audit", "at", self.at)?,
            actor: self.actor,
            action: self.action,
            target: self.target,
            allowed: self.allowed,
            detail: self.detail,
            address: self.address,
        })
    }
}

/// Which lines of the trail.
#[derive(Clone, Debug)]
pub struct AuditQuery<'a> {
    /// One tenant's, or everything.
    pub tenant: Option<TenantId>,
    /// Ids above this.
    pub above: Uuid,
    /// Ids below this.
    pub below: Uuid,
    /// This actor only.
    pub actor: Option<&'a str>,
    /// This action only.
    pub action: Option<&'a str>,
    /// Only what happened, or only what was refused.
    pub allowed: Option<bool>,
    /// At most so many.
    pub limit: u32,
}

impl Tx {
    /// Adds a line.
    pub async fn insert_audit(&mut self, e: &AuditEntry) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT,
            e.id.uuid(),
            e.tenant.map(TenantId::uuid),
            micros(e.at),
            &e.actor,
            &e.action,
            &e.target,
            e.allowed,
            &e.detail,
            &e.address
        )?;
        Ok(())
    }

    /// Lines, newest first.
    pub async fn audit(&mut self, q: &AuditQuery<'_>) -> Result<Vec<AuditEntry>, Error> {
        let limit = i64::from(q.limit);
        let rows = match q.tenant {
            Some(tenant) => {
                fetch_all!(self, AuditRow, sql::OF_TENANT, tenant.uuid(), q.above, q.below, q.actor, q.action, q.allowed, limit)?
            }
            None => fetch_all!(self, AuditRow, sql::OF_ALL, q.above, q.below, q.actor, q.action, q.allowed, limit)?,
        };
        rows.into_iter().map(AuditRow::model).collect()
    }

    /// A tenant's lines, newest first, and how many there are.
    pub async fn audit_lines(&mut self, tenant: TenantId, skip: u32, take: u32) -> Result<(Vec<AuditEntry>, u64), Error> {
        let rows = fetch_all!(self, AuditRow, sql::AT, tenant.uuid(), i64::from(take), i64::from(skip))?;
        let count = fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?.n.unsigned_abs();
        Ok((rows.into_iter().map(AuditRow::model).collect::<Result<_, _>>()?, count))
    }

    /// Removes at most `limit` lines with ids below `below`, oldest first; how many.
    pub async fn prune_audit(&mut self, below: Uuid, limit: u32) -> Result<u64, Error> {
        Ok(execute!(self, sql::PRUNE, below, i64::from(limit))?)
    }
}
