use std::time::Duration;

use journal::{Durability, InboxId, Journal, NewMessage, Seq};
use model::MessageStatus;
use tempfile::tempdir;
use uuid::Uuid;

use crate::{faulty, inbox, message, options, outbound, put, query, tenant, thing};

#[tokio::test]
async fn in_order_until_acknowledged_across_reopen() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let box1 = InboxId::from(thing(1));
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.push(put(&journal, outbound(tenant(1), thing(1), &clock)).await);
        put(&journal, outbound(tenant(1), thing(2), &clock)).await;
        put(&journal, message(tenant(1), thing(1), &clock)).await;
    }
    let seqs: Vec<Seq> = sent.iter().map(|r| r.seq).collect();
    assert_eq!(inbox(&journal, box1).await, seqs);
    assert_eq!(journal.inbox_next(box1, Some(seqs[2]), 3).await.unwrap().iter().map(|r| r.seq).collect::<Vec<_>>(), seqs[3..6]);
    assert_eq!(journal.status(&sent[0]), MessageStatus::Queued);
    // Out of order is fine, twice is fine.
    for at in [0, 3, 1, 3] {
        journal.inbox_ack(box1, seqs[at]);
    }
    assert_eq!(journal.status(&sent[0]), MessageStatus::Delivered);
    assert!(journal.inbox_remove(box1, seqs[4]).await.unwrap());
    assert!(!journal.inbox_remove(box1, seqs[4]).await.unwrap());
    let left: Vec<Seq> = [2, 5, 6, 7, 8, 9].map(|at| seqs[at]).to_vec();
    assert_eq!(inbox(&journal, box1).await, left);
    assert_eq!((journal.inbox_len(box1), journal.inbox_len(InboxId::from(thing(2)))), (6, 10));
    for clean in [true, false] {
        if clean {
            journal.close().await.unwrap();
        }
    }
    drop(journal);
    let journal = Journal::open(options.clone()).await.unwrap();
    assert_eq!(inbox(&journal, box1).await, left);
    let read = journal.inbox_next(box1, None, 1).await.unwrap();
    assert_eq!(*read[0], sent[2]);
    journal.inbox_drop(box1).await.unwrap();
    let after = put(&journal, outbound(tenant(1), thing(1), &clock)).await;
    assert!(after.seq > seqs[9]);
    assert_eq!(inbox(&journal, box1).await, [after.seq]);
    drop(journal);
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(inbox(&journal, box1).await, [after.seq]);
}

#[tokio::test]
async fn an_acknowledgement_rides_with_the_next_batch_and_survives_a_kill() {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let box1 = InboxId::from(thing(1));
    let a = put(&journal, outbound(tenant(1), thing(1), &options.clock)).await;
    let b = put(&journal, outbound(tenant(1), thing(1), &options.clock)).await;
    journal.inbox_ack(box1, a.seq);
    put(&journal, message(tenant(1), thing(1), &options.clock)).await;
    // Too late for any batch: delivered once more.
    journal.inbox_ack(box1, b.seq);
    faults.cut_power(0).unwrap();
    drop(journal);
    let journal = Journal::open(crate::options(dir.path())).await.unwrap();
    assert_eq!(inbox(&journal, box1).await, [b.seq]);
}

#[tokio::test]
async fn lazy_acknowledgements_are_written_without_any_other_traffic() {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let a = put(&journal, outbound(tenant(1), thing(1), &options.clock)).await;
    let before = journal.stats().batches;
    journal.inbox_ack(InboxId::from(thing(1)), a.seq);
    while journal.stats().batches == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    faults.kill();
    drop(journal);
    let journal = Journal::open(crate::options(dir.path())).await.unwrap();
    assert_eq!(journal.inbox_len(InboxId::from(thing(1))), 0);
}

#[tokio::test]
async fn what_ran_out_is_not_delivered() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let box1 = InboxId::from(thing(1));
    let soon = NewMessage { expires: Some(clock.now() + Duration::from_secs(10)), ..outbound(tenant(1), thing(1), &clock) };
    let soon = put(&journal, soon).await;
    let lasting = put(&journal, outbound(tenant(1), thing(1), &clock)).await;
    assert_eq!(inbox(&journal, box1).await, [soon.seq, lasting.seq]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(journal.status(&soon), MessageStatus::Expired);
    assert_eq!(inbox(&journal, box1).await, [lasting.seq]);
    assert_eq!(journal.inbox_len(box1), 1);
    journal.inbox_ack(box1, lasting.seq);
    journal.close().await.unwrap();
    let journal = Journal::open(options).await.unwrap();
    assert_eq!((journal.status(&soon), journal.status(&lasting)), (MessageStatus::Expired, MessageStatus::Delivered));
}

#[tokio::test]
async fn a_watcher_hears_of_every_arrival() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let box1 = InboxId::from(thing(1));
    let reader = {
        let journal = journal.clone();
        tokio::spawn(async move {
            let watch = journal.inbox_watch(box1);
            let mut seen = Vec::new();
            while seen.len() < 500 {
                let next = journal.inbox_next(box1, None, 7).await.unwrap();
                if next.is_empty() {
                    tokio::time::timeout(Duration::from_secs(10), watch.notified()).await.expect("a missed notification");
                }
                for record in next {
                    journal.inbox_ack(box1, record.seq);
                    seen.push(record.seq);
                }
            }
            seen
        })
    };
    let mut sent = Vec::new();
    for n in 0..500 {
        let durability = if n % 3 == 0 { Durability::Sync } else { Durability::Flush };
        sent.push(journal.write(outbound(tenant(1), thing(1), &options.clock), durability).await.unwrap().seq);
    }
    assert_eq!(reader.await.unwrap(), sent);
}

#[tokio::test]
async fn several_inboxes_share_a_message() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let (own, session) = (InboxId::from(thing(1)), InboxId(Uuid::from_u128(99)));
    let both = NewMessage { inboxes: [own, session].into_iter().collect(), ..outbound(tenant(1), thing(1), &options.clock) };
    let record = put(&journal, both).await;
    journal.inbox_ack(session, record.seq);
    assert_eq!((inbox(&journal, own).await, inbox(&journal, session).await), (vec![record.seq], vec![]));
    assert_eq!(journal.status(&record), MessageStatus::Queued);
    assert_eq!(journal.delete(&query(tenant(1), Some(thing(1)))).await.unwrap(), 1);
    assert_eq!((journal.inbox_len(own), inbox(&journal, own).await), (0, vec![]));
}
