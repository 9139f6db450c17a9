//! Retained messages.

use super::client::*;
use super::*;
use crate::codec::*;

#[tokio::test]
async fn the_last_value_waits_for_who_comes_later() {
    let mut house = house().await;
    for level in BOTH {
        let mut publisher = join(&house, level, "p").await;
        publisher.retain("r/a", "old", 1).await;
        publisher.retain("r/a", "new", 2).await;
        publisher.retain("r/b", "zero", 0).await;
        publisher.retain("r/c/d", "deep", 1).await;
        publisher.retain("$r/x", "hidden", 1).await;
        publisher.publish("r/e", "not kept", 1).await;
        publisher.leave().await;
        for _ in 0..2 {
            let mut client = join(&house, level, "s").await;
            client.subscribe("r/+", 1).await;
            let first = client.expect("new").await;
            assert_eq!((first.retain, first.qos, first.topic), (true, 1, "r/a"));
            assert_eq!(client.expect("zero").await.qos, 0);
            client.silent().await;
            client.subscribe("#", 0).await;
            let mut all = Vec::new();
            for _ in 0..3 {
                all.push(client.take().await.topic);
            }
            all.sort_unstable();
            assert_eq!(all, ["r/a", "r/b", "r/c/d"]);
            client.silent().await;
            client.leave().await;
            house = house.restart().await;
        }
        let mut publisher = join(&house, level, "p").await;
        for topic in ["r/a", "r/b", "r/c/d", "$r/x"] {
            publisher.retain(topic, "", 1).await;
        }
        let mut client = join(&house, level, "s").await;
        client.subscribe("#", 1).await;
        client.silent().await;
        assert_eq!(house.broker.stats().retained, 0);
    }
}

#[tokio::test]
async fn to_who_is_there_it_is_a_message_like_any_other() {
    let house = house().await;
    let mut plain = join(&house, Level::V5, "plain").await;
    let mut as_published = join(&house, Level::V5, "rap").await;
    let mut four = join(&house, Level::V4, "four").await;
    plain.subscribe("t", 1).await;
    as_published.subscribe("t", 1 | 8).await;
    four.subscribe("t", 1).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.retain("t", "x", 1).await;
    assert!(!plain.expect("x").await.retain);
    assert!(as_published.expect("x").await.retain);
    assert!(!four.expect("x").await.retain);
    publisher.publish("t", "y", 1).await;
    assert!(!as_published.expect("y").await.retain);
    // The empty message that clears the topic arrives as well.
    publisher.retain("t", "", 1).await;
    assert!(as_published.expect("").await.retain);
    plain.expect("y").await;
    assert!(!plain.expect("").await.retain);
}

#[tokio::test]
async fn retain_handling_says_when() {
    let house = house().await;
    join(&house, Level::V5, "p").await.retain("t", "x", 1).await;
    let mut client = join(&house, Level::V5, "s").await;
    client.subscribe("t", 0x20).await;
    client.silent().await;
    client.subscribe("t", 0x10).await;
    client.silent().await;
    client.subscribe("t", 0x01).await;
    client.expect("x").await;
    client.subscribe("t", 0x01).await;
    client.expect("x").await;
    let mut fresh = join(&house, Level::V5, "fresh").await;
    fresh.subscribe("t", 0x10).await;
    fresh.expect("x").await;
    fresh.subscribe("$share/g/t", 0).await;
    fresh.silent().await;
}

#[tokio::test]
async fn a_retained_message_expires() {
    let house = house().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish_with("t", b"x", 1, true, property(id::MESSAGE_EXPIRY, Value::U32(10))).await;
    let mut client = join(&house, Level::V5, "s").await;
    house.clock.advance(std::time::Duration::from_secs(4));
    client.subscribe_with("t", 1, property(id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(9))).await;
    let got = client.expect("x").await;
    assert_eq!((got.properties.expiry(), got.properties.subscription_ids().next()), (Some(6), Some(9)));
    house.clock.advance(std::time::Duration::from_secs(7));
    client.subscribe("t", 1).await;
    client.silent().await;
}

#[tokio::test]
async fn many_retained_messages_do_not_overflow_anybody() {
    let house = house_with(Limits { max_queued_per_session: 5, ..Limits::default() }).await;
    let mut publisher = join(&house, Level::V5, "p").await;
    for i in 0..100 {
        publisher.retain(&format!("m/{i}"), &i.to_string(), 1).await;
    }
    let mut client = hello(Level::V5, "s").with(id::RECEIVE_MAXIMUM, Value::U16(3)).join(&house).await;
    client.subscribe("m/+", 1).await;
    for i in 0..100 {
        client.expect(&i.to_string()).await;
    }
}
