//! Inboxes: what waits for a thing or a session, in order, until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Direction, MessageStatus, ThingId};
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::codec::{Control, put_control};
use crate::query::{self, PAGE_BYTES};
use crate::shared::{Entry, Shared};
use crate::{Durability, InboxId, Journal, JournalError, Record, Seq};

/// Watches beyond which unused ones are looked for.
const WATCHES: usize = 1024;

/// One look into an inbox.
struct Look {
    seqs: Vec<u64>,
    found: Vec<(u64, Arc<Record>)>,
}

impl Journal {
    /// Pending, unexpired records of an inbox after a position, in order; at most `limit`, and at most some megabytes.
    ///
    /// Fewer than `limit` does not mean that there are no more: read on until the answer is empty.
    pub async fn inbox_next(&self, inbox: InboxId, after: Option<Seq>, limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
        self.inbox_read(inbox, after, limit, false).await
    }

    /// The same, those included whose time ran out: nothing is taken off the inbox.
    pub async fn inbox_peek(&self, inbox: InboxId, after: Option<Seq>, limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
        self.inbox_read(inbox, after, limit, true).await
    }

    async fn inbox_read(&self, inbox: InboxId, after: Option<Seq>, limit: usize, all: bool) -> Result<Vec<Arc<Record>>, JournalError> {
        let shared = self.shared();
        let mut after = after.map_or(0, |seq| seq.0);
        loop {
            let look = look(shared, inbox, after, limit);
            let Some(last) = look.seqs.last().copied() else { return Ok(Vec::new()) };
            let records = if look.found.len() == look.seqs.len() {
                look.found
            } else {
                let shared = shared.clone();
                crate::blocking(move || read_all(&shared, inbox, look)).await?
            };
            let records = deliverable(shared, inbox, records, all);
            // All of these were expired or deleted: there may be more behind them.
            if records.is_empty() && limit > 0 {
                after = last;
                continue;
            }
            return Ok(records);
        }
    }

    /// The record was delivered. Remembered lazily: the note rides with the next batch, a crash may forget it and the
    /// record is delivered again.
    pub fn inbox_ack(&self, inbox: InboxId, seq: Seq) {
        if self.shared().state.lock().take(inbox, seq.0) {
            // Closed: then it is delivered once more after the start, which is what lazily means.
            let _ = append_control(self.shared(), Control::Ack { inbox, seq: seq.0 }, None);
        }
    }

    /// Notified when something is added to the inbox; a note is kept for one who is not waiting at the moment.
    #[must_use]
    pub fn inbox_watch(&self, inbox: InboxId) -> Arc<Notify> {
        let mut watches = self.shared().watches.lock();
        if watches.len() >= WATCHES && watches.len() == watches.capacity() {
            // About to grow: first forget those nobody holds any more.
            watches.retain(|_, watch| Arc::strong_count(watch) > 1);
        }
        watches.entry(inbox).or_default().clone()
    }

    /// Entries pending in an inbox; expired ones count until they are met.
    #[must_use]
    pub fn inbox_len(&self, inbox: InboxId) -> usize {
        self.shared().state.lock().inboxes.get(&inbox).map_or(0, |i| i.pending.len())
    }

    /// Removes one entry, durably; false when it was not there.
    pub async fn inbox_remove(&self, inbox: InboxId, seq: Seq) -> Result<bool, JournalError> {
        self.change(inbox, seq, Control::Ack { inbox, seq: seq.0 }).await
    }

    /// Removes an inbox with all its entries, durably.
    pub async fn inbox_drop(&self, inbox: InboxId) -> Result<(), JournalError> {
        let position = append_control(self.shared(), Control::Drop { inbox }, Some(Durability::Sync))?;
        self.durable(position).await?;
        let mut watches = self.shared().watches.lock();
        if watches.get(&inbox).is_some_and(|watch| Arc::strong_count(watch) == 1) {
            watches.remove(&inbox);
        }
        Ok(())
    }

    /// The thing's inboxes that hold something, from the highest priority to the lowest.
    #[must_use]
    pub fn inbox_levels(&self, thing: ThingId) -> SmallVec<[InboxId; 2]> {
        let state = self.shared().state.lock();
        InboxId::levels_of(thing).filter(|inbox| state.inboxes.get(inbox).is_some_and(|i| !i.pending.is_empty())).collect()
    }

    /// The inbox of the thing that holds a record, if one does.
    #[must_use]
    pub fn inbox_holding(&self, thing: ThingId, seq: Seq) -> Option<InboxId> {
        let state = self.shared().state.lock();
        let holds = |inbox: &InboxId| state.inboxes.get(inbox).is_some_and(|i| i.pending.binary_search(&seq.0).is_ok());
        InboxId::levels_of(thing).find(holds)
    }

    /// Moves one entry to another inbox, to its place there, durably; false when it was not where it was said to be.
    pub async fn inbox_move(&self, from: InboxId, to: InboxId, seq: Seq) -> Result<bool, JournalError> {
        let control = Control::Move { from, to, seq: seq.0 };
        self.change(from, seq, control).await
    }

    /// Declares one entry's time to be over, durably; false when it was not there.
    pub async fn inbox_expire(&self, inbox: InboxId, seq: Seq) -> Result<bool, JournalError> {
        self.change(inbox, seq, Control::Expire { inbox, seq: seq.0 }).await
    }

    async fn change(&self, inbox: InboxId, seq: Seq, control: Control) -> Result<bool, JournalError> {
        let there = self.shared().state.lock().inboxes.get(&inbox).is_some_and(|i| i.pending.binary_search(&seq.0).is_ok());
        if there {
            let position = append_control(self.shared(), control, Some(Durability::Sync))?;
            self.durable(position).await?;
        }
        Ok(there)
    }

    /// What became of a record: an outbound one is queued while an inbox of its holds it.
    #[must_use]
    pub fn status(&self, record: &Record) -> MessageStatus {
        if record.direction == Direction::Inbound {
            return MessageStatus::Stored;
        }
        // The thing's own inbox decides; copies in session queues do not.
        let own = record.priority().map(|priority| InboxId::of(record.thing, priority));
        let state = self.shared().state.lock();
        let dead = state.inboxes.get(&InboxId::dead_letters(record.thing));
        if dead.is_some_and(|dead| dead.pending.binary_search(&record.seq.0).is_ok()) {
            return MessageStatus::Dead;
        }
        let mut ran_out = false;
        for inbox in record.inboxes.iter().filter(|inbox| own.is_none_or(|own| **inbox == own)) {
            let Some(entry) = state.inboxes.get(inbox) else { continue };
            if entry.pending.binary_search(&record.seq.0).is_ok() {
                let expired = record.expired(self.shared().options.clock.now());
                return if expired { MessageStatus::Expired } else { MessageStatus::Queued };
            }
            ran_out |= entry.expired.binary_search(&record.seq.0).is_ok();
        }
        if ran_out { MessageStatus::Expired } else { MessageStatus::Delivered }
    }
}

fn look(shared: &Shared, inbox: InboxId, after: u64, limit: usize) -> Look {
    let seqs: Vec<u64> = {
        let state = shared.state.lock();
        let Some(entry) = state.inboxes.get(&inbox) else { return Look { seqs: Vec::new(), found: Vec::new() } };
        let start = entry.pending.partition_point(|seq| *seq <= after);
        entry.pending.range(start..).take(limit).copied().collect()
    };
    let recent = shared.recent.lock();
    let found = seqs.iter().filter_map(|seq| Some((*seq, recent.get(*seq)?))).collect();
    Look { seqs, found }
}

/// Reads from disk what is not at hand.
fn read_all(shared: &Shared, inbox: InboxId, look: Look) -> Result<Vec<(u64, Arc<Record>)>, JournalError> {
    let mut all = Vec::with_capacity(look.seqs.len());
    let mut at_hand = look.found.into_iter().peekable();
    let mut bytes = 0;
    for seq in look.seqs {
        let record = match at_hand.next_if(|(s, _)| *s == seq) {
            Some((_, record)) => Some(record),
            None => query::read_seq(shared, seq)?.map(Arc::new),
        };
        match record {
            Some(record) => {
                bytes += record.payload.len();
                all.push((seq, record));
            }
            // Its bytes are damaged (logged) or gone: it must not hold up what is behind it.
            None => _ = shared.state.lock().take(inbox, seq),
        }
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok(all)
}

/// Leaves out what ran out or was deleted, and takes it off the inbox.
fn deliverable(shared: &Shared, inbox: InboxId, records: Vec<(u64, Arc<Record>)>, all: bool) -> Vec<Arc<Record>> {
    let now = shared.options.clock.now();
    let mut state = shared.state.lock();
    let mut kept = Vec::with_capacity(records.len());
    for (seq, record) in records {
        if state.tombs.len() > 0 && state.tombs.buries(&record) {
            state.take(inbox, seq);
        } else if !all && record.expired(now) {
            state.expire(inbox, seq);
        } else {
            kept.push(record);
        }
    }
    kept
}

/// Hands a control record to the log; without a durability nobody waits for it.
pub(crate) fn append_control(shared: &Shared, control: Control, durability: Option<Durability>) -> Result<Seq, JournalError> {
    if durability.is_some()
        && !shared.healthy.load(Ordering::Acquire)
        && let Some(error) = shared.health.lock().clone()
    {
        return Err(error);
    }
    let mut pending = shared.pending.lock();
    if pending.stop {
        return Err(JournalError::Closed);
    }
    let seq = pending.take_seq();
    let was_empty = pending.batch.entries.is_empty();
    pending.batch.begin(seq);
    let before = pending.batch.buffer.len();
    put_control(&mut pending.batch.buffer, seq, &control);
    shared.waiting.fetch_add(pending.batch.buffer.len() - before, Ordering::AcqRel);
    pending.batch.entries.push(Entry::Control { seq, control });
    pending.batch.sync |= durability == Some(Durability::Sync);
    let wake = was_empty || (durability.is_some() && !pending.batch.urgent);
    pending.batch.urgent |= durability.is_some();
    drop(pending);
    if wake {
        shared.work.notify_one();
    }
    Ok(Seq(seq))
}
