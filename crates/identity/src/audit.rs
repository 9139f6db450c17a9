//! The audit trail: lines gather in memory, are written in batches, and flushed before anyone reads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use jiff::Timestamp;
use model::{AuditEntry, Caller, Error, Page, PageRequest, Permission, Result, TenantId};
use parking_lot::Mutex;
use store::{AuditQuery, Db};
use uuid::Uuid;

use crate::{AuditEvent, AuditFilter, Identity};

/// Lines that may wait in memory; more are counted, not kept.
const WAITING_MAX: usize = 65_536;
/// Lines of one transaction.
const BATCH: usize = 1_000;
const TEXT_MAX: usize = 256;

/// Lines on their way to the store.
#[derive(Default)]
pub(crate) struct Trail {
    waiting: Mutex<Waiting>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<(AuditEntry, u32)>,
    // Equal lines of one batch become one with a count: a back end that asks for a token before each message writes one line a moment.
    same: HashMap<Sameness, usize>,
    lost: u64,
}

type Sameness = (Option<TenantId>, String, String, Option<String>, bool, Option<String>, Option<String>);

impl Trail {
    pub(crate) fn add(&self, entry: AuditEntry) {
        let e = &entry;
        let key = (e.tenant, e.actor.clone(), e.action.clone(), e.target.clone(), e.allowed, e.detail.clone(), e.address.clone());
        let mut waiting = self.waiting.lock();
        let waiting = &mut *waiting;
        match waiting.same.entry(key) {
            Entry::Occupied(at) => {
                if let Some((_, count)) = waiting.lines.get_mut(*at.get()) {
                    *count += 1;
                }
            }
            Entry::Vacant(_) if waiting.lines.len() >= WAITING_MAX => waiting.lost += 1,
            Entry::Vacant(at) => {
                at.insert(waiting.lines.len());
                waiting.lines.push((entry, 1));
            }
        }
    }

    /// Writes what waits. What cannot be written waits on.
    pub(crate) async fn flush(&self, db: &Db) -> Result<()> {
        let _one_at_a_time = self.writing.lock().await;
        let (mut lines, lost) = {
            let mut waiting = self.waiting.lock();
            waiting.same.clear();
            (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.lost))
        };
        if lost > 0 {
            tracing::error!(lost, "audit lines lost: the store did not take them in time");
        }
        while !lines.is_empty() {
            let rest = lines.split_off(lines.len().min(BATCH));
            if let Err(error) = write(db, &lines).await {
                tracing::warn!(%error, "the audit trail is not written, it waits in memory");
                lines.extend(rest);
                let mut waiting = self.waiting.lock();
                waiting.same.clear();
                lines.append(&mut waiting.lines);
                let too_many = lines.len().saturating_sub(WAITING_MAX);
                waiting.lost += u64::try_from(too_many).unwrap_or(u64::MAX);
                lines.truncate(WAITING_MAX);
                waiting.lines = lines;
                return Err(error);
            }
            lines = rest;
        }
        Ok(())
    }
}

async fn write(db: &Db, lines: &[(AuditEntry, u32)]) -> Result<()> {
    let mut tx = db.begin().await?;
    for (line, count) in lines {
        if *count == 1 {
            tx.insert_audit(line).await?;
        } else {
            let detail = match &line.detail {
                Some(detail) => format!("{detail} ({count} times)"),
                None => format!("{count} times"),
            };
            tx.insert_audit(&AuditEntry { detail: Some(detail), ..line.clone() }).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Printable, and of a length one can read.
fn tidy(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(TEXT_MAX).collect()
}

impl Identity {
    /// Puts a line on the audit trail; never waits, never fails.
    pub fn record(&self, event: AuditEvent) {
        let clock = self.clock();
        self.inner.trail.add(AuditEntry {
            id: clock.new_id(),
            tenant: event.tenant,
            at: clock.now(),
            actor: tidy(&event.actor),
            action: event.action.to_owned(),
            target: event.target.as_deref().map(tidy),
            allowed: event.allowed,
            detail: event.detail.as_deref().map(tidy),
            address: event.address.map(|a| a.to_canonical().to_string()),
        });
    }

    /// The audit trail of the caller's tenant (operators: of everything, if they ask), newest first.
    pub async fn audit(&self, caller: &Caller, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
        caller.require(if filter.everywhere { Permission::Operate } else { Permission::AuditRead })?;
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from > to
        {
            return Err(Error::invalid("from", "is after `to`"));
        }
        // A trail that cannot be written just now can still be read.
        let _ = self.inner.trail.flush(&self.inner.db).await;
        let below = match &page.cursor {
            Some(cursor) => Uuid::parse_str(cursor).map_err(|_| Error::invalid("cursor", "was not handed out by this list"))?,
            None => Uuid::max(),
        };
        let query = AuditQuery {
            tenant: (!filter.everywhere).then_some(caller.tenant),
            above: filter.from.map_or(Uuid::nil(), first_id_at),
            below: filter.to.map_or(below, |to| below.min(last_id_at(to))),
            actor: filter.actor.as_deref(),
            action: filter.action.as_deref(),
            allowed: filter.allowed,
            limit: page.limit.saturating_add(1),
        };
        let rows = self.inner.db.read().await?.audit(&query).await?;
        Ok(Page::cut(rows, page.limit, |entry| entry.id.to_string()))
    }

    /// Removes one batch of lines that are older than the trail is kept.
    pub(crate) async fn prune_audit(&self) -> Result<u64> {
        let Ok(oldest) =
            self.clock().now().checked_sub(jiff::SignedDuration::try_from(self.inner.options.audit_retention).unwrap_or_default())
        else {
            return Ok(0);
        };
        let mut tx = self.inner.db.begin().await?;
        let gone = tx.prune_audit(first_id_at(oldest), 1_000).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// Puts an administrative act on the trail, done or refused, and hands its outcome on.
    pub(crate) fn audited<T>(&self, caller: &Caller, action: &'static str, target: Option<String>, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.record(AuditEvent::done(caller, action, target)),
            Err(Error::Forbidden(denial)) => self.record(AuditEvent::refused(caller, action, target, denial)),
            Err(_) => {}
        }
        outcome
    }
}

/// The lowest id a line of that millisecond, or later, can have (RFC 9562 5.7).
fn first_id_at(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(at.as_millisecond().max(0).unsigned_abs()) << 80)
}

/// Above every id of that millisecond.
fn last_id_at(at: Timestamp) -> Uuid {
    Uuid::from_u128(u128::from(at.as_millisecond().max(0).unsigned_abs().saturating_add(1)) << 80)
}
