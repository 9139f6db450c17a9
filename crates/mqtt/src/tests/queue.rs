//! Inboxes with priorities, and what cannot be delivered.

use journal::InboxId;

use super::client::*;
use super::*;
use crate::codec::*;
use crate::{Reason, Undelivered};

async fn send(sender: &mut Client, payload: &str, priority: u8) {
    let urgent = property(id::USER_PROPERTY, Value::Pair("priority", &priority.to_string()));
    assert_eq!(sender.publish_with("to/dev", payload.as_bytes(), 1, false, urgent).await, Reason::Success);
}

#[tokio::test]
async fn higher_priorities_come_first_and_each_keeps_its_order() {
    let house = house().await;
    let mut sender = join(&house, Level::V5, "app").await;
    for (payload, priority) in [("a4", 4), ("a0", 0), ("b4", 4), ("a9", 9), ("a7", 7), ("b9", 9), ("b0", 0)] {
        send(&mut sender, payload, priority).await;
    }
    for level in BOTH {
        let mut device = join(&house, level, "dev").await;
        device.subscribe("inbox/dev", 1).await;
        if level == Level::V4 {
            // Broken off in the middle: what was not acknowledged comes again, in the same order.
            device.expect("a9").await;
            assert_eq!(device.message().await.payload, b"b9");
            device.vanish().await;
            continue;
        }
        for payload in ["b9", "a7", "a4", "b4", "a0", "b0"] {
            device.expect(payload).await;
        }
        device.silent().await;
    }
    assert_eq!(house.journal.stats().inbox_entries, 0);
    assert_eq!(house.host.delivered.lock().len(), 7);
}

#[tokio::test]
async fn an_urgent_message_passes_those_that_wait() {
    let house = house().await;
    let mut sender = join(&house, Level::V5, "app").await;
    let greeting = || hello(Level::V5, "dev").with(id::RECEIVE_MAXIMUM, Value::U16(1));
    let mut device = greeting().join(&house).await;
    device.subscribe("inbox/dev", 1).await;
    for i in 0..5 {
        send(&mut sender, &i.to_string(), 4).await;
    }
    let first = device.message().await;
    assert_eq!(first.payload, b"0");
    send(&mut sender, "urgent", 8).await;
    send(&mut sender, "whenever", 1).await;
    device.ack(AckKind::PubAck, first.pid).await;
    for payload in ["urgent", "1", "2", "3", "4", "whenever"] {
        device.expect(payload).await;
    }
    device.silent().await;
}

#[tokio::test]
async fn what_the_device_refuses_is_the_hosts_to_keep() {
    let house = house().await;
    *house.host.undelivered.lock() = Some(Vec::new());
    let mut sender = join(&house, Level::V5, "app").await;
    for (qos, kind) in [(1, AckKind::PubAck), (2, AckKind::PubRec)] {
        let mut device = hello(Level::V5, "dev").lasting().join(&house).await;
        device.subscribe("inbox/dev", qos).await;
        sender.publish("to/dev", "no", 2).await;
        sender.publish("to/dev", "yes", 2).await;
        let got = device.message().await;
        let refusal = Ack { kind, pid: got.pid, reason: Reason::PayloadFormatInvalid, properties: Properties::NONE };
        device.send(Packet::Ack(refusal)).await;
        device.expect("yes").await;
        device.silent().await;
        assert_eq!(house.host.undelivered.lock().take().unwrap(), [("no".into(), Undelivered::Refused(Reason::PayloadFormatInvalid))]);
        *house.host.undelivered.lock() = Some(Vec::new());
        // The host has not moved it away yet: it stays where it is.
        let inbox = InboxId::from(OpenHost::thing("dev"));
        let waiting = house.journal.inbox_next(inbox, None, 10).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert!(house.journal.inbox_remove(inbox, waiting[0].seq).await.unwrap());
        device.leave().await;
        hello(Level::V5, "dev").join(&house).await.leave().await;
    }
    assert_eq!(house.host.delivered.lock().len(), 2);
}

#[tokio::test]
async fn what_is_never_answered_is_given_up_after_so_many_connections() {
    let house = house_with(Limits { max_deliveries: 3, ..Limits::default() }).await;
    *house.host.undelivered.lock() = Some(Vec::new());
    let mut sender = join(&house, Level::V5, "app").await;
    sender.publish("to/dev", "poison", 1).await;
    sender.publish("to/dev", "fine", 1).await;
    for level in [Level::V4, Level::V5, Level::V4] {
        assert!(house.host.undelivered.lock().as_ref().unwrap().is_empty());
        let mut device = join(&house, level, "dev").await;
        device.subscribe("inbox/dev", 1).await;
        assert_eq!(device.message().await.payload, b"poison");
        assert_eq!(device.message().await.payload, b"fine");
        device.vanish().await;
    }
    let given_up = house.host.undelivered.lock().clone().unwrap();
    assert_eq!(given_up, [("poison".into(), Undelivered::Unanswered(3))]);
    assert!(house.broker.unanswered.lock().is_empty());
    // A goodbye is an answer of a kind, and so is taking it in the end.
    let mut device = join(&house, Level::V5, "dev").await;
    device.subscribe("inbox/dev", 1).await;
    device.message().await;
    device.message().await;
    device.leave().await;
    assert!(house.broker.unanswered.lock().is_empty());
}

#[tokio::test]
async fn what_is_too_large_for_the_device_is_not_lost() {
    let house = house().await;
    *house.host.undelivered.lock() = Some(Vec::new());
    let mut sender = join(&house, Level::V5, "app").await;
    sender.publish("to/dev", &"x".repeat(100), 1).await;
    sender.publish("to/dev", "fits", 1).await;
    let mut device = hello(Level::V5, "dev").with(id::MAXIMUM_PACKET_SIZE, Value::U32(60)).join(&house).await;
    device.subscribe("inbox/dev", 1).await;
    device.expect("fits").await;
    device.silent().await;
    assert_eq!(house.host.undelivered.lock().as_ref().unwrap()[0].1, Undelivered::TooLarge);
    assert_eq!(house.journal.inbox_len(OpenHost::thing("dev").into()), 1);
}
