//! Rules, where they stand with each thing, what they raised, and the alerts that are open.

use model::{
    Alert, AlertId, AlertState, EventId, Listed, PageRequest, Rule, RuleDraft, RuleExecution, RuleId, Slice, TenantId, ThingId, Timestamp,
};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    BUMP = "insert into rule_version (tenant, version, rules, notifications) values ($1, 1, $2, $3) on conflict (tenant) do update set \
            version = rule_version.version + 1, rules = rule_version.rules + excluded.rules, \
            notifications = rule_version.notifications + excluded.notifications returning tenant, version, rules, notifications";
    VERSION = "select tenant, version, rules, notifications from rule_version where tenant = $1";
    VERSIONS = "select tenant, version, rules, notifications from rule_version where tenant > $1 order by tenant limit $2";
    // Both are walked by index and end at the first row found.
    ANY_RULES = "select count(*) as n from (select 1 as one from rule_version where tenant > $1 and (rules > 0 or notifications > 0) limit 1) as some_rows";
    ANY_TWINS = "select count(*) as n from (select 1 as one from thing_twin where tenant > $1 limit 1) as some_rows";
    INSERT = "insert into rule (id, tenant, name, sort_name, active, draft, created, updated) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    UPDATE = "update rule set name = $3, sort_name = $4, active = $5, draft = $6, updated = $7 where tenant = $1 and id = $2";
    DELETE = "delete from rule where tenant = $1 and id = $2";
    DELETE_ALL = "delete from rule where tenant = $1";
    INSERT_PATH = "insert into rule_path (rule, tenant, path, sort_name) values ($1, $2, $3, $4)";
    DELETE_PATHS = "delete from rule_path where rule = $1";
    BY_ID = "select id, tenant, draft, created, updated from rule where tenant = $1 and id = $2";
    PAGE = "select id, tenant, draft, created, updated from rule where tenant = $1 and id > $2 order by id limit $3";
    BY_NAME = "select id, tenant, draft, created, updated from rule where tenant = $1 and active = coalesce($2, active) \
               order by sort_name, id limit $3 offset $4";
    COUNT_BY_NAME = "select count(*) as n from rule where tenant = $1 and active = coalesce($2, active)";
    BY_PATH = "select r.id, r.tenant, r.draft, r.created, r.updated from rule_path p join rule r on r.id = p.rule \
               where p.tenant = $1 and p.path = $2 and r.active = coalesce($3, r.active) order by p.sort_name, p.rule limit $4 offset $5";
    COUNT_BY_PATH = "select count(*) as n from rule_path p join rule r on r.id = p.rule \
                     where p.tenant = $1 and p.path = $2 and r.active = coalesce($3, r.active)";
    STATES = "select rule, thing, path, holding, fired from rule_state \
              where tenant = $1 and (rule, thing, path) > ($2, $3, $4) order by rule, thing, path limit $5";
    PUT_STATE = "insert into rule_state (rule, thing, path, tenant, holding, fired) values ($1, $2, $3, $4, $5, $6) \
                 on conflict (rule, thing, path) do update set holding = excluded.holding, fired = excluded.fired";
    DROP_STATES = "delete from rule_state where rule = $1";
    INSERT_EXECUTION = "insert into rule_execution (event_id, rule, tenant, thing, path, event, value, at) \
                        values ($1, $2, $3, $4, $5, $6, $7, $8)";
    EXECUTIONS = "select event_id, rule, thing, path, event, value, at from rule_execution \
                  where rule = $1 and at >= $2 and at <= $3 order by at desc, event_id desc limit $4 offset $5";
    COUNT_EXECUTIONS = "select count(*) as n from rule_execution where rule = $1 and at >= $2 and at <= $3";
    PURGE_EXECUTIONS = "delete from rule_execution where event_id in \
                        (select event_id from rule_execution where event_id < $1 order by event_id limit $2)";
    RAISE = "insert into alert (id, tenant, rule, name, thing, path, state, value, count, raised, last) \
             values ($1, $2, $3, $4, $5, $6, 'raised', $7, 1, $8, $8) on conflict (rule, thing, path) where cleared is null \
             do update set count = alert.count + 1, last = excluded.last, value = excluded.value";
    LEAVE = "update alert set state = 'cleared', cleared = $4, cleared_by = 'rule' \
             where rule = $1 and thing = $2 and path = $3 and cleared is null";
    ALERT = "select id, tenant, rule, name, thing, path, state, value, count, raised, last, acknowledged, acknowledged_by, cleared, \
             cleared_by from alert where tenant = $1 and id = $2";
    ALERTS = "select id, tenant, rule, name, thing, path, state, value, count, raised, last, acknowledged, acknowledged_by, cleared, \
              cleared_by from alert where tenant = $1 and id < $2 order by id desc limit $3";
    ALERTS_IN = "select id, tenant, rule, name, thing, path, state, value, count, raised, last, acknowledged, acknowledged_by, cleared, \
                 cleared_by from alert where tenant = $1 and state = $2 and id < $3 order by id desc limit $4";
    ALERTS_OF_RULE = "select id, tenant, rule, name, thing, path, state, value, count, raised, last, acknowledged, acknowledged_by, \
                      cleared, cleared_by from alert where tenant = $1 and rule = $2 and id < $3 \
                      and state = coalesce($4, state) and thing = coalesce($5, thing) order by id desc limit $6";
    ALERTS_OF_THING = "select id, tenant, rule, name, thing, path, state, value, count, raised, last, acknowledged, acknowledged_by, \
                       cleared, cleared_by from alert where thing = $2 and tenant = $1 and id < $3 \
                       and state = coalesce($4, state) order by id desc limit $5";
    ACKNOWLEDGE = "update alert set state = 'acknowledged', acknowledged = $3, acknowledged_by = $4 \
                   where tenant = $1 and id = $2 and state = 'raised'";
    CLEAR = "update alert set state = 'cleared', cleared = $3, cleared_by = $4 where tenant = $1 and id = $2 and cleared is null";
    PURGE_ALERTS = "delete from alert where cleared is not null and cleared < $1";
}

row! { struct VersionRow { tenant: Uuid, version: i64, rules: i64, notifications: i64 } }
row! { struct RuleRow { id: Uuid, tenant: Uuid, draft: String, created: i64, updated: i64 } }
row! { struct CountRow { n: i64 } }
row! { struct StateRow { rule: Uuid, thing: Uuid, path: String, holding: bool, fired: Option<i64> } }
row! { struct ExecutionRow { event_id: Uuid, rule: Uuid, thing: Uuid, path: String, event: String, value: String, at: i64 } }
row! {
    struct AlertRow {
        id: Uuid, tenant: Uuid, rule: Uuid, name: String, thing: Uuid, path: String, state: String, value: String, count: i64,
        raised: i64, last: i64, acknowledged: Option<i64>, acknowledged_by: Option<String>, cleared: Option<i64>, cleared_by: Option<String>,
    }
}

/// How often a tenant's rules and notifications were changed, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleVersion {
    /// The tenant.
    pub tenant: TenantId,
    /// Changes so far.
    pub version: u64,
    /// Rules.
    pub rules: u64,
    /// Notifications.
    pub notifications: u64,
}

/// Where a rule stands with a thing (and series).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStateRecord {
    /// The rule.
    pub rule: RuleId,
    /// The thing.
    pub thing: ThingId,
    /// The series, or empty.
    pub path: String,
    /// Is the condition met?
    pub holding: bool,
    /// When it was last raised.
    pub fired: Option<Timestamp>,
}

/// Which alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertSelection {
    /// In this state.
    pub state: Option<AlertState>,
    /// Of this rule.
    pub rule: Option<RuleId>,
    /// Of this thing.
    pub thing: Option<ThingId>,
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

impl From<VersionRow> for RuleVersion {
    fn from(row: VersionRow) -> Self {
        let (version, rules, notifications) = (count(row.version), count(row.rules), count(row.notifications));
        Self { tenant: TenantId(row.tenant), version, rules, notifications }
    }
}

impl RuleRow {
    fn model(self) -> Result<Rule, Error> {
        Ok(Rule {
            id: RuleId(self.id),
            tenant: TenantId(self.tenant),
            created: timestamp("rule", "created", self.created)?,
            updated: timestamp("rule", "updated", self.updated)?,
            draft: from_json("rule", "draft", &self.draft)?,
        })
    }
}

impl ExecutionRow {
    fn model(self) -> Result<RuleExecution, Error> {
        Ok(RuleExecution {
            rule: RuleId(self.rule),
            thing: ThingId(self.thing),
            path: self.path,
            event: self.event,
            event_id: EventId(self.event_id),
            value: from_json("rule_execution", "value", &self.value)?,
            at: timestamp("rule_execution", "at", self.at)?,
        })
    }
}

impl AlertRow {
    fn model(self) -> Result<Alert, Error> {
        let state = AlertState::ALL.into_iter().find(|state| state.name() == self.state);
        let state = state.ok_or_else(|| Error::corrupt("alert", "state", self.id, &self.state))?;
        let moment = |at: Option<i64>, by: Option<String>| {
            at.map(|at| Ok::<_, Error>((timestamp("alert", "at", at)?, by.unwrap_or_default()))).transpose()
        };
        Ok(Alert {
            id: AlertId(self.id),
            tenant: TenantId(self.tenant),
            rule: RuleId(self.rule),
            name: self.name,
            thing: ThingId(self.thing),
            path: self.path,
            state,
            value: from_json("alert", "value", &self.value)?,
            count: count(self.count),
            raised: timestamp("alert", "raised", self.raised)?,
            last: timestamp("alert", "last", self.last)?,
            acknowledged: moment(self.acknowledged, self.acknowledged_by)?,
            cleared: moment(self.cleared, self.cleared_by)?,
        })
    }
}

/// The series a rule is about.
fn paths(draft: &RuleDraft) -> Vec<String> {
    let mut paths = draft.each.clone();
    draft.condition.walk(&mut |one, _| {
        if let model::Condition::Compare(comparison) = one {
            paths.extend(comparison.path.clone());
        }
    });
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// What sorts before every other id, and after.
const ENDS: (Uuid, Uuid) = (Uuid::nil(), Uuid::max());

fn bounds(slice: Slice) -> (i64, i64) {
    (i64::from(slice.limit), i64::try_from(slice.offset).unwrap_or(i64::MAX))
}

impl Tx {
    /// Counts a change of the tenant's rules or notifications, of whose numbers these are the differences. Holds the tenant's row
    /// until the commit, so that versions become visible in order.
    pub async fn bump_rules(&mut self, tenant: TenantId, rules: i64, notifications: i64) -> Result<RuleVersion, Error> {
        Ok(fetch_one!(self, VersionRow, sql::BUMP, tenant.uuid(), rules, notifications)?.into())
    }

    /// The tenant's count of changes; none when there never was one.
    pub async fn rule_version(&mut self, tenant: TenantId) -> Result<Option<RuleVersion>, Error> {
        Ok(fetch_optional!(self, VersionRow, sql::VERSION, tenant.uuid())?.map(RuleVersion::from))
    }

    /// Tenants that ever had a rule or notification, by id.
    pub async fn rule_versions(&mut self, after: Option<TenantId>, limit: u32) -> Result<Vec<RuleVersion>, Error> {
        let after = after.map_or(ENDS.0, TenantId::uuid);
        Ok(fetch_all!(self, VersionRow, sql::VERSIONS, after, i64::from(limit))?.into_iter().map(RuleVersion::from).collect())
    }

    /// Is there a rule, a notification, or a thing whose state is kept, anywhere?
    pub async fn anything_listens(&mut self) -> Result<bool, Error> {
        let rules = fetch_one!(self, CountRow, sql::ANY_RULES, ENDS.0)?.n > 0;
        Ok(rules || fetch_one!(self, CountRow, sql::ANY_TWINS, ENDS.0)?.n > 0)
    }

    /// Adds a rule.
    pub async fn insert_rule(&mut self, r: &Rule) -> Result<(), Error> {
        let (draft, sort_name) = (to_json(&r.draft), r.draft.name.to_lowercase());
        let (created, updated) = (micros(r.created), micros(r.updated));
        execute!(self, sql::INSERT, r.id.uuid(), r.tenant.uuid(), &r.draft.name, &sort_name, r.draft.active, draft, created, updated)?;
        self.put_paths(r, &sort_name).await
    }

    /// Changes a rule; false when it is not there. What was known of where it stands is forgotten with `restart`.
    pub async fn update_rule(&mut self, r: &Rule, restart: bool) -> Result<bool, Error> {
        let (draft, sort_name) = (to_json(&r.draft), r.draft.name.to_lowercase());
        let (id, tenant) = (r.id.uuid(), r.tenant.uuid());
        if execute!(self, sql::UPDATE, tenant, id, &r.draft.name, &sort_name, r.draft.active, draft, micros(r.updated))? == 0 {
            return Ok(false);
        }
        execute!(self, sql::DELETE_PATHS, id)?;
        if restart {
            execute!(self, sql::DROP_STATES, id)?;
        }
        self.put_paths(r, &sort_name).await?;
        Ok(true)
    }

    async fn put_paths(&mut self, r: &Rule, sort_name: &str) -> Result<(), Error> {
        for path in paths(&r.draft) {
            execute!(self, sql::INSERT_PATH, r.id.uuid(), r.tenant.uuid(), path, sort_name)?;
        }
        Ok(())
    }

    /// Removes a rule and what is known of it; its open alerts are cleared. False when it is not there.
    pub async fn delete_rule(&mut self, tenant: TenantId, id: RuleId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), id.uuid())? == 1)
    }

    /// Removes every rule of the tenant; how many.
    pub async fn delete_rules(&mut self, tenant: TenantId) -> Result<u64, Error> {
        Ok(execute!(self, sql::DELETE_ALL, tenant.uuid())?)
    }

    /// One rule.
    pub async fn rule(&mut self, tenant: TenantId, id: RuleId) -> Result<Option<Rule>, Error> {
        fetch_optional!(self, RuleRow, sql::BY_ID, tenant.uuid(), id.uuid())?.map(RuleRow::model).transpose()
    }

    /// Rules by id; one more than the page holds.
    pub async fn rules(&mut self, tenant: TenantId, after: Option<RuleId>, page: &PageRequest) -> Result<Vec<Rule>, Error> {
        let (after, limit) = (after.map_or(ENDS.0, RuleId::uuid), i64::from(page.limit) + 1);
        fetch_all!(self, RuleRow, sql::PAGE, tenant.uuid(), after, limit)?.into_iter().map(RuleRow::model).collect()
    }

    /// Rules by name, those that are (not) active or about a series if told so.
    pub async fn rules_by_name(
        &mut self,
        tenant: TenantId,
        active: Option<bool>,
        path: Option<&str>,
        slice: Slice,
    ) -> Result<Listed<Rule>, Error> {
        let (limit, offset) = bounds(slice);
        let tenant = tenant.uuid();
        let (rows, total) = match path {
            None => (
                fetch_all!(self, RuleRow, sql::BY_NAME, tenant, active, limit, offset)?,
                fetch_one!(self, CountRow, sql::COUNT_BY_NAME, tenant, active)?,
            ),
            Some(path) => (
                fetch_all!(self, RuleRow, sql::BY_PATH, tenant, path, active, limit, offset)?,
                fetch_one!(self, CountRow, sql::COUNT_BY_PATH, tenant, path, active)?,
            ),
        };
        Ok(Listed { items: rows.into_iter().map(RuleRow::model).collect::<Result<_, _>>()?, total: count(total.n) })
    }

    /// Where the tenant's rules stand, in order of rule, thing and series.
    pub async fn rule_states(
        &mut self,
        tenant: TenantId,
        after: Option<&RuleStateRecord>,
        limit: u32,
    ) -> Result<Vec<RuleStateRecord>, Error> {
        let (rule, thing, path) = after.map_or((ENDS.0, ENDS.0, ""), |r| (r.rule.uuid(), r.thing.uuid(), r.path.as_str()));
        let rows = fetch_all!(self, StateRow, sql::STATES, tenant.uuid(), rule, thing, path, i64::from(limit))?;
        let model = |row: StateRow| {
            let fired = row.fired.map(|at| timestamp("rule_state", "fired", at)).transpose()?;
            Ok(RuleStateRecord { rule: RuleId(row.rule), thing: ThingId(row.thing), path: row.path, holding: row.holding, fired })
        };
        rows.into_iter().map(model).collect()
    }

    /// Stores where a rule stands.
    pub async fn put_rule_state(&mut self, tenant: TenantId, s: &RuleStateRecord) -> Result<(), Error> {
        let fired = s.fired.map(micros);
        execute!(self, sql::PUT_STATE, s.rule.uuid(), s.thing.uuid(), &s.path, tenant.uuid(), s.holding, fired)?;
        Ok(())
    }

    /// Notes that a rule raised an event.
    pub async fn insert_rule_execution(&mut self, tenant: TenantId, e: &RuleExecution) -> Result<(), Error> {
        let (id, rule, thing) = (e.event_id.uuid(), e.rule.uuid(), e.thing.uuid());
        execute!(self, sql::INSERT_EXECUTION, id, rule, tenant.uuid(), thing, &e.path, &e.event, to_json(&e.value), micros(e.at))?;
        Ok(())
    }

    /// What a rule raised between two moments, both included, newest first.
    pub async fn rule_executions(
        &mut self,
        rule: RuleId,
        from: Timestamp,
        to: Timestamp,
        slice: Slice,
    ) -> Result<Listed<RuleExecution>, Error> {
        let (limit, offset) = bounds(slice);
        let rows = fetch_all!(self, ExecutionRow, sql::EXECUTIONS, rule.uuid(), micros(from), micros(to), limit, offset)?;
        let total = fetch_one!(self, CountRow, sql::COUNT_EXECUTIONS, rule.uuid(), micros(from), micros(to))?;
        Ok(Listed { items: rows.into_iter().map(ExecutionRow::model).collect::<Result<_, _>>()?, total: count(total.n) })
    }

    /// Removes at most `limit` raisings with event ids below `below`; how many.
    pub async fn purge_rule_executions(&mut self, below: Uuid, limit: u32) -> Result<u64, Error> {
        Ok(execute!(self, sql::PURGE_EXECUTIONS, below, i64::from(limit))?)
    }

    /// Opens an alert, or counts on in the one that is open for its rule, thing and series.
    pub async fn raise_alert(&mut self, a: &Alert) -> Result<(), Error> {
        let (id, tenant, rule, thing) = (a.id.uuid(), a.tenant.uuid(), a.rule.uuid(), a.thing.uuid());
        execute!(self, sql::RAISE, id, tenant, rule, &a.name, thing, &a.path, to_json(&a.value), micros(a.last))?;
        Ok(())
    }

    /// Clears the alert that is open for the rule, thing and series, since the condition was left.
    pub async fn leave_alert(&mut self, rule: RuleId, thing: ThingId, path: &str, at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::LEAVE, rule.uuid(), thing.uuid(), path, micros(at))?;
        Ok(())
    }

    /// One alert.
    pub async fn alert(&mut self, tenant: TenantId, id: AlertId) -> Result<Option<Alert>, Error> {
        fetch_optional!(self, AlertRow, sql::ALERT, tenant.uuid(), id.uuid())?.map(AlertRow::model).transpose()
    }

    /// Alerts, newest first; one more than the page holds.
    pub async fn alerts(
        &mut self,
        tenant: TenantId,
        which: AlertSelection,
        before: Option<AlertId>,
        page: &PageRequest,
    ) -> Result<Vec<Alert>, Error> {
        let (tenant, before, limit) = (tenant.uuid(), before.map_or(ENDS.1, AlertId::uuid), i64::from(page.limit) + 1);
        let (state, rule, thing) = (which.state.map(AlertState::name), which.rule.map(RuleId::uuid), which.thing.map(ThingId::uuid));
        let rows = match (rule, thing, state) {
            (Some(rule), thing, state) => fetch_all!(self, AlertRow, sql::ALERTS_OF_RULE, tenant, rule, before, state, thing, limit)?,
            (None, Some(thing), state) => fetch_all!(self, AlertRow, sql::ALERTS_OF_THING, tenant, thing, before, state, limit)?,
            (None, None, Some(state)) => fetch_all!(self, AlertRow, sql::ALERTS_IN, tenant, state, before, limit)?,
            (None, None, None) => fetch_all!(self, AlertRow, sql::ALERTS, tenant, before, limit)?,
        };
        rows.into_iter().map(AlertRow::model).collect()
    }

    /// Somebody has seen the alert; false unless it was raised and not seen before.
    pub async fn acknowledge_alert(&mut self, tenant: TenantId, id: AlertId, at: Timestamp, by: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::ACKNOWLEDGE, tenant.uuid(), id.uuid(), micros(at), by)? == 1)
    }

    /// Somebody clears the alert; false unless it is open.
    pub async fn clear_alert(&mut self, tenant: TenantId, id: AlertId, at: Timestamp, by: &str) -> Result<bool, Error> {
        Ok(execute!(self, sql::CLEAR, tenant.uuid(), id.uuid(), micros(at), by)? == 1)
    }

    /// Removes alerts cleared before `before`; how many.
    pub async fn purge_alerts(&mut self, before: Timestamp) -> Result<u64, Error> {
        Ok(execute!(self, sql::PURGE_ALERTS, micros(before))?)
    }
}
