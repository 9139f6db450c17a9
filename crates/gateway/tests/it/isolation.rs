//! Two tenants on one gateway: what belongs to the other looks exactly like what does not exist, over HTTP and over MQTT.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE, CAROL, RITA, thing_with_secret};
use testkit::mqtt::{Client, Options};
use testkit::{Exchange, Gateway, Http, both_engines};

/// Status, headers and body without what differs from request to request.
fn looks(answer: &Exchange, handle: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length"));
    let (status, body) = answer.looks();
    (status, headers.cloned().collect(), body.replace(handle, "[handle]"))
}

/// The same request for the other tenant's object and for one that nobody has.
async fn alike(http: &Http, method: &str, path: &str, theirs: &str, nobodys: &str, body: &Value) {
    let body = (!body.is_null()).then(|| body.to_string().into_bytes());
    let ask = async |handle: &str| {
        let headers: &[(&str, &str)] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        http.send(method.parse().unwrap(), &path.replace("{}", handle), headers, body.clone()).await
    };
    let (a, b) = (ask(theirs).await, ask(nobodys).await);
    assert_eq!(a.status, 404, "{method} {path} of another tenant\n{a}");
    assert_eq!(looks(&a, theirs), looks(&b, nobodys), "{method} {path}");
}

async fn foreign_is_absent(url: Option<String>) {
    let gateway = Gateway::builder().store(url).start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.native(&http).await, CAROL.native(&http).await);
    let carol_flashlex = CAROL.flashlex(&http).await;
    let made =
        alice.post("/heliograph/v1/things", &json!({ "key": "watched", "credentials": "ecdsa_certificate" })).await.expect(201).json();
    let sent = alice.post("/heliograph/v1/things/watched/messages", &json!({ "payload": "secret of acme" })).await.expect(201).json();
    let keys = alice.get("/heliograph/v1/api-keys").await.expect(200).json();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("text in {value}")).to_owned();
    let (thing, message, fingerprint) = (text(&made["id"]), text(&sent["id"]), text(&made["keys"]["fingerprint"]));
    let nobody = "0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11";
    let nil = Value::Null;

    // Things, by key and by id.
    for (theirs, nobodys) in [("watched", "nothing"), (thing.as_str(), nobody)] {
        for path in ["", "/keys", "/certificates", "/messages", "/inbox", "/messages/stream", &format!("/messages/{message}")] {
            alike(&carol, "GET", &format!("/heliograph/v1/things/{{}}{path}"), theirs, nobodys, &nil).await;
        }
        alike(&carol, "PATCH", "/heliograph/v1/things/{}", theirs, nobodys, &json!({ "kind": "stolen" })).await;
        alike(&carol, "PUT", "/heliograph/v1/things/{}/secret", theirs, nobodys, &json!({})).await;
        alike(&carol, "POST", "/heliograph/v1/things/{}/messages", theirs, nobodys, &json!({ "payload": "x" })).await;
        alike(&carol, "DELETE", "/heliograph/v1/things/{}/messages", theirs, nobodys, &nil).await;
        alike(&carol, "DELETE", &format!("/heliograph/v1/things/{{}}/inbox/{message}"), theirs, nobodys, &nil).await;
        alike(&carol, "DELETE", &format!("/heliograph/v1/things/{{}}/certificates/{fingerprint}"), theirs, nobodys, &nil).await;
        alike(&carol, "DELETE", "/heliograph/v1/things/{}", theirs, nobodys, &nil).await;
        for path in ["", "/messages", "/archive", "/dist", "/messages/stream"] {
            alike(&carol_flashlex, "GET", &format!("/prd/v1/things/{{}}{path}"), theirs, nobodys, &nil).await;
        }
        alike(&carol_flashlex, "POST", "/prd/v1/things/{}/publish", theirs, nobodys, &json!({ "message": "x" })).await;
        alike(&carol_flashlex, "DELETE", "/prd/v1/things/{}/messages", theirs, nobodys, &nil).await;
        alike(&carol_flashlex, "DELETE", "/prd/v1/things/{}", theirs, nobodys, &nil).await;
    }
    // What hangs on her own thing.
    let unknown = "0".repeat(64);
    alike(&carol, "GET", "/heliograph/v1/things/dev-9/messages/{}", &message, nobody, &nil).await;
    alike(&carol, "DELETE", "/heliograph/v1/things/dev-9/inbox/{}", &message, nobody, &nil).await;
    alike(&carol, "DELETE", "/heliograph/v1/things/dev-9/certificates/{}", &fingerprint, &unknown, &nil).await;
    // People, clients, keys, the tenant itself.
    for (method, path, theirs, body) in [
        ("GET", "/heliograph/v1/users/{}", RITA.id, nil.clone()),
        ("PATCH", "/heliograph/v1/users/{}", RITA.id, json!({ "given_name": "Mallory" })),
        ("PUT", "/heliograph/v1/users/{}/password", RITA.id, json!({ "password": "a password of hers" })),
        ("DELETE", "/heliograph/v1/users/{}", RITA.id, nil.clone()),
        ("PATCH", "/heliograph/v1/memberships/{}", RITA.id, json!({ "role": "owner" })),
        ("DELETE", "/heliograph/v1/memberships/{}", RITA.id, nil.clone()),
        ("DELETE", "/heliograph/v1/api-keys/{}", keys["items"][0]["id"].as_str().unwrap(), nil.clone()),
        ("GET", "/heliograph/v1/tenants/{}", ACME, nil.clone()),
        ("PATCH", "/heliograph/v1/tenants/{}", ACME, json!({ "name": "stolen" })),
        ("DELETE", "/heliograph/v1/tenants/{}", ACME, nil.clone()),
    ] {
        alike(&carol, method, path, theirs, nobody, &body).await;
    }
    alike(&carol, "GET", "/heliograph/v1/clients/{}", "backend", "nothing", &nil).await;
    alike(&carol, "DELETE", "/heliograph/v1/clients/{}", "backend", "nothing", &nil).await;
    alike(&carol_flashlex, "GET", "/prd/v1/users/{}", ALICE.id, nobody, &nil).await;

    // Lists show her own world only.
    for path in ["things", "tenants", "users", "memberships", "clients", "api-keys", "audit", "me", "usage", "info"] {
        let answer = carol
            .get(
                &format!("/heliograph/v1/{path}?limit=1000")
                    .replace("me?limit=1000", "me")
                    .replace("usage?limit=1000", "usage")
                    .replace("info?limit=1000", "info"),
            )
            .await
            .expect(200);
        for secret in [ACME, ALICE.id, ALICE.email, RITA.id, &thing, "watched", "backend", "acme"] {
            assert!(!answer.text().contains(secret), "{path} shows {secret}:\n{answer}");
        }
    }
    // The other tenant named outright: only an operator may look there.
    for ask in [
        format!("/heliograph/v1/things?tenant={ACME}"),
        format!("/heliograph/v1/users?tenant={ACME}"),
        format!("/heliograph/v1/audit?tenant={ACME}"),
    ] {
        let named = carol.get(&ask).await;
        let unknown = carol.get(&ask.replace(ACME, nobody)).await;
        assert_eq!(named.status, 403, "{named}");
        assert_eq!(named.looks(), unknown.looks());
    }
    // Revoking somebody else's token does nothing.
    let token = match alice.auth() {
        testkit::Auth::Bearer(token) => token.clone(),
        other => panic!("{other:?}"),
    };
    let tried = carol.post("/heliograph/v1/token/revoke", &json!({ "token": token })).await;
    assert!(matches!(tried.status, 204 | 404), "{tried}");

    // And nothing of all that did anything.
    let after = alice.get("/heliograph/v1/things/watched").await.expect(200).json();
    assert_eq!((&after["kind"], &after["id"]), (&made["kind"], &made["id"]));
    let inbox = alice.get("/heliograph/v1/things/watched/inbox").await.expect(200).json();
    assert_eq!(inbox["items"].as_array().unwrap().len(), 1);
    assert_eq!(alice.get("/heliograph/v1/clients/backend").await.status, 200);
    assert_eq!(RITA.native(&http).await.get("/heliograph/v1/me").await.status, 200);
}

both_engines!(foreign_objects_look_absent, super::foreign_is_absent);

/// The same keys and topics in two tenants are two worlds.
#[tokio::test(flavor = "multi_thread")]
async fn topics_end_at_the_tenant() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.native(&http).await, CAROL.native(&http).await);
    let ours = thing_with_secret(&alice, "same", "a secret of acme").await;
    let theirs = thing_with_secret(&carol, "same", "a secret of globex").await;
    let mut a = Client::connect(gateway.mqtt(), &Options::new("same").login(&ours, "a secret of acme").level(5)).await;
    let mut b = Client::connect(gateway.mqtt(), &Options::new("same").login(&theirs, "a secret of globex").level(5)).await;
    for client in [&mut a, &mut b] {
        assert_eq!(client.subscribe("things/same/t", 1).await, 1);
        assert_eq!(client.subscribe("things/same/inbox", 1).await, 1);
    }
    // Live, retained, and to the inbox: each stays where it was sent.
    a.writer.publish("things/same/t", b"from acme", 1, true).await.unwrap();
    assert_eq!(&a.receive().await.1[..], b"from acme");
    let _ = alice.post("/heliograph/v1/things/same/messages", &json!({ "payload": "to acme" })).await.expect(201);
    assert_eq!(&a.receive().await.1[..], b"to acme");
    b.quiet(Duration::from_millis(300)).await;
    let mut late = Client::connect(gateway.mqtt(), &Options::new("same-2").login(&theirs, "a secret of globex").level(5)).await;
    assert_eq!(late.subscribe("things/same/t", 1).await, 1);
    late.quiet(Duration::from_millis(300)).await;
    // The same client id twice is one session in each tenant: nobody was thrown out.
    b.writer.publish("things/same/t", b"from globex", 1, false).await.unwrap();
    assert_eq!(&b.receive().await.1[..], b"from globex");
    a.quiet(Duration::from_millis(300)).await;
    let history = carol.get("/heliograph/v1/things/same/messages").await.expect(200).json();
    assert_eq!(history["items"].as_array().unwrap().len(), 1, "{history}");
}

/// A thing keeps to its own topics, and what it may not touch looks the same whether it exists or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_thing_keeps_to_itself() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.native(&http).await, CAROL.native(&http).await);
    let id = thing_with_secret(&carol, "mine", "a secret of globex").await;
    let _ = thing_with_secret(&alice, "theirs", "a secret of acme").await;
    let mut client = Client::connect(gateway.mqtt(), &Options::new("mine").login(&id, "a secret of globex").level(5)).await;
    for topic in ["things/theirs/t", "things/nothing/t", "things/dev-9/t", "things/theirs/inbox", "$SYS/x", "elsewhere"] {
        assert_eq!(client.publish(topic, b"x", 1).await, 0x87, "publish to {topic}");
        assert_eq!(client.subscribe(topic, 1).await, 0x87, "subscribe to {topic}");
    }
    for filter in ["#", "+/+/+", "things/#", "things/+/t", "$SYS/#"] {
        assert_eq!(client.subscribe(filter, 1).await, 0x87, "subscribe to {filter}");
    }
    assert_eq!(client.subscribe("things/mine/#", 1).await, 1);
    let history = alice.get("/heliograph/v1/things/theirs/messages").await.expect(200).json();
    assert_eq!(history["items"], json!([]));
}

/// Wrong secrets, other things' secrets, nobody's ids: refused alike.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_at_mqtt() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let id = thing_with_secret(&alice, "mine", "a secret of acme").await;
    let other = thing_with_secret(&alice, "other", "a secret of another").await;
    let mut reasons = Vec::new();
    for (user, password) in [
        (id.as_str(), "wrong"),
        (id.as_str(), "a secret of another"),
        (other.as_str(), "a secret of acme"),
        ("0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11", "a secret of acme"),
        ("nobody", "nothing"),
        (ALICE.email, "wrong"),
        (id.as_str(), ""),
    ] {
        reasons.push(Client::try_connect(gateway.mqtt(), &Options::new("x").login(user, password).level(5)).await.unwrap().err());
    }
    assert_eq!(reasons, vec![Some(0x86); reasons.len()], "bad user name or password");
    let nobody = Client::try_connect(gateway.mqtt(), &Options::new("x").level(5)).await.unwrap().err();
    assert!(matches!(nobody, Some(0x86 | 0x87)), "{nobody:?}");
    let old = Client::try_connect(gateway.mqtt(), &Options::new("x").login(&id, "wrong")).await.unwrap().err();
    assert!(matches!(old, Some(4 | 5)), "{old:?}");
}
