//! The committer: one thread that writes what has gathered, syncs once for all of it, and tells everybody.
//!
//! A batch is whatever arrived while the last one was on its way; nobody is delayed to fill it. A batch that cannot
//! be written or synced is not stored at all: the file is cut back, its waiters get the error. After a failed sync the
//! file is not trusted any more: the log goes on in a new segment, and what was accepted without a sync moves there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use model::Direction;
use parking_lot::RwLock;

use crate::checkpoint::{self, Position};
use crate::codec::{Control, KIND_MESSAGE, MARK, MessageView, put_control};
use crate::disk::{self, DiskFile};
use crate::keeper::Job;
use crate::memindex::{Indexed, MemIndex};
use crate::segment::{HEADER, Segment, SegmentHeader, log_path, walk};
use crate::shared::{Batch, Command, Cut, Entry, Shared};
use crate::state::{Effect, Remembered};
use crate::{InboxId, JournalError, Seq};

/// Records nobody waits for are written this late at most.
const LAZY: Duration = Duration::from_millis(50);
/// Written bytes are synced this late at most, asked for or not.
const SYNC_LATEST: Duration = Duration::from_secs(1);
/// How often an unhealthy journal tries the disk.
const PROBE: Duration = Duration::from_millis(100);
/// Zeros are written ahead in steps of at most this, so that a sync need not record a longer file each time.
const AHEAD: u64 = 1 << 20;
/// At close a longer active segment is sealed, so that the next start need not read it.
const SEAL_AT_CLOSE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    keeper: Sender<Job>,
    active: Arc<Segment>,
    file: Arc<DiskFile>,
    index: Arc<RwLock<MemIndex>>,
    /// Bytes that count.
    end: u64,
    /// Bytes known to be on disk.
    synced: u64,
    /// Bytes the file has, zeros ahead included.
    prepared: u64,
    /// The file refused to be cut or synced: a new one is due.
    broken: bool,
    dirty_since: Option<Instant>,
    next_id: u64,
    checkpoint: u64,
    batch: Batch,
}

enum Work {
    Batch,
    Idle,
    Stop,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, keeper: Sender<Job>, next_id: u64, checkpoint: u64) -> Result<Self, JournalError> {
        let active = shared.segments().last().cloned().ok_or(JournalError::Closed)?;
        let (file, index) = (active.file()?, active.memory().ok_or(JournalError::Closed)?);
        let end = active.end();
        Ok(Self {
            shared,
            keeper,
            file,
            index,
            active,
            end,
            synced: end,
            prepared: end,
            broken: false,
            dirty_since: None,
            next_id,
            checkpoint,
            batch: Batch::default(),
        })
    }

    /// Runs until the journal is closed.
    pub(crate) fn run(mut self) {
        let bell = Bell(self.shared.clone());
        loop {
            let (work, commands) = self.wait();
            if !self.batch.entries.is_empty() {
                self.commit();
            } else if matches!(work, Work::Idle) {
                self.idle();
            }
            for command in commands {
                self.command(command);
            }
            if matches!(work, Work::Stop) {
                self.finish();
                break;
            }
        }
        drop(bell);
    }

    fn wait(&mut self) -> (Work, Vec<Command>) {
        let shared = self.shared.clone();
        let mut pending = shared.pending.lock();
        let mut work = Work::Batch;
        while !(pending.stop || pending.batch.urgent || !pending.commands.is_empty()) {
            let patience = if !pending.batch.entries.is_empty() {
                Some(LAZY)
            } else if !shared.healthy.load(Ordering::Acquire) {
                Some(PROBE)
            } else {
                self.dirty_since.map(|since| SYNC_LATEST.saturating_sub(since.elapsed()))
            };
            match patience {
                None => shared.work.wait(&mut pending),
                Some(patience) => {
                    if shared.work.wait_for(&mut pending, patience).timed_out() {
                        work = Work::Idle;
                        break;
                    }
                }
            }
        }
        if pending.stop {
            work = Work::Stop;
        }
        std::mem::swap(&mut pending.batch, &mut self.batch);
        (work, std::mem::take(&mut pending.commands))
    }

    fn commit(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let bytes = batch.buffer.len();
        let outcome = self.store(&mut batch);
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        // The bytes are gone before anybody hears of it.
        let before = self.shared.waiting.fetch_sub(bytes - MARK, Ordering::AcqRel);
        if before >= self.shared.options.max_pending_bytes {
            self.shared.room.notify_waiters();
        }
        match outcome {
            Ok(start) => self.publish(&batch, start),
            Err(error) => self.fail(&batch, &error),
        }
        batch.clear();
        self.batch = batch;
    }

    /// Writes a batch and syncs it when asked to; answers where it lies. On an error nothing of it is left.
    fn store(&mut self, batch: &mut Batch) -> Result<u64, JournalError> {
        let outcome = self.try_store(batch);
        let was_healthy = self.shared.healthy.load(Ordering::Acquire);
        match &outcome {
            Ok(_) if !was_healthy => {
                *self.shared.health.lock() = None;
                self.shared.healthy.store(true, Ordering::Release);
                tracing::info!("the journal can write again");
            }
            Err(error) => {
                if was_healthy {
                    tracing::error!(%error, "the journal cannot write");
                }
                *self.shared.health.lock() = Some(error.clone());
                self.shared.healthy.store(false, Ordering::Release);
            }
            Ok(_) => {}
        }
        outcome
    }

    fn try_store(&mut self, batch: &mut Batch) -> Result<u64, JournalError> {
        let length = batch.buffer.len() as u64;
        let segment_full = self.end > HEADER && self.end + length > self.shared.options.segment_bytes;
        let range_full = batch.last.saturating_sub(self.active.header.base) > 1 << 31;
        if self.broken || segment_full || range_full {
            self.rotate(batch.first)?;
        }
        let start = self.end;
        let mut mark = Vec::with_capacity(MARK);
        put_control(&mut mark, batch.first, &Control::Mark { synced: self.synced });
        if let Some(place) = batch.buffer.get_mut(..MARK) {
            place.copy_from_slice(&mark);
        }
        if let Err(error) = self.write(&mut batch.buffer, start) {
            self.cut_back(start);
            return Err(error);
        }
        self.end = start + length;
        let overdue = self.dirty_since.is_some_and(|since| since.elapsed() > SYNC_LATEST);
        if batch.sync || overdue {
            if let Err(error) = self.sync() {
                self.cut_back(start);
                return Err(error);
            }
        } else if self.dirty_since.is_none() {
            self.dirty_since = Some(Instant::now());
        }
        Ok(start)
    }

    /// Writes the frames, and zeros after them when the zeros ahead are used up.
    fn write(&mut self, buffer: &mut Vec<u8>, start: u64) -> Result<(), JournalError> {
        let length = buffer.len();
        let end = start + length as u64;
        if end <= self.prepared {
            return self.file.write_at(buffer, start);
        }
        let step = (end / 2).clamp(64 << 10, AHEAD);
        let ahead = (end + step).min(self.shared.options.segment_bytes.max(end));
        buffer.resize((ahead - start) as usize, 0);
        let written = self.file.write_at(buffer, start);
        buffer.truncate(length);
        match written {
            Ok(()) => self.prepared = ahead,
            Err(JournalError::DiskFull) if ahead > end => {
                // The zeros are a luxury; the records may still fit.
                self.file.write_at(buffer, start)?;
                self.file.set_len(end)?;
                self.prepared = end;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let outcome = self.file.sync();
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        match &outcome {
            Ok(()) => (self.synced, self.dirty_since) = (self.end, None),
            // The system may have dropped the pages: asking again would lie.
            Err(_) => self.broken = true,
        }
        outcome
    }

    fn cut_back(&mut self, to: u64) {
        self.end = to;
        self.prepared = to;
        if self.file.set_len(to).is_err() {
            self.broken = true;
        }
    }

    /// Seals the active segment and goes on in a new one, whose records start at `base`.
    fn rotate(&mut self, base: u64) -> Result<(), JournalError> {
        if !self.broken && self.synced < self.end {
            // A failure breaks the segment; what is not on disk moves over then.
            let _ = self.sync();
        }
        let _ = self.file.set_len(self.end);
        self.prepared = self.end;
        let carried = if self.broken { self.file.read_exact(self.synced, (self.end - self.synced) as usize)? } else { Vec::new() };
        let mut header = SegmentHeader {
            id: self.next_id,
            generation: 0,
            base,
            covers: self.next_id,
            previous_end: if self.broken { self.synced } else { self.end },
            previous_synced: self.synced,
            previous_gap: u32::try_from(self.next_id - self.active.header.id).unwrap_or(0),
        };
        if let crate::codec::Parsed::Frame(first) = crate::codec::parse(&carried) {
            header.base = first.seq;
        }
        let path = log_path(&self.shared.options.dir, self.next_id);
        // A name is used once, whatever becomes of the file.
        self.next_id += 1;
        let (file, index) = match begin(&path, &header, &carried, &self.shared) {
            Ok(begun) => begun,
            Err(error) => {
                let _ = disk::remove(&path, &self.shared.options.faults);
                return Err(error);
            }
        };
        let end = HEADER + carried.len() as u64;
        let segment = Arc::new(Segment::in_memory(header, file.clone(), end, index));
        let index = segment.memory().ok_or(JournalError::Closed)?;
        {
            let mut list = self.shared.segments.write();
            let mut longer = list.to_vec();
            longer.push(segment.clone());
            *list = Arc::new(longer);
        }
        if self.broken {
            self.active.set_end(self.synced);
            self.index.write().truncate(self.synced as u32);
            let _ = self.file.set_len(self.synced);
        }
        let old = std::mem::replace(&mut self.active, segment);
        (self.file, self.index) = (file, index);
        (self.end, self.synced, self.prepared) = (end, end, end);
        (self.broken, self.dirty_since) = (false, None);
        let _ = self.keeper.send(Job::Seal(old));
        let cut = self.cut();
        let _ = self.keeper.send(Job::Checkpoint { number: cut.number, segment: self.active.header.id, bytes: cut.checkpoint });
        Ok(())
    }

    /// The state as of the end of the log.
    fn cut(&mut self) -> Cut {
        self.checkpoint += 1;
        let number = self.checkpoint;
        let next_seq = self.shared.pending.lock().next_seq;
        let sealed = self.shared.sealed();
        let dead = self.active.dead.load(Ordering::Relaxed);
        let position = Position { number, segment: self.active.header.id, offset: self.end, next_seq, dead };
        let (state, keys) = (self.shared.state.lock(), self.shared.keys.lock());
        let checkpoint = checkpoint::encode(position, &state, &keys, &self.shared.policy.read(), &sealed);
        Cut { segments: self.shared.segments(), end: self.end, number, checkpoint }
    }

    /// Tells everybody about stored records: index and inboxes first, then those who wait.
    fn publish(&self, batch: &Batch, start: u64) {
        let shared = &self.shared;
        self.active.set_end(self.end);
        {
            let mut index = self.index.write();
            for entry in &batch.entries {
                if let Entry::Message { record, offset, .. } = entry {
                    index.add(record.seq.0, (start + *offset as u64) as u32, &Indexed::from(&**record));
                }
            }
        }
        let mut keyed = Vec::new();
        let mut filled = HashSet::new();
        let idle = shared.live.is_idle();
        {
            let mut state = shared.state.lock();
            for entry in &batch.entries {
                match entry {
                    Entry::Message { record, key, .. } => {
                        if !record.inboxes.is_empty() || record.retain {
                            state.message(Effect::from(&**record), record.inboxes.iter().copied());
                            filled.extend(record.inboxes.iter().copied());
                            if record.direction == Direction::Outbound {
                                // Whoever watches the thing's inbox hears of every priority.
                                filled.insert(record.thing.into());
                            }
                        }
                        if let Some(key) = key {
                            keyed.push((*key, Remembered { id: record.id, seq: record.seq.0, at: record.at.as_microsecond() }));
                        }
                    }
                    Entry::Control { seq, control } => state.control(*seq, control),
                }
            }
        }
        if !filled.is_empty() || !idle {
            let mut recent = shared.recent.lock();
            for entry in &batch.entries {
                if let Entry::Message { record, .. } = entry {
                    if !record.inboxes.is_empty() {
                        recent.add(record);
                    }
                    if !idle {
                        shared.live.publish(record);
                    }
                }
            }
        }
        if !keyed.is_empty() {
            // First remembered, then no longer pending: an appender looks in the other order.
            let now = shared.now();
            let mut keys = shared.keys.lock();
            keyed.iter().for_each(|(key, remembered)| keys.add(*key, *remembered, now));
        }
        self.forget_pending(batch);
        shared.waiters.store(batch.last);
        self.ring(&filled);
    }

    fn ring(&self, filled: &HashSet<InboxId>) {
        if filled.is_empty() {
            return;
        }
        let watches = self.shared.watches.lock();
        if watches.is_empty() {
            return;
        }
        for watch in filled.iter().filter_map(|inbox| watches.get(inbox)) {
            // Everyone who waits now, and the one who is about to.
            watch.notify_waiters();
            watch.notify_one();
        }
    }

    fn forget_pending(&self, batch: &Batch) {
        let mut pending = self.shared.pending.lock();
        if !pending.keys.is_empty() {
            for entry in &batch.entries {
                if let Entry::Message { key: Some(key), .. } = entry {
                    pending.keys.remove(key);
                }
            }
        }
        while let Some(run) = pending.memory.first_entry() {
            let (first, last) = (*run.key(), *run.get());
            if first > batch.last {
                break;
            }
            run.remove();
            if last > batch.last {
                pending.memory.insert(batch.last + 1, last);
            }
        }
    }

    fn fail(&self, batch: &Batch, error: &JournalError) {
        self.forget_pending(batch);
        self.shared.waiters.fail(batch.first, batch.last, error);
    }

    /// Nothing to write: an overdue sync, or a look whether the disk works again.
    fn idle(&mut self) {
        if !self.shared.healthy.load(Ordering::Acquire) {
            let next = self.shared.waiters.resolved() + 1;
            let mut probe = Batch { buffer: vec![0; MARK], first: next, last: next, sync: true, ..Batch::default() };
            if self.store(&mut probe).is_ok() {
                self.active.set_end(self.end);
            }
        } else if self.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_LATEST)
            && let Err(error) = self.sync()
        {
            tracing::error!(%error, "a background sync failed");
            let next = self.shared.waiters.resolved() + 1;
            if let Err(error) = self.rotate(next) {
                *self.shared.health.lock() = Some(error);
                self.shared.healthy.store(false, Ordering::Release);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Cut(reply) => {
                let synced = if self.broken { Err(JournalError::Closed) } else { self.sync() };
                let _ = reply.send(synced.map(|()| self.cut()));
            }
            Command::Rotate(reply) => {
                let next = self.shared.waiters.resolved() + 1;
                let outcome = if self.end > HEADER { self.rotate(next) } else { Ok(()) };
                let _ = reply.send(outcome);
            }
        }
    }

    fn finish(&mut self) {
        if self.dirty_since.is_some() && self.sync().is_err() {
            let next = self.shared.waiters.resolved() + 1;
            let _ = self.rotate(next);
        }
        if self.index.read().len() >= SEAL_AT_CLOSE {
            let next = self.shared.waiters.resolved() + 1;
            let _ = self.rotate(next);
        }
        if !self.broken {
            let _ = self.file.set_len(self.end);
            let cut = self.cut();
            let _ = self.keeper.send(Job::Checkpoint { number: cut.number, segment: self.active.header.id, bytes: cut.checkpoint });
        }
    }
}

/// Creates a segment file that holds the carried frames already.
fn begin(
    path: &std::path::Path,
    header: &SegmentHeader,
    carried: &[u8],
    shared: &Shared,
) -> Result<(Arc<DiskFile>, MemIndex), JournalError> {
    let file = Arc::new(DiskFile::create(path, &shared.options.faults)?);
    let mut bytes = header.bytes();
    bytes.extend_from_slice(carried);
    file.write_at(&bytes, 0)?;
    file.sync()?;
    disk::sync_dir(&shared.options.dir, &shared.options.faults)?;
    let mut index = MemIndex::new(header.base);
    walk(&file, HEADER, bytes.len() as u64, |offset, frame| {
        if frame.kind == KIND_MESSAGE
            && let Some(message) = MessageView::read(frame.body)
        {
            index.add(frame.seq, offset as u32, &Indexed::from(&message));
        }
        Ok(())
    })?;
    Ok((file, index))
}

/// Whatever ends the committer, nobody waits for it in vain.
struct Bell(Arc<Shared>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        let mut pending = self.0.pending.lock();
        pending.stop = true;
        pending.commands.clear();
        drop(pending);
        self.0.waiters.close();
        self.0.live.close();
        self.0.room.notify_waiters();
    }
}

/// The newest stored position, for figures.
pub(crate) fn newest(shared: &Shared) -> Seq {
    Seq(shared.waiters.stored())
}
