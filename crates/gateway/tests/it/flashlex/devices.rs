//! Devices on MQTT: their own topics and no others, messages that waited, and what becomes of what they publish.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::ALICE;
use testkit::mqtt::{Client, Options};
use testkit::{Auth, Gateway, Http, eventually};

use super::{THING, provision, raw, thing_token};

const INGRESS: &str = "ingress/ecd13b11-mything";
const EGRESS: &str = "egress/ecd13b11-mything";
const PUBSUB: &str = "pubsub/ecd13b11-mything";

/// The thing connects as the SDK does, but for the certificate: plain MQTT takes the token it signs for collects.
async fn connect(gateway: &Gateway, thing: &Value, level: u8) -> Client {
    let options = Options::new("ecd13b11-mything").login(THING, &thing_token(gateway, thing)).level(level);
    Client::connect(gateway.mqtt(), &options).await
}

async fn publish(http: &Http, body: &[u8]) -> Value {
    raw(http, "POST", &format!("/prd/v1/things/{THING}/publish"), body).await.expect(200).json()["result"]["flmessagespk"].clone()
}

async fn stored(http: &Http, query: &str) -> Vec<Value> {
    let answer = http.get(&format!("/prd/v1/things/{THING}/messages{query}")).await.expect(200).json();
    answer["result"].as_array().unwrap().iter().map(|message| message["payload"].clone()).collect()
}

async fn received(device: &mut Client) -> (String, Value) {
    let (topic, payload) = device.receive().await;
    (topic, serde_json::from_slice(&payload).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_a_device_and_arrive_in_order() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let bodies: [(&[u8], Value); 4] = [
        (br#"{"body": "Clouds & Rain|82", "elapsed": 20}"#, json!({ "body": "Clouds & Rain|82", "elapsed": 20 })),
        (b"FOO|BAR|This is a message.", json!("FOO|BAR|This is a message.")),
        (b"{\"broken\": ", json!("{\"broken\": ")),
        (b"[1, 2.50]", json!([1, 2.5])),
    ];
    let mut ids = Vec::new();
    for (body, _) in &bodies {
        ids.push(publish(&alice, body).await);
    }
    let mut device = connect(&gateway, &thing, 4).await;
    assert_eq!(device.subscribe(INGRESS, 1).await, 1);
    for ((_, message), id) in bodies.iter().zip(&ids) {
        assert_eq!(received(&mut device).await, (INGRESS.to_owned(), json!({ "message": message, "flmessagespk": id })));
    }
    let id = publish(&alice, b"live").await;
    assert_eq!(received(&mut device).await.1, json!({ "message": "live", "flmessagespk": id }));
    device.close().await;
    // What was acknowledged does not come again.
    let mut device = connect(&gateway, &thing, 4).await;
    assert_eq!(device.subscribe(INGRESS, 1).await, 1);
    device.quiet(Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_may_use_mqtt_too() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let mut device = connect(&gateway, &thing, 4).await;
    assert_eq!(device.subscribe(INGRESS, 1).await, 1);
    let Auth::Bearer(token) = alice.auth().clone() else { panic!("{alice:?}") };
    let mut back_end = Client::connect(gateway.mqtt(), &Options::new("back-end").login("", &token)).await;
    assert_eq!(back_end.publish(INGRESS, br#"{"a":1}"#, 1).await, 0);
    let (topic, message) = received(&mut device).await;
    assert_eq!((topic.as_str(), &message["message"]), (INGRESS, &json!({ "a": 1 })));
    assert_eq!(stored(&alice, "?messagetype=ingress").await, [json!({ "a": 1 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_is_stored_or_loops_back() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let mut device = connect(&gateway, &thing, 4).await;
    assert_eq!(device.publish(EGRESS, br#"{"n":1}"#, 1).await, 0);
    assert_eq!(device.publish("flashlex/collect", br#"{"n":2}"#, 1).await, 0);
    assert_eq!(device.publish("flashlex/collect", b"no JSON", 1).await, 0);
    assert_eq!(device.publish("flashlex/collect", b"\xff\x00", 1).await, 0);
    assert_eq!(stored(&alice, "?messagetype=egress").await, [json!({ "n": 1 }), json!({ "n": 2 }), json!("no JSON"), json!("/wA=")]);
    // The thread of the SDK that talks to itself.
    assert_eq!(device.subscribe(PUBSUB, 1).await, 1);
    let id = device.writer.publish(PUBSUB, br#"{"message":"m","sequence":0}"#, 1, false).await.unwrap();
    assert_ne!(id, 0);
    let (topic, payload) = device.receive().await;
    assert_eq!((topic.as_str(), &payload[..]), (PUBSUB, &br#"{"message":"m","sequence":0}"#[..]), "to the letter");
    // Its own publications on its inbox topic do too, beside what waits there.
    let _ = publish(&alice, b"from outside").await;
    assert_eq!(device.subscribe(INGRESS, 1).await, 1);
    assert_eq!(received(&mut device).await.1["message"], "from outside");
    device.writer.publish(INGRESS, br#"{"own":1}"#, 1, false).await.unwrap();
    assert_eq!(received(&mut device).await, (INGRESS.to_owned(), json!({ "own": 1 })));
    assert_eq!(stored(&alice, "").await.len(), 5, "what loops back is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_message_verifies_a_thing() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let status = async || alice.get(&format!("/prd/v1/things/{THING}")).await.expect(200).json()["result"]["testStatus"].clone();
    let mut device = connect(&gateway, &thing, 4).await;
    assert_eq!(device.publish(EGRESS, b"{}", 1).await, 0);
    assert_eq!(status().await, "CREATED");
    let test = json!({ "thingId": THING, "thingName": "ecd13b11-mything", "message": "This is a really basic message.", "sequence": 0 });
    assert_eq!(device.publish("flashlex/test", test.to_string().as_bytes(), 1).await, 0);
    eventually("the thing is verified", 5, async || status().await == "VERIFIED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_topics_are_none_of_a_devices_business() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let _ = alice.post("/prd/v1/things", &json!({ "thingName": "other" })).await.expect(200);
    let mut device = connect(&gateway, &thing, 5).await;
    for filter in [
        "#",
        "+/ecd13b11-mything",
        "ingress/#",
        "ingress/+",
        "ingress/ecd13b11-other",
        "egress/ecd13b11-other",
        "flashlex/collect",
        "$SYS/#",
    ] {
        assert!(device.subscribe(filter, 1).await >= 0x80, "{filter}");
    }
    for topic in ["ingress/ecd13b11-other", "egress/ecd13b11-other", "pubsub/ecd13b11-other", "flashlex/else", "anything"] {
        assert!(device.publish(topic, b"{}", 1).await >= 0x80, "{topic}");
    }
    assert_eq!(stored(&alice, "").await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deprovisioned_device_is_shut_out() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let mut device = connect(&gateway, &thing, 5).await;
    assert_eq!(device.subscribe(INGRESS, 1).await, 1);
    let _ = alice.delete(&format!("/prd/v1/things/{THING}")).await.expect(200);
    let _ = device.ended(5).await;
    let options = Options::new("ecd13b11-mything").login(THING, &thing_token(&gateway, &thing)).level(5);
    assert!(Client::try_connect(gateway.mqtt(), &options).await.unwrap().is_err());
}
