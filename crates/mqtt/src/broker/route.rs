//! From a topic to its subscribers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use journal::{InboxId, Record};
use model::{Direction, TenantId, ThingId};
use smallvec::SmallVec;

use super::{Broker, count};
use crate::Host;
use crate::session::{Entry, Outgoing, Posted, Tenant};
use crate::tree::{Found, Group};

impl<H: Host> Broker<H> {
    /// The inboxes of persistent sessions that subscribe to this topic above `QoS` 0: whoever appends to the journal himself puts them
    /// into `NewMessage.inboxes` beforehand and calls [`Broker::route`] once the record is durable.
    pub fn inboxes_for(&self, tenant: TenantId, thing: ThingId, topic: &str, qos: u8) -> SmallVec<[InboxId; 2]> {
        let mut inboxes = SmallVec::new();
        if let Some(tenant) = self.known_tenant(tenant) {
            add_inboxes(&*self.host, &tenant, (thing, topic), qos, 0, &mut inboxes);
        }
        inboxes
    }

    /// Hands a durable record to matching connected subscribers and keeps it when retained. Sessions whose inbox the record is in get
    /// it from there.
    pub fn route(&self, record: &Arc<Record>) {
        let tenant = self.tenant(record.tenant);
        self.route_from(&tenant, &self.heard(record), 0, &[]);
    }

    /// The record on the topic on which it is heard.
    pub(crate) fn heard(&self, record: &Arc<Record>) -> Arc<Record> {
        match self.host.heard_as(record) {
            Some(topic) => Arc::new(Record { topic: topic.into(), ..Record::clone(record) }),
            None => Arc::clone(record),
        }
    }

    /// `origin` is the session that published; `picked` are shared groups that already have their member.
    pub(crate) fn route_from(&self, tenant: &Tenant, record: &Arc<Record>, origin: u64, picked: &[u64]) {
        if record.retain {
            tenant.retained.write().set(record);
        }
        let topic = record.topic_str();
        if topic.is_empty() {
            return;
        }
        let inboxes = Inboxes::of(record);
        let tree = tenant.tree.read();
        if tree.len() == 0 {
            return;
        }
        let mut leaves: SmallVec<[&[Entry]; 8]> = SmallVec::new();
        let mut chosen: SmallVec<[&Entry; 4]> = SmallVec::new();
        tree.walk(topic, &mut |found| match found {
            Found::Plain(entries) => leaves.push(entries),
            Found::Group(group) if picked.contains(&group.id) => {}
            Found::Group(group) => chosen.extend(pick_online(group, record.qos, &inboxes)),
        });
        if let ([leaf], true) = (leaves.as_slice(), chosen.is_empty()) {
            for entry in *leaf {
                self.hand_over(std::slice::from_ref(&entry), record, origin, &inboxes);
            }
            return;
        }
        // Overlapping subscriptions: one copy for each session, with all its identifiers and the highest QoS (3.3.4).
        let mut all: Vec<&Entry> = leaves.iter().flat_map(|leaf| leaf.iter()).chain(chosen.iter().copied()).collect();
        all.sort_by_key(|entry| entry.session.key);
        for entries in all.chunk_by(|a, b| a.session.key == b.session.key) {
            self.hand_over(entries, record, origin, &inboxes);
        }
    }

    /// Posts one copy to a session that has these matching subscriptions.
    fn hand_over(&self, entries: &[&Entry], record: &Arc<Record>, origin: u64, inboxes: &Inboxes<'_>) {
        let Some(first) = entries.first() else { return };
        let session = &first.session;
        let (mut qos, mut retain, mut any, mut ids) = (0, false, false, SmallVec::new());
        for entry in entries {
            if entry.options.no_local() && session.key == origin {
                continue;
            }
            if entry.inbox.is_some_and(|inbox| inboxes.opened_by(inbox)) {
                return;
            }
            if entry.options.screened() && !self.host.hears(record.thing, record.topic_str()) {
                continue;
            }
            any = true;
            qos = qos.max(entry.options.qos().min(record.qos));
            retain |= entry.options.retain_as_published() && record.retain;
            if entry.identifier != 0 {
                ids.push(entry.identifier);
            }
        }
        if !any || qos > 0 && session.is_persistent() && inboxes.contains(session.inbox) {
            return;
        }
        let message = Outgoing { record: Arc::clone(record), qos, retain, ids };
        match session.post(message, self.limits.max_queued_per_session, self.limits.max_queued_bytes) {
            Posted::Taken | Posted::Offline => {}
            Posted::Dropped | Posted::Overflow => {
                count(&self.counters.messages_dropped, 1);
                count(&session.tenant.counters.messages_dropped, 1);
            }
        }
    }
}

/// Adds the queues of matching persistent sessions and answers the shared groups that are served by this.
pub(crate) fn add_inboxes<H: Host>(
    host: &H,
    tenant: &Tenant,
    (thing, topic): (ThingId, &str),
    qos: u8,
    origin: u64,
    inboxes: &mut SmallVec<[InboxId; 2]>,
) -> SmallVec<[u64; 1]> {
    let mut picked = SmallVec::new();
    if qos == 0 || tenant.durable.load(Ordering::Relaxed) == 0 {
        return picked;
    }
    let given = inboxes.len();
    tenant.tree.read().walk(topic, &mut |found| match found {
        Found::Plain(entries) => {
            for entry in entries {
                let own = entry.options.no_local() && entry.session.key == origin;
                let opened = entry
                    .inbox
                    .is_some_and(|inbox| InboxId::levels_of(ThingId(inbox.0)).any(|level| inboxes.iter().take(given).any(|i| *i == level)));
                let screened = entry.options.screened() && !host.hears(thing, topic);
                if screened {
                    continue;
                }
                if entry.session.is_persistent() && entry.options.qos() > 0 && !own && !opened {
                    inboxes.push(entry.session.inbox);
                }
            }
        }
        Found::Group(group) => {
            if let Some(inbox) = pick_durable(group) {
                inboxes.push(inbox);
                picked.push(group.id);
            }
        }
    });
    inboxes.sort_unstable();
    inboxes.dedup();
    picked
}

/// The member whose turn it is, connected ones first; its queue, if it is a persistent one above `QoS` 0.
fn pick_durable(group: &Group<Entry>) -> Option<InboxId> {
    let mut fallback = None;
    for entry in group.in_turn() {
        if entry.session.is_online() {
            fallback = (entry.session.is_persistent() && entry.options.qos() > 0).then_some(entry.session.inbox);
            break;
        }
        if fallback.is_none() && entry.session.is_persistent() && entry.options.qos() > 0 {
            fallback = Some(entry.session.inbox);
        }
    }
    // Otherwise `pick_online` picks, and the turn is its to move.
    if fallback.is_some() {
        group.advance();
    }
    fallback
}

/// The connected member whose turn it is; none when a member has the record in its queue already.
fn pick_online<'t>(group: &'t Group<Entry>, qos: u8, inboxes: &Inboxes<'_>) -> Option<&'t Entry> {
    let mut chosen = None;
    for entry in group.in_turn() {
        let effective = qos.min(entry.options.qos());
        if effective > 0 && entry.session.is_persistent() && inboxes.contains(entry.session.inbox) {
            return None;
        }
        if chosen.is_none() && entry.session.is_online() {
            chosen = Some(entry);
        }
    }
    group.advance();
    chosen
}

/// A record's inboxes, quick to ask even when there are thousands.
struct Inboxes<'r> {
    few: &'r [InboxId],
    /// The inbox of the thing it goes to, whatever its priority.
    own: Option<InboxId>,
    many: Option<HashSet<InboxId>>,
}

impl<'r> Inboxes<'r> {
    fn of(record: &'r Record) -> Self {
        let many = (record.inboxes.len() > 16).then(|| record.inboxes.iter().copied().collect());
        let own = (record.direction == Direction::Outbound).then(|| record.priority()).flatten().map(|_| record.thing.into());
        Self { few: &record.inboxes, own, many }
    }

    /// Does who opens this thing's inbox get the record from there?
    fn opened_by(&self, inbox: InboxId) -> bool {
        self.own == Some(inbox) || self.contains(inbox)
    }

    fn contains(&self, inbox: InboxId) -> bool {
        match &self.many {
            Some(set) => set.contains(&inbox),
            None => self.few.contains(&inbox),
        }
    }
}
