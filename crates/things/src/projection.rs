//! The projection: messages of the journal become state, points, events and diagnostics.
//!
//! A worker elsewhere keeps the position: it takes records by [`Things::scan`], understands each by [`Things::read`] and gives the
//! readings to [`Things::apply`] in the transaction in which it stores its new position. The same record applied twice leaves the same.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;
use journal::Record;
use model::{Diagnostic, Direction, Event, EventId, Fact, FactKind, Object, Result, TenantId, ThingId};
use store::{NewPoint, StoredState, Tx};
use uuid::Uuid;

use crate::facts::{About, Said, scalars, understand};
use crate::schema::{Fault, size};
use crate::{Known, Publish, Things};

/// A section of a thing's state, as JSON: what a camera says of itself may be a picture.
const MAX_SECTION: usize = 2 << 20;
/// Names in a section of a thing's state.
const MAX_NAMES: usize = 1_024;

/// What one message says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The message's position in the journal; 0: it comes from no message.
    pub seq: u64,
    /// Values and events. Values are scalars; each has its path.
    pub facts: Vec<Fact>,
    /// Why it was not understood, if not.
    pub diagnostics: Vec<Diagnostic>,
    /// Whole sections that the state takes over.
    pub reported: Vec<Reported>,
    /// Things that were heard of.
    pub heard: Vec<Heard>,
    /// Which of the facts become points, by their place in the list.
    pub points: Vec<usize>,
}

/// A part of a section that a thing reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// Its configuration; else its attributes.
    pub configuration: bool,
    /// New values by name.
    pub values: Object,
}

/// A thing was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// When.
    pub at: Timestamp,
}

impl Things {
    /// Durable records after this position, in order.
    pub async fn scan(&self, after: u64, limit: usize) -> Result<Vec<Arc<Record>>> {
        Ok(self.inner.journal.scan(journal::Seq(after), limit).await?)
    }

    /// What a record says; nothing for outbound and tenant-local ones. What cannot be understood is no error but a diagnostic.
    ///
    /// Only things with a twin leave state, points and events; of others there are only the facts, for whoever asks. A thing of a type is
    /// held to it, and its type says which values become points; of a thing with a twin and no type, all do.
    /// Worth calling for tenants that have rules or notifications, or for which [`Things::projects`] says so.
    pub async fn read(&self, record: &Record) -> Result<Reading> {
        let mut reading = Reading { seq: record.seq.0, ..Reading::default() };
        if record.direction != Direction::Inbound || record.thing.uuid().is_nil() {
            return Ok(reading);
        }
        let Some(sender) = self.known(record.tenant, record.thing).await? else { return Ok(reading) };
        if sender.twin.is_some() {
            reading.heard.push(Heard { tenant: record.tenant, thing: record.thing, at: record.at });
        }
        let topics = self.inner.topics.get();
        let meaning = topics.and_then(|topics| topics.publish(&sender.thing, record.topic_str())).unwrap_or(Publish::Message);
        let understood = match understand(meaning, &record.payload, record.at) {
            Ok(said) => self.take(record, &sender, said, &mut reading).await?,
            Err(fault) => Err(fault),
        };
        // Things without a twin say what they like.
        if let Err(fault) = understood
            && sender.twin.is_some()
        {
            reading.diagnostics.push(Diagnostic {
                tenant: record.tenant,
                thing: record.thing,
                message: Some(record.id),
                at: record.at,
                text: fault.to_string(),
            });
        }
        Ok(reading)
    }

    async fn take(
        &self,
        record: &Record,
        sender: &Arc<Known>,
        said: Said,
        reading: &mut Reading,
    ) -> Result<std::result::Result<(), Fault>> {
        let about = match &said {
            Said::Nothing => return Ok(Ok(())),
            Said::Values { about, .. } | Said::Event { about, .. } => about.clone(),
        };
        let subject = match self.subject_of(record.tenant, sender, about).await? {
            Ok(subject) => subject,
            Err(fault) => return Ok(Err(fault)),
        };
        Ok(tell(record, &subject, said, reading))
    }

    /// The thing that is spoken of: the sender, or one behind it. That another one is there is not told.
    async fn subject_of(&self, tenant: TenantId, sender: &Arc<Known>, about: About) -> Result<std::result::Result<Arc<Known>, Fault>> {
        let (field, id) = match about {
            About::Sender => return Ok(Ok(Arc::clone(sender))),
            About::Thing(id) => ("deviceId", Some(id)),
            About::Alias(alias) => ("alias", self.aliased(tenant, &alias).await?),
        };
        if id == Some(sender.thing.id) {
            return Ok(Ok(Arc::clone(sender)));
        }
        let there = match id {
            Some(id) => self.known(tenant, id).await?,
            None => None,
        };
        let there = there.filter(|known| known.is_behind(sender.thing.id));
        Ok(there.ok_or_else(|| Fault::new(field, "there is no such device behind the sender")))
    }

    /// Writes readings down: state, points, events, diagnostics. Events that somebody else raises are given in readings of their own.
    /// What belongs to things that are gone is left out.
    pub async fn apply(&self, tx: &mut Tx, readings: &[Reading]) -> Result<()> {
        let mut states: BTreeMap<ThingId, Option<Changed>> = BTreeMap::new();
        for reading in readings {
            for heard in &reading.heard {
                if let Some(state) = changed(tx, &mut states, heard.tenant, heard.thing).await? {
                    state.state.last_seen = state.state.last_seen.max(Some(heard.at));
                    state.dirty = true;
                }
            }
            for reported in &reading.reported {
                if let Some(state) = changed(tx, &mut states, reported.tenant, reported.thing).await? {
                    let section = if reported.configuration { &mut state.state.configuration } else { &mut state.state.attributes };
                    for (name, value) in &reported.values {
                        section.insert(name.clone(), value.clone());
                    }
                    state.dirty = true;
                    state.grew = true;
                }
            }
            for (at, fact) in reading.facts.iter().enumerate() {
                match &fact.kind {
                    FactKind::Event(event) => tx.insert_event(fact.tenant, fact.thing, fact.at, event).await?,
                    FactKind::Value { path, value } if reading.points.contains(&at) => {
                        if changed(tx, &mut states, fact.tenant, fact.thing).await?.is_some() {
                            let (tenant, thing, at, seq) = (fact.tenant, fact.thing, fact.at, reading.seq);
                            tx.insert_point(&NewPoint { tenant, thing, path, at, seq, value }).await?;
                        }
                    }
                    FactKind::Value { .. } => {}
                }
            }
            for (n, diagnostic) in reading.diagnostics.iter().enumerate() {
                let name = format!("diagnostic {n}");
                let id =
                    diagnostic.message.map_or_else(|| self.inner.identity.clock().new_id(), |m| Uuid::new_v5(&m.uuid(), name.as_bytes()));
                tx.insert_diagnostic(id, diagnostic).await?;
            }
        }
        for (thing, changed) in states {
            if let Some(changed) = changed.filter(|changed| changed.dirty) {
                let Changed { mut state, was, grew, .. } = changed;
                if grew && !(fits(&state.configuration) && fits(&state.attributes)) {
                    // As it was, but heard of.
                    (state.configuration, state.attributes) = (was.configuration, was.attributes);
                    tracing::warn!(%thing, "a thing's state would be too large and stays as it was");
                }
                tx.set_thing_state(thing, &state).await?;
            }
        }
        Ok(())
    }
}

/// A state under way.
struct Changed {
    state: StoredState,
    was: StoredState,
    dirty: bool,
    grew: bool,
}

fn fits(section: &Object) -> bool {
    section.len() <= MAX_NAMES && size(section) <= MAX_SECTION
}

/// The thing's state in this transaction; none when the thing is gone or has no twin.
async fn changed<'a>(
    tx: &mut Tx,
    states: &'a mut BTreeMap<ThingId, Option<Changed>>,
    tenant: TenantId,
    thing: ThingId,
) -> Result<Option<&'a mut Changed>> {
    let state = match states.entry(thing) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(free) => {
            let state = tx.thing_state(tenant, thing).await?;
            free.insert(state.map(|state| Changed { was: state.clone(), state, dirty: false, grew: false }))
        }
    };
    Ok(state.as_mut())
}

/// What a message says of a thing, as facts.
fn tell(record: &Record, subject: &Known, said: Said, reading: &mut Reading) -> std::result::Result<(), Fault> {
    let (tenant, thing, message) = (record.tenant, subject.thing.id, record.id);
    let kept = subject.twin.is_some();
    match said {
        Said::Nothing => {}
        Said::Values { at, configuration, values, .. } => {
            let facts = scalars(configuration, &values);
            let values = serde_json::Value::Object(values);
            if let Some(compiled) = &subject.compiled {
                compiled.reported(configuration, &values)?;
            }
            for (path, value) in facts {
                if kept && subject.compiled.as_ref().is_none_or(|compiled| compiled.keeps(&path)) {
                    reading.points.push(reading.facts.len());
                }
                reading.facts.push(Fact { tenant, thing, message, at, kind: FactKind::Value { path, value } });
            }
            if let (true, serde_json::Value::Object(values)) = (kept, values) {
                reading.reported.push(Reported { tenant, thing, configuration, values });
            }
        }
        Said::Event { at, name, value, .. } => {
            if let Some(compiled) = &subject.compiled {
                compiled.event(&name, &value)?;
            }
            let id = EventId(Uuid::new_v5(&message.uuid(), b"event"));
            reading.facts.push(Fact { tenant, thing, message, at, kind: FactKind::Event(Event { id, name, value, rule: None }) });
        }
    }
    if kept && thing != record.thing {
        reading.heard.push(Heard { tenant, thing, at: record.at });
    }
    Ok(())
}
