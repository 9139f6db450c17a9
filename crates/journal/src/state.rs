//! What the log adds up to: inboxes, retained messages, remembered keys, deletions. In memory, saved by checkpoints.

use std::collections::{HashMap, VecDeque};

use model::{Direction, MessageId, TenantId, ThingId};

use crate::codec::{Control, Tomb};
use crate::{InboxId, Record};

/// How long an idempotency key is remembered, in microseconds.
pub(crate) const KEY_WINDOW: i64 = 24 * 3600 * 1_000_000;
/// Most keys remembered; beyond it the oldest go early.
const MAX_KEYS: usize = 1 << 18;

/// One inbox: positions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inbox {
    /// Waiting, in order.
    pub pending: VecDeque<u64>,
    /// Ran out before they were delivered; kept so that their status can be told.
    pub expired: VecDeque<u64>,
}

impl Inbox {
    fn remove(&mut self, seq: u64) -> bool {
        self.pending.binary_search(&seq).ok().and_then(|at| self.pending.remove(at)).is_some()
    }
}

/// The retained message of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retained {
    pub seq: u64,
    pub thing: ThingId,
}

/// What a message adds to the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effect<'a> {
    pub seq: u64,
    pub tenant: TenantId,
    pub thing: ThingId,
    pub retain: bool,
    pub empty: bool,
    pub topic: &'a [u8],
}

impl<'a> From<&'a Record> for Effect<'a> {
    fn from(r: &'a Record) -> Self {
        Self { seq: r.seq.0, tenant: r.tenant, thing: r.thing, retain: r.retain, empty: r.payload.is_empty(), topic: &r.topic }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub inboxes: HashMap<InboxId, Inbox>,
    pub retained: HashMap<(TenantId, Box<[u8]>), Retained>,
    pub tombs: Tombs,
    /// Entries pending in all inboxes.
    pub pending: usize,
}

impl State {
    /// A message became part of the log.
    pub(crate) fn message(&mut self, message: Effect<'_>, inboxes: impl Iterator<Item = InboxId>) {
        for inbox in inboxes {
            let pending = &mut self.inboxes.entry(inbox).or_default().pending;
            if pending.back().is_none_or(|last| *last < message.seq) {
                pending.push_back(message.seq);
                self.pending += 1;
            }
        }
        if message.retain {
            let key = (message.tenant, Box::from(message.topic));
            if message.empty {
                self.retained.remove(&key);
            } else {
                self.retained.insert(key, Retained { seq: message.seq, thing: message.thing });
            }
        }
    }

    /// A control record became part of the log.
    pub(crate) fn control(&mut self, seq: u64, control: &Control) {
        match control {
            Control::Ack { inbox, seq } => {
                self.take(*inbox, *seq);
            }
            Control::Drop { inbox } => self.drop_inbox(*inbox, seq),
            Control::Delete(tomb) => self.tombs.add(*tomb),
            Control::Forget { tenant, thing } => {
                self.tombs.add(everything_of(*tenant, *thing, seq));
                for inbox in InboxId::all_of(*thing) {
                    self.drop_inbox(inbox, seq);
                }
                self.retained.retain(|(t, _), kept| !(t == tenant && kept.thing == *thing && kept.seq < seq));
            }
            Control::Move { from, to, seq } => {
                if self.take(*from, *seq) {
                    self.put(*to, *seq);
                }
            }
            Control::Expire { inbox, seq } => self.expire(*inbox, *seq),
            Control::Void | Control::Mark { .. } => {}
        }
    }

    /// Puts an entry at its place in an inbox.
    fn put(&mut self, inbox: InboxId, seq: u64) {
        let pending = &mut self.inboxes.entry(inbox).or_default().pending;
        if let Err(place) = pending.binary_search(&seq) {
            pending.insert(place, seq);
            self.pending += 1;
        }
    }

    /// Takes an entry out of an inbox; false when it was not there.
    pub(crate) fn take(&mut self, inbox: InboxId, seq: u64) -> bool {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return false };
        let taken = entry.remove(seq);
        self.pending -= usize::from(taken);
        if entry.pending.is_empty() && entry.expired.is_empty() {
            self.inboxes.remove(&inbox);
        }
        taken
    }

    /// An entry's time ran out before it was delivered.
    pub(crate) fn expire(&mut self, inbox: InboxId, seq: u64) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        if entry.remove(seq) {
            self.pending -= 1;
            let place = entry.expired.partition_point(|s| *s < seq);
            entry.expired.insert(place, seq);
        }
    }

    fn drop_inbox(&mut self, inbox: InboxId, before: u64) {
        let Some(entry) = self.inboxes.get_mut(&inbox) else { return };
        let had = entry.pending.len();
        entry.pending.retain(|seq| *seq >= before);
        self.pending -= had - entry.pending.len();
        entry.expired.clear();
        if entry.pending.is_empty() {
            self.inboxes.remove(&inbox);
        }
    }

    /// The expired entries' records are gone from the files.
    pub(crate) fn forget_expired_before(&mut self, first: u64) {
        self.inboxes.retain(|_, inbox| {
            inbox.expired.retain(|seq| *seq >= first);
            !(inbox.pending.is_empty() && inbox.expired.is_empty())
        });
    }
}

/// A tombstone over all of a thing's messages before a position.
pub(crate) fn everything_of(tenant: TenantId, thing: ThingId, before: u64) -> Tomb {
    Tomb { tenant, thing: Some(thing), from: i64::MIN, to: i64::MAX, direction: None, up_to: before.saturating_sub(1) }
}

/// Deletions not yet applied to the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tombs {
    by_key: HashMap<(TenantId, Option<ThingId>), Vec<Tomb>>,
    count: usize,
}

impl Tombs {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn add(&mut self, tomb: Tomb) {
        let list = self.by_key.entry((tomb.tenant, tomb.thing)).or_default();
        if list.iter().any(|old| covers(old, &tomb)) {
            return;
        }
        let had = list.len();
        list.retain(|old| !covers(&tomb, old));
        list.push(tomb);
        self.count = self.count + list.len() - had;
    }

    /// Whether a message was deleted.
    pub(crate) fn bury(&self, tenant: TenantId, thing: ThingId, seq: u64, at: i64, outbound: bool) -> bool {
        self.count > 0
            && [Some(thing), None].into_iter().filter_map(|thing| self.by_key.get(&(tenant, thing))).flatten().any(|tomb| {
                seq <= tomb.up_to
                    && at >= tomb.from
                    && at <= tomb.to
                    && tomb.direction.is_none_or(|d| (d == Direction::Outbound) == outbound)
            })
    }

    /// Whether a record was deleted.
    pub(crate) fn buries(&self, record: &Record) -> bool {
        let outbound = record.direction == Direction::Outbound;
        self.bury(record.tenant, record.thing, record.seq.0, record.at.as_microsecond(), outbound)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tomb> {
        self.by_key.values().flatten()
    }

    pub(crate) fn remove(&mut self, tomb: &Tomb) {
        if let Some(list) = self.by_key.get_mut(&(tomb.tenant, tomb.thing)) {
            let had = list.len();
            list.retain(|t| t != tomb);
            self.count -= had - list.len();
            if list.is_empty() {
                self.by_key.remove(&(tomb.tenant, tomb.thing));
            }
        }
    }
}

fn covers(outer: &Tomb, inner: &Tomb) -> bool {
    outer.up_to >= inner.up_to
        && outer.from <= inner.from
        && outer.to >= inner.to
        && (outer.direction.is_none() || outer.direction == inner.direction)
}

/// A remembered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub id: MessageId,
    pub seq: u64,
    pub at: i64,
}

/// Idempotency keys of the last 24 hours; bounded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub map: HashMap<[u8; 16], Remembered>,
    order: VecDeque<(u64, [u8; 16])>,
}

impl Keys {
    pub(crate) fn find(&self, key: &[u8; 16], now: i64) -> Option<Remembered> {
        self.map.get(key).copied().filter(|found| now.saturating_sub(found.at) < KEY_WINDOW)
    }

    pub(crate) fn add(&mut self, key: [u8; 16], remembered: Remembered, now: i64) {
        self.map.insert(key, remembered);
        self.order.push_back((remembered.seq, key));
        while let Some((seq, key)) = self.order.front().copied() {
            // A key used again after its window has a younger entry behind: only the list is shortened then.
            let current = self.map.get(&key).filter(|r| r.seq == seq).copied();
            match current {
                Some(r) if self.map.len() <= MAX_KEYS && now.saturating_sub(r.at) < KEY_WINDOW => break,
                Some(_) => _ = self.map.remove(&key),
                None => {}
            }
            self.order.pop_front();
        }
    }

    /// In the order they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ([u8; 16], Remembered)> + '_ {
        self.order.iter().filter_map(|(seq, key)| self.map.get(key).filter(|r| r.seq == *seq).map(|r| (*key, *r)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keys_are_bounded_by_time_and_number() {
        let mut keys = Keys::default();
        let key = |n: u64| u128::from(n).to_be_bytes();
        let remembered = |seq, at| Remembered { id: MessageId(Uuid::nil()), seq, at };
        for n in 0..MAX_KEYS as u64 + 10 {
            keys.add(key(n), remembered(n, 0), 0);
        }
        assert_eq!((keys.map.len(), keys.find(&key(9), 0), keys.find(&key(10), 0).is_some()), (MAX_KEYS, None, true));
        assert_eq!(keys.find(&key(10), KEY_WINDOW), None);
        // Used again after its window: the younger entry stays when the older one's turn comes.
        let late = KEY_WINDOW + 5;
        keys.add(key(10), remembered(1 << 40, late), late);
        assert_eq!((keys.map.len(), keys.iter().count()), (1, 1));
        assert_eq!(keys.find(&key(10), late).map(|r| r.seq), Some(1 << 40));
        // A clock that went back does not forget.
        assert!(keys.find(&key(10), 0).is_some());
    }

    #[test]
    fn tombs_swallow_what_they_cover() {
        let (tenant, thing) = (TenantId(Uuid::from_u128(1)), ThingId(Uuid::from_u128(2)));
        let tomb = |from, to, up_to| Tomb { tenant, thing: Some(thing), from, to, direction: None, up_to };
        let mut tombs = Tombs::default();
        tombs.add(tomb(0, 10, 5));
        tombs.add(tomb(2, 8, 4));
        assert_eq!(tombs.len(), 1);
        tombs.add(tomb(20, 30, 5));
        assert_eq!(tombs.len(), 2);
        assert!(tombs.bury(tenant, thing, 5, 10, false) && !tombs.bury(tenant, thing, 6, 10, false));
        assert!(!tombs.bury(tenant, thing, 5, 15, false) && !tombs.bury(tenant, ThingId(Uuid::nil()), 5, 10, false));
        tombs.add(everything_of(tenant, thing, 9));
        assert_eq!(tombs.len(), 1);
        assert!(tombs.bury(tenant, thing, 8, 15, true) && !tombs.bury(tenant, thing, 9, 15, true));
        tombs.remove(&everything_of(tenant, thing, 9));
        assert_eq!((tombs.len(), tombs.iter().count()), (0, 0));
    }
}
