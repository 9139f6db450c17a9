//! What outlives a connection, and who owns it.

use std::time::Duration;

use super::client::*;
use super::*;
use crate::codec::*;
use crate::{Ended, Reason};

#[tokio::test]
async fn a_session_keeps_what_its_client_misses() {
    let mut house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().rejoin(&house, false).await;
        client.subscribe("t/+", 1).await;
        client.leave().await;
        let mut publisher = join(&house, level, "p").await;
        publisher.publish("t/1", "zero is not kept", 0).await;
        for i in 0..10 {
            publisher.publish("t/1", &i.to_string(), 1 + i % 2).await;
        }
        drop(publisher);
        house = house.restart().await;
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        for i in 0..10 {
            let got = client.expect(&i.to_string()).await;
            assert_eq!((got.qos, got.topic), (1, "t/1"));
        }
        client.silent().await;
        client.leave().await;
        // A clean start forgets it all.
        join(&house, level, "p").await.publish("t/1", "x", 1).await;
        let mut client = hello(level, "s").rejoin(&house, false).await;
        client.silent().await;
        client.leave().await;
        assert!(house.host.saved.lock().is_empty());
        hello(level, "s").lasting().rejoin(&house, false).await.leave().await;
        hello(level, "s").rejoin(&house, false).await.leave().await;
    }
    assert_eq!(house.journal.stats().inbox_entries, 0);
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let house = house().await;
    let greeting = || hello(Level::V5, "s").clean(false).with(id::SESSION_EXPIRY, Value::U32(60));
    let mut client = greeting().join(&house).await;
    client.subscribe("t", 1).await;
    client.leave().await;
    join(&house, Level::V5, "p").await.publish("t", "x", 1).await;
    house.later(59).await;
    let mut client = greeting().rejoin(&house, true).await;
    client.expect("x").await;
    // The time begins anew with each connection's end.
    house.later(61).await;
    client.leave().await;
    house.later(59).await;
    greeting().rejoin(&house, true).await.leave().await;
    house.later(61).await;
    assert_eq!(house.broker.stats().subscriptions, 0);
    assert!(house.host.saved.lock().is_empty());
    assert_eq!(house.journal.stats().inbox_entries, 0);
    greeting().rejoin(&house, false).await;
}

#[tokio::test]
async fn disconnect_may_change_the_expiry() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.leave_with(Reason::Success, property(id::SESSION_EXPIRY, Value::U32(0))).await;
    let mut client = hello(Level::V5, "s").lasting().rejoin(&house, false).await;
    client.leave_with(Reason::Success, property(id::SESSION_EXPIRY, Value::U32(10))).await;
    house.later(11).await;
    hello(Level::V5, "s").lasting().rejoin(&house, false).await.leave().await;
    // Expiry 0 on resuming: the session is there once more, then no longer.
    hello(Level::V5, "s").clean(false).rejoin(&house, true).await.leave().await;
    hello(Level::V5, "s").clean(false).rejoin(&house, false).await;
}

#[tokio::test]
async fn a_restored_session_expires_too() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 1).await;
    client.leave().await;
    let house = house.restart().await;
    assert_eq!(house.broker.stats().sessions, 1);
    house.later(3_601).await;
    assert_eq!(house.broker.stats().sessions, 0);
}

#[tokio::test]
async fn a_newer_connection_takes_over() {
    let house = house().await;
    for level in BOTH {
        let mut old = hello(level, "s").lasting().join(&house).await;
        old.subscribe("t", 1).await;
        let mut new = hello(level, "s").lasting().rejoin(&house, true).await;
        old.closed(Reason::SessionTakenOver).await;
        join(&house, level, "p").await.publish("t", "x", 1).await;
        new.expect("x").await;
        new.leave().await;
    }
    assert_eq!(house.broker.stats().taken_over, 2);
    assert!(house.host.ended.lock().contains(&("operator".into(), Ended::Closed(Reason::SessionTakenOver))));
}

#[tokio::test]
async fn of_many_that_come_at_once_exactly_one_stays() {
    let house = Arc::new(house().await);
    let mut joining = Vec::new();
    for _ in 0..20 {
        let house = Arc::clone(&house);
        joining.push(tokio::spawn(async move { hello(Level::V5, "s").lasting().join(&house).await }));
    }
    let mut clients = Vec::new();
    for client in joining {
        clients.push(client.await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.broker.stats().connections, 1);
    let mut alive = 0;
    for mut client in clients {
        client.send(Packet::PingReq).await;
        match client.next().await {
            Some(Packet::PingResp) => alive += 1,
            Some(Packet::Disconnect(packet)) => assert_eq!(packet.reason, Reason::SessionTakenOver),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(alive, 1);
}

#[tokio::test]
async fn a_session_belongs_to_its_principal() {
    let mut house = house().await;
    let greeting = |who: &'static str| hello(Level::V5, "s").user(who).lasting();
    let mut owner = greeting("as:owner").join(&house).await;
    owner.subscribe("t", 1).await;
    // Another one with the same client id neither ends nor gets it, whether its owner is there or not.
    let mut other = greeting("as:other").rejoin(&house, false).await;
    other.subscribe("u", 1).await;
    owner.ping().await;
    owner.leave_with(Reason::Success, PropertyWriter::new()).await;
    join(&house, Level::V5, "p").await.publish("t", "for the owner", 1).await;
    other.silent().await;
    other.leave().await;
    join(&house, Level::V5, "p").await.publish("u", "for the other", 1).await;
    // Kept apart beyond a restart, too, and ended apart.
    house = house.restart().await;
    let mut owner = greeting("as:owner").rejoin(&house, true).await;
    let mut other = greeting("as:other").rejoin(&house, true).await;
    owner.expect("for the owner").await;
    other.expect("for the other").await;
    owner.silent().await;
    other.silent().await;
    other.leave().await;
    hello(Level::V5, "s").user("as:other").rejoin(&house, false).await.leave().await;
    owner.ping().await;
    assert_eq!(house.host.saved.lock().len(), 1);
    // No text of one can be taken for the other's.
    assert_ne!(crate::session::Session::name_of("a", "bc"), crate::session::Session::name_of("ab", "c"));
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_granted() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    assert_eq!(client.subscribe("a", 1).await, Reason::GrantedQos1);
    *house.host.refuse_saving.lock() = true;
    assert_eq!(client.subscribe("b", 1).await, Reason::Unspecified);
    assert_eq!(house.broker.stats().subscriptions, 1);
    *house.host.refuse_saving.lock() = false;
    assert_eq!(client.subscribe("b", 1).await, Reason::GrantedQos1);
    let saved = house.host.saved.lock().values().next().cloned().unwrap();
    assert_eq!((saved.client_id.as_str(), saved.principal.as_str(), saved.expiry), ("s", "operator", 3_600));
    assert_eq!(saved.subscriptions.iter().map(|s| s.filter.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn revocation_ends_connections_and_discarding_ends_sessions() {
    let house = house().await;
    let mut one = hello(Level::V5, "one").user("as:one").lasting().join(&house).await;
    let mut two = hello(Level::V4, "two").user("as:two").lasting().join(&house).await;
    one.subscribe("t", 1).await;
    two.subscribe("t", 1).await;
    let principal = |name: &str| model::Principal::Client(name.into());
    assert_eq!(house.broker.end(|peer| peer.principal == principal("one"), Reason::NotAuthorized), 1);
    one.closed(Reason::NotAuthorized).await;
    two.ping().await;
    // Ended, but its session is still there …
    let mut one = hello(Level::V5, "one").user("as:one").lasting().rejoin(&house, true).await;
    // … until it is discarded, connected or not.
    assert_eq!(house.broker.discard(OpenHost::tenant(), &principal("one")).await, 1);
    one.closed(Reason::AdministrativeAction).await;
    two.leave().await;
    assert_eq!(house.broker.discard(OpenHost::tenant(), &principal("two")).await, 1);
    assert_eq!((house.broker.stats().sessions, house.broker.stats().subscriptions), (0, 0));
    assert!(house.host.saved.lock().is_empty());
    hello(Level::V5, "one").user("as:other").lasting().rejoin(&house, false).await;
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let house = house().await;
    let mut five = join(&house, Level::V5, "five").await;
    let mut four = join(&house, Level::V4, "four").await;
    house.broker.stop(Duration::from_secs(5)).await;
    five.closed(Reason::ServerShuttingDown).await;
    four.closed(Reason::ServerShuttingDown).await;
    let mut late = Client::open(&house.broker, Level::V5);
    late.bytes(&hello(Level::V5, "late").bytes()).await;
    assert!(late.next().await.is_none());
}

#[tokio::test]
async fn a_dropped_connection_task_leaves_no_ghost() {
    let house = house().await;
    let (near, far) = tokio::io::duplex(1 << 16);
    let broker = Arc::clone(&house.broker);
    let task = tokio::spawn(async move { broker.serve(far, crate::StreamMeta::default()).await });
    let mut stream = near;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hello(Level::V5, "s").bytes()).await.unwrap();
    let mut buffer = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut buffer).await.unwrap();
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(house.broker.stats().connections, 0);
    hello(Level::V5, "s").lasting().join(&house).await.ping().await;
}

#[tokio::test]
async fn a_changed_expiry_is_kept() {
    let house = house().await;
    let mut client = hello(Level::V5, "s").lasting().join(&house).await;
    client.subscribe("t", 1).await;
    let kept = |house: &House| house.host.saved.lock().values().next().unwrap().expiry;
    assert_eq!(kept(&house), 3_600);
    client.leave_with(Reason::Success, property(id::SESSION_EXPIRY, Value::U32(50))).await;
    assert_eq!(kept(&house), 50);
    let greeting = hello(Level::V5, "s").clean(false).with(id::SESSION_EXPIRY, Value::U32(70));
    greeting.rejoin(&house, true).await.leave().await;
    assert_eq!(kept(&house), 70);
    // Coming and going leaves nothing behind but the one look at its end.
    assert_eq!(house.broker.timers.lock().len(), 1);
}

#[tokio::test]
async fn who_was_revoked_on_the_way_in_is_refused() {
    let house = house().await;
    for level in BOTH {
        let mut client = hello(level, "s").lasting().join(&house).await;
        client.subscribe("t", 1).await;
        client.leave().await;
        *house.host.admit_nobody.lock() = true;
        for _ in 0..2 {
            let (mut client, refused) = hello(level, "s").lasting().try_join(&house).await;
            assert_eq!(refused.code, if level.is_v5() { Reason::ServerUnavailable.code() } else { 3 });
            assert!(client.next().await.is_none());
        }
        *house.host.admit_nobody.lock() = false;
        // The session has not suffered.
        join(&house, level, "p").await.publish("t", "x", 1).await;
        let mut client = hello(level, "s").lasting().rejoin(&house, true).await;
        client.expect("x").await;
        client.leave().await;
        hello(level, "s").join(&house).await.leave().await;
    }
}
