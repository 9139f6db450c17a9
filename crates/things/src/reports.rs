//! What is known of a device: its state, its last events, what was noted of it — and how long it is kept.

use std::collections::HashMap;
use std::time::Duration;

use jiff::SignedDuration;
use model::{
    Caller, Diagnostic, Event, Listed, Permission, Presence, Result, Selector, Slice, State, TenantId, ThingId, ThingType, Timestamp, Twin,
};
use store::StoredState;
use uuid::Uuid;

use crate::Things;

/// What "last" means.
const LAST: SignedDuration = SignedDuration::from_hours(1);
/// How long events and diagnostics are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Events or diagnostics in one answer.
const MANY: u32 = 1_000;
/// Notes in memory; beyond that the oldest are dropped.
const NOTES: usize = 10_000;
/// Rows cleared away at a time, and such steps in one call of upkeep.
const STEP: u32 = 5_000;
const STEPS: usize = 20;

impl Things {
    /// What a device last reported. Permission: `state:read`; a thing sees itself without.
    pub async fn state_of_device(&self, caller: &Caller, handle: &str) -> Result<State> {
        let found = self.find(caller, handle, Permission::StateRead, true).await?;
        let mut tx = self.inner.db.read().await?;
        self.state_in(&mut tx, caller.tenant, found.thing.id).await
    }

    /// What the devices last reported that the selector chooses, newest device first. Permission: `state:read`.
    pub async fn states(&self, caller: &Caller, selector: &Selector, slice: Slice) -> Result<Listed<State>> {
        caller.require(Permission::StateRead)?;
        let mut tx = self.inner.db.read().await?;
        let Listed { items: ids, total } = self.chosen(&mut tx, caller, selector, slice).await?;
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            items.push(self.state_in(&mut tx, caller.tenant, id).await?);
        }
        Ok(Listed { items, total })
    }

    async fn state_in(&self, tx: &mut store::Tx, tenant: TenantId, thing: ThingId) -> Result<State> {
        let StoredState { configuration, attributes, last_seen } = tx.thing_state(tenant, thing).await?.unwrap_or_default();
        let twin = tx.twin(thing).await?.unwrap_or_default();
        let compiled = match twin.thing_type {
            Some(id) => self.compiled(tx, tenant, id).await?,
            None => None,
        };
        let presence = presence(&twin, compiled.as_ref().map(|c| &*c.thing_type), last_seen, self.now());
        Ok(State { thing, configuration, attributes, last_seen, presence })
    }

    /// A device's events of the last hour, newest first, at most 1,000; of these names only, unless the list is empty.
    /// Permission: `point:read`.
    pub async fn last_events(&self, caller: &Caller, handle: &str, names: &[String]) -> Result<Vec<(Timestamp, Event)>> {
        let found = self.find(caller, handle, Permission::PointRead, false).await?;
        let since = self.before(LAST);
        let mut tx = self.inner.db.read().await?;
        if names.is_empty() {
            return Ok(tx.thing_events(found.thing.id, since, None, MANY).await?);
        }
        let mut events = Vec::new();
        let wanted: std::collections::BTreeSet<&String> = names.iter().filter(|name| !name.contains('\0')).take(64).collect();
        for name in wanted {
            events.extend(tx.thing_events(found.thing.id, since, Some(name), MANY).await?);
        }
        events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        events.truncate(MANY as usize);
        Ok(events)
    }

    /// What was noted of a device in the last hour, newest first, at most 1,000. Permission: `thing:read`.
    pub async fn last_diagnostics(&self, caller: &Caller, handle: &str) -> Result<Vec<Diagnostic>> {
        let found = self.find(caller, handle, Permission::ThingRead, false).await?;
        self.save_notes().await?;
        Ok(self.inner.db.read().await?.thing_diagnostics(found.thing.id, self.before(LAST), MANY).await?)
    }

    /// Notes something of a thing ("Device connected"); kept in memory until the next look or upkeep, and dropped for a thing without a
    /// twin. For hosts; no I/O.
    pub fn note(&self, tenant: TenantId, thing: ThingId, text: &str) {
        let note = Diagnostic { tenant, thing, message: None, at: self.now(), text: text.to_owned() };
        let mut notes = self.inner.notes.lock();
        if notes.len() >= NOTES {
            notes.pop_front();
        }
        notes.push_back(note);
    }

    /// Stores what was noted.
    pub(crate) async fn save_notes(&self) -> Result<()> {
        let notes: Vec<Diagnostic> = std::mem::take(&mut *self.inner.notes.lock()).into();
        if notes.is_empty() {
            return Ok(());
        }
        let clock = self.inner.identity.clock();
        let mut tx = self.inner.db.begin().await?;
        for note in &notes {
            tx.insert_diagnostic(clock.new_id::<Uuid>(), note).await?;
        }
        Ok(tx.commit().await?)
    }

    /// One step of retention: points as long as the plan keeps messages, events and diagnostics for a day.
    pub(crate) async fn retain_reports(&self, keep: &HashMap<TenantId, Duration>) -> Result<()> {
        let before = self.before(KEPT);
        for _ in 0..STEPS {
            let mut tx = self.inner.db.begin().await?;
            let gone = tx.purge_reports(before, STEP).await?;
            tx.commit().await?;
            if gone < u64::from(STEP) {
                break;
            }
        }
        let mut steps = STEPS;
        let mut after = None;
        while let Some(tenant) = self.inner.db.read().await?.tenant_with_points(after).await? {
            after = Some(tenant);
            // Of a tenant that is gone the things are, and their points with them.
            let Some(retention) = keep.get(&tenant) else { continue };
            let horizon = self.horizon(*retention);
            while steps > 0 {
                let mut tx = self.inner.db.begin().await?;
                let gone = tx.purge_points(tenant, horizon, STEP).await?;
                tx.commit().await?;
                if gone < u64::from(STEP) {
                    break;
                }
                steps -= 1;
            }
        }
        Ok(())
    }

    /// Clears away what a thing that is gone has left.
    pub(crate) async fn forget_reports(&self, thing: ThingId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        tx.forget_reports(thing).await?;
        tx.commit().await?;
        loop {
            let mut tx = self.inner.db.begin().await?;
            let gone = tx.forget_points(thing, STEP).await?;
            tx.commit().await?;
            if gone < u64::from(STEP) {
                return Ok(());
            }
        }
    }

    fn before(&self, span: SignedDuration) -> Timestamp {
        self.now().checked_sub(span).unwrap_or(Timestamp::MIN)
    }
}

/// Heard of within its interval? The thing's own counts before its type's; 0 is none.
fn presence(twin: &Twin, thing_type: Option<&ThingType>, last_seen: Option<Timestamp>, now: Timestamp) -> Presence {
    let interval = twin.communication_interval.or(thing_type.and_then(|t| t.communication_interval)).unwrap_or(0);
    if interval == 0 {
        return Presence::NotMonitored;
    }
    match last_seen {
        Some(seen) if now.duration_since(seen) <= SignedDuration::from_secs(i64::from(interval)) => Presence::Online,
        _ => Presence::Offline,
    }
}
