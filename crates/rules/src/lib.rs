//! Rules and notifications: what is to be looked out for, and who is told.
//!
//! [`Rules`] holds the verbs. What happens is decided by one worker ([`Rules::run`]) that reads the journal behind everybody else: it
//! takes a batch of messages, has them understood ([`things::Things::read`]), evaluates purely ([`evaluate`], over an [`Index`] by what
//! rules listen to) and writes everything that follows in one transaction with its position: state and points, alerts, raised events,
//! history, the outbox. So a crash leaves nothing out and does nothing twice, and an acknowledgement never waits for it.

mod alerts;
mod evaluate;
mod index;
mod memory;
mod notifications;
mod rules;
mod state;
mod step;
mod window;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use identity::{AuditEvent, Identity};
use journal::Journal;
use model::{Caller, Error, NotificationId, Result, RuleId, TenantId};
use notify::Notify;
use parking_lot::Mutex;
use store::Db;
use things::Things;

pub use alerts::AlertFilter;
pub use evaluate::{Outcome, OutcomeKind, Subjects, evaluate};
pub use index::{Index, Listens};
pub use state::{Limits, State};
pub use worker::{CURSOR, Progress};

/// The most rules of a tenant.
pub const MAX_RULES: u64 = 100_000;
/// The most notifications of a tenant.
pub const MAX_NOTIFICATIONS: u64 = 10_000;

/// Rules and notifications; cheap to clone.
#[derive(Clone)]
pub struct Rules {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    journal: Journal,
    identity: Identity,
    things: Things,
    notify: Notify,
    limits: Limits,
    /// What was changed here and the worker has not yet taken in.
    changes: Mutex<Vec<Change>>,
    /// Wakes the worker where nothing was worth reading before.
    wake: tokio::sync::Notify,
    progress: ProgressCells,
}

#[derive(Default)]
struct ProgressCells {
    position: AtomicU64,
    facts: AtomicU64,
    raised: AtomicU64,
    notified: AtomicU64,
    suppressed: AtomicU64,
    failures: AtomicU64,
}

/// A change of one tenant's rules and notifications, and the version it made.
#[derive(Clone, Copy, Debug)]
struct Change {
    tenant: TenantId,
    version: u64,
    what: Changed,
}

#[derive(Clone, Copy, Debug)]
enum Changed {
    Rule(RuleId),
    Notification(NotificationId),
    Everything,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

impl Rules {
    /// The verbs, over the parts they work with. Nothing is evaluated before [`Rules::run`].
    #[must_use]
    pub fn open(db: Db, journal: Journal, identity: Identity, things: Things, notify: Notify) -> Self {
        Self::with_limits(db, journal, identity, things, notify, Limits::default())
    }

    /// The same with other bounds of memory.
    #[must_use]
    pub fn with_limits(db: Db, journal: Journal, identity: Identity, things: Things, notify: Notify, limits: Limits) -> Self {
        let inner = Inner {
            db,
            journal,
            identity,
            things,
            notify,
            limits,
            changes: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            progress: ProgressCells::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn now(&self) -> model::Timestamp {
        self.inner.identity.clock().now()
    }

    /// Tells the worker of this process; those of others find a version they do not know.
    fn changed(&self, tenant: TenantId, version: u64, what: Changed) {
        self.inner.changes.lock().push(Change { tenant, version, what });
        self.inner.wake.notify_one();
    }

    /// Writes a change, or a refusal for lack of rights or quota, to the audit trail.
    fn audit<T>(&self, caller: &Caller, action: &'static str, target: &str, result: &Result<T>) {
        match result {
            Ok(_) => self.inner.identity.record(AuditEvent::done(caller, action, Some(target.to_owned()))),
            Err(Error::Forbidden(why)) => self.inner.identity.record(AuditEvent::refused(caller, action, Some(target.to_owned()), why)),
            Err(_) => {}
        }
    }
}

/// Where a page of ids goes on. Error: Invalid(cursor).
fn cursor<T: std::str::FromStr>(page: &model::PageRequest) -> Result<Option<T>> {
    page.cursor.as_deref().map(str::parse).transpose().map_err(|_| Error::invalid("cursor", "is not one that was handed out"))
}
