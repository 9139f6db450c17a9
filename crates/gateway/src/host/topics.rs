//! What a topic means to whoever connected.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use journal::{Durability, InboxId, NORMAL_PRIORITY, NewMessage, Record, TOP_PRIORITY};
use model::{ApiKeyId, Caller, Denial, Direction, Error, Permission, TenantId, Thing, ThingId, ThingStatus};
use mqtt::{Accepted, Broker, ConnectRequest, Host, Inbox, Peer, Reason, Refusal, SavedSession, Subscription, Undelivered};
use parking_lot::RwLock;
use things::{Form, Incoming, Publish, Router, Topics};
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
    flashlex: bool,
    pub(super) anonymous: Option<TenantId>,
    /// The topics on which things' messages are heard that did not come over MQTT.
    pub(super) heard: Heard,
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
    /// The level its listener was set up with.
    pub durability: Option<Durability>,
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

/// How the topic of a message begins that was handed in another way than by MQTT.
const CHANNEL: &str = "http:";

/// A thing's key and name.
type Handles = (Arc<str>, Arc<str>);

/// Keys and names of things that reported by another way than MQTT; a rename clears it.
#[derive(Debug, Default)]
pub(super) struct Heard(RwLock<HashMap<ThingId, Handles>>);

impl Heard {
    /// Things remembered at a time.
    const MOST: usize = 100_000;

    fn get(&self, thing: ThingId, look: impl FnOnce() -> Option<(String, String)>) -> Option<Handles> {
        if let Some(known) = self.0.read().get(&thing) {
            return Some(known.clone());
        }
        let (key, name) = look()?;
        let found: (Arc<str>, Arc<str>) = (key.into(), name.into());
        self.put(thing, found.clone());
        Some(found)
    }

    fn put(&self, thing: ThingId, known: (Arc<str>, Arc<str>)) {
        let mut all = self.0.write();
        if all.len() >= Self::MOST {
            all.clear();
        }
        all.insert(thing, known);
    }

    pub(super) fn forget(&self, thing: ThingId) {
        self.0.write().remove(&thing);
    }
}

/// Tells the broker's subscribers of messages that things handed in by another way.
pub struct Heralds(pub Arc<Broker<MqttHost>>);

impl Router for Heralds {
    fn queues(&self, thing: &Thing, message: &NewMessage) -> Vec<InboxId> {
        let host = self.0.host();
        let (key, name): (Arc<str>, Arc<str>) = (thing.key.as_str().into(), thing.name.as_str().into());
        let channel = std::str::from_utf8(&message.topic).unwrap_or_default();
        if !channel.starts_with(CHANNEL) {
            return Vec::new();
        }
        let topic = host.channel_topic(channel, &key, &name);
        host.heard.put(thing.id, (key, name));
        self.0.inboxes_for(message.tenant, message.thing, &topic, message.qos).into_vec()
    }

    fn stored(&self, record: &Arc<Record>) {
        self.0.route(record);
    }
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
        Self {
            house,
            flashlex: topics.has("flashlex"),
            topics,
            durability,
            max_payload,
            anonymous,
            heard: Heard::default(),
            endings: AtomicU64::new(0),
        }
    }

    /// Where a message of a channel is heard: a FlashLex collect as if it had been published there, others below the thing's own topics.
    fn channel_topic(&self, channel: &str, key: &str, name: &str) -> String {
        match channel.strip_prefix(CHANNEL).unwrap_or(channel) {
            "collect" if self.flashlex => format!("egress/{name}"),
            other => format!("things/{key}/{other}"),
        }
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
        let context = Context { endings, durability: request.durability, ..context };
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
        let priority = priority(publish)?;
        let mut accepted = self.house.things.accept(&context.caller, Self::incoming(thing, direction, publish)).map_err(|e| reason(&e))?;
        for inbox in &mut accepted.inboxes {
            *inbox = InboxId::of(thing, priority);
        }
        // QoS 0 promises nothing, so nobody waits for the disk. Else the tenant's own level holds, then the listener's.
        let durability = match publish.qos {
            0 if !publish.retain => Durability::Memory,
            _ => self.house.things.durability_now(peer.tenant).or(context.durability).unwrap_or(self.durability),
        };
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
            // Figures: the tenant's own for who may read its messages, all others for the operator.
            let whose = if filter.starts_with("$SYS/tenant/") { Permission::MessageRead } else { Permission::Operate };
            let may = filter.starts_with("$SYS/") && matches!(context.kind, Kind::Member) && context.caller.permissions.has(whose);
            return may.then_some(Subscription { inbox: None, max_qos: 0, screened: false });
        }
        match &context.kind {
            Kind::Thing { thing, .. } => {
                let granted = self.topics.subscribe(thing, filter)?;
                let inbox = granted.inbox.map(|form| Inbox { id: thing.id.into(), form: form.0 });
                Some(Subscription { inbox, max_qos: MAX_QOS, screened: false })
            }
            Kind::Member if !context.caller.permissions.has(Permission::MessageRead) => None,
            Kind::Member => Some(Subscription { inbox: None, max_qos: MAX_QOS, screened: false }),
            Kind::Anonymous => Some(Subscription { inbox: None, max_qos: MAX_QOS, screened: true }),
        }
    }

    /// Anonymous clients hear each other, not the tenant's things.
    fn hears(&self, thing: ThingId, topic: &str) -> bool {
        thing.uuid().is_nil() && !self.is_somebodys(topic) && self.topics.target(topic).is_none()
    }

    fn heard_as(&self, record: &Record) -> Option<String> {
        if record.direction != Direction::Inbound || record.thing.uuid().is_nil() || !record.topic.starts_with(CHANNEL.as_bytes()) {
            return None;
        }
        let (key, name) = self.heard.get(record.thing, || self.house.things.called(record.tenant, record.thing))?;
        Some(self.channel_topic(record.topic_str(), &key, &name))
    }

    fn undeliverable(&self, peer: &Peer, inbox: InboxId, record: &Arc<Record>, why: Undelivered) -> bool {
        let Some(Context { caller, .. }) = context(peer) else { return false };
        let reason = match why {
            Undelivered::Refused(reason) => format!("the thing refused it: {reason} (0x{:02X})", reason.code()),
            Undelivered::Unanswered(times) => format!("the thing did not acknowledge it on {times} connections"),
            Undelivered::TooLarge => "it is larger than the thing takes".to_owned(),
        };
        let (things, caller, record) = (self.house.things.clone(), caller.clone(), Arc::clone(record));
        tokio::spawn(async move {
            match things.undeliverable(&caller, &record, inbox, &reason).await {
                Ok(()) => tracing::info!(thing = %record.thing, message = %record.id, reason, "a message went to the dead letters"),
                // It stays in the inbox and comes again.
                Err(error) => tracing::warn!(%error, message = %record.id, "a message could not be moved to the dead letters"),
            }
        });
        true
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

/// The priority that a user property `priority` names, 0 to 9.
fn priority(publish: &mqtt::Publish<'_>) -> Result<u8, Reason> {
    match publish.properties.user().find(|(name, _)| *name == "priority") {
        None => Ok(NORMAL_PRIORITY),
        Some((_, text)) => text.parse().ok().filter(|p| *p <= TOP_PRIORITY).ok_or(Reason::ImplementationSpecific),
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
