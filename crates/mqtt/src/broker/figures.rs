//! `$SYS`: figures of a tenant for its own people, and of the whole gateway for its operator.
//!
//! Never stored: whoever subscribes gets them at once and then every few seconds. Who may subscribe is the host's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use journal::{Record, Seq};
use model::{Direction, MessageId, TenantId, ThingId};
use smallvec::SmallVec;
use uuid::Uuid;

use super::Broker;
use crate::Host;
use crate::session::Tenant;
use crate::tree::matches;

const TENANT: &str = "$SYS/tenant/";
const GATEWAY: &str = "$SYS/gateway/";
/// What is told of either.
const NAMES: [&str; 10] = [
    "clients/connected",
    "clients/total",
    "subscriptions/count",
    "retained/count",
    "messages/received",
    "messages/sent",
    "messages/refused",
    "messages/dropped",
    "bytes/received",
    "bytes/sent",
];

/// Is this a filter for figures?
pub(crate) fn is_figure(filter: &str) -> bool {
    filter.starts_with("$SYS/")
}

impl<H: Host> Broker<H> {
    /// The figures a filter matches, as messages of the moment.
    pub(crate) fn figures(&self, tenant: &Tenant, filter: &str) -> Vec<Arc<Record>> {
        let mut found = Vec::new();
        self.each_figure(tenant, |topic| matches(filter, topic), |record| found.push(record));
        found
    }

    /// Sends their figures to all who subscribe to some.
    pub(super) fn tell_figures(&self) {
        for tenant in self.all_tenants() {
            if tenant.tree.read().len() > 0 {
                self.each_figure(
                    &tenant,
                    |topic| {
                        let mut wanted = false;
                        tenant.tree.read().walk(topic, &mut |_| wanted = true);
                        wanted
                    },
                    |record| self.route_from(&tenant, &record, 0, &[]),
                );
            }
        }
    }

    fn each_figure(&self, tenant: &Tenant, wanted: impl Fn(&str) -> bool, mut tell: impl FnMut(Arc<Record>)) {
        for (prefix, of_tenant) in [(TENANT, true), (GATEWAY, false)] {
            let mut values = None;
            for (at, name) in NAMES.iter().enumerate() {
                let topic = [prefix, name].concat();
                if wanted(&topic) {
                    // Added up once somebody wants to know.
                    let values = values.get_or_insert_with(|| if of_tenant { of(tenant) } else { self.of_gateway() });
                    let value = values.get(at).copied().unwrap_or(0);
                    tell(Arc::new(self.figure(tenant.id, topic, value)));
                }
            }
        }
    }

    fn of_gateway(&self) -> [u64; 10] {
        let s = self.stats();
        [
            s.connections,
            s.sessions,
            s.subscriptions,
            s.retained,
            s.messages_in,
            s.messages_out,
            s.messages_refused,
            s.messages_dropped,
            s.bytes_in,
            s.bytes_out,
        ]
    }

    fn figure(&self, tenant: TenantId, topic: String, value: u64) -> Record {
        Record {
            seq: Seq(0),
            id: MessageId(Uuid::nil()),
            tenant,
            thing: ThingId(Uuid::nil()),
            direction: Direction::Outbound,
            at: self.clock.now(),
            topic: topic.into(),
            payload: value.to_string().into(),
            expires: None,
            qos: 0,
            retain: false,
            properties: Bytes::new(),
            inboxes: SmallVec::new(),
        }
    }
}

fn of(tenant: &Tenant) -> [u64; 10] {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let c = &tenant.counters;
    [
        read(&c.connections),
        tenant.sessions.lock().len() as u64,
        tenant.tree.read().len() as u64,
        tenant.retained.read().len() as u64,
        read(&c.messages_in),
        read(&c.messages_out),
        read(&c.messages_refused),
        read(&c.messages_dropped),
        read(&c.bytes_in),
        read(&c.bytes_out),
    ]
}
