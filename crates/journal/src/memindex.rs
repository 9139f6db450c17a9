//! The index of the active segment, in memory: entries in order, chained backwards by thing and by tenant.
//!
//! 32 bytes a message, in chunks so that growth neither copies nor doubles. Sealing turns it into a file (`index.rs`).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use model::{Direction, MessageId, TenantId, ThingId};
use parking_lot::RwLock;

use crate::codec::MessageView;

const CHUNK: usize = 4096;
const NONE: u32 = u32::MAX;
const OUTBOUND: u32 = 1 << 31;
/// Steps of a chain walked under one lock, so that a long history never holds up the committer.
const STEPS: usize = 4096;

/// Where a message lies and what can be told without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub seq: u64,
    pub offset: u32,
    pub outbound: bool,
    pub at: i64,
}

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Thing(u64),
    Tenant(u64),
}

impl Key {
    pub(crate) fn of(tenant: TenantId, thing: Option<ThingId>) -> Self {
        match thing {
            Some(thing) => Self::Thing(thing_hash(tenant, thing)),
            None => Self::Tenant(tenant_hash(tenant)),
        }
    }
}

/// Stable on disk: part of the index format.
pub(crate) fn thing_hash(tenant: TenantId, thing: ThingId) -> u64 {
    mix(mix(0x7468_696e_6700_0001, tenant.0.as_u128()), thing.0.as_u128())
}

pub(crate) fn tenant_hash(tenant: TenantId) -> u64 {
    mix(0x7465_6e61_6e74_0001, tenant.0.as_u128())
}

pub(crate) fn id_tag(id: MessageId) -> u32 {
    (mix(0x6964_0001, id.0.as_u128()) >> 32) as u32
}

fn mix(seed: u64, value: u128) -> u64 {
    let mut x = seed;
    for half in [value as u64, (value >> 64) as u64] {
        x = (x ^ half).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 29).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 32;
    }
    x
}

/// Which postings are wanted; positions are exclusive, times inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    pub after: u64,
    pub before: u64,
    pub from: i64,
    pub to: i64,
    pub direction: Option<Direction>,
    pub newest_first: bool,
}

impl Filter {
    pub(crate) fn matches(&self, p: &Posting) -> bool {
        p.seq > self.after
            && p.seq < self.before
            && p.at >= self.from
            && p.at <= self.to
            && self.direction.is_none_or(|d| (d == Direction::Outbound) == p.outbound)
    }
}

/// Counts and bounds of a set of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub records: u64,
    pub last_seq: u64,
    pub min_at: i64,
    pub max_at: i64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { records: 0, last_seq: 0, min_at: i64::MAX, max_at: i64::MIN }
    }
}

impl Summary {
    pub(crate) fn add(&mut self, seq: u64, at: i64) {
        self.records += 1;
        self.last_seq = self.last_seq.max(seq);
        self.min_at = self.min_at.min(at);
        self.max_at = self.max_at.max(at);
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: i64,
    delta: u32,
    place: u32,
    previous_thing: u32,
    previous_tenant: u32,
    tag: u32,
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct MemIndex {
    base: u64,
    chunks: Vec<Vec<Entry>>,
    things: HashMap<u64, u32, BuildHasherDefault<Spread>>,
    tenants: HashMap<u64, (u32, TenantId), BuildHasherDefault<Spread>>,
    pub(crate) summary: Summary,
}

impl MemIndex {
    pub(crate) fn new(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len().saturating_sub(1) * CHUNK + self.chunks.last().map_or(0, Vec::len)
    }

    /// Adds the message at an offset; messages come in order.
    pub(crate) fn add(&mut self, seq: u64, offset: u32, message: &Indexed) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first chunk grows, so that a small journal stays small.
            self.chunks.push(if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        let index = self.len() as u32;
        let previous_thing = self.things.insert(thing_hash(message.tenant, message.thing), index).unwrap_or(NONE);
        let previous_tenant = self.tenants.insert(tenant_hash(message.tenant), (index, message.tenant)).map_or(NONE, |(i, _)| i);
        let outbound = if message.direction == Direction::Outbound { OUTBOUND } else { 0 };
        let delta = u32::try_from(seq.saturating_sub(self.base)).unwrap_or(u32::MAX);
        let entry = Entry { at: message.at, delta, place: offset | outbound, previous_thing, previous_tenant, tag: id_tag(message.id) };
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(entry);
        }
        self.summary.add(seq, message.at);
    }

    /// Forgets all messages from an offset on.
    pub(crate) fn truncate(&mut self, offset: u32) {
        let keep = self.entries().take_while(|e| e.place & !OUTBOUND < offset).count();
        for head in self.things.values_mut() {
            *head = back(&self.chunks, *head, keep, |e| e.previous_thing);
        }
        for (head, _) in self.tenants.values_mut() {
            *head = back(&self.chunks, *head, keep, |e| e.previous_tenant);
        }
        self.things.retain(|_, head| *head != NONE);
        self.tenants.retain(|_, (head, _)| *head != NONE);
        self.chunks.truncate(keep.div_ceil(CHUNK));
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(keep - (keep - 1) / CHUNK * CHUNK);
        }
        let mut summary = Summary::default();
        self.entries().for_each(|e| summary.add(self.base + u64::from(e.delta), e.at));
        self.summary = summary;
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flatten()
    }

    fn entry(&self, index: u32) -> Option<&Entry> {
        entry(&self.chunks, index)
    }

    fn posting(&self, e: &Entry) -> Posting {
        Posting { seq: self.base + u64::from(e.delta), offset: e.place & !OUTBOUND, outbound: e.place & OUTBOUND != 0, at: e.at }
    }

    fn head(&self, key: Key) -> u32 {
        match key {
            Key::Thing(hash) => self.things.get(&hash).copied().unwrap_or(NONE),
            Key::Tenant(hash) => self.tenants.get(&hash).map_or(NONE, |(head, _)| *head),
        }
    }

    /// The offset of a message by position.
    pub(crate) fn offset(&self, seq: u64) -> Option<u32> {
        let delta = u32::try_from(seq.checked_sub(self.base)?).ok()?;
        let chunk = self.chunks.partition_point(|c| c.last().is_some_and(|e| e.delta < delta));
        let chunk = self.chunks.get(chunk)?;
        let found = chunk.binary_search_by_key(&delta, |e| e.delta).ok()?;
        chunk.get(found).map(|e| e.place & !OUTBOUND)
    }

    /// The next messages after a position, in order.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Posting> {
        let start = self.chunks.partition_point(|c| c.last().is_some_and(|e| self.base + u64::from(e.delta) <= seq));
        let rest = self.chunks.get(start..).unwrap_or_default().iter().flatten();
        rest.map(|e| self.posting(e)).filter(|p| p.seq > seq).take(limit).collect()
    }

    /// Offsets of a key's messages that may carry this id, newest first.
    pub(crate) fn by_id(&self, tag: u32) -> Vec<u32> {
        self.entries().filter(|e| e.tag == tag).map(|e| e.place & !OUTBOUND).collect()
    }

    /// All messages in order, with their tag.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Posting, u32)> + '_ {
        self.entries().map(|e| (self.posting(e), e.tag))
    }

    /// Every thing, by ascending hash.
    pub(crate) fn things(&self) -> Vec<(u64, Chain)> {
        let mut keys: Vec<_> = self.things.iter().map(|(hash, head)| (*hash, Chain(*head, Link::Thing))).collect();
        keys.sort_unstable_by_key(|(hash, _)| *hash);
        keys
    }

    /// Every tenant, by ascending hash.
    pub(crate) fn tenants(&self) -> Vec<(u64, TenantId, Chain)> {
        let mut keys: Vec<_> = self.tenants.iter().map(|(hash, (head, tenant))| (*hash, *tenant, Chain(*head, Link::Tenant))).collect();
        keys.sort_unstable_by_key(|(hash, _, _)| *hash);
        keys
    }

    /// The messages of a chain, newest first.
    pub(crate) fn newest_first(&self, chain: Chain) -> impl Iterator<Item = Posting> + '_ {
        let link = chain.1;
        let next = move |e: &Entry| match link {
            Link::Thing => e.previous_thing,
            Link::Tenant => e.previous_tenant,
        };
        std::iter::successors(self.entry(chain.0), move |e| self.entry(next(e))).map(|e| self.posting(e))
    }
}

/// A key's messages: the newest, and which way they are linked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain(u32, Link);

#[derive(Clone, Copy, Debug)]
enum Link {
    Thing,
    Tenant,
}

fn entry(chunks: &[Vec<Entry>], index: u32) -> Option<&Entry> {
    chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
}

fn back(chunks: &[Vec<Entry>], mut head: u32, keep: usize, previous: impl Fn(&Entry) -> u32) -> u32 {
    while head as usize >= keep {
        match entry(chunks, head) {
            Some(e) => head = previous(e),
            None => return NONE,
        }
    }
    head
}

/// What the index wants to know of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    pub id: MessageId,
    pub tenant: TenantId,
    pub thing: ThingId,
    pub direction: Direction,
    pub at: i64,
}

impl From<&MessageView<'_>> for Indexed {
    fn from(m: &MessageView<'_>) -> Self {
        Self { id: m.id, tenant: m.tenant, thing: m.thing, direction: m.direction, at: m.at }
    }
}

impl From<&crate::Record> for Indexed {
    fn from(r: &crate::Record) -> Self {
        Self { id: r.id, tenant: r.tenant, thing: r.thing, direction: r.direction, at: r.at.as_microsecond() }
    }
}

/// The matching postings from the wanted end, at most `limit`, locking the index for short whiles.
pub(crate) fn postings(index: &RwLock<MemIndex>, key: Key, filter: &Filter, limit: usize) -> Vec<Posting> {
    let mut found = VecDeque::new();
    let mut cursor = index.read().head(key);
    'walk: while cursor != NONE {
        let index = index.read();
        for _ in 0..STEPS {
            let Some(entry) = index.entry(cursor) else { break 'walk };
            let posting = index.posting(entry);
            if posting.seq <= filter.after {
                break 'walk;
            }
            if filter.matches(&posting) {
                found.push_back(posting);
                if filter.newest_first && found.len() >= limit {
                    break 'walk;
                }
                if found.len() > limit {
                    found.pop_front();
                }
            }
            cursor = match key {
                Key::Thing(_) => entry.previous_thing,
                Key::Tenant(_) => entry.previous_tenant,
            };
        }
    }
    if filter.newest_first { found.into() } else { found.into_iter().rev().collect() }
}
