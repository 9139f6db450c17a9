//! Rules, alerts, notifications. What a condition, a selector and a channel may hold is told in `docs/rules.md`; the core checks it.

use jiff::Timestamp;
use model::{AlertState, Condition, NotificationChannel, NotificationFilter, NotificationTemplate, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Moment, OutboxState};

/// What a rule says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// Its name, 1 to 256 characters.
    #[schema(example = "too hot")]
    pub name: String,
    /// Is it watched at all? `true` unless told otherwise.
    #[serde(default = "yes")]
    pub active: bool,
    /// Series for each of which the rule runs by itself; a comparison without a path means the one at hand.
    #[serde(default)]
    pub each: Vec<String>,
    /// What must be so: one of `all`, `any`, `not`, `compare`, `event`.
    #[schema(value_type = Object, example = json!({"compare": {"path": "$.attributes.t", "comparator": "gt", "constant": 30}}))]
    pub condition: Condition,
    /// Which things are watched; absent: every thing of the tenant.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"tags": ["roof*"]}))]
    pub selector: Selector,
    /// The event that is raised.
    #[schema(example = "overheated")]
    pub event: String,
    /// The event that is raised when the condition is met no more.
    pub exit_event: Option<String>,
    /// Seconds between two raisings for one thing (and series), 1 to 86,400; 1 unless told otherwise.
    #[serde(default = "one")]
    pub interval: u32,
    /// Raised again and again while the condition holds (`true` unless told otherwise), or once until it is left.
    #[serde(default = "yes")]
    pub repeating: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

impl From<NewRule> for model::RuleDraft {
    fn from(r: NewRule) -> Self {
        let NewRule { name, active, each, condition, selector, event, exit_event, interval, repeating } = r;
        Self { name, active, each, condition, selector, event, exit_event, interval, repeating }
    }
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rule {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// What it says.
    #[serde(flatten)]
    #[schema(value_type = NewRule)]
    pub says: model::RuleDraft,
}

impl From<model::Rule> for Rule {
    fn from(r: model::Rule) -> Self {
        Self { id: r.id.uuid(), created: r.created, updated: r.updated, says: r.draft }
    }
}

/// One raising of a rule's event or exit event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Execution {
    /// The thing.
    pub thing: Uuid,
    /// The series, where the rule runs for each by itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub path: String,
    /// The event that was raised.
    pub event: String,
    /// That event's id.
    pub event_id: Uuid,
    /// The value that decided.
    pub value: Value,
    /// When.
    pub at: Timestamp,
}

impl From<model::RuleExecution> for Execution {
    fn from(e: model::RuleExecution) -> Self {
        let (thing, event_id) = (e.thing.uuid(), e.event_id.uuid());
        Self { thing, path: e.path, event: e.event, event_id, value: e.value, at: e.at }
    }
}

/// A part of a list, by position.
#[derive(Debug, Serialize, ToSchema)]
pub struct Part<T: ToSchema> {
    /// The rows.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

impl<T: ToSchema> Part<T> {
    /// The core's part in wire form.
    pub fn of<M: Into<T>>(listed: model::Listed<M>) -> Self {
        Self { items: listed.items.into_iter().map(Into::into).collect(), total: listed.total }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Window {
    /// Rows at most.
    #[param(minimum = 0, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// Rows left out before them.
    pub offset: Option<u64>,
}

impl Window {
    /// Checked.
    pub fn slice(limit: Option<u32>, offset: Option<u64>) -> model::Result<model::Slice> {
        let limit = limit.unwrap_or(100);
        if limit > model::Slice::MAX {
            return Err(model::Error::invalid("limit", format!("{limit} is more than {}", model::Slice::MAX)));
        }
        Ok(model::Slice { offset: offset.unwrap_or(0), limit })
    }
}

/// Which raisings.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ExecutionQuery {
    /// Not before, inclusive.
    #[param(value_type = Option<String>)]
    pub from: Option<Moment>,
    /// Not after, inclusive.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// Rows at most.
    #[param(minimum = 0, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// Rows left out before them.
    pub offset: Option<u64>,
}

/// Something a rule found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alert {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// The rule.
    pub rule: Uuid,
    /// The rule's name at that time.
    pub name: String,
    /// The thing.
    pub thing: Uuid,
    /// The series, where the rule runs for each by itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub path: String,
    /// Who deals with it.
    #[schema(value_type = String, example = "raised")]
    pub state: AlertState,
    /// The value that decided, the last time.
    pub value: Value,
    /// How often it was raised since it opened.
    pub count: u64,
    /// When it opened.
    pub raised: Timestamp,
    /// When it was last raised.
    pub last: Timestamp,
    /// When somebody saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// Who saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Timestamp>,
    /// Who said so; `rule` where the condition was left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared_by: Option<String>,
}

impl From<model::Alert> for Alert {
    fn from(a: model::Alert) -> Self {
        let (acknowledged, acknowledged_by) = a.acknowledged.unzip();
        let (cleared, cleared_by) = a.cleared.unzip();
        Self {
            id: a.id.uuid(),
            rule: a.rule.uuid(),
            name: a.name,
            thing: a.thing.uuid(),
            path: a.path,
            state: a.state,
            value: a.value,
            count: a.count,
            raised: a.raised,
            last: a.last,
            acknowledged,
            acknowledged_by,
            cleared,
            cleared_by,
        }
    }
}

/// Which alerts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// In which state: `raised`, `acknowledged` or `cleared`.
    #[param(value_type = Option<String>)]
    pub state: Option<AlertState>,
    /// Of this rule.
    pub rule: Option<Uuid>,
    /// Of this thing, by id.
    pub thing: Option<Uuid>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Whom to tell what, when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNotification {
    /// Is it sent at all? `true` unless told otherwise.
    #[serde(default = "yes")]
    pub active: bool,
    /// By what it goes out; by mail unless told otherwise.
    #[serde(default = "by_mail")]
    #[schema(value_type = Vec<Object>, example = json!([{"kind": "mail"}, {"kind": "webhook", "url": "https://example.com/hook"}]))]
    pub channels: Vec<NotificationChannel>,
    /// What is told to whom: `recipients`, `topic`, `payload`, `debounce` (minutes).
    #[schema(value_type = Object, example = json!({"recipients": ["alice@example.com"], "topic": "Too hot", "payload": "Look after the roof."}))]
    pub template: NotificationTemplate,
    /// When: `events`, `rule`, `selector`.
    #[schema(value_type = Object, example = json!({"events": ["overheated"]}))]
    pub filter: NotificationFilter,
}

fn by_mail() -> Vec<NotificationChannel> {
    vec![NotificationChannel::Mail]
}

impl From<NewNotification> for model::NotificationDraft {
    fn from(n: NewNotification) -> Self {
        let NewNotification { active, channels, template, filter } = n;
        Self { active, channels, template, filter }
    }
}

/// A notification.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notification {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// What it says.
    #[serde(flatten)]
    #[schema(value_type = NewNotification)]
    pub says: model::NotificationDraft,
}

impl From<model::Notification> for Notification {
    fn from(n: model::Notification) -> Self {
        Self { id: n.id.uuid(), created: n.created, updated: n.updated, says: n.into() }
    }
}

/// The key of a notification's web hooks' signatures.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookSecret {
    /// HMAC-SHA256 key, as text.
    pub secret: String,
}

/// One time a notification's filter was met.
#[derive(Debug, Serialize, ToSchema)]
pub struct Told {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// The notification.
    pub notification: Uuid,
    /// When.
    pub at: Timestamp,
    /// The thing.
    pub thing: Uuid,
    /// The event's name.
    pub event: String,
    /// The event's id.
    pub event_id: Uuid,
    /// What is known of it.
    pub value: Value,
    /// The rule that raised it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Uuid>,
    /// Nothing was sent: another delivery was too recent.
    pub suppressed: bool,
}

impl From<model::NotificationHistory> for Told {
    fn from(h: model::NotificationHistory) -> Self {
        Self {
            id: h.id,
            notification: h.notification.uuid(),
            at: h.at,
            thing: h.thing.uuid(),
            event: h.event.name,
            event_id: h.event.id.uuid(),
            value: h.event.value,
            rule: h.event.rule.map(model::RuleId::uuid),
            suppressed: h.suppressed,
        }
    }
}

/// Which deliveries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// In which state.
    #[param(default = "queued", inline)]
    pub state: Option<OutboxState>,
    /// By which channel: `mail`, `webhook` or `message`.
    pub channel: Option<String>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}
