//! Messages that do not come over MQTT and are heard there; a queue edited while its thing is connected; who is whose session.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::API_KEY;
use testkit::mqtt::{Client, Options, Packet};

use super::{Gateway, SECRET};

fn v5(id: &str) -> Options {
    Options::new(id).level(5)
}

async fn alice(gateway: &Gateway) -> testkit::Http {
    let body = json!({ "email": testkit::fleet::ALICE.email, "password": testkit::fleet::ALICE.password });
    let token = gateway.http().post("/heliograph/v1/token", &body).await.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    gateway.http().bearer(token)
}

async fn collect(gateway: &Gateway, payload: &str) {
    let things = &gateway.running.house.things;
    things.collect(&gateway.acme().await, "dev-2", "http:collect", payload.to_owned().into(), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_on_mqtt_hears_what_a_thing_reports_over_http() {
    let gateway = Gateway::start().await;
    let kept = || Options::new("kept").login("a", API_KEY).keep();
    let mut there = gateway.connect("there", "a", API_KEY).await;
    let mut everything = gateway.connect("everything", "a", API_KEY).await;
    let mut away = Client::connect(&gateway.at(), &kept()).await;
    assert_eq!(there.subscribe("egress/truck-2", 1).await, 1);
    // Overlapping, and still once.
    assert_eq!((everything.subscribe("#", 1).await, everything.subscribe("egress/+", 1).await), (1, 1));
    assert_eq!(away.subscribe("egress/+", 1).await, 1);
    collect(&gateway, "one").await;
    for client in [&mut there, &mut everything, &mut away] {
        assert_eq!(client.receive().await, ("egress/truck-2".to_owned(), "one".into()));
    }
    away.close().await;
    collect(&gateway, "two").await;
    // The same key again: stored and heard once.
    let things = &gateway.running.house.things;
    for _ in 0..2 {
        let caller = gateway.acme().await;
        things.collect(&caller, "dev-2", "http:collect", "keyed".into(), Some("k")).await.unwrap();
    }
    // Another channel is heard below the thing's own topics.
    things.collect(&gateway.acme().await, "dev-2", "http:osmand", "fix".into(), None).await.unwrap();
    for (topic, payload) in [("egress/truck-2", "two"), ("egress/truck-2", "keyed"), ("things/dev-2/osmand", "fix")] {
        assert_eq!(everything.receive().await, (topic.to_owned(), payload.into()));
    }
    assert_eq!((there.receive().await.1, there.receive().await.1), ("two".into(), "keyed".into()));
    for client in [&mut there, &mut everything] {
        client.quiet(Duration::from_millis(300)).await;
    }
    // Who was away hears it when it is back, on the same topic, even after a restart; the history keeps the channel's name.
    let gateway = gateway.again().await;
    let mut away = Client::connect(&gateway.at(), &kept()).await;
    for payload in ["two", "keyed"] {
        assert_eq!(away.receive().await, ("egress/truck-2".to_owned(), payload.into()));
    }
    away.quiet(Duration::from_millis(300)).await;
    let history = alice(&gateway).await.get("/heliograph/v1/things/dev-2/messages?order=asc").await.expect(200).json();
    assert_eq!(history["items"][0]["topic"], "http:collect");
    assert_eq!(history["items"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_do_not_hear_the_tenants_things() {
    let gateway = Gateway::start_with(|config| config.anonymous_tenant = Some("acme".to_owned())).await;
    let mut anonymous = Client::connect(&gateway.at(), &v5("anyone")).await;
    assert_eq!(anonymous.subscribe("#", 1).await, 1);
    assert_eq!(anonymous.subscribe("egress/truck-2", 1).await, 1);
    assert_eq!(anonymous.subscribe("$SYS/tenant/#", 0).await, 0x87);
    let mut kept = Client::connect(&gateway.at(), &v5("kept").keep()).await;
    kept.subscribe("#", 1).await;
    kept.close().await;
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    for topic in ["egress/truck-2", "things/dev-2/state", "pubsub/truck-2", "flashlex/test"] {
        assert_eq!(thing.publish(topic, b"private", 1).await, 0, "{topic}");
    }
    collect(&gateway, "private").await;
    let mut member = gateway.connect("alice", "a", API_KEY).await;
    assert_eq!(member.publish("things/dev-2/inbox", b"private", 1).await, 0);
    assert_eq!(member.publish("home/light", b"public", 1).await, 0);
    assert_eq!(anonymous.receive().await, ("home/light".to_owned(), "public".into()));
    anonymous.quiet(Duration::from_millis(300)).await;
    let mut kept = Client::connect(&gateway.at(), &v5("kept").keep()).await;
    assert_eq!(kept.receive().await.1, "public");
    kept.quiet(Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_another_ones_client_id() {
    let gateway = Gateway::start().await;
    // A back end calls itself as the SDK of the thing will; neither is in the other's way.
    let mut back_end = gateway.connect("truck-2", "a", API_KEY).await;
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    assert_eq!(back_end.subscribe("egress/+", 1).await, 1);
    assert_eq!(thing.publish("egress/truck-2", b"x", 1).await, 0);
    assert_eq!(back_end.receive().await.1, "x");
    // Its own second connection does take over.
    let mut newer = gateway.connect("truck-2", "dev-2", SECRET).await;
    thing.ended(2).await;
    assert_eq!(newer.publish("egress/truck-2", b"y", 1).await, 0);
    assert_eq!(back_end.receive().await.1, "y");
}

/// The next PUBLISH: its payload and packet identifier.
async fn published(client: &mut Client) -> (String, u16) {
    loop {
        if let Packet::Publish { payload, id, .. } = client.reader.expect().await {
            let value: Value = serde_json::from_slice(&payload).unwrap();
            let text = value["message"].as_str().map_or_else(|| value["message"].to_string(), str::to_owned);
            return (text, id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thing_refuses_becomes_a_dead_letter_and_can_be_sent_again() {
    let gateway = Gateway::start().await;
    let alice = alice(&gateway).await;
    let base = "/heliograph/v1/things/dev-2";
    let mut ids = Vec::new();
    for (payload, priority) in [("poison", 4), ("fine", 4), ("urgent", 9)] {
        let sent = alice.post(&format!("{base}/messages"), &json!({ "payload": payload, "priority": priority })).await.expect(201).json();
        ids.push(sent["id"].as_str().unwrap().to_owned());
    }
    let inbox = alice.get(&format!("{base}/inbox")).await.expect(200).json();
    let seen: Vec<_> =
        inbox["items"].as_array().unwrap().iter().map(|m| (m["payload"].as_str().unwrap(), m["priority"].as_u64().unwrap())).collect();
    assert_eq!(seen, [("urgent", 9), ("poison", 4), ("fine", 4)]);
    let mut thing = Client::connect(&gateway.at(), &v5("truck-2").login("dev-2", SECRET)).await;
    assert_eq!(thing.subscribe("ingress/truck-2", 1).await, 1);
    for expected in ["urgent", "poison", "fine"] {
        let (text, id) = published(&mut thing).await;
        assert_eq!(text, expected);
        let [high, low] = id.to_be_bytes();
        let answer: &[u8] = if expected == "poison" { &[0x40, 3, high, low, 0x99] } else { &[0x40, 2, high, low] };
        thing.writer.raw(answer).await.unwrap();
    }
    let letters = async || alice.get(&format!("{base}/dead-letters")).await.expect(200).json();
    testkit::eventually("a dead letter", 5, async || letters().await["items"].as_array().unwrap().len() == 1).await;
    let letter = letters().await["items"][0].clone();
    assert_eq!((&letter["id"], &letter["status"], &letter["payload"]), (&json!(ids[0]), &json!("dead"), &json!("poison")));
    assert!(letter["reason"].as_str().unwrap().contains("0x99") && letter["dead_since"].is_string(), "{letter}");
    // It does not come again by itself.
    drop(thing);
    let mut thing = Client::connect(&gateway.at(), &v5("truck-2").login("dev-2", SECRET)).await;
    thing.subscribe("ingress/truck-2", 1).await;
    thing.quiet(Duration::from_millis(300)).await;
    // Sent again it reaches the connected thing, and is no dead letter any more.
    let copy = alice.post(&format!("{base}/messages/{}/redeliver", ids[0]), &json!({})).await.expect(201).json();
    assert_eq!((&copy["status"], &copy["priority"]), (&json!("queued"), &json!(4)));
    let (text, id) = published(&mut thing).await;
    assert_eq!(text, "poison");
    let [high, low] = id.to_be_bytes();
    thing.writer.raw(&[0x40, 2, high, low]).await.unwrap();
    let status =
        async || alice.get(&format!("{base}/messages/{}", copy["id"].as_str().unwrap())).await.expect(200).json()["status"].clone();
    testkit::eventually("delivered", 5, async || status().await == "delivered").await;
    assert_eq!(letters().await["items"], json!([]));
    // A back end over MQTT names a priority, too; a wrong one is refused.
    let mut member = Client::connect(&gateway.at(), &v5("alice").login("a", API_KEY)).await;
    for (priority, reason) in [("9", 0), ("10", 0x83), ("high", 0x83)] {
        let property = [&[38, 0, 8][..], b"priority", &u16::try_from(priority.len()).unwrap().to_be_bytes(), priority.as_bytes()].concat();
        let body = [&[0, 18][..], b"things/dev-2/inbox", &[0, 7, u8::try_from(property.len()).unwrap()], &property, b"x"].concat();
        member.writer.raw(&[&[0x32, u8::try_from(body.len()).unwrap()][..], &body].concat()).await.unwrap();
        assert_eq!(member.reader.expect().await, Packet::Puback(7, reason), "{priority}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn durability_is_the_tenants_then_the_listeners_then_the_gateways() {
    use journal::Durability::{Flush, Memory, Sync};
    let gateway = Gateway::start_with(|config| {
        config.journal.durability = Sync;
        config.mqtt_durability = Some(Flush);
    })
    .await;
    let (journal, things) = (gateway.running.house.journal.clone(), gateway.running.house.things.clone());
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    let syncs = journal.stats().syncs;
    assert_eq!(thing.publish("egress/truck-2", b"by the listener", 1).await, 0);
    assert_eq!(journal.stats().syncs, syncs, "the listener asks for less");
    collect(&gateway, "by the gateway").await;
    assert!(journal.stats().syncs > syncs, "HTTP has the gateway's own");
    let operator = gateway.acme().await;
    things.set_durability(&operator, operator.tenant, Some(Sync)).await.unwrap();
    let syncs = journal.stats().syncs;
    assert_eq!(thing.publish("egress/truck-2", b"by the tenant", 1).await, 0);
    assert!(journal.stats().syncs > syncs, "the tenant asks for more, on connections that are open");
    let told = alice(&gateway).await.get(&format!("/heliograph/v1/tenants/{}/durability", operator.tenant)).await.expect(200).json();
    assert_eq!(told, json!({ "level": "sync", "effective": "sync" }));
    things.set_durability(&operator, operator.tenant, Some(Memory)).await.unwrap();
    assert_eq!(thing.publish("egress/truck-2", b"at once", 1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_the_tenants_and_the_operators() {
    let gateway = Gateway::start().await;
    let mut alice = Client::connect(&gateway.at(), &v5("alice").login("a", API_KEY)).await;
    assert_eq!(alice.subscribe("$SYS/tenant/clients/connected", 1).await, 0);
    assert_eq!(alice.receive().await, ("$SYS/tenant/clients/connected".to_owned(), "1".into()));
    assert_eq!(alice.subscribe("$SYS/gateway/#", 0).await, 0x87);
    assert_eq!(alice.subscribe("$SYS/#", 0).await, 0x87);
    let mut thing = Client::connect(&gateway.at(), &v5("truck-2").login("dev-2", SECRET)).await;
    assert_eq!(thing.subscribe("$SYS/tenant/#", 0).await, 0x87);
    let token = std::fs::read_to_string(gateway.dir.path().join("data/operator.token")).unwrap();
    assert_eq!(alice.publish("$SYS/tenant/x", b"1", 1).await, 0x87);
    assert!(!token.is_empty());
}
