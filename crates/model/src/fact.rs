//! What a message says, once it is understood: values of series, and events.

use jiff::Timestamp;

use crate::{EventId, MessageId, RuleId, TenantId, ThingId};

pub use serde_json::Value;

/// One thing a message says of its thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing it is about; not always the one that sent it (a gateway speaks for the things behind it).
    pub thing: ThingId,
    /// The message that said so.
    pub message: MessageId,
    /// When it was true: the sender's time where it gave one, else when the message was taken.
    pub at: Timestamp,
    /// What it says.
    pub kind: FactKind,
}

/// A value or an event.
#[derive(Clone, Debug, PartialEq)]
pub enum FactKind {
    /// A series has a new value.
    Value {
        /// The series: `$.attributes.temperature`, `$.configuration.color.r`.
        path: String,
        /// A scalar or a whole value; only scalars become points.
        value: Value,
    },
    /// Something happened.
    Event(Event),
}

/// Something that happened to a thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its name (`overheated`), as the thing type declares it or the rule gives it.
    pub name: String,
    /// What is known of it; null when nothing is.
    pub value: Value,
    /// The rule that raised it; none when the thing did.
    pub rule: Option<RuleId>,
}

/// What is noted of a thing for whoever puts it in order: a message that could not be understood, a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// The message that gave rise to it, if one did.
    pub message: Option<MessageId>,
    /// When.
    pub at: Timestamp,
    /// In words.
    pub text: String,
}
