//! Plans, periods, counters.

use std::time::Duration;

use bytes::Bytes;
use identity::TenantChange;
use model::{Denial, Error, PlanName, QuotaKind};
use things::{MessageFilter, Outgoing};

use crate::house::{House, inbound};

async fn used(house: &House, owner: &model::Caller) -> (u64, u64) {
    let usage = house.things.usage(owner).await.unwrap();
    (usage.collected.actual, usage.published.actual)
}

async fn each_direction_has_its_quota_and_each_month_its_own(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    let began = house.clock.now();
    house.advance(Duration::from_hours(24 * 10));
    for n in 0..1_000 {
        house.publish(&thing, "x").await.unwrap_or_else(|e| panic!("{n}: {e}"));
    }
    let refused = house.publish(&thing, "x").await;
    let Err(Error::Forbidden(Denial::Quota(quota))) = refused else { panic!("{refused:?}") };
    assert_eq!((quota.kind, quota.allowed, quota.actual), (QuotaKind::Collected, 1_000, 1_000));
    let refused = house.things.collect(&owner, "dev-1", "t", Bytes::new(), None).await;
    assert!(matches!(refused, Err(Error::Forbidden(Denial::Quota(_)))));
    house.things.send(&owner, "dev-1", Outgoing::default()).await.unwrap();
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!((usage.collected.allows(), usage.published.allows(), usage.published.actual), (false, true, 1));
    assert_eq!((usage.period_start, usage.period_end.to_string().as_str()), (began, "2026-06-01T12:00:00Z"));
    // Used up stays used up, over a kill too.
    let house = house.kill().await;
    assert!(house.publish(&thing, "x").await.is_err());
    // The next month.
    house.clock.set("2026-06-01T11:59:59Z".parse().unwrap());
    assert!(house.publish(&thing, "x").await.is_err());
    house.clock.set("2026-06-01T12:00:00Z".parse().unwrap());
    house.publish(&thing, "x").await.unwrap();
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!((usage.collected.actual, usage.published.actual), (1, 0));
    assert_eq!((usage.period_start.to_string().as_str(), usage.plan.name), ("2026-06-01T12:00:00Z", PlanName::Amber));
    house.things.maintain().await.unwrap();
    let house = house.kill().await;
    assert_eq!(used(&house, &owner).await, (1, 0));
}

async fn a_kill_loses_no_count_and_adds_none(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let other = house.tenant("other", PlanName::Sapphire).await;
    let (thing, theirs) = (house.thing(&owner, "dev-1").await, house.thing(&other, "dev-1").await);
    for _ in 0..7 {
        house.things.collect(&owner, "dev-1", "t", Bytes::from_static(b"x"), None).await.unwrap();
    }
    house.things.maintain().await.unwrap();
    for n in 0..20 {
        house.things.send(&owner, "dev-1", Outgoing { payload: Bytes::from(n.to_string()), ..Outgoing::default() }).await.unwrap();
    }
    house.things.collect(&other, "dev-1", "t", Bytes::new(), None).await.unwrap();
    assert_eq!(used(&house, &owner).await, (7, 20));
    let house = house.kill().await;
    assert_eq!((used(&house, &owner).await, used(&house, &other).await), ((7, 20), (1, 0)), "counted again from the journal");
    let house = house.kill().await;
    assert_eq!((used(&house, &owner).await, used(&house, &other).await), ((7, 20), (1, 0)), "and once only");
    house.publish(&thing, "x").await.unwrap();
    house.publish(&theirs, "x").await.unwrap();
    let house = house.restart().await;
    assert_eq!((used(&house, &owner).await, used(&house, &other).await), ((8, 20), (2, 0)));
    // Deleted and deprovisioned things' messages stay counted, whatever happens next.
    house.publish(&thing, "x").await.unwrap();
    house.things.delete_messages(&owner, "dev-1", &MessageFilter::default()).await.unwrap();
    house.publish(&theirs, "x").await.unwrap();
    house.things.deprovision(&other, "dev-1").await.unwrap();
    let house = house.kill().await;
    assert_eq!((used(&house, &owner).await, used(&house, &other).await), ((9, 20), (3, 0)));
}

async fn what_the_journal_did_not_take_is_given_back(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    let device = house.as_thing(&thing);
    house.publish(&thing, "stored").await.unwrap();
    // The broker's caller could not append these; it says so of one.
    let lost = house.things.accept(&device, inbound(thing.id, "x")).unwrap();
    house.things.not_stored(&lost);
    assert_eq!(used(&house, &owner).await, (1, 0));
    for _ in 0..999 {
        house.things.accept(&device, inbound(thing.id, "x")).unwrap();
    }
    assert!(house.things.accept(&device, inbound(thing.id, "x")).is_err());
    house.things.maintain().await.unwrap();
    assert_eq!(used(&house, &owner).await, (1, 0), "the journal knows of one");
    house.publish(&thing, "stored").await.unwrap();
    house.things.maintain().await.unwrap();
    assert_eq!(used(&house, &owner).await, (2, 0));
}

async fn a_new_plan_counts_from_its_first_day(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    for _ in 0..1_000 {
        house.publish(&thing, "x").await.unwrap();
    }
    assert!(house.publish(&thing, "x").await.is_err());
    house.advance(Duration::from_hours(1));
    let change = TenantChange { plan: Some(PlanName::Sapphire), ..TenantChange::default() };
    house.identity.update_tenant(&house.operator(), owner.tenant, change).await.unwrap();
    // Whoever asks over HTTP sees it at once; a connection under way within a minute.
    house.things.collect(&owner, "dev-1", "t", Bytes::new(), None).await.unwrap();
    house.publish(&thing, "x").await.unwrap();
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!((usage.collected.allowed, usage.collected.actual, usage.period_start), (20_000, 2, house.clock.now()));
    house.things.maintain().await.unwrap();
    assert_eq!(used(&house, &owner).await, (2, 0));
    let house = house.kill().await;
    assert_eq!(used(&house, &owner).await, (2, 0));

    house.advance(Duration::from_hours(1));
    let change = TenantChange { plan: Some(PlanName::Amber), ..TenantChange::default() };
    house.identity.update_tenant(&house.operator(), owner.tenant, change).await.unwrap();
    house.things.maintain().await.unwrap();
    for _ in 0..1_000 {
        house.publish(&thing, "x").await.unwrap();
    }
    assert!(house.publish(&thing, "x").await.is_err());
}

async fn a_message_before_anyone_looked_is_counted_later(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    // A new start; the first to come is a publication.
    let house = house.restart().await;
    for _ in 0..3 {
        house.publish(&thing, "x").await.unwrap();
    }
    assert_eq!(used(&house, &owner).await, (3, 0));
    house.things.maintain().await.unwrap();
    assert_eq!(used(&house, &owner).await, (3, 0));
    let house = house.kill().await;
    assert_eq!(used(&house, &owner).await, (3, 0));
}

async fn many_at_once_stop_exactly_at_the_limit(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    house.things.prepare(owner.tenant).await.unwrap();
    let device = house.as_thing(&thing);
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let (things, device, id) = (house.things.clone(), device.clone(), thing.id);
            tokio::task::spawn_blocking(move || (0..200).filter(|_| things.accept(&device, inbound(id, "x")).is_ok()).count())
        })
        .collect();
    let mut accepted = 0;
    for one in crowd {
        accepted += one.await.unwrap();
    }
    assert_eq!(accepted, 1_000);
}

both! {
    each_direction_has_its_quota_and_each_month_its_own
    a_kill_loses_no_count_and_adds_none
    what_the_journal_did_not_take_is_given_back
    a_new_plan_counts_from_its_first_day
    a_message_before_anyone_looked_is_counted_later
    many_at_once_stop_exactly_at_the_limit
}
