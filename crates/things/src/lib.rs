//! Things, inboxes, history: accept a message, ask for history, send to a thing.
//!
//! [`Things`] is opened over the store (the catalogue: who exists, by which certificate it is recognised), the journal (its
//! messages) and identity (keys, audit). Every verb takes the [`Caller`] first, checks its permission and looks only into its
//! tenant: another tenant's thing is not found, by the same look-up. A thing that calls sees nothing but itself.
//! [`Things::accept`] is the broker's hot path: no I/O, counters in memory; what they count is made certain from the journal.
//! What topics mean is each dialect's affair: [`TopicMap`].

mod calls;
mod catalogue;
mod certificates;
mod commands;
mod counters;
mod devices;
mod durability;
mod facts;
mod groups;
mod kinds;
mod live;
mod messages;
mod period;
mod positions;
mod profiles;
mod projection;
mod queue;
mod reports;
mod schema;
mod series;
mod subjects;
mod topics;
mod types;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use identity::Identity;
use jiff::Timestamp;
use journal::Journal;
use model::{Caller, Error, PageRequest, Permission, Permissions, Principal, Result, TenantId, Thing, ThingId};
use parking_lot::RwLock;
use store::Db;
use tokio::sync::broadcast;

pub use calls::{ApiUsage, Counted, daily_calls};
pub use commands::{Action, Command};
pub use devices::{Device, DeviceChange, NewDevice};
pub use journal::{Durability, NORMAL_PRIORITY, TOP_PRIORITY};

pub use durability::{durability_name, durability_named};
pub use groups::{Group, GroupDraft};
pub use kinds::{NewType, TypeChange, TypeFilter};
pub use live::{LiveMessages, LiveReadings};
pub use messages::idempotency;
pub use positions::{KNOT, Position, moment, number, position};
pub use profiles::{Profile, check_profile};
pub use projection::{Heard, Reading, Reported};
pub use queue::{DeadLetter, Queued, Router};
pub use series::{Aggregate, Aggregation, Bucket, Frame, Point, PointValue};
pub use subjects::{Known, Subject};
pub use topics::{Channel, Form, Handle, Publish, Subscribed, Target, TopicMap, Topics, matches};
pub use types::{
    Credentials, Ended, Incoming, Lagged, MessageFilter, NewThing, Options, Outgoing, Provisioned, Sent, ThingChange, ThingFilter,
    ThingKeys, Usage,
};

/// What a thing may do: hand in its own messages. Its own entry and inbox it may read besides, without a permission.
#[must_use]
pub fn thing_permissions() -> Permissions {
    Permissions::of(&[Permission::MessageSubmit])
}

/// Messages of a tenant that is gone stay this long: a restored store may bring it back.
const ORPHAN_RETENTION: Duration = Duration::from_hours(30 * 24);
/// Steps of retention in one call of [`Things::maintain`].
const RETENTION_STEPS: usize = 4;
/// Whoever held a connection of a thing that is gone has lost it long before.
const GONE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// A list of names read from a database that other nodes write too is good for this long.
const NAMES_FRESH: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// Things; cheap to clone.
#[derive(Clone)]
pub struct Things {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    journal: Journal,
    identity: Identity,
    options: Options,
    tenants: RwLock<HashMap<TenantId, Arc<counters::TenantState>>>,
    ledger: tokio::sync::Mutex<counters::Ledger>,
    calls: calls::Calls,
    certificates: certificates::Cache,
    subjects: subjects::Cache,
    notes: parking_lot::Mutex<std::collections::VecDeque<model::Diagnostic>>,
    /// What topics mean, once the dialects said so.
    topics: std::sync::OnceLock<Topics>,
    /// Deprovisioned of late, and when: nothing more is accepted for them, whoever still holds a connection.
    gone: RwLock<HashMap<ThingId, Timestamp>>,
    ended: broadcast::Sender<Ended>,
    router: std::sync::OnceLock<Arc<dyn Router>>,
}

impl std::fmt::Debug for Things {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Things").finish_non_exhaustive()
    }
}

impl Things {
    /// Opens the catalogue. What a crash left half done is finished: deprovisioned things' messages are forgotten, and messages
    /// not yet counted are counted from the journal.
    pub async fn open(db: Db, journal: Journal, identity: Identity, options: Options) -> Result<Self> {
        let certificates = certificates::Cache::new(options.certificate_cache, db.engine() == "postgres");
        let subjects = subjects::Cache::new(db.engine() == "postgres");
        let inner = Inner {
            db,
            journal,
            identity,
            options,
            tenants: RwLock::default(),
            ledger: tokio::sync::Mutex::default(),
            calls: calls::Calls::default(),
            certificates,
            subjects,
            notes: parking_lot::Mutex::default(),
            topics: std::sync::OnceLock::new(),
            gone: RwLock::default(),
            ended: broadcast::channel(4096).0,
            router: std::sync::OnceLock::new(),
        };
        let things = Self { inner: Arc::new(inner) };
        things.open_ledger().await?;
        things.forget_gone().await?;
        Ok(things)
    }

    /// Reads the tenant's plan, counters and thing names into memory, so that [`Things::accept`] and [`Things::thing_named`] know
    /// them. To be called when a connection of the tenant begins. Error: NotFound(tenant).
    pub async fn prepare(&self, tenant: TenantId) -> Result<()> {
        let mut tx = self.inner.db.read().await?;
        let state = self.state(&mut tx, tenant).await?;
        drop(tx);
        let stale = |at: Timestamp| self.inner.db.engine() == "postgres" && self.now().duration_since(at) >= NAMES_FRESH;
        if state.names.read().as_ref().is_some_and(|names| !stale(names.read)) {
            return Ok(());
        }
        let _change = state.names_change.lock().await;
        if state.names.read().as_ref().is_some_and(|names| !stale(names.read)) {
            return Ok(());
        }
        let mut tx = self.inner.db.read().await?;
        let mut names = counters::Names { read: self.now(), ids: HashMap::new(), keys: HashMap::new() };
        let mut after = None;
        loop {
            let rows = tx.thing_names(tenant, after, PageRequest::MAX).await?;
            after = rows.last().map(|(id, _, _)| *id);
            let full = rows.len() == PageRequest::MAX as usize;
            for (id, key, name) in rows {
                names.ids.insert(name.into_boxed_str(), id);
                names.keys.insert(key.into_boxed_str(), id);
            }
            if !full {
                break;
            }
        }
        *state.names.write() = Some(names);
        Ok(())
    }

    /// The tenant's thing of this name, from memory; none when there is none, or [`Things::prepare`] was not called.
    #[must_use]
    pub fn thing_named(&self, tenant: TenantId, name: &str) -> Option<ThingId> {
        self.known_state(tenant)?.names.read().as_ref()?.ids.get(name).copied()
    }

    /// The thing a back end's topic means, from memory as [`Things::thing_named`].
    #[must_use]
    pub fn target(&self, tenant: TenantId, target: &Target) -> Option<ThingId> {
        match target.handle {
            Handle::Name => self.thing_named(tenant, &target.name),
            Handle::Key => self.known_state(tenant)?.names.read().as_ref()?.keys.get(target.name.as_str()).copied(),
        }
    }

    /// Says what topics mean, once and for all, so that [`Things::read`] knows which messages hold values and which events.
    pub fn know_topics(&self, topics: Topics) {
        let _ = self.inner.topics.set(topics);
    }

    /// A thing's key and name, from memory as [`Things::thing_named`]. Looks through all of the tenant's, so remember the answer.
    #[must_use]
    pub fn called(&self, tenant: TenantId, thing: ThingId) -> Option<(String, String)> {
        let state = self.known_state(tenant)?;
        let names = state.names.read();
        let names = names.as_ref()?;
        let of = |map: &HashMap<Box<str>, ThingId>| map.iter().find(|(_, id)| **id == thing).map(|(text, _)| text.to_string());
        Some((of(&names.keys)?, of(&names.ids)?))
    }

    /// Tells who hears messages that do not come over MQTT; once, before the first of them.
    pub fn set_router(&self, router: Arc<dyn Router>) {
        let _ = self.inner.router.set(router);
    }

    /// Credentials and things that come to their end, from now on. A receiver that lags has missed some and must check all it holds.
    #[must_use]
    pub fn ended(&self) -> broadcast::Receiver<Ended> {
        self.inner.ended.subscribe()
    }

    /// One step of upkeep, to be called every minute: counters are stored, plans read again, messages past retention cleared away,
    /// and what is left of things that are gone.
    pub async fn maintain(&self) -> Result<()> {
        let keep = self.refresh_tenants().await?;
        // Counted before it is cleared away.
        self.count_up().await?;
        self.save_calls().await?;
        self.forget_gone().await?;
        self.save_notes().await?;
        self.retain_reports(&keep).await?;
        for _ in 0..RETENTION_STEPS {
            if !self.inner.journal.retain(&keep, ORPHAN_RETENTION).await?.more {
                break;
            }
        }
        Ok(())
    }

    /// Stores the counters; to be called at a clean stop, before the journal is closed.
    pub async fn stop(&self) {
        if let Err(error) = self.count_up().await {
            tracing::warn!(%error, "message counters were not stored; they will be counted again at the next start");
        }
        if let Err(error) = self.save_notes().await {
            tracing::warn!(%error, "the last minute's diagnostics were not stored");
        }
        if let Err(error) = self.save_calls().await {
            tracing::warn!(%error, "the last minute's API calls were not stored");
        }
    }

    /// Every tenant's plan as it is now; tenants that are gone leave memory.
    async fn refresh_tenants(&self) -> Result<HashMap<TenantId, Duration>> {
        let mut keep = HashMap::new();
        let mut after = None;
        loop {
            let mut tx = self.inner.db.read().await?;
            let page = PageRequest::max();
            let mut tenants = tx.tenants(after, &page).await?;
            let more = tenants.len() > PageRequest::MAX as usize;
            tenants.truncate(PageRequest::MAX as usize);
            after = tenants.last().map(|t| t.id);
            for tenant in &tenants {
                keep.insert(tenant.id, tenant.plan.plan().retention);
                if self.known_state(tenant.id).is_some() {
                    let state = self.state_of(&mut tx, tenant).await?;
                    state.set_durability(tx.durability(tenant.id).await?.as_deref().and_then(durability_named));
                }
            }
            if !more {
                break;
            }
        }
        self.inner.tenants.write().retain(|id, _| keep.contains_key(id));
        Ok(keep)
    }

    /// Lets the journal forget things that are gone: deprovisioned just now, or before a crash, or with their tenant.
    pub(crate) async fn forget_gone(&self) -> Result<()> {
        loop {
            let gone = self.inner.db.read().await?.things_to_forget(100).await?;
            if gone.is_empty() {
                return Ok(());
            }
            for (tenant, thing) in gone {
                self.forget(tenant, thing).await?;
            }
        }
    }

    pub(crate) async fn forget(&self, tenant: TenantId, thing: ThingId) -> Result<()> {
        self.mark_gone(thing);
        self.inner.journal.forget(tenant, thing).await?;
        self.forget_reports(thing).await?;
        let mut tx = self.inner.db.begin().await?;
        tx.thing_forgotten(thing).await?;
        tx.commit().await?;
        Ok(())
    }

    /// From now on nothing is accepted for the thing.
    pub(crate) fn mark_gone(&self, thing: ThingId) {
        let now = self.now();
        let mut gone = self.inner.gone.write();
        gone.retain(|_, at| now.duration_since(*at) < GONE);
        gone.insert(thing, now);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.identity.clock().now()
    }

    pub(crate) fn end(&self, what: Ended) {
        // No receiver is no error: nobody holds a session.
        let _ = self.inner.ended.send(what);
    }

    /// The thing behind a handle, with the tenant's state. `own`: a thing may do this with itself, without the permission.
    pub(crate) async fn find(&self, caller: &Caller, handle: &str, permission: Permission, own: bool) -> Result<Found> {
        let thing_calls = matches!(caller.principal, Principal::Thing(_));
        if !(own && thing_calls) {
            caller.require(permission)?;
        }
        let mut tx = self.inner.db.read().await?;
        self.find_in(&mut tx, caller, handle).await
    }

    /// The same within a transaction; the permission was checked.
    pub(crate) async fn find_in(&self, tx: &mut store::Tx, caller: &Caller, handle: &str) -> Result<Found> {
        // No key looks like that, and PostgreSQL takes no NUL: the look-up is spared, the answer is the same.
        let thing =
            if handle.len() > Thing::NAME_MAX || handle.contains('\0') { None } else { tx.thing_by_handle(caller.tenant, handle).await? };
        let thing = thing.filter(|thing| match caller.principal {
            Principal::Thing(id) => id == thing.id,
            _ => true,
        });
        let thing = thing.ok_or(Error::not_found("thing"))?;
        let state = self.state(tx, caller.tenant).await?;
        Ok(Found { thing, state })
    }

    /// Where messages the tenant may still see begin.
    pub(crate) fn horizon(&self, retention: Duration) -> Timestamp {
        self.now().checked_sub(retention).unwrap_or(Timestamp::MIN)
    }

    /// Writes a change, or a refusal for lack of rights or quota, to the audit trail.
    pub(crate) fn audit<T>(&self, caller: &Caller, action: &'static str, target: &str, result: &Result<T>) {
        match result {
            Ok(_) => self.inner.identity.record(identity::AuditEvent::done(caller, action, Some(target.to_owned()))),
            Err(Error::Forbidden(why)) => {
                self.inner.identity.record(identity::AuditEvent::refused(caller, action, Some(target.to_owned()), why));
            }
            Err(_) => {}
        }
    }
}

/// A thing that was looked up.
pub(crate) struct Found {
    pub(crate) thing: Thing,
    pub(crate) state: Arc<counters::TenantState>,
}
