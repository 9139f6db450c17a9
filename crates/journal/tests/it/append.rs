use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, Journal, JournalError, LiveError, NewMessage, Options, Seq};
use model::Clock;
use tempfile::tempdir;

use crate::{all, message, options, put, query, start, tenant, thing};

#[tokio::test]
async fn what_is_written_is_read_back() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(options(dir.path())).await.unwrap();
    let clock = Clock::manual(start());
    let rich = NewMessage {
        properties: Bytes::from_static(b"\x01\x02"),
        expires: Some(start() + Duration::from_secs(9)),
        qos: 2,
        payload: Bytes::from(vec![7; 5000]),
        ..message(tenant(1), thing(1), &clock)
    };
    let record = put(&journal, rich.clone()).await;
    assert_eq!((record.id, &record.payload, &record.properties, record.qos), (rich.id, &rich.payload, &rich.properties, 2));
    assert_eq!(all(&journal, &query(tenant(1), Some(thing(1)))).await, vec![record.clone()]);
    assert_eq!(journal.get(tenant(1), thing(1), record.id).await.unwrap().as_deref(), Some(&record));
    assert_eq!(journal.get(tenant(2), thing(1), record.id).await.unwrap(), None);
    assert_eq!(journal.get(tenant(1), thing(2), record.id).await.unwrap(), None);
    let stats = journal.stats();
    assert_eq!((stats.records, stats.last_durable, stats.healthy, stats.pending_bytes), (1, record.seq, true, 0));
    assert!(stats.syncs >= 1);
}

#[tokio::test]
async fn limits_are_told() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(Options { max_payload: 10, ..options(dir.path()) }).await.unwrap();
    let clock = Clock::manual(start());
    let good = message(tenant(1), thing(1), &clock);
    let large = NewMessage { payload: Bytes::from(vec![0; 11]), ..good.clone() };
    assert_eq!(journal.append(large, Durability::Sync).unwrap_err(), JournalError::TooLarge { limit: 10 });
    let small = NewMessage { payload: Bytes::from(vec![0; 10]), ..good };
    let topic = NewMessage { topic: Bytes::from(vec![b'a'; 65_536]), ..small.clone() };
    assert!(matches!(journal.append(topic, Durability::Sync), Err(JournalError::Invalid { field: "topic", .. })));
    let qos = NewMessage { qos: 3, ..small.clone() };
    assert!(matches!(journal.append(qos, Durability::Sync), Err(JournalError::Invalid { field: "qos", .. })));
    journal.write(small, Durability::Sync).await.unwrap();
    assert!(matches!(journal.durable(Seq(1 << 40)).await, Err(JournalError::Invalid { field: "seq", .. })));
}

#[tokio::test]
async fn the_queue_is_bounded_and_admit_waits() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(Options { max_pending_bytes: 4096, ..options(dir.path()) }).await.unwrap();
    let clock = Clock::manual(start());
    let mut full = 0;
    let mut last = Seq(0);
    for _ in 0..2000 {
        match journal.append(message(tenant(1), thing(1), &clock), Durability::Sync) {
            Ok(ticket) => last = ticket.seq,
            Err(JournalError::Full) => {
                full += 1;
                journal.admit().await;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(journal.stats().pending_bytes < 4096 + 200);
    }
    assert!(full > 0, "the bound was never met");
    journal.durable(last).await.unwrap();
    assert_eq!(journal.stats().pending_bytes, 0);
}

#[tokio::test]
async fn memory_is_accepted_at_once_and_stored_soon() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(options(dir.path())).await.unwrap();
    let clock = Clock::manual(start());
    let mut live = journal.live(tenant(1), None);
    let ticket = journal.write(message(tenant(1), thing(1), &clock), Durability::Memory).await.unwrap();
    assert_eq!(live.recv().await.unwrap().seq, ticket.seq);
    assert_eq!(journal.stats().syncs, 0);
    journal.write(message(tenant(1), thing(1), &clock), Durability::Flush).await.unwrap();
    assert_eq!(journal.stats().syncs, 0);
    // Nobody asked for a sync, but it comes within seconds.
    for _ in 0..300 {
        if journal.stats().syncs > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(journal.stats().syncs, 1);
    assert_eq!(all(&journal, &query(tenant(1), None)).await.len(), 2);
}

#[tokio::test]
async fn a_key_seen_before_writes_nothing() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let keyed = |key: u8| NewMessage { idempotency: Some([key; 16]), ..message(tenant(1), thing(1), &clock) };
    let (first, second) = (keyed(1), keyed(1));
    let one = journal.append(first.clone(), Durability::Sync).unwrap();
    // Still in flight.
    let two = journal.append(second.clone(), Durability::Sync).unwrap();
    assert_eq!((one.duplicate_of, two.duplicate_of, two.seq), (None, Some(first.id), one.seq));
    journal.durable(two.seq).await.unwrap();
    assert_eq!(journal.write(second.clone(), Durability::Sync).await.unwrap().duplicate_of, Some(first.id));
    assert_eq!(journal.write(keyed(2), Durability::Sync).await.unwrap().duplicate_of, None);
    assert_eq!(all(&journal, &query(tenant(1), None)).await.len(), 2);

    journal.close().await.unwrap();
    let journal = Journal::open(options.clone()).await.unwrap();
    assert_eq!(journal.write(second.clone(), Durability::Sync).await.unwrap().duplicate_of, Some(first.id));
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(journal.write(second.clone(), Durability::Sync).await.unwrap().duplicate_of, Some(first.id));
    clock.advance(Duration::from_secs(2));
    let fresh = keyed(1);
    assert_eq!(journal.write(fresh.clone(), Durability::Sync).await.unwrap().duplicate_of, None);
    assert_eq!(journal.write(second, Durability::Sync).await.unwrap().duplicate_of, Some(fresh.id));
}

#[tokio::test]
async fn live_streams_see_what_is_theirs_and_report_lag() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(options(dir.path())).await.unwrap();
    let clock = Clock::manual(start());
    let (mut whole, mut one, mut slow) =
        (journal.live(tenant(1), None), journal.live(tenant(1), Some(thing(1))), journal.live(tenant(1), None));
    let a = put(&journal, message(tenant(1), thing(2), &clock)).await;
    let b = put(&journal, message(tenant(1), thing(1), &clock)).await;
    put(&journal, message(tenant(2), thing(1), &clock)).await;
    assert_eq!((whole.recv().await.unwrap().seq, whole.recv().await.unwrap().seq), (a.seq, b.seq));
    assert_eq!(one.recv().await.unwrap().seq, b.seq);
    assert!(tokio::time::timeout(Duration::from_millis(20), one.recv()).await.is_err());
    for _ in 0..2000 {
        journal.append(message(tenant(1), thing(1), &clock), Durability::Memory).unwrap();
    }
    let last = put(&journal, message(tenant(1), thing(1), &clock)).await;
    let Err(LiveError::Lagged(missed)) = slow.recv().await else { panic!("no lag reported") };
    let mut seen = Vec::new();
    while seen.last() != Some(&last.seq) {
        seen.push(slow.recv().await.unwrap().seq);
    }
    assert_eq!(missed + seen.len() as u64, 2003);
    assert!(seen.is_sorted());
    journal.close().await.unwrap();
    assert_eq!(slow.recv().await.unwrap_err(), LiveError::Closed);
}

#[tokio::test]
async fn retained_is_the_newest_of_its_topic() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options.clone()).await.unwrap();
    let retain = |t: u128, topic: &'static str, payload: &'static str| NewMessage {
        retain: true,
        topic: Bytes::from_static(topic.as_bytes()),
        payload: Bytes::from_static(payload.as_bytes()),
        ..message(tenant(t), thing(1), &clock)
    };
    for (t, topic, payload) in [(1, "a", "1"), (1, "a", "2"), (2, "a", "3"), (1, "b", "4"), (1, "b", "")] {
        put(&journal, retain(t, topic, payload)).await;
    }
    let payloads = |records: Vec<std::sync::Arc<journal::Record>>| records.iter().map(|r| r.payload.clone()).collect::<Vec<_>>();
    assert_eq!(payloads(journal.retained().await.unwrap()), ["2", "3"]);
    drop(journal);
    let journal = Journal::open(options).await.unwrap();
    assert_eq!(payloads(journal.retained().await.unwrap()), ["2", "3"]);
    journal.forget(tenant(1), thing(1)).await.unwrap();
    assert_eq!(payloads(journal.retained().await.unwrap()), ["3"]);
}

#[tokio::test]
async fn one_process_at_a_time_and_closed_is_closed() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    assert!(matches!(Journal::open(options.clone()).await, Err(JournalError::InUse { .. })));
    journal.close().await.unwrap();
    let late = message(tenant(1), thing(1), &options.clock);
    assert_eq!(journal.append(late, Durability::Sync).unwrap_err(), JournalError::Closed);
    Journal::open(options).await.unwrap();
}
