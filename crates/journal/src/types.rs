//! What goes into the journal and what comes out.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Clock, Direction, MessageId, PageRequest, TenantId, ThingId};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::Faults;

/// How the journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the segments; created when absent. One process at a time.
    pub dir: PathBuf,
    /// Where "now" comes from (idempotency window, expiry, retention).
    pub clock: Clock,
    /// A segment is sealed once it is this long, in bytes (64 KiB to 1 GiB).
    pub segment_bytes: u64,
    /// Bytes that may wait for the disk; once there are as many, `append` answers [`crate::JournalError::Full`].
    pub max_pending_bytes: usize,
    /// Largest payload, in bytes.
    pub max_payload: usize,
    /// Faults to inject (tests); none by default.
    pub faults: Faults,
}

impl Options {
    /// The usual sizes: segments of 64 MiB, 8 MiB waiting, payloads up to 1 MiB.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self { dir: dir.into(), clock, segment_bytes: 64 << 20, max_pending_bytes: 8 << 20, max_payload: 1 << 20, faults: Faults::none() }
    }
}

/// When a record counts as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// At once; it is written in the background. A crash of the process may lose what was not yet written.
    Memory,
    /// Handed to the operating system: survives the process, not a power cut.
    Flush,
    /// On disk (`fdatasync`).
    Sync,
}

/// A position in the log: strictly increasing, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// An inbox: a thing's (its [`ThingId`]) or the queue of a persistent MQTT session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxId(pub Uuid);

impl From<ThingId> for InboxId {
    fn from(thing: ThingId) -> Self {
        Self(thing.0)
    }
}

/// The priority of a message that names none; 9 is delivered first, 0 last.
pub const NORMAL_PRIORITY: u8 = 4;
/// The highest priority.
pub const TOP_PRIORITY: u8 = 9;

/// What tells a thing's inboxes apart: one for each priority, and the dead letters. Drawn at random once; the normal one is zero, so
/// that it bears the thing's own id.
const KINDS: [u128; 11] = [
    0x5a1f_0c93_77e2_4bd8_91c6_e03b_2a7d_4f10,
    0xc7d2_96b1_08fa_4e35_8d41_5b9e_7720_c3a6,
    0x13e8_4a7f_d5c0_4927_b6f3_0d81_94ec_28b5,
    0x8f64_b2d0_3e19_4c7a_a052_c96f_e1b8_7d43,
    0,
    0x2cb9_71e5_af46_4813_9e7d_38c0_56f2_b1ea,
    0xe403_5d8c_62b7_4fa1_87d9_14ae_c05b_936e,
    0x760a_c81d_f493_4e52_b3c8_7f25_0d9e_61b4,
    0x99b5_270e_1c6d_4a83_a4ef_d210_8b37_f5c9,
    0x4ed7_e36a_905b_41cc_8a1e_6b94_f308_2d57,
    0xb12c_094f_ebd8_4376_9530_a7e1_1f6c_8e02,
];

impl InboxId {
    /// A thing's inbox for messages of this priority (0 to 9; more counts as 9).
    #[must_use]
    pub fn of(thing: ThingId, priority: u8) -> Self {
        Self(thing.0).kind(usize::from(priority.min(TOP_PRIORITY)))
    }

    /// What could not be delivered to a thing and waits for somebody to decide.
    #[must_use]
    pub fn dead_letters(thing: ThingId) -> Self {
        Self(thing.0).kind(usize::from(TOP_PRIORITY) + 1)
    }

    /// A thing's inboxes from the highest priority to the lowest.
    pub fn levels_of(thing: ThingId) -> impl Iterator<Item = Self> {
        (0..=TOP_PRIORITY).rev().map(move |priority| Self::of(thing, priority))
    }

    /// All of a thing's inboxes, the dead letters included.
    pub(crate) fn all_of(thing: ThingId) -> impl Iterator<Item = Self> {
        (0..KINDS.len()).map(move |kind| Self(thing.0).kind(kind))
    }

    fn kind(self, kind: usize) -> Self {
        Self(Uuid::from_u128(self.0.as_u128() ^ KINDS.get(kind).copied().unwrap_or(0)))
    }
}

/// A message to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id.
    pub id: MessageId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing it comes from or goes to; nil when none.
    pub thing: ThingId,
    /// Which way.
    pub direction: Direction,
    /// When the gateway took it. Order is by [`Seq`]; this is what time filters look at.
    pub at: Timestamp,
    /// Topic, UTF-8, at most 65,535 bytes.
    pub topic: Bytes,
    /// Payload, at most [`Options::max_payload`] bytes.
    pub payload: Bytes,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// MQTT quality of service, 0 to 2.
    pub qos: u8,
    /// MQTT retain: replaces the retained message of its tenant and topic; an empty payload clears it.
    pub retain: bool,
    /// Opaque to the journal (MQTT 5 properties), at most 65,535 bytes.
    pub properties: Bytes,
    /// Inboxes it is put into once durable, at most 65,535.
    pub inboxes: SmallVec<[InboxId; 2]>,
    /// Already hashed over tenant, thing and the client's key. The same key within 24 hours is a duplicate.
    pub idempotency: Option<[u8; 16]>,
}

/// A stored message; handed out as `Arc<Record>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position in the log.
    pub seq: Seq,
    /// Its id.
    pub id: MessageId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing it comes from or goes to; nil when none.
    pub thing: ThingId,
    /// Which way.
    pub direction: Direction,
    /// When the gateway took it.
    pub at: Timestamp,
    /// Topic, UTF-8.
    pub topic: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// When it is no longer worth delivering.
    pub expires: Option<Timestamp>,
    /// MQTT quality of service.
    pub qos: u8,
    /// MQTT retain flag.
    pub retain: bool,
    /// MQTT 5 properties as they were handed in.
    pub properties: Bytes,
    /// The inboxes it was put into.
    pub inboxes: SmallVec<[InboxId; 2]>,
}

impl Record {
    /// The topic as text; empty when it is not UTF-8.
    #[must_use]
    pub fn topic_str(&self) -> &str {
        std::str::from_utf8(&self.topic).unwrap_or_default()
    }

    /// The priority it was sent with, when it is in an inbox of its thing.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        (0..=TOP_PRIORITY).rev().find(|priority| self.inboxes.contains(&InboxId::of(self.thing, *priority)))
    }

    /// Whether its time has run out.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// What `append` answers.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The record's position; of the first one when this is a duplicate, so that `durable` waits for that one.
    pub seq: Seq,
    /// The first message with the same idempotency key; then nothing was written.
    pub duplicate_of: Option<MessageId>,
    /// The record as it will be read back, not yet durable; none for a duplicate.
    pub record: Option<Arc<Record>>,
}

/// What part of the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose.
    pub tenant: TenantId,
    /// One thing's; none for the whole tenant's.
    pub thing: Option<ThingId>,
    /// Not before, inclusive.
    pub from: Option<Timestamp>,
    /// Not after, inclusive.
    pub to: Option<Timestamp>,
    /// Only one direction.
    pub direction: Option<Direction>,
    /// Newest first; else oldest first.
    pub newest_first: bool,
    /// Which page; the cursor is an opaque text of a [`Seq`].
    pub page: PageRequest,
}

/// What one step of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Segments removed whole.
    pub dropped_segments: usize,
    /// Segments rewritten without their dead records, or merged.
    pub rewritten_segments: usize,
    /// Bytes given back.
    pub freed_bytes: u64,
    /// Another step would find more to do.
    pub more: bool,
}

/// Figures of the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all segments on disk (without indexes).
    pub bytes: u64,
    /// Segments, the active one included.
    pub segments: usize,
    /// Messages stored and not yet cleared away.
    pub records: u64,
    /// Bytes waiting for the disk.
    pub pending_bytes: usize,
    /// `fdatasync` calls since open.
    pub syncs: u64,
    /// Batches written since open.
    pub batches: u64,
    /// The newest record that is accepted.
    pub last_durable: Seq,
    /// Inboxes with something in them.
    pub inboxes: usize,
    /// Entries pending in all inboxes.
    pub inbox_entries: usize,
    /// Retained messages.
    pub retained: usize,
    /// Remembered idempotency keys.
    pub idempotency_keys: usize,
    /// Deletions not yet applied to the files.
    pub tombstones: usize,
    /// Damaged records met by reads since open.
    pub damaged: u64,
    /// False while the disk refuses writes.
    pub healthy: bool,
}
