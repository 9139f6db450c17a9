//! Acknowledgements, flow control and what is sent again.

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

#[tokio::test]
async fn publishes_are_pipelined_and_acknowledged_in_order() {
    let house = house().await;
    for level in BOTH {
        let mut subscriber = join(&house, level, "s").await;
        subscriber.subscribe("t", 0).await;
        let mut publisher = join(&house, level, "p").await;
        let mut all = bytes::BytesMut::new();
        for pid in 1..=1_000u16 {
            let payload = pid.to_string();
            let qos = if pid % 3 == 0 { 2 } else { 1 };
            let publish =
                Publish { dup: false, qos, retain: false, topic: "t", pid, properties: Properties::NONE, payload: payload.as_bytes() };
            encode(&Packet::Publish(publish), level, &mut all);
        }
        publisher.bytes(&all).await;
        for pid in 1..=1_000u16 {
            let kind = if pid % 3 == 0 { AckKind::PubRec } else { AckKind::PubAck };
            assert_eq!(publisher.acked(kind, pid).await, Reason::Success);
        }
        for pid in 1..=1_000u16 {
            subscriber.expect(&pid.to_string()).await;
        }
        publisher.leave().await;
        subscriber.leave().await;
    }
    // Far fewer writes than messages.
    let stats = house.journal.stats();
    assert!(stats.syncs < 500, "{stats:?}");
}

#[tokio::test]
async fn a_message_sent_at_the_last_moment_is_not_lost() {
    let house = house().await;
    let mut subscriber = join(&house, Level::V5, "s").await;
    subscriber.subscribe("t", 1).await;
    for qos in 0..2 {
        let mut publisher = join(&house, Level::V4, "p").await;
        publisher.publish_only("t", b"last", qos, false, 1, &PropertyWriter::new()).await;
        if qos == 0 {
            publisher.send(Packet::Disconnect(Closing { reason: Reason::Success, properties: Properties::NONE })).await;
        }
        drop(publisher);
        subscriber.expect("last").await;
    }
}

#[tokio::test]
async fn exactly_once_inbound_survives_the_connection() {
    let house = house().await;
    for level in BOTH {
        let mut subscriber = join(&house, level, "s").await;
        subscriber.subscribe("t", 2).await;
        let mut publisher = hello(level, "p").lasting().join(&house).await;
        let send = |dup, pid| {
            Packet::Publish(Publish { dup, qos: 2, retain: false, topic: "t", pid, properties: Properties::NONE, payload: b"once" })
        };
        publisher.send(send(false, 5)).await;
        publisher.acked(AckKind::PubRec, 5).await;
        publisher.send(send(true, 5)).await;
        assert_eq!(publisher.acked(AckKind::PubRec, 5).await, Reason::Success);
        publisher.vanish().await;
        let mut publisher = hello(level, "p").lasting().rejoin(&house, true).await;
        publisher.send(send(true, 5)).await;
        publisher.acked(AckKind::PubRec, 5).await;
        publisher.ack(AckKind::PubRel, 5).await;
        assert_eq!(publisher.acked(AckKind::PubComp, 5).await, Reason::Success);
        publisher.ack(AckKind::PubRel, 5).await;
        let unknown = if level.is_v5() { Reason::PacketIdentifierNotFound } else { Reason::Success };
        assert_eq!(publisher.acked(AckKind::PubComp, 5).await, unknown);
        subscriber.expect("once").await;
        subscriber.silent().await;
        // Released, so the identifier means a new message.
        publisher.send(send(false, 5)).await;
        publisher.acked(AckKind::PubRec, 5).await;
        subscriber.expect("once").await;
        hello(level, "p").join(&house).await.leave().await;
        subscriber.leave().await;
    }
}

#[tokio::test]
async fn what_was_in_flight_comes_again_in_order() {
    let house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().join(&house).await;
        client.subscribe("t", 2).await;
        let mut publisher = join(&house, Level::V5, "p").await;
        publisher.publish("t", "one", 1).await;
        publisher.publish("t", "two", 2).await;
        publisher.publish("t", "three", 2).await;
        let (one, two, three) = (client.message().await, client.message().await, client.message().await);
        assert_eq!([one.qos, two.qos, three.qos], [1, 2, 2]);
        client.ack(AckKind::PubRec, two.pid).await;
        assert_eq!(client.acked(AckKind::PubRel, two.pid).await, Reason::Success);
        client.vanish().await;

        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        let again = client.message().await;
        assert_eq!((again.pid, again.dup, again.payload), (one.pid, true, &b"one"[..]));
        assert_eq!(client.acked(AckKind::PubRel, two.pid).await, Reason::Success);
        let again = client.message().await;
        assert_eq!((again.pid, again.dup, again.payload), (three.pid, true, &b"three"[..]));
        client.ack(AckKind::PubComp, two.pid).await;
        client.ack(AckKind::PubAck, one.pid).await;
        client.ack(AckKind::PubRec, three.pid).await;
        client.acked(AckKind::PubRel, three.pid).await;
        client.ack(AckKind::PubComp, three.pid).await;
        client.ping().await;
        client.vanish().await;
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        client.silent().await;
        hello(level, "s").join(&house).await.leave().await;
    }
}

#[tokio::test]
async fn a_receiver_that_refuses_is_done_with_it() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 2).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish("t", "x", 2).await;
    let got = client.message().await;
    client
        .send(Packet::Ack(Ack { kind: AckKind::PubRec, pid: got.pid, reason: Reason::QuotaExceeded, properties: Properties::NONE }))
        .await;
    client.ping().await;
    client.vanish().await;
    hello(Level::V5, "s").lasting().rejoin(&house, true).await.silent().await;
}

#[tokio::test]
async fn unknown_and_wrong_acknowledgements() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "s").await;
    client.ack(AckKind::PubAck, 77).await;
    client.ack(AckKind::PubComp, 77).await;
    client.ack(AckKind::PubRec, 77).await;
    assert_eq!(client.acked(AckKind::PubRel, 77).await, Reason::PacketIdentifierNotFound);
    client.subscribe("t", 2).await;
    client.publish_only("t", b"x", 0, false, 0, &PropertyWriter::new()).await;
    client.message().await;
    join(&house, Level::V5, "p").await.publish("t", "x", 2).await;
    let got = client.message().await;
    client.ack(AckKind::PubAck, got.pid).await;
    client.closed(Reason::ProtocolError).await;
}

#[tokio::test]
async fn no_more_in_flight_than_the_client_allows() {
    let house = house().await;
    for lasting in [false, true] {
        let greeting = hello(Level::V5, "s").with(id::RECEIVE_MAXIMUM, Value::U16(2));
        let mut client = if lasting { greeting.lasting().clean(true) } else { greeting }.join(&house).await;
        client.subscribe("t", 1).await;
        client.subscribe("zero", 0).await;
        let mut publisher = join(&house, Level::V5, "p").await;
        for i in 0..6 {
            publisher.publish("t", &i.to_string(), 1).await;
        }
        let first = client.message().await;
        let second = client.message().await;
        client.silent().await;
        client.ack(AckKind::PubAck, second.pid).await;
        let third = client.message().await;
        assert_eq!(third.payload, b"2");
        client.silent().await;
        client.ack(AckKind::PubAck, first.pid).await;
        client.ack(AckKind::PubAck, third.pid).await;
        for i in 3..6 {
            client.expect(&i.to_string()).await;
        }
        client.silent().await;
    }
}

#[tokio::test]
async fn no_more_in_flight_than_the_broker_allows() {
    let house = house_with(Limits { max_inflight: 3, ..Limits::default() }).await;
    let mut client = join(&house, Level::V5, "p").await;
    for pid in 1..=3 {
        client.publish_only("t", b"x", 2, false, pid, &PropertyWriter::new()).await;
        client.acked(AckKind::PubRec, pid).await;
    }
    client.publish_only("t", b"x", 2, false, 4, &PropertyWriter::new()).await;
    client.closed(Reason::ReceiveMaximumExceeded).await;
    // Nothing of the kind is agreed on 3.1.1: it is slowed down, not closed.
    let mut client = join(&house, Level::V4, "p").await;
    for pid in 1..=50 {
        client.publish_only("t", b"x", 1, false, pid, &PropertyWriter::new()).await;
    }
    for pid in 1..=50 {
        client.acked(AckKind::PubAck, pid).await;
    }
}

#[tokio::test]
async fn many_messages_wait_their_turn_through_a_small_window() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().with(id::RECEIVE_MAXIMUM, Value::U16(10)).join(&house).await;
    client.subscribe("t", 1).await;
    client.leave().await;
    let mut publisher = join(&house, Level::V4, "p").await;
    for pid in 1..=500u16 {
        publisher.publish_only("t", pid.to_string().as_bytes(), 1, false, pid, &PropertyWriter::new()).await;
    }
    for pid in 1..=500u16 {
        publisher.acked(AckKind::PubAck, pid).await;
    }
    let mut client = hello(Level::V5, "s").lasting().with(id::RECEIVE_MAXIMUM, Value::U16(10)).rejoin(&house, true).await;
    for pid in 1..=500u16 {
        client.expect(&pid.to_string()).await;
    }
    client.silent().await;
    assert_eq!(
        house.journal.inbox_len(crate::session::Session::inbox_of(OpenHost::tenant(), &crate::session::Session::name_of("operator", "s"))),
        0
    );
}
