//! Retention, compaction and snapshots: work on sealed segments, in small steps, beside the appends.
//!
//! Readers hold their segment: a file that is replaced or removed stays readable for them until they let go.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::TenantId;
use tokio::sync::oneshot;

use crate::checkpoint;
use crate::codec::{KIND_MESSAGE, MessageView};
use crate::disk::{self, DiskFile};
use crate::index::{self, TenantShare};
use crate::memindex::{Filter, Indexed, Key, MemIndex};
use crate::segment::{HEADER, Segment, SegmentHeader, log_path, next_sound, walk};
use crate::shared::{Command, Cut, Policy, SegmentList, Shared};
use crate::state::Tombs;
use crate::{Faults, Journal, JournalError, RetentionReport, blocking, keeper};

/// Segments dropped in one step at most.
const DROPS: usize = 16;
/// Deletions looked at in one step at most.
const TOMBS: usize = 64;
/// Deleted messages leave the files after this, however few they are, in microseconds.
const GRACE: i64 = 24 * 3600 * 1_000_000;
/// Bytes copied before a rewrite lets others have the disk.
const BREATH: usize = 4 << 20;

/// One step; see [`Journal::retain`].
pub(crate) async fn retain(
    journal: &Journal,
    keep: &HashMap<TenantId, Duration>,
    default: Duration,
) -> Result<RetentionReport, JournalError> {
    let shared = journal.shared().clone();
    let _one_at_a_time = shared.maintenance.lock().await;
    let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
    let policy = Policy { keep: keep.iter().map(|(tenant, d)| (*tenant, micros(*d))).collect(), default: Some(micros(default)) };
    *shared.policy.write() = policy.clone();
    let stale = {
        let shared = shared.clone();
        let policy = policy.clone();
        blocking(move || Ok(active_is_stale(&shared, &policy))).await?
    };
    if stale {
        let (reply, done) = oneshot::channel();
        shared.command(Command::Rotate(reply))?;
        done.await.map_err(|_| JournalError::Closed)??;
    }
    let step = {
        let shared = shared.clone();
        blocking(move || Step::new(&shared, policy).run()).await?
    };
    if step.changed {
        // The checkpoint names the segments; it shall not name those that are gone for long.
        let cut = cut(&shared).await?;
        let segment = cut.segments.last().map_or(0, |s| s.header.id);
        let shared = shared.clone();
        blocking(move || keeper::write_checkpoint(&shared, cut.number, segment, &cut.checkpoint)).await?;
    }
    Ok(step.report)
}

async fn cut(shared: &Shared) -> Result<Cut, JournalError> {
    let (reply, answer) = oneshot::channel();
    shared.command(Command::Cut(reply))?;
    answer.await.map_err(|_| JournalError::Closed)?
}

/// The active segment is full of dead messages: only a sealed one can be cleared.
fn active_is_stale(shared: &Shared, policy: &Policy) -> bool {
    let list = shared.segments();
    let Some(active) = list.last() else { return false };
    let summary = active.summary();
    let dead = active.dead.load(Ordering::Relaxed);
    let old_dead = dead > 0 && summary.min_at < shared.now().saturating_sub(GRACE);
    summary.records > 0 && (summary.max_at < policy.longest(shared.now()) || dead * 2 > summary.records || old_dead)
}

struct Step<'a> {
    shared: &'a Shared,
    policy: Policy,
    now: i64,
    tombs: Tombs,
    /// Positions that inboxes hold, and those that are retained; sorted.
    waiting: Vec<u64>,
    retained: Vec<u64>,
    changed: bool,
    report: RetentionReport,
}

struct Done {
    changed: bool,
    report: RetentionReport,
}

impl<'a> Step<'a> {
    fn new(shared: &'a Shared, policy: Policy) -> Self {
        let (ids, mut retained, tombs) = {
            let state = shared.state.lock();
            let ids: Vec<_> = state.inboxes.keys().copied().collect();
            (ids, state.retained.values().map(|kept| kept.seq).collect::<Vec<_>>(), state.tombs.clone())
        };
        let mut waiting = Vec::new();
        for id in ids {
            // One inbox at a time: the committer needs the state too.
            if let Some(inbox) = shared.state.lock().inboxes.get(&id) {
                waiting.extend(inbox.pending.iter().copied());
            }
        }
        waiting.sort_unstable();
        retained.sort_unstable();
        Self { shared, policy, now: shared.now(), tombs, waiting, retained, changed: false, report: RetentionReport::default() }
    }

    fn run(mut self) -> Result<Done, JournalError> {
        let list = self.shared.segments();
        let sealed = list.split_last().map_or(&[][..], |(_, sealed)| sealed);
        for segment in sealed.iter().filter(|s| s.memory().is_some()) {
            // Its index is not written yet, or could not be.
            keeper::seal(self.shared, segment)?;
        }
        let mut dropped = 0;
        for segment in sealed {
            if !self.is_dead(segment) {
                continue;
            }
            if dropped == DROPS {
                self.report.more = true;
                break;
            }
            self.replace(std::slice::from_ref(segment), None)?;
            self.report.dropped_segments += 1;
            self.report.freed_bytes += segment.end();
            dropped += 1;
        }
        self.rewrite_one()?;
        self.settle_tombs()?;
        if self.changed {
            let first = self.shared.segments().first().map_or(0, |s| s.header.base);
            self.shared.state.lock().forget_expired_before(first);
        }
        Ok(Done { changed: self.changed, report: self.report })
    }

    fn pinned_in(&self, segment: &Segment) -> u64 {
        let last = segment.summary().last_seq;
        let count = |list: &[u64]| list.partition_point(|s| *s <= last) - list.partition_point(|s| *s < segment.header.base);
        (count(&self.waiting) + count(&self.retained)) as u64
    }

    /// Nothing in it is of use any more.
    fn is_dead(&self, segment: &Segment) -> bool {
        let summary = segment.summary();
        summary.records == 0
            || ((summary.max_at < self.policy.longest(self.now) || segment.dead.load(Ordering::Relaxed) >= summary.records)
                && self.pinned_in(segment) == 0)
    }

    /// How many of its messages are dead, roughly.
    fn dead_in(&self, segment: &Segment) -> Result<u64, JournalError> {
        let expired = |share: &TenantShare| {
            let cutoff = self.policy.cutoff(share.tenant, self.now);
            if share.max_at < cutoff {
                share.records
            } else if share.min_at < cutoff {
                // Evenly spread, as far as anybody knows.
                let part = i128::from(cutoff) - i128::from(share.min_at);
                let whole = (i128::from(share.max_at) - i128::from(share.min_at)).max(1);
                u64::try_from(i128::from(share.records) * part / whole).unwrap_or(0)
            } else {
                0
            }
        };
        let expired: u64 = segment.disk_index()?.tenants()?.iter().map(expired).sum();
        let dead = expired + segment.dead.load(Ordering::Relaxed);
        Ok(dead.saturating_sub(self.pinned_in(segment)))
    }

    /// Rewrites the first segment that is mostly dead, or merges small neighbours; at most one.
    fn rewrite_one(&mut self) -> Result<(), JournalError> {
        let list = self.shared.segments();
        // What a replay of the older checkpoint needs must stay: its acknowledgements are in these files.
        let oldest = {
            let checkpoints = self.shared.checkpoints.lock();
            checkpoints.previous_segment.min(checkpoints.last_segment)
        };
        let sealed = list.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let mut chosen: Vec<Arc<Segment>> = Vec::new();
        let sealed: Vec<_> = sealed.iter().filter(|s| s.memory().is_none()).cloned().collect();
        for segment in &sealed {
            let (records, marked) = (segment.summary().records, segment.dead.load(Ordering::Relaxed));
            let dead = self.dead_in(segment)?;
            let overdue = marked > 0 && dead > 0 && segment.summary().max_at < self.now.saturating_sub(GRACE);
            if (dead > 0 && dead * 2 >= records) || overdue {
                if chosen.is_empty() {
                    chosen.push(segment.clone());
                } else {
                    self.report.more = true;
                    break;
                }
            }
        }
        if chosen.is_empty() {
            chosen = small_run(&sealed, self.shared.options.segment_bytes);
        }
        let Some(last) = chosen.last() else { return Ok(()) };
        if last.header.id >= oldest {
            // This step ends with a checkpoint; after the second one the segment is free.
            (self.changed, self.report.more) = (true, true);
            return Ok(());
        }
        let before: u64 = chosen.iter().map(|s| s.end()).sum();
        let written = self.copy_living(&chosen)?;
        self.report.rewritten_segments += chosen.len();
        self.report.freed_bytes += before.saturating_sub(written.as_ref().map_or(0, |s| s.end()));
        self.replace(&chosen, written)
    }

    fn keeps(&self, seq: u64, m: &MessageView<'_>) -> bool {
        if self.retained.binary_search(&seq).is_ok() {
            return true;
        }
        let outbound = m.direction == model::Direction::Outbound;
        let fresh = m.at >= self.policy.cutoff(m.tenant, self.now);
        !self.tombs.bury(m.tenant, m.thing, seq, m.at, outbound) && (fresh || self.waiting.binary_search(&seq).is_ok())
    }

    /// Writes what lives in these neighbours into one new file, beside the old ones; none when nothing does.
    fn copy_living(&self, old: &[Arc<Segment>]) -> Result<Option<Arc<Segment>>, JournalError> {
        let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(None) };
        let header = SegmentHeader {
            generation: old.iter().map(|s| s.header.generation).max().unwrap_or(0) + 1,
            covers: last.header.covers,
            ..first.header
        };
        let faults = &self.shared.options.faults;
        let temporary = first.path().with_extension("tmp");
        let file = Arc::new(DiskFile::create(&temporary, faults)?);
        let mut copy = Copy { file: &file, buffer: header.bytes(), end: 0, index: MemIndex::new(header.base) };
        for segment in old {
            let (source, end) = (segment.file()?, segment.end());
            let mut at = HEADER;
            loop {
                let (stopped, _) = walk(&source, at, end, |_, frame| {
                    let Some(message) = MessageView::read(frame.body).filter(|_| frame.kind == KIND_MESSAGE) else { return Ok(()) };
                    if self.keeps(frame.seq, &message) { copy.add(frame.seq, &message, frame.raw) } else { Ok(()) }
                })?;
                if stopped >= end {
                    break;
                }
                tracing::error!(segment = segment.header.id, offset = stopped, "damaged record left behind by a rewrite");
                self.shared.damaged.fetch_add(1, Ordering::Relaxed);
                match next_sound(&source, stopped, end)? {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        copy.flush()?;
        let (end, index) = (copy.end, copy.index);
        if index.len() == 0 {
            disk::remove(&temporary, faults)?;
            return Ok(None);
        }
        file.sync()?;
        let summary = index.summary;
        let of = index::Segment { id: header.id, generation: header.generation, log_len: end, base: header.base };
        let path = log_path(&self.shared.options.dir, header.id);
        // Old readers keep the old files; a crash in between leaves an index of the wrong generation, which is rebuilt.
        old.iter().try_for_each(|s| s.detach())?;
        disk::rename(&temporary, &path, faults)?;
        index::write(&path.with_extension("idx"), of, &index, faults)?;
        Ok(Some(Arc::new(Segment::sealed(header, path, end, summary, 0, faults))))
    }

    /// Puts one segment, or none, in the place of neighbours and removes their files.
    fn replace(&mut self, old: &[Arc<Segment>], new: Option<Arc<Segment>>) -> Result<(), JournalError> {
        self.changed = true;
        old.iter().try_for_each(|s| s.detach())?;
        {
            let mut list = self.shared.segments.write();
            let is_old = |s: &Arc<Segment>| old.iter().any(|o| Arc::ptr_eq(o, s));
            let at = list.iter().position(is_old).unwrap_or(0);
            let mut changed: Vec<_> = list.iter().filter(|s| !is_old(s)).cloned().collect();
            changed.splice(at..at, new.clone());
            *list = Arc::new(changed);
        }
        let faults = &self.shared.options.faults;
        for segment in old.iter().filter(|s| new.as_ref().is_none_or(|n| n.path() != s.path())) {
            disk::remove(segment.path(), faults)?;
            disk::remove(&segment.index_path(), faults)?;
        }
        disk::sync_dir(&self.shared.options.dir, faults)
    }

    /// Lets go of deletions that hit nothing any more.
    fn settle_tombs(&mut self) -> Result<(), JournalError> {
        let list = self.shared.segments();
        let many = self.tombs.len();
        let turn = {
            let mut checkpoints = self.shared.checkpoints.lock();
            let turn = checkpoints.turn;
            checkpoints.turn = (turn + TOMBS) % many.max(1);
            turn % many.max(1)
        };
        for tomb in self.tombs.iter().chain(self.tombs.iter()).skip(turn).take(TOMBS.min(many)) {
            let (key, mut hits) = (Key::of(tomb.tenant, tomb.thing), false);
            let filter = Filter {
                after: 0,
                before: tomb.up_to.saturating_add(1),
                from: tomb.from,
                to: tomb.to,
                direction: tomb.direction,
                newest_first: false,
            };
            for segment in list.iter().filter(|s| s.header.base <= tomb.up_to) {
                if !segment.postings(key, &filter, 1)?.is_empty() {
                    hits = true;
                    // Counted when it was made, unless a crash came between: then this much is known.
                    let _ = segment.dead.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
                }
            }
            if !hits {
                self.shared.state.lock().tombs.remove(tomb);
                self.changed = true;
            }
        }
        Ok(())
    }
}

/// Neighbours that together are still a small segment.
fn small_run(free: &[Arc<Segment>], segment_bytes: u64) -> Vec<Arc<Segment>> {
    let mut run: Vec<Arc<Segment>> = Vec::new();
    let mut bytes = 0;
    for segment in free {
        let narrow = run.first().is_none_or(|f| segment.summary().last_seq.saturating_sub(f.header.base) < 1 << 31);
        if segment.end() < segment_bytes / 4 && bytes + segment.end() < segment_bytes / 2 && narrow {
            bytes += segment.end();
            run.push(segment.clone());
            continue;
        }
        // A few small ones are not worth the copying.
        if run.len() >= 4 {
            break;
        }
        run.clear();
        bytes = 0;
    }
    if run.len() >= 4 { run } else { Vec::new() }
}

struct Copy<'a> {
    file: &'a DiskFile,
    buffer: Vec<u8>,
    end: u64,
    index: MemIndex,
}

impl Copy<'_> {
    fn add(&mut self, seq: u64, message: &MessageView<'_>, frame: &[u8]) -> Result<(), JournalError> {
        self.index.add(seq, (self.end + self.buffer.len() as u64) as u32, &Indexed::from(message));
        self.buffer.extend_from_slice(frame);
        if self.buffer.len() >= BREATH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        self.file.write_at(&self.buffer, self.end)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        // In portions, so that the sync of a batch never waits for a whole rewritten segment.
        self.file.sync()
    }
}

/// See [`Journal::snapshot`].
pub(crate) async fn snapshot(journal: &Journal, dest: &Path) -> Result<(), JournalError> {
    let shared = journal.shared().clone();
    let _one_at_a_time = shared.maintenance.lock().await;
    let dest = dest.to_owned();
    {
        let dest = dest.clone();
        blocking(move || {
            fs::create_dir_all(&dest).map_err(|e| JournalError::io("create", &dest, &e))?;
            let mut entries = fs::read_dir(&dest).map_err(|e| JournalError::io("list", &dest, &e))?;
            if entries.next().is_some() {
                return Err(JournalError::Invalid { field: "dest", reason: "the directory is not empty".into() });
            }
            Ok(())
        })
        .await?;
    }
    let cut = cut(&shared).await?;
    blocking(move || copy_cut(&cut.segments, cut.end, cut.number, &cut.checkpoint, &dest)).await
}

fn copy_cut(segments: &SegmentList, end: u64, number: u64, checkpoint: &[u8], dest: &Path) -> Result<(), JournalError> {
    let faults = Faults::none();
    let Some((active, sealed)) = segments.split_last() else { return Err(JournalError::Closed) };
    for segment in sealed {
        let copy = log_path(dest, segment.header.id);
        // Sealed files never change: a second name is as good as a copy, where the file system has them.
        link_or_copy(segment.path(), &copy)?;
        let index = segment.index_path();
        if segment.memory().is_none() && index.exists() {
            link_or_copy(&index, &copy.with_extension("idx"))?;
        }
    }
    let (source, copy) = (active.file()?, DiskFile::create(&log_path(dest, active.header.id), &faults)?);
    let mut at = 0;
    while at < end {
        let bytes = source.read_exact(at, (end - at).min(BREATH as u64) as usize)?;
        copy.write_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    copy.sync()?;
    checkpoint::write(dest, number, checkpoint, &faults)
}

fn link_or_copy(from: &Path, to: &Path) -> Result<(), JournalError> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all()).map_err(|e| JournalError::io("copy", from, &e))
}
