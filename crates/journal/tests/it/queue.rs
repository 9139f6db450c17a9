//! Inboxes by priority, dead letters, and entries that are moved or declared over.

use journal::{InboxId, Journal, NORMAL_PRIORITY, NewMessage, Seq, TOP_PRIORITY};
use model::MessageStatus;
use tempfile::tempdir;

use crate::*;

#[test]
fn every_priority_has_an_inbox_of_its_own() {
    let mut all: Vec<InboxId> = (0..=TOP_PRIORITY).map(|p| InboxId::of(thing(7), p)).collect();
    all.push(InboxId::dead_letters(thing(7)));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 11);
    assert_eq!(InboxId::of(thing(7), NORMAL_PRIORITY), InboxId::from(thing(7)));
    assert_eq!(InboxId::of(thing(7), 200), InboxId::of(thing(7), TOP_PRIORITY));
    assert_eq!(InboxId::levels_of(thing(7)).next(), Some(InboxId::of(thing(7), TOP_PRIORITY)));
}

fn urgent(options: &journal::Options, priority: u8) -> NewMessage {
    NewMessage { inboxes: [InboxId::of(thing(1), priority)].into_iter().collect(), ..outbound(tenant(1), thing(1), &options.clock) }
}

#[tokio::test]
async fn the_thing_is_told_of_every_priority() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let watch = journal.inbox_watch(thing(1).into());
    let waits = watch.notified();
    let low = put(&journal, urgent(&options, 0)).await;
    waits.await;
    let high = put(&journal, urgent(&options, 9)).await;
    let normal = put(&journal, urgent(&options, NORMAL_PRIORITY)).await;
    assert_eq!([low.priority(), high.priority(), normal.priority()], [Some(0), Some(9), Some(4)]);
    let levels = journal.inbox_levels(thing(1));
    assert_eq!(levels.to_vec(), [InboxId::of(thing(1), 9), InboxId::from(thing(1)), InboxId::of(thing(1), 0)]);
    assert_eq!(journal.inbox_holding(thing(1), high.seq), Some(InboxId::of(thing(1), 9)));
    assert_eq!(journal.status(&low), MessageStatus::Queued);
    journal.inbox_ack(InboxId::of(thing(1), 0), low.seq);
    assert_eq!(journal.status(&low), MessageStatus::Delivered);
    // All of them go with the thing.
    journal.inbox_move(InboxId::of(thing(1), 9), InboxId::dead_letters(thing(1)), high.seq).await.unwrap();
    journal.forget(tenant(1), thing(1)).await.unwrap();
    assert_eq!(journal.stats().inbox_entries, 0);
    assert!(journal.inbox_levels(thing(1)).is_empty());
}

#[tokio::test]
async fn what_was_moved_or_declared_over_stays_so_after_a_kill() {
    for clean in [true, false] {
        let dir = tempdir().unwrap();
        let options = options(dir.path());
        let journal = Journal::open(options.clone()).await.unwrap();
        let (normal, dead) = (InboxId::from(thing(1)), InboxId::dead_letters(thing(1)));
        let mut all = Vec::new();
        for _ in 0..6 {
            all.push(put(&journal, outbound(tenant(1), thing(1), &options.clock)).await);
        }
        // The later one first: among the dead letters they stand in their old order all the same.
        assert!(journal.inbox_move(normal, dead, all[4].seq).await.unwrap());
        assert!(journal.inbox_move(normal, dead, all[1].seq).await.unwrap());
        assert!(!journal.inbox_move(normal, dead, all[1].seq).await.unwrap(), "it is not there any more");
        assert!(journal.inbox_expire(normal, all[2].seq).await.unwrap());
        assert!(!journal.inbox_expire(normal, Seq(u64::MAX)).await.unwrap());
        let copy = tempdir().unwrap();
        let dir = if clean {
            journal.close().await.unwrap();
            dir.path()
        } else {
            for entry in std::fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap() != "lock" {
                    std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
                }
            }
            copy.path()
        };
        let journal = Journal::open(journal::Options { dir: dir.to_owned(), ..options.clone() }).await.unwrap();
        assert_eq!(inbox(&journal, normal).await, [all[0].seq, all[3].seq, all[5].seq], "clean {clean}");
        assert_eq!(inbox(&journal, dead).await, [all[1].seq, all[4].seq]);
        let status = |n: usize| journal.status(&all[n]);
        assert_eq!([status(0), status(1), status(2)], [MessageStatus::Queued, MessageStatus::Dead, MessageStatus::Expired]);
        assert!(journal.inbox_move(dead, normal, all[1].seq).await.unwrap());
        assert_eq!(inbox(&journal, normal).await, [all[0].seq, all[1].seq, all[3].seq, all[5].seq]);
    }
}

#[tokio::test]
async fn dead_letters_outlive_their_expiry_and_their_retention() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let ends = options.clock.now().checked_add(std::time::Duration::from_secs(10)).unwrap();
    let record = put(&journal, NewMessage { expires: Some(ends), ..outbound(tenant(1), thing(1), &options.clock) }).await;
    let dead = InboxId::dead_letters(thing(1));
    journal.inbox_move(thing(1).into(), dead, record.seq).await.unwrap();
    options.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    for _ in 0..40 {
        let fat = NewMessage { payload: vec![0; 60_000].into(), ..message(tenant(1), thing(2), &options.clock) };
        put(&journal, fat).await;
    }
    options.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    let day = std::time::Duration::from_secs(86_400);
    while journal.retain(&Default::default(), day).await.unwrap().more {}
    let there = journal.inbox_peek(dead, None, 10).await.unwrap();
    assert_eq!(there.iter().map(|r| (r.seq, r.payload.clone())).collect::<Vec<_>>(), [(record.seq, record.payload.clone())]);
    assert_eq!(journal.status(&record), MessageStatus::Dead);
}
