//! Messages: sending, history, inbox, and devices at the other end.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::fleet::{ALICE, thing_with_secret};
use testkit::mqtt::{Client, Options};
use testkit::{Auth, Exchange, Gateway, Http};

use super::v1;

async fn send_with(http: &Http, thing: &str, key: &str, body: &Value) -> Exchange {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    http.send(Method::POST, &v1(&format!("/things/{thing}/messages")), &headers, Some(body.to_string().into())).await
}

fn payloads(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|m| m["payload"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_in_its_forms() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let send = async |body: Value| alice.post(&v1("/things/dev-1/messages"), &body).await.expect(201);

    let text = send(json!({ "payload": "hello" })).await;
    let path = text.header("location").unwrap().to_owned();
    let text = text.json();
    assert_eq!((&text["payload"], &text["status"], &text["direction"]), (&json!("hello"), &json!("queued"), &json!("outbound")));
    assert!(text.get("json").is_none() && text.get("payload_base64").is_none());
    assert_eq!(text["expires"], "2027-03-01T12:00:00Z", "as long as the plan keeps messages");
    assert_eq!(alice.get(&path).await.expect(200).json(), text);

    let bytes = send(json!({ "payload_base64": "/wA=" })).await.json();
    assert_eq!((&bytes["payload_base64"], bytes.get("payload")), (&json!("/wA="), None));
    let value = send(json!({ "json": { "led": "on" }, "expires_in": 60 })).await.json();
    assert_eq!((&value["payload"], &value["json"]), (&json!("{\"led\":\"on\"}"), &json!({ "led": "on" })));
    assert_eq!(value["expires"], "2026-03-01T12:01:00Z");

    for bad in
        [json!({}), json!({ "payload": "a", "json": 1 }), json!({ "payload_base64": "%" }), json!({ "payload": "a", "expires_in": 0 })]
    {
        assert_eq!(alice.post(&v1("/things/dev-1/messages"), &bad).await.expect(400).json()["type"], "/docs/problems#invalid");
    }
    let large = json!({ "payload": "x".repeat(200 * 1024) });
    let _ = alice.post(&v1("/things/dev-1/messages"), &large).await.expect(413);
    let _ = alice.get(&v1("/things/dev-1/messages/not-an-id")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_sends_once() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let body = json!({ "payload": "once" });
    let first = send_with(&alice, "dev-1", "order-17", &body).await.expect(201);
    let again = send_with(&alice, "dev-1", "order-17", &body).await.expect(201);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    let other = send_with(&alice, "dev-1", "order-17", &json!({ "payload": "twice" })).await.expect(409);
    assert_eq!(other.json()["type"], "/docs/problems#conflict");
    let _ = send_with(&alice, "dev-1", &"k".repeat(300), &body).await.expect(400);
    let inbox = alice.get(&v1("/things/dev-1/inbox")).await.expect(200).json();
    assert_eq!(payloads(&inbox), ["once"]);
    // A day later the key is free again.
    gateway.advance(Duration::from_secs(25 * 3600));
    let alice = ALICE.native(&gateway.http()).await;
    let later = send_with(&alice, "dev-1", "order-17", &body).await.expect(201);
    assert_ne!(first.json()["id"], later.json()["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_by_time_order_and_page() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let sent = alice.post(&v1("/things/dev-1/messages"), &json!({ "payload": n.to_string() })).await.expect(201).json();
        ids.push(sent["id"].as_str().unwrap().to_owned());
        gateway.advance(Duration::from_secs(60));
    }
    let list = async |query: &str| payloads(&alice.get(&v1(&format!("/things/dev-1/messages?{query}"))).await.expect(200).json());
    assert_eq!(list("").await, ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(list("order=asc&limit=2").await, ["0", "1"]);
    // 12:02 to 12:04, both ends included, in both forms of time.
    let wanted = ["2", "3", "4"];
    assert_eq!(list("order=asc&from=2026-03-01T12:02:00Z&to=2026-03-01T12:04:00Z").await, wanted);
    assert_eq!(list("order=asc&from=1772366520&to=1772366640").await, wanted);
    assert_eq!(list("order=asc&from=2026-03-01T14:02:00%2B02:00&to=2026-03-01T14:04:00+02:00").await, wanted);
    assert_eq!(list("direction=inbound").await, Vec::<String>::new());
    for bad in ["from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "from=yesterday", "from=-1", "order=up", "direction=egress"] {
        let _ = alice.get(&v1(&format!("/things/dev-1/messages?{bad}"))).await.expect(400);
    }
    // Page by page, in both directions, nothing twice and nothing left out.
    for order in ["asc", "desc"] {
        let mut seen = Vec::new();
        let mut query = format!("order={order}&limit=3");
        loop {
            let page = alice.get(&v1(&format!("/things/dev-1/messages?{query}"))).await.expect(200).json();
            seen.extend(page["items"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()));
            match page.get("next").and_then(Value::as_str) {
                Some(next) => query = format!("order={order}&limit=3&cursor={next}"),
                None => break,
            }
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(seen, ids);
    }
    // Delete a range.
    let gone = alice.delete(&v1("/things/dev-1/messages?from=2026-03-01T12:02:00Z&to=2026-03-01T12:04:00Z")).await.expect(200).json();
    assert_eq!(gone, json!({ "deleted": 3 }));
    assert_eq!(list("order=asc").await, ["0", "1", "5", "6", "7", "8", "9"]);
    let _ = alice.get(&v1(&format!("/things/dev-1/messages/{}", ids[3]))).await.expect(404);
    assert_eq!(alice.get(&v1("/things/dev-1/inbox")).await.expect(200).json()["items"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_the_own_topics() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let _ = thing_with_secret(&alice, "lamp", "a secret of the lamp").await;
    let _ = alice.patch(&v1("/things/lamp"), &json!({ "name": "lamp-in-the-hall" })).await.expect(200);
    // Away: messages wait, in order; one is taken out, one runs out of time.
    let mut ids = Vec::new();
    for (payload, expires) in [("1", Value::Null), ("2", Value::Null), ("3", json!(30)), ("4", Value::Null)] {
        let body = json!({ "payload": payload, "expires_in": expires });
        ids.push(alice.post(&v1("/things/lamp/messages"), &body).await.expect(201).json()["id"].as_str().unwrap().to_owned());
    }
    let inbox = alice.get(&v1("/things/lamp/inbox?limit=2")).await.expect(200).json();
    assert_eq!(payloads(&inbox), ["1", "2"]);
    let rest = alice.get(&v1(&format!("/things/lamp/inbox?limit=2&cursor={}", inbox["next"].as_str().unwrap()))).await.expect(200).json();
    assert_eq!((payloads(&rest), rest.get("next")), (vec!["3".to_owned(), "4".to_owned()], None));
    let _ = alice.delete(&v1(&format!("/things/lamp/inbox/{}", ids[1]))).await.expect(204);
    let _ = alice.delete(&v1(&format!("/things/lamp/inbox/{}", ids[1]))).await.expect(404);
    gateway.advance(Duration::from_secs(60));

    let login = Options::new("lamp").login("lamp", "a secret of the lamp").level(5);
    let mut device = Client::connect(gateway.mqtt(), &login).await;
    assert_eq!(device.subscribe("things/lamp/inbox", 1).await, 1);
    for wanted in ["1", "4"] {
        assert_eq!(device.receive().await, ("things/lamp/inbox".to_owned(), wanted.as_bytes().to_vec().into()));
    }
    device.quiet(Duration::from_millis(200)).await;
    let status = async |id: &str| alice.get(&v1(&format!("/things/lamp/messages/{id}"))).await.expect(200).json()["status"].clone();
    testkit::eventually("the messages are delivered", 5, async || {
        status(&ids[0]).await == "delivered" && status(&ids[3]).await == "delivered"
    })
    .await;
    assert_eq!(status(&ids[2]).await, "expired");

    // What it says is history.
    assert_eq!(device.publish("things/lamp/state", b"{\"on\":true}", 1).await, 0);
    assert_eq!(device.publish("things/lamp/raw", b"\xff\x00", 1).await, 0);
    let said = alice.get(&v1("/things/lamp/messages?direction=inbound&order=asc")).await.expect(200).json();
    let first = &said["items"][0];
    assert_eq!(
        (&first["topic"], &first["json"], &first["status"]),
        (&json!("things/lamp/state"), &json!({ "on": true }), &json!("stored"))
    );
    assert_eq!(said["items"][1]["payload_base64"], "/wA=");

    // It keeps to its own place, also in its inbox.
    for topic in ["things/dev-1/state", "things/lamp/inbox", "things/lamp"] {
        assert_eq!(device.publish(topic, b"x", 1).await, 0x87, "{topic}");
    }
    for filter in ["#", "things/#", "things/dev-1/#"] {
        assert_eq!(device.subscribe(filter, 1).await, 0x87, "{filter}");
    }

    // A back end sends by publishing to the inbox, named by the thing's key.
    let Auth::Bearer(token) = alice.auth() else { panic!("a token") };
    let mut back_end = Client::connect(gateway.mqtt(), &Options::new("b").login("token", token).level(5)).await;
    assert_eq!(back_end.publish("things/lamp/inbox", b"by mqtt", 1).await, 0);
    assert_eq!(device.receive().await.1, &b"by mqtt"[..]);
    assert_eq!(back_end.publish("things/nobody/inbox", b"x", 1).await, 0x87);
}
