//! Live streams: every subscriber has a ring of its own, so that a slow one loses records and nobody waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{TenantId, ThingId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::Record;

/// Records a subscriber may be behind.
pub(crate) const RING: usize = 1024;
/// Payload bytes a subscriber may be behind.
const RING_BYTES: usize = 4 << 20;

/// Why a live stream has no record to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// The reader was too slow; so many records were dropped. The next call continues with the oldest one kept.
    #[error("{0} records were missed")]
    Lagged(u64),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// All subscribers.
#[derive(Debug, Default)]
pub(crate) struct Live {
    count: AtomicUsize,
    by_tenant: RwLock<HashMap<TenantId, Vec<Arc<Subscriber>>>>,
}

#[derive(Debug)]
struct Subscriber {
    thing: Option<ThingId>,
    ring: Mutex<Ring>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    missed: u64,
    closed: bool,
}

impl Live {
    pub(crate) fn subscribe(self: &Arc<Self>, tenant: TenantId, thing: Option<ThingId>, closed: bool) -> LiveStream {
        let ring = Mutex::new(Ring { closed, ..Ring::default() });
        let subscriber = Arc::new(Subscriber { thing, ring, arrived: Notify::new() });
        self.by_tenant.write().entry(tenant).or_default().push(subscriber.clone());
        self.count.fetch_add(1, Ordering::Release);
        LiveStream { live: self.clone(), tenant, subscriber }
    }

    /// Whether anybody listens at all.
    pub(crate) fn is_idle(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Hands a durable record to those who asked for it; never waits for a reader.
    pub(crate) fn publish(&self, record: &Arc<Record>) {
        let by_tenant = self.by_tenant.read();
        for subscriber in by_tenant.get(&record.tenant).into_iter().flatten() {
            if subscriber.thing.is_some_and(|thing| thing != record.thing) {
                continue;
            }
            let mut ring = subscriber.ring.lock();
            ring.bytes += record.payload.len();
            ring.records.push_back(record.clone());
            while ring.records.len() > RING || (ring.bytes > RING_BYTES && ring.records.len() > 1) {
                let Some(dropped) = ring.records.pop_front() else { break };
                ring.bytes -= dropped.payload.len();
                ring.missed += 1;
            }
            drop(ring);
            subscriber.arrived.notify_one();
        }
    }

    /// Ends all streams once they are read empty.
    pub(crate) fn close(&self) {
        for subscriber in self.by_tenant.read().values().flatten() {
            subscriber.ring.lock().closed = true;
            subscriber.arrived.notify_one();
        }
    }
}

/// Records as they become durable, from the moment of subscription.
#[derive(Debug)]
pub struct LiveStream {
    live: Arc<Live>,
    tenant: TenantId,
    subscriber: Arc<Subscriber>,
}

impl LiveStream {
    /// The next record; cancel safe. [`LiveError::Lagged`] is reported once, then the stream goes on.
    pub async fn recv(&mut self) -> Result<Arc<Record>, LiveError> {
        loop {
            {
                let mut ring = self.subscriber.ring.lock();
                if ring.missed > 0 {
                    return Err(LiveError::Lagged(std::mem::take(&mut ring.missed)));
                }
                if let Some(record) = ring.records.pop_front() {
                    ring.bytes -= record.payload.len();
                    return Ok(record);
                }
                if ring.closed {
                    return Err(LiveError::Closed);
                }
            }
            self.subscriber.arrived.notified().await;
        }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        let mut by_tenant = self.live.by_tenant.write();
        if let Some(list) = by_tenant.get_mut(&self.tenant) {
            list.retain(|s| !Arc::ptr_eq(s, &self.subscriber));
            if list.is_empty() {
                by_tenant.remove(&self.tenant);
            }
        }
        self.live.count.fetch_sub(1, Ordering::Release);
    }
}
