//! The durable message log: append with group commit, inbox, history by thing and time, live subscription.
//!
//! A log of segment files (`segment.rs`) holds every message and every change to it, in order. Appenders lay their
//! record into a shared buffer (`append.rs`); one thread writes whatever has gathered, syncs once and then tells
//! everybody (`commit.rs`). Sealed segments are found through index files (`index.rs`), the active one through an
//! index in memory (`memindex.rs`). What the log adds up to, inboxes, retained messages and remembered keys, is kept
//! in memory (`state.rs`) and saved by checkpoints, so that opening reads a checkpoint and the tail (`recover.rs`).
//! Deletion writes a tombstone; retention drops and rewrites segments later, in small steps (`maintain.rs`).

mod append;
mod checkpoint;
mod codec;
mod commit;
mod disk;
mod doctor;
mod error;
mod faults;
mod inbox;
mod index;
mod keeper;
mod live;
mod maintain;
mod memindex;
mod query;
mod recover;
mod repair;
mod segment;
mod shared;
mod state;
mod types;
mod waiters;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use model::{MessageId, Page, TenantId, ThingId};
use parking_lot::Mutex;

use crate::codec::Control;
use crate::commit::Committer;
use crate::inbox::append_control;
use crate::shared::Shared;

pub use doctor::{Damage, Report, check};
pub use error::JournalError;
pub use faults::{Faults, WriteFault};
pub use live::{LiveError, LiveStream};
pub use repair::{Repair, repair};
pub use types::{
    Durability, HistoryQuery, InboxId, NORMAL_PRIORITY, NewMessage, Options, Record, RetentionReport, Seq, Stats, TOP_PRIORITY, Ticket,
};

/// The journal; cheap to clone. Close it for a quick next start; dropping the last clone does the same and blocks.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Handle {
    fn stop(&self) {
        self.shared.pending.lock().stop = true;
        self.shared.work.notify_one();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a journal thread ended in a panic");
            }
        }
        drop(self.shared.lock.lock().take());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Journal {
    /// Opens the journal; creates the directory when absent. A torn tail is cut, missing indexes are rebuilt.
    ///
    /// Errors: [`JournalError::InUse`], [`JournalError::Corrupt`] for damage before the tail, I/O.
    pub async fn open(options: Options) -> Result<Journal, JournalError> {
        blocking(move || {
            let opened = recover::open(options)?;
            let shared = Arc::new(opened.shared);
            for tomb in &opened.tombs {
                let hits = query::hit_by(&shared, tomb)?;
                query::purge(&shared, &hits);
            }
            let (sender, jobs) = std::sync::mpsc::channel();
            let number = shared.checkpoints.lock().last;
            let committer = Committer::new(shared.clone(), sender, opened.next_id, number)?;
            let spawn_error = |e: std::io::Error| JournalError::io("start a thread for", &shared.options.dir, &e);
            let commit = Builder::new().name("journal-commit".into()).spawn(move || committer.run()).map_err(spawn_error)?;
            let keep = {
                let shared = shared.clone();
                Builder::new().name("journal-keep".into()).spawn(move || keeper::run(&shared, &jobs))
            };
            let keep = keep.map_err(spawn_error)?;
            Ok(Journal(Arc::new(Handle { shared, threads: Mutex::new(vec![commit, keep]) })))
        })
        .await
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The retained message of every tenant and topic, in order.
    pub async fn retained(&self) -> Result<Vec<Arc<Record>>, JournalError> {
        let shared = self.shared().clone();
        blocking(move || {
            let mut seqs: Vec<u64> = shared.state.lock().retained.values().map(|kept| kept.seq).collect();
            seqs.sort_unstable();
            let read = |seq| query::read_seq(&shared, seq).map(|found| found.map(Arc::new)).transpose();
            seqs.into_iter().filter_map(read).collect()
        })
        .await
    }

    /// One page of the history; both times inclusive. A page of large payloads may end before its limit.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Page<Arc<Record>>, JournalError> {
        let (shared, query) = (self.shared().clone(), query.clone());
        blocking(move || query::history(&shared, &query)).await
    }

    /// One message by id; none when it is absent, deleted, or another thing's.
    pub async fn get(&self, tenant: TenantId, thing: ThingId, id: MessageId) -> Result<Option<Arc<Record>>, JournalError> {
        let shared = self.shared().clone();
        blocking(move || query::get(&shared, tenant, thing, id)).await
    }

    /// The next records after a position, all tenants', in order: for workers with a durable cursor. May answer fewer
    /// than `limit` before the end; an empty answer means the end.
    pub async fn scan(&self, after: Seq, limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
        let shared = self.shared().clone();
        blocking(move || query::scan(&shared, after.0, limit)).await
    }

    /// Deletes a part of the history (`page` and order do not matter), durably, also from inboxes; answers how many messages.
    pub async fn delete(&self, query: &HistoryQuery) -> Result<u64, JournalError> {
        let _one_at_a_time = self.shared().maintenance.lock().await;
        let tomb = query::tomb(self.shared(), query);
        let shared = self.shared().clone();
        let hits = blocking(move || query::hit_by(&shared, &tomb)).await?;
        if hits.is_empty() {
            return Ok(0);
        }
        let position = append_control(self.shared(), Control::Delete(tomb), Some(Durability::Sync))?;
        self.durable(position).await?;
        let shared = self.shared().clone();
        let count = hits.iter().map(|(_, seqs)| seqs.len() as u64).sum();
        blocking(move || {
            query::purge(&shared, &hits);
            Ok(count)
        })
        .await
    }

    /// Forgets a thing, durably: its history, its inbox, its retained messages.
    pub async fn forget(&self, tenant: TenantId, thing: ThingId) -> Result<(), JournalError> {
        let _one_at_a_time = self.shared().maintenance.lock().await;
        let position = append_control(self.shared(), Control::Forget { tenant, thing }, Some(Durability::Sync))?;
        self.durable(position).await?;
        let shared = self.shared().clone();
        blocking(move || {
            let hits = query::hit_by(&shared, &state::everything_of(tenant, thing, position.0))?;
            query::purge(&shared, &hits);
            Ok(())
        })
        .await
    }

    /// A tenant's or a thing's records as they become durable; a slow reader loses some and never slows an append.
    #[must_use]
    pub fn live(&self, tenant: TenantId, thing: Option<ThingId>) -> LiveStream {
        self.shared().live.subscribe(tenant, thing, self.shared().closed.load(Ordering::Acquire))
    }

    /// One bounded step of retention: remembers how long messages are kept, hides older ones at once, and gives some
    /// of their space back.
    pub async fn retain(&self, keep: &HashMap<TenantId, Duration>, default: Duration) -> Result<RetentionReport, JournalError> {
        maintain::retain(self, keep, default).await
    }

    /// Waits until a record after this position is stored: for workers that have read so far. Error: the journal was closed.
    pub async fn arrived(&self, after: Seq) -> Result<(), JournalError> {
        let waiters = &self.shared().waiters;
        while waiters.stored() <= after.0 {
            // What failed to be stored is not waited for again.
            let next = waiters.resolved().max(after.0).saturating_add(1);
            if let Err(JournalError::Closed) = waiters.wait(next).await {
                return Err(JournalError::Closed);
            }
        }
        Ok(())
    }

    /// A consistent copy of the journal while it runs; `dest` is created and must be empty. Opens as a journal.
    pub async fn snapshot(&self, dest: &Path) -> Result<(), JournalError> {
        maintain::snapshot(self, dest).await
    }

    /// Figures of the moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let segments = shared.segments();
        let live = |s: &segment::Segment| s.summary().records.saturating_sub(s.dead.load(Ordering::Relaxed));
        let keys = shared.keys.lock().map.len();
        let state = shared.state.lock();
        Stats {
            bytes: segments.iter().map(|s| s.end()).sum(),
            segments: segments.len(),
            records: segments.iter().map(|s| live(s)).sum(),
            pending_bytes: shared.waiting.load(Ordering::Acquire),
            syncs: shared.syncs.load(Ordering::Relaxed),
            batches: shared.batches.load(Ordering::Relaxed),
            last_durable: commit::newest(shared),
            inboxes: state.inboxes.values().filter(|i| !i.pending.is_empty()).count(),
            inbox_entries: state.pending,
            retained: state.retained.len(),
            idempotency_keys: keys,
            tombstones: state.tombs.len(),
            damaged: shared.damaged.load(Ordering::Relaxed),
            healthy: shared.healthy.load(Ordering::Acquire),
        }
    }

    /// Writes what is pending, syncs, writes a checkpoint and stops; the directory is free afterwards for another
    /// open. Later calls that write answer [`JournalError::Closed`].
    pub async fn close(&self) -> Result<(), JournalError> {
        let handle = self.0.clone();
        blocking(move || {
            handle.stop();
            match handle.shared.health.lock().clone() {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
        .await
    }
}

/// Runs what reads the disk where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(JournalError::Closed),
    }
}
