//! A queue one can see and edit.

use std::time::Duration;

use bytes::Bytes;
use journal::{Durability, InboxId};
use model::{Caller, Error, Message, MessageStatus, Page, PageRequest, Permission, Permissions, PlanName};
use things::{Outgoing, Queued};

use crate::house::House;

fn to(payload: &str) -> Outgoing {
    Outgoing { payload: Bytes::copy_from_slice(payload.as_bytes()), ..Outgoing::default() }
}

fn texts(queue: &[Queued]) -> Vec<String> {
    queue.iter().map(|q| String::from_utf8_lossy(&q.message.payload).into_owned()).collect()
}

async fn queue(house: &House, caller: &Caller) -> Vec<Queued> {
    house.things.queue(caller, "dev-1", &PageRequest::max()).await.unwrap().items
}

async fn dead(house: &House, caller: &Caller) -> Vec<Queued> {
    house.things.dead_letters(caller, "dev-1", &PageRequest::max()).await.unwrap().items
}

async fn send(house: &House, caller: &Caller, payload: &str, priority: u8) -> Message {
    house.things.send_at(caller, "dev-1", to(payload), priority).await.unwrap().message
}

async fn priorities_decide_and_pages_follow(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    for (payload, priority) in [("a4", 4), ("a9", 9), ("a0", 0), ("b4", 4), ("b9", 9), ("c4", 4)] {
        send(&house, &owner, payload, priority).await;
    }
    house.things.send(&owner, "dev-1", to("d4")).await.unwrap();
    let order = ["a9", "b9", "a4", "b4", "c4", "d4", "a0"];
    let all = queue(&house, &owner).await;
    assert_eq!(texts(&all), order);
    assert_eq!(all.iter().map(|q| q.priority.unwrap()).collect::<Vec<_>>(), [9, 9, 4, 4, 4, 4, 0]);
    for size in 1..8 {
        let (mut seen, mut page) = (Vec::new(), PageRequest::new(Some(size), None).unwrap());
        loop {
            let Page { items, next } = house.things.queue(&house.as_thing(&thing), "dev-1", &page).await.unwrap();
            seen.extend(texts(&items));
            page.cursor = next;
            if page.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, order, "pages of {size}");
    }
    for cursor in ["x", "9", "9-", "-1", "4-x", "300-1"] {
        let page = PageRequest::new(None, Some(cursor.to_owned())).unwrap();
        assert!(matches!(house.things.queue(&owner, "dev-1", &page).await, Err(Error::Invalid { field: "cursor", .. })), "{cursor}");
    }
    assert!(matches!(house.things.send_at(&owner, "dev-1", to("x"), 10).await, Err(Error::Invalid { field: "priority", .. })));
    // The same after a kill.
    let house = house.kill().await;
    assert_eq!(texts(&queue(&house, &owner).await), order);
}

async fn a_message_is_removed_expired_and_sent_again(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let (a, b, c) = (send(&house, &owner, "a", 4).await, send(&house, &owner, "b", 4).await, send(&house, &owner, "c", 7).await);
    house.things.inbox_remove(&owner, "dev-1", c.id).await.unwrap();
    assert!(matches!(house.things.inbox_remove(&owner, "dev-1", c.id).await, Err(Error::NotFound { .. })));
    house.things.expire_message(&owner, "dev-1", a.id).await.unwrap();
    assert!(matches!(house.things.expire_message(&owner, "dev-1", a.id).await, Err(Error::NotFound { .. })));
    let house = house.kill().await;
    assert_eq!(texts(&queue(&house, &owner).await), ["b"]);
    let status = async |id| house.things.message(&owner, "dev-1", id).await.unwrap().status;
    assert_eq!((status(a.id).await, status(b.id).await), (MessageStatus::Expired, MessageStatus::Queued));
    // An expired one at the end of its priority, one that waits before everything, each once.
    let again = house.things.redeliver(&owner, "dev-1", a.id, false).await.unwrap();
    assert_ne!(again.message.id, a.id);
    assert_eq!((again.message.status, again.priority), (MessageStatus::Queued, Some(4)));
    send(&house, &owner, "d", 8).await;
    let first = house.things.redeliver(&owner, "dev-1", b.id, true).await.unwrap();
    assert_eq!(first.priority, Some(9));
    assert_eq!(texts(&queue(&house, &owner).await), ["b", "d", "a"]);
    // What came from the thing is not delivered to it.
    let came = house.things.collect(&house.as_thing(&thing), "dev-1", "t", Bytes::from_static(b"in"), None).await.unwrap();
    assert!(matches!(house.things.redeliver(&owner, "dev-1", came.id, false).await, Err(Error::Invalid { .. })));
    // Sending again is not counted; sending was.
    assert_eq!(house.things.usage(&owner).await.unwrap().published.actual, 4);
    // A copy's life begins anew and has the length of the first one's.
    let short = Outgoing { expires: Some(house.clock.now() + Duration::from_secs(60)), ..to("short") };
    let short = house.things.send(&owner, "dev-1", short).await.unwrap().message;
    house.advance(Duration::from_secs(100));
    let copy = house.things.redeliver(&owner, "dev-1", short.id, false).await.unwrap().message;
    assert_eq!(copy.expires, Some(house.clock.now() + Duration::from_secs(60)));
    assert!(texts(&queue(&house, &owner).await).contains(&"short".to_owned()));
}

async fn dead_letters_wait_for_somebody_to_decide(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let (a, b, c) = (send(&house, &owner, "a", 4).await, send(&house, &owner, "b", 9).await, send(&house, &owner, "c", 4).await);
    house.things.bury(&owner, "dev-1", a.id, "the firmware cannot read it").await.unwrap();
    // The broker's way: the thing refused it.
    let record = house.journal.get(owner.tenant, thing.id, b.id).await.unwrap().unwrap();
    let inbox = InboxId::of(thing.id, 9);
    house.things.undeliverable(&house.as_thing(&thing), &record, inbox, "refused").await.unwrap();
    assert!(matches!(house.things.undeliverable(&house.as_thing(&thing), &record, inbox, "again").await, Err(Error::NotFound { .. })));
    let house = house.kill().await;
    assert_eq!(texts(&queue(&house, &owner).await), ["c"]);
    let letters = dead(&house, &owner).await;
    assert_eq!(texts(&letters), ["a", "b"]);
    let why: Vec<_> = letters.iter().map(|q| (q.priority, q.dead.as_ref().unwrap().reason.as_str(), q.message.status)).collect();
    assert_eq!(why[0], (Some(4), "the firmware cannot read it", MessageStatus::Dead));
    assert_eq!(why[1].1, "again", "the newest reason stands");
    assert_eq!(house.things.queued(&owner, "dev-1", a.id).await.unwrap(), letters[0]);
    for reason in ["", &"x".repeat(501), "a\0b"] {
        assert!(matches!(house.things.bury(&owner, "dev-1", c.id, reason).await, Err(Error::Invalid { field: "reason", .. })));
    }
    for gone in [a.id, b.id] {
        assert!(matches!(house.things.bury(&owner, "dev-1", gone, "x").await, Err(Error::NotFound { .. })), "it does not wait");
        assert!(matches!(house.things.expire_message(&owner, "dev-1", gone).await, Err(Error::NotFound { .. })));
        assert!(matches!(house.things.inbox_remove(&owner, "dev-1", gone).await, Err(Error::NotFound { .. })));
    }
    // Long after the plan has forgotten the rest they are still there, and can still be sent.
    house.advance(Duration::from_secs(400 * 86_400));
    house.things.maintain().await.unwrap();
    assert_eq!(texts(&dead(&house, &owner).await), ["a", "b"]);
    assert!(queue(&house, &owner).await.is_empty());
    let copy = house.things.redeliver(&owner, "dev-1", b.id, false).await.unwrap();
    assert_eq!((copy.priority, texts(&queue(&house, &owner).await)), (Some(9), vec!["b".to_owned()]));
    house.things.delete_dead_letter(&owner, "dev-1", a.id).await.unwrap();
    assert!(matches!(house.things.delete_dead_letter(&owner, "dev-1", a.id).await, Err(Error::NotFound { .. })));
    assert!(dead(&house, &owner).await.is_empty());
    // With the thing everything goes.
    let last = send(&house, &owner, "last", 2).await;
    house.things.bury(&owner, "dev-1", last.id, "x").await.unwrap();
    house.things.deprovision(&owner, "dev-1").await.unwrap();
    assert_eq!(house.journal.stats().inbox_entries, 0);
}

async fn who_may_do_what(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let other = house.tenant("globex", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    let message = send(&house, &owner, "x", 4).await;
    let reader = house.caller(owner.tenant, Permissions::of(&[Permission::MessageRead]));
    let things = &house.things;
    for (caller, wanted) in [(&reader, "forbidden"), (&other, "not found"), (&house.as_thing(&thing), "forbidden")] {
        let answers = [
            things.expire_message(caller, "dev-1", message.id).await,
            things.bury(caller, "dev-1", message.id, "x").await,
            things.redeliver(caller, "dev-1", message.id, false).await.map(|_| ()),
            things.delete_dead_letter(caller, "dev-1", message.id).await,
        ];
        for answer in answers {
            match answer {
                Err(Error::Forbidden(_)) => assert_eq!(wanted, "forbidden"),
                Err(Error::NotFound { .. }) => assert_eq!(wanted, "not found"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(matches!(things.dead_letters(&other, "dev-1", &PageRequest::max()).await, Err(Error::NotFound { .. })));
    assert!(matches!(things.dead_letters(&house.as_thing(&thing), "dev-1", &PageRequest::max()).await, Err(Error::Forbidden(_))));
    things.expire_message(&owner, "dev-1", message.id).await.unwrap();
    // All of it is in the audit trail, refusals too.
    house.identity.stop().await;
    let trail = house.identity.audit(&owner, &identity::AuditFilter::default(), &PageRequest::max()).await.unwrap().items;
    let count = |action: &str, allowed: bool| trail.iter().filter(|e| e.action == action && e.allowed == allowed).count();
    assert_eq!((count("message.expired", true), count("message.expired", false)), (1, 2));
    assert_eq!((count("message.buried", false), count("message.redelivered", false)), (2, 2));
}

async fn a_tenant_may_have_a_durability_of_its_own(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let other = house.tenant("globex", PlanName::Sapphire).await;
    let operator = house.operator();
    house.thing(&owner, "dev-1").await;
    let things = &house.things;
    things.prepare(owner.tenant).await.unwrap();
    assert_eq!((things.durability_now(owner.tenant), things.durability(&owner, owner.tenant).await.unwrap()), (None, None));
    assert!(matches!(things.set_durability(&owner, owner.tenant, Some(Durability::Memory)).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.durability(&other, owner.tenant).await, Err(Error::NotFound { .. })));
    let syncs = house.journal.stats().syncs;
    house.things.send(&owner, "dev-1", to("synced")).await.unwrap();
    assert!(house.journal.stats().syncs > syncs);
    things.set_durability(&operator, owner.tenant, Some(Durability::Flush)).await.unwrap();
    assert_eq!(things.durability_now(owner.tenant), Some(Durability::Flush));
    let syncs = house.journal.stats().syncs;
    house.things.send(&owner, "dev-1", to("flushed")).await.unwrap();
    assert_eq!(house.journal.stats().syncs, syncs, "accepted without a sync");
    // Known again after a restart, before anybody asks.
    let house = house.restart().await;
    house.things.prepare(owner.tenant).await.unwrap();
    assert_eq!(house.things.durability_now(owner.tenant), Some(Durability::Flush));
    assert_eq!(house.things.durability(&owner, owner.tenant).await.unwrap(), Some(Durability::Flush));
    house.things.set_durability(&operator, owner.tenant, None).await.unwrap();
    assert_eq!(house.things.durability_now(owner.tenant), None);
    assert_eq!(house.things.durability_now(other.tenant), None);
}

both! {
    priorities_decide_and_pages_follow
    a_message_is_removed_expired_and_sent_again
    dead_letters_wait_for_somebody_to_decide
    who_may_do_what
    a_tenant_may_have_a_durability_of_its_own
}
