use bytes::BytesMut;
use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

fn read(bytes: &[u8], level: Level) -> Result<Packet<'_>, DecodeError> {
    let frame = frame(bytes, Some(level), 1 << 28)?.expect("a whole header");
    assert_eq!(frame.total, bytes.len());
    decode(frame.first, &bytes[frame.header..], level)
}

fn write(packet: &Packet<'_>, level: Level) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(packet, level, &mut out);
    out.to_vec()
}

/// Bytes that must be refused, with the reason.
const BAD: &[(Level, &[u8], Reason)] = &[
    (Level::V4, &[0x36, 4, 0, 1, b'a', 0], Reason::MalformedPacket),  // QoS 3
    (Level::V4, &[0x38, 3, 0, 1, b'a'], Reason::MalformedPacket),     // DUP at QoS 0
    (Level::V4, &[0x32, 5, 0, 1, b'a', 0, 0], Reason::ProtocolError), // packet id 0
    (Level::V4, &[0x30, 3, 0, 1, b'#'], Reason::TopicNameInvalid),    // wildcard
    (Level::V4, &[0x30, 2, 0, 0], Reason::TopicNameInvalid),          // empty topic
    (Level::V5, &[0x30, 3, 0, 0, 0], Reason::ProtocolError),          // empty topic, no alias
    (Level::V5, &[0x30, 6, 0, 0, 3, 35, 0, 0], Reason::TopicAliasInvalid), // alias 0
    (Level::V4, &[0x30, 3, 0, 1, 0], Reason::MalformedPacket),        // U+0000
    (Level::V4, &[0x30, 5, 0, 3, 0xED, 0xA0, 0x80], Reason::MalformedPacket), // surrogate
    (Level::V4, &[0x30, 4, 0, 2, 0xC0, 0x80], Reason::MalformedPacket), // overlong NUL
    (Level::V4, &[0x30, 2, 0, 5], Reason::MalformedPacket),           // topic beyond the end
    (Level::V4, &[0x80, 6, 0, 1, 0, 1, b'a', 0], Reason::MalformedPacket), // SUBSCRIBE flags
    (Level::V4, &[0x82, 6, 0, 1, 0, 1, b'a', 3], Reason::MalformedPacket), // QoS 3 asked
    (Level::V4, &[0x82, 6, 0, 1, 0, 1, b'a', 4], Reason::MalformedPacket), // v5 option on 3.1.1
    (Level::V4, &[0x82, 2, 0, 1], Reason::ProtocolError),             // no filter
    (Level::V4, &[0x82, 8, 0, 1, 0, 3, b'a', b'/', b'#'], Reason::MalformedPacket), // options missing
    (Level::V4, &[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0], Reason::TopicFilterInvalid),
    (Level::V4, &[0x82, 5, 0, 1, 0, 0, 0], Reason::TopicFilterInvalid),
    (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40], Reason::MalformedPacket), // reserved option bits
    (Level::V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x30], Reason::ProtocolError),   // retain handling 3
    (Level::V5, &[0x82, 9, 0, 1, 2, 11, 0, 0, 1, b'a', 0], Reason::ProtocolError), // subscription id 0
    (Level::V5, &[0x82, 16, 0, 1, 0, 0, 10, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'g', b'/', b'a', 4], Reason::ProtocolError),
    (Level::V4, &[0xA2, 2, 0, 1], Reason::ProtocolError),
    (Level::V4, &[0xA0, 5, 0, 1, 0, 1, b'a'], Reason::MalformedPacket),
    (Level::V4, &[0x60, 2, 0, 1], Reason::MalformedPacket),       // PUBREL flags
    (Level::V4, &[0x40, 3, 0, 1, 0], Reason::MalformedPacket),    // too long on 3.1.1
    (Level::V5, &[0x40, 3, 0, 1, 0x42], Reason::MalformedPacket), // unknown code
    (Level::V5, &[0x40, 3, 0, 1, 0x92], Reason::MalformedPacket), // a code of PUBREL
    (Level::V4, &[0xC0, 1, 0], Reason::MalformedPacket),
    (Level::V4, &[0xC1, 0], Reason::MalformedPacket),
    (Level::V4, &[0x00, 0], Reason::MalformedPacket),
    (Level::V4, &[0xF0, 0], Reason::MalformedPacket), // AUTH on 3.1.1
    (Level::V5, &[0xE0, 1, 0x01], Reason::MalformedPacket),
    (Level::V5, &[0xE0, 7, 0, 5, 33, 0, 1, 0, 0], Reason::ProtocolError), // property not allowed here
    (Level::V5, &[0xC0, 0x80, 0], Reason::MalformedPacket),               // length not shortest
    (Level::V4, &[0xC0, 0xFF, 0xFF, 0xFF, 0xFF], Reason::MalformedPacket),
    (Level::V5, &[0x30, 8, 0, 1, b'a', 4, 1, 1, 1, 1], Reason::ProtocolError), // duplicate property
    (Level::V5, &[0x30, 6, 0, 1, b'a', 2, 1, 2], Reason::ProtocolError),       // flag neither 0 nor 1
    (Level::V5, &[0x30, 6, 0, 1, b'a', 2, 99, 2], Reason::MalformedPacket),    // unknown property
    (Level::V5, &[0x30, 5, 0, 1, b'a', 9, 1], Reason::MalformedPacket),        // properties beyond the end
    (Level::V5, &[0x30, 8, 0, 1, b'a', 4, 8, 0, 1, b'+'], Reason::ProtocolError), // wildcard in response topic
    (Level::V5, &[0xF0, 6, 0x18, 4, 22, 0, 1, 0], Reason::ProtocolError),      // data without method
    (Level::V4, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 1, 0, 0, 0, 0], Reason::MalformedPacket), // reserved flag
    (Level::V4, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 8, 0, 0, 0, 0], Reason::MalformedPacket), // will QoS, no will
    (Level::V4, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x40, 0, 0, 0, 0], Reason::MalformedPacket), // password alone
    (Level::V4, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 6, 2, 0, 0, 0, 0], Reason::UnsupportedProtocolVersion),
    (Level::V4, &[0x10, 12, 0, 4, b'M', b'Q', b'X', b'T', 4, 2, 0, 0, 0, 0], Reason::UnsupportedProtocolVersion),
    (Level::V4, &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0, 9], Reason::MalformedPacket), // bytes left
    (Level::V5, &[0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 3, 33, 0, 0, 0, 0], Reason::ProtocolError), // receive maximum 0
];

#[test]
fn what_the_standard_forbids_is_refused() {
    for (level, bytes, reason) in BAD {
        let result = frame(bytes, Some(*level), 1 << 28).and_then(|f| {
            let f = f.expect("header");
            decode(f.first, &bytes[f.header..], *level)
        });
        assert_eq!(result.map_err(|e| e.reason).expect_err(&format!("{bytes:?}")), *reason, "{bytes:?}");
    }
}

#[test]
fn a_frame_is_found_as_its_bytes_arrive() {
    assert_eq!(frame(&[], None, 100), Ok(None));
    assert_eq!(frame(&[0x30], None, 100), Ok(None));
    assert_eq!(frame(&[0x30, 0x80], None, 100_000), Ok(None));
    assert_eq!(frame(&[0x30, 0x80, 1], None, 1_000), Ok(Some(Frame { first: 0x30, header: 3, total: 131 })));
    assert_eq!(frame(&[0x30, 0x80, 1], None, 130).map_err(|e| e.reason), Err(Reason::PacketTooLarge));
    assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], None, 1 << 29), Ok(Some(Frame { first: 0x30, header: 5, total: 268_435_460 })));
}

#[test]
fn three_point_one_is_understood() {
    let bytes = [0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 0];
    let Ok(Packet::Connect(connect)) = read(&bytes, Level::V4) else { panic!("refused") };
    assert_eq!((connect.level, connect.keep_alive, connect.clean_start), (Level::V3, 60, true));
}

#[test]
fn filters_are_taken_apart() {
    assert_eq!(check_filter("$share/g/a/+"), Ok(Filter { group: Some("g"), filter: "a/+" }));
    assert_eq!(check_filter("$sharer/g"), Ok(Filter { group: None, filter: "$sharer/g" }));
    for bad in ["$share/", "$share/g", "$share//a", "$share/g/", "$share/g+/a", "$share/#/a", "a+", "a/#/b", "+a/b", "##", ""] {
        assert!(check_filter(bad).is_err(), "{bad}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-zà-ü/ 0-9]{0,20}"
}
fn topic() -> impl Strategy<Value = String> {
    "[a-zà-ü/0-9$]{1,20}"
}
fn filter() -> impl Strategy<Value = String> {
    prop_oneof![topic(), Just("#".to_owned()), "[a-z]{1,4}/\\+/#", "\\$share/[a-z]{1,4}/[a-z]{1,5}/\\+"]
}
fn data() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

type Props = Vec<(u8, u32, String, Vec<u8>)>;

/// Properties allowed in a scope, each at most once, but for user properties.
fn props(scope: Scope, raw: &Props) -> PropertyWriter {
    let mut writer = PropertyWriter::new();
    let mut seen = std::collections::HashSet::new();
    for (id, number, text, data) in raw {
        let mut one = PropertyWriter::new();
        let value = match *id {
            1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => Value::Byte((number % 2) as u8),
            2 | 17 | 24 | 39 => Value::U32(*number),
            11 => Value::VarInt(number % 268_435_455),
            19 | 33 | 34 | 35 => Value::U16(*number as u16),
            9 | 22 => Value::Bin(data),
            38 => Value::Pair(text, text),
            _ => Value::Str(text),
        };
        one.put(*id, value);
        if Properties::check(one.properties().raw(), scope).is_ok() && (*id == 38 || seen.insert(*id)) {
            writer.put(*id, value);
        }
    }
    writer
}
fn raw_props() -> impl Strategy<Value = Props> {
    prop::collection::vec((1u8..43, any::<u32>(), text(), data()), 0..8)
}
fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::V4), Just(Level::V5)]
}

fn round(packet: &Packet<'_>, level: Level) {
    let bytes = write(packet, level);
    // Compared as text, because a packet's lifetime can't be shortened.
    let back = read(&bytes, level).expect("our own bytes");
    assert_eq!(format!("{back:?}"), format!("{packet:?}"), "{bytes:?}");
}

proptest! {
    #[test]
    fn publish_survives(level in level(), topic in topic(), payload in data(), qos in 0u8..3, pid in 1u16.., dup: bool, retain: bool, raw in raw_props()) {
        let writer = props(Scope::Publish, &raw);
        let properties = if level.is_v5() { writer.properties() } else { Properties::NONE };
        let packet = Publish { dup: dup && qos > 0, qos, retain, topic: &topic, pid: if qos > 0 { pid } else { 0 }, properties, payload: &payload };
        round(&Packet::Publish(packet), level);
    }

    #[test]
    fn connect_survives(
        level in prop_oneof![Just(Level::V3), level()],
        (client_id, username, password) in (text(), prop::option::of(text()), prop::option::of(data())),
        will in prop::option::of((topic(), data(), 0u8..3, any::<bool>())),
        keep_alive: u16, clean_start: bool, raw in raw_props(),
    ) {
        let (own, of_will) = (props(Scope::Connect, &raw), props(Scope::Will, &raw));
        let v5 = level.is_v5();
        if let Err(e) = Properties::check(own.properties().raw(), Scope::Connect) {
            prop_assert_eq!(e.detail, "authentication data without a method");
            return Ok(());
        }
        let packet = Connect {
            level, clean_start, keep_alive, client_id: &client_id,
            will: will.as_ref().map(|(topic, payload, qos, retain)| Will {
                topic, payload, qos: *qos, retain: *retain,
                properties: if v5 { of_will.properties() } else { Properties::NONE },
            }),
            password: password.as_deref().filter(|_| v5 || username.is_some()),
            username: username.as_deref(),
            properties: if v5 { own.properties() } else { Properties::NONE },
        };
        round(&Packet::Connect(Box::new(packet)), level);
    }

    #[test]
    fn the_rest_survives(level in level(), pid in 1u16.., filters in prop::collection::vec((filter(), 0u8..3, 0u8..3), 1..4), codes in prop::collection::vec(0u8..3, 0..4), raw in raw_props()) {
        let v5 = level.is_v5();
        let writers: Vec<PropertyWriter> = [Scope::Subscribe, Scope::SubAck, Scope::Unsubscribe, Scope::UnsubAck, Scope::Ack, Scope::Disconnect]
            .into_iter().map(|scope| props(scope, &raw)).collect();
        let p = |i: usize| if v5 { writers[i].properties() } else { Properties::NONE };
        let subscribed = filters.iter().map(|(f, qos, handling)| (f.as_str(), SubscribeOptions(if v5 { qos | handling << 4 } else { *qos }))).collect();
        round(&Packet::Subscribe(Subscribe { pid, properties: p(0), filters: subscribed }), level);
        round(&Packet::SubAck(CodesAck { pid, properties: p(1), codes: &codes }), level);
        round(&Packet::Unsubscribe(Unsubscribe { pid, properties: p(2), filters: filters.iter().map(|(f, ..)| f.as_str()).collect() }), level);
        round(&Packet::UnsubAck(CodesAck { pid, properties: p(3), codes: if v5 { &codes } else { &[] } }), level);
        for kind in [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp] {
            let reason = if v5 && matches!(kind, AckKind::PubAck | AckKind::PubRec) { Reason::QuotaExceeded } else { Reason::Success };
            round(&Packet::Ack(Ack { kind, pid, reason, properties: p(4) }), level);
        }
        let reason = if v5 { Reason::ServerBusy } else { Reason::Success };
        round(&Packet::Disconnect(Closing { reason, properties: p(5) }), level);
        round(&Packet::PingReq, level);
        round(&Packet::PingResp, level);
    }

    #[test]
    fn arbitrary_bytes_never_panic(level in level(), bytes in prop::collection::vec(any::<u8>(), 0..200), first: u8) {
        let _ = frame(&bytes, Some(level), 100);
        let _ = decode(first, &bytes, level).map(|p| write(&p, level));
        for p in Properties::trusted(&bytes).iter() { let _ = p.id; }
    }

    #[test]
    fn damaged_packets_never_panic(level in level(), topic in topic(), raw in raw_props(), at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>()) {
        let writer = props(Scope::Publish, &raw);
        let subscribe = props(Scope::Subscribe, &raw);
        for packet in [
            Packet::Publish(Publish { dup: false, qos: 1, retain: false, topic: &topic, pid: 7, properties: writer.properties(), payload: b"x" }),
            Packet::Subscribe(Subscribe { pid: 7, properties: subscribe.properties(), filters: smallvec![(topic.as_str(), SubscribeOptions(1))] }),
        ] {
            let mut bytes = write(&packet, level);
            let i = at.index(bytes.len());
            bytes[i] = with;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(Some(f)) = frame(&bytes, Some(level), 1 << 28) {
                let _ = decode(f.first, bytes.get(f.header..f.total).unwrap_or(&[]), level);
            }
        }
    }
}
