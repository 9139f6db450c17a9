//! The topic tree: which subscriptions match a topic, which retained messages match a filter.
//!
//! One node a level; a match walks the topic's levels and at each looks at three places: the level itself, `+` and `#`. What it costs
//! follows the topic's depth and what it finds, not how many subscriptions there are.

mod children;
mod retained;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;

pub(crate) use retained::Retained;

use children::Children;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a tree holds: the same key at the same filter replaces what was there.
pub(crate) trait Keyed {
    fn key(&self) -> u64;
}

/// Subscriptions by filter.
pub(crate) struct Tree<E> {
    root: Node<E>,
    len: usize,
    next_group: u64,
}

struct Node<E> {
    children: Children<Node<E>>,
    plus: Option<Box<Node<E>>>,
    here: Leaf<E>,
    below: Leaf<E>,
}

/// Subscriptions at one filter, sorted by key: keys grow with time, so a newcomer goes to the end.
struct Leaf<E> {
    plain: Vec<E>,
    #[expect(clippy::box_collection, reason = "almost always absent, and there are two in every node")]
    shared: Option<Box<HashMap<Box<str>, Group<E>>>>,
}

/// A shared subscription: each message goes to one member.
pub(crate) struct Group<E> {
    /// Never used twice within a tree.
    pub id: u64,
    turn: AtomicUsize,
    members: Vec<E>,
}

/// What a walk finds.
pub(crate) enum Found<'t, E> {
    Plain(&'t [E]),
    Group(&'t Group<E>),
}

impl<E> Default for Leaf<E> {
    fn default() -> Self {
        Self { plain: Vec::new(), shared: None }
    }
}

impl<E> Default for Node<E> {
    fn default() -> Self {
        Self { children: Children::default(), plus: None, here: Leaf::default(), below: Leaf::default() }
    }
}

impl<E> Default for Tree<E> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0, next_group: 0 }
    }
}

impl<E: Keyed> Tree<E> {
    /// Puts a subscription in; true when it replaced one of the same key.
    pub fn insert(&mut self, group: Option<&str>, filter: &str, entry: E) -> bool {
        let mut node = &mut self.root;
        let mut below = false;
        for level in filter.split('/') {
            match level {
                "#" => below = true,
                "+" => node = node.plus.get_or_insert_default(),
                _ => node = node.children.get_or_insert(level),
            }
        }
        let leaf = if below { &mut node.below } else { &mut node.here };
        let list = match group {
            None => &mut leaf.plain,
            Some(name) => {
                let groups = leaf.shared.get_or_insert_default();
                let next = &mut self.next_group;
                &mut groups
                    .entry(name.into())
                    .or_insert_with(|| {
                        *next += 1;
                        Group { id: *next, turn: AtomicUsize::new(0), members: Vec::new() }
                    })
                    .members
            }
        };
        match list.binary_search_by_key(&entry.key(), Keyed::key) {
            Ok(at) => {
                if let Some(old) = list.get_mut(at) {
                    *old = entry;
                }
                true
            }
            Err(at) => {
                // Most filters have one subscriber, so no room is made for more.
                if list.len() < 2 {
                    list.reserve_exact(1);
                }
                list.insert(at, entry);
                self.len += 1;
                false
            }
        }
    }

    /// Takes a subscription out, and with it the nodes nobody needs any more.
    pub fn remove(&mut self, group: Option<&str>, filter: &str, key: u64) -> Option<E> {
        let removed = self.root.remove(group, Some(filter), key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Visits everything that matches a topic name.
    pub fn walk<'t>(&'t self, topic: &str, visit: &mut impl FnMut(Found<'t, E>)) {
        // Wildcards at the first level do not match topics that begin with $ (4.7.2).
        self.root.walk(Some(topic), topic.starts_with('$'), visit);
    }

    /// How many subscriptions it holds.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl<E: Keyed> Node<E> {
    fn walk<'t>(&'t self, rest: Option<&str>, hidden: bool, visit: &mut impl FnMut(Found<'t, E>)) {
        if !hidden {
            self.below.visit(visit);
        }
        let Some(rest) = rest else { return self.here.visit(visit) };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(plus) = self.plus.as_deref().filter(|_| !hidden) {
            plus.walk(rest, false, visit);
        }
        if let Some(child) = self.children.get(level) {
            child.walk(rest, false, visit);
        }
    }

    fn remove(&mut self, group: Option<&str>, rest: Option<&str>, key: u64) -> Option<E> {
        let Some(rest) = rest else { return self.here.remove(group, key) };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        match level {
            "#" => self.below.remove(group, key),
            "+" => {
                let child = self.plus.as_mut()?;
                let removed = child.remove(group, rest, key);
                if child.is_empty() {
                    self.plus = None;
                }
                removed
            }
            _ => {
                let child = self.children.get_mut(level)?;
                let removed = child.remove(group, rest, key);
                if child.is_empty() {
                    self.children.remove(level);
                }
                removed
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

impl<E: Keyed> Leaf<E> {
    fn visit<'t>(&'t self, visit: &mut impl FnMut(Found<'t, E>)) {
        if !self.plain.is_empty() {
            visit(Found::Plain(&self.plain));
        }
        for group in self.shared.iter().flat_map(|groups| groups.values()) {
            visit(Found::Group(group));
        }
    }

    fn remove(&mut self, group: Option<&str>, key: u64) -> Option<E> {
        let take = |list: &mut Vec<E>| {
            let at = list.binary_search_by_key(&key, Keyed::key).ok()?;
            Some(list.remove(at))
        };
        let Some(name) = group else { return take(&mut self.plain) };
        let groups = self.shared.as_mut()?;
        let members = &mut groups.get_mut(name)?.members;
        let removed = take(members);
        if members.is_empty() {
            groups.remove(name);
        }
        if groups.is_empty() {
            self.shared = None;
        }
        removed
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.shared.is_none()
    }
}

impl<E> Group<E> {
    /// All members, beginning with the one whose turn it is.
    pub fn in_turn(&self) -> impl Iterator<Item = &E> {
        let turn = self.turn.load(Ordering::Relaxed) % self.members.len().max(1);
        let (before, from) = self.members.split_at_checked(turn).unwrap_or((&[], &self.members));
        from.iter().chain(before)
    }

    /// The next one's turn.
    pub fn advance(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does a filter (without `$share`) match a topic?
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    let mut first = true;
    for part in filter.split('/') {
        let wild = first && topic.starts_with('$');
        first = false;
        match (part, levels.next()) {
            ("#", _) => return !wild,
            ("+", Some(_)) if !wild => {}
            (text, Some(level)) if text == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
