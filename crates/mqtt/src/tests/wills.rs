//! Wills: when, where, and when not.

use std::time::Duration;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

async fn watcher(house: &House) -> Client {
    let mut client = join(house, Level::V5, "watcher").await;
    client.subscribe("will/#", 2).await;
    client
}

#[tokio::test]
async fn a_will_is_published_when_the_client_is_lost() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    for level in BOTH {
        for qos in 0..3 {
            hello(level, "c").will("will/a", "gone", qos, false).join(&house).await.vanish().await;
            assert_eq!(watcher.expect("gone").await.qos, qos);
        }
        // A protocol error, a takeover and silence are losses too.
        let mut client = hello(level, "c").will("will/a", "broken", 1, false).join(&house).await;
        client.bytes(&[0x36, 0]).await;
        watcher.expect("broken").await;
        let _old = hello(level, "c").will("will/a", "replaced", 1, false).join(&house).await;
        let _new = join(&house, level, "c").await;
        watcher.expect("replaced").await;
        let mut silent = hello(level, "d").keep_alive(1).will("will/a", "silent", 1, false).join(&house).await;
        watcher.expect("silent").await;
        silent.closed(Reason::KeepAliveTimeout).await;
    }
}

#[tokio::test]
async fn a_proper_goodbye_has_no_will() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    for level in BOTH {
        hello(level, "c").will("will/a", "no", 1, false).join(&house).await.leave().await;
    }
    watcher.silent().await;
    let mut client = hello(Level::V5, "c").will("will/a", "wanted", 1, false).join(&house).await;
    client.leave_with(Reason::DisconnectWithWill, PropertyWriter::new()).await;
    watcher.expect("wanted").await;
}

#[tokio::test]
async fn a_will_has_properties_and_may_be_retained() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    let client = hello(Level::V5, "c")
        .will("will/a", "gone", 1, true)
        .will_with(id::USER_PROPERTY, Value::Pair("k", "v"))
        .will_with(id::CONTENT_TYPE, Value::Str("x/y"))
        .will_with(id::MESSAGE_EXPIRY, Value::U32(50))
        .join(&house)
        .await;
    client.vanish().await;
    let got = watcher.expect("gone").await;
    assert_eq!(got.properties.user().collect::<Vec<_>>(), [("k", "v")]);
    assert_eq!((got.properties.content_type(), got.properties.expiry()), (Some("x/y"), Some(50)));
    assert_eq!(got.properties.get(id::WILL_DELAY), None);
    let mut late = join(&house, Level::V4, "late").await;
    late.subscribe("will/a", 1).await;
    assert!(late.expect("gone").await.retain);
    // A will its client may not publish is not published.
    hello(Level::V5, "c").will("forbidden/a", "x", 1, false).join(&house).await.vanish().await;
    assert_eq!(house.broker.stats().messages_refused, 1);
}

#[tokio::test]
async fn a_delayed_will_waits_and_may_be_forgotten() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    let greeting = || hello(Level::V5, "c").lasting().will("will/a", "late", 1, false).will_with(id::WILL_DELAY, Value::U32(20));
    greeting().join(&house).await.vanish().await;
    watcher.silent().await;
    house.later(19).await;
    watcher.silent().await;
    house.later(2).await;
    watcher.expect("late").await;
    // Back in time: no will.
    greeting().rejoin(&house, true).await.vanish().await;
    house.later(10).await;
    let client = greeting().rejoin(&house, true).await;
    house.later(30).await;
    watcher.silent().await;
    client.leave().await;
    // A clean start ends the session, and with it the delay.
    greeting().rejoin(&house, true).await.vanish().await;
    let _clean = hello(Level::V5, "c").rejoin(&house, false).await;
    watcher.expect("late").await;
}

#[tokio::test]
async fn a_delay_ends_with_the_session() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    let delayed = hello(Level::V5, "c").will("will/a", "x", 1, false).will_with(id::WILL_DELAY, Value::U32(1_000));
    delayed.clone().join(&house).await.vanish().await;
    watcher.expect("x").await;
    delayed.with(id::SESSION_EXPIRY, Value::U32(5)).join(&house).await.vanish().await;
    watcher.silent().await;
    house.later(6).await;
    watcher.expect("x").await;
}

#[tokio::test]
async fn stopping_publishes_wills() {
    let house = house().await;
    let _now = hello(Level::V5, "a").will("will/a", "x", 1, true).join(&house).await;
    let later =
        hello(Level::V5, "b").lasting().will("will/b", "y", 1, true).will_with(id::WILL_DELAY, Value::U32(1_000)).join(&house).await;
    later.vanish().await;
    house.broker.stop(Duration::from_secs(5)).await;
    let kept = house.journal.retained().await.unwrap();
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn a_wills_user_properties_keep_their_order() {
    let house = house().await;
    let mut watcher = watcher(&house).await;
    let pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", "")];
    let mut greeting = hello(Level::V5, "c").will("will/a", "gone", 1, false);
    for (name, value) in pairs {
        greeting = greeting.will_with(id::USER_PROPERTY, Value::Pair(name, value));
    }
    greeting.join(&house).await.vanish().await;
    assert_eq!(watcher.expect("gone").await.properties.user().collect::<Vec<_>>(), pairs);
}
