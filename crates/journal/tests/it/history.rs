use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use journal::{Durability, HistoryQuery, InboxId, Journal, JournalError, Record, Seq};
use model::{Direction, PageRequest};
use tempfile::tempdir;

use crate::{all, inbox, message, options, outbound, put, query, start, tenant, thing};

/// Enough for several segments: three things of two tenants, a message a second, every fifth outbound.
async fn filled(journal: &Journal, clock: &model::Clock, count: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for n in 0..count {
        clock.advance(Duration::from_secs(1));
        let (t, d) = (tenant(u128::from(n % 2)), thing(u128::from(n % 3)));
        let new = if n % 5 == 0 { outbound(t, d, clock) } else { message(t, d, clock) };
        records.push(journal.append(new, Durability::Sync).unwrap());
    }
    journal.durable(records.last().unwrap().seq).await.unwrap();
    records.into_iter().map(|ticket| (*ticket.record.unwrap()).clone()).collect()
}

fn expected(records: &[Record], q: &HistoryQuery) -> Vec<Record> {
    let wanted = |r: &&Record| {
        r.tenant == q.tenant
            && q.thing.is_none_or(|t| t == r.thing)
            && q.from.is_none_or(|t| r.at >= t)
            && q.to.is_none_or(|t| r.at <= t)
            && q.direction.is_none_or(|d| d == r.direction)
    };
    let mut found: Vec<Record> = records.iter().filter(wanted).cloned().collect();
    if q.newest_first {
        found.reverse();
    }
    found
}

fn questions() -> Vec<HistoryQuery> {
    let mut questions = Vec::new();
    for thing in [None, Some(thing(0)), Some(thing(2)), Some(thing(9))] {
        for (from, to) in [(None, None), (Some(300), Some(1700)), (Some(900), None), (None, Some(5)), (Some(700), Some(600))] {
            for direction in [None, Some(Direction::Inbound), Some(Direction::Outbound)] {
                for newest_first in [false, true] {
                    let at = |s: Option<u64>| s.map(|s| start() + Duration::from_secs(s));
                    let page = PageRequest { limit: 97, cursor: None };
                    questions.push(HistoryQuery { tenant: tenant(1), thing, from: at(from), to: at(to), direction, newest_first, page });
                }
            }
        }
    }
    questions
}

#[tokio::test]
async fn every_question_is_answered_from_memory_and_from_files() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut records = Vec::new();
    for _ in 0..4 {
        records.extend(filled(&journal, &options.clock, 500).await);
    }
    assert!(journal.stats().segments >= 3, "{:?}", journal.stats());
    for q in questions() {
        assert_eq!(all(&journal, &q).await, expected(&records, &q), "{q:?}");
    }
    journal.close().await.unwrap();
    let journal = Journal::open(options).await.unwrap();
    for q in questions() {
        assert_eq!(all(&journal, &q).await, expected(&records, &q), "{q:?}");
    }
    for r in records.iter().step_by(37) {
        assert_eq!(journal.get(r.tenant, r.thing, r.id).await.unwrap().as_deref(), Some(r));
    }
    let mut scanned: Vec<Record> = Vec::new();
    loop {
        let next = journal.scan(scanned.last().map_or(Seq(0), |r| r.seq), 77).await.unwrap();
        if next.is_empty() {
            break;
        }
        scanned.extend(next.iter().map(|r| (**r).clone()));
    }
    assert_eq!(scanned, records);
    assert_eq!(journal.stats().damaged, 0);
}

#[tokio::test]
async fn pages_are_stable_while_messages_come_in() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let before = filled(&journal, &options.clock, 1200).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (journal, clock, stop) = (journal.clone(), options.clock.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                journal.write(message(tenant(1), thing(1), &clock), Durability::Flush).await.unwrap();
            }
        })
    };
    for newest_first in [true, false] {
        let mut q = HistoryQuery { newest_first, page: PageRequest { limit: 50, cursor: None }, ..query(tenant(1), Some(thing(1))) };
        let newest = before.last().unwrap().seq;
        let seen = if newest_first {
            all(&journal, &q).await
        } else {
            // Oldest first never ends while somebody writes.
            let mut seen = Vec::new();
            while seen.last().is_none_or(|r: &Record| r.seq < newest) {
                let page = journal.history(&q).await.unwrap();
                seen.extend(page.items.iter().map(|r| (**r).clone()));
                q.page.cursor = page.next;
                if q.page.cursor.is_none() {
                    break;
                }
            }
            seen
        };
        let mut old: Vec<Record> = seen.iter().filter(|r| r.seq <= newest).cloned().collect();
        assert!(if newest_first { seen.is_sorted_by_key(|r| std::cmp::Reverse(r.seq)) } else { seen.is_sorted_by_key(|r| r.seq) });
        if newest_first {
            old.reverse();
        }
        assert_eq!(old, expected(&before, &query(tenant(1), Some(thing(1)))));
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let bad = HistoryQuery { page: PageRequest { limit: 5, cursor: Some("!".into()) }, ..query(tenant(1), None) };
    assert!(matches!(journal.history(&bad).await, Err(JournalError::Invalid { field: "cursor", .. })));
}

#[tokio::test]
async fn a_clock_that_jumps_back_loses_nothing() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut records = filled(&journal, &clock, 900).await;
    clock.set(start() + Duration::from_secs(100));
    records.extend(filled(&journal, &clock, 900).await);
    for q in questions() {
        assert_eq!(all(&journal, &q).await, expected(&records, &q), "{q:?}");
    }
}

#[tokio::test]
async fn deleting_hits_what_it_names_and_stays() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut records = filled(&journal, &options.clock, 1500).await;
    let range = HistoryQuery {
        from: Some(start() + Duration::from_secs(200)),
        to: Some(start() + Duration::from_secs(1200)),
        direction: Some(Direction::Outbound),
        ..query(tenant(1), Some(thing(0)))
    };
    let hit = expected(&records, &range);
    assert!(!hit.is_empty());
    let queued = inbox(&journal, InboxId::from(thing(0))).await;
    assert_eq!(journal.delete(&range).await.unwrap(), hit.len() as u64);
    assert_eq!(journal.delete(&range).await.unwrap(), 0);
    records.retain(|r| !hit.contains(r));
    let left: Vec<Seq> = queued.into_iter().filter(|s| hit.iter().all(|r| r.seq != *s)).collect();
    assert_eq!(inbox(&journal, InboxId::from(thing(0))).await, left);
    assert_eq!(journal.get(hit[0].tenant, hit[0].thing, hit[0].id).await.unwrap(), None);
    // What comes later with the same time is not hit.
    options.clock.set(start() + Duration::from_secs(300));
    records.push(put(&journal, outbound(tenant(1), thing(0), &options.clock)).await);
    // A whole tenant, one direction.
    let inbound = HistoryQuery { direction: Some(Direction::Inbound), ..query(tenant(0), None) };
    let hit = expected(&records, &inbound);
    assert_eq!(journal.delete(&inbound).await.unwrap(), hit.len() as u64);
    records.retain(|r| !hit.contains(r));
    assert_eq!(journal.stats().records, records.len() as u64);
    drop(journal);
    let journal = Journal::open(options).await.unwrap();
    for t in [0, 1] {
        assert_eq!(all(&journal, &query(tenant(t), None)).await, expected(&records, &query(tenant(t), None)));
    }
    assert_eq!(journal.stats().records, records.len() as u64);
    let scanned = journal.scan(Seq(0), 10_000).await.unwrap();
    assert_eq!(scanned.iter().map(|r| (**r).clone()).collect::<Vec<_>>(), records);
}

#[tokio::test]
async fn a_forgotten_thing_is_gone_and_may_come_back_empty() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let records = filled(&journal, &options.clock, 600).await;
    journal.forget(tenant(1), thing(1)).await.unwrap();
    let mine = query(tenant(1), Some(thing(1)));
    assert_eq!(all(&journal, &mine).await, []);
    assert_eq!(all(&journal, &query(tenant(0), Some(thing(1)))).await, expected(&records, &query(tenant(0), Some(thing(1)))));
    assert_eq!(journal.inbox_len(InboxId::from(thing(1))), 0);
    let again = put(&journal, outbound(tenant(1), thing(1), &options.clock)).await;
    drop(journal);
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(all(&journal, &mine).await, std::slice::from_ref(&again));
    assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, [again.seq]);
}

#[tokio::test]
async fn many_segments_do_not_mean_many_open_files() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut rare = Vec::new();
    for n in 0..130_u128 {
        rare.push(put(&journal, message(tenant(1), thing(1000), &options.clock)).await.seq);
        let fat = journal::NewMessage { payload: vec![0; 60_000].into(), ..message(tenant(1), thing(n), &options.clock) };
        put(&journal, fat).await;
    }
    assert!(journal.stats().segments > 120);
    let found = all(&journal, &query(tenant(1), Some(thing(1000)))).await;
    assert_eq!(found.iter().map(|r| r.seq).collect::<Vec<_>>(), rare);
    assert_eq!(all(&journal, &query(tenant(1), None)).await.len(), 260);
    assert_eq!(journal.get(tenant(1), thing(1000), found[3].id).await.unwrap().as_deref(), Some(&found[3]));
    let mine =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.unwrap().path()).is_ok_and(|to| to.starts_with(dir.path()));
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|e| mine(e).then_some(())).count();
    // A sealed segment stays open until its index is written, which happens beside: what counts is where that ends.
    let mut open = count();
    for _ in 0..600 {
        if open < 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        open = count();
    }
    assert!(open < 200, "{open} files open");
}
