//! Things, certificates, usage, cursors, MQTT sessions: the same stories on both engines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[macro_use]
mod engines;

use std::collections::BTreeMap;

use model::{
    Certificate, CertificateFingerprint, CertificateStatus, PageRequest, PlanName, Tenant, TenantId, Thing, ThingId, ThingStatus, Timestamp,
};
use store::{Db, StoredMqttSession, ThingSelection, UsageCount};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn tenant(db: &Db, n: u128) -> TenantId {
    let id = TenantId(Uuid::from_u128(n));
    let tenant = Tenant { id, name: format!("t{n}"), affiliation: None, plan: PlanName::Amber, plan_since: at(1_000), created: at(1_000) };
    let mut tx = db.begin().await.unwrap();
    tx.insert_tenant(&tenant).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn thing(tenant: TenantId, n: u128) -> Thing {
    Thing {
        id: ThingId(Uuid::from_u128(n)),
        tenant,
        key: format!("key-{n}"),
        name: format!("Name {n}"),
        kind: if n.is_multiple_of(2) { "lamp" } else { "truck" }.to_owned(),
        distribution: "Python".to_owned(),
        tags: vec![format!("tag{}", n % 3), "it's \"quoted\"".to_owned()],
        attributes: BTreeMap::from([("place".to_owned(), "küche".to_owned())]),
        status: ThingStatus::Created,
        owner: None,
        created: at(2_000),
        updated: at(2_000),
    }
}

async fn insert(db: &Db, thing: &Thing) {
    let mut tx = db.begin().await.unwrap();
    tx.insert_thing(thing, Some(&[7; 32])).await.unwrap();
    tx.commit().await.unwrap();
}

async fn a_thing_is_found_by_each_of_its_names_in_its_tenant_only(db: Db) {
    let (ours, theirs) = (tenant(&db, 1).await, tenant(&db, 2).await);
    let lamp = thing(ours, 10);
    insert(&db, &lamp).await;
    let mut tx = db.read().await.unwrap();
    assert_eq!(tx.thing(ours, lamp.id).await.unwrap().as_ref(), Some(&lamp));
    assert_eq!(tx.thing_by_key(ours, "key-10").await.unwrap().as_ref(), Some(&lamp));
    assert_eq!(tx.thing_by_name(ours, "Name 10").await.unwrap().as_ref(), Some(&lamp));
    assert_eq!(tx.thing_by_handle(ours, "key-10").await.unwrap().as_ref(), Some(&lamp));
    assert_eq!(tx.thing_by_handle(ours, &lamp.id.to_string()).await.unwrap().as_ref(), Some(&lamp));
    assert_eq!(tx.thing_by_handle(ours, "key-11").await.unwrap(), None);
    assert_eq!(tx.thing(theirs, lamp.id).await.unwrap(), None);
    assert_eq!(tx.thing_by_handle(theirs, "key-10").await.unwrap(), None);
    assert_eq!((tx.count_things(ours).await.unwrap(), tx.count_things(theirs).await.unwrap()), (1, 0));
    drop(tx);

    let mut tx = db.begin().await.unwrap();
    let again = Thing { id: ThingId(Uuid::from_u128(11)), name: "other".to_owned(), ..lamp.clone() };
    assert!(tx.insert_thing(&again, None).await.unwrap_err().is_unique_violation());
    drop(tx);
    // Elsewhere the same key and name are free.
    insert(&db, &Thing { id: ThingId(Uuid::from_u128(12)), tenant: theirs, ..lamp }).await;
}

async fn lists_filter_and_page(db: Db) {
    let ours = tenant(&db, 1).await;
    for n in 1..=25 {
        insert(&db, &thing(ours, n)).await;
    }
    let mut tx = db.begin().await.unwrap();
    tx.set_thing_status(ThingId(Uuid::from_u128(4)), ThingStatus::Verified, at(3_000)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.read().await.unwrap();
    let page = PageRequest::new(Some(10), None).unwrap();
    let all = ThingSelection::default();
    let first = tx.things(ours, &all, None, &page).await.unwrap();
    assert_eq!(first.len(), 11, "one more than the page holds");
    let last = tx.things(ours, &all, Some(ThingId(Uuid::from_u128(20))), &page).await.unwrap();
    assert_eq!(last.iter().map(|t| t.id.uuid().as_u128()).collect::<Vec<_>>(), [21, 22, 23, 24, 25]);

    let mut found = async |selection: ThingSelection| -> Vec<u128> {
        let things = tx.things(ours, &selection, None, &PageRequest::max()).await.unwrap();
        things.iter().map(|t| t.id.uuid().as_u128()).collect()
    };
    assert_eq!(found(ThingSelection { name_contains: "nAmE 2".into(), ..all.clone() }).await, [2, 20, 21, 22, 23, 24, 25]);
    assert_eq!(found(ThingSelection { name_contains: "%".into(), ..all.clone() }).await, []);
    assert_eq!(found(ThingSelection { tag: "tag2".into(), ..all.clone() }).await, [2, 5, 8, 11, 14, 17, 20, 23]);
    assert_eq!(found(ThingSelection { tag: "tag".into(), ..all.clone() }).await, []);
    assert_eq!(found(ThingSelection { tag: "it's \"quoted\"".into(), ..all.clone() }).await.len(), 25);
    assert_eq!(found(ThingSelection { kind: "lamp".into(), tag: "tag2".into(), ..all.clone() }).await, [2, 8, 14, 20]);
    assert_eq!(found(ThingSelection { status: Some(ThingStatus::Verified), ..all.clone() }).await, [4]);
    assert_eq!(tx.thing_names(ours, Some(ThingId(Uuid::from_u128(23))), 10).await.unwrap().len(), 2);
}

async fn changes_are_seen(db: Db) {
    let ours = tenant(&db, 1).await;
    let mut lamp = thing(ours, 1);
    insert(&db, &lamp).await;
    lamp.name = "lamp".to_owned();
    lamp.tags.clear();
    lamp.updated = at(9_000);
    let mut tx = db.begin().await.unwrap();
    assert!(tx.update_thing(&lamp).await.unwrap());
    assert!(!tx.update_thing(&thing(ours, 2)).await.unwrap());
    assert!(tx.set_thing_secret(ours, lamp.id, Some(&[9; 32]), at(9_000)).await.unwrap());
    assert_eq!(tx.thing(ours, lamp.id).await.unwrap(), Some(lamp.clone()));
    assert_eq!(tx.thing_credential(lamp.id).await.unwrap().unwrap().secret_hash, Some(vec![9; 32]));
    assert!(tx.set_thing_status(lamp.id, ThingStatus::Verified, at(9_500)).await.unwrap());
    assert!(!tx.set_thing_status(lamp.id, ThingStatus::Verified, at(9_600)).await.unwrap());
}

fn certificate(tenant: TenantId, thing: ThingId, digit: char) -> Certificate {
    Certificate {
        fingerprint: CertificateFingerprint::parse(&digit.to_string().repeat(64)).unwrap(),
        tenant,
        thing,
        pem: "PEM".to_owned(),
        public_key: "SPKI".to_owned(),
        status: CertificateStatus::Active,
        issued_here: digit == 'a',
        not_before: at(0),
        not_after: at(1_000_000),
        created: at(i64::from(digit as u32)),
    }
}

async fn a_revoked_certificate_keeps_no_key(db: Db) {
    let (ours, theirs) = (tenant(&db, 1).await, tenant(&db, 2).await);
    let lamp = thing(ours, 1);
    insert(&db, &lamp).await;
    let (a, b) = (certificate(ours, lamp.id, 'a'), certificate(ours, lamp.id, 'b'));
    let mut tx = db.begin().await.unwrap();
    tx.insert_certificate(&a, Some(b"sealed")).await.unwrap();
    tx.insert_certificate(&b, None).await.unwrap();
    let both = tx.certificates(ours, lamp.id).await.unwrap();
    assert_eq!(both.iter().map(|c| &c.certificate).collect::<Vec<_>>(), [&a, &b]);
    assert_eq!(both[0].sealed_key.as_deref(), Some(&b"sealed"[..]));
    assert!(!tx.revoke_certificate(theirs, &a.fingerprint).await.unwrap());
    assert!(tx.revoke_certificate(ours, &a.fingerprint).await.unwrap());
    assert!(!tx.revoke_certificate(ours, &a.fingerprint).await.unwrap());
    let revoked = tx.certificate(&a.fingerprint).await.unwrap().unwrap();
    assert_eq!((revoked.certificate.status, revoked.sealed_key), (CertificateStatus::Revoked, None));
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(tx.insert_certificate(&b, None).await.unwrap_err().is_unique_violation());
}

async fn a_thing_that_goes_leaves_a_note(db: Db) {
    let (ours, theirs) = (tenant(&db, 1).await, tenant(&db, 2).await);
    let (lamp, truck) = (thing(ours, 1), thing(theirs, 2));
    insert(&db, &lamp).await;
    insert(&db, &truck).await;
    let mut tx = db.begin().await.unwrap();
    tx.insert_certificate(&certificate(ours, lamp.id, 'a'), None).await.unwrap();
    assert!(!tx.delete_thing(theirs, lamp.id).await.unwrap(), "another tenant's");
    assert!(tx.delete_thing(ours, lamp.id).await.unwrap());
    assert!(tx.certificates(ours, lamp.id).await.unwrap().is_empty());
    assert!(tx.delete_tenant(theirs).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.things_to_forget(10).await.unwrap(), [(ours, lamp.id), (theirs, truck.id)]);
    tx.thing_forgotten(lamp.id).await.unwrap();
    assert_eq!(tx.things_to_forget(10).await.unwrap(), [(theirs, truck.id)]);
}

async fn usage_and_cursor_are_written_together(db: Db) {
    let ours = tenant(&db, 1).await;
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.usage(ours, at(1_000)).await.unwrap(), UsageCount::default());
    assert_eq!(tx.cursor("usage").await.unwrap(), None);
    for (n, count) in [(5, UsageCount { collected: 3, published: 1 }), (9, UsageCount { collected: 7, published: 1 })] {
        tx.set_usage(ours, at(1_000), count).await.unwrap();
        tx.set_cursor("usage", n).await.unwrap();
    }
    tx.set_usage(TenantId(Uuid::from_u128(99)), at(1_000), UsageCount::default()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.usage(ours, at(1_000)).await.unwrap(), UsageCount { collected: 7, published: 1 });
    assert_eq!(tx.usage(ours, at(2_000)).await.unwrap(), UsageCount::default());
    assert_eq!(tx.cursor("usage").await.unwrap(), Some(9));
    tx.purge_usage(ours, at(1_001)).await.unwrap();
    assert_eq!(tx.usage(ours, at(1_000)).await.unwrap(), UsageCount::default());
}

async fn mqtt_sessions_come_back_in_order(db: Db) {
    let (ours, theirs) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
    let session = |tenant, client: &str, expires| StoredMqttSession {
        tenant,
        client_id: client.to_owned(),
        state: client.as_bytes().to_vec(),
        expires,
    };
    let mut tx = db.begin().await.unwrap();
    for s in [session(theirs, "a", None), session(ours, "b", Some(at(5))), session(ours, "a", None), session(ours, "b", Some(at(6)))] {
        tx.save_mqtt_session(&s).await.unwrap();
    }
    let all = tx.mqtt_sessions(None, 10).await.unwrap();
    assert_eq!(all, [session(ours, "a", None), session(ours, "b", Some(at(6))), session(theirs, "a", None)]);
    assert_eq!(tx.mqtt_sessions(Some((ours, "a")), 1).await.unwrap(), all[1..2]);
    assert!(tx.delete_mqtt_session(ours, "a").await.unwrap());
    assert!(!tx.delete_mqtt_session(ours, "a").await.unwrap());
    assert_eq!(tx.delete_mqtt_sessions_of(ours).await.unwrap(), 1);
    assert_eq!(tx.mqtt_sessions(None, 10).await.unwrap(), all[2..]);
}

both! {
    a_thing_is_found_by_each_of_its_names_in_its_tenant_only
    lists_filter_and_page
    changes_are_seen
    a_revoked_certificate_keeps_no_key
    a_thing_that_goes_leaves_a_note
    usage_and_cursor_are_written_together
    mqtt_sessions_come_back_in_order
}
