//! Reading: history by thing and time, one message by id, the whole log in order. Runs on blocking threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{MessageId, Page, TenantId, ThingId};

use crate::codec::Tomb;
use crate::memindex::{Filter, Key, Posting, id_tag};
use crate::segment::Segment;
use crate::shared::{SegmentList, Shared};
use crate::state::Tombs;
use crate::{HistoryQuery, JournalError, Record};

/// Payload bytes after which a page ends early.
pub(crate) const PAGE_BYTES: usize = 8 << 20;
/// Postings asked of a segment at once.
const STRIDE: usize = 512;
/// Open segments kept open.
const OPEN: usize = 96;
/// How far a message's own time may lie from the time in its id, in microseconds.
const ID_SLACK: i64 = 120 * 1_000_000;

/// Positions asked for, as the filter's exclusive bounds.
fn filter(shared: &Shared, query: &HistoryQuery) -> Filter {
    let micros = |t: jiff::Timestamp| t.as_microsecond();
    let kept = shared.policy.read().cutoff(query.tenant, shared.now());
    Filter {
        after: 0,
        before: u64::MAX,
        from: query.from.map_or(i64::MIN, micros).max(kept),
        to: query.to.map_or(i64::MAX, micros),
        direction: query.direction,
        newest_first: query.newest_first,
    }
}

/// One page of the history.
pub(crate) fn history(shared: &Shared, query: &HistoryQuery) -> Result<Page<Arc<Record>>, JournalError> {
    let limit = query.page.limit.clamp(1, model::PageRequest::MAX) as usize;
    let mut filter = filter(shared, query);
    if let Some(cursor) = &query.page.cursor {
        let seq = u64::from_str_radix(cursor, 36)
            .map_err(|_| JournalError::Invalid { field: "cursor", reason: "not a cursor that was handed out".into() })?;
        if query.newest_first { filter.before = seq } else { filter.after = seq }
    }
    let mut rows: Vec<Arc<Record>> = Vec::new();
    let mut bytes = 0;
    let mut full = false;
    visit(shared, query.tenant, query.thing, filter, limit + 1, &mut |record| {
        if rows.len() == limit || (bytes > PAGE_BYTES && !rows.is_empty()) {
            full = true;
            return false;
        }
        bytes += record.payload.len();
        rows.push(Arc::new(record));
        true
    })?;
    let next = rows.last().filter(|_| full).map(|r| base36(r.seq.0));
    Ok(Page { items: rows, next })
}

fn base36(mut n: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((n % 36) as u32, 36).unwrap_or('0'));
        n /= 36;
        if n == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// Reads the matching records in order until `take` has enough.
fn visit(
    shared: &Shared,
    tenant: TenantId,
    thing: Option<ThingId>,
    filter: Filter,
    hint: usize,
    take: &mut dyn FnMut(Record) -> bool,
) -> Result<(), JournalError> {
    let tombs = shared.state.lock().tombs.of(tenant, thing);
    for_postings(shared, tenant, thing, filter, hint, &mut |segment, posting| {
        if thing.is_some_and(|thing| tombs.bury(tenant, thing, posting.seq, posting.at, posting.outbound)) {
            return Ok(true);
        }
        match read(shared, segment, posting.seq, posting.offset)? {
            Some(r) if r.tenant == tenant && thing.is_none_or(|t| t == r.thing) && !tombs.buries(&r) => Ok(take(r)),
            _ => Ok(true),
        }
    })
}

/// Visits matching postings in order until told to stop.
fn for_postings(
    shared: &Shared,
    tenant: TenantId,
    thing: Option<ThingId>,
    filter: Filter,
    hint: usize,
    act: &mut dyn FnMut(&Segment, &Posting) -> Result<bool, JournalError>,
) -> Result<(), JournalError> {
    let key = Key::of(tenant, thing);
    let list = shared.segments();
    let mut order: Vec<usize> = (0..list.len()).collect();
    if filter.newest_first {
        order.reverse();
    }
    'segments: for at in order {
        let Some(segment) = list.get(at) else { continue };
        // A segment answers for its own positions only: while records move over, they are in two.
        let mut filter = filter;
        filter.after = filter.after.max(segment.header.base.saturating_sub(1));
        if let Some(next) = list.get(at + 1) {
            filter.before = filter.before.min(next.header.base);
        }
        let summary = segment.summary();
        if filter.after >= filter.before || summary.records == 0 || summary.max_at < filter.from || summary.min_at > filter.to {
            continue;
        }
        loop {
            let asked = hint.clamp(1, STRIDE);
            let postings = segment.postings(key, &filter, asked)?;
            for posting in &postings {
                if !act(segment, posting)? {
                    break 'segments;
                }
            }
            match postings.last() {
                Some(last) if postings.len() == asked => {
                    if filter.newest_first {
                        filter.before = last.seq;
                    } else {
                        filter.after = last.seq;
                    }
                }
                _ => break,
            }
        }
    }
    trim(&list);
    Ok(())
}

/// Closes files when too many are open.
fn trim(list: &SegmentList) {
    if list.len() <= OPEN {
        return;
    }
    let open: Vec<_> = list.iter().filter(|s| s.files_open() && s.memory().is_none()).collect();
    let excess = open.len().saturating_sub(OPEN);
    open.into_iter().take(excess).for_each(|s| _ = s.close_files());
}

/// The record at an offset; damage is logged, counted and answered with none.
pub(crate) fn read(shared: &Shared, segment: &Segment, seq: u64, offset: u32) -> Result<Option<Record>, JournalError> {
    match segment.read(offset) {
        Ok(record) if record.seq.0 == seq => return Ok(Some(record)),
        Ok(_) | Err(JournalError::Corrupt { .. }) => {}
        Err(other) => return Err(other),
    }
    // Perhaps the index is to blame, not the record.
    if segment.heal()?
        && let Some(offset) = segment.offset(seq)?
        && let Ok(record) = segment.read(offset)
    {
        return Ok(Some(record));
    }
    shared.damaged.fetch_add(1, Ordering::Relaxed);
    tracing::error!(segment = segment.header.id, offset, seq, "a stored message is damaged; run the doctor");
    Ok(None)
}

/// The record at a position; none when it is gone or damaged.
pub(crate) fn read_seq(shared: &Shared, seq: u64) -> Result<Option<Record>, JournalError> {
    let list = shared.segments();
    let after = list.partition_point(|s| s.header.base <= seq);
    let Some(segment) = after.checked_sub(1).and_then(|at| list.get(at)) else { return Ok(None) };
    match segment.offset(seq)? {
        Some(offset) => read(shared, segment, seq, offset),
        None => Ok(None),
    }
}

/// One message by id.
pub(crate) fn get(shared: &Shared, tenant: TenantId, thing: ThingId, id: MessageId) -> Result<Option<Arc<Record>>, JournalError> {
    let (tag, list) = (id_tag(id), shared.segments());
    let kept = shared.policy.read().cutoff(tenant, shared.now());
    // Ids carry their time (UUIDv7): the likely segments first, newest first.
    let time = id.0.get_timestamp().and_then(|t| {
        let (seconds, nanos) = t.to_unix();
        i64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(i64::from(nanos) / 1_000)
    });
    let likely = |s: &Segment| {
        let (summary, time) = (s.summary(), time.unwrap_or(i64::MAX));
        summary.min_at.saturating_sub(ID_SLACK) <= time && time <= summary.max_at.saturating_add(ID_SLACK)
    };
    let (first, rest): (Vec<_>, Vec<_>) = list.iter().rev().partition(|s| likely(s));
    for segment in first.into_iter().chain(rest) {
        for offset in segment.by_id(tag)? {
            let Ok(record) = segment.read(offset) else { continue };
            if (record.id, record.tenant, record.thing) == (id, tenant, thing) {
                let gone = shared.state.lock().tombs.buries(&record) || record.at.as_microsecond() < kept;
                trim(&list);
                return Ok((!gone).then(|| Arc::new(record)));
            }
        }
    }
    trim(&list);
    Ok(None)
}

/// The next records after a position, whoever's they are.
pub(crate) fn scan(shared: &Shared, after: u64, limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
    let list = shared.segments();
    let mut found = Vec::new();
    let mut bytes = 0;
    let start = list.partition_point(|s| s.header.base <= after).saturating_sub(1);
    for (at, segment) in list.iter().enumerate().skip(start) {
        let mut after = after.max(segment.header.base.saturating_sub(1));
        let before = list.get(at + 1).map_or(u64::MAX, |next| next.header.base);
        loop {
            let asked = (limit - found.len()).min(STRIDE);
            let places = segment.after(after, asked)?;
            let Some(last) = places.last() else { break };
            after = last.0;
            for (seq, offset) in places.iter().filter(|(seq, _)| *seq < before) {
                if let Some(record) = read(shared, segment, *seq, *offset)?
                    && !shared.state.lock().tombs.buries(&record)
                {
                    bytes += record.payload.len();
                    found.push(Arc::new(record));
                    if found.len() >= limit || bytes > PAGE_BYTES {
                        return Ok(found);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The deletion a query means, as of now.
pub(crate) fn tomb(shared: &Shared, query: &HistoryQuery) -> Tomb {
    Tomb {
        tenant: query.tenant,
        thing: query.thing,
        from: query.from.map_or(i64::MIN, jiff::Timestamp::as_microsecond),
        to: query.to.map_or(i64::MAX, jiff::Timestamp::as_microsecond),
        direction: query.direction,
        up_to: shared.waiters.resolved(),
    }
}

/// Positions of the messages a deletion hits, by segment id; those deleted before are left out.
pub(crate) fn hit_by(shared: &Shared, tomb: &Tomb) -> Result<Vec<(u64, Vec<u64>)>, JournalError> {
    let mut tombs = shared.state.lock().tombs.of(tomb.tenant, tomb.thing);
    tombs.remove(tomb);
    let kept = shared.policy.read().cutoff(tomb.tenant, shared.now());
    let filter = Filter {
        after: 0,
        before: tomb.up_to.saturating_add(1),
        from: tomb.from.max(kept),
        to: tomb.to,
        direction: tomb.direction,
        newest_first: false,
    };
    let mut hits: Vec<(u64, Vec<u64>)> = Vec::new();
    for_postings(shared, tomb.tenant, tomb.thing, filter, STRIDE, &mut |segment, posting| {
        let buried = match tomb.thing {
            Some(thing) => tombs.bury(tomb.tenant, thing, posting.seq, posting.at, posting.outbound),
            // Whose a tenant's message is only the record tells.
            None if tombs.len() > 0 => read(shared, segment, posting.seq, posting.offset)?.is_none_or(|r| tombs.buries(&r)),
            None => false,
        };
        if !buried {
            match hits.last_mut() {
                Some((id, seqs)) if *id == segment.header.id => seqs.push(posting.seq),
                _ => hits.push((segment.header.id, vec![posting.seq])),
            }
        }
        Ok(true)
    })?;
    Ok(hits)
}

/// After a deletion: takes its messages out of all inboxes and notes them as dead weight of their segments.
pub(crate) fn purge(shared: &Shared, hits: &[(u64, Vec<u64>)]) {
    for segment in shared.segments().iter() {
        if let Some((_, seqs)) = hits.iter().find(|(id, _)| *id == segment.header.id) {
            segment.dead.fetch_add(seqs.len() as u64, Ordering::Relaxed);
        }
    }
    let hit = |seq: &u64| hits.iter().any(|(_, seqs)| seqs.binary_search(seq).is_ok());
    let inboxes: Vec<_> = shared.state.lock().inboxes.keys().copied().collect();
    // One inbox at a time: the committer needs the state too.
    for inbox in inboxes {
        let mut state = shared.state.lock();
        let gone: Vec<u64> = state.inboxes.get(&inbox).map(|i| i.pending.iter().copied().filter(|s| hit(s)).collect()).unwrap_or_default();
        gone.iter().for_each(|seq| _ = state.take(inbox, *seq));
    }
}

impl Tombs {
    /// The deletions that concern a query.
    pub(crate) fn of(&self, tenant: TenantId, thing: Option<ThingId>) -> Tombs {
        let mut some = Tombs::default();
        if self.len() > 0 {
            let concerned = |t: &&Tomb| t.tenant == tenant && (thing.is_none() || t.thing.is_none() || t.thing == thing);
            self.iter().filter(concerned).for_each(|t| some.add(*t));
        }
        some
    }
}
