use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, InboxId, Journal, NewMessage, Record, RetentionReport, Seq};
use model::Clock;
use tempfile::tempdir;

use crate::{all, inbox, message, options, outbound, put, query, tenant, thing};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn fill(journal: &Journal, clock: &Clock, count: u128, make: impl Fn(u128, &Clock) -> NewMessage) -> Vec<Record> {
    let mut tickets = Vec::new();
    for n in 0..count {
        tickets.push(journal.append(make(n, clock), Durability::Sync).unwrap());
        if n % 50 == 49 {
            journal.durable(tickets.last().unwrap().seq).await.unwrap();
        }
    }
    journal.durable(tickets.last().unwrap().seq).await.unwrap();
    tickets.into_iter().map(|t| (*t.record.unwrap()).clone()).collect()
}

fn fat(t: u128, d: u128, clock: &Clock) -> NewMessage {
    NewMessage { payload: Bytes::from(vec![b'x'; 1000]), ..message(tenant(t), thing(d), clock) }
}

async fn settle(journal: &Journal, keep: &HashMap<model::TenantId, Duration>, default: Duration) -> RetentionReport {
    let mut sum = RetentionReport::default();
    for step in 0.. {
        assert!(step < 200, "retention does not come to rest");
        let report = journal.retain(keep, default).await.unwrap();
        sum.dropped_segments += report.dropped_segments;
        sum.rewritten_segments += report.rewritten_segments;
        sum.freed_bytes += report.freed_bytes;
        if !report.more && report == RetentionReport::default() {
            break;
        }
    }
    sum
}

#[tokio::test]
async fn old_segments_are_dropped_but_not_what_waits_or_is_retained() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let waiting = put(&journal, outbound(tenant(1), thing(5), &clock)).await;
    let retained = put(&journal, NewMessage { retain: true, ..fat(1, 6, &clock) }).await;
    fill(&journal, &clock, 500, |n, c| fat(1, n % 3, c)).await;
    clock.advance(3 * DAY);
    let young = fill(&journal, &clock, 200, |n, c| fat(1, n % 3, c)).await;
    let before = journal.stats().bytes;
    let report = settle(&journal, &HashMap::new(), 2 * DAY).await;
    assert!(report.dropped_segments >= 4 && report.rewritten_segments >= 1, "{report:?}");
    assert!(journal.stats().bytes < before / 2, "{} of {before}", journal.stats().bytes);
    for reopened in [false, true] {
        let journal = if reopened {
            journal.close().await.unwrap();
            Journal::open(options.clone()).await.unwrap()
        } else {
            journal.clone()
        };
        assert_eq!(inbox(&journal, InboxId::from(thing(5))).await, [waiting.seq]);
        assert_eq!(*journal.inbox_next(InboxId::from(thing(5)), None, 1).await.unwrap()[0], waiting);
        assert_eq!(*journal.retained().await.unwrap()[0], retained);
        let found: Vec<Record> = all(&journal, &query(tenant(1), None)).await.into_iter().filter(|r| r.at >= young[0].at).collect();
        assert_eq!(found, young);
        assert_eq!(journal::check(dir.path()).unwrap().damage, []);
    }
    // Once delivered it goes as well.
    let journal = Journal::open(options.clone()).await.unwrap();
    journal.inbox_ack(InboxId::from(thing(5)), waiting.seq);
    settle(&journal, &HashMap::new(), 2 * DAY).await;
    let left = journal.scan(Seq(0), 5).await.unwrap();
    assert_eq!(*left[0], retained);
}

#[tokio::test]
async fn every_tenant_has_its_own_time() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let records = fill(&journal, &clock, 600, |n, c| fat(u128::from(n % 4 == 0), 1, c)).await;
    clock.advance(5 * DAY);
    put(&journal, fat(1, 1, &clock)).await;
    let keep = HashMap::from([(tenant(0), DAY)]);
    let before = journal.stats().bytes;
    // Hidden at the first step, gone from the files after the last.
    journal.retain(&keep, 30 * DAY).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(0), None)).await, []);
    settle(&journal, &keep, 30 * DAY).await;
    assert!(journal.stats().bytes < before / 2);
    let mine: Vec<Record> = records.into_iter().filter(|r| r.tenant == tenant(1)).collect();
    assert_eq!(all(&journal, &query(tenant(1), None)).await[..mine.len()], mine);
    journal.close().await.unwrap();
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await[..mine.len()], mine);
    assert_eq!(all(&journal, &query(tenant(0), None)).await.len(), 0);
}

#[tokio::test]
async fn the_forgotten_leave_the_files_and_their_tombstones_follow() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let secret = |n, c: &Clock| match n % 3 {
        0 => NewMessage { payload: Bytes::from(format!("hush-hush {n} {}", "y".repeat(800))), ..message(tenant(1), thing(0), c) },
        _ => fat(1, 1, c),
    };
    let records = fill(&journal, &clock, 400, secret).await;
    journal.forget(tenant(1), thing(0)).await.unwrap();
    assert_eq!(journal.stats().tombstones, 1);
    // Too few to be worth a rewrite at once; after a day they go nevertheless.
    clock.advance(DAY + Duration::from_secs(1));
    settle(&journal, &HashMap::new(), 365 * DAY).await;
    assert_eq!(journal.stats().tombstones, 0);
    let others: Vec<Record> = records.into_iter().filter(|r| r.thing == thing(1)).collect();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, others);
    journal.close().await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|w| w == b"hush-hush"));
    }
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, others);
}

#[tokio::test]
async fn disk_use_is_bounded_and_readers_do_not_notice() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut most = 0;
    let mut reader = tokio::spawn(async {});
    for day in 0..30 {
        clock.advance(DAY);
        let today = fill(&journal, &clock, 150, |n, c| fat(1, n % 3, c)).await;
        reader.await.unwrap();
        reader = {
            let journal = journal.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    let found = all(&journal, &query(tenant(1), Some(thing(1)))).await;
                    assert!(found.is_sorted_by_key(|r| r.seq));
                    let mine: Vec<Seq> = today.iter().filter(|r| r.thing == thing(1)).map(|r| r.seq).collect();
                    let seen: Vec<Seq> = found.iter().filter(|r| r.at == today[0].at).map(|r| r.seq).collect();
                    assert_eq!(seen, mine, "day {day}");
                }
            })
        };
        for _ in 0..4 {
            journal.retain(&HashMap::new(), 5 * DAY).await.unwrap();
        }
        most = most.max(journal.stats().bytes);
    }
    reader.await.unwrap();
    let per_day = 150 * 1150;
    assert!(most < 9 * per_day, "{most}");
    assert_eq!(journal.stats().damaged, 0);
}

#[tokio::test]
async fn many_short_runs_do_not_leave_many_files() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let mut records = Vec::new();
    for _ in 0..12 {
        let journal = Journal::open(options.clone()).await.unwrap();
        records.extend(fill(&journal, &clock, 5, |n, c| outbound(tenant(1), thing(n), c)).await);
        // An active segment of old messages only is sealed by the first step.
        clock.advance(2 * DAY);
        journal.retain(&HashMap::new(), DAY).await.unwrap();
        journal.close().await.unwrap();
    }
    let journal = Journal::open(options).await.unwrap();
    assert!(journal.stats().segments > 4);
    settle(&journal, &HashMap::new(), DAY).await;
    assert!(journal.stats().segments <= 5, "{:?}", journal.stats());
    for n in 0..5 {
        let mine: Vec<Seq> = records.iter().filter(|r| r.thing == thing(n)).map(|r| r.seq).collect();
        assert_eq!(inbox(&journal, InboxId::from(thing(n))).await, mine);
    }
}
