//! Start, stop, and what is done in between.

use model::{PageRequest, Role};

use super::*;
use crate::AuditFilter;

both! { another_master_key_does_not_open_the_data everything_survives_a_restart old_lines_are_pruned }

async fn another_master_key_does_not_open_the_data(house: House) {
    let options = Options { master_key: MasterKey::generate(), ..house.options.clone() };
    let refused = Identity::open(house.db.clone(), options).await.err().unwrap();
    assert!(refused.to_string().contains("master key"), "{refused}");
    assert!(Identity::open(house.db.clone(), house.options.clone()).await.is_ok());
}

async fn everything_survives_a_restart(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    let token = house.token("alice@example.com").await;
    let sealed = house.identity.seal(b"private", b"place");
    house.identity.stop().await;
    let node = house.another().await;
    assert_eq!(node.ca_certificate_pem(), house.identity.ca_certificate_pem());
    assert_eq!(node.jwks(), house.identity.jwks());
    assert!(node.verify(&token, &RS).await.is_ok());
    assert_eq!(node.unseal(&sealed, b"place").unwrap().as_slice(), b"private");
    // What was recorded before the stop is in the store, whoever reads it.
    let caller = node.operator_caller(acme.id);
    let trail = node.audit(&caller, &AuditFilter::default(), &PageRequest::max()).await.unwrap().items;
    assert!(trail.iter().any(|e| e.action == "token.issued"));
    // Nothing private is readable without the master key.
    let mut tx = house.db.read().await.unwrap();
    for key in tx.signing_keys().await.unwrap() {
        assert!(node.unseal(&key.private_key, b"signing_key:other").is_err());
        assert!(MasterKey::generate().sealer().unwrap().unseal(&key.private_key, format!("signing_key:{}", key.kid).as_bytes()).is_err());
    }
    let ca = tx.setting("ca").await.unwrap().unwrap();
    assert!(!ca.windows(11).any(|w| w == b"PRIVATE KEY"));
}

async fn old_lines_are_pruned(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    let caller = house.caller("alice@example.com").await;
    let count = || async { house.identity.audit(&caller, &AuditFilter::default(), &PageRequest::max()).await.unwrap().items.len() };
    assert_eq!(count().await, 1);
    house.advance(400 * 86_400 - 1);
    house.identity.prune().await.unwrap();
    assert_eq!(count().await, 1);
    house.advance(2);
    house.identity.prune().await.unwrap();
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn a_clock_set_back_locks_nobody_out() {
    let house = House::sqlite().await;
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    house.clock.set(at("2020-01-01T00:00:00Z"));
    let token = house.token("alice@example.com").await;
    assert!(house.identity.verify(&token, &RS).await.is_ok());
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_waits() {
    let house = House::sqlite().await;
    let acme = house.tenant("acme").await;
    let caller = house.identity.operator_caller(acme.id);
    let held = house.db.begin().await.unwrap();
    house.identity.record(crate::AuditEvent::done(&caller, "test.waits", None));
    let flushing = tokio::spawn({
        let identity = house.identity.clone();
        async move { identity.inner.trail.flush(&identity.inner.db).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!flushing.is_finished());
    drop(held);
    flushing.await.unwrap().unwrap();
    let trail = house.identity.audit(&caller, &AuditFilter::default(), &PageRequest::max()).await.unwrap().items;
    assert!(trail.iter().any(|e| e.action == "test.waits"));
}
