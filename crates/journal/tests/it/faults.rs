use std::time::Duration;

use journal::{Durability, Faults, InboxId, Journal, JournalError, NewMessage, Options, Record, WriteFault};
use tempfile::tempdir;

use crate::{all, faulty, inbox, message, outbound, put, query, tenant, thing};

async fn healthy(journal: &Journal) {
    for _ in 0..500 {
        if journal.stats().healthy {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the journal did not recover");
}

/// One failing write between two good ones: the failed one is nowhere, now or after a restart.
async fn one_failure(inject: impl Fn(&Faults), expected: impl Fn(&JournalError) -> bool) {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options).await.unwrap();
    let mut stored = vec![put(&journal, outbound(tenant(1), thing(1), &clock)).await];
    inject(&faults);
    let keyed = NewMessage { idempotency: Some([5; 16]), ..outbound(tenant(1), thing(1), &clock) };
    let ticket = journal.append(keyed.clone(), Durability::Sync).unwrap();
    let error = journal.durable(ticket.seq).await.unwrap_err();
    assert!(expected(&error), "{error}");
    // Asking late gives the same answer.
    assert_eq!(journal.durable(ticket.seq).await.unwrap_err(), error);
    assert_eq!(all(&journal, &query(tenant(1), Some(thing(1)))).await, stored);
    healthy(&journal).await;
    // The key is free again.
    stored.push(put(&journal, keyed).await);
    stored.push(put(&journal, outbound(tenant(1), thing(1), &clock)).await);
    let seqs: Vec<_> = stored.iter().map(|r| r.seq).collect();
    assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, seqs);
    faults.kill();
    drop(journal);
    let journal = Journal::open(crate::options(dir.path())).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), Some(thing(1)))).await, stored);
    assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, seqs);
    assert_eq!(journal::check(dir.path()).unwrap().damage, []);
}

#[tokio::test]
async fn a_failed_write_is_not_stored() {
    one_failure(|f| f.fail_writes(1, WriteFault::Io), |e| matches!(e, JournalError::Io { op: "write", .. })).await;
}

#[tokio::test]
async fn a_short_write_is_not_stored() {
    for bytes in [1, 40, 100, 150] {
        one_failure(|f| f.fail_writes(2, WriteFault::Short(bytes)), |e| *e == JournalError::DiskFull).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_named() {
    one_failure(|f| f.fail_writes(2, WriteFault::NoSpace), |e| *e == JournalError::DiskFull).await;
}

#[tokio::test]
async fn a_failed_sync_is_not_stored() {
    one_failure(|f| f.fail_syncs(1), |e| matches!(e, JournalError::Io { op: "sync", .. })).await;
}

#[tokio::test]
async fn no_new_segment_after_a_failed_sync() {
    one_failure(
        |f| {
            f.fail_syncs(1);
            f.fail_creates(2);
        },
        |e| matches!(e, JournalError::Io { op: "sync", .. }),
    )
    .await;
}

#[tokio::test]
async fn while_the_disk_is_full_reads_work_and_appends_are_refused_at_once() {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options).await.unwrap();
    let stored = put(&journal, outbound(tenant(1), thing(1), &clock)).await;
    faults.fail_writes(u64::MAX, WriteFault::NoSpace);
    let ticket = journal.append(message(tenant(1), thing(1), &clock), Durability::Sync).unwrap();
    assert_eq!(journal.durable(ticket.seq).await.unwrap_err(), JournalError::DiskFull);
    for durability in [Durability::Sync, Durability::Flush, Durability::Memory] {
        assert_eq!(journal.append(message(tenant(1), thing(1), &clock), durability).unwrap_err(), JournalError::DiskFull);
    }
    assert!(!journal.stats().healthy);
    assert_eq!(all(&journal, &query(tenant(1), None)).await, std::slice::from_ref(&stored));
    assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, [stored.seq]);
    assert!(matches!(model::Error::from(JournalError::DiskFull), model::Error::Unavailable { .. }));
    faults.fail_writes(0, WriteFault::NoSpace);
    healthy(&journal).await;
    let next = put(&journal, message(tenant(1), thing(1), &clock)).await;
    assert_eq!(all(&journal, &query(tenant(1), None)).await, [stored, next]);
}

#[tokio::test]
async fn what_was_accepted_without_a_sync_outlives_a_failed_one() {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let clock = options.clock.clone();
    let journal = Journal::open(options).await.unwrap();
    let mut stored = vec![put(&journal, outbound(tenant(1), thing(1), &clock)).await];
    for _ in 0..3 {
        let ticket = journal.write(outbound(tenant(1), thing(1), &clock), Durability::Flush).await.unwrap();
        stored.push((*ticket.record.unwrap()).clone());
    }
    faults.fail_syncs(1);
    let failed = journal.append(outbound(tenant(1), thing(1), &clock), Durability::Sync).unwrap();
    assert!(journal.durable(failed.seq).await.is_err());
    healthy(&journal).await;
    stored.push(put(&journal, outbound(tenant(1), thing(1), &clock)).await);
    assert_eq!(journal.stats().segments, 2);
    let check = async |journal: &Journal| {
        assert_eq!(all(journal, &query(tenant(1), Some(thing(1)))).await, stored);
        let newest_first = journal::HistoryQuery { newest_first: true, ..query(tenant(1), None) };
        assert_eq!(all(journal, &newest_first).await.len(), stored.len());
        assert_eq!(inbox(journal, InboxId::from(thing(1))).await, stored.iter().map(|r| r.seq).collect::<Vec<_>>());
    };
    check(&journal).await;
    faults.cut_power(0).unwrap();
    drop(journal);
    check(&Journal::open(crate::options(dir.path())).await.unwrap()).await;
}

#[tokio::test]
async fn random_faults_lose_nothing_confirmed_and_show_nothing_failed() {
    for seed in 1..5_u64 {
        let dir = tempdir().unwrap();
        let (options, faults) = faulty(dir.path());
        let options = Options { segment_bytes: 64 << 10, ..options };
        let clock = options.clock.clone();
        let journal = Journal::open(options).await.unwrap();
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let (mut good, mut bad): (Vec<Record>, Vec<Record>) = Default::default();
        for _ in 0..80 {
            match roll(12) {
                0 => faults.fail_writes(1 + roll(2), WriteFault::Short(roll(4000) as usize)),
                1 => faults.fail_syncs(1 + roll(2)),
                2 => faults.fail_creates(1),
                3 => faults.fail_writes(1, WriteFault::Io),
                _ => {}
            }
            let size = roll(3000) as usize;
            let batch: Vec<_> = (0..1 + roll(5))
                .filter_map(|_| {
                    let new = NewMessage { payload: vec![1; size].into(), ..outbound(tenant(1), thing(1), &clock) };
                    journal.append(new, Durability::Sync).ok()
                })
                .collect();
            for ticket in batch {
                let record = (*ticket.record.unwrap()).clone();
                match journal.durable(ticket.seq).await {
                    Ok(()) => good.push(record),
                    Err(_) => bad.push(record),
                }
            }
            if !journal.stats().healthy && roll(2) == 0 {
                healthy(&journal).await;
            }
        }
        let seqs = |records: &[Record]| records.iter().map(|r| r.seq).collect::<Vec<_>>();
        assert!(!bad.is_empty() && !good.is_empty());
        assert_eq!(seqs(&all(&journal, &query(tenant(1), None)).await), seqs(&good), "seed {seed}");
        faults.cut_power(seed).unwrap();
        drop(journal);
        let journal = Journal::open(crate::options(dir.path())).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(seqs(&all(&journal, &query(tenant(1), None)).await), seqs(&good), "seed {seed}");
        assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, seqs(&good), "seed {seed}");
    }
}
