//! Connecting, being refused, publishing and subscribing.

use std::time::Duration;

use super::client::*;
use super::*;
use crate::codec::*;
use crate::{Ended, Reason};

#[tokio::test]
async fn all_levels_connect_and_ping() {
    let house = house().await;
    for level in [Level::V3, Level::V4, Level::V5] {
        let (mut client, ack) = hello(level, "a").try_join(&house).await;
        assert_eq!((ack.code, ack.session_present), (0, false));
        client.ping().await;
        client.leave().await;
    }
    assert_eq!(house.broker.stats().connections, 0);
    assert!(house.host.ended.lock().iter().all(|(_, why)| *why == Ended::Disconnect));
}

#[tokio::test]
async fn who_is_refused_hears_why() {
    let house = house().await;
    let method = hello(Level::V5, "a").with(id::AUTHENTICATION_METHOD, Value::Str("SCRAM"));
    let text = hello(Level::V5, "a").will("w", "x", 0, false).will_with(id::PAYLOAD_FORMAT, Value::Byte(1));
    let cases = [
        (hello(Level::V4, "a").user("wrong"), 4),
        (hello(Level::V5, "a").user("wrong"), 0x86),
        (hello(Level::V4, "a").user("retry"), 3),
        (hello(Level::V5, "a").user("retry"), 0x9F),
        (hello(Level::V4, "").clean(false), 2),
        (hello(Level::V4, ""), 0),
        (hello(Level::V5, "").clean(false), 0),
        (method, 0x8C),
        (text, 0),
        (hello(Level::V5, "a").will("a/".repeat(70).leak(), "", 0, false), 0x90),
    ];
    for (hello, code) in cases {
        let (level, empty) = (hello.level, hello.id.is_empty());
        let (mut client, ack) = hello.try_join(&house).await;
        assert_eq!(ack.code, code);
        assert_eq!(ack.properties.text(id::ASSIGNED_CLIENT_ID).is_some(), empty && level.is_v5());
        if code != 0 {
            assert!(!ack.session_present);
            assert!(client.next().await.is_none());
        }
    }
    let (_, ack) = hello(Level::V5, "a").user("retry").try_join(&house).await;
    assert_eq!(ack.properties.text(id::REASON_STRING), Some("retry in 7 s"));
}

#[tokio::test]
async fn bytes_that_are_no_connect_get_what_they_deserve() {
    let house = house().await;
    let cases: &[(&[u8], &[u8])] = &[
        (&[0xC0, 0], &[]),
        (&[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 6, 2, 0, 0, 0, 0], &[0x20, 43, 0, 0x84, 40, 31]),
        (&[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 3, 2, 0, 0, 0, 0], &[0x20, 2, 0, 1]),
        (&[0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 9, 2, 0, 0, 0, 0], &[0x20, 2, 0, 1]),
        (&[0x10, 12, 0, 4, b'H', b'T', b'T', b'P', 4, 2, 0, 0, 0, 0], &[]),
        (&[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 3, 0, 0, 0, 0], &[]),
        (&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], &[]),
        (b"GET / HTTP/1.1\r\n\r\n", &[]),
    ];
    for (bytes, answer) in cases {
        let mut client = Client::open(&house.broker, Level::V4);
        client.bytes(bytes).await;
        let mut got = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut got).await.unwrap();
        assert!(got.starts_with(answer) && got.is_empty() == answer.is_empty(), "{bytes:?} {got:?}");
    }
    // A malformed CONNECT of MQTT 5 is told so.
    let mut client = Client::open(&house.broker, Level::V5);
    client.bytes(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 3, 0, 0, 0, 0, 0]).await;
    let Packet::ConnAck(ack) = client.recv().await else { panic!() };
    assert_eq!(ack.code, 0x81);
}

#[tokio::test]
async fn a_slow_connect_is_not_waited_for() {
    let house = house_with(Limits { connect_timeout: Duration::from_millis(100), ..Limits::default() }).await;
    let mut client = Client::open(&house.broker, Level::V4);
    client.bytes(&[0x10, 12, 0]).await;
    assert!(client.next().await.is_none());
    assert_eq!(house.broker.stats().connections, 0);
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let house = house().await;
    let second = hello(Level::V4, "a").bytes().to_vec();
    let second5 = hello(Level::V5, "a").bytes().to_vec();
    let cases: Vec<(Level, Vec<u8>, Reason)> = vec![
        (Level::V4, second, Reason::ProtocolError),
        (Level::V5, second5, Reason::ProtocolError),
        (Level::V4, vec![0x36, 4, 0, 1, b'a', 0], Reason::MalformedPacket),
        (Level::V5, vec![0x36, 4, 0, 1, b'a', 0], Reason::MalformedPacket),
        (Level::V5, vec![0x30, 4, 0, 1, b'#', 0], Reason::TopicNameInvalid),
        (Level::V5, vec![0xF0, 0], Reason::ProtocolError),
        (Level::V5, vec![0xD0, 0], Reason::ProtocolError),
        (Level::V5, vec![0x20, 3, 0, 0, 0], Reason::ProtocolError),
        (Level::V5, vec![0x30, 6, 0, 1, b'a', 2, 11, 1], Reason::ProtocolError),
        (Level::V5, vec![0x30, 7, 0, 1, b'a', 3, 35, 0, 99], Reason::TopicAliasInvalid),
        (Level::V5, vec![0x30, 6, 0, 0, 3, 35, 0, 5], Reason::ProtocolError),
        (Level::V5, vec![0x30, 0xFF, 0xFF, 0x7F], Reason::PacketTooLarge),
        (Level::V4, vec![0x30, 0xFF, 0xFF, 0x7F], Reason::PacketTooLarge),
        (Level::V5, vec![0xE0, 7, 0, 5, 17, 0, 0, 0, 9], Reason::ProtocolError),
        (Level::V5, vec![0xE0, 6, 0, 4, 28, 0, 1, b'x'], Reason::ProtocolError),
    ];
    for (level, bytes, reason) in cases {
        let mut client = join(&house, level, "a").await;
        client.bytes(&bytes).await;
        client.closed(reason).await;
    }
}

#[tokio::test]
async fn every_quality_of_service_meets_every_other() {
    let house = house().await;
    for (from, to) in [(Level::V4, Level::V5), (Level::V5, Level::V4), (Level::V5, Level::V5)] {
        let mut publisher = join(&house, from, "p").await;
        for asked in 0..3u8 {
            let mut subscriber = join(&house, to, "s").await;
            assert_eq!(subscriber.subscribe("a/+", asked).await.code(), asked);
            for sent in 0..3u8 {
                let payload = format!("{asked}{sent}");
                assert_eq!(publisher.publish("a/b", &payload, sent).await, Reason::Success);
                let got = subscriber.expect(&payload).await;
                assert_eq!((got.qos, got.topic, got.retain, got.dup), (asked.min(sent), "a/b", false, false));
            }
            subscriber.silent().await;
            subscriber.leave().await;
        }
    }
    assert_eq!(house.broker.stats().subscriptions, 0);
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let house = house().await;
    let mut client = Client::open_sized(&house.broker, Level::V5, 1);
    let mut all = hello(Level::V5, "a").bytes();
    encode(
        &Packet::Publish(Publish { dup: false, qos: 1, retain: false, topic: "t", pid: 9, properties: Properties::NONE, payload: b"x" }),
        Level::V5,
        &mut all,
    );
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move {
        for byte in all {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &[byte]).await.unwrap();
        }
        writer
    });
    let mut got = bytes::BytesMut::new();
    while !got.ends_with(&[0x40, 2, 0, 9]) {
        assert_ne!(tokio::io::AsyncReadExt::read_buf(&mut reader, &mut got).await.unwrap(), 0);
    }
    client.stream = reader.unsplit(writing.await.unwrap());
    client.ping().await;
}

#[tokio::test]
async fn tenants_do_not_hear_each_other() {
    let house = house().await;
    let mut here = hello(Level::V5, "same").user("tenant:a").join(&house).await;
    let mut there = hello(Level::V5, "same").user("tenant:b").join(&house).await;
    here.subscribe("#", 1).await;
    there.subscribe("#", 1).await;
    here.retain("t", "mine", 1).await;
    here.expect("mine").await;
    there.silent().await;
    there.ping().await;
    let mut late = hello(Level::V5, "late").user("tenant:b").join(&house).await;
    late.subscribe("#", 1).await;
    late.silent().await;
    assert_eq!(house.broker.stats().sessions, 3);
}

#[tokio::test]
async fn unsubscribing_ends_it() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "a").await;
        client.subscribe("a/b", 1).await;
        client.subscribe("a/#", 0).await;
        let pid = client.pid();
        let unsubscribe = Unsubscribe { pid, properties: Properties::NONE, filters: smallvec::smallvec!["a/b", "x", "a/#"] };
        client.send(Packet::Unsubscribe(unsubscribe)).await;
        let Packet::UnsubAck(ack) = client.recv().await else { panic!() };
        assert_eq!(ack.codes, if level.is_v5() { &[0, 0x11, 0][..] } else { &[] });
        client.publish("a/b", "x", 1).await;
        client.silent().await;
        client.leave().await;
    }
}

#[tokio::test]
async fn what_is_forbidden_is_refused_as_each_level_can() {
    let house = house().await;
    let mut five = join(&house, Level::V5, "five").await;
    for (qos, kind) in [(1, AckKind::PubAck), (2, AckKind::PubRec)] {
        five.publish_only("forbidden/x", b"", qos, false, 7, &PropertyWriter::new()).await;
        assert_eq!(five.acked(kind, 7).await, Reason::NotAuthorized);
    }
    // Refused at QoS 2, so the identifier is free again.
    assert_eq!(five.publish("fine", "x", 2).await, Reason::Success);
    five.publish("forbidden/x", "dropped", 0).await;
    assert_eq!(five.subscribe("forbidden/#", 1).await, Reason::NotAuthorized);
    assert_eq!(five.subscribe("qos0/#", 2).await, Reason::Success);
    for qos in 0..3 {
        let mut four = join(&house, Level::V4, "four").await;
        assert_eq!(four.subscribe("forbidden/#", 1).await, Reason::Unspecified);
        four.publish_only("forbidden/x", b"", qos, false, u16::from(qos), &PropertyWriter::new()).await;
        four.closed(Reason::NotAuthorized).await;
    }
    assert_eq!(house.broker.stats().messages_refused, 6);
    assert_eq!(*house.host.stored.lock(), ["fine"]);
}

#[tokio::test]
async fn properties_travel_with_the_message() {
    let house = house().await;
    let mut five = join(&house, Level::V5, "five").await;
    let mut four = join(&house, Level::V4, "four").await;
    let mut publisher = join(&house, Level::V5, "p").await;
    five.subscribe("t", 1).await;
    four.subscribe("t", 1).await;
    let mut sent = PropertyWriter::new();
    sent.put(id::USER_PROPERTY, Value::Pair("b", "1"))
        .put(id::CONTENT_TYPE, Value::Str("text/plain"))
        .put(id::TOPIC_ALIAS, Value::U16(3))
        .put(id::RESPONSE_TOPIC, Value::Str("answers"))
        .put(id::USER_PROPERTY, Value::Pair("a", "2"))
        .put(id::CORRELATION_DATA, Value::Bin(&[1, 0, 255]))
        .put(id::USER_PROPERTY, Value::Pair("b", "3"))
        .put(id::PAYLOAD_FORMAT, Value::Byte(1));
    publisher.publish_with("t", "grüß".as_bytes(), 1, false, sent).await;
    let got = five.expect("grüß").await.properties;
    assert_eq!(got.user().collect::<Vec<_>>(), [("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(
        (got.content_type(), got.response_topic(), got.correlation()),
        (Some("text/plain"), Some("answers"), Some(&[1, 0, 255][..]))
    );
    assert!(got.payload_is_text());
    assert_eq!(got.get(id::TOPIC_ALIAS), None);
    assert_eq!(four.expect("grüß").await.topic, "t");
    let lie = property(id::PAYLOAD_FORMAT, Value::Byte(1));
    assert_eq!(publisher.publish_with("t", &[0xFF], 1, false, lie).await, Reason::PayloadFormatInvalid);
    five.silent().await;
}

#[tokio::test]
async fn the_server_tells_its_limits() {
    let limits = Limits { max_keep_alive: 30, max_session_expiry: 100, response_prefix: Some("r".into()), ..Limits::default() };
    let house = house_with(limits).await;
    let asked = hello(Level::V5, "a").with(id::SESSION_EXPIRY, Value::U32(1_000)).with(id::REQUEST_RESPONSE, Value::Byte(1));
    let (_client, ack) = asked.try_join(&house).await;
    let number = |id| ack.properties.number(id);
    assert_eq!(number(id::RECEIVE_MAXIMUM), Some(1_024));
    assert_eq!(number(id::MAXIMUM_PACKET_SIZE), Some(320 << 10));
    assert_eq!(number(id::TOPIC_ALIAS_MAXIMUM), Some(32));
    assert_eq!(number(id::SERVER_KEEP_ALIVE), Some(30));
    assert_eq!(number(id::SESSION_EXPIRY), Some(100));
    assert_eq!(ack.properties.text(id::RESPONSE_INFORMATION), Some("r/a"));
    let (_client, ack) = hello(Level::V5, "b").keep_alive(20).try_join(&house).await;
    assert_eq!(ack.properties.get(id::SERVER_KEEP_ALIVE), None);
    assert_eq!(ack.properties.get(id::RESPONSE_INFORMATION), None);
}

#[tokio::test]
async fn a_reason_string_only_for_those_who_want_problems_explained() {
    let house = house().await;
    for (wanted, expected) in [(None, true), (Some(1), true), (Some(0), false)] {
        let mut hello = hello(Level::V5, "a");
        if let Some(wanted) = wanted {
            hello = hello.with(id::REQUEST_PROBLEM, Value::Byte(wanted));
        }
        let mut client = hello.join(&house).await;
        let filters = smallvec::smallvec![("forbidden/x", SubscribeOptions(0))];
        client.send(Packet::Subscribe(Subscribe { pid: 5, properties: Properties::NONE, filters })).await;
        let Packet::SubAck(ack) = client.recv().await else { panic!() };
        assert_eq!(ack.properties.get(id::REASON_STRING).is_some(), expected);
    }
}
