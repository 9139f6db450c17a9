//! The broker: tenants, their sessions, the way from a stored message to its subscribers.
//!
//! `route` finds subscribers, `lifecycle` begins, parks and ends sessions, `publish` stores messages that come from no connection
//! (wills, the server's own), `clockwork` looks after everything that happens by itself.

mod clockwork;
mod figures;
mod lifecycle;
mod publish;
mod route;

pub(crate) use figures::is_figure;
pub use publish::PublishError;
pub(crate) use publish::new_message;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use journal::{InboxId, Journal, Seq};
use model::{Clock, Principal, TenantId};
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::session::{Session, State, Tenant};
use crate::{Host, Limits, Peer, Reason, Stats, StreamMeta, connection};

/// The broker; one for the whole process.
pub struct Broker<H: Host> {
    pub(crate) host: Arc<H>,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    next_key: AtomicU64,
    /// Sessions to look at when their time comes (expiry, delayed will), by microseconds and key.
    pub(crate) timers: Mutex<BTreeMap<(i64, u64), Weak<Session>>>,
    /// The newest record of each thing's inbox that was sent and maybe not acknowledged: what is sent again bears DUP.
    pub(crate) sent: Mutex<HashMap<InboxId, Seq>>,
    /// On how many connections in a row the first unanswered record of an inbox was this one.
    pub(crate) unanswered: Mutex<HashMap<(InboxId, Seq), u32>>,
    stopping: AtomicBool,
    /// Rung when a connection ends.
    gone: Notify,
}

/// What is counted as it happens.
#[derive(Default)]
pub(crate) struct Counters {
    /// Streams being served, handshakes included.
    pub streams: AtomicU64,
    pub connections: AtomicU64,
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
    pub messages_refused: AtomicU64,
    pub messages_dropped: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub slow_closed: AtomicU64,
    pub taken_over: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl<H: Host> Broker<H> {
    /// Loads the persistent sessions and retained messages and starts the clockwork (session expiry, delayed wills). Needs a running
    /// tokio runtime.
    pub async fn new(host: Arc<H>, journal: Journal, clock: Clock, mut limits: Limits) -> Arc<Self> {
        // A receive maximum of 0 can't be announced, and nothing would ever be sent.
        limits.max_inflight = limits.max_inflight.max(1);
        let broker = Arc::new(Self {
            host,
            journal,
            clock,
            limits,
            counters: Counters::default(),
            tenants: RwLock::default(),
            next_key: AtomicU64::new(1),
            timers: Mutex::default(),
            sent: Mutex::default(),
            unanswered: Mutex::default(),
            stopping: AtomicBool::new(false),
            gone: Notify::new(),
        });
        broker.restore().await;
        tokio::spawn(clockwork::run(Arc::downgrade(&broker)));
        broker
    }

    /// Its host.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Runs one connection to its end.
    pub async fn serve<S>(self: &Arc<Self>, stream: S, meta: StreamMeta)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        count(&self.counters.accepted, 1);
        let served = Served::new(self);
        if self.stopping.load(Ordering::Acquire) || served.number > self.limits.max_connections as u64 {
            return;
        }
        // In a box of its own, so that an idle connection does not keep the room a handshake needs.
        let Some(mut connection) = Box::pin(connection::handshake(self, stream, meta)).await else { return };
        connection.run().await;
    }

    /// Ends matching connections at once (revocation, deprovisioning), with DISCONNECT on MQTT 5; answers how many. The sessions of
    /// persistent clients stay; see [`Broker::discard`].
    pub fn end(&self, matching: impl Fn(&Peer) -> bool, reason: Reason) -> usize {
        self.all_sessions()
            .into_iter()
            .filter(|session| {
                let hit = matches!(&session.mail.lock().state, State::Online(peer) if matching(peer));
                hit && session.kill(reason)
            })
            .count()
    }

    /// Forgets every session of a principal with its queue, connected (0x98) or not (deprovisioning); answers how many.
    pub async fn discard(self: &Arc<Self>, tenant: TenantId, principal: &Principal) -> usize {
        let label = principal.label();
        let Some(tenant) = self.known_tenant(tenant) else { return 0 };
        let sessions: Vec<Arc<Session>> = tenant.sessions.lock().values().filter(|s| *s.principal == *label).cloned().collect();
        let found = sessions.len();
        for session in sessions {
            self.discard_session(&session).await;
        }
        found
    }

    /// Drops retained messages of a tenant from memory, as `drop_it` says (the journal has already forgotten them); answers how many.
    pub fn forget_retained(&self, tenant: TenantId, drop_it: impl Fn(&journal::Record) -> bool) -> usize {
        self.known_tenant(tenant).map_or(0, |tenant| tenant.retained.write().remove_where(&drop_it))
    }

    /// Takes no more connections, ends those there are (0x8B), waits for them at most `grace`. Wills of clients closed this way and
    /// delayed wills are published now.
    pub async fn stop(self: &Arc<Self>, grace: Duration) {
        self.stopping.store(true, Ordering::Release);
        let emptied = async {
            loop {
                let mut gone = std::pin::pin!(self.gone.notified());
                gone.as_mut().enable();
                self.end(|_| true, Reason::ServerShuttingDown);
                if self.counters.streams.load(Ordering::Acquire) == 0 {
                    return;
                }
                // A handshake may only now become a session: look again soon.
                let _ = tokio::time::timeout(Duration::from_millis(50), gone).await;
            }
        };
        if tokio::time::timeout(grace, emptied).await.is_err() {
            tracing::warn!(left = self.counters.streams.load(Ordering::Relaxed), "connections were still open when the broker stopped");
        }
        self.flush_wills().await;
    }

    /// Figures of the moment.
    pub fn stats(&self) -> Stats {
        let c = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            connections: read(&c.connections),
            accepted: read(&c.accepted),
            refused: read(&c.refused),
            messages_in: read(&c.messages_in),
            messages_out: read(&c.messages_out),
            messages_refused: read(&c.messages_refused),
            messages_dropped: read(&c.messages_dropped),
            bytes_in: read(&c.bytes_in),
            bytes_out: read(&c.bytes_out),
            slow_closed: read(&c.slow_closed),
            taken_over: read(&c.taken_over),
            ..Stats::default()
        };
        for tenant in self.tenants.read().values() {
            stats.sessions += tenant.sessions.lock().len() as u64;
            stats.subscriptions += tenant.tree.read().len() as u64;
            stats.retained += tenant.retained.read().len() as u64;
        }
        stats
    }

    pub(crate) fn tenant(&self, id: TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.known_tenant(id) {
            return tenant;
        }
        Arc::clone(self.tenants.write().entry(id).or_insert_with(|| Arc::new(Tenant::new(id))))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn known_tenant(&self, id: TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().get(&id).cloned()
    }

    fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().values().cloned().collect()
    }

    fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.all_tenants().iter().flat_map(|tenant| tenant.sessions.lock().values().cloned().collect::<Vec<_>>()).collect()
    }
}

impl<H: Host> Drop for Broker<H> {
    fn drop(&mut self) {
        // Sessions and tenants hold each other.
        for tenant in self.tenants.get_mut().values() {
            tenant.sessions.lock().clear();
            *tenant.tree.write() = crate::tree::Tree::default();
        }
    }
}

/// Counts a stream from its first moment to its last, however it ends.
struct Served<'b, H: Host> {
    broker: &'b Broker<H>,
    number: u64,
}

impl<'b, H: Host> Served<'b, H> {
    fn new(broker: &'b Broker<H>) -> Self {
        let number = broker.counters.streams.fetch_add(1, Ordering::AcqRel) + 1;
        Self { broker, number }
    }
}

impl<H: Host> Drop for Served<'_, H> {
    fn drop(&mut self) {
        self.broker.counters.streams.fetch_sub(1, Ordering::AcqRel);
        self.broker.gone.notify_waiters();
    }
}
