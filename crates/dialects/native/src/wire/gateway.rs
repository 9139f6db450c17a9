//! The gateway itself: what it is, its signing keys, audit trail, outbox, provisioning, backup.

use identity::SigningKeyInfo;
use jiff::Timestamp;
use notify::DeliveryState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{AlgorithmWord, Moment};

/// The gateway.
#[derive(Debug, Serialize, ToSchema)]
pub struct Info {
    /// Always `heliograph`.
    #[schema(example = "heliograph")]
    pub name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Where clients reach it.
    pub public_url: String,
    /// Its present time.
    pub now: Timestamp,
    /// When it was started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// What it holds and does; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// What the gateway holds and does. Counters begin at its start.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    /// Open MQTT connections.
    pub connections: u64,
    /// MQTT sessions, connected or kept.
    pub sessions: u64,
    /// MQTT subscriptions.
    pub subscriptions: u64,
    /// Retained messages.
    pub retained: u64,
    /// MQTT messages received.
    pub messages_in: u64,
    /// MQTT messages handed out.
    pub messages_out: u64,
    /// Messages in the journal.
    pub journal_records: u64,
    /// Bytes of the journal on disk.
    pub journal_bytes: u64,
    /// Messages that wait in inboxes.
    pub inbox_messages: u64,
    /// Live streams.
    pub streams: u64,
}

/// A key that signs tokens, without its private half.
#[derive(Debug, Serialize, ToSchema)]
pub struct SigningKey {
    /// Its `kid`.
    pub id: String,
    /// Its algorithm.
    #[schema(value_type = AlgorithmWord)]
    pub algorithm: &'static str,
    /// The one kind of token it signs; absent: every kind with this algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// When it was made, and published.
    pub created: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When its successor takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signs_until: Option<Timestamp>,
    /// When the last token it signed has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifies_until: Option<Timestamp>,
    /// Does it sign new tokens now?
    pub current: bool,
}

impl From<SigningKeyInfo> for SigningKey {
    fn from(k: SigningKeyInfo) -> Self {
        Self {
            id: k.kid,
            algorithm: k.algorithm.name(),
            profile: k.profile,
            created: k.created,
            signs_from: k.signs_from,
            signs_until: k.signs_until,
            verifies_until: k.verifies_until,
            current: k.current,
        }
    }
}

/// Which algorithm gets a new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"algorithm": "EdDSA"}))]
pub struct Rotation {
    /// The algorithm.
    #[schema(value_type = AlgorithmWord)]
    pub algorithm: String,
}

/// One line of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// The tenant it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Uuid>,
    /// When.
    pub at: Timestamp,
    /// Who: `user:…`, `client:…`, `thing:…`, `operator`, or what a refused caller claimed to be.
    pub actor: String,
    /// What.
    #[schema(example = "thing.provisioned")]
    pub action: String,
    /// On what, `noun:id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Did it happen, or was it refused?
    pub allowed: bool,
    /// Why, or with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl From<model::AuditEntry> for AuditEntry {
    fn from(e: model::AuditEntry) -> Self {
        Self {
            id: e.id.uuid(),
            tenant: e.tenant.map(model::TenantId::uuid),
            at: e.at,
            actor: e.actor,
            action: e.action,
            target: e.target,
            allowed: e.allowed,
            detail: e.detail,
            address: e.address,
        }
    }
}

/// Which lines of the audit trail.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Not before: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>)]
    pub from: Option<Moment>,
    /// Not after: RFC 3339 or seconds since the epoch.
    #[param(value_type = Option<String>)]
    pub to: Option<Moment>,
    /// Exactly this actor (`user:…`).
    pub actor: Option<String>,
    /// Exactly this action.
    #[param(example = "token.issued")]
    pub action: Option<String>,
    /// Only what happened (`true`) or was refused (`false`).
    pub allowed: Option<bool>,
    /// Every tenant's lines, and those of none; operators only.
    pub everywhere: Option<bool>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// An entry of the outbox, without its text, which may hold a code.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id, sorted by time.
    pub id: Uuid,
    /// Whose, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Uuid>,
    /// By what it goes out.
    #[schema(example = "mail")]
    pub channel: String,
    /// To whom; absent once it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What about; absent once it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What has become of it.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: u32,
    /// Queued: when it is due. Sent, dead: since when.
    pub since: Timestamp,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was queued.
    pub created: Timestamp,
}

impl From<notify::Delivery> for Delivery {
    fn from(d: notify::Delivery) -> Self {
        Self {
            id: d.id,
            tenant: d.tenant.map(model::TenantId::uuid),
            channel: d.channel,
            recipient: d.recipient,
            subject: d.subject,
            state: match d.state {
                DeliveryState::Queued => OutboxState::Queued,
                DeliveryState::Sent => OutboxState::Sent,
                DeliveryState::Dead => OutboxState::Dead,
            },
            attempts: d.attempts,
            since: d.since,
            last_error: d.last_error,
            created: d.created,
        }
    }
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// It waits for its (next) attempt.
    #[default]
    Queued,
    /// It is done.
    Sent,
    /// It was given up; it may be retried by hand.
    Dead,
}

impl From<OutboxState> for DeliveryState {
    fn from(state: OutboxState) -> Self {
        match state {
            OutboxState::Queued => Self::Queued,
            OutboxState::Sent => Self::Sent,
            OutboxState::Dead => Self::Dead,
        }
    }
}

/// Which deliveries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct OutboxQuery {
    /// In which state.
    #[param(default = "queued", inline)]
    pub state: Option<OutboxState>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// What a provisioning file did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// Entries that were not there.
    pub created: u64,
    /// Entries that were there and differed.
    pub updated: u64,
    /// Entries that were there as asked for.
    pub unchanged: u64,
    /// One line for each, in the file's order.
    pub entries: Vec<ReportEntry>,
}

/// One entry of a provisioning file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportEntry {
    /// The noun: `tenant`, `user`, `membership`, `client`, `api_key`, `thing`.
    #[schema(example = "thing")]
    pub kind: String,
    /// Its name.
    #[schema(example = "dev-1")]
    pub name: String,
    /// What was done.
    pub outcome: ReportOutcome,
}

/// What was done about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportOutcome {
    /// It was not there.
    Created,
    /// It was there and differed.
    Updated,
    /// It was there as asked for.
    Unchanged,
}

impl From<identity::Outcome> for ReportOutcome {
    fn from(o: identity::Outcome) -> Self {
        match o {
            identity::Outcome::Created => Self::Created,
            identity::Outcome::Updated => Self::Updated,
            identity::Outcome::Unchanged => Self::Unchanged,
        }
    }
}

impl Report {
    /// Adds an entry and counts it.
    pub fn add(&mut self, kind: &str, name: impl Into<String>, outcome: impl Into<ReportOutcome>) {
        let outcome = outcome.into();
        match outcome {
            ReportOutcome::Created => self.created += 1,
            ReportOutcome::Updated => self.updated += 1,
            ReportOutcome::Unchanged => self.unchanged += 1,
        }
        self.entries.push(ReportEntry { kind: kind.to_owned(), name: name.into(), outcome });
    }
}

/// A backup to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// The directory's name below the gateway's `backups`; the present time when absent.
    #[schema(example = "before-update")]
    pub name: Option<String>,
}

/// A finished backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backup {
    /// Its name.
    pub name: String,
    /// Where it lies on the gateway's machine.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was made.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_its_entries() {
        let mut report = Report::default();
        report.add("tenant", "acme", identity::Outcome::Created);
        report.add("thing", "dev-1", identity::Outcome::Created);
        report.add("user", "a@b", identity::Outcome::Unchanged);
        assert_eq!((report.created, report.updated, report.unchanged, report.entries.len()), (2, 0, 1, 3));
    }
}
