//! A thing's queue, seen and edited: what waits by priority, what is taken aside as a dead letter, what is sent once more.
//!
//! A message waits in the inbox of its priority; dead letters are an inbox of their own, so that they outlive expiry and retention. Why
//! a letter is dead stands in the store. Whatever is changed here is on disk before the answer, and in the audit trail.

use std::sync::Arc;

use jiff::Timestamp;
use journal::{Durability, InboxId, NORMAL_PRIORITY, NewMessage, Record, Seq, TOP_PRIORITY};
use model::{Caller, Direction, Error, Message, MessageId, Page, PageRequest, Permission, Result, TenantId, ThingId};

use crate::{Found, Outgoing, Sent, Things};

/// Dead letters looked through at a time.
const LOOK: usize = 256;
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// A message of a thing's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The message.
    pub message: Message,
    /// 0 to 9, 9 is delivered first; none for what was in no inbox.
    pub priority: Option<u8>,
    /// Why it is among the dead letters, if it is.
    pub dead: Option<DeadLetter>,
}

/// Why a message is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// In words.
    pub reason: String,
    /// Since when; none when a crash came between.
    pub since: Option<Timestamp>,
}

fn missing() -> Error {
    Error::not_found("message")
}

impl Things {
    /// As [`Things::send`], at a priority: 9 is delivered before all others, 0 after; in the order of sending within one.
    /// Error: Invalid(priority) above 9.
    pub async fn send_at(&self, caller: &Caller, handle: &str, outgoing: Outgoing, priority: u8) -> Result<Sent> {
        if priority > TOP_PRIORITY {
            return Err(Error::invalid("priority", format!("is 0 to {TOP_PRIORITY}")));
        }
        self.send_with(caller, handle, outgoing, priority).await
    }

    /// What waits for the thing, in the order it will receive it. The thing itself, or whoever has `message:read`.
    pub async fn queue(&self, caller: &Caller, handle: &str, page: &PageRequest) -> Result<Page<Queued>> {
        let found = self.find(caller, handle, Permission::MessageRead, true).await?;
        let thing = found.thing.id;
        let (first, mut after) = match page.cursor.as_deref() {
            None => (TOP_PRIORITY, None),
            Some(text) => {
                let (priority, seq) =
                    text.split_once('-').and_then(|(p, s)| Some((p.parse().ok()?, s.parse().ok()?))).ok_or_else(cursor)?;
                (priority, Some(Seq(seq)))
            }
        };
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_add(1);
        // A plan may have become shorter since a message was sent.
        let horizon = self.horizon(found.state.plan().retention);
        let mut all: Vec<(u8, Arc<Record>)> = Vec::new();
        for priority in (0..=first.min(TOP_PRIORITY)).rev() {
            let mut from = after.take();
            while all.len() < limit {
                let records = self.inner.journal.inbox_next(InboxId::of(thing, priority), from, limit - all.len()).await?;
                let Some(last) = records.last() else { break };
                from = Some(last.seq);
                all.extend(records.into_iter().filter(|record| record.at >= horizon).map(|record| (priority, record)));
            }
        }
        let page = Page::cut(all, page.limit, |(priority, record)| format!("{priority}-{}", record.seq.0));
        Ok(page.map(|(priority, record)| Queued { message: self.to_message(&record), priority: Some(priority), dead: None }))
    }

    /// One message with its place in the queue. Permission: `message:read`.
    pub async fn queued(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<Queued> {
        let found = self.find(caller, handle, Permission::MessageRead, false).await?;
        let record = self.any_record(caller, &found, id).await?;
        self.as_queued(caller.tenant, &record).await
    }

    /// Declares a waiting message's time to be over: the thing will not receive it. Error: NotFound(message) when it does not wait.
    /// Permission: `message:write`.
    pub async fn expire_message(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let result = self.expire_found(caller, handle, id).await;
        self.audit(caller, "message.expired", &format!("message:{id}"), &result);
        result
    }

    async fn expire_found(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        let (record, inbox) = self.waiting(caller, &found, id).await?;
        if self.inner.journal.inbox_expire(inbox, record.seq).await? { Ok(()) } else { Err(missing()) }
    }

    /// Sends a message once more: a copy of it with an id of its own goes to the end of its priority, or before all others (`first`);
    /// the original leaves the inbox or the dead letters. An expiry begins anew. It is not counted against the plan.
    /// Errors: NotFound(message), Invalid(message) for one that came from the thing. Permission: `message:write`.
    pub async fn redeliver(&self, caller: &Caller, handle: &str, id: MessageId, first: bool) -> Result<Queued> {
        let result = self.redeliver_found(caller, handle, id, first).await;
        self.audit(caller, "message.redelivered", &format!("message:{id}"), &result);
        result
    }

    async fn redeliver_found(&self, caller: &Caller, handle: &str, id: MessageId, first: bool) -> Result<Queued> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        let record = self.any_record(caller, &found, id).await?;
        if record.direction != Direction::Outbound {
            return Err(Error::invalid("message", "came from the thing; only what is sent to it can be delivered"));
        }
        let thing = found.thing.id;
        let priority = if first { TOP_PRIORITY } else { record.priority().unwrap_or(NORMAL_PRIORITY) };
        let clock = self.inner.identity.clock();
        let now = clock.now();
        let latest = now.checked_add(found.state.plan().retention).unwrap_or(Timestamp::MAX);
        let lifetime = record.expires.map(|end| end.duration_since(record.at));
        let expires = lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()).map_or(latest, |end| end.min(latest));
        let copy = NewMessage {
            id: clock.new_id(),
            tenant: caller.tenant,
            thing,
            direction: Direction::Outbound,
            at: now,
            topic: record.topic.clone(),
            payload: record.payload.clone(),
            expires: Some(expires),
            qos: record.qos,
            retain: false,
            properties: record.properties.clone(),
            inboxes: [InboxId::of(thing, priority)].into_iter().collect(),
            idempotency: None,
        };
        let journal = &self.inner.journal;
        let ticket = journal.write(copy, Durability::Sync).await?;
        // The copy is safe; a crash from here on delivers both.
        if let Some(inbox) = journal.inbox_holding(thing, record.seq) {
            journal.inbox_remove(inbox, record.seq).await?;
        }
        if journal.inbox_remove(InboxId::dead_letters(thing), record.seq).await? {
            self.forget_reason(caller.tenant, thing, id).await?;
        }
        let record = ticket.record.ok_or_else(missing)?;
        self.as_queued(caller.tenant, &record).await
    }

    /// Takes a waiting message aside: the thing does not receive it, and it waits among the dead letters for somebody to decide, beyond
    /// its expiry. Errors: NotFound(message) when it does not wait, Invalid(reason). Permission: `message:write`.
    pub async fn bury(&self, caller: &Caller, handle: &str, id: MessageId, reason: &str) -> Result<()> {
        let result = self.bury_found(caller, handle, id, reason).await;
        self.audit(caller, "message.buried", &format!("message:{id}"), &result);
        result
    }

    async fn bury_found(&self, caller: &Caller, handle: &str, id: MessageId, reason: &str) -> Result<()> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        let length = reason.chars().count();
        if length == 0 || length > MAX_REASON || reason.contains('\0') {
            return Err(Error::invalid("reason", format!("has 1 to {MAX_REASON} characters")));
        }
        let (record, inbox) = self.waiting(caller, &found, id).await?;
        self.move_aside(&record, inbox, reason).await
    }

    /// A message could not be delivered to the thing, says the broker: it goes to the dead letters. `caller` is the thing.
    pub async fn undeliverable(&self, caller: &Caller, record: &Record, inbox: InboxId, reason: &str) -> Result<()> {
        let result = self.move_aside(record, inbox, reason).await;
        self.audit(caller, "message.undeliverable", &format!("message:{}", record.id), &result);
        result
    }

    async fn move_aside(&self, record: &Record, inbox: InboxId, reason: &str) -> Result<()> {
        // The reason first: a letter without one would puzzle, a reason without its letter is never seen.
        let mut tx = self.inner.db.begin().await?;
        tx.set_dead_letter(record.tenant, record.thing, record.id, reason, self.now()).await?;
        tx.commit().await?;
        if self.inner.journal.inbox_move(inbox, InboxId::dead_letters(record.thing), record.seq).await? { Ok(()) } else { Err(missing()) }
    }

    /// A thing's dead letters, oldest first. Permission: `message:read`.
    pub async fn dead_letters(&self, caller: &Caller, handle: &str, page: &PageRequest) -> Result<Page<Queued>> {
        let found = self.find(caller, handle, Permission::MessageRead, false).await?;
        let after = match page.cursor.as_deref().map(str::parse) {
            None => None,
            Some(Ok(seq)) => Some(Seq(seq)),
            Some(Err(_)) => return Err(cursor()),
        };
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_add(1);
        let records = self.inner.journal.inbox_peek(InboxId::dead_letters(found.thing.id), after, limit).await?;
        let Page { items, next } = Page::cut(records, page.limit, |record| record.seq.0.to_string());
        let mut letters = Vec::with_capacity(items.len());
        for record in items {
            letters.push(self.as_queued(caller.tenant, &record).await?);
        }
        Ok(Page { items: letters, next })
    }

    /// Deletes a dead letter; it stays in the history as long as the plan keeps messages. Error: NotFound(message).
    /// Permission: `message:write`.
    pub async fn delete_dead_letter(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let result = self.delete_dead(caller, handle, id).await;
        self.audit(caller, "message.dead_letter_deleted", &format!("message:{id}"), &result);
        result
    }

    async fn delete_dead(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        let record = self.any_record(caller, &found, id).await?;
        if !self.inner.journal.inbox_remove(InboxId::dead_letters(found.thing.id), record.seq).await? {
            return Err(missing());
        }
        self.forget_reason(caller.tenant, found.thing.id, id).await
    }

    async fn forget_reason(&self, tenant: TenantId, thing: ThingId, id: MessageId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        tx.delete_dead_letter(tenant, thing, id).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn as_queued(&self, tenant: TenantId, record: &Record) -> Result<Queued> {
        let message = self.to_message(record);
        let dead = if message.status == model::MessageStatus::Dead {
            let noted = self.inner.db.read().await?.dead_letter(tenant, record.thing, record.id).await?;
            Some(match noted {
                Some((reason, since)) => DeadLetter { reason, since: Some(since) },
                None => DeadLetter { reason: "not known".to_owned(), since: None },
            })
        } else {
            None
        };
        Ok(Queued { message, priority: record.priority(), dead })
    }

    /// A message that waits, and the inbox it waits in.
    async fn waiting(&self, caller: &Caller, found: &Found, id: MessageId) -> Result<(Arc<Record>, InboxId)> {
        let record = self.record(caller, found, id).await?;
        let inbox = self.inner.journal.inbox_holding(found.thing.id, record.seq).ok_or_else(missing)?;
        Ok((record, inbox))
    }

    /// A message the plan still keeps, or a dead letter, however old.
    async fn any_record(&self, caller: &Caller, found: &Found, id: MessageId) -> Result<Arc<Record>> {
        match self.record(caller, found, id).await {
            Err(Error::NotFound { .. }) => {}
            other => return other,
        }
        // The history forgets what is past retention; the dead letters do not.
        let (inbox, mut after) = (InboxId::dead_letters(found.thing.id), None);
        loop {
            let letters = self.inner.journal.inbox_peek(inbox, after, LOOK).await?;
            let last = letters.last().ok_or_else(missing)?.seq;
            after = Some(last);
            if let Some(record) = letters.into_iter().find(|record| record.id == id) {
                return Ok(record);
            }
        }
    }
}

fn cursor() -> Error {
    Error::invalid("cursor", "is not one that was handed out")
}

/// Who hears a thing's message besides, when it did not come over MQTT: the broker's subscribers.
pub trait Router: Send + Sync + 'static {
    /// The queues of sessions that hear this message of the thing and are not there.
    fn queues(&self, thing: &model::Thing, message: &NewMessage) -> Vec<InboxId>;
    /// The message is stored: whoever is there hears it now.
    fn stored(&self, record: &Arc<Record>);
}
