//! Commands on their way to a device that is there, and to one that is not.

use std::time::Duration;

use serde_json::json;
use testkit::fleet::ALICE;
use testkit::mqtt::{Client, Options};

use super::{SECRET, alice, carol, error, rita, start, with_secret};

const PATH: &str = "/api/devices/dev-1/sendCommand";

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_there_takes_it() {
    let gateway = start().await;
    with_secret(&gateway).await;
    let alice = alice(&gateway).await;
    let login = Options::new("tracker").login("dev-1", SECRET).level(5);
    let mut tracker = Client::connect(gateway.mqtt(), &login).await;
    assert_eq!(tracker.subscribe("commands/dev-1", 1).await, 1);
    for foreign in ["commands/dev-9", "commands/#", "positions/dev-9"] {
        assert_eq!(tracker.subscribe(foreign, 1).await, 0x87, "{foreign}");
    }
    for (command, format, arrives) in [
        ("engine_stop", None, &b"engine_stop"[..]),
        ("0A 1B-2c", Some("Hex"), b"\x0a\x1b\x2c"),
        ("/wA=", Some("Base64"), b"\xff\x00"),
        ("#RESET#", Some("Text"), b"#RESET#"),
    ] {
        let body = json!({ "command": command, "format": format, "sms": false });
        let (answer, (topic, payload)) = tokio::join!(alice.post(PATH, &body), tracker.receive());
        let answer = answer.expect(200).json();
        assert_eq!((&answer["success"], &answer["result"]), (&json!(true), &json!("Command executed successfully")));
        assert_eq!((topic.as_str(), &payload[..]), ("commands/dev-1", arrives));
    }
    // A back end on MQTT may do the same.
    let key = testkit::fleet::API_KEY;
    let mut back_end = Client::connect(gateway.mqtt(), &Options::new("b").login(ALICE.email, key).level(5)).await;
    assert_eq!(back_end.publish("commands/dev-1", b"by mqtt", 1).await, 0);
    assert_eq!(tracker.receive().await.1, &b"by mqtt"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_away_gets_it_later() {
    let gateway = start().await;
    with_secret(&gateway).await;
    let alice = alice(&gateway).await;
    let began = std::time::Instant::now();
    let answer = alice.post(PATH, &json!({ "command": "engine_stop", "timeout": 1 })).await.expect(408);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(error(&answer).contains("stays queued"), "{answer}");
    assert_eq!(answer.json()["apiUsage"], 1);
    let login = Options::new("tracker").login("dev-1", SECRET);
    let mut tracker = Client::connect(gateway.mqtt(), &login).await;
    assert_eq!(tracker.subscribe("commands/dev-1", 1).await, 1);
    assert_eq!(tracker.receive().await.1, &b"engine_stop"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sent() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    for (body, says) in [
        (json!({}), "command: is required"),
        (json!({ "command": "" }), "command: is required"),
        (json!({ "command": "x", "sms": true }), "no SMS"),
        (json!({ "command": "x", "format": "Morse" }), "Text, Hex or Base64"),
        (json!({ "command": "0A1", "format": "Hex" }), "hexadecimal"),
        (json!({ "command": "é", "format": "Hex" }), "hexadecimal"),
        (json!({ "command": "??", "format": "Base64" }), "Base64"),
        (json!({ "command": "x", "timeout": 61 }), "timeout"),
        (json!({ "command": "x", "timeout": -1 }), "body"),
        (json!({ "command": 7 }), "body"),
    ] {
        let answer = alice.post(PATH, &body).await.expect(400);
        assert!(error(&answer).contains(says), "{body}: {answer}");
    }
    let big = json!({ "command": "x".repeat(200 << 10) });
    let _ = alice.post(PATH, &big).await.expect(413);
    let command = json!({ "command": "x", "timeout": 0 });
    assert!(error(&rita(&gateway).await.post(PATH, &command).await.expect(403)).contains("message:write"));
    let _ = carol(&gateway).await.post(PATH, &command).await.expect(404);
    let native = ALICE.native(&gateway.http()).await;
    let inbox = native.get("/heliograph/v1/things/dev-1/inbox").await.expect(200).json();
    assert_eq!(inbox["items"], json!([]), "nothing was sent");
}
