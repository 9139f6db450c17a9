//! Eclipse Paho 2.1 for Python, MQTT 3.1.1 and 5, over TCP, WebSocket, and TLS with a client certificate.

use serde_json::json;
use testkit::clients::script;
use testkit::fleet::{ALICE, thing_with_secret};

use crate::Place;
use crate::clients::mosquitto::Keys;

async fn story(level: &str, transport: &str) {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let secret = "a secret of the thing";
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let mut arguments: Vec<String> =
        ["--level", level, "--topic", "things/paho/t", "--forbidden", "things/other/t"].map(str::to_owned).to_vec();
    if transport == "tls" {
        let keys = Keys::make(&place, &alice, "paho").await;
        arguments.extend([
            "--port".to_owned(),
            port(gateway.ready("mqtts")),
            "--ca".to_owned(),
            keys.ca,
            "--cert".to_owned(),
            keys.certificate,
        ]);
        arguments.extend(["--key".to_owned(), keys.key]);
    } else {
        let id = thing_with_secret(&alice, "paho", secret).await;
        arguments.extend(["--username", &id, "--password", secret].map(str::to_owned));
        if transport == "websocket" {
            arguments.extend(["--port".to_owned(), port(gateway.ready("http")), "--websocket".to_owned(), "/mqtt".to_owned()]);
        } else {
            arguments.extend(["--port".to_owned(), port(gateway.mqtt())]);
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(outcome) = script("paho_story.py", &arguments, 150).await else { return };
    let outcome = outcome.ok();
    eprintln!("{}", outcome.out);
    let steps = outcome.out.lines().filter(|line| line.ends_with(": ok")).count();
    assert!(steps >= if level == "5" { 13 } else { 9 }, "{}", outcome.out);
    // The persistent session of the story is not left behind, and history has what was published.
    let history = alice.get("/heliograph/v1/things/paho/messages?limit=1").await.expect(200).json();
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
    assert_ne!(history["items"][0]["payload"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_over_tcp() {
    story("3", "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_5_over_tcp() {
    story("5", "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_over_websocket() {
    story("3", "websocket").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_5_over_tls_with_a_certificate() {
    story("5", "tls").await;
}
