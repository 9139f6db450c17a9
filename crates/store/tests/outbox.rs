//! The outbox: claimed once, retried, given up, cleared away; the same stories on both engines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[macro_use]
mod engines;

use model::{PageRequest, TenantId, Timestamp};
use store::{Db, OutboxEntry, OutboxState};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn entry(n: u128, due: i64) -> OutboxEntry {
    OutboxEntry {
        id: Uuid::from_u128(n),
        tenant: n.is_multiple_of(2).then(|| TenantId(Uuid::from_u128(77))),
        channel: "mail".to_owned(),
        body: "{}".to_owned(),
        state: OutboxState::Queued,
        attempts: 0,
        next_at: at(due),
        last_error: None,
        created: at(1),
    }
}

async fn fill(db: &Db, entries: &[OutboxEntry]) {
    let mut tx = db.begin().await.unwrap();
    for entry in entries {
        tx.insert_outbox(entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn of_two_nodes_one_claims(db: Db) {
    fill(&db, &[entry(1, 10), entry(2, 5), entry(3, 50)]).await;
    let due = db.read().await.unwrap().outbox_due(at(10), true, 10).await.unwrap();
    assert_eq!(due.iter().map(|e| e.id.as_u128()).collect::<Vec<_>>(), [2, 1], "the longest waiting first, and only what is due");
    let claim = async |entry: &OutboxEntry| {
        let mut tx = db.begin().await.unwrap();
        let mine = tx.claim_outbox(entry, at(300)).await.unwrap();
        tx.commit().await.unwrap();
        mine
    };
    // Both read the same rows before either claimed.
    let (first, second) = tokio::join!(claim(&due[0]), claim(&due[0]));
    assert!(first ^ second);
    let claimed = db.read().await.unwrap().outbox_entry(due[0].id).await.unwrap().unwrap();
    assert_eq!((claimed.attempts, claimed.next_at), (1, at(300)));
    assert_eq!(db.read().await.unwrap().outbox_next().await.unwrap(), Some(at(10)));
    assert_eq!(db.read().await.unwrap().outbox_due(at(299), true, 10).await.unwrap().len(), 2, "1 and 3");
    assert_eq!(db.read().await.unwrap().outbox_due(at(300), true, 10).await.unwrap().len(), 3, "its worker died: due again");
}

async fn sent_and_dead(db: Db) {
    fill(&db, &[entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1)]).await;
    let mut tx = db.begin().await.unwrap();
    tx.outbox_sent(Uuid::from_u128(1), at(20)).await.unwrap();
    tx.outbox_dead(Uuid::from_u128(2), at(20), "no such user").await.unwrap();
    tx.outbox_again(Uuid::from_u128(3), at(40), "busy").await.unwrap();
    let sent = tx.outbox_entry(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert_eq!((sent.state, sent.body.as_str()), (OutboxState::Sent, ""), "a code does not stay behind");
    assert!(!tx.claim_outbox(&sent, at(99)).await.unwrap());
    let dead = tx.outbox(OutboxState::Dead, None, None, None, &PageRequest::max()).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].last_error.as_deref(), dead[0].body.as_str()), (Some("no such user"), "{}"));
    assert_eq!(tx.count_outbox(OutboxState::Queued).await.unwrap(), 2);
    let theirs = tx.outbox(OutboxState::Queued, Some(TenantId(Uuid::from_u128(77))), None, None, &PageRequest::max()).await.unwrap();
    assert_eq!(theirs.iter().map(|e| e.id.as_u128()).collect::<Vec<_>>(), [4]);
    let after = tx.outbox(OutboxState::Queued, None, None, Some(Uuid::from_u128(3)), &PageRequest::max()).await.unwrap();
    assert_eq!(after.iter().map(|e| e.id.as_u128()).collect::<Vec<_>>(), [4]);

    assert!(tx.retry_outbox(Uuid::from_u128(2), at(60)).await.unwrap());
    assert!(!tx.retry_outbox(Uuid::from_u128(2), at(60)).await.unwrap(), "no longer dead");
    assert_eq!(tx.outbox_entry(Uuid::from_u128(2)).await.unwrap().unwrap().attempts, 0);
    assert_eq!(tx.purge_outbox(OutboxState::Sent, at(20)).await.unwrap(), 0);
    assert_eq!(tx.purge_outbox(OutboxState::Sent, at(21)).await.unwrap(), 1);
}

both! {
    of_two_nodes_one_claims
    sent_and_dead
}
