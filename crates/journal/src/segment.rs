//! A segment: a file of frames after a header, and its index, in memory or in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::codec::{FRAME, Frame, Input, KIND_LAST, KIND_MARK, KIND_MESSAGE, MARK, MessageView, Parsed, parse, read_control};
use crate::disk::DiskFile;
use crate::index::{self, DiskIndex};
use crate::memindex::{self, Filter, Indexed, Key, MemIndex, Posting, Summary};
use crate::{Faults, JournalError, Record};

const MAGIC: &[u8; 8] = b"HELIOLG1";
/// Bytes before the first frame.
pub(crate) const HEADER: u64 = 64;
/// Bytes read at once when a whole segment is walked.
const WALK: usize = 1 << 20;
/// Bytes read for one record at first.
const GUESS: usize = 1024;

/// The first bytes of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub id: u64,
    /// Counts the rewrites; the index names the one it belongs to.
    pub generation: u64,
    /// No record in it has a smaller position.
    pub base: u64,
    /// The last segment merged into this one; its own id when none was.
    pub covers: u64,
    /// Where the segment before ended, and how much of it was on disk, when this one was begun.
    pub previous_end: u64,
    pub previous_synced: u64,
    /// How far back the id of the segment before is; 0 when there was none.
    pub previous_gap: u32,
}

impl SegmentHeader {
    /// The segment before it when it was begun.
    pub(crate) fn previous(&self) -> Option<u64> {
        self.id.checked_sub(self.previous_gap.into()).filter(|_| self.previous_gap > 0)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER as usize);
        out.extend_from_slice(MAGIC);
        for n in [self.id, self.generation, self.base, self.covers, self.previous_end, self.previous_synced] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.previous_gap.to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.get(..HEADER as usize)?.split_at_checked(HEADER as usize - 4)?;
        if crc32fast::hash(checked).to_le_bytes() != crc || checked.get(..8)? != MAGIC {
            return None;
        }
        let mut input = Input(checked.get(8..)?);
        Some(Self {
            id: input.u64()?,
            generation: input.u64()?,
            base: input.u64()?,
            covers: input.u64()?,
            previous_end: input.u64()?,
            previous_synced: input.u64()?,
            previous_gap: input.u32()?,
        })
    }
}

pub(crate) fn log_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016}.log"))
}

/// The index is looked up by one of these.
#[derive(Debug)]
enum Index {
    Memory(Arc<RwLock<MemIndex>>),
    /// Opened when first asked.
    File(Option<Arc<DiskIndex>>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Segment {
    pub header: SegmentHeader,
    path: PathBuf,
    faults: Faults,
    file: Mutex<Option<Arc<DiskFile>>>,
    end: AtomicU64,
    index: RwLock<Index>,
    sealed: Mutex<Option<Summary>>,
    /// Messages deleted and not yet cleared away.
    pub dead: AtomicU64,
}

/// A record could be read, or it is damaged there.
pub(crate) type ReadRecord = Result<Record, JournalError>;

impl Segment {
    /// The active segment, or one that has just been scanned.
    pub(crate) fn in_memory(header: SegmentHeader, file: Arc<DiskFile>, end: u64, index: MemIndex) -> Self {
        Self {
            header,
            path: file.path().to_owned(),
            faults: file.faults().clone(),
            file: Mutex::new(Some(file)),
            end: AtomicU64::new(end),
            index: RwLock::new(Index::Memory(Arc::new(RwLock::new(index)))),
            sealed: Mutex::new(None),
            dead: AtomicU64::new(0),
        }
    }

    /// A sealed segment whose index file is in place.
    pub(crate) fn sealed(header: SegmentHeader, path: PathBuf, end: u64, summary: Summary, dead: u64, faults: &Faults) -> Self {
        Self {
            header,
            path,
            faults: faults.clone(),
            file: Mutex::new(None),
            end: AtomicU64::new(end),
            index: RwLock::new(Index::File(None)),
            sealed: Mutex::new(Some(summary)),
            dead: AtomicU64::new(dead),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn file(&self) -> Result<Arc<DiskFile>, JournalError> {
        let mut slot = self.file.lock();
        if let Some(file) = &*slot {
            return Ok(file.clone());
        }
        let file = Arc::new(DiskFile::open(&self.path, false, &self.faults)?);
        *slot = Some(file.clone());
        Ok(file)
    }

    /// The index in memory, while there is one.
    pub(crate) fn memory(&self) -> Option<Arc<RwLock<MemIndex>>> {
        match &*self.index.read() {
            Index::Memory(index) => Some(index.clone()),
            Index::File(_) => None,
        }
    }

    pub(crate) fn disk_index(&self) -> Result<Arc<DiskIndex>, JournalError> {
        if let Index::File(Some(index)) = &*self.index.read() {
            return Ok(index.clone());
        }
        let mut slot = self.index.write();
        if let Index::File(Some(index)) = &*slot {
            return Ok(index.clone());
        }
        let index = match self.open_index() {
            Ok(index) => index,
            Err(JournalError::Corrupt { reason, .. }) => self.rebuild(reason)?,
            // Absent; anything else shows again while rebuilding.
            Err(JournalError::Io { .. }) => self.rebuild("missing")?,
            Err(other) => return Err(other),
        };
        let index = Arc::new(index);
        *slot = Index::File(Some(index.clone()));
        Ok(index)
    }

    fn open_index(&self) -> Result<DiskIndex, JournalError> {
        let index = DiskIndex::open(&self.index_path(), &self.faults)?;
        if (index.header.segment, index.header.generation, index.header.log_len) != (self.header.id, self.header.generation, self.end()) {
            return Err(JournalError::corrupt(&self.index_path(), 0, "index of another segment"));
        }
        Ok(index)
    }

    fn rebuild(&self, why: &'static str) -> Result<DiskIndex, JournalError> {
        tracing::warn!(segment = self.header.id, why, "rebuilding a segment index");
        let file = self.file()?;
        let (memory, _) = scan_sealed(&file, &self.header, self.end())?;
        let of = index::Segment { id: self.header.id, generation: self.header.generation, log_len: self.end(), base: self.header.base };
        index::write(&self.index_path(), of, &memory, &self.faults)?;
        *self.sealed.lock() = Some(memory.summary);
        self.open_index()
    }

    /// Checks the index file against its sum and builds it anew when it is damaged; true when it was.
    pub(crate) fn heal(&self) -> Result<bool, JournalError> {
        if self.memory().is_some() || self.disk_index()?.verify().is_ok() {
            return Ok(false);
        }
        let mut slot = self.index.write();
        *slot = Index::File(Some(Arc::new(self.rebuild("checksum mismatch")?)));
        Ok(true)
    }

    /// The index file is in place: answers come from it, memory is given back.
    pub(crate) fn index_written(&self, summary: Summary) {
        *self.sealed.lock() = Some(summary);
        *self.index.write() = Index::File(None);
    }

    pub(crate) fn summary(&self) -> Summary {
        if let Some(summary) = *self.sealed.lock() {
            return summary;
        }
        self.memory().map(|index| index.read().summary).unwrap_or_default()
    }

    /// Opens all files, so that reads go on after the names are gone.
    pub(crate) fn detach(&self) -> Result<(), JournalError> {
        self.file()?;
        if self.memory().is_none() {
            self.disk_index()?;
        }
        Ok(())
    }

    /// Closes the files until they are needed again; true when one was open.
    pub(crate) fn close_files(&self) -> bool {
        let mut slot = self.index.write();
        let Index::File(index) = &mut *slot else { return false };
        let index_open = index.take().is_some();
        self.file.lock().take().is_some() || index_open
    }

    pub(crate) fn files_open(&self) -> bool {
        self.file.lock().is_some() || matches!(&*self.index.read(), Index::File(Some(_)))
    }

    pub(crate) fn postings(&self, key: Key, filter: &Filter, limit: usize) -> Result<Vec<Posting>, JournalError> {
        match self.memory() {
            Some(index) => Ok(memindex::postings(&index, key, filter, limit)),
            None => self.disk_index()?.postings(key, filter, limit),
        }
    }

    /// The offset of a message.
    pub(crate) fn offset(&self, seq: u64) -> Result<Option<u32>, JournalError> {
        match self.memory() {
            Some(index) => Ok(index.read().offset(seq)),
            None => self.disk_index()?.offset(seq),
        }
    }

    /// Position and offset of the next messages after a position.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, u32)>, JournalError> {
        match self.memory() {
            Some(index) => Ok(index.read().after(seq, limit).iter().map(|p| (p.seq, p.offset)).collect()),
            None => self.disk_index()?.after(seq, limit),
        }
    }

    /// Offsets of the messages that may carry an id.
    pub(crate) fn by_id(&self, tag: u32) -> Result<Vec<u32>, JournalError> {
        match self.memory() {
            Some(index) => Ok(index.read().by_id(tag)),
            None => self.disk_index()?.by_id(tag),
        }
    }

    /// The message at an offset.
    pub(crate) fn read(&self, offset: u32) -> ReadRecord {
        read_record(&*self.file()?, offset.into())
    }
}

fn read_record(file: &DiskFile, offset: u64) -> ReadRecord {
    let mut small = [0u8; GUESS];
    let got = file.read_at(&mut small, offset)?;
    let damaged = |reason| JournalError::corrupt(file.path(), offset, reason);
    let record = |frame: Frame<'_>| {
        if frame.kind != KIND_MESSAGE {
            return None;
        }
        MessageView::read(frame.body)?.to_record(frame.seq)
    };
    match parse(small.get(..got).unwrap_or_default()) {
        Parsed::Frame(frame) => record(frame).ok_or_else(|| damaged("not a message")),
        Parsed::Short(needed) => {
            if needed as u64 > file.len()?.saturating_sub(offset) {
                return Err(damaged("the record ends beyond the file"));
            }
            let bytes = file.read_exact(offset, needed)?;
            match parse(&bytes) {
                Parsed::Frame(frame) => record(frame).ok_or_else(|| damaged("not a message")),
                Parsed::Bad(reason) => Err(damaged(reason)),
                Parsed::End | Parsed::Short(_) => Err(damaged("no record here")),
            }
        }
        Parsed::Bad(reason) => Err(damaged(reason)),
        Parsed::End => Err(damaged("no record here")),
    }
}

/// Why a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Zeros, or the end of what was asked for.
    End,
    /// The frame is cut off.
    Torn,
    Bad(&'static str),
}

/// Visits all frames of [from, to) in order; answers where and why it stopped.
pub(crate) fn walk(
    file: &DiskFile,
    from: u64,
    to: u64,
    mut visit: impl FnMut(u64, Frame<'_>) -> Result<(), JournalError>,
) -> Result<(u64, Stop), JournalError> {
    let mut at = from;
    let mut wanted = WALK;
    let mut buffer = Vec::new();
    while at < to {
        let len = (wanted as u64).min(to - at) as usize;
        buffer.resize(len, 0);
        let got = file.read_at(&mut buffer, at)?;
        let mut rest = buffer.get(..got).unwrap_or_default();
        let complete = got < len || at + got as u64 >= to;
        wanted = WALK;
        loop {
            match parse(rest) {
                Parsed::Frame(frame) => {
                    visit(at, frame)?;
                    at += frame.size as u64;
                    rest = rest.get(frame.size..).unwrap_or_default();
                    if rest.is_empty() {
                        break;
                    }
                }
                Parsed::End => return Ok((at, Stop::End)),
                Parsed::Bad(reason) => return Ok((at, Stop::Bad(reason))),
                Parsed::Short(_) if complete => return Ok((at, Stop::Torn)),
                Parsed::Short(needed) => {
                    wanted = needed.max(WALK);
                    break;
                }
            }
        }
        if got == 0 {
            break;
        }
    }
    Ok((at, Stop::End))
}

/// The greatest "so much was on disk" that any mark in [from, to) states, wherever it lies.
pub(crate) fn greatest_mark(file: &DiskFile, from: u64, to: u64) -> Result<u64, JournalError> {
    let mut greatest = 0;
    let mut at = from;
    let mut buffer = vec![0; WALK + MARK];
    while at < to {
        let got = file.read_at(&mut buffer, at)?;
        let bytes = buffer.get(..got).unwrap_or_default();
        for (place, _) in bytes.iter().enumerate().filter(|(_, b)| **b == KIND_MARK) {
            let Some(start) = place.checked_sub(FRAME - 1) else { continue };
            if let Some(window) = bytes.get(start..start + MARK)
                && let Parsed::Frame(frame) = parse(window)
                && let Some(crate::codec::Control::Mark { synced }) = read_control(frame.kind, frame.body)
            {
                greatest = greatest.max(synced);
            }
        }
        if got < buffer.len() {
            break;
        }
        at += WALK as u64;
    }
    Ok(greatest)
}

/// Where the next sound message or control record begins after damage, if any.
pub(crate) fn next_sound(file: &DiskFile, from: u64, to: u64) -> Result<Option<u64>, JournalError> {
    let bytes = file.read_exact(from, to.saturating_sub(from) as usize)?;
    for start in 1..bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        // The kind first: it rules out most places without a checksum.
        if rest.get(FRAME - 1).is_some_and(|kind| matches!(kind, 1..=KIND_LAST | &KIND_MARK)) && matches!(parse(rest), Parsed::Frame(_)) {
            return Ok(Some(from + start as u64));
        }
    }
    Ok(None)
}

/// Indexes a sealed segment; damage is stepped over, logged and counted.
pub(crate) fn scan_sealed(file: &DiskFile, header: &SegmentHeader, end: u64) -> Result<(MemIndex, u64), JournalError> {
    let mut index = MemIndex::new(header.base);
    let mut damaged = 0;
    let mut at = HEADER;
    loop {
        let (stopped, stop) = walk(file, at, end, |offset, frame| {
            if frame.kind == KIND_MESSAGE
                && let Some(message) = MessageView::read(frame.body)
            {
                index.add(frame.seq, offset as u32, &Indexed::from(&message));
            }
            Ok(())
        })?;
        if stopped >= end {
            return Ok((index, damaged));
        }
        damaged += 1;
        tracing::error!(segment = header.id, offset = stopped, ?stop, "damaged records in a sealed segment");
        match next_sound(file, stopped, end)? {
            Some(next) => at = next,
            None => return Ok((index, damaged)),
        }
    }
}
