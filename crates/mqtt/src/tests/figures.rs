//! `$SYS`, and subscriptions that do not hear everything.

use std::time::Duration;

use super::client::*;
use super::*;
use crate::Reason;
use crate::codec::*;

/// The next figures, by topic, until there are so many.
async fn heard(client: &mut Client, many: usize) -> std::collections::BTreeMap<String, u64> {
    let mut found = std::collections::BTreeMap::new();
    while found.len() < many {
        let got = client.message().await;
        assert_eq!(got.qos, 0);
        found.insert(got.topic.to_owned(), String::from_utf8_lossy(got.payload).parse().unwrap());
    }
    found
}

#[tokio::test]
async fn figures_of_a_tenant_are_its_own() {
    let house = house_with(Limits { figures_every: Duration::from_millis(500), ..Limits::default() }).await;
    for level in BOTH {
        let mut ours = join(&house, level, "a").await;
        let mut theirs = hello(level, "a").user("tenant:other").join(&house).await;
        theirs.subscribe("x", 0).await;
        theirs.retain("kept", "1", 1).await;
        assert_eq!(ours.subscribe("$SYS/tenant/#", 2).await, Reason::GrantedQos2);
        let figures = heard(&mut ours, 10).await;
        let of = |name: &str| figures[&format!("$SYS/tenant/{name}")];
        assert_eq!((of("clients/connected"), of("clients/total"), of("subscriptions/count"), of("retained/count")), (1, 1, 1, 0));
        assert_eq!((of("messages/received"), of("messages/refused"), of("messages/dropped")), (0, 0, 0));
        assert!(of("bytes/received") > 0);
        // Again after a while, not as retained messages.
        loop {
            let got = ours.message().await;
            if got.topic == "$SYS/tenant/messages/sent" && !got.retain {
                assert!(String::from_utf8_lossy(got.payload).parse::<u64>().unwrap() >= 10);
                break;
            }
        }
        ours.leave_quietly().await;
        theirs.leave_quietly().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        join(&house, level, "a").await.leave().await;
        hello(level, "a").user("tenant:other").join(&house).await.leave().await;
    }
    assert_eq!(house.journal.stats().records, 2, "figures are never stored");
}

#[tokio::test]
async fn figures_of_the_gateway_are_the_operators() {
    let house = house_with(Limits { figures_every: Duration::ZERO, ..Limits::default() }).await;
    let mut member = join(&house, Level::V5, "member").await;
    for filter in ["$SYS/gateway/#", "$SYS/#", "$SYS/+/clients/connected", "$SYS/gateway/clients/connected"] {
        assert_eq!(member.subscribe(filter, 0).await, Reason::NotAuthorized, "{filter}");
    }
    member.subscribe("#", 0).await;
    let _other = hello(Level::V5, "a").user("tenant:other").join(&house).await;
    let mut root = hello(Level::V5, "root").user("as:root").join(&house).await;
    root.subscribe("$SYS/+/clients/connected", 0).await;
    let figures = heard(&mut root, 2).await;
    assert_eq!(figures["$SYS/gateway/clients/connected"], 3);
    assert_eq!(figures["$SYS/tenant/clients/connected"], 2);
    member.silent().await;
    // Nobody makes them up.
    for topic in ["$SYS/tenant/clients/connected", "$SYS/gateway/x"] {
        assert_eq!(root.publish(topic, "0", 1).await, Reason::NotAuthorized);
    }
    assert_eq!(hello(Level::V5, "w").will("$SYS/tenant/x", "0", 1, true).try_join(&house).await.1.code, 0x87);
    assert_eq!(house.broker.stats().retained, 0);
}

#[tokio::test]
async fn a_screened_subscription_hears_only_what_it_may() {
    let mut house = house().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.retain("private/r", "no", 1).await;
    publisher.retain("public/r", "yes", 1).await;
    let greeting = || hello(Level::V5, "s").user("as:screened").lasting();
    let mut client = greeting().join(&house).await;
    client.subscribe("#", 1).await;
    client.expect("yes").await;
    let mut open = hello(Level::V5, "o").lasting().join(&house).await;
    open.subscribe("private/#", 1).await;
    open.expect("no").await;
    for (topic, qos) in [("private/a", 0), ("private/a", 1), ("public/a", 1)] {
        publisher.publish(topic, topic, qos).await;
    }
    client.expect("public/a").await;
    client.silent().await;
    client.leave().await;
    publisher.publish("private/a", "no", 1).await;
    // Screened while it is away, before and after a restart.
    house = house.restart().await;
    let mut publisher = join(&house, Level::V5, "p").await;
    publisher.publish("private/a", "no", 1).await;
    publisher.publish("public/a", "late", 1).await;
    let mut client = greeting().rejoin(&house, true).await;
    client.expect("late").await;
    client.silent().await;
}

impl Client {
    /// Goes away without reading what is still to come.
    async fn leave_quietly(mut self) {
        self.send(Packet::Disconnect(Closing { reason: Reason::Success, properties: Properties::NONE })).await;
        while self.next().await.is_some() {}
    }
}
