//! Storms, broken clients, a broken disk and a broken clock: what was acknowledged is stored and delivered, in order, and nothing else.

use std::collections::HashMap;
use std::time::Duration;

use journal::{Durability, HistoryQuery, WriteFault};
use model::PageRequest;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

/// Short by default; the long version is for a quiet machine (`HELIOGRAPH_LONG=1`).
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("HELIOGRAPH_LONG").is_some() { long } else { short }
}

/// Payloads on a topic as the journal has them, in order.
async fn stored(house: &House, topic: &str) -> Vec<String> {
    let mut query = HistoryQuery {
        tenant: OpenHost::tenant(),
        thing: None,
        from: None,
        to: None,
        direction: None,
        newest_first: false,
        page: PageRequest::max(),
    };
    let mut all = Vec::new();
    loop {
        let page = house.journal.history(&query).await.unwrap();
        all.extend(page.items.iter().filter(|r| r.topic_str() == topic).map(|r| String::from_utf8_lossy(&r.payload).into_owned()));
        query.page.cursor = page.next;
        if query.page.cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn many_connect_and_disconnect_and_nothing_is_left() {
    let house = house().await;
    let many = rounds(2_000, 100_000);
    let mut workers = Vec::new();
    for worker in 0..8 {
        let broker = Arc::clone(&house.broker);
        workers.push(tokio::spawn(async move {
            for n in 0..many / 8 {
                let level = BOTH[n % 2];
                let mut client = Client::open(&broker, level);
                let greeting = hello(level, format!("w{worker}-{}", n % 50).leak());
                // Every fourth has a session for a while, every third just goes away.
                let greeting = if n % 4 == 0 { greeting.lasting() } else { greeting };
                client.bytes(&greeting.bytes()).await;
                assert!(matches!(client.recv().await, Packet::ConnAck(ack) if ack.code == 0));
                if n % 5 == 0 {
                    assert!(!client.subscribe("t/#", 1).await.is_error());
                }
                if n % 3 == 0 { client.vanish().await } else { client.leave().await }
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    // What lasted is ended by a clean start; then there is nothing.
    for worker in 0..8 {
        for n in 0..50 {
            join(&house, Level::V5, format!("w{worker}-{n}").leak()).await.leave().await;
        }
    }
    let stats = house.broker.stats();
    assert_eq!((stats.connections, stats.sessions, stats.subscriptions), (0, 0, 0));
    assert!(house.host.saved.lock().is_empty());
    assert_eq!(house.journal.stats().inboxes, 0);
}

#[tokio::test]
async fn duplicate_client_ids_in_a_storm_lose_nothing_acknowledged() {
    let house = house().await;
    let mut sender = hello(Level::V5, "sender").join(&house).await;
    let mut keeper = hello(Level::V5, "one").lasting().join(&house).await;
    keeper.subscribe("storm", 1).await;
    keeper.leave().await;
    // Many at once fight for one session; whoever has it takes what comes and acknowledges it.
    let mut fighters = Vec::new();
    for _ in 0..6 {
        let broker = Arc::clone(&house.broker);
        fighters.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..15 {
                let mut client = Client::open(&broker, Level::V5);
                client.bytes(&hello(Level::V5, "one").lasting().bytes()).await;
                for _ in 0..10 {
                    match tokio::time::timeout(Duration::from_millis(40), client.next()).await {
                        Ok(Some(Packet::Publish(got))) => {
                            client.ack(AckKind::PubAck, got.pid).await;
                            taken.push(String::from_utf8_lossy(got.payload).parse::<u32>().unwrap());
                        }
                        Ok(Some(Packet::ConnAck(_))) => {}
                        _ => break,
                    }
                }
            }
            taken
        }));
    }
    for n in 0..200 {
        assert_eq!(sender.publish("storm", &n.to_string(), 1).await, Reason::Success);
    }
    let mut seen = std::collections::BTreeSet::new();
    for fighter in fighters {
        seen.extend(fighter.await.unwrap());
    }
    // The rest comes to the last one, in order.
    let mut last = hello(Level::V5, "one").lasting().rejoin(&house, true).await;
    let mut previous = None;
    while let Ok(Some(Packet::Publish(got))) = tokio::time::timeout(Duration::from_millis(300), last.next()).await {
        last.ack(AckKind::PubAck, got.pid).await;
        let n = String::from_utf8_lossy(got.payload).parse::<u32>().unwrap();
        assert!(previous.replace(n).is_none_or(|p| p < n), "out of order");
        seen.insert(n);
    }
    assert_eq!(seen.len(), 200, "lost: {:?}", (0..200).filter(|n| !seen.contains(n)).collect::<Vec<_>>());
    assert_eq!(house.broker.stats().connections, 2);
}

#[tokio::test]
async fn bytes_that_trickle_and_connections_that_hang_hold_up_nobody() {
    let limits = Limits { connect_timeout: Duration::from_millis(400), ..Limits::default() };
    let house = house_with(limits).await;
    // Slow-loris: a CONNECT that never gets done, a byte at a time.
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = Client::open(&house.broker, Level::V5);
        slow.push(tokio::spawn(async move {
            for byte in hello(Level::V5, "slow").bytes() {
                client.bytes(&[byte]).await;
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            client.next().await.is_none()
        }));
    }
    // Half-open: the other side is gone without a word, its stream neither ends nor is read.
    let mut hung = Vec::new();
    for id in ["h1", "h2", "h3"] {
        let mut client = hello(Level::V5, id).keep_alive(1).lasting().will("gone", id, 1, false).join(&house).await;
        client.subscribe("t", 1).await;
        hung.push(client);
    }
    let mut good = join(&house, Level::V5, "good").await;
    good.subscribe("gone", 1).await;
    good.subscribe("t", 1).await;
    for n in 0..50 {
        good.publish_only("t", n.to_string().as_bytes(), 1, false, 100 + n, &PropertyWriter::new()).await;
    }
    let (mut acks, mut heard, mut wills) = (0, 0, 0);
    while acks < 50 || heard < 50 || wills < 3 {
        match good.recv().await {
            Packet::Ack(_) => acks += 1,
            Packet::Publish(got) => {
                good.ack(AckKind::PubAck, got.pid).await;
                if got.topic == "gone" { wills += 1 } else { heard += 1 }
            }
            other => panic!("{other:?}"),
        }
    }
    for client in slow {
        assert!(client.await.unwrap(), "a slow CONNECT is not waited for");
    }
    assert_eq!(house.broker.stats().connections, 1);
    // Those that hung missed nothing.
    for id in ["h1", "h2", "h3"] {
        let mut client = hello(Level::V5, id).lasting().rejoin(&house, true).await;
        for n in 0..50 {
            client.expect(&n.to_string()).await;
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_backwards_disturbs_no_order_and_no_session() {
    let house = house().await;
    let mut away = hello(Level::V5, "away").lasting().join(&house).await;
    away.subscribe("t", 1).await;
    away.leave().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    let start = house.clock.now();
    for n in 0..30 {
        // An hour back, two forward, …
        let jump = if n % 2 == 0 { -3_600 } else { 1_800 };
        house.clock.set(Timestamp::from_second(house.clock.now().as_second() + jump).unwrap());
        assert_eq!(publisher.publish("t", &n.to_string(), 1).await, Reason::Success);
    }
    assert!(house.clock.now() < start);
    let mut away = hello(Level::V5, "away").lasting().rejoin(&house, true).await;
    for n in 0..30 {
        away.expect(&n.to_string()).await;
    }
    away.silent().await;
    let mut expected: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    let mut got = stored(&house, "t").await;
    expected.sort();
    got.sort();
    assert_eq!(got, expected);
}

/// What each message's sender heard.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Heard {
    Yes,
    No,
}

#[tokio::test]
async fn what_was_acknowledged_is_what_is_stored_and_delivered_whatever_the_disk_does() {
    for durability in [Durability::Sync, Durability::Flush] {
        let house = house().await;
        *house.host.durability.lock() = Some(durability);
        let mut away = hello(Level::V5, "away").lasting().join(&house).await;
        away.subscribe("c/#", 1).await;
        away.leave().await;
        let mut live = join(&house, Level::V5, "live").await;
        live.subscribe("c/#", 0).await;
        let mut publisher = join(&house, Level::V5, "p").await;
        let mut heard: HashMap<String, Heard> = HashMap::new();
        for round in 0..12u16 {
            match round % 4 {
                0 => house.faults.fail_writes(3, WriteFault::NoSpace),
                1 => house.faults.fail_syncs(2),
                2 => house.faults.fail_writes(2, WriteFault::Short(20)),
                _ => {}
            }
            for n in 0..15u16 {
                let payload = format!("{round}-{n}");
                let pid = 1 + round * 15 + n;
                publisher.publish_only("c/t", payload.as_bytes(), 1, false, pid, &PropertyWriter::new()).await;
                match publisher.recv().await {
                    Packet::Ack(ack) if ack.pid == pid => {
                        // A full disk is told apart from a broken one.
                        assert!(matches!(ack.reason, Reason::Success | Reason::QuotaExceeded | Reason::Unspecified), "{:?}", ack.reason);
                        heard.insert(payload, if ack.reason.is_error() { Heard::No } else { Heard::Yes });
                    }
                    other => panic!("{other:?}"),
                }
            }
            house.faults.fail_writes(0, WriteFault::NoSpace);
            house.faults.fail_syncs(0);
            // It recovers by itself; reads have gone on all the time.
            assert!(!stored(&house, "c/t").await.iter().any(|p| heard.get(p) == Some(&Heard::No)), "refused, but stored");
            for attempt in 0.. {
                assert!(attempt < 200, "the disk is fine again, but publishes are still refused");
                let payload = format!("{round}-again-{attempt}");
                let taken = publisher.publish("c/t", &payload, 1).await == Reason::Success;
                heard.insert(payload, if taken { Heard::Yes } else { Heard::No });
                if taken {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        let mut yes: Vec<String> = heard.iter().filter(|(_, h)| **h == Heard::Yes).map(|(p, _)| p.clone()).collect();
        assert!(yes.len() > 30 && yes.len() < heard.len(), "{} of {}", yes.len(), heard.len());
        let in_order = stored(&house, "c/t").await;
        let house = house.restart().await;
        assert_eq!(stored(&house, "c/t").await, in_order);
        let mut away = hello(Level::V5, "away").lasting().rejoin(&house, true).await;
        for payload in &in_order {
            away.expect(payload).await;
        }
        away.silent().await;
        let mut sorted = in_order.clone();
        sorted.sort();
        yes.sort();
        assert_eq!(sorted, yes, "stored is what was acknowledged, nothing else");
    }
}
