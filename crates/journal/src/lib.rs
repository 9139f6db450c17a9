//! The durable message log: append with group commit, inbox, history by thing and time, live subscription.

mod error;
mod faults;
mod live;
mod types;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{MessageId, MessageStatus, Page, TenantId, ThingId};

pub use error::JournalError;
pub use faults::Faults;
pub use live::{LiveError, LiveStream};
pub use types::{Durability, HistoryQuery, InboxId, NewMessage, Options, Record, RetentionReport, Seq, Stats, Ticket};

/// The journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {}

impl Journal {
    /// Opens the journal: a torn tail is cut, missing indexes are rebuilt.
    pub async fn open(_options: Options) -> Result<Journal, JournalError> {
        Err(JournalError::Closed)
    }
    /// Hands a message to the log; not yet durable, never blocks on I/O.
    pub fn append(&self, _message: NewMessage, _durability: Durability) -> Result<Ticket, JournalError> {
        Err(JournalError::Closed)
    }
    /// Back-pressure: waits while more than the bound is pending.
    pub async fn admit(&self) {}
    /// Waits for the record's own durability level; an error means it is not stored.
    pub async fn durable(&self, _seq: Seq) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// `admit`, `append` and `durable` in one.
    pub async fn write(&self, _message: NewMessage, _durability: Durability) -> Result<Ticket, JournalError> {
        Err(JournalError::Closed)
    }
    /// Pending, unexpired records of an inbox in order, after a position.
    pub async fn inbox_next(&self, _inbox: InboxId, _after: Option<Seq>, _limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
        Err(JournalError::Closed)
    }
    /// The record was delivered; remembered lazily.
    pub fn inbox_ack(&self, _inbox: InboxId, _seq: Seq) {}
    /// Notified when something is added to the inbox.
    pub fn inbox_watch(&self, _inbox: InboxId) -> Arc<tokio::sync::Notify> {
        Arc::default()
    }
    /// Entries pending in an inbox.
    pub fn inbox_len(&self, _inbox: InboxId) -> usize {
        0
    }
    /// Removes one entry, durably; false when it was not there.
    pub async fn inbox_remove(&self, _inbox: InboxId, _seq: Seq) -> Result<bool, JournalError> {
        Err(JournalError::Closed)
    }
    /// Removes an inbox with all its entries, durably.
    pub async fn inbox_drop(&self, _inbox: InboxId) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// The retained message of every tenant and topic.
    pub async fn retained(&self) -> Result<Vec<Arc<Record>>, JournalError> {
        Err(JournalError::Closed)
    }
    /// One page of the history.
    pub async fn history(&self, _query: &HistoryQuery) -> Result<Page<Arc<Record>>, JournalError> {
        Err(JournalError::Closed)
    }
    /// One message by id.
    pub async fn get(&self, _tenant: TenantId, _thing: ThingId, _id: MessageId) -> Result<Option<Arc<Record>>, JournalError> {
        Err(JournalError::Closed)
    }
    /// What became of a record.
    pub fn status(&self, _record: &Record) -> MessageStatus {
        MessageStatus::Stored
    }
    /// Deletes a part of the history, durably, also from inboxes; answers how many messages.
    pub async fn delete(&self, _query: &HistoryQuery) -> Result<u64, JournalError> {
        Err(JournalError::Closed)
    }
    /// Forgets a thing: its history, inbox and retained messages.
    pub async fn forget(&self, _tenant: TenantId, _thing: ThingId) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// All records after a position, in order: for workers with a durable cursor.
    pub async fn scan(&self, _after: Seq, _limit: usize) -> Result<Vec<Arc<Record>>, JournalError> {
        Err(JournalError::Closed)
    }
    /// Records as they become durable.
    pub fn live(&self, _tenant: TenantId, _thing: Option<ThingId>) -> LiveStream {
        LiveStream {}
    }
    /// One bounded step of retention.
    pub async fn retain(&self, _keep: &HashMap<TenantId, Duration>, _default: Duration) -> Result<RetentionReport, JournalError> {
        Err(JournalError::Closed)
    }
    /// A consistent copy while running; `dest` is created.
    pub async fn snapshot(&self, _dest: &Path) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
    /// Figures of the moment.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    /// Writes what is pending, syncs, writes a checkpoint and stops.
    pub async fn close(&self) -> Result<(), JournalError> {
        Err(JournalError::Closed)
    }
}
