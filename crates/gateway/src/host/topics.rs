//! What a topic means to whoever connected.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use journal::{Durability, Record};
use model::{ApiKeyId, Caller, Denial, Direction, Error, Permission, TenantId, Thing, ThingId, ThingStatus};
use mqtt::{Accepted, ConnectRequest, Host, Inbox, Peer, Reason, Refusal, SavedSession, Subscription};
use things::{Form, Incoming, Publish, Topics};
use uuid::Uuid;

use super::{sessions, sign_in};
use crate::House;

/// The broker's host over identity, things and the dialects' topics.
#[derive(Debug)]
pub struct MqttHost {
    pub(super) house: House,
    topics: Topics,
    durability: Durability,
    max_payload: usize,
    pub(super) anonymous: Option<TenantId>,
    /// How often something ended; see [`MqttHost::something_ended`].
    endings: AtomicU64,
}

/// What the host remembers of a connection.
pub(super) struct Context {
    /// Who calls.
    pub caller: Caller,
    /// As what.
    pub kind: Kind,
    /// The API key it showed, or for which the token it showed was issued.
    pub api_key: Option<ApiKeyId>,
    /// The token it showed, by `jti`.
    pub token: Option<Uuid>,
    /// Did it show the thing's secret?
    pub by_secret: bool,
    /// Did it show a token that the thing signed itself?
    pub self_signed: bool,
    /// How often something had ended when it was recognised.
    pub endings: u64,
}

/// As what somebody is connected.
pub(super) enum Kind {
    /// A device.
    Thing { thing: Box<Thing>, verified: AtomicBool },
    /// A user or client.
    Member,
    /// Nobody known, in the tenant set aside for that.
    Anonymous,
}

/// What the broker carries for us.
pub(super) fn context(peer: &Peer) -> Option<&Context> {
    peer.context.downcast_ref()
}

impl MqttHost {
    /// A host over these parts; `anonymous` is the tenant of clients without credentials, if they are let in.
    #[must_use]
    pub fn new(house: House, topics: Topics, durability: Durability, max_payload: usize, anonymous: Option<TenantId>) -> Self {
        // Values and events are told from plain messages by their topics, also when they are read later.
        house.things.know_topics(topics.clone());
        Self { house, topics, durability, max_payload, anonymous, endings: AtomicU64::new(0) }
    }

    /// Told before connections are looked through for what a revocation ends: whoever was recognised before it and is not yet among
    /// them has to come again.
    pub(super) fn something_ended(&self) {
        self.endings.fetch_add(1, Ordering::AcqRel);
    }

    /// What is asked of `things` about a publish; topic and payload were checked by the broker and below, so they need no copy.
    fn incoming(thing: ThingId, direction: Direction, publish: &mqtt::Publish<'_>) -> Incoming {
        Incoming {
            thing,
            direction,
            topic: Bytes::new(),
            payload: Bytes::new(),
            qos: publish.qos,
            retain: publish.retain,
            properties: Bytes::new(),
            expires: None,
            idempotency: None,
        }
    }

    /// Which thing and which way, or no.
    fn place(&self, peer: &Peer, context: &Context, topic: &str) -> Result<(ThingId, Direction), Reason> {
        const NOBODY: ThingId = ThingId(Uuid::nil());
        match &context.kind {
            Kind::Thing { thing, .. } => match self.topics.publish(thing, topic) {
                Some(Publish::Message | Publish::Test | Publish::Values | Publish::Event) => Ok((thing.id, Direction::Inbound)),
                Some(Publish::Local) => Ok((NOBODY, Direction::Inbound)),
                None => Err(Reason::NotAuthorized),
            },
            Kind::Member => match self.topics.target(topic) {
                Some(target) => {
                    let thing = self.house.things.target(peer.tenant, &target).ok_or(Reason::NotAuthorized)?;
                    Ok((thing, Direction::Outbound))
                }
                None if self.is_somebodys(topic) => Err(Reason::NotAuthorized),
                None => Ok((NOBODY, Direction::Inbound)),
            },
            Kind::Anonymous if self.is_somebodys(topic) || self.topics.target(topic).is_some() => Err(Reason::NotAuthorized),
            Kind::Anonymous => Ok((NOBODY, Direction::Inbound)),
        }
    }

    /// Is this a topic on which some thing may speak? Then nobody else may: a subscriber must be able to believe it. A thing's topic
    /// holds its name or key as a level, or is the same for every thing.
    fn is_somebodys(&self, topic: &str) -> bool {
        let mut probe = Thing {
            id: ThingId(Uuid::nil()),
            tenant: TenantId(Uuid::nil()),
            key: String::new(),
            name: String::new(),
            kind: String::new(),
            distribution: String::new(),
            tags: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
            status: ThingStatus::Created,
            owner: None,
            created: model::Timestamp::UNIX_EPOCH,
            updated: model::Timestamp::UNIX_EPOCH,
        };
        topic.split('/').any(|level| {
            level.clone_into(&mut probe.name);
            level.clone_into(&mut probe.key);
            self.topics.publish(&probe, topic).is_some()
        })
    }
}

impl Host for MqttHost {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Peer, Refusal> {
        let endings = self.endings.load(Ordering::Acquire);
        let (context, certificate, expires) = sign_in::recognise(self, &request).await?;
        let context = Context { endings, ..context };
        let caller = &context.caller;
        if let Err(error) = self.house.things.prepare(caller.tenant).await {
            return Err(sign_in::refusal(&error));
        }
        let thing = match &context.kind {
            Kind::Thing { thing, .. } => Some(thing.id),
            Kind::Member | Kind::Anonymous => None,
        };
        let (tenant, principal) = (caller.tenant, caller.principal.clone());
        if let Some(thing) = thing {
            self.house.things.note(tenant, thing, "Device connected");
        }
        tracing::debug!(client = request.client_id, principal = principal.label(), secure = request.secure, "MQTT client connected");
        Ok(Peer { tenant, thing, principal, certificate, expires, context: Arc::new(context) as Arc<dyn Any + Send + Sync> })
    }

    fn admits(&self, peer: &Peer) -> bool {
        context(peer).is_some_and(|context| context.endings == self.endings.load(Ordering::Acquire))
    }

    fn accept(&self, peer: &Peer, publish: &mqtt::Publish<'_>) -> Result<Accepted, Reason> {
        let context = context(peer).ok_or(Reason::ImplementationSpecific)?;
        if publish.topic.starts_with('$') {
            return Err(Reason::NotAuthorized);
        }
        if publish.payload.len() > self.max_payload {
            return Err(Reason::PacketTooLarge);
        }
        let (thing, direction) = self.place(peer, context, publish.topic)?;
        let accepted = self.house.things.accept(&context.caller, Self::incoming(thing, direction, publish)).map_err(|e| reason(&e))?;
        // QoS 0 promises nothing, so nobody waits for the disk.
        let durability = if publish.qos == 0 && !publish.retain { Durability::Memory } else { self.durability };
        Ok(Accepted { thing, direction, inboxes: accepted.inboxes, durability, expires: accepted.expires })
    }

    fn stored(&self, peer: &Peer, record: &Arc<Record>) {
        let Some(Context { kind: Kind::Thing { thing, verified }, .. }) = context(peer) else { return };
        if verified.load(Ordering::Relaxed) || self.topics.publish(thing, record.topic_str()) != Some(Publish::Test) {
            return;
        }
        verified.store(true, Ordering::Relaxed);
        let (things, id) = (self.house.things.clone(), thing.id);
        tokio::spawn(async move {
            if let Err(error) = things.mark_verified(id).await {
                tracing::warn!(%error, thing = %id, "a thing's test arrived but could not be noted");
            }
        });
    }

    fn may_subscribe(&self, peer: &Peer, filter: &str) -> Option<Subscription> {
        const MAX_QOS: u8 = 2;
        let context = context(peer)?;
        if filter.starts_with('$') {
            return None;
        }
        match &context.kind {
            Kind::Thing { thing, .. } => {
                let granted = self.topics.subscribe(thing, filter)?;
                let inbox = granted.inbox.map(|form| Inbox { id: thing.id.into(), form: form.0 });
                Some(Subscription { inbox, max_qos: MAX_QOS })
            }
            Kind::Member if !context.caller.permissions.has(Permission::MessageRead) => None,
            Kind::Member | Kind::Anonymous => Some(Subscription { inbox: None, max_qos: MAX_QOS }),
        }
    }

    fn render(&self, peer: &Peer, form: u32, record: &Record) -> Option<(String, Bytes)> {
        let Kind::Thing { thing, .. } = &context(peer)?.kind else { return None };
        let message = self.house.things.to_message(record);
        self.topics.outgoing(Form(form), thing, &message).map(|(topic, payload)| (topic, payload.into()))
    }

    fn ended(&self, peer: &Peer, _: mqtt::Ended) {
        if let Some(thing) = peer.thing {
            self.house.things.note(peer.tenant, thing, "Device disconnected");
        }
    }

    async fn save_session(&self, tenant: TenantId, session: &SavedSession) -> Result<(), Reason> {
        sessions::save(&self.house, tenant, session).await.map_err(|error| {
            tracing::error!(%error, "a session could not be kept");
            Reason::ServerUnavailable
        })
    }

    async fn load_sessions(&self) -> Vec<SavedSession> {
        match sessions::load(&self.house).await {
            Ok(sessions) => sessions,
            Err(error) => {
                tracing::error!(%error, "MQTT sessions could not be read; their clients begin anew");
                Vec::new()
            }
        }
    }

    async fn remove_session(&self, tenant: TenantId, principal: &str, client_id: &str) {
        if let Err(error) = sessions::remove(&self.house, tenant, principal, client_id).await {
            tracing::error!(%error, "a session could not be removed");
        }
    }
}

/// A verb's error as MQTT says it.
fn reason(error: &Error) -> Reason {
    match error {
        Error::Forbidden(Denial::Quota(_)) => Reason::QuotaExceeded,
        Error::Forbidden(_) | Error::NotFound { .. } | Error::Unauthenticated { .. } => Reason::NotAuthorized,
        Error::TooLarge { .. } => Reason::PacketTooLarge,
        Error::TooMany { .. } => Reason::MessageRateTooHigh,
        Error::Invalid { field: "topic", .. } => Reason::TopicNameInvalid,
        Error::Invalid { .. } | Error::Conflict { .. } | Error::Internal { .. } => Reason::ImplementationSpecific,
        Error::Unavailable { .. } => Reason::ServerBusy,
    }
}
