//! The standards, statement by statement: subscriptions and the way of a message. docs/mqtt.md says which statement is shown where.

use std::time::Duration;

use smallvec::smallvec;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

fn expiring(seconds: u32) -> PropertyWriter {
    property(id::MESSAGE_EXPIRY, Value::U32(seconds))
}

#[tokio::test]
async fn retained_messages_outlive_the_session() {
    let house = house().await;
    for level in BOTH {
        let mut publisher = hello(level, "p").lasting().join(&house).await;
        publisher.retain("r", "kept", 1).await;
        publisher.leave().await;
        hello(level, "p").rejoin(&house, false).await.leave().await;
        let mut client = join(&house, level, "s").await;
        client.subscribe("r", 1).await;
        assert!(client.expect("kept").await.retain);
        // A message without the flag neither replaces nor removes it.
        client.publish("r", "passing", 0).await;
    }
    let mut late = join(&house, Level::V5, "late").await;
    late.subscribe("r", 1).await;
    late.expect("kept").await;
}

#[tokio::test]
async fn a_second_subscribe_replaces_the_first() {
    let house = house().await;
    for level in BOTH {
        let mut publisher = join(&house, level, "p").await;
        publisher.retain("r/a", "kept", 2).await;
        let mut client = join(&house, level, "s").await;
        assert_eq!(client.subscribe_with("r/+", 2, property(id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(1))).await.code(), 2);
        client.expect("kept").await;
        assert_eq!(client.subscribe_with("r/+", 1, property(id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(2))).await.code(), 1);
        assert_eq!(client.expect("kept").await.qos, 1, "sent again, as the new subscription says");
        publisher.publish("r/a", "once", 2).await;
        let got = client.expect("once").await;
        assert_eq!(got.qos, 1);
        assert_eq!(got.properties.subscription_ids().collect::<Vec<_>>(), if level.is_v5() { &[2][..] } else { &[] });
        client.silent().await;
        assert_eq!(house.broker.stats().subscriptions, 1);
        client.leave().await;
    }
}

#[tokio::test]
async fn replacing_a_subscription_loses_nothing() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 1).await;
    let publisher = {
        let mut publisher = join(&house, Level::V4, "p").await;
        tokio::spawn(async move {
            for i in 0..300 {
                publisher.publish("t", &i.to_string(), 1).await;
            }
        })
    };
    let (mut next, mut answers) = (0, 0);
    for round in 0..30u16 {
        let filters = smallvec![("t", SubscribeOptions((1 + round % 2) as u8))];
        client.send(Packet::Subscribe(Subscribe { pid: 1_000 + round, properties: Properties::NONE, filters })).await;
    }
    while next < 300 || answers < 30 {
        match client.recv().await {
            Packet::SubAck(_) => answers += 1,
            Packet::Publish(got) => {
                assert_eq!(got.payload, next.to_string().as_bytes());
                client.ack(AckKind::PubAck, got.pid).await;
                next += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    publisher.await.unwrap();
    client.silent().await;
}

#[tokio::test]
async fn many_filters_in_one_packet_are_answered_in_their_order() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "s").await;
        let options = |qos| SubscribeOptions(qos);
        let filters =
            smallvec![("a", options(2)), ("forbidden/x", options(1)), ("b/+", options(0)), ("qos0/c", options(2)), ("a", options(1))];
        client.send(Packet::Subscribe(Subscribe { pid: 7, properties: Properties::NONE, filters })).await;
        let Packet::SubAck(ack) = client.recv().await else { panic!("no SUBACK") };
        let no = if level.is_v5() { 0x87 } else { 0x80 };
        assert_eq!((ack.pid, ack.codes), (7, &[2, no, 0, 0, 1][..]));
        assert_eq!(house.broker.stats().subscriptions, 3, "the last of two alike holds");
        let filters = smallvec!["b/+", "never", "a", "qos0/c"];
        client.send(Packet::Unsubscribe(Unsubscribe { pid: 8, properties: Properties::NONE, filters })).await;
        let Packet::UnsubAck(ack) = client.recv().await else { panic!("no UNSUBACK") };
        assert_eq!((ack.pid, ack.codes), (8, if level.is_v5() { &[0, 0x11, 0, 0][..] } else { &[] }));
        assert_eq!(house.broker.stats().subscriptions, 0);
        // A packet without filters is none.
        for bytes in [
            if level.is_v5() { &[0x82, 3, 0, 1, 0][..] } else { &[0x82, 2, 0, 1] },
            if level.is_v5() { &[0xA2, 3, 0, 1, 0] } else { &[0xA2, 2, 0, 1] },
        ] {
            let mut client = join(&house, level, "s").await;
            client.bytes(bytes).await;
            client.closed(Reason::ProtocolError).await;
        }
    }
}

#[tokio::test]
async fn subscription_options_beyond_the_standard_are_refused() {
    let house = house().await;
    let cases: [(Level, &[u8], Reason); 7] = [
        (Level::V4, &[0x82, 6, 0, 1, 0, 1, b'a', 3], Reason::MalformedPacket),
        (Level::V4, &[0x82, 6, 0, 1, 0, 1, b'a', 4], Reason::MalformedPacket),
        (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 3], Reason::MalformedPacket),
        (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40], Reason::MalformedPacket),
        (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x80], Reason::MalformedPacket),
        (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30], Reason::ProtocolError),
        (Level::V5, b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04", Reason::ProtocolError),
    ];
    for (level, bytes, reason) in cases {
        let mut client = join(&house, level, "s").await;
        client.bytes(bytes).await;
        client.closed(reason).await;
    }
}

#[tokio::test]
async fn shared_subscriptions_must_be_well_formed() {
    let house = house().await;
    for bad in ["$share/", "$share/g", "$share//a", "$share/g/", "$share/g+/a", "$share/#/a"] {
        let mut client = join(&house, Level::V5, "s").await;
        let filters = smallvec![(bad, SubscribeOptions(0))];
        client.send(Packet::Subscribe(Subscribe { pid: 1, properties: Properties::NONE, filters })).await;
        client.closed(Reason::TopicFilterInvalid).await;
    }
    let mut client = join(&house, Level::V5, "s").await;
    assert_eq!(client.subscribe("$share/g/a/#", 1).await, Reason::GrantedQos1);
}

#[tokio::test]
async fn filters_and_topics_are_compared_byte_for_byte() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "s").await;
        for filter in ["A", "a//b", "e\u{301}", "/x", "y/", "a b"] {
            client.subscribe(filter, 0).await;
        }
        for (topic, hit) in
            [("a", false), ("a/b", false), ("\u{e9}", false), ("x", false), ("y", false), ("a%20b", false), ("A", true), ("a//b", true)]
        {
            client.publish_only(topic, b"x", 0, false, 0, &PropertyWriter::new()).await;
            if hit {
                assert_eq!(client.expect("x").await.topic, topic);
            }
        }
        client.silent().await;
        client.send(Packet::Unsubscribe(Unsubscribe { pid: 1, properties: Properties::NONE, filters: smallvec!["a"] })).await;
        assert!(matches!(client.recv().await, Packet::UnsubAck(_)));
        client.publish_only("A", b"still", 0, false, 0, &PropertyWriter::new()).await;
        client.expect("still").await;
        client.leave().await;
        // Topics hold at least one character and no wildcard.
        for bytes in [&b"\x30\x02\0\0"[..], b"\x30\x03\0\x01+", b"\x30\x05\0\x03a/#"] {
            let mut client = join(&house, Level::V4, "t").await;
            client.bytes(bytes).await;
            client.closed(Reason::TopicNameInvalid).await;
        }
        for filter in ["a#", "a/#/b", "+a", "a+/b", "#/"] {
            let mut client = join(&house, level, "t").await;
            client
                .send(Packet::Subscribe(Subscribe {
                    pid: 1,
                    properties: Properties::NONE,
                    filters: smallvec![(filter, SubscribeOptions(0))],
                }))
                .await;
            client.closed(Reason::TopicFilterInvalid).await;
        }
    }
}

#[tokio::test]
async fn dup_says_what_this_server_did() {
    let house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().join(&house).await;
        client.subscribe("t", 1).await;
        let mut publisher = join(&house, level, "p").await;
        let publish = Publish { dup: true, qos: 1, retain: false, topic: "t", pid: 5, properties: Properties::NONE, payload: b"x" };
        publisher.send(Packet::Publish(publish)).await;
        assert_eq!(publisher.acked(AckKind::PubAck, 5).await, Reason::Success);
        assert!(!client.message().await.dup, "sent for the first time");
        client.vanish().await;
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        assert!(client.message().await.dup, "sent again");
        hello(level, "s").join(&house).await.leave().await;
        let mut wrong = join(&house, level, "w").await;
        wrong.bytes(&[0x38, 4, 0, 1, b't', 0]).await;
        wrong.closed(Reason::MalformedPacket).await;
    }
}

#[tokio::test]
async fn the_same_identifier_after_an_answer_is_a_new_message() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "s").await;
        client.subscribe("t", 2).await;
        let mut publisher = join(&house, level, "p").await;
        let send = |qos, topic, payload: &'static [u8]| {
            Packet::Publish(Publish { dup: true, qos, retain: false, topic, pid: 5, properties: Properties::NONE, payload })
        };
        for payload in [b"one", b"two"] {
            publisher.send(send(1, "t", payload)).await;
            publisher.acked(AckKind::PubAck, 5).await;
            assert_eq!(client.take().await.payload, payload);
        }
        for payload in [b"one", b"two"] {
            publisher.send(send(2, "t", payload)).await;
            publisher.acked(AckKind::PubRec, 5).await;
            publisher.ack(AckKind::PubRel, 5).await;
            publisher.acked(AckKind::PubComp, 5).await;
            assert_eq!(client.take().await.payload, payload);
        }
        if level.is_v5() {
            publisher.send(send(2, "forbidden/x", b"one")).await;
            assert_eq!(publisher.acked(AckKind::PubRec, 5).await, Reason::NotAuthorized);
            publisher.send(send(2, "t", b"one")).await;
            assert_eq!(publisher.acked(AckKind::PubRec, 5).await, Reason::Success);
            client.expect("one").await;
        }
        client.silent().await;
    }
}

#[tokio::test]
async fn a_full_window_holds_up_only_publishes() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").with(id::RECEIVE_MAXIMUM, Value::U16(1)).join(&house).await;
    client.subscribe("two", 2).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish("two", "first", 2).await;
    publisher.publish("two", "second", 2).await;
    let first = client.message().await;
    client.silent().await;
    // PINGRESP, SUBACK, acknowledgements and PUBREL go on.
    client.ping().await;
    assert_eq!(client.subscribe("other", 0).await, Reason::Success);
    assert_eq!(client.publish("elsewhere", "x", 2).await, Reason::Success);
    client.ack(AckKind::PubRec, first.pid).await;
    client.acked(AckKind::PubRel, first.pid).await;
    client.silent().await;
    client.ack(AckKind::PubComp, first.pid).await;
    client.expect("second").await;
}

#[tokio::test]
async fn a_refusal_of_the_client_gives_its_place_back() {
    let house = house().await;
    for (qos, kind) in [(1, AckKind::PubAck), (2, AckKind::PubRec)] {
        let mut client = hello(Level::V5, "s").with(id::RECEIVE_MAXIMUM, Value::U16(1)).join(&house).await;
        client.subscribe("t", qos).await;
        let mut publisher = join(&house, Level::V5, "p").await;
        for payload in ["one", "two", "three"] {
            publisher.publish("t", payload, 2).await;
        }
        for payload in ["one", "two", "three"] {
            let got = client.message().await;
            assert_eq!(got.payload, payload.as_bytes());
            let no = Ack { kind, pid: got.pid, reason: Reason::ImplementationSpecific, properties: Properties::NONE };
            client.send(Packet::Ack(no)).await;
        }
        client.silent().await;
        client.leave().await;
    }
}

#[tokio::test]
async fn unsubscribing_completes_what_was_begun() {
    let house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().join(&house).await;
        client.subscribe("t", 2).await;
        let mut publisher = join(&house, level, "p").await;
        publisher.publish("t", "one", 1).await;
        publisher.publish("t", "two", 2).await;
        let (one, two) = (client.message().await, client.message().await);
        client.send(Packet::Unsubscribe(Unsubscribe { pid: 9, properties: Properties::NONE, filters: smallvec!["t"] })).await;
        assert!(matches!(client.recv().await, Packet::UnsubAck(ack) if ack.pid == 9));
        publisher.publish("t", "three", 2).await;
        client.silent().await;
        client.vanish().await;
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        for old in [one, two] {
            let got = client.take().await;
            assert_eq!((got.pid, got.payload, got.dup), (old.pid, old.payload, true));
        }
        client.silent().await;
        hello(level, "s").join(&house).await.leave().await;
    }
}

#[tokio::test]
async fn aliases_end_with_their_connection() {
    let house = house().await;
    let greeting = || hello(Level::V5, "s").lasting().with(id::TOPIC_ALIAS_MAXIMUM, Value::U16(5));
    let mut client = greeting().join(&house).await;
    client.subscribe("topic/one", 1).await;
    let mut publisher = hello(Level::V5, "p").lasting().join(&house).await;
    let alias = property(id::TOPIC_ALIAS, Value::U16(1));
    publisher.publish_only("topic/one", b"x", 1, false, 1, &alias).await;
    publisher.acked(AckKind::PubAck, 1).await;
    assert_eq!(client.take().await.topic, "topic/one");
    publisher.publish("topic/one", "y", 1).await;
    assert_eq!(client.take().await.topic, "", "known to the client by now");
    client.leave().await;
    publisher.publish("topic/one", "z", 1).await;
    let mut client = greeting().rejoin(&house, true).await;
    assert_eq!(client.take().await.topic, "topic/one");
    publisher.leave().await;
    let mut publisher = hello(Level::V5, "p").lasting().rejoin(&house, true).await;
    publisher.publish_only("", b"x", 1, false, 1, &alias).await;
    publisher.closed(Reason::ProtocolError).await;
    // A client that names no maximum gets none.
    let mut plain = join(&house, Level::V5, "plain").await;
    plain.subscribe("topic/one", 0).await;
    for _ in 0..3 {
        join(&house, Level::V5, "q").await.publish("topic/one", "x", 0).await;
        let got = plain.expect("x").await;
        assert_eq!((got.topic, got.properties.get(id::TOPIC_ALIAS)), ("topic/one", None));
    }
}

#[tokio::test]
async fn every_alias_up_to_the_maximum_is_taken() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "s").await;
    client.subscribe("#", 0).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let max = house.limits.max_topic_alias;
    for number in 1..=max {
        publisher.publish_only(&format!("t/{number}"), b"set", 0, false, 0, &property(id::TOPIC_ALIAS, Value::U16(number))).await;
        client.expect("set").await;
    }
    for number in (1..=max).rev() {
        publisher.publish_only("", b"used", 0, false, 0, &property(id::TOPIC_ALIAS, Value::U16(number))).await;
        assert_eq!(client.expect("used").await.topic, format!("t/{number}"));
    }
    for wrong in [0, max + 1, u16::MAX] {
        let mut publisher = join(&house, Level::V5, "p").await;
        publisher.publish_only("t", b"x", 0, false, 0, &property(id::TOPIC_ALIAS, Value::U16(wrong))).await;
        publisher.closed(Reason::TopicAliasInvalid).await;
    }
}

#[tokio::test]
async fn expiry_does_not_stop_what_was_begun() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 2).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish_with("t", b"x", 2, false, expiring(10)).await;
    let begun = client.message().await;
    client.vanish().await;
    house.clock.advance(Duration::from_secs(60));
    let mut client = hello(Level::V5, "s").lasting().rejoin(&house, true).await;
    let again = client.take().await;
    assert_eq!((again.pid, again.dup, again.properties.expiry()), (begun.pid, true, Some(0)));
    // Inbound, the four packets go on though the message is worth nothing any more.
    client.leave().await;
    publisher.publish_only("t", b"late", 2, false, 77, &expiring(1)).await;
    publisher.acked(AckKind::PubRec, 77).await;
    house.clock.advance(Duration::from_secs(5));
    publisher.publish_only("t", b"late", 2, false, 77, &expiring(1)).await;
    publisher.acked(AckKind::PubRec, 77).await;
    publisher.ack(AckKind::PubRel, 77).await;
    assert_eq!(publisher.acked(AckKind::PubComp, 77).await, Reason::Success);
    hello(Level::V5, "s").lasting().rejoin(&house, true).await.silent().await;
}

#[tokio::test]
async fn a_shared_message_waits_for_the_member_it_was_given_to() {
    let house = house().await;
    let mut member = hello(Level::V5, "a").lasting().join(&house).await;
    member.subscribe("$share/g/t", 2).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish("t", "x", 2).await;
    let begun = member.message().await;
    let mut other = hello(Level::V5, "b").lasting().join(&house).await;
    other.subscribe("$share/g/t", 2).await;
    member.vanish().await;
    other.silent().await;
    let mut member = hello(Level::V5, "a").lasting().rejoin(&house, true).await;
    let again = member.take().await;
    assert_eq!((again.pid, again.dup, again.payload), (begun.pid, true, &b"x"[..]));
    other.silent().await;
    member.leave().await;
    // What a member refuses goes to nobody else.
    publisher.publish("t", "refused", 2).await;
    let got = other.message().await;
    let no = Ack { kind: AckKind::PubRec, pid: got.pid, reason: Reason::NotAuthorized, properties: Properties::NONE };
    other.send(Packet::Ack(no)).await;
    other.silent().await;
    hello(Level::V5, "a").lasting().rejoin(&house, true).await.silent().await;
}

#[tokio::test]
async fn a_shared_subscription_keeps_to_what_each_member_was_granted() {
    let house = house().await;
    let mut members = Vec::new();
    for (id, qos) in [("zero", 0u8), ("one", 1), ("two", 2)] {
        let mut member = join(&house, Level::V5, id).await;
        assert_eq!(member.subscribe("$share/g/t", qos).await.code(), qos);
        members.push((member, qos));
    }
    let mut publisher = join(&house, Level::V5, "p").await;
    for _ in 0..2 {
        for _ in 0..3 {
            publisher.publish("t", "x", 2).await;
        }
        for (member, qos) in &mut members {
            assert_eq!(member.expect("x").await.qos, *qos);
            member.silent().await;
        }
    }
}

#[tokio::test]
async fn request_and_response_find_each_other() {
    let house = house_with(Limits { response_prefix: Some("answers".into()), ..Limits::default() }).await;
    let mut responder = join(&house, Level::V5, "responder").await;
    responder.subscribe("service", 1).await;
    let (mut requester, ack) = hello(Level::V5, "requester").with(id::REQUEST_RESPONSE, Value::Byte(1)).try_join(&house).await;
    let answers = ack.properties.text(id::RESPONSE_INFORMATION).unwrap();
    requester.subscribe(&format!("{answers}/#"), 1).await;
    let mut ask = property(id::RESPONSE_TOPIC, Value::Str(&format!("{answers}/7")));
    ask.put(id::CORRELATION_DATA, Value::Bin(&[0, 1, 254]));
    assert_eq!(requester.publish_with("service", b"time?", 1, false, ask).await, Reason::Success);
    let request = responder.expect("time?").await;
    let (topic, correlation) = (request.properties.response_topic().unwrap(), request.properties.correlation().unwrap());
    responder.publish_with(topic, b"noon", 1, false, property(id::CORRELATION_DATA, Value::Bin(correlation))).await;
    let answer = requester.expect("noon").await;
    assert_eq!((answer.topic, answer.properties.correlation()), ("answers/requester/7", Some(&[0, 1, 254][..])));
    let mut wrong = join(&house, Level::V5, "w").await;
    wrong.publish_only("service", b"x", 0, false, 0, &property(id::RESPONSE_TOPIC, Value::Str("a/+"))).await;
    wrong.closed(Reason::ProtocolError).await;
}
