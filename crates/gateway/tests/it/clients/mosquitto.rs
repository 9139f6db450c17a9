//! `mosquitto_pub` and `mosquitto_sub` over TLS with a client certificate, and `openssl` as the handshake's judge.

use std::path::Path;

use serde_json::json;
use testkit::clients::{Outcome, Talking, run};
use testkit::fleet::ALICE;
use testkit::{Child, Http, eventually};

use crate::Place;

/// A thing's key files, as an operator puts them on a device.
pub struct Keys {
    pub ca: String,
    pub certificate: String,
    pub key: String,
    pub fingerprint: String,
}

impl Keys {
    /// Provisions a thing with an ECDSA certificate and writes its files.
    pub async fn make(place: &Place, alice: &Http, thing: &str) -> Self {
        let new = json!({ "key": thing, "credentials": "ecdsa_certificate" });
        let made = alice.post("/heliograph/v1/things", &new).await.expect(201).json();
        let file =
            |name: &str, text: &serde_json::Value| write(place.folder.path(), &format!("{thing}-{name}.pem"), text.as_str().unwrap());
        Self {
            ca: file("ca", &made["keys"]["ca"]),
            certificate: file("certificate", &made["keys"]["certificate"]),
            key: file("key", &made["keys"]["private_key"]),
            fingerprint: made["keys"]["fingerprint"].as_str().unwrap().to_owned(),
        }
    }

    /// A certificate and key that no gateway has seen.
    pub async fn stranger(place: &Place, ca: &str, options: &[&str]) -> Self {
        let path = |name: &str| place.folder.path().join(name).display().to_string();
        let (certificate, key) = (path("stranger.pem"), path("stranger.key"));
        let fixed = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=stranger", "-keyout", &key, "-out", &certificate];
        let _ = run("openssl", fixed.iter().chain(options), 30).await.ok();
        Self { ca: ca.to_owned(), certificate, key, fingerprint: String::new() }
    }

    fn arguments(&self, gateway: &Child) -> Vec<String> {
        let (host, port) = gateway.ready("mqtts").rsplit_once(':').unwrap();
        let fixed = ["-h", host, "-p", port, "--cafile", &self.ca, "--cert", &self.certificate, "--key", &self.key];
        fixed.map(str::to_owned).to_vec()
    }

    async fn publish(&self, gateway: &Child, topic: &str, payload: &str, more: &[&str]) -> Outcome {
        let mut arguments = self.arguments(gateway);
        arguments.extend(["-q", "1", "-t", topic, "-m", payload].iter().chain(more).map(|&a| a.to_owned()));
        run("mosquitto_pub", arguments, 30).await
    }
}

/// Starts `mosquitto_sub -d` and waits until it has subscribed. `stdbuf`: it says so in lines, but keeps them to itself in a pipe.
async fn subscribe(arguments: Vec<String>) -> Talking {
    let mut subscriber = Talking::start("stdbuf", ["-oL", "mosquitto_sub"].map(str::to_owned).into_iter().chain(arguments));
    while !subscriber.line(20).await.starts_with("Subscribed") {}
    subscriber
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_and_subscribe_with_a_certificate() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let keys = Keys::make(&place, &alice, "mosquitto").await;
    for version in ["mqttv311", "mqttv5"] {
        let mut arguments = keys.arguments(&gateway);
        arguments.extend(["-V", version, "-q", "1", "-t", "things/mosquitto/#", "-v", "-C", "2", "-W", "30", "-d"].map(str::to_owned));
        let mut subscriber = subscribe(arguments).await;
        let _ = keys.publish(&gateway, "things/mosquitto/t", "from the thing", &["-V", version]).await.ok();
        let _ = alice.post("/heliograph/v1/things/mosquitto/messages", &json!({ "payload": "to the thing" })).await.expect(201);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let line = subscriber.line(20).await;
            if line.starts_with("things/") {
                seen.push(line);
            }
        }
        seen.sort();
        assert_eq!(seen, ["things/mosquitto/inbox to the thing", "things/mosquitto/t from the thing"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_may_be_registered_and_revoked() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let ours = Keys::make(&place, &alice, "mosquitto").await;
    // Self-signed, `CA:TRUE`, RSA: what is registered counts, not who signed it.
    let keys = Keys::stranger(&place, &ours.ca, &["-newkey", "rsa:2048"]).await;
    let before = keys.publish(&gateway, "things/mosquitto/t", "too early", &[]).await;
    assert_ne!(before.code, Some(0), "an unknown certificate: {before:?}");
    let pem = std::fs::read_to_string(&keys.certificate).unwrap();
    let registered = alice.post("/heliograph/v1/things/mosquitto/certificates", &json!({ "pem": pem })).await.expect(201).json();
    let _ = keys.publish(&gateway, "things/mosquitto/t", "in time", &[]).await.ok();

    // Revoked: the live session ends within a second or so, and there is no way back in.
    let mut arguments = keys.arguments(&gateway);
    arguments.extend(["-V", "mqttv5", "-t", "things/mosquitto/#", "-d", "-W", "30"].map(str::to_owned));
    let mut subscriber = subscribe(arguments).await;
    let fingerprint = registered["fingerprint"].as_str().unwrap();
    let _ = alice.delete(&format!("/heliograph/v1/things/mosquitto/certificates/{fingerprint}")).await.expect(204);
    while !subscriber.line(3).await.contains("DISCONNECT") {}
    let after = keys.publish(&gateway, "things/mosquitto/t", "too late", &[]).await;
    assert_ne!(after.code, Some(0), "a revoked certificate: {after:?}");
    // The other certificate is untouched.
    let _ = ours.publish(&gateway, "things/mosquitto/t", "still here", &[]).await.ok();
    let history = alice.get("/heliograph/v1/things/mosquitto/messages").await.expect(200).json();
    let payloads: Vec<&str> = history["items"].as_array().unwrap().iter().map(|m| m["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads.len(), 2, "{payloads:?}");
    assert!(payloads.contains(&"in time") && payloads.contains(&"still here"), "{payloads:?}");
}

/// The certificate is public; only who has its key may use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let ours = Keys::make(&place, &alice, "mosquitto").await;
    let stranger = Keys::stranger(&place, &ours.ca, &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]).await;
    let thief = Keys { key: stranger.key, ..ours };
    let outcome = thief.publish(&gateway, "things/mosquitto/t", "stolen", &[]).await;
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    let history = alice.get("/heliograph/v1/things/mosquitto/messages").await.expect(200).json();
    assert_eq!(history["items"], json!([]));
}

/// A deprovisioned thing is out: its live session, and every later try.
#[tokio::test(flavor = "multi_thread")]
async fn a_deprovisioned_thing_is_out() {
    let place = Place::new();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let keys = Keys::make(&place, &alice, "mosquitto").await;
    assert_eq!(keys.fingerprint.len(), 64);
    let mut arguments = keys.arguments(&gateway);
    arguments.extend(["-V", "mqttv5", "-t", "things/mosquitto/#", "-d", "-W", "30"].map(str::to_owned));
    let mut subscriber = subscribe(arguments).await;
    let _ = alice.delete("/heliograph/v1/things/mosquitto").await.expect(204);
    while !subscriber.line(3).await.contains("DISCONNECT") {}
    eventually("the door is shut", 3, async || keys.publish(&gateway, "things/mosquitto/t", "x", &[]).await.code != Some(0)).await;
}
