//! Rules, alerts and notifications as GraphQL objects. Conditions, selectors and channels are JSON of the form `docs/rules.md` tells.

use async_graphql::{ID, InputObject, Json, SimpleObject};
use model::{Error, NotificationDraft, NotificationFilter, NotificationTemplate, Result, RuleDraft};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{code, must_not_reply, refuse};

/// Something to look out for.
#[derive(SimpleObject)]
pub(crate) struct Rule {
    id: ID,
    name: String,
    active: bool,
    /// Series for each of which it runs by itself.
    each: Vec<String>,
    condition: Json<Value>,
    selector: Json<Value>,
    event: String,
    exit_event: Option<String>,
    /// Seconds between two raisings.
    interval: u32,
    repeating: bool,
    created: String,
    updated: String,
}

fn json<T: serde::Serialize>(value: &T) -> Json<Value> {
    Json(serde_json::to_value(value).unwrap_or_default())
}

impl From<model::Rule> for Rule {
    fn from(r: model::Rule) -> Self {
        let d = r.draft;
        Self {
            id: r.id.to_string().into(),
            condition: json(&d.condition),
            selector: json(&d.selector),
            name: d.name,
            active: d.active,
            each: d.each,
            event: d.event,
            exit_event: d.exit_event,
            interval: d.interval,
            repeating: d.repeating,
            created: r.created.to_string(),
            updated: r.updated.to_string(),
        }
    }
}

/// One page of rules.
#[derive(SimpleObject)]
pub(crate) struct RulePage {
    pub(crate) items: Vec<Rule>,
    /// Present when there is more.
    pub(crate) next: Option<String>,
}

/// Something a rule found.
#[derive(SimpleObject)]
pub(crate) struct Alert {
    id: ID,
    rule: ID,
    name: String,
    thing: ID,
    /// The series, where the rule runs for each by itself; else empty.
    path: String,
    /// `raised`, `acknowledged` or `cleared`.
    state: String,
    value: Json<Value>,
    count: u64,
    raised: String,
    last: String,
    acknowledged: Option<String>,
    acknowledged_by: Option<String>,
    cleared: Option<String>,
    cleared_by: Option<String>,
}

impl From<model::Alert> for Alert {
    fn from(a: model::Alert) -> Self {
        let (acknowledged, acknowledged_by) = a.acknowledged.unzip();
        let (cleared, cleared_by) = a.cleared.unzip();
        Self {
            id: a.id.to_string().into(),
            rule: a.rule.to_string().into(),
            name: a.name,
            thing: a.thing.to_string().into(),
            path: a.path,
            state: a.state.name().to_owned(),
            value: Json(a.value),
            count: a.count,
            raised: a.raised.to_string(),
            last: a.last.to_string(),
            acknowledged: acknowledged.map(|at| at.to_string()),
            acknowledged_by,
            cleared: cleared.map(|at| at.to_string()),
            cleared_by,
        }
    }
}

/// One page of alerts.
#[derive(SimpleObject)]
pub(crate) struct AlertPage {
    pub(crate) items: Vec<Alert>,
    /// Present when there is more.
    pub(crate) next: Option<String>,
}

/// Whom to tell what, when.
#[derive(SimpleObject)]
pub(crate) struct Notification {
    id: ID,
    active: bool,
    channels: Json<Value>,
    recipients: Vec<String>,
    topic: Option<String>,
    payload: String,
    /// At most one delivery in so many minutes.
    debounce: Option<u32>,
    events: Vec<String>,
    rule: Option<ID>,
    selector: Json<Value>,
    created: String,
    updated: String,
}

impl From<model::Notification> for Notification {
    fn from(n: model::Notification) -> Self {
        Self {
            id: n.id.to_string().into(),
            active: n.active,
            channels: json(&n.channels),
            recipients: n.template.recipients,
            topic: n.template.topic,
            payload: n.template.payload,
            debounce: n.template.debounce,
            rule: n.filter.rule.map(|rule| rule.to_string().into()),
            selector: json(&n.filter.selector),
            events: n.filter.events,
            created: n.created.to_string(),
            updated: n.updated.to_string(),
        }
    }
}

/// A part of the notifications, newest first.
#[derive(SimpleObject)]
pub(crate) struct NotificationPage {
    pub(crate) items: Vec<Notification>,
    /// How many there are in all.
    pub(crate) total: u64,
}

/// A rule to be.
#[derive(InputObject)]
pub(crate) struct RuleInput {
    name: String,
    #[graphql(default = true)]
    active: bool,
    /// Series for each of which it runs by itself.
    #[graphql(default)]
    each: Vec<String>,
    /// One of `all`, `any`, `not`, `compare`, `event`.
    condition: Json<Value>,
    selector: Option<Json<Value>>,
    event: String,
    exit_event: Option<String>,
    #[graphql(default = 1)]
    interval: u32,
    #[graphql(default = true)]
    repeating: bool,
}

fn read<T: DeserializeOwned>(field: &'static str, value: Json<Value>) -> Result<T> {
    serde_json::from_value(value.0).map_err(|error| Error::invalid(field, error.to_string()))
}

impl TryFrom<RuleInput> for RuleDraft {
    type Error = Error;
    fn try_from(i: RuleInput) -> Result<Self> {
        let condition = read("condition", i.condition)?;
        let selector = i.selector.map(|selector| read("selector", selector)).transpose()?.unwrap_or_default();
        Ok(Self {
            name: i.name,
            active: i.active,
            each: i.each,
            condition,
            selector,
            event: i.event,
            exit_event: i.exit_event,
            interval: i.interval,
            repeating: i.repeating,
        })
    }
}

/// A notification to be.
#[derive(InputObject)]
pub(crate) struct NotificationInput {
    #[graphql(default = true)]
    active: bool,
    /// `[{"kind": "mail"}]` when absent.
    channels: Option<Json<Value>>,
    #[graphql(default)]
    recipients: Vec<String>,
    topic: Option<String>,
    payload: String,
    debounce: Option<u32>,
    events: Vec<String>,
    rule: Option<ID>,
    selector: Option<Json<Value>>,
}

impl TryFrom<NotificationInput> for NotificationDraft {
    type Error = Error;
    fn try_from(i: NotificationInput) -> Result<Self> {
        let mail = || vec![model::NotificationChannel::Mail];
        let channels = i.channels.map(|channels| read("channels", channels)).transpose()?.unwrap_or_else(mail);
        let selector = i.selector.map(|selector| read("selector", selector)).transpose()?.unwrap_or_default();
        let rule = i.rule.map(|rule| rule.parse().map_err(|_| Error::invalid("rule", "is not an id"))).transpose()?;
        let template = NotificationTemplate { recipients: i.recipients, topic: i.topic, payload: i.payload, debounce: i.debounce };
        Ok(Self { active: i.active, channels, template, filter: NotificationFilter { events: i.events, rule, selector } })
    }
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident { $field:ident : $object:ident })*) => {$(
        $(#[$doc])*
        #[derive(Default, SimpleObject)]
        pub(crate) struct $name {
            success: Option<bool>,
            code: Option<String>,
            message: Option<String>,
            $field: Option<$object>,
        }

        impl $name {
            /// The outcome as a reply; an error without a reply where there may be none.
            pub(crate) fn of<T: Into<$object>>(outcome: Result<T>, message: &str) -> async_graphql::Result<Self> {
                match outcome {
                    Ok(done) => Ok(Self {
                        success: Some(true),
                        code: Some("SUCCESS".to_owned()),
                        message: Some(message.to_owned()),
                        $field: Some(done.into()),
                    }),
                    Err(error) if must_not_reply(&error) => Err(refuse(error)),
                    Err(error) => Ok(Self {
                        success: Some(false),
                        code: Some(code(&error).to_owned()),
                        message: Some(error.to_string()),
                        ..Self::default()
                    }),
                }
            }
        }
    )*};
}

replies! {
    /// What comes of creating a rule.
    RuleReply { rule: Rule }
    /// What comes of creating a notification.
    NotificationReply { notification: Notification }
    /// What comes of handling an alert.
    AlertReply { alert: Alert }
}
