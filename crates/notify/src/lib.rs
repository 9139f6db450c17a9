//! The outbox: mail; retry, back-off, dead letter.
//!
//! Whoever decides that something must be sent writes it into the store's outbox, best in the transaction of the decision
//! ([`Notify::mail_in`]). A worker ([`Notify::run`]) claims what is due, hands it to its channel and records what came of it:
//! sent, again later, or dead. Of several nodes on one database each entry is claimed by one. A crash between sending and
//! recording sends twice, never not at all; mails carry the same `Message-ID` both times. What a worker claimed and did not
//! finish is due again after [`LEASE`].

mod mail;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use model::{Caller, Clock, Error, Page, PageRequest, Permission, Result, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Db, OutboxEntry, OutboxState, Tx};
use uuid::Uuid;

pub use mail::{Mail, MailTransport};
pub use store::OutboxState as DeliveryState;
pub use worker::{BACK_OFF, LEASE};

/// The outbox; cheap to clone.
#[derive(Clone)]
pub struct Notify {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    mail: MailTransport,
    nudge: tokio::sync::Notify,
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify").field("mail", &self.inner.mail).finish_non_exhaustive()
    }
}

/// By what an entry goes out; the name is stored with it. A further channel is a name here, a body and an arm in the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A mail by SMTP.
    Mail,
}

impl Channel {
    /// The channel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Mail => "mail",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Channel::Mail].into_iter().find(|channel| channel.name() == name)
    }
}

/// What is stored of a mail until it is sent.
#[derive(Debug, Serialize, Deserialize)]
struct MailBody {
    to: String,
    subject: String,
    text: String,
    /// Microseconds since the epoch; not sent after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

/// An entry of the outbox as administrators see it: without its text, which may hold a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// Whose, where that can be told.
    pub tenant: Option<TenantId>,
    /// The channel's name.
    pub channel: String,
    /// To whom; absent once it was sent.
    pub recipient: Option<String>,
    /// What about; absent once it was sent.
    pub subject: Option<String>,
    /// What has become of it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// Queued: when it is due. Sent, dead: since when.
    pub since: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created: Timestamp,
}

impl From<OutboxEntry> for Delivery {
    fn from(entry: OutboxEntry) -> Self {
        let body: Option<MailBody> = serde_json::from_str(&entry.body).ok();
        let (recipient, subject) = body.map(|body| (body.to, body.subject)).unzip();
        Self {
            id: entry.id,
            tenant: entry.tenant,
            channel: entry.channel,
            recipient,
            subject,
            state: entry.state,
            attempts: entry.attempts,
            since: entry.next_at,
            last_error: entry.last_error,
            created: entry.created,
        }
    }
}

impl Notify {
    /// The outbox over the store. Nothing is sent before [`Notify::run`].
    #[must_use]
    pub fn open(db: Db, clock: Clock, mail: MailTransport) -> Self {
        Self { inner: Arc::new(Inner { db, clock, mail, nudge: tokio::sync::Notify::new() }) }
    }

    /// Queues a mail in a transaction of its own. Error: Invalid(to, subject), `TooLarge`.
    pub async fn mail(&self, mail: Mail) -> Result<Uuid> {
        let mut tx = self.inner.db.begin().await?;
        let id = self.mail_in(&mut tx, mail).await?;
        tx.commit().await?;
        self.nudge();
        Ok(id)
    }

    /// Queues a mail in the caller's transaction: it is sent if that commits. The worker looks again within moments by itself;
    /// [`Notify::nudge`] after the commit spares those.
    pub async fn mail_in(&self, tx: &mut Tx, mail: Mail) -> Result<Uuid> {
        self.queue(tx, None, mail, None).await
    }

    /// The same for a mail that is of no use after `expires` (a code that has run out), on behalf of a tenant if one is given:
    /// its administrators may see how it fared.
    pub async fn mail_until(&self, tx: &mut Tx, tenant: Option<TenantId>, mail: Mail, expires: Timestamp) -> Result<Uuid> {
        self.queue(tx, tenant, mail, Some(expires)).await
    }

    async fn queue(&self, tx: &mut Tx, tenant: Option<TenantId>, mail: Mail, expires: Option<Timestamp>) -> Result<Uuid> {
        mail.check()?;
        let body = MailBody { to: mail.to, subject: mail.subject, text: mail.text, expires: expires.map(Timestamp::as_microsecond) };
        let body = serde_json::to_string(&body).map_err(Error::internal)?;
        let now = self.inner.clock.now();
        let entry = OutboxEntry {
            id: self.inner.clock.new_id(),
            tenant,
            channel: Channel::Mail.name().to_owned(),
            body,
            state: OutboxState::Queued,
            attempts: 0,
            next_at: now,
            last_error: None,
            created: now,
        };
        tx.insert_outbox(&entry).await?;
        self.nudge();
        Ok(entry.id)
    }

    /// Wakes the worker: something may be due.
    pub fn nudge(&self) {
        self.inner.nudge.notify_one();
    }

    /// Entries in one state, oldest first. Permission: `notification:read` for the caller's tenant, `gateway:operate` for all.
    pub async fn deliveries(&self, caller: &Caller, state: DeliveryState, page: &PageRequest) -> Result<Page<Delivery>> {
        let tenant = self.scope(caller, Permission::NotificationRead)?;
        let after = match page.cursor.as_deref().map(str::parse::<Uuid>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(Error::invalid("cursor", "is not one that was handed out")),
        };
        let rows = self.inner.db.read().await?.outbox(state, tenant, after, page).await?;
        Ok(Page::cut(rows, page.limit, |row| row.id.to_string()).map(Delivery::from))
    }

    /// Queues a dead entry again, as if new. Error: NotFound(delivery) unless it is dead and the caller's to see.
    /// Permission: `notification:write` for the caller's tenant, `gateway:operate` for all.
    pub async fn retry(&self, caller: &Caller, id: Uuid) -> Result<()> {
        let tenant = self.scope(caller, Permission::NotificationWrite)?;
        let mut tx = self.inner.db.begin().await?;
        let entry = tx.outbox_entry(id).await?.filter(|entry| tenant.is_none() || entry.tenant == tenant);
        if entry.is_none() || !tx.retry_outbox(id, self.inner.clock.now()).await? {
            return Err(Error::not_found("delivery"));
        }
        tx.commit().await?;
        self.nudge();
        Ok(())
    }

    /// Entries of this tenant only, or of all.
    fn scope(&self, caller: &Caller, permission: Permission) -> Result<Option<TenantId>> {
        if caller.permissions.has(Permission::Operate) {
            return Ok(None);
        }
        caller.require(permission)?;
        Ok(Some(caller.tenant))
    }

    /// How many entries wait, and how many are dead.
    pub async fn backlog(&self) -> Result<(u64, u64)> {
        let mut tx = self.inner.db.read().await?;
        Ok((tx.count_outbox(OutboxState::Queued).await?, tx.count_outbox(OutboxState::Dead).await?))
    }
}

/// How long entries that are done with are kept, to look at.
pub(crate) const KEEP_SENT: Duration = Duration::from_hours(7 * 24);
pub(crate) const KEEP_DEAD: Duration = Duration::from_hours(30 * 24);
