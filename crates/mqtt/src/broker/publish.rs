//! Messages into the journal: how a PUBLISH becomes a record, wills, and the server's own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use journal::{Durability, JournalError, NewMessage};
use model::{Clock, Direction, MessageId, TenantId, ThingId, Timestamp};
use smallvec::SmallVec;
use uuid::Uuid;

use super::route::add_inboxes;
use super::{Broker, count};
use crate::codec::{Properties, Publish, check_topic, id};
use crate::session::{Tenant, WillMessage};
use crate::{Accepted, Host, Peer, Reason};

/// Why a server-side publish was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic or payload is not allowed.
    #[error("{0}")]
    Refused(Reason),
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A PUBLISH as the journal takes it, and the shared groups its queues already serve. One allocation holds topic, properties and
/// payload, so that a small message does not keep a whole read buffer alive.
pub(crate) fn new_message<H: Host>(
    host: &H,
    tenant: &Tenant,
    clock: &Clock,
    publish: &Publish<'_>,
    accepted: Accepted,
    origin: u64,
) -> (NewMessage, SmallVec<[u64; 1]>) {
    let now = clock.now();
    let topic = publish.topic.as_bytes();
    let mut all = BytesMut::with_capacity(topic.len() + publish.properties.raw().len() + publish.payload.len());
    all.extend_from_slice(topic);
    let mut expires = accepted.expires;
    let mut kept = 0;
    if !publish.properties.raw().is_empty() {
        kept = forwarded(publish.properties, &mut all);
        if let Some(seconds) = publish.properties.expiry() {
            let end = after(now, seconds);
            expires = Some(expires.map_or(end, |limit| limit.min(end)));
        }
    }
    all.extend_from_slice(publish.payload);
    let mut all = all.freeze();
    let topic = all.split_to(topic.len());
    let properties = all.split_to(kept);
    let mut inboxes = accepted.inboxes;
    let picked = add_inboxes(host, tenant, (accepted.thing, publish.topic), publish.qos, origin, &mut inboxes);
    let message = NewMessage {
        id: clock.new_id(),
        tenant: tenant.id,
        thing: accepted.thing,
        direction: accepted.direction,
        at: now,
        topic,
        payload: all,
        expires,
        qos: publish.qos,
        retain: publish.retain,
        properties,
        inboxes,
        idempotency: None,
    };
    (message, picked)
}

/// Copies the properties that travel with the message; the rest is between one client and the broker. Answers their length.
fn forwarded(properties: Properties<'_>, out: &mut BytesMut) -> usize {
    let before = out.len();
    for property in properties.iter() {
        if !matches!(property.id, id::MESSAGE_EXPIRY | id::TOPIC_ALIAS | id::SUBSCRIPTION_IDENTIFIER | id::WILL_DELAY) {
            out.extend_from_slice(property.raw);
        }
    }
    out.len() - before
}

/// That many seconds later, or the end of time.
pub(crate) fn after(now: Timestamp, seconds: u32) -> Timestamp {
    now.checked_add(Duration::from_secs(u64::from(seconds))).unwrap_or(Timestamp::MAX)
}

impl<H: Host> Broker<H> {
    /// Publishes on the server's behalf: stored (on disk above `QoS` 0), then routed like any other. It belongs to no thing.
    pub async fn publish(&self, tenant: TenantId, topic: &str, payload: Bytes, qos: u8, retain: bool) -> Result<MessageId, PublishError> {
        self.check_topic(topic).map_err(PublishError::Refused)?;
        let tenant = self.tenant(tenant);
        let qos = qos.min(2);
        let publish = Publish { dup: false, qos, retain, topic, pid: 0, properties: Properties::NONE, payload: &payload };
        let accepted = Accepted {
            thing: ThingId(Uuid::nil()),
            direction: Direction::Outbound,
            inboxes: SmallVec::new(),
            durability: if qos > 0 || retain { Durability::Sync } else { Durability::Memory },
            expires: None,
        };
        let durability = accepted.durability;
        let (message, picked) = new_message(&*self.host, &tenant, &self.clock, &publish, accepted, 0);
        let id = message.id;
        let ticket = self.journal.write(message, durability).await?;
        if let Some(record) = ticket.record {
            self.route_from(&tenant, &record, 0, &picked);
        }
        Ok(id)
    }

    /// Publishes a will: asked of the host, stored and routed like any PUBLISH of its client.
    pub(crate) async fn publish_will(&self, peer: &Peer, will: &WillMessage) {
        let publish = will.as_publish();
        let tenant = self.tenant(peer.tenant);
        let checked = self.check_topic(publish.topic).and_then(|()| self.check_retained(&tenant, &publish));
        let accepted = match checked.and_then(|()| self.host.accept(peer, &publish)) {
            Ok(accepted) => accepted,
            Err(reason) => {
                count(&self.counters.messages_refused, 1);
                count(&tenant.counters.messages_refused, 1);
                tracing::info!(%reason, principal = peer.principal.label(), "a will was refused");
                return;
            }
        };
        let durability = accepted.durability;
        let (message, picked) = new_message(&*self.host, &tenant, &self.clock, &publish, accepted, 0);
        match self.journal.write(message, durability).await {
            Ok(ticket) => {
                if let Some(record) = ticket.record {
                    self.host.stored(peer, &record);
                    self.route_from(&tenant, &record, 0, &picked);
                }
            }
            Err(error) => tracing::error!(%error, "a will could not be stored"),
        }
    }

    /// May the tenant retain this, or is it not to be retained at all?
    pub(crate) fn check_retained(&self, tenant: &Tenant, publish: &Publish<'_>) -> Result<(), Reason> {
        if !publish.retain || publish.payload.is_empty() {
            return Ok(());
        }
        let bytes = publish.topic.len() + publish.properties.raw().len() + publish.payload.len();
        let fits = tenant.retained.read().fits(publish.topic, bytes, self.limits.max_retained, self.limits.max_retained_bytes);
        if fits { Ok(()) } else { Err(Reason::QuotaExceeded) }
    }

    /// A topic name within the limits?
    pub(crate) fn check_topic(&self, topic: &str) -> Result<(), Reason> {
        let limits = &self.limits;
        if topic.starts_with("$SYS/") {
            return Err(Reason::NotAuthorized);
        }
        let within = topic.len() <= limits.max_topic_bytes && topic.bytes().filter(|b| *b == b'/').count() < limits.max_topic_levels;
        if within { check_topic(topic).map_err(|error| error.reason) } else { Err(Reason::TopicNameInvalid) }
    }
}
