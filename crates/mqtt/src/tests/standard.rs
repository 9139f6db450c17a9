//! The standards, statement by statement: packets and connections. docs/mqtt.md says which statement is shown where.

use std::time::Duration;

use smallvec::smallvec;
use tokio::io::AsyncReadExt as _;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

/// All bytes until the broker closes.
async fn rest(client: &mut Client) -> Vec<u8> {
    let mut got = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), client.stream.read_to_end(&mut got)).await.expect("not closed").unwrap();
    got
}

/// What the broker says to these first bytes, until it closes.
async fn first(house: &House, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::open(&house.broker, Level::V5);
    client.bytes(bytes).await;
    rest(&mut client).await
}

/// A packet with its fixed header; `body` is shorter than 128 bytes.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first, u8::try_from(body.len()).unwrap()];
    out.extend_from_slice(body);
    out
}

/// A CONNECT of these flags and this payload.
fn connect(level: Level, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', if level.is_v5() { 5 } else { 4 }, flags, 0, 0];
    if level.is_v5() {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(0x10, &body)
}

/// Strings that no packet may hold, with their length in front.
const NO_TEXT: [&[u8]; 4] = [&[0, 2, b'a', 0], &[0, 2, 0xC3, 0x28], &[0, 3, 0xED, 0xA0, 0x80], &[0, 2, 0xC0, 0x80]];

#[tokio::test]
async fn a_byte_order_mark_is_kept() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "a").await;
        client.subscribe("mark", 1).await;
        client.subscribe("\u{FEFF}mark", 1).await;
        client.publish_only("\u{FEFF}mark", b"x", 1, false, 9, &PropertyWriter::new()).await;
        assert_eq!(client.acked(AckKind::PubAck, 9).await, Reason::Success);
        assert_eq!(client.expect("x").await.topic.as_bytes(), b"\xEF\xBB\xBFmark");
        client.silent().await;
        client.leave().await;
    }
}

#[tokio::test]
async fn strings_that_are_no_text_end_the_connection() {
    let house = house().await;
    for text in NO_TEXT {
        for level in BOTH {
            // Client id, will topic, user name.
            let v5: &[u8] = if level.is_v5() { &[0] } else { &[] };
            let will = [&[0, 1, b'a'][..], v5, text, &[0, 0]].concat();
            let user = [&[0, 1, b'a'][..], text].concat();
            for bytes in [connect(level, 2, text), connect(level, 6, &will), connect(level, 0x82, &user)] {
                let answer = first(&house, &bytes).await;
                if level.is_v5() {
                    assert_eq!((answer[0], answer[3]), (0x20, 0x81), "{bytes:?}");
                } else {
                    assert!(answer.is_empty(), "{bytes:?}");
                }
            }
            // Topic, filters.
            let subscribe = [&[0, 1][..], v5, text, &[0]].concat();
            let unsubscribe = [&[0, 1][..], v5, text].concat();
            for bytes in [packet(0x30, &[text, v5].concat()), packet(0x82, &subscribe), packet(0xA2, &unsubscribe)] {
                let mut client = join(&house, level, "a").await;
                client.bytes(&bytes).await;
                client.closed(Reason::MalformedPacket).await;
            }
        }
        // Both strings of a pair, a content type, a response topic.
        let pairs =
            [[&[38][..], text, &[0, 0]].concat(), [&[38, 0, 0][..], text].concat(), [&[3][..], text].concat(), [&[8][..], text].concat()];
        for property in pairs {
            let body = [&[0, 1, b'a', u8::try_from(property.len()).unwrap()][..], &property].concat();
            let mut client = join(&house, Level::V5, "a").await;
            client.bytes(&packet(0x30, &body)).await;
            client.closed(Reason::MalformedPacket).await;
        }
    }
}

#[tokio::test]
async fn lengths_take_as_few_bytes_as_they_can() {
    let house = house().await;
    let mut subscriber = join(&house, Level::V4, "s").await;
    subscriber.subscribe("t", 0).await;
    let mut publisher = join(&house, Level::V4, "p").await;
    let headers: [(usize, &[u8]); 5] = [
        (127, &[0x30, 0x7F]),
        (128, &[0x30, 0x80, 0x01]),
        (16_383, &[0x30, 0xFF, 0x7F]),
        (16_384, &[0x30, 0x80, 0x80, 0x01]),
        (200_000, &[0x30, 0xC0, 0x9A, 0x0C]),
    ];
    for (remaining, header) in headers {
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&[0, 1, b't']);
        bytes.resize(header.len() + remaining, b'x');
        publisher.bytes(&bytes).await;
        let mut got = vec![0; bytes.len()];
        subscriber.stream.read_exact(&mut got).await.unwrap();
        assert!(got == bytes, "{remaining}");
    }
    for level in BOTH {
        let mut client = join(&house, level, "c").await;
        client.bytes(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]).await;
        client.closed(Reason::MalformedPacket).await;
    }
}

#[tokio::test]
async fn reserved_flags_end_the_connection() {
    let house = house().await;
    for level in BOTH {
        let v5: &[u8] = if level.is_v5() { &[0] } else { &[] };
        let cases = [
            packet(0x41, &[0, 1]),
            packet(0x54, &[0, 1]),
            packet(0x60, &[0, 1]),
            packet(0x63, &[0, 1]),
            packet(0x71, &[0, 1]),
            packet(0x80, &[&[0, 1][..], v5, &[0, 1, b'a', 0]].concat()),
            packet(0x83, &[&[0, 1][..], v5, &[0, 1, b'a', 0]].concat()),
            packet(0xA0, &[&[0, 1][..], v5, &[0, 1, b'a']].concat()),
            packet(0xA6, &[&[0, 1][..], v5, &[0, 1, b'a']].concat()),
            packet(0xC8, &[]),
            packet(0xE1, &[]),
            packet(0xF1, &[]),
            packet(0x00, &[]),
        ];
        for bytes in cases {
            let mut client = hello(level, "c").will("will", "flagged", 1, false).join(&house).await;
            client.bytes(&bytes).await;
            client.closed(Reason::MalformedPacket).await;
        }
    }
    assert!(first(&house, &[0x11, 0]).await.is_empty());
}

#[tokio::test]
async fn identifiers_are_never_zero_and_come_back() {
    let house = house().await;
    for level in BOTH {
        let v5: &[u8] = if level.is_v5() { &[0] } else { &[] };
        let zero = [
            packet(0x32, &[&[0, 1, b'a', 0, 0][..], v5].concat()),
            packet(0x34, &[&[0, 1, b'a', 0, 0][..], v5].concat()),
            packet(0x82, &[&[0, 0][..], v5, &[0, 1, b'a', 0]].concat()),
            packet(0xA2, &[&[0, 0][..], v5, &[0, 1, b'a']].concat()),
            packet(0x62, &[0, 0]),
        ];
        for bytes in zero {
            let mut client = join(&house, level, "c").await;
            client.bytes(&bytes).await;
            client.closed(Reason::ProtocolError).await;
        }
        let mut client = join(&house, level, "c").await;
        for pid in [1, 0x100, 0xFFFF] {
            client.publish_only("a", b"x", 1, false, pid, &PropertyWriter::new()).await;
            client.acked(AckKind::PubAck, pid).await;
            client.publish_only("a", b"x", 2, false, pid, &PropertyWriter::new()).await;
            client.acked(AckKind::PubRec, pid).await;
            client.ack(AckKind::PubRel, pid).await;
            client.acked(AckKind::PubComp, pid).await;
            let filters = smallvec![("b", SubscribeOptions(0))];
            client.send(Packet::Subscribe(Subscribe { pid, properties: Properties::NONE, filters })).await;
            assert!(matches!(client.recv().await, Packet::SubAck(ack) if ack.pid == pid));
            client.send(Packet::Unsubscribe(Unsubscribe { pid, properties: Properties::NONE, filters: smallvec!["b"] })).await;
            assert!(matches!(client.recv().await, Packet::UnsubAck(ack) if ack.pid == pid));
        }
        client.leave().await;
    }
}

#[tokio::test]
async fn the_servers_identifiers_are_new_until_acknowledged() {
    let house = house().await;
    for level in BOTH {
        let mut client = join(&house, level, "s").await;
        client.subscribe("t", 2).await;
        let mut publisher = join(&house, level, "p").await;
        let mut open = std::collections::HashSet::new();
        for i in 0..30u8 {
            publisher.publish("t", &i.to_string(), 1 + i % 2).await;
            let got = client.message().await;
            assert!(got.pid != 0 && !got.dup && open.insert(got.pid), "{got:?}");
            assert_eq!(got.qos, 1 + i % 2);
        }
        client.leave().await;
    }
}

#[tokio::test]
async fn no_properties_is_a_length_of_zero() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "a").await;
    let exchange: [(&[u8], &[u8]); 5] = [
        (&[0x82, 7, 0, 1, 0, 0, 1, b'a', 1], &[0x90, 4, 0, 1, 0, 1]),
        (&[0x30, 5, 0, 1, b'a', 0, b'x'], &[0x30, 5, 0, 1, b'a', 0, b'x']),
        (&[0xA2, 6, 0, 2, 0, 0, 1, b'a'], &[0xB0, 4, 0, 2, 0, 0]),
        (&[0x32, 7, 0, 1, b'b', 0, 3, 0, b'x'], &[0x40, 2, 0, 3]),
        (&[0xC0, 0], &[0xD0, 0]),
    ];
    for (said, heard) in exchange {
        client.bytes(said).await;
        let mut got = vec![0; heard.len()];
        client.stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, heard, "{said:?}");
    }
}

#[tokio::test]
async fn connack_flags_have_only_one_bit() {
    let house = house().await;
    for level in BOTH {
        for present in [0, 1] {
            let mut client = Client::open(&house.broker, level);
            client.bytes(&hello(level, "s").lasting().bytes()).await;
            let mut got = [0; 3];
            client.stream.read_exact(&mut got).await.unwrap();
            assert_eq!((got[0], got[2]), (0x20, present));
            client.stream.read_exact(&mut got[..1]).await.unwrap();
            assert_eq!(got[0], 0, "the code");
            drop(client);
        }
        hello(level, "s").rejoin(&house, false).await.leave().await;
    }
}

#[tokio::test]
async fn a_refused_client_is_not_heard_further() {
    let house = house().await;
    for level in BOTH {
        let mut bytes = hello(level, "a").user("wrong").bytes();
        let publish = Publish { dup: false, qos: 1, retain: true, topic: "t", pid: 1, properties: Properties::NONE, payload: b"x" };
        encode(&Packet::Publish(publish), level, &mut bytes);
        let answer = first(&house, &bytes).await;
        assert_eq!((answer[0], answer[2]), (0x20, 0), "one CONNACK, no session");
        assert_eq!(answer.len(), 2 + usize::from(answer[1]), "and nothing behind it");
    }
    assert_eq!(house.journal.stats().records, 0);
    assert_eq!(house.broker.stats().messages_in, 0);
}

#[tokio::test]
async fn connack_is_the_first_packet_and_the_only_one() {
    let house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().join(&house).await;
        client.subscribe("t", 1).await;
        client.leave().await;
        let mut publisher = join(&house, level, "p").await;
        for _ in 0..20 {
            publisher.publish("t", "x", 1).await;
        }
        // `rejoin` panics unless CONNACK comes first.
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        for _ in 0..20 {
            client.expect("x").await;
        }
        client.bytes(&hello(level, "s").lasting().bytes()).await;
        client.closed(Reason::ProtocolError).await;
        hello(level, "s").join(&house).await.leave().await;
    }
}

#[tokio::test]
async fn what_the_flags_promise_must_be_there() {
    let house = house().await;
    let id = [0, 1, b'a'];
    for level in BOTH {
        let v5: &[u8] = if level.is_v5() { &[0] } else { &[] };
        let name = [0, 1, b'u'];
        let cases = [
            connect(level, 0x82, &id),                                          // no user name
            connect(level, 0xC2, &[id, name].concat()),                         // no password
            connect(level, 0x06, &id),                                          // no will
            connect(level, 0x06, &[&id[..], v5, &[0, 1, b't']].concat()),       // no will payload
            connect(level, 0x02, &[id, name].concat()),                         // a user name not promised
            connect(level, 0x82, &[id, name, name].concat()),                   // a password not promised
            connect(level, 0x02, &[]),                                          // no client id
            connect(level, 0x03, &id),                                          // reserved flag
            connect(level, 0x0A, &id),                                          // will QoS without a will
            connect(level, 0x22, &id),                                          // will retain without a will
            connect(level, 0x1E, &[&id[..], v5, &[0, 1, b't', 0, 0]].concat()), // will QoS 3
        ];
        for bytes in cases {
            let answer = first(&house, &bytes).await;
            match level.is_v5() {
                true => assert_eq!((answer[0], answer[2], answer[3]), (0x20, 0, 0x81), "{bytes:?}"),
                false => assert!(answer.is_empty(), "{bytes:?}"),
            }
        }
    }
    // 3.1.1 knows no password without a user name, MQTT 5 does; in their order they are taken.
    let alone = |level| connect(level, 0x42, &[id, [0, 1, b'p']].concat());
    assert!(first(&house, &alone(Level::V4)).await.is_empty());
    for bytes in [alone(Level::V5), connect(Level::V5, 0xC6, b"\0\x01a\0\0\x01t\0\x01w\0\x01u\0\x01p")] {
        let mut client = Client::open(&house.broker, Level::V5);
        client.bytes(&bytes).await;
        assert!(matches!(client.recv().await, Packet::ConnAck(ack) if ack.code == 0));
    }
}

#[tokio::test]
async fn client_identifiers_of_every_allowed_kind_are_taken() {
    let house = house().await;
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for level in BOTH {
        for id in ["a", &all[..23], &all[39..], all, "grüße/😀 +#"] {
            hello(level, id).join(&house).await.leave().await;
        }
        let long: &'static str = "x".repeat(house.limits.max_client_id + 1).leak();
        let (mut client, ack) = hello(level, long).try_join(&house).await;
        assert_eq!(ack.code, if level.is_v5() { 0x85 } else { 2 });
        assert!(client.next().await.is_none());
    }
}

#[tokio::test]
async fn assigned_identifiers_are_unique_and_work() {
    let house = house().await;
    let mut seen = std::collections::HashSet::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (mut client, ack) = hello(Level::V5, "").with(id::SESSION_EXPIRY, Value::U32(100)).try_join(&house).await;
        let assigned = ack.properties.text(id::ASSIGNED_CLIENT_ID).unwrap();
        assert!(!assigned.is_empty() && seen.insert(assigned));
        client.subscribe("t", 1).await;
        clients.push((client, assigned));
    }
    // As if the client had chosen it.
    let (client, assigned) = clients.pop().unwrap();
    client.leave().await;
    join(&house, Level::V4, "p").await.publish("t", "x", 1).await;
    hello(Level::V5, assigned).lasting().rejoin(&house, true).await.expect("x").await;
    // 3.1.1 cannot be told, but has a session of its own all the same.
    let (mut one, mut two) = (join(&house, Level::V4, "").await, join(&house, Level::V4, "").await);
    one.ping().await;
    two.ping().await;
}

#[tokio::test]
async fn a_small_packet_limit_is_kept() {
    let house = house().await;
    let small = |limit, user| hello(Level::V5, "a").user(user).with(id::MAXIMUM_PACKET_SIZE, Value::U32(limit));
    // A refusal goes without its explanation.
    let (_, ack) = small(100, "retry").try_join(&house).await;
    assert_eq!((ack.code, ack.properties.text(id::REASON_STRING)), (0x9F, Some("retry in 7 s")));
    let (_, ack) = small(12, "retry").try_join(&house).await;
    assert_eq!((ack.code, ack.properties.get(id::REASON_STRING)), (0x9F, None));
    // Whoever has no room for what CONNACK must say is refused.
    let (mut client, ack) = small(10, "x").try_join(&house).await;
    assert_eq!((ack.code, ack.properties.raw().len()), (0x95, 0));
    assert!(client.next().await.is_none());
    // SUBACK and DISCONNECT, too.
    let mut client = small(24, "x").join(&house).await;
    let filters = smallvec![("forbidden/x", SubscribeOptions(0))];
    client.send(Packet::Subscribe(Subscribe { pid: 5, properties: Properties::NONE, filters })).await;
    assert!(matches!(client.recv().await, Packet::SubAck(ack) if ack.properties.get(id::REASON_STRING).is_none()));
    client.bytes(&[0xC0, 1, 0]).await;
    let Some(Packet::Disconnect(packet)) = client.next().await else { panic!("no DISCONNECT") };
    assert_eq!((packet.reason, packet.properties.raw().len()), (Reason::MalformedPacket, 0));
    let mut client = small(24, "x").join(&house).await;
    let filters = (0..40).map(|_| ("many", SubscribeOptions(0))).collect();
    client.send(Packet::Subscribe(Subscribe { pid: 5, properties: Properties::NONE, filters })).await;
    client.closed(Reason::PacketTooLarge).await;
    let mut client = small(24, "x").join(&house).await;
    client.send(Packet::Unsubscribe(Unsubscribe { pid: 5, properties: Properties::NONE, filters: smallvec!["x"; 40] })).await;
    client.closed(Reason::PacketTooLarge).await;
}

#[tokio::test]
async fn the_servers_keep_alive_replaces_the_clients() {
    let house = house_with(Limits { max_keep_alive: 1, ..Limits::default() }).await;
    for asked in [0, 60] {
        let (mut client, ack) = hello(Level::V5, "a").keep_alive(asked).try_join(&house).await;
        assert_eq!(ack.properties.number(id::SERVER_KEEP_ALIVE), Some(1));
        client.closed(Reason::KeepAliveTimeout).await;
    }
}

#[tokio::test]
async fn enhanced_authentication_is_refused_cleanly() {
    let house = house().await;
    let asking = hello(Level::V5, "a")
        .will("will", "x", 1, true)
        .with(id::AUTHENTICATION_METHOD, Value::Str("SCRAM-SHA-256"))
        .with(id::AUTHENTICATION_DATA, Value::Bin(b"n,,n=a"));
    let (mut client, ack) = asking.try_join(&house).await;
    assert_eq!((ack.code, ack.session_present), (0x8C, false));
    assert!(client.next().await.is_none());
    assert_eq!(house.broker.stats().sessions, 0);
    // Without a method there is neither AUTH nor a method in CONNACK, and AUTH from the client ends the connection.
    for reason in [0x18, 0x19] {
        let (mut client, ack) = hello(Level::V5, "a").try_join(&house).await;
        assert!(ack.properties.get(id::AUTHENTICATION_METHOD).is_none() && ack.properties.get(id::AUTHENTICATION_DATA).is_none());
        client.bytes(&[0xF0, 6, reason, 4, 21, 0, 1, b'x']).await;
        client.closed(Reason::ProtocolError).await;
    }
    let mut client = join(&house, Level::V5, "a").await;
    client.bytes(&[0xF0, 2, 0x01, 0]).await;
    client.closed(Reason::MalformedPacket).await;
    assert_eq!(house.journal.stats().records, 0, "no will of a client that was never let in");
}

#[tokio::test]
async fn before_connack_nothing_else_is_said() {
    let house = house().await;
    // Another packet first, a CONNECT that is none, a client that hangs: never a DISCONNECT.
    for bytes in [&[0xC0, 0][..], &[0xE0, 0], &[0x30, 3, 0, 1, b'a'], &[0xF0, 0], &[0x20, 2, 0, 0]] {
        assert!(first(&house, bytes).await.is_empty(), "{bytes:?}");
    }
    let answer = first(&house, &connect(Level::V5, 3, &[0, 1, b'a'])).await;
    assert_eq!(answer[0], 0x20);
    assert_eq!(answer.len(), 2 + usize::from(answer[1]));
}

#[tokio::test]
async fn reason_codes_fit_their_packets() {
    let house = house().await;
    let wrong = [
        packet(0x40, &[0, 1, 0x01]),
        packet(0x40, &[0, 1, 0x92]),
        packet(0x50, &[0, 1, 0x18]),
        packet(0x62, &[0, 1, 0x97]),
        packet(0x70, &[0, 1, 0x10]),
        packet(0xE0, &[0x03]),
        packet(0xE0, &[0x11]),
    ];
    for bytes in wrong {
        let mut client = join(&house, Level::V5, "c").await;
        client.bytes(&bytes).await;
        client.closed(Reason::MalformedPacket).await;
    }
    // A DISCONNECT without a reason is a normal one; with each of the client's codes it ends the connection quietly.
    for bytes in [packet(0xE0, &[]), packet(0xE0, &[0x04]), packet(0xE0, &[0x80, 0]), packet(0xE0, &[0x93])] {
        let mut client = join(&house, Level::V5, "c").await;
        client.bytes(&bytes).await;
        assert!(client.next().await.is_none());
    }
}

#[tokio::test]
async fn the_servers_goodbye_is_plain_and_the_last_word() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 1).await;
    assert_eq!(house.broker.end(|_| true, Reason::AdministrativeAction), 1);
    // What is published meanwhile waits for the session's next connection.
    join(&house, Level::V5, "p").await.publish("t", "later", 1).await;
    let mut heard = Vec::new();
    while let Some(packet) = client.next().await {
        heard.push(packet);
    }
    let Some(Packet::Disconnect(last)) = heard.pop() else { panic!("no DISCONNECT: {heard:?}") };
    assert_eq!(last.reason, Reason::AdministrativeAction);
    assert!(last.properties.get(id::SESSION_EXPIRY).is_none() && last.properties.get(id::USER_PROPERTY).is_none());
    assert!(heard.is_empty());
    hello(Level::V5, "s").lasting().rejoin(&house, true).await.expect("later").await;
}

#[tokio::test]
async fn acknowledgements_have_no_properties() {
    let house = house().await;
    let mut client = join(&house, Level::V5, "s").await;
    client.subscribe("t", 2).await;
    join(&house, Level::V5, "p").await.publish("t", "x", 2).await;
    let got = client.message().await;
    let pid = got.pid.to_be_bytes();
    let exchange: [(&[u8], &[u8]); 5] = [
        (&[0x50, 2, pid[0], pid[1]], &[0x62, 2, pid[0], pid[1]]),
        (b"\x34\x06\0\x01a\0\x05\0", b"\x50\x02\0\x05"),
        (b"\x62\x02\0\x05", b"\x70\x02\0\x05"),
        // With a reason a byte more, and still no properties.
        (b"\x62\x02\0\x05", b"\x70\x03\0\x05\x92"),
        (b"\x34\x10\0\x0bforbidden/x\0\x06\0", b"\x50\x03\0\x06\x87"),
    ];
    for (said, heard) in exchange {
        client.bytes(said).await;
        let mut got = vec![0; heard.len()];
        tokio::time::timeout(Duration::from_secs(5), client.stream.read_exact(&mut got)).await.expect("an answer").unwrap();
        assert_eq!(got, heard, "{said:?}");
    }
}
