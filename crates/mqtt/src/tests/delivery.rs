//! Who gets a message, and how it looks there.

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

#[tokio::test]
async fn overlapping_subscriptions_give_one_copy_with_all_identifiers() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "a").await;
        client.subscribe_with("a/#", 0, property(id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(7))).await;
        client.subscribe_with("a/+", 2, property(id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(300_000))).await;
        client.subscribe("+/b", 1).await;
        let mut publisher = join(&house, Level::V4, "p").await;
        publisher.publish("a/b", "x", 2).await;
        let got = client.expect("x").await;
        assert_eq!(got.qos, 2);
        let mut ids: Vec<u32> = got.properties.subscription_ids().collect();
        ids.sort_unstable();
        assert_eq!(ids, if level.is_v5() { &[7, 300_000][..] } else { &[] });
        client.silent().await;
        client.leave().await;
    }
}

#[tokio::test]
async fn no_local_keeps_ones_own_messages_away() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "a").await;
    client.subscribe("t", 1 | 4).await;
    client.publish("t", "own", 1).await;
    join(&house, Level::V5, "b").await.publish("t", "other", 1).await;
    client.expect("other").await;
    client.silent().await;
    // The same for a session whose messages go through its queue.
    let mut lasting = hello(Level::V5, "c").lasting().join(&house).await;
    lasting.subscribe("t", 1 | 4).await;
    lasting.publish("t", "own", 1).await;
    client.expect("own").await;
    client.publish("t", "again", 1).await;
    lasting.expect("again").await;
    lasting.silent().await;
}

#[tokio::test]
async fn a_shared_subscription_serves_each_message_once() {
    let house = house().await;
    let mut members = [join(&house, Level::V5, "a").await, join(&house, Level::V4, "b").await];
    for member in &mut members {
        member.subscribe("$share/g/t/+", 1).await;
    }
    let mut alone = join(&house, Level::V5, "c").await;
    alone.subscribe("$share/h/t/#", 1).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for i in 0..10 {
        publisher.publish("t/x", &i.to_string(), 1).await;
    }
    let mut seen = Vec::new();
    for member in &mut members {
        for _ in 0..5 {
            seen.push(String::from_utf8_lossy(member.take().await.payload).into_owned());
        }
        member.silent().await;
    }
    seen.sort();
    assert_eq!(seen, (0..10).map(|i| i.to_string()).collect::<Vec<_>>());
    for i in 0..10 {
        alone.expect(&i.to_string()).await;
    }
    // When a member leaves, the other gets all.
    let [first, mut second] = members;
    first.leave().await;
    for i in 0..4 {
        publisher.publish("t/x", &i.to_string(), 0).await;
        second.expect(&i.to_string()).await;
    }
}

#[tokio::test]
async fn a_shared_subscription_prefers_who_is_there_and_keeps_for_who_is_not() {
    let house = house().await;
    let mut away = hello(Level::V5, "away").lasting().join(&house).await;
    away.subscribe("$share/g/t", 1).await;
    away.leave().await;
    let mut here = hello(Level::V5, "here").lasting().join(&house).await;
    here.subscribe("$share/g/t", 1).await;
    let mut guest = join(&house, Level::V5, "guest").await;
    guest.subscribe("$share/g/t", 1).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for i in 0..6 {
        publisher.publish("t", &i.to_string(), 1).await;
    }
    let (mut first, mut second) = (0, 0);
    here.take_all(&mut first).await;
    guest.take_all(&mut second).await;
    assert!(first > 0 && second > 0 && first + second == 6, "{first} {second}");
    guest.leave().await;
    here.leave().await;
    publisher.publish("t", "kept", 1).await;
    let mut here = hello(Level::V5, "here").lasting().rejoin(&house, true).await;
    let mut away = hello(Level::V5, "away").lasting().rejoin(&house, true).await;
    // One of the two, and only one.
    let mut got = 0;
    for client in [&mut here, &mut away] {
        client.take_all(&mut got).await;
    }
    assert_eq!(got, 1);
}

impl Client {
    /// Takes what is there within a moment and counts it.
    async fn take_all(&mut self, got: &mut usize) {
        while let Ok(Some(Packet::Publish(publish))) = tokio::time::timeout(std::time::Duration::from_millis(200), self.next()).await {
            self.ack(AckKind::PubAck, publish.pid).await;
            *got += 1;
        }
    }
}

#[tokio::test]
async fn one_message_reaches_a_thousand_without_being_copied() {
    let house = house().await;
    let mut clients = Vec::new();
    for i in 0..1_000usize {
        let mut client = Client::open_sized(&house.broker, Level::V4, 4 << 10);
        let id: &'static str = format!("c{i}").leak();
        client.bytes(&hello(Level::V4, id).bytes()).await;
        assert!(matches!(client.recv().await, Packet::ConnAck(_)));
        client.subscribe("fan", (i % 2) as u8).await;
        clients.push(client);
    }
    assert_eq!(house.broker.stats().subscriptions, 1_000);
    let mut publisher = join(&house, Level::V5, "p").await;
    let payload = "x".repeat(10_000);
    publisher.publish("fan", &payload, 1).await;
    for (i, client) in clients.iter_mut().enumerate() {
        let got = client.take().await;
        assert_eq!((got.qos, got.payload.len()), ((i % 2) as u8, 10_000));
    }
}

#[tokio::test]
async fn aliases_work_in_both_directions() {
    let house = house().await;
    let mut client = hello(Level::V5, "a").with(id::TOPIC_ALIAS_MAXIMUM, Value::U16(2)).join(&house).await;
    client.subscribe("#", 0).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let alias = property(id::TOPIC_ALIAS, Value::U16(1));
    publisher.publish_only("topic/one", b"1", 0, false, 0, &alias).await;
    publisher.publish_only("", b"2", 0, false, 0, &alias).await;
    publisher.publish_only("topic/two", b"3", 0, false, 0, &alias).await;
    publisher.publish_only("", b"4", 0, false, 0, &alias).await;
    publisher.publish_only("topic/three", b"5", 0, false, 0, &PropertyWriter::new()).await;
    publisher.publish_only("topic/three", b"6", 0, false, 0, &PropertyWriter::new()).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let got = client.message().await;
        seen.push((got.topic, got.properties.number(id::TOPIC_ALIAS)));
    }
    let expected =
        [("topic/one", Some(1)), ("", Some(1)), ("topic/two", Some(2)), ("", Some(2)), ("topic/three", None), ("topic/three", None)];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn expiry_counts_down_and_ends() {
    let house = house().await;
    let mut away = hello(Level::V5, "a").lasting().join(&house).await;
    away.subscribe("t", 1).await;
    away.leave().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for (payload, seconds) in [("short", 10), ("long", 100)] {
        publisher.publish_with("t", payload.as_bytes(), 1, false, property(id::MESSAGE_EXPIRY, Value::U32(seconds))).await;
    }
    publisher.publish("t", "never", 1).await;
    house.clock.advance(std::time::Duration::from_secs(30));
    let mut back = hello(Level::V5, "a").lasting().rejoin(&house, true).await;
    assert_eq!(back.expect("long").await.properties.expiry(), Some(70));
    assert_eq!(back.expect("never").await.properties.expiry(), None);
    back.silent().await;
    // To a client that is there at once it is whole.
    publisher.publish_with("t", b"now", 1, false, property(id::MESSAGE_EXPIRY, Value::U32(5))).await;
    assert_eq!(back.expect("now").await.properties.expiry(), Some(5));
}

#[tokio::test]
async fn dollar_topics_hide_from_wildcards() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "a").await;
    client.subscribe("#", 0).await;
    client.subscribe("+/x", 0).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish("$own/x", "hidden", 0).await;
    client.silent().await;
    client.subscribe("$own/#", 0).await;
    publisher.publish("$own/x", "seen", 0).await;
    client.expect("seen").await;
}

#[tokio::test]
async fn the_server_publishes_and_routes_too() {
    let house = house().await;
    let mut here = join(&house, Level::V5, "here").await;
    let mut away = hello(Level::V4, "away").lasting().join(&house).await;
    here.subscribe("s/#", 1).await;
    away.subscribe("s/#", 1).await;
    away.leave().await;
    let tenant = OpenHost::tenant();
    house.broker.publish(tenant, "s/1", "one".into(), 1, true).await.unwrap();
    assert!(house.broker.publish(tenant, "s/+", "bad".into(), 1, false).await.is_err());
    // Stored by somebody else, then handed over.
    let message = journal::NewMessage {
        id: house.clock.new_id(),
        tenant,
        thing: OpenHost::thing("x"),
        direction: model::Direction::Inbound,
        at: house.clock.now(),
        topic: "s/2".into(),
        payload: "two".into(),
        expires: None,
        qos: 1,
        retain: false,
        properties: bytes::Bytes::new(),
        inboxes: house.broker.inboxes_for(tenant, OpenHost::thing("x"), "s/2", 1),
        idempotency: None,
    };
    assert_eq!(message.inboxes.len(), 1);
    let ticket = house.journal.write(message, journal::Durability::Sync).await.unwrap();
    house.broker.route(&ticket.record.unwrap());
    assert!(!here.expect("one").await.retain);
    here.expect("two").await;
    let mut back = hello(Level::V4, "away").lasting().rejoin(&house, true).await;
    back.expect("one").await;
    back.expect("two").await;
    back.silent().await;
    assert_eq!(house.broker.stats().retained, 1);
}

#[tokio::test]
async fn too_large_for_the_client_is_left_out() {
    let house = house().await;
    let mut small = hello(Level::V5, "a").lasting().with(id::MAXIMUM_PACKET_SIZE, Value::U32(40)).join(&house).await;
    small.subscribe("t", 1).await;
    small.subscribe("q", 0).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let large = "x".repeat(40);
    publisher.publish("t", &large, 1).await;
    publisher.publish("q", &large, 0).await;
    publisher.publish("t", "fits", 1).await;
    small.expect("fits").await;
    small.silent().await;
    small.leave().await;
    let mut back = hello(Level::V5, "a").lasting().rejoin(&house, true).await;
    back.silent().await;
    assert_eq!(house.broker.stats().messages_dropped, 2);
    let mut tiny = join(&house, Level::V5, "b").await;
    assert_eq!(tiny.publish("t", "x", 1).await, Reason::Success);
}

#[tokio::test]
async fn a_things_inbox_is_read_in_order_until_acknowledged() {
    let house = house().await;
    let mut sender = join(&house, Level::V5, "app").await;
    for i in 0..5 {
        sender.publish("to/dev", &i.to_string(), 1).await;
    }
    for level in BOTH {
        // A device with a clean session, as most SDKs have.
        let mut device = join(&house, level, "dev").await;
        assert_eq!(device.subscribe("inbox/dev", 1).await, Reason::GrantedQos1);
        let first = device.message().await;
        assert_eq!((first.topic, first.payload, first.qos), ("in/1", &b"0"[..], 1));
        device.vanish().await;
    }
    let mut device = join(&house, Level::V5, "dev").await;
    device.subscribe("inbox/dev", 1).await;
    for i in 0..5 {
        let got = device.expect(&i.to_string()).await;
        assert!(got.dup, "sent before");
    }
    sender.publish("to/dev", "5", 1).await;
    assert!(!device.expect("5").await.dup);
    device.ping().await;
    device.vanish().await;
    assert_eq!(house.journal.inbox_len(OpenHost::thing("dev").into()), 0);
    assert_eq!(house.host.delivered.lock().len(), 6);
    assert!(house.broker.sent.lock().is_empty());
    // At QoS 0 a record is done once it is written; another thing's inbox is not touched.
    sender.publish("to/dev", "6", 1).await;
    sender.publish("to/other", "x", 1).await;
    let mut device = join(&house, Level::V4, "dev").await;
    device.subscribe("inbox/dev", 0).await;
    assert_eq!(device.expect("6").await.qos, 0);
    device.ping().await;
    assert_eq!(house.journal.inbox_len(OpenHost::thing("dev").into()), 0);
    assert_eq!(house.journal.inbox_len(OpenHost::thing("other").into()), 1);
    device.silent().await;
}

#[tokio::test]
async fn several_filters_read_one_inbox_each_in_its_form() {
    let house = house().await;
    let mut sender = join(&house, Level::V5, "app").await;
    for qos in [1, 0] {
        for payload in ["a", "second b", "c"] {
            sender.publish("to/dev", payload, 1).await;
        }
        let mut device = join(&house, Level::V4, "dev").await;
        device.subscribe("inbox/dev", qos).await;
        device.expect("a").await;
        device.expect("c").await;
        device.silent().await;
        // What nobody had asked for was left where it was; now it comes, and nothing twice.
        device.subscribe("second/dev", qos).await;
        let second = device.message().await;
        assert_eq!((second.topic, second.payload), ("in/2", &b"second b"[..]));
        sender.publish("to/dev", "second d", 1).await;
        sender.publish("to/dev", "e", 1).await;
        device.expect("second d").await;
        device.expect("e").await;
        device.silent().await;
        device.vanish().await;
        // `message` does not acknowledge, `expect` does.
        let left = house.journal.inbox_len(OpenHost::thing("dev").into());
        assert_eq!(left, usize::from(qos == 1));
        if left > 0 {
            let mut device = join(&house, Level::V4, "dev").await;
            device.subscribe("second/dev", 1).await;
            assert!(device.expect("second b").await.dup);
            device.ping().await;
            device.vanish().await;
        }
    }
}

#[tokio::test]
async fn an_inbox_stays_within_the_receive_maximum() {
    let house = house().await;
    let mut sender = join(&house, Level::V5, "app").await;
    let mut device = hello(Level::V5, "dev").lasting().with(id::RECEIVE_MAXIMUM, Value::U16(2)).join(&house).await;
    device.subscribe("inbox/dev", 2).await;
    for i in 0..5 {
        sender.publish("to/dev", &i.to_string(), 2).await;
    }
    let (a, b) = (device.message().await, device.message().await);
    assert_eq!((a.payload, b.payload, a.qos), (&b"0"[..], &b"1"[..], 2));
    device.silent().await;
    device.vanish().await;
    // The session is still there: the same two come again under the same identifiers, then the rest.
    let mut device = hello(Level::V5, "dev").lasting().with(id::RECEIVE_MAXIMUM, Value::U16(2)).rejoin(&house, true).await;
    for (i, pid) in [a.pid, b.pid].into_iter().enumerate() {
        let got = device.message().await;
        assert_eq!((got.payload, got.pid, got.dup), (i.to_string().as_bytes(), pid, true));
    }
    device.ack(AckKind::PubRec, b.pid).await;
    assert_eq!(device.acked(AckKind::PubRel, b.pid).await, Reason::Success);
    device.silent().await;
    device.ack(AckKind::PubComp, b.pid).await;
    assert_eq!(device.message().await.payload, b"2");
    device.silent().await;
}

#[tokio::test]
async fn expired_messages_between_others_do_not_hide_the_rest() {
    let house = house().await;
    let mut away = hello(Level::V5, "a").lasting().join(&house).await;
    away.subscribe("t", 1).await;
    away.leave().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for i in 0..200 {
        let expiry = property(id::MESSAGE_EXPIRY, Value::U32(if i % 2 == 0 { 10 } else { 1_000 }));
        publisher.publish_with("t", i.to_string().as_bytes(), 1, false, expiry).await;
    }
    house.clock.advance(std::time::Duration::from_secs(30));
    let mut back = hello(Level::V5, "a").lasting().rejoin(&house, true).await;
    for i in (1..200).step_by(2) {
        back.expect(&i.to_string()).await;
    }
    back.silent().await;
}
