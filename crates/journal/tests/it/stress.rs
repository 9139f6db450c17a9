use std::collections::HashMap;
use std::time::Duration;

use journal::{Durability, InboxId, Journal, NewMessage, Options, Record, Seq};
use tempfile::tempdir;

use crate::{all, faulty, message, options, outbound, query, tenant, thing};

/// Many tasks append, acknowledge, read and maintain at once; then everything is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_adds_up() {
    let dir = tempdir().unwrap();
    let options = Options { segment_bytes: 256 << 10, max_pending_bytes: 64 << 10, ..options(dir.path()) };
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut writers = Vec::new();
    for w in 0..24_u128 {
        let (journal, clock) = (journal.clone(), options.clock.clone());
        writers.push(tokio::spawn(async move {
            let mut written = Vec::new();
            for n in 0..150_u32 {
                let new = NewMessage {
                    payload: format!("{w}/{n}").into(),
                    idempotency: Some((w << 32 | u128::from(n)).to_be_bytes()),
                    ..if n % 4 == 0 { outbound(tenant(1), thing(w), &clock) } else { message(tenant(1), thing(w), &clock) }
                };
                let durability = [Durability::Sync, Durability::Flush, Durability::Memory][n as usize % 3];
                let ticket = journal.write(new.clone(), durability).await.unwrap();
                written.push((*ticket.record.unwrap()).clone());
                if n % 10 == 0 {
                    let again = journal.write(new, durability).await.unwrap();
                    assert_eq!((again.duplicate_of, again.seq), (Some(written.last().unwrap().id), ticket.seq));
                }
                if durability == Durability::Sync {
                    // What was confirmed is seen at once.
                    let q = journal::HistoryQuery { newest_first: true, ..query(tenant(1), Some(thing(w))) };
                    assert_eq!(journal.history(&q).await.unwrap().items.first().map(|r| r.seq), Some(ticket.seq));
                }
            }
            written
        }));
    }
    let consumer = {
        let journal = journal.clone();
        tokio::spawn(async move {
            let (inbox, mut seen): (InboxId, Vec<Seq>) = (thing(0).into(), Vec::new());
            let watch = journal.inbox_watch(inbox);
            while seen.len() < 38 {
                let next = journal.inbox_next(inbox, seen.last().copied(), 3).await.unwrap();
                if next.is_empty() {
                    tokio::time::timeout(Duration::from_secs(20), watch.notified()).await.unwrap();
                }
                for record in next {
                    seen.push(record.seq);
                    journal.inbox_ack(inbox, record.seq);
                }
            }
            seen
        })
    };
    let keeper = {
        let (journal, dir) = (journal.clone(), dir.path().join("copies"));
        tokio::spawn(async move {
            for n in 0..5 {
                journal.retain(&HashMap::new(), Duration::from_secs(3600)).await.unwrap();
                journal.snapshot(&dir.join(n.to_string())).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let mut written: Vec<Record> = Vec::new();
    for writer in writers {
        let mine = writer.await.unwrap();
        assert!(mine.is_sorted_by_key(|r| r.seq));
        written.extend(mine);
    }
    written.sort_by_key(|r| r.seq);
    assert!(written.windows(2).all(|w| w[0].seq < w[1].seq));
    let boxed: Vec<Seq> = written.iter().filter(|r| r.inboxes.contains(&thing(0).into())).map(|r| r.seq).collect();
    assert_eq!(consumer.await.unwrap(), boxed);
    keeper.await.unwrap();
    journal.durable(written.last().unwrap().seq).await.unwrap();
    journal.close().await.unwrap();
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, written);
    assert_eq!(journal.inbox_len(thing(0).into()), 0);
    assert_eq!(journal.inbox_len(thing(1).into()), 38);
    for n in 0..5 {
        let copy = dir.path().join("copies").join(n.to_string());
        assert_eq!(journal::check(&copy).unwrap().damage, []);
        let copy = Journal::open(crate::options(&copy)).await.unwrap();
        let found = all(&copy, &query(tenant(1), None)).await;
        assert_eq!(found, written[..found.len()]);
    }
}

/// Killed in the middle of everything: what was confirmed is there, in order, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_nothing_confirmed() {
    for round in 0..8 {
        let dir = tempdir().unwrap();
        let (options, faults) = faulty(dir.path());
        let journal = Journal::open(options.clone()).await.unwrap();
        let mut writers = Vec::new();
        for w in 0..16 {
            let (journal, clock) = (journal.clone(), options.clock.clone());
            writers.push(tokio::spawn(async move {
                let mut confirmed = Vec::new();
                while let Ok(ticket) = journal.write(message(tenant(1), thing(w), &clock), Durability::Sync).await {
                    confirmed.push((*ticket.record.unwrap()).clone());
                }
                confirmed
            }));
        }
        tokio::time::sleep(Duration::from_millis(30 + 10 * round)).await;
        faults.cut_power(round).unwrap();
        let mut confirmed = Vec::new();
        for writer in writers {
            confirmed.extend(writer.await.unwrap());
        }
        drop(journal);
        confirmed.sort_by_key(|r| r.seq);
        assert!(!confirmed.is_empty());
        let journal = Journal::open(crate::options(dir.path())).await.unwrap();
        let found = all(&journal, &query(tenant(1), None)).await;
        assert!(found.is_sorted_by_key(|r| r.seq));
        let lost: Vec<_> = confirmed.iter().filter(|r| !found.contains(r)).collect();
        assert!(lost.is_empty(), "round {round}: {} lost", lost.len());
    }
}
