//! The outbox: mail, web hook, message to a thing; retry, back-off, dead letter.
//!
//! Whoever decides that something must be sent writes it into the store's outbox, best in the transaction of the decision
//! ([`Notify::mail_in`]). A worker ([`Notify::run`]) claims what is due, hands it to its channel and records what came of it:
//! sent, again later, or dead. Of several nodes on one database each entry is claimed by one. A crash between sending and
//! recording sends twice, never not at all; mails carry the same `Message-ID` both times. What a worker claimed and did not
//! finish is due again after [`LEASE`].

mod mail;
mod webhook;
mod worker;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use identity::Identity;
use model::{Caller, Clock, Error, Page, PageRequest, Permission, Result, TenantId, ThingId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Db, OutboxEntry, OutboxState, Tx};
use uuid::Uuid;

pub use mail::{Mail, MailTransport, check_address};
pub use store::OutboxState as DeliveryState;
pub use webhook::{Webhook, check_url, is_public};
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
    equipment: OnceLock<Equipment>,
    nudge_mails: tokio::sync::Notify,
    nudge_others: tokio::sync::Notify,
}

struct Equipment {
    identity: Identity,
    hooks: webhook::Hooks,
    sender: Sender,
}

/// Sends a message to a thing, once for each id: what lies above this crate can, and hands it down.
pub type Sender = Arc<dyn Fn(ThingMessage) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + Sync>;

/// A message on its way to a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingMessage {
    /// The delivery; the same at each attempt.
    pub id: Uuid,
    /// The thing's tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// What it is sent.
    pub payload: String,
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
    /// A signed POST.
    Webhook,
    /// A message into the inbox of a thing.
    Message,
}

impl Channel {
    /// The channel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Mail => "mail",
            Channel::Webhook => "webhook",
            Channel::Message => "message",
        }
    }

    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Webhook, Self::Message];

    /// The channel of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
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

/// What is stored of a message to a thing until it is sent.
#[derive(Debug, Serialize, Deserialize)]
struct MessageBody {
    thing: ThingId,
    payload: String,
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
        let (recipient, subject) = match Channel::parse(&entry.channel) {
            Some(Channel::Mail) => serde_json::from_str(&entry.body).ok().map(|body: MailBody| (body.to, body.subject)).unzip(),
            Some(Channel::Webhook) => (serde_json::from_str(&entry.body).ok().map(|body: webhook::WebhookBody| body.shown()), None),
            Some(Channel::Message) => (serde_json::from_str(&entry.body).ok().map(|body: MessageBody| body.thing.to_string()), None),
            None => (None, None),
        };
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
        let (nudge_mails, nudge_others) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        Self { inner: Arc::new(Inner { db, clock, mail, equipment: OnceLock::new(), nudge_mails, nudge_others }) }
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

    /// The same for a mail that is of use whenever it comes.
    pub async fn mail_for(&self, tx: &mut Tx, tenant: TenantId, mail: Mail) -> Result<Uuid> {
        self.queue(tx, Some(tenant), mail, None).await
    }

    /// What web hooks and messages to things take: who signs, whether private addresses may be called (loopback, the local network),
    /// and who sends to things. A second call changes nothing.
    pub fn equip(&self, identity: Identity, private_addresses: bool, sender: Sender) {
        let hooks = webhook::Hooks::new(identity.clone(), private_addresses);
        let _ = self.inner.equipment.set(Equipment { identity, hooks, sender });
        self.nudge();
    }

    /// The secret by which web hooks of what has this id are signed; empty before [`Notify::equip`].
    #[must_use]
    pub fn webhook_secret(&self, id: Uuid) -> String {
        self.inner.equipment.get().map(|equipment| equipment.identity.webhook_secret(id)).unwrap_or_default()
    }

    /// Queues a web hook in the caller's transaction. Error: Invalid(url).
    pub async fn webhook_in(&self, tx: &mut Tx, tenant: TenantId, hook: Webhook) -> Result<Uuid> {
        check_url("url", &hook.url)?;
        let body = serde_json::to_string(&webhook::WebhookBody::from(hook)).map_err(Error::internal)?;
        self.put(tx, Some(tenant), Channel::Webhook, body).await
    }

    /// Queues a message to a thing in the caller's transaction.
    pub async fn message_in(&self, tx: &mut Tx, tenant: TenantId, thing: ThingId, payload: String) -> Result<Uuid> {
        let body = serde_json::to_string(&MessageBody { thing, payload }).map_err(Error::internal)?;
        self.put(tx, Some(tenant), Channel::Message, body).await
    }

    async fn queue(&self, tx: &mut Tx, tenant: Option<TenantId>, mail: Mail, expires: Option<Timestamp>) -> Result<Uuid> {
        mail.check()?;
        let body = MailBody { to: mail.to, subject: mail.subject, text: mail.text, expires: expires.map(Timestamp::as_microsecond) };
        let body = serde_json::to_string(&body).map_err(Error::internal)?;
        self.put(tx, tenant, Channel::Mail, body).await
    }

    async fn put(&self, tx: &mut Tx, tenant: Option<TenantId>, channel: Channel, body: String) -> Result<Uuid> {
        let now = self.inner.clock.now();
        let entry = OutboxEntry {
            id: self.inner.clock.new_id(),
            tenant,
            channel: channel.name().to_owned(),
            body,
            state: OutboxState::Queued,
            attempts: 0,
            next_at: now,
            last_error: None,
            created: now,
        };
        tx.insert_outbox(&entry).await?;
        match channel {
            Channel::Mail => self.inner.nudge_mails.notify_one(),
            Channel::Webhook | Channel::Message => self.inner.nudge_others.notify_one(),
        }
        Ok(entry.id)
    }

    /// Wakes the worker: something may be due.
    pub fn nudge(&self) {
        self.inner.nudge_mails.notify_one();
        self.inner.nudge_others.notify_one();
    }

    /// Entries in one state, oldest first. Permission: `notification:read` for the caller's tenant, `gateway:operate` for all.
    pub async fn deliveries(&self, caller: &Caller, state: DeliveryState, page: &PageRequest) -> Result<Page<Delivery>> {
        self.deliveries_by(caller, state, None, page).await
    }

    /// The same, by one channel only if one is given.
    pub async fn deliveries_by(
        &self,
        caller: &Caller,
        state: DeliveryState,
        channel: Option<Channel>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let tenant = self.scope(caller, Permission::NotificationRead)?;
        let after = match page.cursor.as_deref().map(str::parse::<Uuid>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return Err(Error::invalid("cursor", "is not one that was handed out")),
        };
        let rows = self.inner.db.read().await?.outbox(state, tenant, channel.map(Channel::name), after, page).await?;
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
