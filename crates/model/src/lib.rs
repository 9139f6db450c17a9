//! The nouns of the gateway: what exists, who calls, what may go wrong.
//!
//! Pure data and pure checks; nothing here performs I/O, reads the clock by itself or knows a wire format.
//! One word per idea: a *thing* is a device, a *tenant* the unit of isolation, a *message* travels inbound
//! (from a thing) or outbound (to a thing), a *caller* is whoever asks, already recognised.

mod caller;
mod client;
mod clock;
mod error;
mod fact;
mod id;
mod message;
mod notification;
mod page;
mod permission;
mod plan;
mod rule;
mod selector;
mod tenant;
mod thing;
mod thing_type;
mod user;

pub use caller::{Caller, Principal};
pub use client::{AuthMethod, ClientSecurity};
pub use clock::Clock;
pub use error::{Denial, Error, Result};
pub use fact::{Diagnostic, Event, Fact, FactKind, Value};
pub use id::{
    AlertId, ApiKeyId, AuditId, CertificateFingerprint, EventId, MessageId, NotificationId, RequestId, RuleId, SessionId, TenantId,
    ThingId, ThingTypeId, UserId,
};
pub use message::{Direction, Message, MessageStatus};
pub use notification::{
    Notification, NotificationChange, NotificationChannel, NotificationDraft, NotificationFilter, NotificationHistory, NotificationTemplate,
};
pub use page::{Listed, Page, PageRequest, Slice};
pub use permission::{Permission, Permissions, Role};
pub use plan::{Plan, PlanName, Quota, QuotaKind};
pub use rule::{
    Aggregate, Alert, AlertState, Comparator, Comparison, Condition, Happening, Rule, RuleDraft, RuleExecution, Window, check_event,
};
pub use selector::{Selector, Subject, wildcard};
pub use tenant::{AuditEntry, Tenant};
pub use thing::{Certificate, CertificateStatus, Thing, ThingStatus};
pub use thing_type::{
    Coordinates, MAX_INTERVAL, Object, Presence, ReportTo, ReportingRule, State, ThingType, Twin, TypeSchema, check_interval,
};
pub use user::{ApiKey, Client, Grant, Membership, User, normalize_email};

pub use jiff::Timestamp;
