//! A session's life: claimed by a connection, released, resumed, taken over, ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::task::AtomicWaker;
use journal::InboxId;
use model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::publish::after;
use super::{Broker, count};
use crate::codec::check_filter;
use crate::session::{Entry, Flow, Mail, PendingWill, Session, State, Sub, Tenant, WillMessage};
use crate::{Host, Peer, Reason, SavedSession};

/// A session in the hands of its one connection.
pub(crate) struct Claim {
    pub session: Arc<Session>,
    pub flow: Box<Flow>,
    pub present: bool,
    /// Its expiry is not the one the host keeps.
    pub changed: bool,
}

/// What a look at the table of sessions leads to.
enum Step {
    Resumed(Claim),
    Wait,
    /// The old session is over: its subscriptions and its will.
    Clean(Box<Flow>, Option<Box<PendingWill>>),
}

impl<H: Host> Broker<H> {
    /// Gets the session of a client id for a new connection. An older connection is closed (0x8E) and waited for; of several that
    /// arrive together the last one keeps the session.
    pub(crate) async fn claim(self: &Arc<Self>, peer: &Arc<Peer>, client_id: &str, clean: bool, expiry: u32) -> Result<Claim, Reason> {
        let tenant = self.tenant(peer.tenant);
        let principal = peer.principal.label();
        let name = Session::name_of(&principal, client_id);
        loop {
            let found = {
                let mut sessions = tenant.sessions.lock();
                match sessions.get(name.as_str()) {
                    Some(session) => Arc::clone(session),
                    None if sessions.len() >= self.limits.max_sessions_per_tenant => return Err(Reason::QuotaExceeded),
                    // A device has a few client ids; a new one with every start would fill the store for ever.
                    None if peer.thing.is_some() && expiry > 0 && self.keeps_enough(&tenant, &principal) => {
                        return Err(Reason::QuotaExceeded);
                    }
                    None => {
                        let session = self.new_session(&tenant, client_id, &principal, State::Online(Arc::clone(peer)), expiry);
                        sessions.insert(Arc::clone(&session.name), Arc::clone(&session));
                        return Ok(Claim { session, flow: Box::default(), present: false, changed: false });
                    }
                }
            };
            let mut released = std::pin::pin!(found.released.notified());
            released.as_mut().enable();
            match self.step(&found, peer, clean, expiry) {
                Step::Resumed(claim) => return Ok(claim),
                // The old connection finishes what it has taken in; if the disk hangs, that is not this client's to wait for.
                Step::Wait => timeout(self.limits.connect_timeout, released).await.map_err(|_| Reason::ServerUnavailable)?,
                Step::Clean(flow, will) => {
                    // In a task of its own: were this connection dropped half way, nobody could use the client id again.
                    let (broker, found) = (Arc::clone(self), Arc::clone(&found));
                    let clearing = tokio::spawn(async move {
                        unsubscribe_all(&found, &flow);
                        broker.publish_pending(will).await;
                        broker.clear(&found).await;
                    });
                    let _ = clearing.await;
                }
            }
        }
    }

    fn step(&self, session: &Arc<Session>, peer: &Arc<Peer>, clean: bool, expiry: u32) -> Step {
        let mut mail = session.mail.lock();
        match std::mem::replace(&mut mail.state, State::Ending) {
            State::Ending => Step::Wait,
            State::Online(old) => {
                mail.state = State::Online(old);
                if mail.kill.is_none() {
                    count(&self.counters.taken_over, 1);
                }
                drop(mail);
                session.kill(Reason::SessionTakenOver);
                Step::Wait
            }
            State::Offline(flow) => {
                let ends_at = mail.ends_at.take();
                let will = mail.will.take();
                for at in ends_at.into_iter().chain(will.as_ref().map(|will| will.at)) {
                    self.timers.lock().remove(&(at.as_microsecond(), session.key));
                }
                // Its time may be over without the clockwork having come by.
                if clean || ends_at.is_some_and(|at| at <= self.clock.now()) {
                    return Step::Clean(flow, will);
                }
                mail.state = State::Online(Arc::clone(peer));
                mail.kill = None;
                let changed = std::mem::replace(&mut mail.expiry, expiry) != expiry;
                drop(mail);
                self.set_persistent(session, expiry > 0);
                Step::Resumed(Claim { session: Arc::clone(session), flow, present: true, changed })
            }
        }
    }

    fn new_session(&self, tenant: &Arc<Tenant>, client_id: &str, principal: &str, state: State, expiry: u32) -> Arc<Session> {
        let name = Session::name_of(principal, client_id);
        let session = Arc::new(Session {
            key: self.next_key.fetch_add(1, Ordering::Relaxed),
            tenant: Arc::clone(tenant),
            client_id: client_id.into(),
            inbox: Session::inbox_of(tenant.id, &name),
            name: name.into(),
            principal: principal.into(),
            persistent: AtomicBool::new(false),
            stored: AtomicBool::new(false),
            signal: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            released: Notify::new(),
            mail: Mutex::new(Mail {
                state,
                queue: VecDeque::new(),
                bytes: 0,
                kill: None,
                discard: false,
                expiry,
                ends_at: None,
                will: None,
            }),
        });
        self.set_persistent(&session, expiry > 0);
        session
    }

    fn keeps_enough(&self, tenant: &Tenant, principal: &str) -> bool {
        tenant.kept.lock().get(principal).is_some_and(|n| *n >= self.limits.max_kept_sessions_per_thing)
    }

    fn set_persistent(&self, session: &Session, persistent: bool) {
        let was = session.persistent.swap(persistent, Ordering::AcqRel);
        match (was, persistent) {
            (false, true) => {
                session.stored.store(true, Ordering::Relaxed);
                session.tenant.durable.fetch_add(1, Ordering::AcqRel);
                *session.tenant.kept.lock().entry(session.principal.clone()).or_default() += 1;
            }
            (true, false) => {
                session.tenant.durable.fetch_sub(1, Ordering::AcqRel);
                let mut kept = session.tenant.kept.lock();
                if let Some(n) = kept.get_mut(&session.principal) {
                    *n = n.saturating_sub(1);
                    if *n == 0 {
                        kept.remove(&session.principal);
                    }
                }
            }
            _ => {}
        }
    }

    /// A connection lets go of its session: it is parked, or ends. `will` is what is to be published now that the client is gone.
    pub(crate) async fn release(self: &Arc<Self>, session: &Arc<Session>, flow: Box<Flow>, peer: &Arc<Peer>, will: Option<WillMessage>) {
        let now = self.clock.now();
        let (ends, will) = self.park(session, flow, peer, will, now);
        if let Some(will) = will {
            self.publish_will(peer, &will).await;
        }
        if ends {
            self.end_offline(session).await;
        } else {
            session.released.notify_waiters();
        }
    }

    /// A connection's task was dropped half way: what `release` does, as far as it goes without waiting; the clockwork does the rest.
    pub(crate) fn abandon(self: &Arc<Self>, session: &Arc<Session>, flow: Box<Flow>, peer: &Arc<Peer>, will: Option<WillMessage>) {
        let now = self.clock.now();
        let (ends, will) = self.park(session, flow, peer, will, now);
        let mut mail = session.mail.lock();
        if let Some(will) = will {
            mail.will = Some(Box::new(PendingWill { at: now, peer: Arc::clone(peer), will }));
        }
        if ends {
            mail.ends_at = Some(now);
        }
        drop(mail);
        self.watch(now, session);
        session.released.notify_waiters();
    }

    /// Makes the session an offline one; answers whether it ends now and the will to publish at once.
    fn park(
        &self,
        session: &Arc<Session>,
        mut flow: Box<Flow>,
        peer: &Arc<Peer>,
        will: Option<WillMessage>,
        now: Timestamp,
    ) -> (bool, Option<WillMessage>) {
        let mut mail = session.mail.lock();
        if mail.kill == Some(Reason::QuotaExceeded) {
            count(&self.counters.slow_closed, 1);
        }
        let ends = mail.expiry == 0 || mail.discard;
        let waiting = std::mem::take(&mut mail.queue);
        mail.bytes = 0;
        if !ends {
            flow.backlog.extend(waiting.into_iter().filter(|message| message.qos > 0));
        }
        flow.unsent = flow.slots.len();
        flow.slots.iter_mut().for_each(|slot| slot.sent = false);
        mail.state = State::Offline(flow);
        mail.kill = None;
        mail.ends_at = (mail.expiry != u32::MAX).then(|| after(now, mail.expiry));
        if ends {
            mail.ends_at = Some(now);
        }
        let (mut at_once, mut due) = (None, None);
        if let Some(will) = will {
            if will.delay == 0 || ends {
                at_once = Some(will);
            } else {
                let at = after(now, will.delay);
                due = Some(at);
                mail.will = Some(Box::new(PendingWill { at, peer: Arc::clone(peer), will }));
            }
        }
        let ends_at = mail.ends_at;
        drop(mail);
        for at in [due, ends_at].into_iter().flatten() {
            self.watch(at, session);
        }
        (ends, at_once)
    }

    /// Ends an offline session, unless a connection got hold of it meanwhile.
    pub(super) async fn end_offline(self: &Arc<Self>, session: &Arc<Session>) {
        let (flow, will) = {
            let mut mail = session.mail.lock();
            match std::mem::replace(&mut mail.state, State::Ending) {
                State::Offline(flow) => (flow, mail.will.take()),
                other => {
                    mail.state = other;
                    return;
                }
            }
        };
        // Never under the letter box's lock: routing takes the tree's lock first.
        unsubscribe_all(session, &flow);
        self.publish_pending(will).await;
        self.clear(session).await;
    }

    /// Clears what is kept of a session in state `Ending` and takes it off the table.
    async fn clear(&self, session: &Arc<Session>) {
        self.set_persistent(session, false);
        if session.stored.load(Ordering::Relaxed) {
            if let Err(error) = self.journal.inbox_drop(session.inbox).await {
                tracing::error!(%error, "a session's queue could not be cleared");
            }
            self.host.remove_session(session.tenant.id, &session.principal, &session.client_id).await;
        }
        session.tenant.sessions.lock().remove(&session.name);
        session.released.notify_waiters();
    }

    pub(super) async fn discard_session(self: &Arc<Self>, session: &Arc<Session>) {
        loop {
            let mut released = std::pin::pin!(session.released.notified());
            released.as_mut().enable();
            let offline = {
                let mut mail = session.mail.lock();
                mail.discard = true;
                matches!(mail.state, State::Offline(_))
            };
            if offline {
                return self.end_offline(session).await;
            }
            if !session.kill(Reason::AdministrativeAction) {
                return;
            }
            released.await;
        }
    }

    /// Puts a subscription into the tree; true when it replaced one.
    pub(crate) fn subscribe(&self, session: &Arc<Session>, sub: &Sub) -> bool {
        let Ok(filter) = check_filter(&sub.filter) else { return false };
        let entry = Entry {
            session: Arc::clone(session),
            options: sub.options,
            identifier: sub.identifier,
            inbox: sub.inbox.map(|inbox| inbox.id),
        };
        session.tenant.tree.write().insert(filter.group, filter.filter, entry)
    }

    pub(crate) fn unsubscribe(&self, session: &Session, filter: &str) {
        unsubscribe(session, filter);
    }

    /// Has the host keep a persistent session's subscriptions.
    pub(crate) async fn save(&self, session: &Session, flow: &Flow) -> Result<(), Reason> {
        let expiry = session.mail.lock().expiry;
        let saved = SavedSession {
            tenant: session.tenant.id,
            client_id: session.client_id.to_string(),
            principal: session.principal.to_string(),
            expiry,
            subscriptions: flow.subs.iter().map(Sub::save).collect(),
        };
        self.host.save_session(session.tenant.id, &saved).await
    }

    /// Brings back what outlived the last process.
    pub(super) async fn restore(self: &Arc<Self>) {
        match self.journal.retained().await {
            Ok(records) => {
                for record in records {
                    self.tenant(record.tenant).retained.write().set(&record);
                }
            }
            Err(error) => tracing::error!(%error, "retained messages could not be read"),
        }
        let now = self.clock.now();
        for saved in self.host.load_sessions().await {
            let tenant = self.tenant(saved.tenant);
            let flow = Flow {
                subs: saved.subscriptions.iter().map(Sub::restore).collect(),
                last_pid: first_pid(now, Session::inbox_of(tenant.id, &Session::name_of(&saved.principal, &saved.client_id))),
                ..Flow::default()
            };
            let subs = flow.subs.clone();
            let session = self.new_session(&tenant, &saved.client_id, &saved.principal, State::Offline(Box::new(flow)), saved.expiry);
            for sub in &subs {
                self.subscribe(&session, sub);
            }
            if saved.expiry != u32::MAX {
                let ends = after(now, saved.expiry);
                session.mail.lock().ends_at = Some(ends);
                self.watch(ends, &session);
            }
            tenant.sessions.lock().insert(Arc::clone(&session.name), session);
        }
    }
}

/// Where packet identifiers go on after a restart: somewhere else, because the client may still hold some of the last process as
/// received at `QoS` 2, and would take a new message with the same identifier for an old one.
fn first_pid(now: Timestamp, inbox: InboxId) -> u16 {
    let mixed = now.as_microsecond().unsigned_abs() as u128 ^ inbox.0.as_u128();
    (mixed % 65_521) as u16
}

fn unsubscribe(session: &Session, filter: &str) {
    if let Ok(parsed) = check_filter(filter) {
        session.tenant.tree.write().remove(parsed.group, parsed.filter, session.key);
    }
}

fn unsubscribe_all(session: &Session, flow: &Flow) {
    for sub in &flow.subs {
        unsubscribe(session, &sub.filter);
    }
}
