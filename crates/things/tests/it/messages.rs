//! Messages both ways, inbox, history, live view.

use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, InboxId};
use model::{Denial, Direction, Error, Message, MessageStatus, PageRequest, PlanName, ThingId, Timestamp};
use things::{Incoming, MessageFilter, NewThing, Outgoing};
use uuid::Uuid;

use crate::house::{House, inbound};

fn to(payload: &str) -> Outgoing {
    Outgoing { payload: Bytes::copy_from_slice(payload.as_bytes()), ..Outgoing::default() }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|m| std::str::from_utf8(&m.payload).unwrap()).collect()
}

async fn history(house: &House, caller: &model::Caller, filter: &MessageFilter, newest_first: bool) -> Vec<Message> {
    house.things.messages(caller, "dev-1", filter, newest_first, &PageRequest::max()).await.unwrap().items
}

async fn what_is_collected_is_history(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let device = house.as_thing(&thing);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(house.things.collect(&device, "dev-1", "http:collect", Bytes::from(n.to_string()), None).await.unwrap());
        house.advance(Duration::from_secs(10));
    }
    let first = &made[0];
    assert_eq!(
        (first.tenant, first.thing, first.direction, first.status),
        (owner.tenant, thing.id, Direction::Inbound, MessageStatus::Stored)
    );
    assert_eq!((first.topic.as_str(), first.expires), ("http:collect", None));
    assert_eq!(history(&house, &owner, &MessageFilter::default(), false).await, made);
    assert_eq!(house.things.message(&owner, "dev-1", first.id).await.unwrap(), *first);
    // Both ends are inclusive.
    let range = MessageFilter { from: Some(made[1].at), to: Some(made[3].at), direction: None };
    assert_eq!(texts(&history(&house, &owner, &range, true).await), ["3", "2", "1"]);
    // Pages.
    let page = PageRequest::new(Some(2), None).unwrap();
    let one = house.things.messages(&owner, "dev-1", &MessageFilter::default(), false, &page).await.unwrap();
    let page = PageRequest::new(Some(2), one.next).unwrap();
    let two = house.things.messages(&owner, "dev-1", &MessageFilter::default(), false, &page).await.unwrap();
    assert_eq!((texts(&one.items), texts(&two.items)), (vec!["0", "1"], vec!["2", "3"]));
    // One direction, and what makes no sense.
    house.things.send(&owner, "dev-1", to("on")).await.unwrap();
    let out = MessageFilter { direction: Some(Direction::Outbound), ..MessageFilter::default() };
    assert_eq!(texts(&history(&house, &owner, &out, false).await), ["on"]);
    for (from, to) in [(Some(20), Some(10)), (Some(-1), None), (None, Some(-1))] {
        let second = |s: Option<i64>| s.map(|s| Timestamp::from_second(s).unwrap());
        let filter = MessageFilter { from: second(from), to: second(to), direction: None };
        let page = PageRequest::max();
        assert!(matches!(house.things.messages(&owner, "dev-1", &filter, false, &page).await, Err(Error::Invalid { .. })));
        assert!(matches!(house.things.delete_messages(&owner, "dev-1", &filter).await, Err(Error::Invalid { .. })));
    }
    // Deleted is deleted, the rest stays.
    assert_eq!(house.things.delete_messages(&owner, "dev-1", &range).await.unwrap(), 3);
    assert_eq!(texts(&history(&house, &owner, &MessageFilter::default(), false).await), ["0", "4", "on"]);
    assert!(matches!(house.things.message(&owner, "dev-1", made[2].id).await, Err(Error::NotFound { what: "message" })));
    let house = house.kill().await;
    assert_eq!(texts(&history(&house, &owner, &MessageFilter::default(), false).await), ["0", "4", "on"]);
}

async fn a_thing_speaks_only_for_itself(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let (thing, other) = (house.thing(&owner, "dev-1").await, house.thing(&owner, "dev-2").await);
    let device = house.as_thing(&thing);
    assert!(house.things.accept(&device, inbound(thing.id, "x")).is_ok());
    assert!(matches!(house.things.accept(&device, inbound(other.id, "x")), Err(Error::Forbidden(Denial::Rule(_)))));
    let outbound = Incoming { direction: Direction::Outbound, ..inbound(thing.id, "x") };
    assert!(matches!(house.things.accept(&device, outbound), Err(Error::Forbidden(_))));
    let refused = house.things.collect(&device, "dev-2", "t", Bytes::new(), None).await;
    assert!(matches!(refused, Err(Error::NotFound { what: "thing" })));
    assert!(house.things.inbox(&device, "dev-2", &PageRequest::max()).await.is_err());
    // A back end may hand in on behalf of any of its tenant's things.
    assert!(house.things.collect(&owner, "dev-2", "t", Bytes::new(), None).await.is_ok());
}

async fn what_is_too_large_or_misshapen_is_refused_and_not_counted(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    let device = house.as_thing(&thing);
    let limit = 128 << 10;
    assert!(house.things.accept(&device, inbound(thing.id, &"x".repeat(limit))).is_ok());
    let large = house.things.accept(&device, inbound(thing.id, &"x".repeat(limit + 1)));
    assert_eq!(large.map(drop), Err(Error::TooLarge { limit: limit as u64 }));
    for topic in [&b"a/+"[..], b"#", b"\xff", b"a\0", &[b'x'; 4_097]] {
        let incoming = Incoming { topic: Bytes::copy_from_slice(topic), ..inbound(thing.id, "x") };
        assert!(matches!(house.things.accept(&device, incoming), Err(Error::Invalid { field: "topic", .. })));
    }
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!(usage.collected.actual, 1);
}

async fn an_inbox_keeps_order_until_it_is_acknowledged(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    for n in 0..5 {
        let sent = house.things.send(&owner, "dev-1", to(&n.to_string())).await.unwrap();
        assert!(!sent.duplicate);
        assert_eq!((sent.message.status, sent.message.topic.as_str()), (MessageStatus::Queued, ""));
    }
    let page = PageRequest::max();
    let device = house.as_thing(&thing);
    let waiting = house.things.inbox(&device, "dev-1", &page).await.unwrap().items;
    assert_eq!(texts(&waiting), ["0", "1", "2", "3", "4"]);
    // Taken out by hand, acknowledged by the thing.
    house.things.inbox_remove(&owner, "dev-1", waiting[1].id).await.unwrap();
    let again = house.things.inbox_remove(&owner, "dev-1", waiting[1].id).await;
    assert!(matches!(again, Err(Error::NotFound { what: "message" })));
    let inbox = InboxId::from(thing.id);
    let first = house.journal.inbox_next(inbox, None, 1).await.unwrap().remove(0);
    house.journal.inbox_ack(inbox, first.seq);
    assert_eq!(house.things.message(&owner, "dev-1", waiting[0].id).await.unwrap().status, MessageStatus::Delivered);
    assert_eq!(house.things.message(&owner, "dev-1", waiting[2].id).await.unwrap().status, MessageStatus::Queued);
    let small = PageRequest::new(Some(2), None).unwrap();
    let one = house.things.inbox(&device, "dev-1", &small).await.unwrap();
    let two = house.things.inbox(&device, "dev-1", &PageRequest::new(Some(2), one.next.clone()).unwrap()).await.unwrap();
    assert_eq!((texts(&one.items), texts(&two.items), two.next), (vec!["2", "3"], vec!["4"], None));
    assert_eq!(history(&house, &owner, &MessageFilter::default(), false).await.len(), 5, "the history keeps all");
    // It outlives a kill; deleting the history empties it.
    let house = house.restart().await.kill().await;
    assert_eq!(texts(&house.things.inbox(&device, "dev-1", &page).await.unwrap().items), ["2", "3", "4"]);
    assert_eq!(house.things.delete_messages(&owner, "dev-1", &MessageFilter::default()).await.unwrap(), 5);
    assert!(house.things.inbox(&device, "dev-1", &page).await.unwrap().items.is_empty());
}

async fn what_waits_too_long_expires(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    house.thing(&owner, "dev-1").await;
    let soon = house.clock.now().checked_add(Duration::from_mins(10)).unwrap();
    let short = house.things.send(&owner, "dev-1", Outgoing { expires: Some(soon), ..to("soon") }).await.unwrap().message;
    let long = house.things.send(&owner, "dev-1", to("later")).await.unwrap().message;
    let day = Duration::from_hours(24);
    assert_eq!((short.expires, long.expires), (Some(soon), Some(house.clock.now().checked_add(day).unwrap())), "never past retention");
    let past = house.things.send(&owner, "dev-1", Outgoing { expires: Some(house.clock.now()), ..to("x") }).await;
    assert!(matches!(past, Err(Error::Invalid { field: "expires", .. })));
    house.advance(Duration::from_mins(10));
    let page = PageRequest::max();
    assert_eq!(texts(&house.things.inbox(&owner, "dev-1", &page).await.unwrap().items), ["later"]);
    assert_eq!(house.things.message(&owner, "dev-1", short.id).await.unwrap().status, MessageStatus::Expired);
    house.advance(day);
    assert!(house.things.inbox(&owner, "dev-1", &page).await.unwrap().items.is_empty());
}

async fn the_same_key_stores_once(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    house.thing(&owner, "dev-1").await;
    house.thing(&owner, "dev-2").await;
    let keyed = |payload: &str| Outgoing { idempotency_key: Some("order 66".into()), ..to(payload) };
    let first = house.things.send(&owner, "dev-1", keyed("on")).await.unwrap();
    house.advance(Duration::from_secs(1));
    let second = house.things.send(&owner, "dev-1", keyed("off")).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(second.message, first.message, "the first one is the answer");
    // Another thing, another direction: another message.
    assert!(!house.things.send(&owner, "dev-2", keyed("on")).await.unwrap().duplicate);
    let collect =
        async |house: &House| house.things.collect(&owner, "dev-1", "t", Bytes::from_static(b"1"), Some("order 66")).await.unwrap().id;
    let collected = collect(&house).await;
    assert_ne!(collected, first.message.id);
    assert_eq!(collect(&house).await, collected);
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!((usage.published.actual, usage.collected.actual), (2, 1), "counted once");
    let house = house.kill().await;
    assert_eq!(house.things.send(&owner, "dev-1", keyed("off")).await.unwrap().message, first.message);
    assert_eq!(collect(&house).await, collected);
    // A day later it is a new message.
    house.advance(Duration::from_hours(25));
    assert!(!house.things.send(&owner, "dev-1", keyed("on")).await.unwrap().duplicate);
    for bad in [String::new(), "x".repeat(256)] {
        let refused = house.things.send(&owner, "dev-1", Outgoing { idempotency_key: Some(bad), ..to("x") }).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "idempotency_key", .. })));
    }
}

async fn past_retention_is_past(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    house.thing(&owner, "dev-1").await;
    let old = house.things.collect(&owner, "dev-1", "t", Bytes::from_static(b"old"), None).await.unwrap();
    house.advance(Duration::from_hours(12));
    house.things.collect(&owner, "dev-1", "t", Bytes::from_static(b"new"), None).await.unwrap();
    house.advance(Duration::from_hours(12));
    assert_eq!(texts(&history(&house, &owner, &MessageFilter::default(), false).await), ["old", "new"], "to the day");
    house.advance(Duration::from_secs(1));
    // Before anything is cleared away.
    let since = MessageFilter { from: Some(Timestamp::UNIX_EPOCH), ..MessageFilter::default() };
    assert_eq!(texts(&history(&house, &owner, &since, false).await), ["new"]);
    assert!(matches!(house.things.message(&owner, "dev-1", old.id).await, Err(Error::NotFound { .. })));
    assert!(matches!(house.things.inbox_remove(&owner, "dev-1", old.id).await, Err(Error::NotFound { .. })));
    let until = MessageFilter { to: Some(old.at), ..MessageFilter::default() };
    assert!(history(&house, &owner, &until, false).await.is_empty());
    assert_eq!(house.things.delete_messages(&owner, "dev-1", &since).await.unwrap(), 1, "what is not seen is not counted");
}

async fn retention_gives_the_disk_back(house: House) {
    let amber = house.tenant("acme", PlanName::Amber).await;
    let sapphire = house.tenant("other", PlanName::Sapphire).await;
    let (short, long) = (house.thing(&amber, "dev-1").await, house.thing(&sapphire, "dev-1").await);
    let payload = "x".repeat(1_000);
    for _ in 0..400 {
        house.publish(&short, &payload).await.unwrap();
    }
    house.publish(&long, "keep").await.unwrap();
    house.advance(Duration::from_hours(25));
    // A new segment begins, so that the old ones are closed.
    for _ in 0..100 {
        house.publish(&long, &payload).await.unwrap();
    }
    let before = house.journal.stats().bytes;
    for _ in 0..20 {
        house.things.maintain().await.unwrap();
    }
    let after = house.journal.stats().bytes;
    assert!(after * 2 < before, "{before} → {after}");
    let kept = house.things.messages(&sapphire, "dev-1", &MessageFilter::default(), false, &PageRequest::max()).await.unwrap().items;
    assert_eq!((kept.len(), kept[0].payload.as_slice()), (101, &b"keep"[..]));
    let usage = house.things.usage(&amber).await.unwrap();
    assert_eq!(usage.collected.actual, 400, "what is cleared away stays counted");
    let house = house.kill().await;
    assert_eq!(house.things.usage(&amber).await.unwrap().collected.actual, 400);
}

async fn who_watches_sees_what_is_stored(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let stranger = house.tenant("other", PlanName::Amber).await;
    let (one, two) = (house.thing(&owner, "dev-1").await, house.thing(&owner, "dev-2").await);
    let mut all = house.things.live(&owner, None).await.unwrap();
    let mut only = house.things.live(&owner, Some("dev-2")).await.unwrap();
    let mut theirs = house.things.live(&stranger, None).await.unwrap();
    house.publish(&one, "a").await.unwrap();
    // Tenant-local traffic is nobody's message.
    let local = house.things.accept(&house.as_thing(&one), inbound(ThingId(Uuid::nil()), "loop")).unwrap();
    let ticket = house.journal.append(local, Durability::Memory).unwrap();
    house.journal.durable(ticket.seq).await.unwrap();
    house.publish(&two, "b").await.unwrap();
    house.things.send(&owner, "dev-2", to("c")).await.unwrap();
    for expected in ["a", "b", "c"] {
        assert_eq!(all.next().await.unwrap().unwrap().payload, expected.as_bytes());
    }
    for expected in ["b", "c"] {
        assert_eq!(only.next().await.unwrap().unwrap().payload, expected.as_bytes());
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), theirs.next()).await.is_err());
    assert_eq!(history(&house, &owner, &MessageFilter::default(), false).await.len(), 1, "and no history");
    assert_eq!(house.things.usage(&owner).await.unwrap().collected.actual, 2);
    house.journal.close().await.unwrap();
    assert!(all.next().await.is_none());
}

async fn a_back_end_publishes_into_an_inbox(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    house.things.prepare(owner.tenant).await.unwrap();
    let target = house.things.thing_named(owner.tenant, "dev-1").unwrap();
    assert_eq!(target, thing.id);
    let incoming = Incoming { direction: Direction::Outbound, ..inbound(target, "on") };
    let message = house.things.accept(&owner, incoming).unwrap();
    assert_eq!(message.inboxes.as_slice(), [InboxId::from(thing.id)]);
    let ticket = house.journal.append(message, Durability::Sync).unwrap();
    house.journal.durable(ticket.seq).await.unwrap();
    assert_eq!(texts(&house.things.inbox(&owner, "dev-1", &PageRequest::max()).await.unwrap().items), ["on"]);
    // Names learnt later are known too.
    let later = house.things.provision(&owner, NewThing { key: Some("dev-2".into()), ..NewThing::default() }).await.unwrap();
    assert_eq!(house.things.thing_named(owner.tenant, "dev-2"), Some(later.thing.id));
}

both! {
    what_is_collected_is_history
    a_thing_speaks_only_for_itself
    what_is_too_large_or_misshapen_is_refused_and_not_counted
    an_inbox_keeps_order_until_it_is_acknowledged
    what_waits_too_long_expires
    the_same_key_stores_once
    past_retention_is_past
    retention_gives_the_disk_back
    who_watches_sees_what_is_stored
    a_back_end_publishes_into_an_inbox
}
