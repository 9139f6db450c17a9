//! One step: a batch of messages understood, evaluated, and everything that follows written in one transaction with the position.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{
    Alert, AlertState, Event, Fact, FactKind, Notification, NotificationChannel, NotificationHistory, Result, RuleExecution, TenantId,
    ThingId, Timestamp,
};
use notify::{Mail, Webhook};
use store::{RuleStateRecord, Tx};
use things::Reading;

use crate::Rules;
use crate::evaluate::{Outcome, OutcomeKind, Subjects as _, evaluate};
use crate::memory::Memory;
use crate::worker::CURSOR;

/// Messages of one step.
pub(crate) const BATCH: usize = 1_000;
/// Events that raise events that raise events: so deep and no deeper.
const CHAIN: usize = 8;
/// A thing's clock may run ahead by so much; beyond that it is the gateway's time that counts.
const AHEAD: Duration = Duration::from_mins(1);
/// Positions that need not be stored when there was nothing to do.
const LAZY: u64 = 10_000;

/// What follows from a batch.
#[derive(Default)]
struct Findings {
    outcomes: Vec<(Outcome, Event)>,
    /// Events that rules raised, as facts.
    raised: Vec<Fact>,
    /// Events and whom they concern.
    told: Vec<(std::sync::Arc<Notification>, Fact)>,
}

impl Rules {
    /// Takes the next messages; how many. Nothing is left half done: on an error the memory must be made anew.
    pub(crate) async fn step(&self, memory: &mut Memory) -> Result<usize> {
        let newest = self.inner.journal.stats().last_durable.0;
        if newest <= memory.position {
            return Ok(0);
        }
        let records = self.inner.things.scan(memory.position, BATCH).await?;
        // None: all of what came was deleted since.
        let position = records.last().map_or(newest, |record| record.seq.0);
        let mut tenants: Vec<TenantId> = records.iter().map(|record| record.tenant).collect();
        tenants.sort_unstable();
        tenants.dedup();
        self.take_changes(memory, &tenants).await?;
        let mut concerned = HashSet::new();
        for tenant in tenants {
            if memory.index.listens(tenant) || self.inner.things.projects(tenant).await? {
                concerned.insert(tenant);
            }
        }
        let mut readings: Vec<Reading> = Vec::new();
        for record in records.iter().filter(|record| concerned.contains(&record.tenant)) {
            let reading = self.inner.things.read(record).await?;
            if reading != (Reading { seq: reading.seq, ..Reading::default() }) {
                readings.push(reading);
            }
        }
        if readings.is_empty() {
            memory.position = position;
            self.inner.progress.position.store(position, Ordering::Relaxed);
            if position >= memory.stored + LAZY {
                self.store_position(memory).await?;
            }
            return Ok(records.len().max(1));
        }
        let findings = self.find(memory, &readings).await?;
        self.write(memory, readings, findings, position).await?;
        Ok(records.len().max(1))
    }

    /// Stores the position, if it is not.
    pub(crate) async fn store_position(&self, memory: &mut Memory) -> Result<()> {
        if memory.stored != memory.position {
            let mut tx = self.inner.db.begin().await?;
            tx.set_cursor(CURSOR, memory.position).await?;
            tx.commit().await?;
            memory.stored = memory.position;
        }
        Ok(())
    }

    /// The things that the facts are about.
    pub(crate) async fn subjects(&self, tenant: TenantId, facts: &[Fact]) -> Result<HashMap<ThingId, things::Subject>> {
        let mut ids: Vec<ThingId> = facts.iter().filter(|fact| fact.tenant == tenant).map(|fact| fact.thing).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.inner.things.subjects(tenant, &ids).await?;
        Ok(found.into_iter().map(|subject| (subject.view().id, subject)).collect())
    }

    /// Evaluates, without writing anything.
    async fn find(&self, memory: &mut Memory, readings: &[Reading]) -> Result<Findings> {
        let latest = self.now().checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let mut facts: Vec<Fact> = readings.iter().flat_map(|reading| reading.facts.iter().cloned()).collect();
        for fact in &mut facts {
            fact.at = fact.at.min(latest);
        }
        facts.retain(|fact| memory.index.listens(fact.tenant));
        let tenants: HashSet<TenantId> = facts.iter().map(|fact| fact.tenant).collect();
        let mut subjects = HashMap::new();
        for tenant in tenants {
            subjects.extend(self.subjects(tenant, &facts).await?);
        }
        self.inner.progress.facts.fetch_add(u64::try_from(facts.len()).unwrap_or(0), Ordering::Relaxed);
        let mut findings = Findings::default();
        for fact in facts {
            let Some(subject) = subjects.subject(fact.thing) else { continue };
            let mut layer = vec![fact];
            // Each fact is followed to its end before the next, so that an event meets the state of its own time.
            for depth in 0..=CHAIN {
                for fact in &layer {
                    if let FactKind::Event(event) = &fact.kind {
                        let told = memory.index.told(fact.tenant, &event.name, &subject);
                        let told = told.into_iter().filter(|one| one.filter.rule.is_none() || one.filter.rule == event.rule);
                        findings.told.extend(told.map(|one| (one, fact.clone())));
                    }
                }
                if depth == CHAIN {
                    break;
                }
                let outcomes = evaluate(&mut memory.state, &memory.index, &subjects, &layer);
                layer = self.raise(memory, outcomes, &mut findings);
                if layer.is_empty() {
                    break;
                }
            }
        }
        Ok(findings)
    }

    /// The events that outcomes raise.
    fn raise(&self, memory: &Memory, outcomes: Vec<Outcome>, findings: &mut Findings) -> Vec<Fact> {
        let mut layer = Vec::new();
        for outcome in outcomes {
            let Some(rule) = memory.index.rule(outcome.tenant, outcome.rule) else { continue };
            let draft = &rule.rule.draft;
            let name = match outcome.kind {
                OutcomeKind::Raised => Some(draft.event.clone()),
                OutcomeKind::Left => draft.exit_event.clone(),
            };
            let raised = name.is_some();
            let id = self.inner.identity.clock().new_id();
            let event = Event { id, name: name.unwrap_or_default(), value: model::Value::Null, rule: Some(outcome.rule) };
            if raised {
                let kind = FactKind::Event(event.clone());
                layer.push(Fact { tenant: outcome.tenant, thing: outcome.thing, message: outcome.message, at: outcome.at, kind });
            }
            findings.outcomes.push((outcome, event));
        }
        findings.raised.extend(layer.iter().cloned());
        layer
    }

    /// Everything at once, or nothing.
    async fn write(&self, memory: &mut Memory, mut readings: Vec<Reading>, findings: Findings, position: u64) -> Result<()> {
        let Findings { outcomes, raised, told } = findings;
        let (raisings, tellings) = (raised.len(), told.len());
        readings.extend(raised.into_iter().map(|fact| Reading { facts: vec![fact], ..Reading::default() }));
        let mut tx = self.inner.db.begin().await?;
        self.inner.things.apply(&mut tx, &readings).await?;
        for (outcome, event) in &outcomes {
            self.write_outcome(&mut tx, memory, outcome, event).await?;
        }
        let mut sent = 0;
        for (notification, fact) in &told {
            sent += usize::from(self.tell(&mut tx, notification, fact).await?);
        }
        tx.set_cursor(CURSOR, position).await?;
        tx.commit().await?;
        if sent > 0 {
            self.inner.notify.nudge();
        }
        (memory.position, memory.stored) = (position, position);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let progress = &self.inner.progress;
        progress.position.store(position, Ordering::Relaxed);
        progress.raised.fetch_add(count(raisings), Ordering::Relaxed);
        progress.notified.fetch_add(count(sent), Ordering::Relaxed);
        progress.suppressed.fetch_add(count(tellings - sent), Ordering::Relaxed);
        Ok(())
    }

    async fn write_outcome(&self, tx: &mut Tx, memory: &mut Memory, outcome: &Outcome, event: &Event) -> Result<()> {
        let Some(rule) = memory.index.rule(outcome.tenant, outcome.rule).cloned() else { return Ok(()) };
        let standing = memory.state.of(outcome.thing).standing(&rule, &outcome.path);
        let fired = standing.fired.and_then(|at| Timestamp::from_microsecond(at).ok());
        let (path, thing) = (outcome.path.clone(), outcome.thing);
        let record = RuleStateRecord { rule: outcome.rule, thing, path: path.clone(), holding: standing.raised, fired };
        tx.put_rule_state(outcome.tenant, &record).await?;
        if !event.name.is_empty() {
            let (value, at) = (outcome.value.clone(), outcome.at);
            let event_name = event.name.clone();
            let execution =
                RuleExecution { rule: outcome.rule, thing, path: path.clone(), event: event_name, event_id: event.id, value, at };
            tx.insert_rule_execution(outcome.tenant, &execution).await?;
        }
        match outcome.kind {
            OutcomeKind::Left => Ok(tx.leave_alert(outcome.rule, thing, &path, outcome.at).await?),
            OutcomeKind::Raised => {
                let alert = Alert {
                    id: self.inner.identity.clock().new_id(),
                    tenant: outcome.tenant,
                    rule: outcome.rule,
                    name: rule.rule.draft.name.clone(),
                    thing,
                    path,
                    state: AlertState::Raised,
                    value: outcome.value.clone(),
                    count: 1,
                    raised: outcome.at,
                    last: outcome.at,
                    acknowledged: None,
                    cleared: None,
                };
                Ok(tx.raise_alert(&alert).await?)
            }
        }
    }

    /// Notes that a notification's filter was met, and queues what goes out; false when another delivery was too recent.
    async fn tell(&self, tx: &mut Tx, notification: &Notification, fact: &Fact) -> Result<bool> {
        let FactKind::Event(event) = &fact.kind else { return Ok(false) };
        let now = self.now();
        let quiet = match notification.template.debounce {
            Some(minutes) => now.checked_sub(Duration::from_secs(u64::from(minutes) * 60)).unwrap_or(Timestamp::MIN),
            None => Timestamp::MAX,
        };
        let sent = tx.deliver_notification(notification.id, now, quiet).await?;
        let history = NotificationHistory {
            id: self.inner.identity.clock().new_id(),
            notification: notification.id,
            tenant: notification.tenant,
            at: now,
            thing: fact.thing,
            event: event.clone(),
            event_at: fact.at,
            suppressed: !sent,
        };
        tx.insert_notification_history(&history).await?;
        if sent {
            for channel in &notification.channels {
                self.queue(tx, notification, channel, fact, event).await?;
            }
        }
        Ok(sent)
    }

    async fn queue(&self, tx: &mut Tx, n: &Notification, channel: &NotificationChannel, fact: &Fact, event: &Event) -> Result<()> {
        let (notify, template) = (&self.inner.notify, &n.template);
        match channel {
            NotificationChannel::Mail => {
                let subject = template.topic.clone().unwrap_or_else(|| event.name.clone());
                for to in &template.recipients {
                    let mail = Mail { to: to.clone(), subject: subject.clone(), text: template.payload.clone() };
                    notify.mail_for(tx, n.tenant, mail).await?;
                }
            }
            NotificationChannel::Webhook { url } => {
                let told = serde_json::json!({
                    "notification": n.id, "tenant": n.tenant, "topic": template.topic, "payload": template.payload,
                    "event": {
                        "id": event.id, "name": event.name, "value": event.value, "rule": event.rule, "thing": fact.thing, "at": fact.at,
                    },
                });
                notify.webhook_in(tx, n.tenant, Webhook { owner: n.id.uuid(), url: url.clone(), body: told.to_string() }).await?;
            }
            NotificationChannel::Message { thing } => {
                notify.message_in(tx, n.tenant, thing.unwrap_or(fact.thing), template.payload.clone()).await?;
            }
        }
        Ok(())
    }
}
