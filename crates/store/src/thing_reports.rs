//! What things reported: state, events, and what was noted of them.

use model::{Diagnostic, Event, EventId, MessageId, Object, RuleId, TenantId, ThingId, Timestamp};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    STATE = "select t.id as thing, s.configuration as configuration, s.attributes as attributes, s.last_seen as last_seen \
             from thing t join thing_twin w on w.thing = t.id left join thing_state s on s.thing = t.id where t.tenant = $1 and t.id = $2";
    STATE_SET = "insert into thing_state (thing, configuration, attributes, last_seen) values ($1, $2, $3, $4) on conflict (thing) \
                 do update set configuration = excluded.configuration, attributes = excluded.attributes, last_seen = excluded.last_seen";
    EVENT = "insert into thing_event (id, tenant, thing, at, name, value, rule) select $1, $2, $3, $4, $5, $6, $7 \
             where exists (select 1 from thing where id = $3) on conflict (id) do nothing";
    EVENTS = "select id, at, name, value, rule from thing_event where thing = $1 and at >= $2 order by at desc limit $3";
    EVENTS_NAMED = "select id, at, name, value, rule from thing_event where thing = $1 and at >= $2 and name = $3 order by at desc limit $4";
    EVENTS_PURGE = "delete from thing_event where id in (select id from thing_event where at < $1 order by at limit $2)";
    EVENTS_FORGET = "delete from thing_event where thing = $1";
    NOTE = "insert into thing_diagnostic (id, tenant, thing, message, at, body) \
            select $1, $2, $3, $4, $5, $6 where exists (select 1 from thing_twin where thing = $3) on conflict (id) do nothing";
    NOTES = "select tenant, thing, message, at, body from thing_diagnostic where thing = $1 and at >= $2 order by at desc limit $3";
    NOTES_PURGE = "delete from thing_diagnostic where id in (select id from thing_diagnostic where at < $1 order by at limit $2)";
    NOTES_FORGET = "delete from thing_diagnostic where thing = $1";
}

row! { struct StateRow { thing: Uuid, configuration: Option<String>, attributes: Option<String>, last_seen: Option<i64> } }
row! { struct EventRow { id: Uuid, at: i64, name: String, value: String, rule: Option<Uuid> } }
row! { struct NoteRow { tenant: Uuid, thing: Uuid, message: Option<Uuid>, at: i64, body: String } }

/// What a thing last reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredState {
    /// The configuration it says it has.
    pub configuration: Object,
    /// What it measured.
    pub attributes: Object,
    /// When something last came from it.
    pub last_seen: Option<Timestamp>,
}

impl StateRow {
    fn model(self) -> Result<StoredState, Error> {
        debug_assert!(!self.thing.is_nil());
        let object = |column: &'static str, text: Option<String>| -> Result<Object, Error> {
            text.map_or(Ok(Object::new()), |text| from_json("thing_state", column, &text))
        };
        Ok(StoredState {
            configuration: object("configuration", self.configuration)?,
            attributes: object("attributes", self.attributes)?,
            last_seen: self.last_seen.map(|at| timestamp("thing_state", "last_seen", at)).transpose()?,
        })
    }
}

impl EventRow {
    fn model(self) -> Result<(Timestamp, Event), Error> {
        let value = from_json("thing_event", "value", &self.value)?;
        let event = Event { id: EventId(self.id), name: self.name, value, rule: self.rule.map(RuleId) };
        Ok((timestamp("thing_event", "at", self.at)?, event))
    }
}

impl Tx {
    /// What the thing last reported; none when the tenant has no such thing, or it has no twin.
    pub async fn thing_state(&mut self, tenant: TenantId, thing: ThingId) -> Result<Option<StoredState>, Error> {
        fetch_optional!(self, StateRow, sql::STATE, tenant.uuid(), thing.uuid())?.map(StateRow::model).transpose()
    }

    /// Sets what the thing last reported.
    pub async fn set_thing_state(&mut self, thing: ThingId, state: &StoredState) -> Result<(), Error> {
        let seen = state.last_seen.map(micros);
        execute!(self, sql::STATE_SET, thing.uuid(), to_json(&state.configuration), to_json(&state.attributes), seen)?;
        Ok(())
    }

    /// Adds an event; nothing happens when there is one of that id, or the thing is gone.
    pub async fn insert_event(&mut self, tenant: TenantId, thing: ThingId, at: Timestamp, event: &Event) -> Result<(), Error> {
        let rule = event.rule.map(RuleId::uuid);
        execute!(self, sql::EVENT, event.id.uuid(), tenant.uuid(), thing.uuid(), micros(at), &event.name, to_json(&event.value), rule,)?;
        Ok(())
    }

    /// The thing's events since then, newest first; of one name if one is given.
    pub async fn thing_events(
        &mut self,
        thing: ThingId,
        since: Timestamp,
        name: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Event)>, Error> {
        let limit = i64::from(limit);
        let rows = match name {
            Some(name) => fetch_all!(self, EventRow, sql::EVENTS_NAMED, thing.uuid(), micros(since), name, limit)?,
            None => fetch_all!(self, EventRow, sql::EVENTS, thing.uuid(), micros(since), limit)?,
        };
        rows.into_iter().map(EventRow::model).collect()
    }

    /// Notes something of a thing that has a twin; nothing happens when there is a note of that id.
    pub async fn insert_diagnostic(&mut self, id: Uuid, d: &Diagnostic) -> Result<(), Error> {
        let message = d.message.map(MessageId::uuid);
        execute!(self, sql::NOTE, id, d.tenant.uuid(), d.thing.uuid(), message, micros(d.at), &d.text)?;
        Ok(())
    }

    /// What was noted of the thing since then, newest first.
    pub async fn thing_diagnostics(&mut self, thing: ThingId, since: Timestamp, limit: u32) -> Result<Vec<Diagnostic>, Error> {
        let rows = fetch_all!(self, NoteRow, sql::NOTES, thing.uuid(), micros(since), i64::from(limit))?;
        rows.into_iter()
            .map(|row| {
                Ok(Diagnostic {
                    tenant: TenantId(row.tenant),
                    thing: ThingId(row.thing),
                    message: row.message.map(MessageId),
                    at: timestamp("thing_diagnostic", "at", row.at)?,
                    text: row.body,
                })
            })
            .collect()
    }

    /// Removes events and notes from before then, at most `limit` of each; answers how many.
    pub async fn purge_reports(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let events = execute!(self, sql::EVENTS_PURGE, micros(before), i64::from(limit))?;
        let notes = execute!(self, sql::NOTES_PURGE, micros(before), i64::from(limit))?;
        Ok(events + notes)
    }

    /// Removes a thing's events and notes.
    pub async fn forget_reports(&mut self, thing: ThingId) -> Result<(), Error> {
        execute!(self, sql::EVENTS_FORGET, thing.uuid())?;
        execute!(self, sql::NOTES_FORGET, thing.uuid())?;
        Ok(())
    }
}
