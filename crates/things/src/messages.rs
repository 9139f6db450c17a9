//! Messages: accepted from things, sent to things, read, deleted.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use journal::{HistoryQuery, InboxId, NORMAL_PRIORITY, NewMessage, Record, Ticket};
use model::{
    Caller, Denial, Direction, Error, Message, MessageId, MessageStatus, Page, PageRequest, Permission, Principal, Result, TenantId, Thing,
    ThingId,
};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::{Found, Incoming, MessageFilter, Outgoing, Sent, Things};

/// The longest idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// A client's idempotency key as the journal keeps it: bound to tenant, thing and direction.
/// Error: Invalid(`idempotency_key`) unless it has 1 to 255 bytes.
pub fn idempotency(tenant: TenantId, thing: ThingId, direction: Direction, key: &str) -> Result<[u8; 16]> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        return Err(Error::invalid("idempotency_key", format!("must have 1 to {MAX_IDEMPOTENCY_KEY} bytes")));
    }
    let mut name = Vec::with_capacity(17 + key.len());
    name.extend_from_slice(tenant.uuid().as_bytes());
    name.push(match direction {
        Direction::Inbound => b'i',
        Direction::Outbound => b'o',
    });
    name.extend_from_slice(key.as_bytes());
    // Whoever can make two keys collide repeats only his own message for his own thing.
    Ok(Uuid::new_v5(&thing.uuid(), &name).into_bytes())
}

/// A record as a message.
pub(crate) fn to_message(record: &Record, status: MessageStatus) -> Message {
    Message {
        id: record.id,
        tenant: record.tenant,
        thing: record.thing,
        direction: record.direction,
        at: record.at,
        topic: record.topic_str().to_owned(),
        payload: record.payload.to_vec(),
        expires: record.expires,
        status,
    }
}

fn new_to_message(m: &NewMessage, id: MessageId) -> Message {
    Message {
        id,
        tenant: m.tenant,
        thing: m.thing,
        direction: m.direction,
        at: m.at,
        topic: String::from_utf8_lossy(&m.topic).into_owned(),
        payload: m.payload.to_vec(),
        expires: m.expires,
        status: match m.direction {
            Direction::Inbound => MessageStatus::Stored,
            Direction::Outbound => MessageStatus::Queued,
        },
    }
}

impl Things {
    /// Checks a message and counts it; the caller appends it to the journal, at once. No I/O.
    ///
    /// Inbound: a thing for itself, or whoever has `message:submit` on behalf of a thing of its tenant. Outbound: `message:write`;
    /// the message goes into the thing's inbox and never outlives the plan's retention. With a nil thing (tenant-local traffic):
    /// a thing, or whoever has `message:write`; it is neither counted nor anybody's history.
    /// That the thing is one of the tenant's is the caller's to have looked up ([`Things::thing_named`]).
    ///
    /// Errors: Forbidden(permission, quota), NotFound(thing) once it is deprovisioned, `TooLarge`, Invalid(topic).
    pub fn accept(&self, caller: &Caller, incoming: Incoming) -> Result<NewMessage> {
        let Incoming { thing, direction, topic, payload, qos, retain, properties, expires, idempotency } = incoming;
        let local = thing.uuid().is_nil();
        match (&caller.principal, direction) {
            (Principal::Thing(id), Direction::Inbound) if local || *id == thing => caller.require(Permission::MessageSubmit)?,
            (Principal::Thing(_), _) => return Err(Error::Forbidden(Denial::Rule("a thing speaks only for itself"))),
            (_, Direction::Inbound) if !local => caller.require(Permission::MessageSubmit)?,
            _ => caller.require(Permission::MessageWrite)?,
        }
        let speaks = if let Principal::Thing(id) = caller.principal { id } else { thing };
        if self.is_gone(speaks) {
            return Err(Error::not_found("thing"));
        }
        if payload.len() > self.inner.options.max_payload {
            return Err(Error::TooLarge { limit: self.inner.options.max_payload as u64 });
        }
        self.check_topic(&topic)?;
        let clock = self.inner.identity.clock();
        let at = clock.now();
        let mut message = NewMessage {
            id: clock.new_id(),
            tenant: caller.tenant,
            thing,
            direction,
            at,
            topic,
            payload,
            expires,
            qos,
            retain,
            properties,
            inboxes: SmallVec::new(),
            idempotency,
        };
        if !local {
            let plan = self.state_now(caller.tenant, at).take(direction, at)?;
            if direction == Direction::Outbound {
                let latest = at.checked_add(plan.retention).unwrap_or(Timestamp::MAX);
                message.expires = Some(expires.map_or(latest, |e| e.min(latest)));
                message.inboxes.push(InboxId::from(thing));
            }
        }
        Ok(message)
    }

    /// A message that was accepted could not be stored, or was a duplicate: it is not counted after all.
    pub fn not_stored(&self, message: &NewMessage) {
        if !message.thing.uuid().is_nil()
            && let Some(state) = self.known_state(message.tenant)
        {
            state.give_back(message.direction, message.at);
        }
    }

    fn is_gone(&self, thing: ThingId) -> bool {
        self.inner.gone.read().contains_key(&thing)
    }

    /// UTF-8 without NUL or wildcards, not too long; empty for an outbound message that has no topic of its own.
    fn check_topic(&self, topic: &[u8]) -> Result<()> {
        if topic.len() > self.inner.options.max_topic {
            return Err(Error::invalid("topic", format!("is longer than {} bytes", self.inner.options.max_topic)));
        }
        if std::str::from_utf8(topic).is_err() || topic.iter().any(|b| matches!(b, 0 | b'+' | b'#')) {
            return Err(Error::invalid("topic", "must be UTF-8 without NUL and wildcards"));
        }
        Ok(())
    }

    /// Hands in a message of a thing; done once it is stored. `topic` names the channel (`http:collect`). With an idempotency key, the
    /// same message handed in again within 24 hours is stored once, and the first one is the answer.
    /// A thing for itself, or whoever has `message:submit`.
    pub async fn collect(
        &self,
        caller: &Caller,
        handle: &str,
        topic: &str,
        payload: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Message> {
        let found = self.find(caller, handle, Permission::MessageSubmit, false).await?;
        let incoming = Incoming {
            thing: found.thing.id,
            direction: Direction::Inbound,
            topic: Bytes::copy_from_slice(topic.as_bytes()),
            payload,
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires: None,
            idempotency: idempotency_key.map(|key| idempotency(caller.tenant, found.thing.id, Direction::Inbound, key)).transpose()?,
        };
        Ok(self.store(caller, &found.thing, incoming, NORMAL_PRIORITY).await?.message)
    }

    /// Sends a message to a thing: done once it is stored in the thing's inbox, where it stays until the thing acknowledges it or its
    /// time runs out. Permission: `message:write`.
    pub async fn send(&self, caller: &Caller, handle: &str, outgoing: Outgoing) -> Result<Sent> {
        self.send_with(caller, handle, outgoing, NORMAL_PRIORITY).await
    }

    pub(crate) async fn send_with(&self, caller: &Caller, handle: &str, outgoing: Outgoing, priority: u8) -> Result<Sent> {
        let found = self.find(caller, handle, Permission::MessageWrite, false).await?;
        if outgoing.expires.is_some_and(|e| e <= self.now()) {
            return Err(Error::invalid("expires", "is in the past"));
        }
        let thing = found.thing.id;
        let key = outgoing.idempotency_key.as_deref();
        let incoming = Incoming {
            thing,
            direction: Direction::Outbound,
            topic: Bytes::new(),
            payload: outgoing.payload,
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires: outgoing.expires,
            idempotency: key.map(|key| idempotency(caller.tenant, thing, Direction::Outbound, key)).transpose()?,
        };
        self.store(caller, &found.thing, incoming, priority).await
    }

    async fn store(&self, caller: &Caller, thing: &Thing, incoming: Incoming, priority: u8) -> Result<Sent> {
        self.store_for(caller, thing, incoming, priority, None).await
    }

    /// The same; an outbound message goes into the inbox of `gateway`, if one is given, instead of its thing's.
    pub(crate) async fn store_for(
        &self,
        caller: &Caller,
        thing: &Thing,
        incoming: Incoming,
        priority: u8,
        gateway: Option<ThingId>,
    ) -> Result<Sent> {
        let journal = &self.inner.journal;
        // Before it is counted, so that a caller who hangs up here leaves no trace.
        journal.admit().await;
        let mut message = self.accept(caller, incoming)?;
        for inbox in &mut message.inboxes {
            *inbox = InboxId::of(gateway.unwrap_or(thing.id), priority);
        }
        let router = self.inner.router.get().filter(|_| message.direction == Direction::Inbound);
        if let Some(router) = router {
            message.inboxes.extend(router.queues(thing, &message));
        }
        let durability = self.durability_now(message.tenant).unwrap_or(self.inner.options.durability);
        let mut counted = Counted { things: self, message: Some(message.clone()) };
        let Ticket { seq, duplicate_of, record } = journal.append(message.clone(), durability)?;
        if duplicate_of.is_none() {
            // Appended: a caller who hangs up while the disk works does not undo that.
            counted.message = None;
        }
        let done = match (router.cloned(), record) {
            // In a task of its own: a caller who hangs up does not keep subscribers from hearing it.
            (Some(router), Some(record)) => {
                let journal = journal.clone();
                let told = tokio::spawn(async move {
                    journal.durable(seq).await?;
                    router.stored(&record);
                    Ok(())
                });
                told.await.map_err(Error::internal)?
            }
            _ => journal.durable(seq).await,
        };
        if let Err(error) = done {
            counted.message = Some(message);
            return Err(error.into());
        }
        let Some(first) = duplicate_of else {
            return Ok(Sent { message: new_to_message(&message, message.id), duplicate: false });
        };
        let there = journal.get(message.tenant, message.thing, first).await?;
        let message = there.map_or_else(|| new_to_message(&message, first), |record| self.to_message(&record));
        Ok(Sent { message, duplicate: true })
    }

    /// A record as a message, with what became of it.
    #[must_use]
    pub fn to_message(&self, record: &Record) -> Message {
        to_message(record, self.inner.journal.status(record))
    }

    /// A thing's messages of the time its tenant's plan keeps. Error: Invalid when the range ends before it begins, or begins before 1970.
    /// Permission: `message:read`.
    pub async fn messages(
        &self,
        caller: &Caller,
        handle: &str,
        filter: &MessageFilter,
        newest_first: bool,
        page: &PageRequest,
    ) -> Result<Page<Message>> {
        check_range(filter)?;
        let found = self.find(caller, handle, Permission::MessageRead, false).await?;
        let query = self.query(caller, &found, filter, newest_first, page.clone());
        Ok(self.inner.journal.history(&query).await?.map(|record| self.to_message(&record)))
    }

    /// One message. Permission: `message:read`.
    pub async fn message(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<Message> {
        let found = self.find(caller, handle, Permission::MessageRead, false).await?;
        Ok(self.to_message(&*self.record(caller, &found, id).await?))
    }

    /// Deletes a thing's messages, from its inbox too; answers how many. Permission: `message:write`.
    pub async fn delete_messages(&self, caller: &Caller, handle: &str, filter: &MessageFilter) -> Result<u64> {
        check_range(filter)?;
        let found = self.find(caller, handle, Permission::MessageWrite, false).await;
        let result = match found {
            Ok(found) => self.delete_found(caller, &found, filter).await,
            Err(e) => Err(e),
        };
        self.audit(caller, "messages.deleted", &format!("thing:{handle:.64}"), &result);
        result
    }

    async fn delete_found(&self, caller: &Caller, found: &Found, filter: &MessageFilter) -> Result<u64> {
        // What is deleted stays counted.
        self.count_up().await?;
        let query = self.query(caller, found, filter, false, PageRequest::max());
        Ok(self.inner.journal.delete(&query).await?)
    }

    /// What waits for the thing, in the order it will receive it. The thing itself, or whoever has `message:read`.
    pub async fn inbox(&self, caller: &Caller, handle: &str, page: &PageRequest) -> Result<Page<Message>> {
        Ok(self.queue(caller, handle, page).await?.map(|queued| queued.message))
    }

    /// Takes a message out of the thing's inbox; it stays in the history. Error: NotFound(message) when it does not wait there.
    /// The thing itself, or whoever has `message:write`.
    pub async fn inbox_remove(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let result = self.remove_found(caller, handle, id).await;
        self.audit(caller, "message.removed", &format!("message:{id}"), &result);
        result
    }

    async fn remove_found(&self, caller: &Caller, handle: &str, id: MessageId) -> Result<()> {
        let found = self.find(caller, handle, Permission::MessageWrite, true).await?;
        let record = self.record(caller, &found, id).await?;
        let journal = &self.inner.journal;
        let inbox = journal.inbox_holding(found.thing.id, record.seq).ok_or(Error::not_found("message"))?;
        match journal.inbox_remove(inbox, record.seq).await? {
            true => Ok(()),
            false => Err(Error::not_found("message")),
        }
    }

    pub(crate) async fn record(&self, caller: &Caller, found: &Found, id: MessageId) -> Result<Arc<Record>> {
        let record = self.inner.journal.get(caller.tenant, found.thing.id, id).await?;
        let horizon = self.horizon(found.state.plan().retention);
        record.filter(|record| record.at >= horizon).ok_or(Error::not_found("message"))
    }

    fn query(&self, caller: &Caller, found: &Found, filter: &MessageFilter, newest_first: bool, page: PageRequest) -> HistoryQuery {
        // Past retention is past, cleared away or not.
        let horizon = self.horizon(found.state.plan().retention);
        HistoryQuery {
            tenant: caller.tenant,
            thing: Some(found.thing.id),
            from: Some(filter.from.map_or(horizon, |from| from.max(horizon))),
            to: filter.to,
            direction: filter.direction,
            newest_first,
            page,
        }
    }
}

fn check_range(filter: &MessageFilter) -> Result<()> {
    if filter.from.is_some_and(|t| t < Timestamp::UNIX_EPOCH) {
        return Err(Error::invalid("from", "is before 1970"));
    }
    if filter.to.is_some_and(|t| t < Timestamp::UNIX_EPOCH) {
        return Err(Error::invalid("to", "is before 1970"));
    }
    match (filter.from, filter.to) {
        (Some(from), Some(to)) if to < from => Err(Error::invalid("to", "is before the beginning of the range")),
        _ => Ok(()),
    }
}

/// A message that was counted and is given back unless it is stored.
struct Counted<'a> {
    things: &'a Things,
    message: Option<NewMessage>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(message) = &self.message {
            self.things.not_stored(message);
        }
    }
}
