//! Opening: the last checkpoint, then the tail of the log.
//!
//! A torn tail is cut: what follows the last sound record was never confirmed as being on disk. A damaged record
//! before that point is an error, never skipped: every batch states how much was on disk when it was written.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::Notify;

use crate::checkpoint::{self, Checkpoint, SealedSegment};
use crate::codec::{Control, Frame, KIND_MESSAGE, MessageView, Tomb, read_control};
use crate::disk::{self, DiskFile};
use crate::live::Live;
use crate::memindex::{Indexed, MemIndex, Summary};
use crate::segment::{HEADER, Segment, SegmentHeader, Stop, greatest_mark, log_path, next_sound, walk};
use crate::shared::{Checkpoints, Pending, Recent, Shared};
use crate::state::{Effect, Remembered};
use crate::waiters::Waiters;
use crate::{JournalError, Options};

/// Positions skipped at each start, so that one handed out and lost with the page cache is not used again.
const LEAP: u64 = 1 << 22;

/// What opening found.
pub(crate) struct Opened {
    pub shared: Shared,
    pub next_id: u64,
    /// Deletions younger than the checkpoint: inboxes are to be cleared of what they hit.
    pub tombs: Vec<Tomb>,
}

struct Recovery {
    checkpoint: Checkpoint,
    newest: u64,
    tombs: Vec<Tomb>,
}

struct Found {
    id: u64,
    length: u64,
    /// From the checkpoint, when the file still has the length it had then.
    known: Option<SealedSegment>,
    header: SegmentHeader,
}

/// Opens the directory; creates it when absent.
pub(crate) fn open(options: Options) -> Result<Opened, JournalError> {
    let range = 64 << 10..=1 << 30;
    if !range.contains(&options.segment_bytes) {
        return Err(JournalError::Invalid { field: "segment_bytes", reason: "not between 64 KiB and 1 GiB".into() });
    }
    if options.max_pending_bytes > 512 << 20 {
        return Err(JournalError::Invalid { field: "max_pending_bytes", reason: "more than 512 MiB".into() });
    }
    if options.max_payload > 256 << 20 {
        return Err(JournalError::Invalid { field: "max_payload", reason: "more than 256 MiB".into() });
    }
    let dir = options.dir.clone();
    fs::create_dir_all(&dir).map_err(|e| JournalError::io("create", &dir, &e))?;
    let lock = lock(&dir)?;
    let checkpoint = checkpoint::load(&dir, &options.faults).unwrap_or_default();
    let number = checkpoint.number;
    let mut checkpoints = Checkpoints { last: number, last_segment: checkpoint.segment, ..Checkpoints::default() };
    let mut recovery = Recovery { newest: checkpoint.next_seq.saturating_sub(1), checkpoint, tombs: Vec::new() };
    let found = find_segments(&options, &recovery.checkpoint)?;
    let known_ids = recovery.checkpoint.sealed.iter().map(|s| s.header.id);
    let next_id = found.iter().map(|f| f.id).chain(known_ids).max().unwrap_or(0) + 1;
    let mut segments = Vec::with_capacity(found.len() + 1);
    for (at, segment) in found.iter().enumerate() {
        let opened = match found.get(at + 1) {
            Some(next) => recovery.sealed(segment, &next.header, &options)?,
            None => recovery.active(segment, &options)?,
        };
        if segment.id == recovery.checkpoint.segment {
            opened.dead.store(recovery.checkpoint.dead, Ordering::Relaxed);
        }
        segments.push(Arc::new(opened));
    }
    let mut next_id = next_id;
    if segments.is_empty() {
        if recovery.checkpoint.number > 0 {
            tracing::error!(dir = %dir.display(), "the journal has a checkpoint but no segments");
        }
        segments.push(Arc::new(first_segment(&options, next_id, recovery.newest + 1)?));
        next_id += 1;
    }
    if let Some(active) = segments.last()
        && recovery.checkpoint.number == 0
    {
        checkpoints.last_segment = active.header.id;
    }
    let Recovery { checkpoint, newest, tombs } = recovery;
    // A fresh log starts at 1.
    let next_seq = if newest == 0 { 1 } else { newest + LEAP };
    let shared = Shared {
        pending: Mutex::new(Pending { next_seq, ..Pending::default() }),
        work: Condvar::new(),
        waiting: AtomicUsize::new(0),
        room: Notify::new(),
        waiters: Waiters::new(next_seq - 1, newest),
        segments: RwLock::new(Arc::new(segments)),
        state: Mutex::new(checkpoint.state),
        keys: Mutex::new(checkpoint.keys),
        watches: Mutex::default(),
        live: Arc::new(Live::default()),
        recent: Mutex::new(Recent::default()),
        policy: RwLock::new(checkpoint.policy),
        health: Mutex::new(None),
        healthy: AtomicBool::new(true),
        closed: AtomicBool::new(false),
        syncs: AtomicU64::new(0),
        batches: AtomicU64::new(0),
        damaged: AtomicU64::new(0),
        maintenance: tokio::sync::Mutex::new(()),
        checkpoints: Mutex::new(checkpoints),
        sealing: Mutex::default(),
        lock: Mutex::new(Some(lock)),
        options,
    };
    Ok(Opened { shared, next_id, tombs })
}

/// Takes the directory for this process.
pub(crate) fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| JournalError::io("open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { dir: dir.display().to_string() }),
        Err(TryLockError::Error(e)) => Err(JournalError::io("lock", &path, &e)),
    }
}

/// The ids of the segment files, in order; unfinished files are removed when asked to.
pub(crate) fn segment_ids(dir: &Path, clean: bool, options: &Options) -> Result<Vec<u64>, JournalError> {
    let mut ids = Vec::new();
    let entries = fs::read_dir(dir).map_err(|e| JournalError::io("list", dir, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| JournalError::io("list", dir, &e))?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("log") => ids.extend(path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok())),
            Some("tmp") if clean => disk::remove(&path, &options.faults)?,
            _ => {}
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn find_segments(options: &Options, checkpoint: &Checkpoint) -> Result<Vec<Found>, JournalError> {
    let dir = &options.dir;
    let ids = segment_ids(dir, true, options)?;
    let table: HashMap<u64, SealedSegment> = checkpoint.sealed.iter().map(|s| (s.header.id, *s)).collect();
    let present: HashSet<u64> = ids.iter().copied().collect();
    for missing in checkpoint.sealed.iter().filter(|s| !present.contains(&s.header.id)) {
        tracing::warn!(segment = missing.header.id, "a segment is gone since the last checkpoint");
    }
    let mut found: Vec<Found> = Vec::with_capacity(ids.len());
    let last = ids.last().copied();
    for id in ids {
        let path = log_path(dir, id);
        if found.last().is_some_and(|previous| previous.header.covers >= id) {
            // Merged into the one before; the merge was interrupted before the old file was removed.
            disk::remove(&path, &options.faults)?;
            disk::remove(&path.with_extension("idx"), &options.faults)?;
            continue;
        }
        let length = fs::metadata(&path).map_err(|e| JournalError::io("stat", &path, &e))?.len();
        let known = table.get(&id).copied().filter(|s| s.end == length && Some(id) != last);
        let header = match known {
            Some(known) => known.header,
            None => {
                let file = DiskFile::open(&path, false, &options.faults)?;
                let bytes = file.read_exact(0, HEADER.min(length) as usize)?;
                match SegmentHeader::read(&bytes) {
                    Some(header) if header.id == id => header,
                    // Never finished: a segment counts once its header is on disk.
                    None if Some(id) == last && bytes.iter().all(|b| *b == 0) => {
                        disk::remove(&path, &options.faults)?;
                        continue;
                    }
                    _ => return Err(JournalError::corrupt(&path, 0, "bad segment header")),
                }
            }
        };
        found.push(Found { id, length, known, header });
    }
    Ok(found)
}

fn first_segment(options: &Options, id: u64, base: u64) -> Result<Segment, JournalError> {
    let header = SegmentHeader { id, generation: 0, base, covers: id, previous_end: 0, previous_synced: 0, previous_gap: 0 };
    let path = log_path(&options.dir, id);
    let file = Arc::new(DiskFile::create(&path, &options.faults)?);
    file.write_at(&header.bytes(), 0)?;
    file.sync()?;
    disk::sync_dir(&options.dir, &options.faults)?;
    Ok(Segment::in_memory(header, file, HEADER, MemIndex::new(base)))
}

impl Recovery {
    /// Where replaying starts in a segment; none when the checkpoint has all of it.
    fn replay_from(&self, id: u64) -> Option<u64> {
        match id.cmp(&self.checkpoint.segment) {
            Less => None,
            Equal => Some(self.checkpoint.offset.max(HEADER)),
            Greater => Some(HEADER),
        }
    }

    fn sealed(&mut self, found: &Found, next: &SegmentHeader, options: &Options) -> Result<Segment, JournalError> {
        let path = log_path(&options.dir, found.id);
        let replay = self.replay_from(found.id);
        if let (Some(known), None) = (found.known, replay) {
            return Ok(Segment::sealed(known.header, path, known.end, known.summary, known.dead, &options.faults));
        }
        let follows = next.previous() == Some(found.id) && found.header.generation == 0;
        let (end, synced) = if follows { (next.previous_end, next.previous_synced) } else { (found.length, found.length) };
        if found.length < synced {
            return Err(JournalError::corrupt(&path, found.length, "the segment ends too early"));
        }
        let end = end.min(found.length);
        let segment = Segment::sealed(found.header, path.clone(), end, Summary::default(), 0, &options.faults);
        if let Some(mut at) = replay {
            let file = segment.file()?;
            loop {
                let (stopped, _) = walk(&file, at, end, |_, frame| self.apply(frame, &path))?;
                if stopped >= end {
                    break;
                }
                if stopped < synced {
                    return Err(JournalError::corrupt(&path, stopped, "damaged record"));
                }
                tracing::warn!(segment = found.id, offset = stopped, "records that were never synced are lost");
                match next_sound(&file, stopped, end)? {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        let summary = segment.disk_index()?.header.summary;
        self.newest = self.newest.max(summary.last_seq);
        Ok(Segment::sealed(found.header, path, end, summary, found.known.map_or(0, |k| k.dead), &options.faults))
    }

    fn active(&mut self, found: &Found, options: &Options) -> Result<Segment, JournalError> {
        let path = log_path(&options.dir, found.id);
        let file = Arc::new(DiskFile::open(&path, true, &options.faults)?);
        let replay = self.replay_from(found.id).unwrap_or(u64::MAX);
        let mut index = MemIndex::new(found.header.base);
        let (end, stop) = walk(&file, HEADER, found.length, |offset, frame| {
            if frame.kind == KIND_MESSAGE
                && let Some(message) = MessageView::read(frame.body)
            {
                index.add(frame.seq, offset as u32, &Indexed::from(&message));
            }
            if offset >= replay { self.apply(frame, &path) } else { Ok(()) }
        })?;
        self.newest = self.newest.max(index.summary.last_seq);
        let in_checkpoint = if self.checkpoint.segment == found.id { self.checkpoint.offset } else { 0 };
        let synced = greatest_mark(&file, end, found.length)?.max(in_checkpoint);
        if end < synced {
            return Err(JournalError::corrupt(&path, end, "damaged record"));
        }
        let blank = zeros(&file, end, found.length)?;
        if end < found.length {
            file.set_len(end)?;
            if stop != Stop::End || !blank {
                tracing::warn!(segment = found.id, offset = end, bytes = found.length - end, "cut a torn tail off the journal");
            }
        }
        if end != in_checkpoint || !blank {
            // Written by a process that was killed, perhaps only to the page cache: from here on it counts as on disk.
            // And what was cut shall not come back.
            file.sync()?;
        }
        Ok(Segment::in_memory(found.header, file, end, index))
    }

    fn apply(&mut self, frame: Frame<'_>, path: &Path) -> Result<(), JournalError> {
        self.newest = self.newest.max(frame.seq);
        let damaged = || JournalError::corrupt(path, 0, "a sound frame with an unreadable body");
        let state = &mut self.checkpoint.state;
        if frame.kind == KIND_MESSAGE {
            let m = MessageView::read(frame.body).ok_or_else(damaged)?;
            let empty = m.payload.is_empty();
            let effect = Effect { seq: frame.seq, tenant: m.tenant, thing: m.thing, retain: m.retain, empty, topic: m.topic };
            state.message(effect, m.inboxes());
            if let Some(key) = m.key {
                self.checkpoint.keys.add(key, Remembered { id: m.id, seq: frame.seq, at: m.at }, m.at);
            }
            return Ok(());
        }
        match read_control(frame.kind, frame.body).ok_or_else(damaged)? {
            Control::Mark { .. } | Control::Void => {}
            control => {
                state.control(frame.seq, &control);
                match control {
                    Control::Delete(tomb) => self.tombs.push(tomb),
                    Control::Forget { tenant, thing } => self.tombs.push(crate::state::everything_of(tenant, thing, frame.seq)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn zeros(file: &DiskFile, mut from: u64, to: u64) -> Result<bool, JournalError> {
    let mut buffer = vec![0; 64 << 10];
    while from < to {
        let got = file.read_at(&mut buffer, from)?;
        let seen = got.min((to - from) as usize);
        if seen == 0 || buffer.get(..seen).is_some_and(|bytes| bytes.iter().any(|b| *b != 0)) {
            return Ok(seen == 0);
        }
        from += seen as u64;
    }
    Ok(true)
}
