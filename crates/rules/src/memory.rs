//! What the worker holds in memory, and how it is made from what is stored: the index, the state, the position. Thrown away and made
//! again whenever a step fails, so that memory never runs ahead of what was committed.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use journal::{HistoryQuery, Record, Seq};
use model::{Direction, Fact, PageRequest, Result, RuleId, Slice, TenantId, Timestamp};
use store::Tx;

use crate::evaluate::evaluate;
use crate::index::Index;
use crate::rules::restarts;
use crate::state::State;
use crate::worker::CURSOR;
use crate::{Change, Changed, Rules};

/// Rows of one look.
const ROWS: u32 = 1_000;
/// Messages of one tenant that are read again at the start, to fill windows.
const REPLAY: usize = 50_000;
/// What came before that counts where rules compare several series, at least.
const LOOK_BACK: u32 = 3_600;

pub(crate) struct Memory {
    pub(crate) index: Index,
    pub(crate) state: State,
    /// Read up to here.
    pub(crate) position: u64,
    /// The position that is stored.
    pub(crate) stored: u64,
    /// The tenants' changes that the index knows.
    versions: HashMap<TenantId, u64>,
}

impl Rules {
    /// Everything from the store, and windows from the journal.
    pub(crate) async fn load(&self) -> Result<Memory> {
        // Whatever is changed from now on is also in what is read below, or comes as a change with a later version.
        self.inner.changes.lock().clear();
        let newest = self.inner.journal.stats().last_durable.0;
        let mut tx = self.inner.db.read().await?;
        let stored = tx.cursor(CURSOR).await?;
        let position = match stored {
            Some(position) if position <= newest => position,
            // A journal that was there before the rules, or one restored from before the store.
            Some(position) => {
                tracing::warn!(position, newest, "the journal ends before what rules have read; they go on at its end");
                newest
            }
            None => newest,
        };
        let mut memory =
            Memory { index: Index::default(), state: State::new(self.inner.limits), position, stored: position, versions: HashMap::new() };
        let mut after = None;
        loop {
            let tenants = tx.rule_versions(after, ROWS).await?;
            after = tenants.last().map(|t| t.tenant);
            let more = tenants.len() == ROWS as usize;
            for tenant in tenants {
                memory.versions.insert(tenant.tenant, tenant.version);
                load_tenant(&mut tx, &mut memory, tenant.tenant).await?;
            }
            if !more {
                break;
            }
        }
        drop(tx);
        let tenants: Vec<TenantId> = memory.versions.keys().copied().collect();
        for tenant in tenants {
            self.replay(&mut memory, tenant).await?;
        }
        if stored != Some(position) {
            let mut tx = self.inner.db.begin().await?;
            tx.set_cursor(CURSOR, position).await?;
            tx.commit().await?;
        }
        self.inner.progress.position.store(position, Ordering::Relaxed);
        Ok(memory)
    }

    /// Fills windows with what was said before the position; nothing is raised.
    async fn replay(&self, memory: &mut Memory, tenant: TenantId) -> Result<()> {
        let Some(seconds) = memory.index.looks_back(tenant) else { return Ok(()) };
        let from = self.now().checked_sub(Duration::from_secs(u64::from(seconds.max(LOOK_BACK)))).unwrap_or(Timestamp::MIN);
        let mut records: Vec<std::sync::Arc<Record>> = Vec::new();
        let mut cursor = None;
        while records.len() < REPLAY {
            let page = PageRequest { limit: PageRequest::MAX, cursor };
            let (from, direction) = (Some(from), Some(Direction::Inbound));
            let query = HistoryQuery { tenant, thing: None, from, to: None, direction, newest_first: true, page };
            let page = self.inner.journal.history(&query).await?;
            records.extend(page.items.into_iter().filter(|record| record.seq <= Seq(memory.position)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        // Standings are those that were stored; the replay must not move them.
        let mut quiet = Index::default();
        let mut tx = self.inner.db.read().await?;
        load_rules(&mut tx, tenant, |rule| quiet.put_rule(rule)).await?;
        drop(tx);
        let mut facts: Vec<Fact> = Vec::new();
        for record in records.iter().rev() {
            facts.extend(self.inner.things.read(record).await?.facts);
        }
        let subjects = self.subjects(tenant, &facts).await?;
        memory.state.keep_standings(|state| drop(evaluate(state, &quiet, &subjects, &facts)));
        Ok(())
    }

    /// Takes in what was changed here since the last step, and whatever another node changed in these tenants.
    pub(crate) async fn take_changes(&self, memory: &mut Memory, tenants: &[TenantId]) -> Result<()> {
        let changes = std::mem::take(&mut *self.inner.changes.lock());
        let mut tx = self.inner.db.read().await?;
        for Change { tenant, version, what } in changes {
            let known = memory.versions.get(&tenant).copied().unwrap_or(0);
            if version <= known {
                continue;
            }
            match what {
                _ if version != known + 1 => reload(&mut tx, memory, tenant).await?,
                Changed::Everything => reload(&mut tx, memory, tenant).await?,
                Changed::Rule(id) => {
                    take_rule(&mut tx, memory, tenant, id).await?;
                    memory.versions.insert(tenant, version);
                }
                Changed::Notification(id) => {
                    match tx.notification(tenant, id).await? {
                        Some(one) => memory.index.put_notification(one),
                        None => memory.index.remove_notification(tenant, id),
                    }
                    memory.versions.insert(tenant, version);
                }
            }
        }
        for tenant in tenants {
            let stored = tx.rule_version(*tenant).await?.map_or(0, |v| v.version);
            if stored != memory.versions.get(tenant).copied().unwrap_or(0) {
                reload(&mut tx, memory, *tenant).await?;
            }
        }
        Ok(())
    }
}

async fn take_rule(tx: &mut Tx, memory: &mut Memory, tenant: TenantId, id: RuleId) -> Result<()> {
    let new = tx.rule(tenant, id).await?;
    let old = memory.index.rule(tenant, id).map(|known| known.rule.draft.clone());
    match new {
        Some(new) => {
            if old.is_none_or(|old| restarts(&old, &new.draft)) {
                memory.state.forget_rule(id);
            }
            memory.index.put_rule(new);
        }
        None => {
            memory.state.forget_rule(id);
            memory.index.remove_rule(tenant, id);
        }
    }
    Ok(())
}

/// The tenant's rules and notifications anew; where rules stand is taken from the store.
async fn reload(tx: &mut Tx, memory: &mut Memory, tenant: TenantId) -> Result<()> {
    let version = tx.rule_version(tenant).await?.map_or(0, |v| v.version);
    for id in memory.index.rules_of(tenant) {
        memory.state.forget_rule(id);
    }
    memory.index.remove_tenant(tenant);
    load_tenant(tx, memory, tenant).await?;
    memory.versions.insert(tenant, version);
    Ok(())
}

async fn load_rules(tx: &mut Tx, tenant: TenantId, mut take: impl FnMut(model::Rule)) -> Result<()> {
    let mut after = None;
    loop {
        let mut rules = tx.rules(tenant, after, &PageRequest { limit: ROWS, cursor: None }).await?;
        let more = rules.len() > ROWS as usize;
        rules.truncate(ROWS as usize);
        after = rules.last().map(|rule| rule.id);
        rules.into_iter().for_each(&mut take);
        if !more {
            return Ok(());
        }
    }
}

async fn load_tenant(tx: &mut Tx, memory: &mut Memory, tenant: TenantId) -> Result<()> {
    load_rules(tx, tenant, |rule| memory.index.put_rule(rule)).await?;
    let mut offset = 0;
    loop {
        let listed = tx.notifications(tenant, Slice { offset, limit: Slice::MAX }).await?;
        offset += u64::from(Slice::MAX);
        listed.items.into_iter().for_each(|one| memory.index.put_notification(one));
        if offset >= listed.total {
            break;
        }
    }
    let mut after = None;
    loop {
        let states = tx.rule_states(tenant, after.as_ref(), ROWS).await?;
        let more = states.len() == ROWS as usize;
        after = states.last().cloned();
        states.into_iter().for_each(|state| memory.state.restore(state));
        if !more {
            return Ok(());
        }
    }
}
