//! The outbox: what must still be sent to the world outside, written in the transaction that decided on it.

use model::{PageRequest, TenantId, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    INSERT = "insert into outbox (id, tenant, channel, body, state, attempts, next_at, last_error, created) \
              values ($1, $2, $3, $4, 'queued', 0, $5, null, $6)";
    BY_ID = "select id, tenant, channel, body, state, attempts, next_at, last_error, created from outbox where id = $1";
    DUE = "select id, tenant, channel, body, state, attempts, next_at, last_error, created from outbox \
           where state = 'queued' and next_at <= $1 and (channel = 'mail') = $3 order by next_at, id limit $2";
    NEXT = "select next_at from outbox where state = 'queued' order by next_at limit 1";
    // Who moves the due time on has the row: of several nodes one sees its condition met.
    CLAIM = "update outbox set attempts = attempts + 1, next_at = $3 where id = $1 and state = 'queued' and next_at = $2";
    SENT = "update outbox set state = 'sent', body = '', next_at = $2, last_error = null where id = $1 and state = 'queued'";
    AGAIN = "update outbox set next_at = $2, last_error = $3 where id = $1 and state = 'queued'";
    DEAD = "update outbox set state = 'dead', next_at = $2, last_error = $3 where id = $1 and state = 'queued'";
    RETRY = "update outbox set state = 'queued', attempts = 0, next_at = $2 where id = $1 and state = 'dead'";
    LIST = "select id, tenant, channel, body, state, attempts, next_at, last_error, created from outbox \
            where state = $1 and id > $2 and channel = coalesce($4, channel) order by id limit $3";
    LIST_TENANT = "select id, tenant, channel, body, state, attempts, next_at, last_error, created from outbox \
                   where state = $1 and tenant = $2 and id > $3 and channel = coalesce($5, channel) order by id limit $4";
    COUNT = "select count(*) as n from outbox where state = $1";
    PURGE = "delete from outbox where state = $1 and next_at < $2";
}

row! {
    struct OutboxRow {
        id: Uuid, tenant: Option<Uuid>, channel: String, body: String, state: String, attempts: i64, next_at: i64,
        last_error: Option<String>, created: i64,
    }
}
row! { struct NextRow { next_at: i64 } }
row! { struct CountRow { n: i64 } }

/// What has become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutboxState {
    /// Waits for its (next) attempt.
    Queued,
    /// Done; its body is gone.
    Sent,
    /// Given up; may be queued again by hand.
    Dead,
}

impl OutboxState {
    /// The state's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OutboxState::Queued => "queued",
            OutboxState::Sent => "sent",
            OutboxState::Dead => "dead",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// Whose, where that can be told.
    pub tenant: Option<TenantId>,
    /// By which channel it goes out.
    pub channel: String,
    /// What is sent, in the channel's own JSON.
    pub body: String,
    /// What has become of it.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: u32,
    /// Queued: when it is due. Sent, dead: since when.
    pub next_at: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created: Timestamp,
}

impl OutboxRow {
    fn model(self) -> Result<OutboxEntry, Error> {
        let state = match self.state.as_str() {
            "queued" => OutboxState::Queued,
            "sent" => OutboxState::Sent,
            "dead" => OutboxState::Dead,
            other => return Err(Error::corrupt("outbox", "state", self.id, other)),
        };
        Ok(OutboxEntry {
            id: self.id,
            tenant: self.tenant.map(TenantId),
            channel: self.channel,
            body: self.body,
            state,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            next_at: timestamp("outbox", "next_at", self.next_at)?,
            last_error: self.last_error,
            created: timestamp("outbox", "created", self.created)?,
        })
    }
}

impl Tx {
    /// Queues an entry, due at once; its state, attempts and error are taken as those of a new one.
    pub async fn insert_outbox(&mut self, e: &OutboxEntry) -> Result<(), Error> {
        execute!(self, sql::INSERT, e.id, e.tenant.map(TenantId::uuid), &e.channel, &e.body, micros(e.next_at), micros(e.created))?;
        Ok(())
    }

    /// One entry.
    pub async fn outbox_entry(&mut self, id: Uuid) -> Result<Option<OutboxEntry>, Error> {
        fetch_optional!(self, OutboxRow, sql::BY_ID, id)?.map(OutboxRow::model).transpose()
    }

    /// Mails that are due, or everything else that is, the longest waiting first; at most `limit`.
    pub async fn outbox_due(&mut self, now: Timestamp, mails: bool, limit: u32) -> Result<Vec<OutboxEntry>, Error> {
        fetch_all!(self, OutboxRow, sql::DUE, micros(now), i64::from(limit), mails)?.into_iter().map(OutboxRow::model).collect()
    }

    /// When the next entry will be due.
    pub async fn outbox_next(&mut self) -> Result<Option<Timestamp>, Error> {
        fetch_optional!(self, NextRow, sql::NEXT)?.map(|r| timestamp("outbox", "next_at", r.next_at)).transpose()
    }

    /// Takes a due entry for one attempt: it is counted, and nobody else gets it before `until`. False when another node was quicker.
    pub async fn claim_outbox(&mut self, e: &OutboxEntry, until: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::CLAIM, e.id, micros(e.next_at), micros(until))? == 1)
    }

    /// The entry was sent; its body is dropped, for it may hold a code or a password.
    pub async fn outbox_sent(&mut self, id: Uuid, at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::SENT, id, micros(at))?;
        Ok(())
    }

    /// The attempt failed; the next one is due at `at`.
    pub async fn outbox_again(&mut self, id: Uuid, at: Timestamp, error: &str) -> Result<(), Error> {
        execute!(self, sql::AGAIN, id, micros(at), error)?;
        Ok(())
    }

    /// The entry is given up.
    pub async fn outbox_dead(&mut self, id: Uuid, at: Timestamp, error: &str) -> Result<(), Error> {
        execute!(self, sql::DEAD, id, micros(at), error)?;
        Ok(())
    }

    /// A dead entry is queued again, as if new; false when it is not dead.
    pub async fn retry_outbox(&mut self, id: Uuid, at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::RETRY, id, micros(at))? == 1)
    }

    /// Entries in one state by id, of one tenant or of all, of one channel or of all; one more than the page holds.
    pub async fn outbox(
        &mut self,
        state: OutboxState,
        tenant: Option<TenantId>,
        channel: Option<&str>,
        after: Option<Uuid>,
        page: &PageRequest,
    ) -> Result<Vec<OutboxEntry>, Error> {
        let (after, limit) = (after.unwrap_or(Uuid::nil()), i64::from(page.limit) + 1);
        let rows = match tenant {
            Some(tenant) => fetch_all!(self, OutboxRow, sql::LIST_TENANT, state.name(), tenant.uuid(), after, limit, channel)?,
            None => fetch_all!(self, OutboxRow, sql::LIST, state.name(), after, limit, channel)?,
        };
        rows.into_iter().map(OutboxRow::model).collect()
    }

    /// How many entries are in a state.
    pub async fn count_outbox(&mut self, state: OutboxState) -> Result<u64, Error> {
        Ok(u64::try_from(fetch_one!(self, CountRow, sql::COUNT, state.name())?.n).unwrap_or(0))
    }

    /// Removes entries that have been in a state since before `before`.
    pub async fn purge_outbox(&mut self, state: OutboxState, before: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PURGE, state.name(), micros(before))?)
    }
}
