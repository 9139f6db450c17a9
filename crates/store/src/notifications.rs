//! Notifications, and the times their filters were met.

use model::{
    Event, EventId, Listed, Notification, NotificationDraft, NotificationHistory, NotificationId, RuleId, Slice, TenantId, ThingId,
    Timestamp,
};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    INSERT = "insert into notification (id, tenant, draft, created, updated) values ($1, $2, $3, $4, $5)";
    UPDATE = "update notification set draft = $3, updated = $4 where tenant = $1 and id = $2";
    DELETE = "delete from notification where tenant = $1 and id = $2";
    BY_ID = "select id, tenant, draft, created, updated from notification where tenant = $1 and id = $2";
    NEWEST = "select id, tenant, draft, created, updated from notification where tenant = $1 \
              order by created desc, id desc limit $2 offset $3";
    COUNT = "select count(*) as n from notification where tenant = $1";
    // The row decides, so that of two batches or nodes one delivers.
    DELIVER = "update notification set delivered = $2 where id = $1 and (delivered is null or delivered <= $3)";
    INSERT_HISTORY = "insert into notification_history (id, tenant, notification, at, thing, event, name, value, rule, event_at, suppressed) \
                      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    HISTORY = "select id, tenant, notification, at, thing, event, name, value, rule, event_at, suppressed from notification_history \
               where tenant = $1 order by id desc limit $2 offset $3";
    HISTORY_OF = "select id, tenant, notification, at, thing, event, name, value, rule, event_at, suppressed from notification_history \
                  where notification = $2 and tenant = $1 order by id desc limit $3 offset $4";
    COUNT_HISTORY = "select count(*) as n from notification_history where tenant = $1";
    COUNT_HISTORY_OF = "select count(*) as n from notification_history where notification = $2 and tenant = $1";
    PURGE_HISTORY = "delete from notification_history where id in (select id from notification_history where id < $1 order by id limit $2)";
}

row! { struct NotificationRow { id: Uuid, tenant: Uuid, draft: String, created: i64, updated: i64 } }
row! { struct CountRow { n: i64 } }
row! {
    struct HistoryRow {
        id: Uuid, tenant: Uuid, notification: Uuid, at: i64, thing: Uuid, event: Uuid, name: String, value: String, rule: Option<Uuid>,
        event_at: i64, suppressed: bool,
    }
}

impl NotificationRow {
    fn model(self) -> Result<Notification, Error> {
        let NotificationDraft { active, channels, template, filter } = from_json("notification", "draft", &self.draft)?;
        Ok(Notification {
            id: NotificationId(self.id),
            tenant: TenantId(self.tenant),
            active,
            channels,
            template,
            filter,
            created: timestamp("notification", "created", self.created)?,
            updated: timestamp("notification", "updated", self.updated)?,
        })
    }
}

impl HistoryRow {
    fn model(self) -> Result<NotificationHistory, Error> {
        let value = from_json("notification_history", "value", &self.value)?;
        Ok(NotificationHistory {
            id: self.id,
            notification: NotificationId(self.notification),
            tenant: TenantId(self.tenant),
            at: timestamp("notification_history", "at", self.at)?,
            thing: ThingId(self.thing),
            event: Event { id: EventId(self.event), name: self.name, value, rule: self.rule.map(RuleId) },
            event_at: timestamp("notification_history", "event_at", self.event_at)?,
            suppressed: self.suppressed,
        })
    }
}

fn total(row: &CountRow) -> u64 {
    u64::try_from(row.n).unwrap_or(0)
}

impl Tx {
    /// Adds a notification.
    pub async fn insert_notification(&mut self, n: &Notification) -> Result<(), Error> {
        let draft = to_json(&NotificationDraft::from(n.clone()));
        execute!(self, sql::INSERT, n.id.uuid(), n.tenant.uuid(), draft, micros(n.created), micros(n.updated))?;
        Ok(())
    }

    /// Changes a notification; false when it is not there.
    pub async fn update_notification(&mut self, n: &Notification) -> Result<bool, Error> {
        let draft = to_json(&NotificationDraft::from(n.clone()));
        Ok(execute!(self, sql::UPDATE, n.tenant.uuid(), n.id.uuid(), draft, micros(n.updated))? == 1)
    }

    /// Removes a notification and its history; false when it is not there.
    pub async fn delete_notification(&mut self, tenant: TenantId, id: NotificationId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), id.uuid())? == 1)
    }

    /// One notification.
    pub async fn notification(&mut self, tenant: TenantId, id: NotificationId) -> Result<Option<Notification>, Error> {
        fetch_optional!(self, NotificationRow, sql::BY_ID, tenant.uuid(), id.uuid())?.map(NotificationRow::model).transpose()
    }

    /// Notifications, newest first.
    pub async fn notifications(&mut self, tenant: TenantId, slice: Slice) -> Result<Listed<Notification>, Error> {
        let offset = i64::try_from(slice.offset).unwrap_or(i64::MAX);
        let rows = fetch_all!(self, NotificationRow, sql::NEWEST, tenant.uuid(), i64::from(slice.limit), offset)?;
        let count = fetch_one!(self, CountRow, sql::COUNT, tenant.uuid())?;
        Ok(Listed { items: rows.into_iter().map(NotificationRow::model).collect::<Result<_, _>>()?, total: total(&count) })
    }

    /// May the notification be delivered now? Then that is noted. Not while the last delivery is later than `quiet_since`.
    pub async fn deliver_notification(&mut self, id: NotificationId, now: Timestamp, quiet_since: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELIVER, id.uuid(), micros(now), micros(quiet_since))? == 1)
    }

    /// Notes that a notification's filter was met.
    pub async fn insert_notification_history(&mut self, h: &NotificationHistory) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT_HISTORY,
            h.id,
            h.tenant.uuid(),
            h.notification.uuid(),
            micros(h.at),
            h.thing.uuid(),
            h.event.id.uuid(),
            &h.event.name,
            to_json(&h.event.value),
            h.event.rule.map(RuleId::uuid),
            micros(h.event_at),
            h.suppressed
        )?;
        Ok(())
    }

    /// The times filters were met, newest first: of one notification, or of all of the tenant.
    pub async fn notification_history(
        &mut self,
        tenant: TenantId,
        of: Option<NotificationId>,
        slice: Slice,
    ) -> Result<Listed<NotificationHistory>, Error> {
        let (limit, offset) = (i64::from(slice.limit), i64::try_from(slice.offset).unwrap_or(i64::MAX));
        let (rows, count) = match of {
            Some(of) => (
                fetch_all!(self, HistoryRow, sql::HISTORY_OF, tenant.uuid(), of.uuid(), limit, offset)?,
                fetch_one!(self, CountRow, sql::COUNT_HISTORY_OF, tenant.uuid(), of.uuid())?,
            ),
            None => (
                fetch_all!(self, HistoryRow, sql::HISTORY, tenant.uuid(), limit, offset)?,
                fetch_one!(self, CountRow, sql::COUNT_HISTORY, tenant.uuid())?,
            ),
        };
        Ok(Listed { items: rows.into_iter().map(HistoryRow::model).collect::<Result<_, _>>()?, total: total(&count) })
    }

    /// Removes at most `limit` lines of history with ids below `below`; how many.
    pub async fn purge_notification_history(&mut self, below: Uuid, limit: u32) -> Result<u64, Error> {
        Ok(execute!(self, sql::PURGE_HISTORY, below, i64::from(limit))?)
    }
}
