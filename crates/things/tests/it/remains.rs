//! Nothing of a thing that is gone remains, whatever happened in between.

use bytes::Bytes;
use journal::Seq;
use model::{PlanName, ThingId};
use things::Outgoing;

use crate::house::House;

/// How many messages of a thing the journal still knows.
pub async fn of(house: &House, thing: ThingId) -> usize {
    let (mut after, mut found) = (Seq(0), 0);
    loop {
        let records = house.journal.scan(after, 1_000).await.unwrap();
        let Some(last) = records.last() else { return found };
        after = last.seq;
        found += records.iter().filter(|r| r.thing == thing).count();
    }
}

async fn a_kill_between_store_and_journal_is_made_good(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let stays = house.thing(&owner, "dev-2").await;
    for handle in ["dev-1", "dev-2"] {
        house.things.collect(&owner, handle, "t", Bytes::from_static(b"x"), None).await.unwrap();
        house.things.send(&owner, handle, Outgoing::default()).await.unwrap();
    }
    // The transaction of a deprovisioning, and no further.
    let mut tx = house.db.begin().await.unwrap();
    assert!(tx.delete_thing(owner.tenant, thing.id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!((of(&house, thing.id).await, house.journal.inbox_len(thing.id.into())), (2, 1));
    let house = house.kill().await;
    assert_eq!((of(&house, thing.id).await, house.journal.inbox_len(thing.id.into())), (0, 0));
    assert_eq!((of(&house, stays.id).await, house.journal.inbox_len(stays.id.into())), (2, 1));
    assert!(house.db.read().await.unwrap().things_to_forget(10).await.unwrap().is_empty());
    assert!(house.publish(&thing, "late").await.is_err(), "and nothing new comes");
}

async fn a_tenant_that_goes_takes_its_messages_along(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    house.things.collect(&owner, "dev-1", "t", Bytes::from_static(b"x"), None).await.unwrap();
    house.identity.delete_tenant(&house.operator(), owner.tenant).await.unwrap();
    house.things.maintain().await.unwrap();
    assert_eq!(of(&house, thing.id).await, 0);
    assert!(house.things.usage(&owner).await.is_err());
    assert!(house.things.prepare(owner.tenant).await.is_err());
    let house = house.kill().await;
    assert_eq!(of(&house, thing.id).await, 0);
}

both! {
    a_kill_between_store_and_journal_is_made_good
    a_tenant_that_goes_takes_its_messages_along
}
