//! Retained messages by topic.

use std::collections::VecDeque;
use std::sync::Arc;

use journal::{Record, Seq};
use model::Timestamp;

use super::children::Children;

/// Cleared topics remembered at most.
const CLEARED_MAX: usize = 100_000;

/// The newest retained message of each topic.
#[derive(Default)]
pub(crate) struct Retained {
    root: Node,
    len: usize,
    bytes: usize,
    cleared: VecDeque<(Box<str>, Seq)>,
}

#[derive(Default)]
struct Node {
    children: Children<Node>,
    slot: Option<Slot>,
}

/// A cleared topic keeps its place for a while, so that an older message that is routed later cannot come back.
struct Slot {
    seq: Seq,
    record: Option<Arc<Record>>,
}

impl Retained {
    /// Keeps a retained record, or clears its topic when the payload is empty. An older record than what is there changes nothing.
    pub fn set(&mut self, record: &Arc<Record>) {
        let topic = record.topic_str();
        let mut node = &mut self.root;
        for level in topic.split('/') {
            node = node.children.get_or_insert(level);
        }
        if node.slot.as_ref().is_some_and(|slot| slot.seq >= record.seq) {
            return;
        }
        if let Some(old) = node.slot.as_ref().and_then(|slot| slot.record.as_deref()) {
            self.len -= 1;
            self.bytes -= size(old);
        }
        let kept = (!record.payload.is_empty()).then(|| Arc::clone(record));
        if kept.is_some() {
            self.len += 1;
            self.bytes += size(record);
        } else {
            self.cleared.push_back((topic.into(), record.seq));
        }
        node.slot = Some(Slot { seq: record.seq, record: kept });
        if self.cleared.len() > CLEARED_MAX {
            self.forget_cleared(1);
        }
    }

    /// Is there room for a message of this many bytes on this topic, in place of what is there?
    pub fn fits(&self, topic: &str, bytes: usize, max: usize, max_bytes: usize) -> bool {
        let mut node = Some(&self.root);
        for level in topic.split('/') {
            node = node.and_then(|node| node.children.get(level));
        }
        let old = node.and_then(|node| node.slot.as_ref()).and_then(|slot| slot.record.as_deref());
        let (messages, before) = old.map_or((self.len, self.bytes), |old| (self.len - 1, self.bytes - size(old)));
        messages < max && before.saturating_add(bytes) <= max_bytes
    }

    /// Unexpired records that match a filter (without `$share`).
    pub fn find(&self, filter: &str, now: Timestamp) -> Vec<Arc<Record>> {
        let mut found = Vec::new();
        self.root.find(Some(filter), true, now, &mut found);
        found.sort_by_key(|record| record.seq);
        found
    }

    /// Removes a thing's or expired messages, as `drop_it` says; answers how many.
    pub fn remove_where(&mut self, drop_it: &impl Fn(&Record) -> bool) -> usize {
        let (removed, bytes) = self.root.prune(drop_it);
        self.len -= removed;
        self.bytes -= bytes;
        removed
    }

    /// Forgets the `n` places cleared longest ago.
    pub fn forget_cleared(&mut self, n: usize) {
        for _ in 0..n {
            let Some((topic, seq)) = self.cleared.pop_front() else { return };
            self.root.forget(Some(&topic), seq);
        }
    }

    /// Places cleared and not yet forgotten.
    pub fn cleared(&self) -> usize {
        self.cleared.len()
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

fn size(record: &Record) -> usize {
    record.topic.len() + record.properties.len() + record.payload.len()
}

fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (rest, None),
    }
}

impl Node {
    fn take(&self, now: Timestamp, found: &mut Vec<Arc<Record>>) {
        if let Some(record) = self.slot.as_ref().and_then(|slot| slot.record.as_ref()).filter(|record| !record.expired(now)) {
            found.push(Arc::clone(record));
        }
    }

    fn find(&self, rest: Option<&str>, first: bool, now: Timestamp, found: &mut Vec<Arc<Record>>) {
        let Some(rest) = rest else { return self.take(now, found) };
        let (level, rest) = split(rest);
        let visible = |name: &str| !(first && name.starts_with('$'));
        match level {
            "#" => {
                // "sport/#" matches "sport" too; at the first level there is no such parent.
                self.take(now, found);
                for (_, child) in self.children.iter().filter(|(name, _)| visible(name)) {
                    child.find(Some("#"), false, now, found);
                }
            }
            "+" => {
                for (_, child) in self.children.iter().filter(|(name, _)| visible(name)) {
                    child.find(rest, false, now, found);
                }
            }
            _ => {
                if let Some(child) = self.children.get(level) {
                    child.find(rest, false, now, found);
                }
            }
        }
    }

    /// How many are gone, and their bytes.
    fn prune(&mut self, drop_it: &impl Fn(&Record) -> bool) -> (usize, usize) {
        let (mut removed, mut bytes) = (0, 0);
        if let Some(record) = self.slot.as_ref().and_then(|slot| slot.record.as_deref()).filter(|record| drop_it(record)) {
            removed += 1;
            bytes += size(record);
            self.slot = None;
        }
        self.children.retain(|child| {
            let (n, b) = child.prune(drop_it);
            removed += n;
            bytes += b;
            child.slot.is_some() || !child.children.is_empty()
        });
        (removed, bytes)
    }

    fn forget(&mut self, rest: Option<&str>, seq: Seq) {
        let Some(rest) = rest else {
            if self.slot.as_ref().is_some_and(|slot| slot.seq == seq && slot.record.is_none()) {
                self.slot = None;
            }
            return;
        };
        let (level, rest) = split(rest);
        if let Some(child) = self.children.get_mut(level) {
            child.forget(rest, seq);
            if child.slot.is_none() && child.children.is_empty() {
                self.children.remove(level);
            }
        }
    }
}
