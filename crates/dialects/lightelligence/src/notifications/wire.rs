//! Notifications as JSON, and what a body asks for.

use model::{
    Error, Notification, NotificationChange, NotificationChannel, NotificationDraft, NotificationFilter, NotificationHistory,
    NotificationTemplate, Result, RuleId, Selector,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::filter::DeviceFilter;
use crate::wire::Patch;

/// What POST, PUT and PATCH take: whole or in part.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Body {
    active: Option<bool>,
    notification_template: Option<Template>,
    notification_filter: Option<Filter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Template {
    notification_recipient: Option<String>,
    notification_topic: Patch<String>,
    notification_payload: Option<String>,
    debounce_duration: Patch<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    event_filter: Option<EventFilter>,
    device_filter: Patch<DeviceFilter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct EventFilter {
    device_event: Option<Vec<String>>,
    rule_id: Patch<RuleId>,
}

fn missing(name: &'static str) -> Error {
    Error::invalid(name, "is required")
}

/// Comma-separated addresses.
fn recipients(text: &str) -> Vec<String> {
    text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

fn minutes(number: f64) -> Result<u32> {
    let wrong = || Error::invalid("debounceDuration", format!("must be a whole number from 2 to {}", i32::MAX));
    // The limits are in the range of whole numbers that a float holds exactly.
    if number.fract() != 0.0 || !(2.0..=f64::from(i32::MAX)).contains(&number) {
        return Err(wrong());
    }
    format!("{number:.0}").parse().map_err(|_| wrong())
}

impl Body {
    /// A new notification; active unless it says otherwise.
    pub(super) fn create(self) -> Result<NotificationDraft> {
        let template = self.notification_template.ok_or_else(|| missing("notificationTemplate"))?;
        let filter = self.notification_filter.ok_or_else(|| missing("notificationFilter"))?;
        let events = filter.event_filter.ok_or_else(|| missing("eventFilter"))?;
        let to = template.notification_recipient.ok_or_else(|| missing("notificationRecipient"))?;
        let selector = match filter.device_filter {
            Patch::Set(filter) => filter.selector()?,
            Patch::Keep | Patch::Remove => Selector::default(),
        };
        Ok(NotificationDraft {
            active: self.active.unwrap_or(true),
            channels: vec![NotificationChannel::Mail],
            template: NotificationTemplate {
                recipients: recipients(&to),
                topic: template.notification_topic.value(),
                payload: template.notification_payload.ok_or_else(|| missing("notificationPayload"))?,
                debounce: template.debounce_duration.value().map(minutes).transpose()?,
            },
            filter: NotificationFilter {
                events: events.device_event.ok_or_else(|| missing("deviceEvent"))?,
                rule: events.rule_id.value(),
                selector,
            },
        })
    }

    /// The whole of an existing one; `active` has to be said.
    pub(super) fn replace(self) -> Result<NotificationDraft> {
        if self.active.is_none() {
            return Err(missing("active"));
        }
        self.create()
    }

    /// A part of an existing one, whose devices are needed to change one condition among them.
    pub(super) fn change(self, present: &Selector) -> Result<NotificationChange> {
        let mut change = NotificationChange { active: self.active, ..NotificationChange::default() };
        if let Some(template) = self.notification_template {
            change.recipients = template.notification_recipient.as_deref().map(recipients);
            change.topic = template.notification_topic.change();
            change.payload = template.notification_payload;
            change.debounce = match template.debounce_duration.change() {
                Some(Some(number)) => Some(Some(minutes(number)?)),
                Some(None) => Some(None),
                None => None,
            };
        }
        if let Some(filter) = self.notification_filter {
            if let Some(events) = filter.event_filter {
                change.events = events.device_event;
                change.rule = events.rule_id.change();
            }
            change.selector = match filter.device_filter {
                Patch::Keep => None,
                Patch::Remove => Some(Selector::default()),
                Patch::Set(filter) => Some(filter.over(present.clone())?),
            };
        }
        Ok(change)
    }
}

fn filter(selector: &Selector) -> Option<Value> {
    let mut out = Map::new();
    let mut put = |name: &str, list: Value| {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            out.insert(name.to_owned(), list);
        }
    };
    put("deviceId", json!(selector.things));
    put("deviceTag", json!(selector.tags));
    put("deviceTypeId", json!(selector.types));
    put("deviceTypeName", json!(selector.type_names));
    put("deviceTypeCategory", json!(selector.categories));
    put("deviceConnectedBy", json!(selector.connected_by));
    put("deviceName", json!(selector.names));
    put("deviceAlias", json!(selector.aliases));
    (!out.is_empty()).then_some(Value::Object(out))
}

/// A notification on the wire. Other channels than mail have no words here.
pub(super) fn notification(one: &Notification) -> Value {
    let mut template = json!({
        "notificationRecipient": one.template.recipients.join(","),
        "notificationPayload": one.template.payload,
    });
    if let Some(topic) = &one.template.topic {
        put(&mut template, "notificationTopic", json!(topic));
    }
    if let Some(minutes) = one.template.debounce {
        put(&mut template, "debounceDuration", json!(minutes));
    }
    let mut events = json!({ "deviceEvent": one.filter.events });
    if let Some(rule) = one.filter.rule {
        put(&mut events, "ruleId", json!(rule));
    }
    let mut filters = json!({ "eventFilter": events });
    if let Some(devices) = filter(&one.filter.selector) {
        put(&mut filters, "deviceFilter", devices);
    }
    json!({ "notificationId": one.id, "active": one.active, "notificationTemplate": template, "notificationFilter": filters })
}

/// One line of the history.
pub(super) fn line(one: &NotificationHistory) -> Value {
    let mut trigger = json!({
        "id": one.event.id,
        "type": one.event.name,
        "createdAt": one.event_at,
        "tenantId": one.tenant,
        "deviceId": one.thing,
    });
    if !one.event.value.is_null() {
        put(&mut trigger, "value", one.event.value.clone());
    }
    json!({ "historyId": one.id, "notificationId": one.notification, "timestamp": one.at, "notificationTrigger": trigger })
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Body {
        serde_json::from_value(value).unwrap()
    }

    fn whole() -> Value {
        json!({
            "active": false,
            "notificationTemplate": { "notificationRecipient": "a@b.example, c@d.example", "notificationPayload": "hot", "debounceDuration": 4.0 },
            "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated"] }, "deviceFilter": { "deviceTag": ["tag1"] } },
        })
    }

    #[test]
    fn a_whole_one() {
        let draft = read(whole()).create().unwrap();
        assert_eq!(draft.template.recipients, ["a@b.example", "c@d.example"]);
        assert_eq!(
            (draft.active, draft.template.debounce, draft.filter.selector.tags.as_slice()),
            (false, Some(4), ["tag1".to_owned()].as_slice())
        );
        assert!(read(whole()).replace().is_ok());
    }

    #[test]
    fn what_is_missing_is_told() {
        for path in [
            "/notificationTemplate",
            "/notificationFilter",
            "/notificationTemplate/notificationPayload",
            "/notificationTemplate/notificationRecipient",
            "/notificationFilter/eventFilter",
            "/notificationFilter/eventFilter/deviceEvent",
        ] {
            let mut value = whole();
            *value.pointer_mut(path).unwrap() = Value::Null;
            let name = path.rsplit('/').next().unwrap();
            assert!(read(value).create().unwrap_err().to_string().starts_with(name), "{path}");
        }
        let mut value = whole();
        value["active"] = Value::Null;
        assert!(read(value).replace().unwrap_err().to_string().starts_with("active"));
        for bad in [json!(1), json!(2.5), json!(2_147_483_648_u64), json!(-3)] {
            let mut value = whole();
            value["notificationTemplate"]["debounceDuration"] = bad;
            assert!(read(value).create().is_err());
        }
        let mut value = whole();
        value["notificationFilter"]["deviceFilter"] = json!({});
        assert!(read(value).create().is_err());
    }

    #[test]
    fn a_part_changes_only_itself() {
        let present = Selector { tags: vec!["tag1".into()], ..Selector::default() };
        let change = read(
            json!({ "notificationTemplate": { "debounceDuration": null }, "notificationFilter": { "deviceFilter": { "deviceName": ["x*"] } } }),
        );
        let change = change.change(&present).unwrap();
        assert_eq!((change.active, change.payload, change.debounce, change.events), (None, None, Some(None), None));
        assert_eq!(change.selector, Some(Selector { names: vec!["x*".into()], ..present.clone() }));
        let nothing = read(json!({ "notificationFilter": { "deviceFilter": null } })).change(&present).unwrap();
        assert_eq!(nothing.selector, Some(Selector::default()));
    }
}
