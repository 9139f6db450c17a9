//! What happens by itself: sessions expire, delayed wills come due, cleared topics are forgotten.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::Timestamp;

use super::Broker;
use crate::Host;
use crate::session::{PendingWill, Session, State};

const TICK: Duration = Duration::from_millis(250);
/// Ticks a cleared topic keeps its place (one minute): far longer than a message can be on its way.
const CLEARED_TICKS: u32 = 240;

/// Runs until the broker is dropped.
pub(super) async fn run<H: Host>(broker: Weak<Broker<H>>) {
    let mut ticks = 0u32;
    let mut told = Duration::ZERO;
    let mut cleared: Vec<(model::TenantId, usize)> = Vec::new();
    loop {
        tokio::time::sleep(TICK).await;
        let Some(broker) = broker.upgrade() else { return };
        broker.tick().await;
        told += TICK;
        if broker.limits.figures_every > Duration::ZERO && told >= broker.limits.figures_every {
            told = Duration::ZERO;
            broker.tell_figures();
        }
        ticks += 1;
        if ticks >= CLEARED_TICKS {
            ticks = 0;
            for (tenant, n) in cleared.drain(..) {
                broker.tenant(tenant).retained.write().forget_cleared(n);
            }
            cleared.extend(broker.all_tenants().iter().map(|t| (t.id, t.retained.read().cleared())).filter(|(_, n)| *n > 0));
        }
    }
}

impl<H: Host> Broker<H> {
    /// Looks at a session again at this time.
    pub(crate) fn watch(&self, at: Timestamp, session: &Arc<Session>) {
        self.timers.lock().insert((at.as_microsecond(), session.key), Arc::downgrade(session));
    }

    async fn tick(self: &Arc<Self>) {
        let now = self.clock.now();
        loop {
            let due = {
                let mut timers = self.timers.lock();
                match timers.first_entry() {
                    Some(entry) if entry.key().0 <= now.as_microsecond() => entry.remove(),
                    _ => return,
                }
            };
            if let Some(session) = due.upgrade() {
                self.look_at(&session, now).await;
            }
        }
    }

    /// Publishes a will that is due; ends a session whose time is over.
    async fn look_at(self: &Arc<Self>, session: &Arc<Session>, now: Timestamp) {
        let (will, over) = {
            let mut mail = session.mail.lock();
            let offline = matches!(mail.state, State::Offline(_));
            let over = offline && mail.ends_at.is_some_and(|at| at <= now);
            let due = offline && mail.will.as_ref().is_some_and(|will| over || will.at <= now);
            (if due { mail.will.take() } else { None }, over)
        };
        self.publish_pending(will).await;
        if over {
            self.end_offline(session).await;
        }
    }

    pub(super) async fn publish_pending(&self, will: Option<Box<PendingWill>>) {
        if let Some(pending) = will {
            self.publish_will(&pending.peer, &pending.will).await;
        }
    }

    /// Publishes every delayed will now: the broker stops and can't wait for them.
    pub(super) async fn flush_wills(&self) {
        for session in self.all_sessions() {
            let will = session.mail.lock().will.take();
            self.publish_pending(will).await;
        }
    }
}
