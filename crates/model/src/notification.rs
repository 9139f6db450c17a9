//! Notifications: whom to tell what, by which channel, when which event happens to which thing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rule::check_event;
use crate::{Error, Event, NotificationId, Result, RuleId, Selector, TenantId, ThingId};

/// Whom to tell what, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Is it sent at all?
    pub active: bool,
    /// By what it goes out.
    pub channels: Vec<NotificationChannel>,
    /// What is told to whom.
    pub template: NotificationTemplate,
    /// When.
    pub filter: NotificationFilter,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// A notification to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationDraft {
    /// Is it sent at all?
    #[serde(default = "yes")]
    pub active: bool,
    /// By what it goes out; by mail if nothing else is said.
    #[serde(default = "by_mail")]
    pub channels: Vec<NotificationChannel>,
    /// What is told to whom.
    pub template: NotificationTemplate,
    /// When.
    pub filter: NotificationFilter,
}

fn yes() -> bool {
    true
}

fn by_mail() -> Vec<NotificationChannel> {
    vec![NotificationChannel::Mail]
}

/// By what a notification goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum NotificationChannel {
    /// A mail to each of the template's recipients.
    Mail,
    /// A signed POST to this URL.
    Webhook {
        /// `https://…` or `http://…`, at most 2,048 bytes.
        url: String,
    },
    /// A message into the inbox of a thing.
    Message {
        /// The thing; none: the one the event is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thing: Option<ThingId>,
    },
}

/// What is told to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationTemplate {
    /// E-mail addresses, 1 to 100 where a mail goes out.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// The subject, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The text, 1 byte to 64 KiB.
    pub payload: String,
    /// At most one delivery in so many minutes, 2 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<u32>,
}

/// When a notification goes out: every condition that is given must be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationFilter {
    /// One of these events happens, 1 to 100 names.
    pub events: Vec<String>,
    /// This rule raised it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// To one of these things.
    #[serde(default, skip_serializing_if = "Selector::is_empty")]
    pub selector: Selector,
}

/// Changes of a notification; what is none stays. An inner none removes what may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationChange {
    /// Sent at all.
    pub active: Option<bool>,
    /// By what it goes out.
    pub channels: Option<Vec<NotificationChannel>>,
    /// The addresses.
    pub recipients: Option<Vec<String>>,
    /// The subject.
    pub topic: Option<Option<String>>,
    /// The text.
    pub payload: Option<String>,
    /// Minutes between two deliveries.
    pub debounce: Option<Option<u32>>,
    /// The events' names.
    pub events: Option<Vec<String>>,
    /// The rule.
    pub rule: Option<Option<RuleId>>,
    /// The things.
    pub selector: Option<Selector>,
}

/// One time a notification's filter was met.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationHistory {
    /// Its id, sorted by time.
    pub id: uuid::Uuid,
    /// The notification.
    pub notification: NotificationId,
    /// Its tenant.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// The thing.
    pub thing: ThingId,
    /// What happened to it.
    pub event: Event,
    /// When that happened.
    pub event_at: Timestamp,
    /// Nothing was sent: another delivery was too recent.
    pub suppressed: bool,
}

impl NotificationDraft {
    /// The most recipients.
    pub const MAX_RECIPIENTS: usize = 100;
    /// The longest text, in bytes.
    pub const MAX_PAYLOAD: usize = 64 << 10;
    /// The longest subject, in bytes.
    pub const MAX_TOPIC: usize = 512;
    /// The most channels and event names.
    pub const MAX_CHANNELS: usize = 10;
    /// The most event names.
    pub const MAX_EVENTS: usize = 100;

    /// The draft with the change made.
    #[must_use]
    pub fn with(mut self, change: NotificationChange) -> Self {
        fn set<T>(at: &mut T, to: Option<T>) {
            if let Some(to) = to {
                *at = to;
            }
        }
        set(&mut self.active, change.active);
        set(&mut self.channels, change.channels);
        set(&mut self.template.recipients, change.recipients);
        set(&mut self.template.topic, change.topic);
        set(&mut self.template.payload, change.payload);
        set(&mut self.template.debounce, change.debounce);
        set(&mut self.filter.events, change.events);
        set(&mut self.filter.rule, change.rule);
        set(&mut self.filter.selector, change.selector);
        self
    }

    /// Checks everything but whether addresses are addresses (the mailer's affair). Error: Invalid, naming the field.
    pub fn check(&self) -> Result<()> {
        let t = &self.template;
        let mails = self.channels.contains(&NotificationChannel::Mail);
        if self.channels.is_empty() || self.channels.len() > Self::MAX_CHANNELS {
            return Err(Error::invalid("channels", format!("must be 1 to {}", Self::MAX_CHANNELS)));
        }
        if t.recipients.len() > Self::MAX_RECIPIENTS || (mails && t.recipients.is_empty()) {
            return Err(Error::invalid("recipients", format!("must be 1 to {} e-mail addresses", Self::MAX_RECIPIENTS)));
        }
        if let Some(bad) = t.recipients.iter().find(|address| address.len() > 254 || !address.contains('@')) {
            return Err(Error::invalid("recipients", format!("'{:.100}' is not an e-mail address", bad)));
        }
        if t.topic.as_ref().is_some_and(|topic| topic.len() > Self::MAX_TOPIC || topic.chars().any(char::is_control)) {
            return Err(Error::invalid("topic", format!("must be one line of at most {} bytes", Self::MAX_TOPIC)));
        }
        if t.payload.is_empty() || t.payload.len() > Self::MAX_PAYLOAD || t.payload.contains('\0') {
            return Err(Error::invalid("payload", format!("must be 1 to {} bytes of text", Self::MAX_PAYLOAD)));
        }
        if t.debounce.is_some_and(|minutes| !(2..=i32::MAX.unsigned_abs()).contains(&minutes)) {
            return Err(Error::invalid("debounce", format!("must be 2 to {} minutes", i32::MAX)));
        }
        for channel in &self.channels {
            if let NotificationChannel::Webhook { url } = channel {
                let good = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                let good =
                    good.is_some_and(|rest| !rest.is_empty() && url.len() <= 2_048 && !url.contains(|c: char| c.is_control() || c == ' '));
                if !good {
                    return Err(Error::invalid("url", "must be an http or https URL of at most 2,048 bytes"));
                }
            }
        }
        if self.filter.events.is_empty() || self.filter.events.len() > Self::MAX_EVENTS {
            return Err(Error::invalid("events", format!("must be 1 to {} names", Self::MAX_EVENTS)));
        }
        self.filter.events.iter().try_for_each(|name| check_event("events", name))?;
        self.filter.selector.check()
    }
}

impl From<Notification> for NotificationDraft {
    fn from(n: Notification) -> Self {
        Self { active: n.active, channels: n.channels, template: n.template, filter: n.filter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> NotificationDraft {
        serde_json::from_str(r#"{"template":{"recipients":["a@b.example"],"payload":"x"},"filter":{"events":["overheated"]}}"#).unwrap()
    }

    #[test]
    fn mail_unless_told_otherwise() {
        let d = draft();
        assert!(d.active && d.channels == [NotificationChannel::Mail] && d.check().is_ok());
        let hook: NotificationChannel = serde_json::from_str(r#"{"kind":"webhook","url":"https://x.example/"}"#).unwrap();
        assert_eq!(hook, NotificationChannel::Webhook { url: "https://x.example/".into() });
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Spoil = fn(&mut NotificationDraft);
        let cases: [(&str, Spoil); 9] = [
            ("recipients", |d| d.template.recipients.clear()),
            ("recipients", |d| d.template.recipients = vec!["a@b.example".into(); 101]),
            ("recipients", |d| d.template.recipients = vec!["nobody".into()]),
            ("topic", |d| d.template.topic = Some("a\r\nBcc: b@c.example".into())),
            ("payload", |d| d.template.payload.clear()),
            ("debounce", |d| d.template.debounce = Some(1)),
            ("channels", |d| d.channels.clear()),
            ("url", |d| d.channels = vec![NotificationChannel::Webhook { url: "ftp://x".into() }]),
            ("events", |d| d.filter.events = vec!["a b".into()]),
        ];
        for (field, spoil) in cases {
            let mut d = draft();
            spoil(&mut d);
            let error = d.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}:")), "{field}: {error}");
        }
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let change = NotificationChange { active: Some(false), debounce: Some(Some(5)), ..NotificationChange::default() };
        let changed = draft().with(change);
        assert!(!changed.active && changed.template.debounce == Some(5) && changed.template.payload == "x");
        assert_eq!(changed.with(NotificationChange { debounce: Some(None), ..NotificationChange::default() }).template.debounce, None);
    }
}
