//! An in-memory host that lets (almost) everything pass: for this crate's tests, the example broker and benchmarks.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, InboxId, Record};
use model::{Clock, Direction, Principal, TenantId, ThingId};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{Accepted, ConnectRequest, Ended, Host, Inbox, Peer, Publish, Reason, Refusal, SavedSession, Subscription};

/// Everybody may do everything, but for a few names that tests use:
///
/// - user name `wrong` is refused, `retry` told to come back in 7 s, `until` has a credential for one second; `tenant:NAME` connects in a tenant of its own, `as:NAME` as a
///   principal of its own, `thing:NAME` as the thing NAME;
/// - topics and filters under `forbidden/` are refused, those under `qos0/` granted at most `QoS` 0;
/// - filter `inbox/NAME` opens the inbox of the thing NAME, and publishing to `to/NAME` puts a message into it, at the priority that a user
///   property `priority` names;
/// - who connects as `as:screened` hears nothing on topics below `private/`;
/// - `$SYS/gateway` is for the user name `as:root`.
#[derive(Default)]
pub struct OpenHost {
    /// How publishes above `QoS` 0 are stored; `Sync` by default.
    pub durability: Mutex<Option<Durability>>,
    /// Persistent sessions as they were saved.
    pub saved: Mutex<HashMap<(TenantId, String), SavedSession>>,
    /// When set, what cannot be delivered is kept here and stays in its inbox.
    pub undelivered: Mutex<Option<Vec<(Bytes, crate::Undelivered)>>>,
    /// When set, nothing can be saved.
    pub refuse_saving: Mutex<bool>,
    /// When set, nobody is admitted any more.
    pub admit_nobody: Mutex<bool>,
    /// Connections that ended, by principal.
    pub ended: Mutex<Vec<(String, Ended)>>,
    /// Topics of stored messages.
    pub stored: Mutex<Vec<String>>,
    /// Payloads of acknowledged inbox records.
    pub delivered: Mutex<Vec<Bytes>>,
    /// Whether `stored` and `ended` are kept.
    pub keep: bool,
    /// What `until` goes by.
    pub clock: Clock,
}

impl OpenHost {
    /// A host that keeps a log of what it was told.
    #[must_use]
    pub fn logging(clock: Clock) -> Self {
        Self { keep: true, clock, ..Self::default() }
    }

    /// The tenant of everybody without `tenant:NAME`.
    #[must_use]
    pub fn tenant() -> TenantId {
        Self::tenant_named("default")
    }

    /// The tenant of user name `tenant:NAME`.
    #[must_use]
    pub fn tenant_named(name: &str) -> TenantId {
        TenantId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
    }

    /// The thing of `inbox/NAME` and `to/NAME`.
    #[must_use]
    pub fn thing(name: &str) -> ThingId {
        ThingId(Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()))
    }
}

impl Host for OpenHost {
    fn connect(&self, request: ConnectRequest<'_>) -> impl Future<Output = Result<Peer, Refusal>> + Send {
        let username = request.username.unwrap_or_default();
        let thing = username.strip_prefix("thing:").map(Self::thing);
        let result = match username {
            "wrong" => Err(Refusal::BadCredentials),
            "retry" => Err(Refusal::RetryAfter(Duration::from_secs(7))),
            _ => Ok(Peer {
                tenant: username.strip_prefix("tenant:").map_or_else(Self::tenant, Self::tenant_named),
                thing,
                principal: match (thing, username.strip_prefix("as:")) {
                    (Some(thing), _) => Principal::Thing(thing),
                    (None, Some(name)) => Principal::Client(name.to_owned()),
                    (None, None) => Principal::Operator,
                },
                certificate: None,
                expires: if username == "until" { self.clock.now().checked_add(Duration::from_secs(1)).ok() } else { None },
                context: Arc::new(()),
            }),
        };
        ready(result)
    }

    fn admits(&self, _: &Peer) -> bool {
        !*self.admit_nobody.lock()
    }

    fn accept(&self, _: &Peer, publish: &Publish<'_>) -> Result<Accepted, Reason> {
        if publish.topic.starts_with("forbidden/") {
            return Err(Reason::NotAuthorized);
        }
        let to = publish.topic.strip_prefix("to/").map(Self::thing);
        let priority = publish.properties.user().find(|(name, _)| *name == "priority").and_then(|(_, value)| value.parse().ok());
        let priority = priority.unwrap_or(journal::NORMAL_PRIORITY);
        let durability = if publish.qos == 0 { Durability::Memory } else { self.durability.lock().unwrap_or(Durability::Sync) };
        Ok(Accepted {
            thing: to.unwrap_or(ThingId(Uuid::nil())),
            direction: if to.is_some() { Direction::Outbound } else { Direction::Inbound },
            inboxes: to.map(|thing| InboxId::of(thing, priority)).into_iter().collect(),
            durability,
            expires: None,
        })
    }

    fn stored(&self, _: &Peer, record: &Arc<Record>) {
        if self.keep {
            self.stored.lock().push(record.topic_str().to_owned());
        }
    }

    fn hears(&self, _: ThingId, topic: &str) -> bool {
        !topic.starts_with("private/")
    }

    fn undeliverable(&self, _: &Peer, _: InboxId, record: &Arc<Record>, why: crate::Undelivered) -> bool {
        match &mut *self.undelivered.lock() {
            Some(kept) => {
                kept.push((record.payload.clone(), why));
                true
            }
            None => false,
        }
    }

    fn may_subscribe(&self, peer: &Peer, filter: &str) -> Option<Subscription> {
        let named = |name: &str| peer.principal == Principal::Client(name.to_owned());
        if filter.starts_with("forbidden/") || filter.starts_with("$SYS/") && !filter.starts_with("$SYS/tenant/") && !named("root") {
            return None;
        }
        let first = filter.strip_prefix("inbox/").map(|name| (name, 1));
        let opens = first.or(filter.strip_prefix("second/").map(|name| (name, 2)));
        let inbox = opens.map(|(name, form)| Inbox { id: Self::thing(name).into(), form });
        Some(Subscription { inbox, max_qos: if filter.starts_with("qos0/") { 0 } else { 2 }, screened: named("screened") })
    }

    fn render(&self, _: &Peer, form: u32, record: &Record) -> Option<(String, Bytes)> {
        let wanted = if record.payload.starts_with(b"second") { 2 } else { 1 };
        (form & wanted != 0).then(|| (format!("in/{wanted}"), record.payload.clone()))
    }

    fn delivered(&self, _: &Peer, record: &Record) {
        self.delivered.lock().push(record.payload.clone());
    }

    fn ended(&self, peer: &Peer, why: Ended) {
        if self.keep {
            self.ended.lock().push((peer.principal.label(), why));
        }
    }

    fn save_session(&self, tenant: TenantId, session: &SavedSession) -> impl Future<Output = Result<(), Reason>> + Send {
        if *self.refuse_saving.lock() {
            return ready(Err(Reason::Unspecified));
        }
        self.saved.lock().insert((tenant, format!("{} {}", session.principal, session.client_id)), session.clone());
        ready(Ok(()))
    }

    fn load_sessions(&self) -> impl Future<Output = Vec<SavedSession>> + Send {
        ready(self.saved.lock().values().cloned().collect())
    }

    fn remove_session(&self, tenant: TenantId, principal: &str, client_id: &str) -> impl Future<Output = ()> + Send {
        self.saved.lock().remove(&(tenant, format!("{principal} {client_id}")));
        ready(())
    }
}
