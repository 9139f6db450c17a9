//! Slow, silent, greedy and broken clients; a disk that says no.

use std::time::Duration;

use proptest::prelude::*;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

#[tokio::test]
async fn silence_ends_a_connection_and_a_ping_keeps_it() {
    let house = house().await;
    for level in BOTH {
        let mut silent = hello(level, "silent").keep_alive(1).join(&house).await;
        let mut alive = hello(level, "alive").keep_alive(1).join(&house).await;
        let mut without = join(&house, level, "without").await;
        let start = std::time::Instant::now();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(600)).await;
            alive.ping().await;
        }
        silent.closed(Reason::KeepAliveTimeout).await;
        assert!(start.elapsed() > Duration::from_millis(1_500));
        alive.ping().await;
        without.ping().await;
    }
}

#[tokio::test]
async fn who_does_not_read_costs_little_and_holds_up_nobody() {
    let limits = Limits { max_queued_per_session: 50, max_write_buffer: 4 << 10, ..Limits::default() };
    let house = house_with(limits).await;
    let mut good = join(&house, Level::V5, "good").await;
    good.subscribe("t", 1).await;
    let mut slow = Vec::new();
    for (id, qos) in [("zero", 0), ("one", 1)] {
        let mut client = Client::open_sized(&house.broker, Level::V5, 256);
        client.bytes(&hello(Level::V5, id).bytes()).await;
        assert!(matches!(client.recv().await, Packet::ConnAck(_)));
        client.subscribe("t", qos).await;
        slow.push(client);
    }
    let mut lasting = hello(Level::V5, "lasting").lasting().with(id::RECEIVE_MAXIMUM, Value::U16(1)).join(&house).await;
    lasting.subscribe("t", 1).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let payload = "x".repeat(1_000);
    for _ in 0..200 {
        publisher.publish("t", &payload, 1).await;
        good.expect(&payload).await;
    }
    let stats = house.broker.stats();
    assert!(stats.messages_dropped > 100, "{stats:?}");
    assert_eq!(stats.slow_closed, 1, "only the one that would lose what it was promised");
    assert_eq!(stats.connections, 4);
    // The one at QoS 0 is still served; the lasting one misses nothing.
    for _ in 0..200 {
        lasting.expect(&payload).await;
    }
    let mut zero = slow.remove(0);
    for _ in 0..20 {
        zero.expect(&payload).await;
    }
}

#[tokio::test]
async fn who_sends_but_does_not_read_is_not_served_further() {
    let house = house_with(Limits { max_write_buffer: 1 << 10, ..Limits::default() }).await;
    let mut client = Client::open_sized(&house.broker, Level::V4, 4 << 10);
    client.bytes(&hello(Level::V4, "a").bytes()).await;
    let flood = [0xC0, 0].repeat(1 << 16);
    let sent = tokio::time::timeout(Duration::from_millis(300), client.bytes(&flood)).await;
    assert!(sent.is_err(), "the flood should have been stopped");
    let (read, written) = (house.broker.stats().bytes_in, house.broker.stats().bytes_out);
    assert!(read < 100_000, "{read}");
    assert!(written < 10_000, "{written}");
}

#[tokio::test]
async fn a_session_has_only_so_many_subscriptions_and_levels() {
    let house = house_with(Limits { max_subscriptions: 2, max_topic_levels: 3, ..Limits::default() }).await;
    let mut client = join(&house, Level::V5, "a").await;
    assert_eq!(client.subscribe("a", 0).await, Reason::Success);
    assert_eq!(client.subscribe("b/c/d", 0).await, Reason::Success);
    assert_eq!(client.subscribe("b/c/d", 1).await, Reason::GrantedQos1);
    assert_eq!(client.subscribe("c", 0).await, Reason::QuotaExceeded);
    assert_eq!(client.publish("a/b/c/d", "x", 1).await, Reason::TopicNameInvalid);
    let mut other = join(&house, Level::V5, "b").await;
    assert_eq!(other.subscribe("a/b/c/#", 0).await, Reason::TopicFilterInvalid);
}

#[tokio::test]
async fn a_tenant_retains_only_so_much() {
    let limits = Limits { max_retained: 2, max_retained_bytes: 1_000, ..Limits::default() };
    let house = house_with(limits).await;
    let mut client = join(&house, Level::V5, "a").await;
    assert_eq!(client.retain("t/1", "x", 1).await, Reason::Success);
    assert_eq!(client.retain("t/2", "x", 1).await, Reason::Success);
    assert_eq!(client.retain("t/3", "x", 1).await, Reason::QuotaExceeded);
    // What is there may change and go; what is not retained is no matter.
    assert_eq!(client.retain("t/2", "y", 1).await, Reason::Success);
    assert_eq!(client.publish("t/3", "x", 1).await, Reason::Success);
    assert_eq!(client.retain("t/2", &"y".repeat(1_000), 1).await, Reason::QuotaExceeded);
    assert_eq!(client.retain("t/1", "", 1).await, Reason::Success);
    assert_eq!(client.retain("t/3", &"z".repeat(900), 1).await, Reason::Success);
    assert_eq!(client.retain("t/3", "", 1).await, Reason::Success);
    assert_eq!(client.retain("t/4", &"z".repeat(900), 1).await, Reason::Success);
    // A will is no way around it, and another tenant has room of its own.
    let will = hello(Level::V5, "w").will("t/5", "x", 1, true).join(&house).await;
    will.vanish().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(house.broker.stats().retained, 2);
    let mut other = hello(Level::V5, "a").user("tenant:other").join(&house).await;
    assert_eq!(other.retain("t/3", "x", 1).await, Reason::Success);
    let house = house.restart().await;
    let mut client = join(&house, Level::V5, "a").await;
    assert_eq!(client.retain("t/6", "x", 1).await, Reason::QuotaExceeded, "counted again at the start");
}

#[tokio::test]
async fn a_thing_keeps_only_so_many_sessions() {
    let mut house = house_with(Limits { max_kept_sessions_per_thing: 2, ..Limits::default() }).await;
    for round in 0..2 {
        for id in ["1", "2"] {
            hello(Level::V5, id).user("thing:a").lasting().rejoin(&house, round > 0).await.leave().await;
        }
        let (_, refused) = hello(Level::V5, "3").user("thing:a").lasting().try_join(&house).await;
        assert_eq!(refused.code, Reason::QuotaExceeded.code());
        if round == 0 {
            for id in ["1", "2"] {
                // Only what has subscriptions is kept over a restart.
                let mut client = hello(Level::V5, id).user("thing:a").lasting().rejoin(&house, true).await;
                client.subscribe("t", 1).await;
                client.leave().await;
            }
            house = house.restart().await;
        }
    }
    // One that is gone with its connection is none that is kept; other things and back ends are not concerned.
    hello(Level::V5, "3").user("thing:a").join(&house).await.leave().await;
    hello(Level::V5, "4").user("thing:b").lasting().join(&house).await.leave().await;
    for id in ["5", "6", "7"] {
        hello(Level::V5, id).user("as:back-end").lasting().join(&house).await.leave().await;
    }
    hello(Level::V5, "1").user("thing:a").join(&house).await.leave().await;
    hello(Level::V5, "3").user("thing:a").lasting().join(&house).await.leave().await;
}

#[tokio::test]
async fn retained_messages_asked_for_again_and_again_do_not_pile_up() {
    let house = house_with(Limits { max_queued_per_session: 100, max_write_buffer: 1 << 10, ..Limits::default() }).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for i in 0..200 {
        publisher.retain(&format!("r/{i}"), "a payload of some length", 1).await;
    }
    // Once is fine, however many there are.
    let mut good = join(&house, Level::V5, "good").await;
    good.subscribe("r/+", 1).await;
    for _ in 0..200 {
        good.take().await;
    }
    let mut greedy = Client::open_sized(&house.broker, Level::V5, 1 << 20);
    greedy.bytes(&hello(Level::V5, "greedy").bytes()).await;
    assert!(matches!(greedy.recv().await, Packet::ConnAck(_)));
    let filters = (0..500).map(|_| ("r/+", SubscribeOptions(1))).collect();
    greedy.send(Packet::Subscribe(Subscribe { pid: 1, properties: Properties::NONE, filters })).await;
    loop {
        match greedy.next().await {
            Some(Packet::Disconnect(closing)) => {
                assert_eq!(closing.reason, Reason::QuotaExceeded);
                break;
            }
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    }
}

#[tokio::test]
async fn unacknowledged_messages_are_bounded_by_their_bytes() {
    let house = house_with(Limits { max_queued_bytes: 10_000, max_queued_per_session: 1_000, ..Limits::default() }).await;
    let mut lasting = hello(Level::V5, "lasting").lasting().join(&house).await;
    lasting.subscribe("t", 1).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let payload = "x".repeat(4_000);
    for _ in 0..20 {
        publisher.publish("t", &payload, 1).await;
    }
    let mut pids = Vec::new();
    for _ in 0..3 {
        pids.push(lasting.message().await.pid);
    }
    lasting.silent().await;
    // Acknowledged, the rest follows.
    for pid in pids {
        lasting.ack(AckKind::PubAck, pid).await;
    }
    for _ in 3..20 {
        lasting.expect(&payload).await;
    }
    lasting.silent().await;
}

#[tokio::test]
async fn only_so_many_connections() {
    let house = house_with(Limits { max_connections: 2, ..Limits::default() }).await;
    let one = join(&house, Level::V4, "1").await;
    let _two = join(&house, Level::V4, "2").await;
    let mut three = Client::open(&house.broker, Level::V4);
    three.bytes(&hello(Level::V4, "3").bytes()).await;
    assert!(three.next().await.is_none());
    one.vanish().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    join(&house, Level::V4, "3").await;
}

#[tokio::test]
async fn an_idle_connection_is_small() {
    let house = house().await;
    let (_near, far) = tokio::io::duplex(64);
    // What waits in a task, the boxed parts, and what others see of the session: without the stream and the tree's nodes.
    let serve = house.broker.serve(far, crate::StreamMeta::default());
    let waiting = std::mem::size_of_val(&serve);
    let connection = std::mem::size_of::<crate::connection::Connection<'_, OpenHost, tokio::net::TcpStream>>();
    let session = std::mem::size_of::<crate::session::Session>() + std::mem::size_of::<crate::session::Flow>();
    assert!(waiting + connection + session < 2_048, "{waiting} {connection} {session}");
}

#[test]
fn garbage_never_harms_the_broker() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let house = runtime.block_on(house());
    let packet = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(first, body)| {
            let mut all = vec![first, body.len() as u8];
            all.extend(body);
            all
        }),
        Just(vec![0x82, 6, 0, 1, 0, 1, b'#', 1]),
        Just(vec![0x32, 6, 0, 1, b't', 0, 7, b'x']),
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    runner
        .run(&(prop::collection::vec(packet, 1..12), any::<bool>()), |(packets, five)| {
            runtime.block_on(async {
                let level = if five { Level::V5 } else { Level::V4 };
                let mut client = hello(level, "fuzz").lasting().join(&house).await;
                for packet in &packets {
                    client.bytes(packet).await;
                }
                client.vanish_raw().await;
            });
            Ok(())
        })
        .unwrap();
    runtime.block_on(async {
        let mut after = join(&house, Level::V5, "after").await;
        after.ping().await;
        assert_eq!(house.broker.stats().connections, 1);
    });
}

impl Client {
    /// Ends the stream and reads whatever comes, packets or not.
    async fn vanish_raw(mut self) {
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.stream).await;
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut self.stream, &mut rest).await;
    }
}

#[tokio::test]
async fn a_credential_that_ends_ends_the_connection() {
    let house = house().await;
    let mut client = hello(Level::V5, "a").user("until").join(&house).await;
    client.ping().await;
    client.closed(Reason::MaximumConnectTime).await;
}

#[tokio::test]
async fn what_the_disk_refuses_is_not_acknowledged() {
    for level in BOTH {
        let house = house().await;
        let mut subscriber = join(&house, level, "s").await;
        subscriber.subscribe("t", 2).await;
        let mut publisher = hello(level, "p").lasting().join(&house).await;
        assert_eq!(publisher.publish("t", "before", 1).await, Reason::Success);
        subscriber.expect("before").await;
        for (pid, kind) in [(50, AckKind::PubAck), (51, AckKind::PubRec)] {
            house.faults.fail_writes(u64::MAX, journal::WriteFault::NoSpace);
            let qos = if kind == AckKind::PubAck { 1 } else { 2 };
            publisher.publish_only("t", b"lost", qos, false, pid, &PropertyWriter::new()).await;
            if level.is_v5() {
                assert!(publisher.acked(kind, pid).await.is_error());
            } else {
                publisher.closed(Reason::QuotaExceeded).await;
            }
            house.faults.fail_writes(0, journal::WriteFault::NoSpace);
            if !level.is_v5() {
                publisher = hello(level, "p").lasting().rejoin(&house, true).await;
            }
            // Until the disk takes writes again a publish is still refused; the same identifier then means the same message.
            let again = Packet::Publish(Publish {
                dup: true,
                qos,
                retain: false,
                topic: "t",
                pid,
                properties: Properties::NONE,
                payload: b"again",
            });
            for attempt in 0.. {
                assert!(attempt < 100, "the disk is fine again, but publishes are still refused");
                tokio::time::sleep(Duration::from_millis(50)).await;
                publisher.send(again.clone()).await;
                match publisher.next().await {
                    Some(Packet::Ack(ack)) if ack.kind == kind && !ack.reason.is_error() => break,
                    Some(_) => {}
                    None => publisher = hello(level, "p").lasting().rejoin(&house, true).await,
                }
            }
            if qos == 2 {
                publisher.ack(AckKind::PubRel, pid).await;
                publisher.acked(AckKind::PubComp, pid).await;
            }
            subscriber.expect("again").await;
        }
        subscriber.silent().await;
        assert_eq!(house.host.stored.lock().len(), 3);
    }
}

#[tokio::test]
async fn a_full_journal_slows_publishers_down() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let options = Options { max_pending_bytes: 20_000, ..Options::new(dir.path(), clock.clone()) };
    let journal = Journal::open(options).await.unwrap();
    let host = Arc::new(OpenHost::default());
    let broker = Broker::new(Arc::clone(&host), journal.clone(), clock, Limits::default()).await;
    let payload = "x".repeat(2_000);
    let mut publishers = Vec::new();
    for id in ["a", "b", "c"] {
        let (broker, payload) = (Arc::clone(&broker), payload.clone());
        publishers.push(tokio::spawn(async move {
            let mut client = Client::open(&broker, Level::V4);
            client.bytes(&hello(Level::V4, id).bytes()).await;
            client.recv().await;
            for pid in 1..=200 {
                client.publish_only("t", payload.as_bytes(), 1, false, pid, &PropertyWriter::new()).await;
            }
            for pid in 1..=200 {
                client.acked(AckKind::PubAck, pid).await;
            }
        }));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert_eq!(broker.stats().messages_in, 600, "the host is asked once for each message");
    assert_eq!(journal.stats().records, 600);
}

#[tokio::test]
async fn a_tenant_has_only_so_many_sessions() {
    let house = house_with(Limits { max_sessions_per_tenant: 1, ..Limits::default() }).await;
    let one = hello(Level::V5, "one").lasting().join(&house).await;
    one.leave().await;
    assert_eq!(hello(Level::V5, "two").try_join(&house).await.1.code, 0x97);
    assert_eq!(hello(Level::V4, "two").try_join(&house).await.1.code, 5);
    hello(Level::V5, "one").rejoin(&house, false).await;
    hello(Level::V5, "two").user("tenant:other").join(&house).await;
}
