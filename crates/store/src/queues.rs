//! How safely a tenant's messages are kept, and why messages of things' inboxes could not be delivered.

use model::{MessageId, TenantId, ThingId, Timestamp};

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    LEVEL = "select level from tenant_durability where tenant = $1";
    SET_LEVEL = "insert into tenant_durability (tenant, level) values ($1, $2) on conflict (tenant) do update set level = excluded.level";
    CLEAR_LEVEL = "delete from tenant_durability where tenant = $1";
    DEAD = "select reason, since from dead_letter where tenant = $1 and thing = $2 and message = $3";
    BURY = "insert into dead_letter (tenant, thing, message, reason, since) values ($1, $2, $3, $4, $5) \
            on conflict (tenant, thing, message) do update set reason = excluded.reason, since = excluded.since";
    FORGET = "delete from dead_letter where tenant = $1 and thing = $2 and message = $3";
}

row! { struct LevelRow { level: String } }
row! { struct DeadRow { reason: String, since: i64 } }

impl Tx {
    /// The durability level of a tenant's own, as a word; none: the listener's or the gateway's holds.
    pub async fn durability(&mut self, tenant: TenantId) -> Result<Option<String>, Error> {
        Ok(fetch_optional!(self, LevelRow, sql::LEVEL, tenant.uuid())?.map(|row| row.level))
    }

    /// Gives a tenant a durability level of its own, or takes it away.
    pub async fn set_durability(&mut self, tenant: TenantId, level: Option<&str>) -> Result<(), Error> {
        match level {
            Some(level) => execute!(self, sql::SET_LEVEL, tenant.uuid(), level)?,
            None => execute!(self, sql::CLEAR_LEVEL, tenant.uuid())?,
        };
        Ok(())
    }

    /// Why a message is among the dead letters, and since when; none when nobody noted it.
    pub async fn dead_letter(
        &mut self,
        tenant: TenantId,
        thing: ThingId,
        message: MessageId,
    ) -> Result<Option<(String, Timestamp)>, Error> {
        let row = fetch_optional!(self, DeadRow, sql::DEAD, tenant.uuid(), thing.uuid(), message.uuid())?;
        row.map(|row| Ok((row.reason, timestamp("dead_letter", "since", row.since)?))).transpose()
    }

    /// Notes why a message goes to the dead letters.
    pub async fn set_dead_letter(
        &mut self,
        tenant: TenantId,
        thing: ThingId,
        message: MessageId,
        reason: &str,
        since: Timestamp,
    ) -> Result<(), Error> {
        execute!(self, sql::BURY, tenant.uuid(), thing.uuid(), message.uuid(), reason, micros(since))?;
        Ok(())
    }

    /// The message is no dead letter any more.
    pub async fn delete_dead_letter(&mut self, tenant: TenantId, thing: ThingId, message: MessageId) -> Result<(), Error> {
        execute!(self, sql::FORGET, tenant.uuid(), thing.uuid(), message.uuid())?;
        Ok(())
    }
}
