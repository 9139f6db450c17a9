//! What appenders, readers, the committer and maintenance share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use model::TenantId;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use crate::checkpoint::SealedSegment;
use crate::codec::{Control, MARK};
use crate::live::Live;
use crate::segment::Segment;
use crate::state::{Keys, Remembered, State};
use crate::waiters::Waiters;
use crate::{InboxId, JournalError, Options, Record};

/// Bytes of recent inbox records kept for delivery.
const RECENT_BYTES: usize = 4 << 20;
/// Recent inbox records kept for delivery.
const RECENT: usize = 16_384;

/// Segments in order; the last is the active one.
pub(crate) type SegmentList = Arc<Vec<Arc<Segment>>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub options: Options,
    pub pending: Mutex<Pending>,
    /// Wakes the committer.
    pub work: Condvar,
    /// Bytes pending and in flight.
    pub waiting: AtomicUsize,
    /// Notified when `waiting` falls below its bound.
    pub room: Notify,
    pub waiters: Waiters,
    pub segments: RwLock<SegmentList>,
    pub state: Mutex<State>,
    pub keys: Mutex<Keys>,
    pub watches: Mutex<HashMap<InboxId, Arc<Notify>>>,
    pub live: Arc<Live>,
    pub recent: Mutex<Recent>,
    pub policy: RwLock<Policy>,
    pub health: Mutex<Option<JournalError>>,
    pub healthy: AtomicBool,
    pub closed: AtomicBool,
    pub syncs: AtomicU64,
    pub batches: AtomicU64,
    pub damaged: AtomicU64,
    /// One at a time: retention, snapshot, delete.
    pub maintenance: tokio::sync::Mutex<()>,
    /// The number of the last checkpoint on disk, and the segment where the one before it starts.
    pub checkpoints: Mutex<Checkpoints>,
    /// One at a time: the keeper and retention may find the same segment without its index.
    pub sealing: Mutex<()>,
    /// Held until the threads have stopped.
    pub lock: Mutex<Option<File>>,
}

/// Which checkpoints are on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoints {
    pub last: u64,
    pub last_segment: u64,
    pub previous_segment: u64,
    /// Which deletion retention looks at next.
    pub turn: usize,
}

impl Shared {
    pub(crate) fn segments(&self) -> SegmentList {
        self.segments.read().clone()
    }

    /// The sealed segments as a checkpoint remembers them.
    pub(crate) fn sealed(&self) -> Vec<SealedSegment> {
        let list = self.segments();
        let sealed = list.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let dead = |s: &Segment| s.dead.load(std::sync::atomic::Ordering::Relaxed);
        sealed.iter().map(|s| SealedSegment { header: s.header, end: s.end(), summary: s.summary(), dead: dead(s) }).collect()
    }

    pub(crate) fn now(&self) -> i64 {
        self.options.clock.micros()
    }

    /// Hands the committer something to do besides writing.
    pub(crate) fn command(&self, command: Command) -> Result<(), JournalError> {
        let mut pending = self.pending.lock();
        if pending.stop {
            return Err(JournalError::Closed);
        }
        pending.commands.push(command);
        drop(pending);
        self.work.notify_one();
        Ok(())
    }
}

/// What waits for the next batch.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub batch: Batch,
    pub next_seq: u64,
    /// Keys of messages not yet stored, in flight ones included.
    pub keys: HashMap<[u8; 16], Remembered>,
    /// Runs of records (first → last) that count as accepted already.
    pub memory: BTreeMap<u64, u64>,
    pub commands: Vec<Command>,
    /// The committer shall finish.
    pub stop: bool,
}

impl Pending {
    /// A position for the next record.
    pub(crate) fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// The record counts as accepted at once.
    pub(crate) fn accept(&mut self, seq: u64) {
        match self.memory.last_entry() {
            Some(mut run) if *run.get() + 1 == seq => *run.get_mut() = seq,
            _ => _ = self.memory.insert(seq, seq),
        }
    }

    pub(crate) fn accepted(&self, seq: u64) -> bool {
        self.memory.range(..=seq).next_back().is_some_and(|(_, last)| *last >= seq)
    }
}

/// Records on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Frames, after room for the mark.
    pub buffer: Vec<u8>,
    pub entries: Vec<Entry>,
    pub first: u64,
    pub last: u64,
    /// Some record wants `fdatasync`.
    pub sync: bool,
    /// Some record is waited for; else it may ride with the next one.
    pub urgent: bool,
}

impl Batch {
    /// Makes room for the mark of a new batch, and notes the position.
    pub(crate) fn begin(&mut self, seq: u64) {
        if self.entries.is_empty() {
            self.buffer.resize(MARK, 0);
            self.first = seq;
        }
        self.last = seq;
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        // One large batch shall not hold its memory for good.
        self.buffer.shrink_to(1 << 20);
        self.entries.clear();
        self.entries.shrink_to(4096);
        (self.sync, self.urgent) = (false, false);
    }
}

/// One record of a batch.
#[derive(Debug)]
pub(crate) enum Entry {
    Message { record: Arc<Record>, offset: usize, key: Option<[u8; 16]> },
    Control { seq: u64, control: Control },
}

/// What the committer is asked to do between two batches.
#[derive(Debug)]
pub(crate) enum Command {
    /// Sync, and tell a position with everything that leads to it.
    Cut(oneshot::Sender<Result<Cut, JournalError>>),
    /// Seal the active segment.
    Rotate(oneshot::Sender<Result<(), JournalError>>),
}

/// A consistent view of the log.
#[derive(Debug)]
pub(crate) struct Cut {
    pub segments: SegmentList,
    /// Bytes of the active segment that belong to it.
    pub end: u64,
    pub number: u64,
    pub checkpoint: Vec<u8>,
}

/// How long messages are kept, as last told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub keep: HashMap<TenantId, i64>,
    pub default: Option<i64>,
}

impl Policy {
    /// Messages of the tenant before this time are gone.
    pub(crate) fn cutoff(&self, tenant: TenantId, now: i64) -> i64 {
        self.keep.get(&tenant).copied().or(self.default).map_or(i64::MIN, |keep| now.saturating_sub(keep))
    }

    /// Messages before this time are gone whoever's they are.
    pub(crate) fn longest(&self, now: i64) -> i64 {
        self.keep.values().copied().chain(self.default).max().map_or(i64::MIN, |keep| now.saturating_sub(keep))
    }
}

/// Recent records with inboxes, so that delivery right after the append does not read the disk.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn add(&mut self, record: &Arc<Record>) {
        self.bytes += size(record);
        self.records.push_back(record.clone());
        while self.bytes > RECENT_BYTES || self.records.len() > RECENT {
            let Some(old) = self.records.pop_front() else { break };
            self.bytes -= size(&old);
        }
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Arc<Record>> {
        let at = self.records.binary_search_by_key(&seq, |r| r.seq.0).ok()?;
        self.records.get(at).cloned()
    }
}

fn size(record: &Record) -> usize {
    256 + record.payload.len() + record.topic.len() + record.properties.len()
}
