//! Devices: `openssl` makes their certificates, Mosquitto's clients speak for them, as in the platform's documentation.

use model::Clock;
use serde_json::{Value, json};
use testkit::clients::{Outcome, Talking, run};
use testkit::{Gateway, eventually};

use super::{Api, builder, open};

/// A device with a self-signed certificate, `CA:TRUE` as `openssl req -x509` makes them.
pub(super) struct Device {
    ca: String,
    certificate: String,
    key: String,
    address: String,
    pub(super) pem: String,
}

impl Device {
    /// Makes key and certificate; not yet registered.
    pub(super) async fn make(gateway: &Gateway, id: &str, options: &[&str]) -> Self {
        let path = |name: &str| gateway.folder().join(format!("{id}-{name}")).display().to_string();
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        // The platform's own scripts write the variables' names into the subject: nobody may look at it.
        let fixed =
            ["req", "-x509", "-nodes", "-days", "30", "-subj", "/O=$OLT_TENANT/CN=$OLT_DEVICE", "-keyout", &key, "-out", &certificate];
        let _ = run("openssl", fixed.iter().chain(options), 30).await.ok();
        let pem = std::fs::read_to_string(&certificate).unwrap();
        let ca = gateway.folder().join("data/ca.pem").display().to_string();
        Self { ca, certificate, key, address: gateway.mqtts().to_owned(), pem }
    }

    /// The same, registered; the certificate's id besides.
    pub(super) async fn register(gateway: &Gateway, api: &Api, id: &str) -> (Self, String) {
        let device = Self::make(gateway, id, &["-newkey", "rsa:2048"]).await;
        let made = api.post(&format!("/devices/{id}/certificates"), &json!({ "cert": device.pem, "status": "valid" })).await.expect(201);
        (device, super::id(&made.json()))
    }

    fn arguments(&self) -> Vec<String> {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let fixed = ["-h", host, "-p", port, "--cafile", &self.ca, "--cert", &self.certificate, "--key", &self.key, "-V", "mqttv311"];
        fixed.map(str::to_owned).to_vec()
    }

    pub(super) async fn try_publish(&self, topic: &str, payload: &str, more: &[&str]) -> Outcome {
        let mut arguments = self.arguments();
        arguments.extend(["-q", "1", "-t", topic, "-m", payload].iter().chain(more).map(|&a| a.to_owned()));
        run("mosquitto_pub", arguments, 30).await
    }

    pub(super) async fn publish(&self, topic: &str, payload: &Value) {
        let _ = self.try_publish(topic, &payload.to_string(), &[]).await.ok();
    }

    /// `mosquitto_sub -v -d`, subscribed. `stdbuf`: it says so in lines, but keeps them to itself in a pipe.
    pub(super) async fn subscribe(&self, topics: &[&str]) -> Talking {
        let mut arguments = self.arguments();
        arguments.extend(["-q", "1", "-v", "-d", "-W", "60"].map(str::to_owned));
        arguments.extend(topics.iter().flat_map(|topic| ["-t".to_owned(), (*topic).to_owned()]));
        let mut subscriber = Talking::start("stdbuf", ["-oL", "mosquitto_sub"].map(str::to_owned).into_iter().chain(arguments));
        while !subscriber.line(20).await.starts_with("Subscribed") {}
        subscriber
    }
}

/// The next message of a subscriber: topic and JSON.
pub(super) async fn message(subscriber: &mut Talking) -> (String, Value) {
    loop {
        let line = subscriber.line(20).await;
        if let Some((topic, text)) = line.split_once(' ')
            && topic.starts_with("devices/")
        {
            return (topic.to_owned(), serde_json::from_str(text).unwrap());
        }
    }
}

/// What was noted of the device, newest first.
pub(super) async fn diagnostics(api: &Api, device: &str) -> Vec<String> {
    let found = api.get(&format!("/devices/{device}/last-diagnostics")).await.expect(200).json();
    found["data"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap().to_owned()).collect()
}

/// The device's attributes once they are these.
pub(super) async fn attributes_become(api: &Api, device: &str, wanted: &Value) {
    eventually(&format!("attributes {wanted}"), 20, async || {
        let state = api.get(&format!("/devices/{device}/state")).await.expect(200).json();
        state["data"]["attributes"] == *wanted
    })
    .await;
}

async fn live() -> (Gateway, Api, String) {
    // Certificates are made by the machine's clock.
    let gateway = builder().clock(Clock::system()).start().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    (gateway, api, kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_opens_only_as_long_as_it_is_valid() {
    let (gateway, api, kind) = live().await;
    let (one, other) = (api.new_device(&kind, "one").await, api.new_device(&kind, "other").await);
    let value = json!({ "type": "attributes", "value": { "temperature": 1 } }).to_string();
    let (device, certificate) = Device::register(&gateway, &api, &one).await;
    let at = format!("/devices/{one}/certificates/{certificate}");
    let read = api.get(&at).await.expect(200).json();
    assert_eq!((&read["data"]["status"], read["data"]["cert"].as_str().unwrap().trim()), (&json!("valid"), device.pem.trim()));
    // One device, one certificate: nobody else may register it, nor the same one twice.
    for holder in [&one, &other] {
        let answer = api.post(&format!("/devices/{holder}/certificates"), &json!({ "cert": device.pem })).await.expect(409).json();
        assert_eq!(answer["errorCode"], "DEVICECERT_CERT_DUPLICATE");
    }
    let _ = device.try_publish("data-ingest", &value, &[]).await.ok();
    for status in ["inactive", "valid", "revoked"] {
        let changed = api.patch(&at, &json!({ "status": status })).await.expect(200).json();
        assert_eq!(changed["data"]["status"], status);
        let outcome = device.try_publish("data-ingest", &value, &[]).await;
        assert_eq!(outcome.code == Some(0), status == "valid", "{status}: {outcome:?}");
    }
    let _ = api.patch(&at, &json!({ "status": "valid" })).await.expect(409);
    let list = api.get(&format!("/devices/{one}/certificates")).await.expect(200).json();
    assert_eq!((&list["meta"]["itemsTotal"], &list["data"][0]["status"]), (&json!(1), &json!("revoked")));
    let _ = api.delete(&at).await.expect(204);
    let _ = api.get(&at).await.expect(404);
    let stranger = Device::make(&gateway, "stranger", &["-newkey", "rsa:2048"]).await;
    assert_ne!(stranger.try_publish("data-ingest", &value, &[]).await.code, Some(0));
    // Registered, but to be switched on later; an elliptic key does as well.
    let later = Device::make(&gateway, &other, &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]).await;
    let made = api.post(&format!("/devices/{other}/certificates"), &json!({ "cert": later.pem, "status": "inactive" })).await.expect(201);
    assert_ne!(later.try_publish("data-ingest", &value, &[]).await.code, Some(0));
    let at = format!("/devices/{other}/certificates/{}", super::id(&made.json()));
    let _ = api.patch(&at, &json!({ "status": "valid" })).await.expect(200);
    let _ = later.try_publish("data-ingest", &value, &["--tls-alpn", "mqttv311"]).await.ok();
    attributes_become(&api, &other, &json!({ "temperature": 1 })).await;
}

/// What is not the device's own is refused: the subscription is answered with a failure, the publication goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_topics_are_refused() {
    let (gateway, api, kind) = live().await;
    let (one, other) = (api.new_device(&kind, "one").await, api.new_device(&kind, "other").await);
    let (device, _) = Device::register(&gateway, &api, &one).await;
    for topic in [
        format!("devices/{other}/configuration"),
        format!("devices/{other}/#"),
        "devices/#".to_owned(),
        "devices/+/actions".to_owned(),
        "#".to_owned(),
    ] {
        let mut arguments = device.arguments();
        arguments.extend(["-q", "1", "-t", &topic, "-W", "5", "-d"].map(str::to_owned));
        let outcome = run("mosquitto_sub", arguments, 30).await;
        let told = format!("{}{}", outcome.out, outcome.err);
        assert!(told.contains("All subscription requests were denied") || told.contains("Subscribed (mid: 1): 128"), "{topic}: {told}");
    }
    let mut listener = Device::register(&gateway, &api, &other).await.0.subscribe(&[&format!("devices/{other}/actions")]).await;
    let _ = device.try_publish(&format!("devices/{other}/actions"), "{}", &[]).await;
    // Nothing of that comes through: the next thing the other one hears is its own.
    let action = json!({ "action": "raiseTemperature", "payload": { "value": 2 } });
    let _ = api.post(&format!("/devices/{other}/actions"), &action).await.expect(202);
    assert_eq!(message(&mut listener).await.1["payload"], json!({ "value": 2 }));
    // Speaking for a device that is not behind it: noted, not believed.
    let said = json!({ "deviceId": other, "type": "attributes", "value": { "temperature": 99 } });
    device.publish("data-ingest", &said).await;
    eventually("a note", 20, async || !diagnostics(&api, &one).await.iter().all(|note| note.starts_with("Device "))).await;
    let state = api.get(&format!("/devices/{other}/state")).await.expect(200).json();
    assert_eq!(state["data"]["attributes"], json!({}));
}

/// A gateway speaks and hears for the devices behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_speaks_for_what_is_behind_it() {
    let (gateway, api, kind) = live().await;
    let bridge = api.new_device(&kind, "bridge").await;
    let (hue, _) = Device::register(&gateway, &api, &bridge).await;
    let mut heard = hue.subscribe(&[&format!("devices/{bridge}/configuration"), &format!("devices/{bridge}/actions")]).await;
    let bulb = json!({ "info": { "name": "bulb", "deviceTypeId": kind, "connectedBy": bridge, "aliases": ["00:17:88"] }, "configuration": { "brightness": 5 } });
    let bulb = super::id(&api.post("/devices", &bulb).await.expect(201).json());
    let (topic, said) = message(&mut heard).await;
    assert_eq!(topic, format!("devices/{bridge}/configuration"));
    assert_eq!(said, json!({ "deviceId": bulb, "aliases": ["00:17:88"], "configuration": { "brightness": 5 } }));
    let action = json!({ "action": "raiseTemperature", "payload": { "value": 3 } });
    let told = api.post(&format!("/devices/{bulb}/actions"), &action).await.expect(202).json();
    let (topic, said) = message(&mut heard).await;
    assert_eq!(
        (topic, &said["actionId"], &said["deviceId"]),
        (format!("devices/{bridge}/actions"), &told["data"]["actionId"], &json!(bulb))
    );
    // By id and by alias.
    hue.publish("data-ingest", &json!({ "deviceId": bulb, "type": "attributes", "value": { "temperature": 20 } })).await;
    hue.publish("data-ingest", &json!({ "alias": "00:17:88", "type": "attributes", "value": { "humidity": 30 } })).await;
    attributes_become(&api, &bulb, &json!({ "temperature": 20, "humidity": 30 })).await;
    hue.publish("event-ingest", &json!({ "alias": "00:17:88", "type": "alert", "value": { "a": 1 } })).await;
    let at = format!("/devices/{bulb}/last-events");
    eventually("the event", 20, async || !api.get(&at).await.expect(200).json()["data"].as_array().unwrap().is_empty()).await;
    assert_eq!(api.get(&at).await.expect(200).json()["data"][0]["value"], json!({ "a": 1 }));
    // What it said of itself stays its own.
    assert_eq!(api.get(&format!("/devices/{bridge}/state")).await.expect(200).json()["data"]["attributes"], json!({}));
}

/// A megabyte in one message, where the operator allows it; kept by nobody who subscribes later, for all its retain flag.
#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_in_one_message() {
    let gateway = builder()
        .clock(Clock::system())
        .config(|config| {
            config.max_payload = 2 << 20;
            config.mqtt_limits.max_packet = (2 << 20) + 1024;
        })
        .start()
        .await;
    let api = Api::backend(&gateway).await;
    let schema = json!({ "attributes": { "image": { "type": "string" } } });
    let kind = super::id(&api.post("/device-types", &json!({ "name": "camera", "schema": schema })).await.expect(201).json());
    let id = api.new_device(&kind, "camera").await;
    let (camera, _) = Device::register(&gateway, &api, &id).await;
    let file = gateway.folder().join("image.json");
    std::fs::write(&file, json!({ "type": "attributes", "value": { "image": "x".repeat(1 << 20) } }).to_string()).unwrap();
    let mut arguments = camera.arguments();
    arguments.extend(["-q", "1", "-r", "-t", "data-ingest", "-f", &file.display().to_string()].map(str::to_owned));
    let _ = run("mosquitto_pub", arguments, 30).await.ok();
    eventually("the picture", 20, async || {
        let state = api.get(&format!("/devices/{id}/state")).await.expect(200).json();
        let image = state["data"]["attributes"]["image"].as_str().map(str::len);
        image == Some(1 << 20)
    })
    .await;
}

/// A device that was away finds what it missed, each on its own topic.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_missed_waits_for_it() {
    let (gateway, api, kind) = live().await;
    let id = api.new_device(&kind, "lamp").await;
    let (device, _) = Device::register(&gateway, &api, &id).await;
    let _ = api.patch(&format!("/devices/{id}"), &json!({ "configuration": { "brightness": 40 } })).await.expect(200);
    let action = json!({ "action": "raiseTemperature", "payload": { "value": 1 } });
    let _ = api.post(&format!("/devices/{id}/actions"), &action).await.expect(202);
    // Who asks for actions only leaves the configuration where it is.
    let mut actions = device.subscribe(&[&format!("devices/{id}/actions")]).await;
    assert_eq!(message(&mut actions).await.1["action"], "raiseTemperature");
    actions.kill().await;
    let mut all = device.subscribe(&[&format!("devices/{id}/#")]).await;
    let (topic, said) = message(&mut all).await;
    assert_eq!((topic, &said["configuration"]), (format!("devices/{id}/configuration"), &json!({ "brightness": 40 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_for_many_goes_where_it_is_understood() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let (lamps, bare) =
        (api.new_type().await, super::id(&api.post("/device-types", &json!({ "name": "bare", "schema": {} })).await.expect(201).json()));
    let (lamp, dumb) = (api.new_device(&lamps, "a lamp").await, api.new_device(&bare, "a stone").await);
    let all = json!({ "action": "raiseTemperature", "payload": { "value": 1 }, "deviceFilter": { "deviceName": ["a *"] } });
    let _ = api.post("/devices/actions", &all).await.expect(204);
    let alice = testkit::fleet::ALICE.native(&gateway.http()).await;
    for (id, waiting) in [(&lamp, 1), (&dumb, 0)] {
        let inbox = alice.get(&format!("/heliograph/v1/things/{id}/inbox")).await.expect(200).json();
        assert_eq!(inbox["items"].as_array().unwrap().len(), waiting, "{inbox}");
    }
}
