//! Groups, profiles, calls: the same stories on both engines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

#[macro_use]
mod engines;

use std::collections::BTreeMap;

use model::{Membership, PlanName, Role, Tenant, TenantId, Thing, ThingId, ThingStatus, Timestamp, User, UserId};
use serde_json::json;
use store::{Db, GroupRecord};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

async fn tenant(db: &Db, n: u128) -> TenantId {
    let id = TenantId(Uuid::from_u128(n));
    let tenant = Tenant { id, name: format!("t{n}"), affiliation: None, plan: PlanName::Amber, plan_since: at(1), created: at(1) };
    let mut tx = db.begin().await.unwrap();
    tx.insert_tenant(&tenant).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn thing(db: &Db, tenant: TenantId, n: u128) -> ThingId {
    let id = ThingId(Uuid::from_u128(n));
    let thing = Thing {
        id,
        tenant,
        key: format!("key-{n}"),
        name: format!("name-{n}"),
        kind: String::new(),
        distribution: String::new(),
        tags: Vec::new(),
        attributes: BTreeMap::new(),
        status: ThingStatus::Created,
        owner: None,
        created: at(2),
        updated: at(2),
    };
    let mut tx = db.begin().await.unwrap();
    tx.insert_thing(&thing, None).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn member(db: &Db, tenant: TenantId, n: u128) -> UserId {
    let id = UserId(Uuid::from_u128(n));
    let user = User {
        id,
        email: format!("u{n}@example.com"),
        username: None,
        given_name: None,
        family_name: None,
        verified: true,
        disabled: false,
        operator: false,
        created: at(1),
        updated: at(1),
    };
    let mut tx = db.begin().await.unwrap();
    tx.insert_user(&user, None).await.unwrap();
    tx.set_membership(&Membership { tenant, user: id, role: Role::Reader, created: at(1) }).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn group(n: u128, name: &str) -> GroupRecord {
    GroupRecord {
        id: Uuid::from_u128(n),
        name: name.to_owned(),
        description: Some("of the north".to_owned()),
        created: at(5),
        updated: at(5),
    }
}

async fn a_group_keeps_the_order_of_its_things(db: Db) {
    let (ours, theirs) = (tenant(&db, 1).await, tenant(&db, 2).await);
    let things = [thing(&db, ours, 10).await, thing(&db, ours, 11).await, thing(&db, ours, 12).await];
    let north = group(20, "north");
    let mut tx = db.begin().await.unwrap();
    tx.insert_group(ours, &north).await.unwrap();
    tx.insert_group(theirs, &group(21, "north")).await.unwrap();
    tx.set_group_members(ours, north.id, &[things[2], things[0], things[1]]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.group(ours, north.id).await.unwrap().as_ref(), Some(&north));
    assert_eq!((tx.group(theirs, north.id).await.unwrap(), tx.group_named(ours, "south").await.unwrap()), (None, None));
    assert_eq!(tx.group_members(ours, north.id).await.unwrap(), ["key-12", "key-10", "key-11"]);
    assert_eq!((tx.count_groups(ours).await.unwrap(), tx.count_group_members(ours).await.unwrap()), (1, 3));
    tx.delete_thing(ours, things[0]).await.unwrap();
    assert_eq!(tx.all_group_members(ours).await.unwrap(), [(north.id, "key-12".to_owned()), (north.id, "key-11".to_owned())]);
    tx.set_group_members(ours, north.id, &[things[1]]).await.unwrap();
    assert!(tx.update_group(ours, &GroupRecord { name: "west".to_owned(), updated: at(9), ..north.clone() }).await.unwrap());
    assert!(!tx.update_group(theirs, &north).await.unwrap() && !tx.delete_group(theirs, north.id).await.unwrap());
    assert_eq!(tx.groups(ours, 10).await.unwrap()[0].name, "west");
    assert!(tx.delete_group(ours, north.id).await.unwrap());
    assert_eq!(tx.count_group_members(ours).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    assert!(tx.insert_group(theirs, &group(22, "north")).await.unwrap_err().is_unique_violation());
}

async fn a_profile_goes_with_its_membership(db: Db) {
    let ours = tenant(&db, 1).await;
    let user = member(&db, ours, 30).await;
    let fields = json!({ "country": "CO", "tags": { "vip": "true" } }).as_object().unwrap().clone();
    let mut tx = db.begin().await.unwrap();
    tx.user_logged_in(ours, user, at(7)).await.unwrap();
    let fresh = tx.user_profile(ours, user).await.unwrap().unwrap();
    assert_eq!((fresh.updated, fresh.last_login, fresh.fields.len()), (None, Some(at(7)), 0));
    tx.set_user_profile(ours, user, &fields, at(8)).await.unwrap();
    tx.user_logged_in(ours, user, at(9)).await.unwrap();
    let profiles = tx.user_profiles(ours, None, 10).await.unwrap();
    assert_eq!((profiles.len(), profiles[0].updated, profiles[0].last_login), (1, Some(at(8)), Some(at(9))));
    assert_eq!(profiles[0].fields, fields);
    assert!(tx.user_profiles(ours, Some(user), 10).await.unwrap().is_empty());
    // A change of role leaves it alone.
    tx.set_membership(&Membership { tenant: ours, user, role: Role::Writer, created: at(1) }).await.unwrap();
    assert!(tx.user_profile(ours, user).await.unwrap().is_some());
    tx.delete_membership(ours, user).await.unwrap();
    assert_eq!(tx.user_profile(ours, user).await.unwrap(), None);
}

async fn calls_add_up_by_day(db: Db) {
    let ours = tenant(&db, 1).await;
    let mut tx = db.begin().await.unwrap();
    for (day, user, more) in [(7, 1, 2), (7, 1, 3), (7, 2, 1), (8, 1, 9)] {
        tx.add_api_calls(ours, day, Uuid::from_u128(user), more).await.unwrap();
    }
    let mut calls = tx.api_calls(ours, 7).await.unwrap();
    calls.sort();
    assert_eq!(calls, [(Uuid::from_u128(1), 5), (Uuid::from_u128(2), 1)]);
    tx.purge_api_calls(ours, 8).await.unwrap();
    assert_eq!((tx.api_calls(ours, 7).await.unwrap().len(), tx.api_calls(ours, 8).await.unwrap().len()), (0, 1));
}

both! {
    a_group_keeps_the_order_of_its_things
    a_profile_goes_with_its_membership
    calls_add_up_by_day
}
