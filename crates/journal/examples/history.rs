//! A long history: what a query by thing and time costs in it, and whether retention makes publishers wait.
//!
//! `cargo run --release -p journal --example history [DIRECTORY] [RECORDS]`; ten million records want 3 GB of disk.
//! The records' own times go over thirty days, 1,000 things take turns, nothing is read back in between: as a fleet writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement, not a product")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use journal::{Durability, HistoryQuery, Journal, NewMessage, Options, Stats};
use model::{Clock, Direction, MessageId, PageRequest, TenantId, ThingId, Timestamp};
use uuid::Uuid;

const THINGS: u64 = 1_000;
const DAYS: u64 = 30;
const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn thing(n: u64) -> ThingId {
    ThingId(Uuid::from_u128(u128::from(n % THINGS) + 1))
}

fn message(clock: &Clock, n: u64) -> NewMessage {
    NewMessage {
        id: clock.new_id::<MessageId>(),
        tenant: TENANT,
        thing: thing(n),
        direction: Direction::Inbound,
        at: clock.now(),
        topic: Bytes::from_static(b"things/some-thing/measurements"),
        payload: Bytes::from_static(&[b'x'; 128]),
        expires: None,
        qos: 1,
        retain: false,
        properties: Bytes::new(),
        inboxes: Default::default(),
        idempotency: None,
    }
}

fn shown(what: &str, mut micros: Vec<u64>) {
    micros.sort_unstable();
    let at = |part: usize| micros.get((micros.len() - 1) * part / 1_000).copied().unwrap_or(0) as f64 / 1_000.0;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms ({} times)", at(500), at(990), at(1_000), micros.len());
}

async fn queries(journal: &Journal, what: &str, from: Timestamp, to: Timestamp, one_thing: bool, limit: u32) -> usize {
    let (mut took, mut found) = (Vec::new(), 0);
    for n in 0..200u64 {
        // A moment somewhere in the thirty days, and the hour after it.
        let whole = to.as_second() - from.as_second() - 3_600;
        let start = Timestamp::from_second(from.as_second() + i64::try_from(n * 7_919).unwrap() % whole).unwrap();
        let query = HistoryQuery {
            tenant: TENANT,
            thing: one_thing.then(|| thing(n * 31)),
            from: Some(start),
            to: Some(start.checked_add(jiff::SignedDuration::from_hours(1)).unwrap()),
            direction: None,
            newest_first: n % 2 == 0,
            page: PageRequest::new(Some(limit), None).unwrap(),
        };
        let begun = Instant::now();
        found += journal.history(&query).await.unwrap().items.len();
        took.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
    }
    shown(what, took);
    found
}

/// One publisher, one record after the other, each synced, until told to stop: how long each waited.
fn publisher(journal: &Journal, clock: &Clock) -> (tokio::task::JoinHandle<Vec<u64>>, Arc<AtomicBool>) {
    let (journal, clock, stop) = (journal.clone(), clock.clone(), Arc::new(AtomicBool::new(false)));
    let told = stop.clone();
    let task = tokio::spawn(async move {
        let mut took = Vec::new();
        while !told.load(Ordering::Acquire) {
            let begun = Instant::now();
            journal.write(message(&clock, took.len() as u64), Durability::Sync).await.unwrap();
            took.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        }
        took
    });
    (task, stop)
}

async fn during(journal: &Journal, clock: &Clock, what: &str, work: impl Future<Output = ()>) {
    let (task, stop) = publisher(journal, clock);
    work.await;
    stop.store(true, Ordering::Release);
    shown(what, task.await.unwrap());
}

fn size(stats: &Stats) -> String {
    format!("{} records, {} segments, {:.2} GB", stats.records, stats.segments, stats.bytes as f64 / 1e9)
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let records: u64 = arguments.next().map_or(10_000_000, |n| n.parse().expect("RECORDS is a number"));
    let folder = tempfile::tempdir_in(parent).unwrap();
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let clock = Clock::manual(begin);
    let step = Duration::from_micros(DAYS * 86_400_000_000 / records);
    let journal = Journal::open(Options::new(folder.path(), clock.clone())).await.unwrap();

    let begun = Instant::now();
    for n in 0..records {
        clock.advance(step);
        if n % 1_000 == 0 {
            journal.admit().await;
        }
        while journal.append(message(&clock, n), Durability::Memory).is_err() {
            journal.admit().await;
        }
    }
    journal.write(message(&clock, 0), Durability::Sync).await.unwrap();
    let end = clock.now();
    let stats = journal.stats();
    println!(
        "written in {:.0} s: {}, {:.0} bytes a record",
        begun.elapsed().as_secs_f64(),
        size(&stats),
        stats.bytes as f64 / records as f64
    );

    let _ = queries(&journal, "warming up", begin, end, true, 100).await;
    let found = queries(&journal, "one thing, one hour of 30 days, a page of 100", begin, end, true, 100).await;
    println!("  found {:.1} each", found as f64 / 200.0);
    let found = queries(&journal, "the whole tenant, one hour, a page of 100", begin, end, false, 100).await;
    println!("  found {:.1} each", found as f64 / 200.0);
    let _ = queries(&journal, "the whole tenant, one hour, a page of 1,000", begin, end, false, 1_000).await;

    during(&journal, &clock, "a publisher's wait, nothing else going on", tokio::time::sleep(Duration::from_secs(5))).await;
    let keep = HashMap::from([(TENANT, Duration::from_secs(DAYS * 86_400 / 2))]);
    let mut steps = Vec::new();
    let retention = async {
        loop {
            let begun = Instant::now();
            let report = journal.retain(&keep, Duration::MAX).await.unwrap();
            steps.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
            if !report.more {
                return;
            }
        }
    };
    during(&journal, &clock, "a publisher's wait while half of it is given back", retention).await;
    shown("a step of retention", steps);
    println!("left: {}", size(&journal.stats()));

    journal.close().await.unwrap();
    let begun = Instant::now();
    let journal = Journal::open(Options::new(folder.path(), clock.clone())).await.unwrap();
    println!("opened again in {:.0} ms: {}", begun.elapsed().as_secs_f64() * 1e3, size(&journal.stats()));
    journal.close().await.unwrap();
}
