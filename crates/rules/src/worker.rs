//! The worker: step after step, as fast as there is something to do, and asleep otherwise.

use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::Seq;
use model::{Result, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::Rules;
use crate::memory::Memory;

/// Under which name the position is stored.
pub const CURSOR: &str = "rules";

/// Where nobody has types, rules or notifications, so often is looked whether somebody does by now.
const DULL: Duration = Duration::from_secs(1);
/// Pauses after steps that failed.
const PAUSES: [Duration; 4] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
/// How long history is kept.
const KEEP_HISTORY: Duration = Duration::from_hours(30 * 24);
const KEEP_ALERTS: Duration = Duration::from_hours(90 * 24);
/// Lines cleared away in one go.
const PURGE: u32 = 10_000;

/// How far the worker is, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// It has read the journal up to here.
    pub position: u64,
    /// So far behind the newest message it is, in positions.
    pub lag: u64,
    /// Values and events looked at.
    pub facts: u64,
    /// Events that rules raised.
    pub raised: u64,
    /// Notifications handed to the outbox.
    pub notified: u64,
    /// Notifications kept back because another was too recent.
    pub suppressed: u64,
    /// Steps that failed and were done again.
    pub failures: u64,
}

impl Rules {
    /// How far the worker is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let cells = &self.inner.progress;
        let position = cells.position.load(Ordering::Relaxed);
        Progress {
            position,
            lag: self.inner.journal.stats().last_durable.0.saturating_sub(position),
            facts: cells.facts.load(Ordering::Relaxed),
            raised: cells.raised.load(Ordering::Relaxed),
            notified: cells.notified.load(Ordering::Relaxed),
            suppressed: cells.suppressed.load(Ordering::Relaxed),
            failures: cells.failures.load(Ordering::Relaxed),
        }
    }

    /// Reads the journal behind everybody else until `shutdown`. A step that fails is done again, from what is stored.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut pauses = PAUSES.iter();
        while !shutdown.is_cancelled() {
            let before = self.progress().position;
            match self.work(&shutdown).await {
                Ok(()) => return,
                Err(error) => {
                    if self.progress().position > before {
                        pauses = PAUSES.iter();
                    }
                    self.inner.progress.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "rules could not be evaluated; done again shortly");
                    let pause = pauses.next().copied().unwrap_or(Duration::from_secs(15));
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn work(&self, shutdown: &CancellationToken) -> Result<()> {
        let mut memory = self.load().await?;
        let mut dull = false;
        while !shutdown.is_cancelled() {
            if memory.index.is_empty() {
                dull = self.leap(&mut memory).await?;
            }
            let done = if dull { 0 } else { self.step(&mut memory).await? };
            if done > 0 {
                continue;
            }
            self.store_position(&mut memory).await?;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.inner.wake.notified() => dull = false,
                arrived = self.inner.journal.arrived(Seq(memory.position)) => {
                    // The journal closes only when the gateway stops.
                    if arrived.is_err() {
                        shutdown.cancelled().await;
                    } else if dull {
                        tokio::select! {
                            () = shutdown.cancelled() => {}
                            () = self.inner.wake.notified() => dull = false,
                            () = tokio::time::sleep(DULL) => {}
                        }
                    }
                }
            }
        }
        self.store_position(&mut memory).await
    }

    /// Where nobody anywhere listens and no thing's state is kept, the journal is not even read: the position is its end as it was before
    /// that was looked up. True if so.
    async fn leap(&self, memory: &mut Memory) -> Result<bool> {
        let newest = self.inner.journal.stats().last_durable.0;
        let mut tx = self.inner.db.read().await?;
        if tx.anything_listens().await? {
            return Ok(false);
        }
        drop(tx);
        memory.position = memory.position.max(newest);
        self.inner.progress.position.store(memory.position, Ordering::Relaxed);
        Ok(true)
    }

    /// Takes every message there is, once: what [`Rules::run`] does until it is told to stop. For the command line and for tests.
    pub async fn catch_up(&self) -> Result<()> {
        let mut memory = self.load().await?;
        while self.step(&mut memory).await? > 0 {}
        self.store_position(&mut memory).await
    }

    /// Clears away what is kept no longer; to be called every minute or so.
    pub async fn maintain(&self) -> Result<()> {
        let now = self.now();
        let mut tx = self.inner.db.begin().await?;
        if let Ok(before) = now.checked_sub(KEEP_HISTORY) {
            let below = below(before);
            tx.purge_rule_executions(below, PURGE).await?;
            tx.purge_notification_history(below, PURGE).await?;
        }
        if let Ok(before) = now.checked_sub(KEEP_ALERTS) {
            tx.purge_alerts(before).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// The least id of that time.
fn below(at: Timestamp) -> uuid::Uuid {
    let millis = u128::from(at.as_millisecond().max(0).unsigned_abs());
    uuid::Uuid::from_u128(millis << 80)
}
