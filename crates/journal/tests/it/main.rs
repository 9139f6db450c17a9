//! Tests of the journal from outside: one file per promise.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests: their names say what they promise"
)]

mod append;
mod faults;
mod history;
mod inbox;
mod queue;
mod recovery;
mod repair;
mod retention;
mod stress;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use journal::{Durability, Faults, HistoryQuery, InboxId, Journal, NewMessage, Options, Record, Seq};
use model::{Clock, Direction, MessageId, PageRequest, TenantId, ThingId};
use uuid::Uuid;

/// Second zero of all tests.
pub fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(0x7e00_0000 + n))
}

pub fn thing(n: u128) -> ThingId {
    ThingId(Uuid::from_u128(0x7419_0000 + n))
}

pub fn options(dir: &Path) -> Options {
    Options { segment_bytes: 64 << 10, ..Options::new(dir, Clock::manual(start())) }
}

pub fn faulty(dir: &Path) -> (Options, Faults) {
    let faults = Faults::new();
    (Options { faults: faults.clone(), ..options(dir) }, faults)
}

/// A small inbound message, different every time.
pub fn message(tenant: TenantId, thing: ThingId, clock: &Clock) -> NewMessage {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    NewMessage {
        id: clock.new_id::<MessageId>(),
        tenant,
        thing,
        direction: Direction::Inbound,
        at: clock.now(),
        topic: Bytes::from_static(b"t/1"),
        payload: Bytes::from(format!("payload {n}")),
        expires: None,
        qos: 1,
        retain: false,
        properties: Bytes::new(),
        inboxes: Default::default(),
        idempotency: None,
    }
}

/// An outbound message for the thing's inbox.
pub fn outbound(tenant: TenantId, thing: ThingId, clock: &Clock) -> NewMessage {
    NewMessage { direction: Direction::Outbound, inboxes: [InboxId::from(thing)].into_iter().collect(), ..message(tenant, thing, clock) }
}

pub async fn put(journal: &Journal, message: NewMessage) -> Record {
    let ticket = journal.write(message, Durability::Sync).await.unwrap();
    (*ticket.record.unwrap()).clone()
}

pub fn query(tenant: TenantId, thing: Option<ThingId>) -> HistoryQuery {
    HistoryQuery { tenant, thing, from: None, to: None, direction: None, newest_first: false, page: PageRequest::max() }
}

/// Every record of the query, page after page.
pub async fn all(journal: &Journal, query: &HistoryQuery) -> Vec<Record> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let page = journal.history(&query).await.unwrap();
        found.extend(page.items.iter().map(|r| (**r).clone()));
        match page.next {
            Some(next) => query.page.cursor = Some(next),
            None => return found,
        }
    }
}

pub async fn inbox(journal: &Journal, inbox: InboxId) -> Vec<Seq> {
    let mut found: Vec<Seq> = Vec::new();
    loop {
        let next = journal.inbox_next(inbox, found.last().copied(), 100).await.unwrap();
        if next.is_empty() {
            return found;
        }
        found.extend(next.iter().map(|r| r.seq));
    }
}
