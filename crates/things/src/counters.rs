//! What each tenant uses of its plan: counted in memory when a message is accepted, made certain from the journal.
//!
//! [`TenantState`] answers the hot path. The [`Ledger`] follows the journal record by record and stores its counts together with
//! the position up to which they hold, so that after a crash the rest is counted again from there and nothing twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use journal::{Durability, Record, Seq};
use model::{Denial, Direction, Error, Plan, PlanName, Quota, QuotaKind, Result, Tenant, TenantId, ThingId};
use parking_lot::{Mutex, RwLock};
use store::UsageCount;

use crate::Things;
use crate::period::Period;

/// The ledger's name among the journal's readers.
const CURSOR: &str = "usage";
/// Records read at a time; bounds the memory of one step.
const STEP: usize = 512;
/// Counts of periods that began longer ago are dropped.
const KEEP_USAGE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 400);

/// One tenant's plan, counters and names, in memory.
#[derive(Debug)]
pub(crate) struct TenantState {
    counters: Mutex<Counters>,
    /// The tenant's own level.
    durability: Mutex<Option<Durability>>,
    /// Thing names, once somebody needed them.
    pub(crate) names: RwLock<Option<Names>>,
    /// Held while names are read from the store, or changed there and here: else a load could miss a change.
    pub(crate) names_change: tokio::sync::Mutex<()>,
}

/// A tenant's things by name and by key.
#[derive(Debug)]
pub(crate) struct Names {
    /// When they were read.
    pub(crate) read: Timestamp,
    pub(crate) ids: HashMap<Box<str>, ThingId>,
    pub(crate) keys: HashMap<Box<str>, ThingId>,
}

#[derive(Clone, Copy, Debug)]
struct Counters {
    plan: Plan,
    since: Timestamp,
    period: Period,
    used: UsageCount,
    /// What the store knew when this period's counters were loaded: the ledger's starting point.
    base: UsageCount,
    /// Made by a message of a tenant that nobody had looked at yet; the plan is not known.
    provisional: bool,
}

fn slot(count: &mut UsageCount, direction: Direction) -> &mut u64 {
    match direction {
        Direction::Inbound => &mut count.collected,
        Direction::Outbound => &mut count.published,
    }
}

impl Counters {
    /// The clock passed the period's end, or was set back before its beginning.
    fn turn(&mut self, now: Timestamp) {
        if !self.period.holds(now) {
            let period = Period::holding(self.since, now);
            if period != self.period {
                (self.period, self.used, self.base) = (period, UsageCount::default(), UsageCount::default());
            }
        }
    }

    fn quota(&self, direction: Direction) -> Quota {
        match direction {
            Direction::Inbound => Quota { kind: QuotaKind::Collected, allowed: self.plan.collected, actual: self.used.collected },
            Direction::Outbound => Quota { kind: QuotaKind::Published, allowed: self.plan.published, actual: self.used.published },
        }
    }
}

impl TenantState {
    fn new(plan: Plan, since: Timestamp, period: Period, base: UsageCount, provisional: bool) -> Self {
        Self {
            counters: Mutex::new(Counters { plan, since, period, used: base, base, provisional }),
            durability: Mutex::new(None),
            names: RwLock::new(None),
            names_change: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn durability(&self) -> Option<Durability> {
        *self.durability.lock()
    }

    pub(crate) fn set_durability(&self, level: Option<Durability>) {
        *self.durability.lock() = level;
    }

    /// One more message, if the plan allows it.
    pub(crate) fn take(&self, direction: Direction, now: Timestamp) -> Result<Plan> {
        let mut counters = self.counters.lock();
        counters.turn(now);
        let quota = counters.quota(direction);
        if !quota.allows() {
            return Err(Error::Forbidden(Denial::Quota(quota)));
        }
        *slot(&mut counters.used, direction) += 1;
        Ok(counters.plan)
    }

    /// The message that was counted at `at` was not stored after all.
    pub(crate) fn give_back(&self, direction: Direction, at: Timestamp) {
        let mut counters = self.counters.lock();
        if counters.period.holds(at) {
            let used = slot(&mut counters.used, direction);
            *used = used.saturating_sub(1);
        }
    }

    /// The plan as last seen.
    pub(crate) fn plan(&self) -> Plan {
        self.counters.lock().plan
    }

    /// Plan, period and counts of the moment.
    pub(crate) fn usage(&self, now: Timestamp) -> (Plan, Period, UsageCount) {
        let mut counters = self.counters.lock();
        counters.turn(now);
        (counters.plan, counters.period, counters.used)
    }
}

/// How far the journal was counted, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    at: Seq,
    saved: Seq,
    /// Counts up to `at`, by tenant and the period's first microsecond.
    counted: HashMap<(TenantId, Timestamp), UsageCount>,
    dirty: BTreeSet<(TenantId, Timestamp)>,
}

impl Things {
    /// The tenant's state if it is in memory.
    pub(crate) fn known_state(&self, tenant: TenantId) -> Option<Arc<TenantState>> {
        self.inner.tenants.read().get(&tenant).cloned()
    }

    /// The tenant's state for the hot path: one that is not in memory yet is taken on trust until [`Things::maintain`] has seen it.
    pub(crate) fn state_now(&self, tenant: TenantId, now: Timestamp) -> Arc<TenantState> {
        if let Some(state) = self.known_state(tenant) {
            return state;
        }
        let period = Period { start: now, end: now };
        let state = TenantState::new(PlanName::Unlimited.plan(), now, period, UsageCount::default(), true);
        Arc::clone(self.inner.tenants.write().entry(tenant).or_insert_with(|| Arc::new(state)))
    }

    /// The tenant's state, brought up to date with the store. Error: NotFound(tenant).
    pub(crate) async fn state(&self, tx: &mut store::Tx, tenant: TenantId) -> Result<Arc<TenantState>> {
        let found = tx.tenant(tenant).await?.ok_or(Error::not_found("tenant"))?;
        self.state_of(tx, &found).await
    }

    /// The same for a tenant just read.
    pub(crate) async fn state_of(&self, tx: &mut store::Tx, tenant: &Tenant) -> Result<Arc<TenantState>> {
        let plan = tenant.plan.plan();
        let known = self.known_state(tenant.id);
        if let Some(state) = &known {
            let mut counters = state.counters.lock();
            if counters.since == tenant.plan_since && !counters.provisional {
                counters.plan = plan;
                drop(counters);
                return Ok(Arc::clone(state));
            }
        }
        let period = Period::holding(tenant.plan_since, self.now());
        let base = tx.usage(tenant.id, period.start).await?;
        let durability = tx.durability(tenant.id).await?.as_deref().and_then(crate::durability_named);
        let Some(state) = known else {
            let fresh = TenantState::new(plan, tenant.plan_since, period, base, false);
            fresh.set_durability(durability);
            let mut tenants = self.inner.tenants.write();
            return Ok(Arc::clone(tenants.entry(tenant.id).or_insert_with(|| Arc::new(fresh))));
        };
        {
            state.set_durability(durability);
            let mut counters = state.counters.lock();
            let mut used = base;
            if counters.provisional {
                used.collected += counters.used.collected;
                used.published += counters.used.published;
            }
            *counters = Counters { plan, since: tenant.plan_since, period, used, base, provisional: false };
        }
        Ok(state)
    }

    /// Where the last run left off.
    pub(crate) async fn open_ledger(&self) -> Result<()> {
        let saved = self.inner.db.read().await?.cursor(CURSOR).await?.unwrap_or(0);
        // A journal shorter than the store remembers (restored from an older copy) is counted from its end.
        let at = Seq(saved).min(self.inner.journal.stats().last_durable);
        let mut ledger = self.inner.ledger.lock().await;
        (ledger.at, ledger.saved) = (at, Seq(saved));
        drop(ledger);
        self.count_up().await
    }

    /// Counts what the journal got since the last time, stores the counts and corrects the counters in memory by them.
    pub(crate) async fn count_up(&self) -> Result<()> {
        let mut ledger = self.inner.ledger.lock().await;
        // Read in this order: what was accepted before, and is not waiting for the disk, must be in the journal or it was refused there.
        let before: Vec<(TenantId, Period, UsageCount)> = {
            let now = self.now();
            let tenants = self.inner.tenants.read();
            tenants.iter().map(|(id, state)| (*id, state.usage(now))).map(|(id, (_, period, used))| (id, period, used)).collect()
        };
        let quiet = self.inner.journal.stats().pending_bytes == 0;
        // As far as the journal reaches now: under load it grows on.
        let end = self.inner.journal.stats().last_durable;
        while ledger.at < end {
            let records = self.inner.journal.scan(ledger.at, STEP).await?;
            let Some(last) = records.last().map(|r| r.seq) else { break };
            self.count(&mut ledger, &records).await?;
            ledger.at = last;
        }
        self.correct(&ledger, &before, quiet);
        self.save(&mut ledger).await
    }

    async fn count(&self, ledger: &mut Ledger, records: &[Arc<Record>]) -> Result<()> {
        let mut cached: HashMap<TenantId, Option<(Timestamp, Period)>> = HashMap::new();
        let mut found: HashMap<(TenantId, Timestamp), UsageCount> = HashMap::new();
        for record in records.iter().filter(|r| !r.thing.uuid().is_nil()) {
            let since = match cached.get(&record.tenant) {
                Some(known) => *known,
                None => {
                    let known = self.plan_since(record.tenant).await?.map(|since| (since, Period::holding(since, record.at)));
                    cached.insert(record.tenant, known);
                    known
                }
            };
            // Of a tenant that is gone, or from before its present plan: nobody asks for that count any more.
            let Some((since, mut period)) = since.filter(|(since, _)| *since <= record.at) else { continue };
            if !period.holds(record.at) {
                period = Period::holding(since, record.at);
                cached.insert(record.tenant, Some((since, period)));
            }
            *slot(found.entry((record.tenant, period.start)).or_default(), record.direction) += 1;
        }
        for (key, more) in found {
            let count = match ledger.counted.get(&key) {
                Some(count) => *count,
                None => self.inner.db.read().await?.usage(key.0, key.1).await?,
            };
            let sum = UsageCount { collected: count.collected + more.collected, published: count.published + more.published };
            ledger.counted.insert(key, sum);
            ledger.dirty.insert(key);
        }
        Ok(())
    }

    async fn plan_since(&self, tenant: TenantId) -> Result<Option<Timestamp>> {
        if let Some(state) = self.known_state(tenant) {
            let counters = state.counters.lock();
            if !counters.provisional {
                return Ok(Some(counters.since));
            }
        }
        let mut tx = self.inner.db.read().await?;
        match self.state(&mut tx, tenant).await {
            Ok(state) => Ok(Some(state.counters.lock().since)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn correct(&self, ledger: &Ledger, before: &[(TenantId, Period, UsageCount)], quiet: bool) {
        let before: HashMap<TenantId, (Period, UsageCount)> = before.iter().map(|(id, period, used)| (*id, (*period, *used))).collect();
        for (id, state) in self.inner.tenants.read().iter() {
            let mut counters = state.counters.lock();
            let period = counters.period;
            let certain = ledger.counted.get(&(*id, period.start)).copied().unwrap_or(counters.base);
            let earlier = before.get(id).filter(|(p, _)| quiet && *p == period).map(|(_, used)| *used);
            for direction in [Direction::Inbound, Direction::Outbound] {
                let (mut certain, mut earlier) = (certain, earlier);
                let certain = *slot(&mut certain, direction);
                let used = slot(&mut counters.used, direction);
                if certain > *used {
                    *used = certain;
                } else if let Some(earlier) = earlier.as_mut().map(|e| *slot(e, direction)) {
                    // Accepted, yet neither stored nor waiting: the journal refused it, or it was a duplicate.
                    *used -= earlier.saturating_sub(certain).min(*used);
                }
            }
        }
    }

    async fn save(&self, ledger: &mut Ledger) -> Result<()> {
        if ledger.at == ledger.saved && ledger.dirty.is_empty() {
            return Ok(());
        }
        let mut tx = self.inner.db.begin().await?;
        for (tenant, period) in &ledger.dirty {
            let count = ledger.counted.get(&(*tenant, *period)).copied().unwrap_or_default();
            tx.set_usage(*tenant, *period, count).await?;
            if let Ok(oldest) = period.checked_sub(KEEP_USAGE) {
                tx.purge_usage(*tenant, oldest).await?;
            }
        }
        tx.set_cursor(CURSOR, ledger.at.0).await?;
        tx.commit().await?;
        ledger.saved = ledger.at;
        ledger.dirty.clear();
        // Past periods are looked up again should a late record of one turn up.
        let now = self.now();
        let tenants = self.inner.tenants.read();
        ledger.counted.retain(|(tenant, start), _| tenants.get(tenant).is_some_and(|s| s.usage(now).1.start == *start));
        Ok(())
    }
}
