//! What the broker asks of the house around it.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, InboxId, Record};
use model::{CertificateFingerprint, Direction, Principal, TenantId, ThingId, Timestamp};
use smallvec::SmallVec;

use crate::{Level, Publish, Reason};

/// The house: who connects, what a topic means, where sessions are kept.
///
/// What a refused publish looks like: on MQTT 5 the reason travels in PUBACK or PUBREC, and a `QoS` 0 publish is dropped and counted;
/// 3.1.1 has no way to say no, so the connection is closed (an acknowledged message is a stored message, always).
pub trait Host: Send + Sync + 'static {
    /// Who is this?
    fn connect(&self, request: ConnectRequest<'_>) -> impl Future<Output = Result<Peer, Refusal>> + Send;

    /// Does what `connect` found out still hold? Asked once the connection can be ended by [`crate::Broker::end`]: what was revoked
    /// in between would be noticed by neither. After `false` the client is recognised afresh, a few times, then refused (0x88; 3).
    fn admits(&self, peer: &Peer) -> bool {
        let _ = peer;
        true
    }

    /// May this peer publish this, to which thing does it belong, which inboxes does it go into? Synchronous and quick. Also asked for
    /// a will, when it is due.
    fn accept(&self, peer: &Peer, publish: &Publish<'_>) -> Result<Accepted, Reason>;

    /// The peer's message is stored at its durability; side effects, must not block. Called before the acknowledgement is written.
    fn stored(&self, peer: &Peer, record: &Arc<Record>) {
        let _ = (peer, record);
    }

    /// May this peer subscribe? `filter` is the bare filter, without `$share/group/`. `None` refuses (0x87; 0x80 on 3.1.1).
    fn may_subscribe(&self, peer: &Peer, filter: &str) -> Option<Subscription>;

    /// A record of a thing's inbox as topic and payload for this peer; `form` is what `may_subscribe` gave. `None` passes it over: it
    /// stays in the inbox.
    fn render(&self, peer: &Peer, form: u32, record: &Record) -> Option<(String, Bytes)>;

    /// May a screened subscription ([`Subscription::screened`]) hear a message of this thing (nil: none) on this topic?
    fn hears(&self, thing: ThingId, topic: &str) -> bool {
        let _ = (thing, topic);
        true
    }

    /// The topic on which subscribers hear a record that did not come over MQTT; none: its own. Quick: asked for each such record and
    /// subscriber.
    fn heard_as(&self, record: &Record) -> Option<String> {
        let _ = record;
        None
    }

    /// A record of a thing's inbox cannot be delivered to this peer. `true`: the host moves it away, and until then it stays where it
    /// is; `false`: it counts as delivered. Must not block.
    fn undeliverable(&self, peer: &Peer, inbox: InboxId, record: &Arc<Record>, why: Undelivered) -> bool {
        let _ = (peer, inbox, record, why);
        false
    }

    /// A record of a thing's inbox was acknowledged by this peer (at `QoS` 0: written to it).
    fn delivered(&self, peer: &Peer, record: &Record) {
        let _ = (peer, record);
    }

    /// The connection is over (audit, online flag). Called once for each successful `connect`.
    fn ended(&self, peer: &Peer, why: Ended) {
        let _ = (peer, why);
    }

    /// Keeps a persistent session; durable before SUBACK. The same tenant, principal and client id replace what was kept.
    fn save_session(&self, tenant: TenantId, session: &SavedSession) -> impl Future<Output = Result<(), Reason>> + Send;

    /// All sessions kept, of every tenant; asked once at start.
    fn load_sessions(&self) -> impl Future<Output = Vec<SavedSession>> + Send;

    /// A persistent session is over; `principal` is [`SavedSession::principal`].
    fn remove_session(&self, tenant: TenantId, principal: &str, client_id: &str) -> impl Future<Output = ()> + Send;
}

/// What a CONNECT brings.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    /// As sent; empty when the server shall choose one.
    pub client_id: &'a str,
    /// User name, if sent.
    pub username: Option<&'a str>,
    /// Password, if sent; never to be logged.
    pub password: Option<&'a [u8]>,
    /// DER form of the TLS client certificate, already verified to own its key.
    pub certificate: Option<&'a [u8]>,
    /// A bearer token that came with the stream (WebSocket upgrade); never to be logged.
    pub token: Option<&'a str>,
    /// Where from.
    pub address: Option<SocketAddr>,
    /// Did it come over TLS?
    pub secure: bool,
    /// Protocol level.
    pub level: Level,
    /// [`StreamMeta::durability`].
    pub durability: Option<Durability>,
}

/// Whoever connected, recognised.
#[derive(Clone)]
pub struct Peer {
    /// Routing never leaves it.
    pub tenant: TenantId,
    /// The thing, if a thing connects.
    pub thing: Option<ThingId>,
    /// Who. Client ids are the principal's own: another one with the same client id has another session.
    pub principal: Principal,
    /// The certificate it showed, for revocation.
    pub certificate: Option<CertificateFingerprint>,
    /// When its credential ends; the connection is closed then (0xA0).
    pub expires: Option<Timestamp>,
    /// The host's own.
    pub context: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("tenant", &self.tenant).field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Why a CONNECT is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong user name, password, token or certificate (0x86; return code 4).
    BadCredentials,
    /// Recognised, but not allowed (0x87; 5).
    NotAuthorized,
    /// Not now (0x88; 3).
    ServerUnavailable,
    /// Never again (0x8A; 5).
    Banned,
    /// The client id is not allowed for this peer (0x85; 2).
    ClientIdNotValid,
    /// The tenant's plan is used up (0x97; 5).
    QuotaExceeded,
    /// Too many tries; another has a chance after this long (0x9F with a reason string; 3).
    RetryAfter(Duration),
}

impl Refusal {
    /// The reason code it becomes.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::BadCredentials => Reason::BadUserNameOrPassword,
            Self::NotAuthorized => Reason::NotAuthorized,
            Self::ServerUnavailable => Reason::ServerUnavailable,
            Self::Banned => Reason::Banned,
            Self::ClientIdNotValid => Reason::ClientIdNotValid,
            Self::QuotaExceeded => Reason::QuotaExceeded,
            Self::RetryAfter(_) => Reason::ConnectionRateExceeded,
        }
    }
}

/// How an accepted publish is stored.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The thing it belongs to; nil when none.
    pub thing: ThingId,
    /// Which way.
    pub direction: Direction,
    /// Thing inboxes it goes into; the broker adds those of persistent sessions.
    pub inboxes: SmallVec<[InboxId; 2]>,
    /// What must have happened before the acknowledgement.
    pub durability: Durability,
    /// The latest expiry the host allows; the publisher's own, where earlier, holds.
    pub expires: Option<Timestamp>,
}

/// A permitted subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Set when this filter opens the thing's inbox: then its records are delivered through [`Host::render`], in order, each until
    /// acknowledged. Live messages matching the filter arrive too, unless they are in that inbox.
    pub inbox: Option<Inbox>,
    /// The highest `QoS` granted, 0 to 2.
    pub max_qos: u8,
    /// What it matches is shown to [`Host::hears`] first.
    pub screened: bool,
}

/// Why a record of an inbox could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The client refused it (PUBACK or PUBREC of 0x80 or more).
    Refused(Reason),
    /// It was the first to be answered on so many connections that ended without an answer.
    Unanswered(u32),
    /// It is larger than the client takes.
    TooLarge,
}

/// A thing's inbox as one filter opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbox {
    /// Which.
    pub id: InboxId,
    /// The host's own word for how its records look here; of several filters on one inbox, joined by OR.
    pub form: u32,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said goodbye (DISCONNECT).
    Disconnect,
    /// The stream ended or failed.
    Lost,
    /// The broker closed it, for this reason.
    Closed(Reason),
}

/// A persistent session as the host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSession {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its client id.
    pub client_id: String,
    /// Whose it is: [`Principal::label`].
    pub principal: String,
    /// Seconds it outlives its connection; `u32::MAX` never ends. After a restart they count from the start.
    pub expiry: u32,
    /// What it subscribes to.
    pub subscriptions: Vec<SavedSubscription>,
}

/// A subscription of a persistent session as the host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSubscription {
    /// The filter as the client sent it, `$share/…` included.
    pub filter: String,
    /// Options byte of MQTT 5 (3.8.3.1): bits 0-1 `QoS` granted, 2 no local, 3 retain as published, 4-5 retain handling; and bit 6:
    /// screened.
    pub options: u8,
    /// Subscription identifier, if any.
    pub identifier: Option<u32>,
    /// The thing inbox it opens, with its form.
    pub inbox: Option<(InboxId, u32)>,
}

/// What is known of a stream before its first byte.
#[derive(Clone, Default)]
pub struct StreamMeta {
    /// Where from.
    pub address: Option<SocketAddr>,
    /// DER form of the TLS client certificate (leaf).
    pub certificate: Option<Vec<u8>>,
    /// A bearer token from a WebSocket upgrade.
    pub token: Option<String>,
    /// Over TLS?
    pub secure: bool,
    /// The durability its listener was set up with, for the host.
    pub durability: Option<Durability>,
}

impl std::fmt::Debug for StreamMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMeta").field("address", &self.address).field("secure", &self.secure).finish_non_exhaustive()
    }
}
