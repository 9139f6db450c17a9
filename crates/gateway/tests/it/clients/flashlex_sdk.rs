//! The device SDK of FlashLex (flashlexiot 0.9.16), on a distribution that the gateway made.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;
use testkit::clients::{Talking, run, script};
use testkit::fleet::ALICE;
use testkit::{Child, Http, eventually};

use crate::{HELIOGRAPH, Place};

struct Device {
    folder: PathBuf,
    path: String,
    name: String,
}

impl Device {
    /// Provisions a thing, downloads its distribution and unpacks it with `unzip`, as the documentation tells.
    async fn make(place: &Place, alice: &Http) -> Self {
        let made =
            alice.post("/prd/v1/things", &json!({ "flthingspk": "349c5942-77d6-4f36-880b-1762a3b07f06", "thingName": "mything" })).await;
        let thing = made.expect(200).json();
        let name = thing["result"]["thingName"].as_str().unwrap().to_owned();
        assert_eq!(name, "ecd13b11-mything");
        let path = format!("/prd/v1/things/{}", thing["result"]["flthingspk"].as_str().unwrap());
        let dist = alice.get(&format!("{path}/dist")).await.expect(200);
        let zip = base64::engine::general_purpose::STANDARD.decode(dist.text().trim()).unwrap();
        let folder = place.folder.path().join("device");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("dist.zip"), zip).unwrap();
        let _ = run("unzip", ["-q", &text(&folder.join("dist.zip")), "-d", &text(&folder)], 20).await.ok();
        Self { folder, path, name }
    }

    fn dir(&self) -> String {
        text(&self.folder)
    }

    async fn publish(&self, alice: &Http, text: &str) {
        let _ = alice.post(&format!("{}/publish", self.path), &json!({ "body": text })).await.expect(200);
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_collects_subscribes_and_survives_a_restart() {
    let place = Place::new();
    let gateway = place.start();
    let http = gateway.http();
    let alice = ALICE.flashlex(&http).await;
    let device = Device::make(&place, &alice).await;

    // Collect: the device signs with its own key.
    let Some(collected) = script("flashlex_device.py", &["collect", "--dir", &device.dir(), "--message", r#"{"foo":"bar"}"#], 60).await
    else {
        return;
    };
    assert!(collected.out.contains(r#"{"status": 200}"#), "{collected:?}");
    let stored = alice.get(&format!("{}/messages?messagetype=egress", device.path)).await.expect(200).json();
    assert_eq!(stored["result"][0]["payload"], json!({ "foo": "bar" }));

    // Three messages while it is connected.
    let mut running =
        Talking::script("flashlex_device.py", &["subscribe", "--dir", &device.dir(), "--expect", "6", "--seconds", "150"]).unwrap();
    let subscribed = running.event("subscribed", 60).await;
    assert_eq!(subscribed["topic"], format!("ingress/{}", device.name));
    for text in ["one", "two", "three"] {
        device.publish(&alice, text).await;
    }
    while running.event("stored", 30).await["count"] != 3 {}

    // The gateway goes down in good order and comes back on the same ports; meanwhile nobody is there.
    let addresses = ["http", "mqtt", "mqtts"].map(|name| gateway.ready(name).to_owned());
    let arguments = ["--http", &addresses[0], "--mqtt", &addresses[1], "--mqtts", &addresses[2]];
    assert_eq!(gateway.stop(), Some(0));
    running.event("offline", 30).await;
    let gateway = Child::start_on(HELIOGRAPH, &place.data(), &arguments);
    let alice = ALICE.flashlex(&gateway.http()).await;
    device.publish(&alice, "four").await;
    running.event("online", 60).await;
    for text in ["five", "six"] {
        device.publish(&alice, text).await;
    }
    let end = running.event("end", 60).await;
    let bodies: Vec<&str> = end["messages"].as_array().unwrap().iter().map(|m| m["payload"]["message"]["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["one", "two", "three", "four", "five", "six"]);
    for message in end["messages"].as_array().unwrap() {
        assert_eq!((&message["topic"], &message["retain"]), (&json!(format!("ingress/{}", device.name)), &json!(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_gets_what_was_published_meanwhile() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.flashlex(&gateway.http()).await;
    let device = Device::make(&place, &alice).await;
    for text in ["one", "two"] {
        device.publish(&alice, text).await;
    }
    // And the gateway itself dies before the device comes.
    let addresses = ["http", "mqtt", "mqtts"].map(|name| gateway.ready(name).to_owned());
    gateway.kill();
    let gateway = Child::start_on(HELIOGRAPH, &place.data(), &["--http", &addresses[0], "--mqtt", &addresses[1], "--mqtts", &addresses[2]]);
    let Some(mut running) = Talking::script("flashlex_device.py", &["subscribe", "--dir", &device.dir(), "--expect", "2"]) else { return };
    let end = running.event("end", 60).await;
    let bodies: Vec<&str> = end["messages"].as_array().unwrap().iter().map(|m| m["payload"]["message"]["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["one", "two"]);
    assert_eq!(gateway.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_verifies_the_thing() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.flashlex(&gateway.http()).await;
    let device = Device::make(&place, &alice).await;
    let status = async || alice.get(&device.path).await.expect(200).json()["result"]["testStatus"].as_str().unwrap().to_owned();
    assert_eq!(status().await, "CREATED");
    let Some(outcome) = script("flashlex_device.py", &["verify", "--dir", &device.dir()], 90).await else { return };
    let _ = outcome.ok();
    eventually("the thing is verified", 5, async || status().await == "VERIFIED").await;
}
