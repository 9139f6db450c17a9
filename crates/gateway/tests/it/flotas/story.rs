//! A back end's day: token, devices, counters, limits; and keys that end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY, FLEET};
use testkit::{Auth, Gateway, both_engines};

use super::{alice, error, rita, signed_in, start, start_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_as_documented() {
    let gateway = start().await;
    let http = gateway.http();
    let answer = http.post("/api/Auth/Token", &json!({ "userName": "alice", "apiKey": API_KEY })).await.expect(200).json();
    assert_eq!((&answer["success"], &answer["expires"]), (&json!(true), &json!("2026-03-02T12:00:00Z")));
    assert!(answer.get("apiUsage").is_none() && answer.get("error").is_none(), "{answer}");
    let token = answer["token"].as_str().unwrap();
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    let header: Value = serde_json::from_str(&header).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("HS512"), &json!("JWT")));
    let _ = http.bearer(token).get("/api/devices").await.expect(200);
    // In any case, of path and of names; the scheme too.
    for path in ["/api/auth/token", "/API/AUTH/TOKEN", "/Api/Auth/Token/"] {
        let _ = http.post(path, &json!({ "UserName": ALICE.email, "ApiKey": API_KEY })).await.expect(200);
    }
    let lower = Auth::Header("authorization", format!("bearer {token}"));
    let _ = http.with(lower).get("/api/Devices/").await.expect(200);

    for (user, key) in [
        (ALICE.email, "K1-0000000000000000"),
        ("nobody@example.com", API_KEY),
        ("rita@example.com", API_KEY),
        (ALICE.email, ALICE.password),
    ] {
        let refused = http.post("/api/Auth/Token", &json!({ "userName": user, "apiKey": key })).await.expect(401);
        assert_eq!(refused.text(), r#"{"success":false,"error":"Invalid API key or username."}"#);
        gateway.advance(Duration::from_secs(10));
    }
    gateway.advance(Duration::from_secs(24 * 3600));
    let late = http.bearer(token).get("/api/devices").await.expect(401);
    assert_eq!(error(&late), "Authentication failed. Invalid token.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_deleted_takes_its_tokens_along() {
    let gateway = start().await;
    let http = gateway.http();
    let native = ALICE.native(&http).await;
    let made = native.post("/heliograph/v1/api-keys", &json!({ "label": "fleet" })).await.expect(201).json();
    let key = made["key"].as_str().unwrap();
    let (new, old) = (signed_in(&http, ALICE.email, key).await, alice(&gateway).await);
    let _ = new.get("/api/devices").await.expect(200);
    let _ = native.delete(&format!("/heliograph/v1/api-keys/{}", made["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(error(&new.get("/api/devices").await.expect(401)), "Authentication failed. Invalid token.");
    let _ = http.post("/api/Auth/Token", &json!({ "userName": ALICE.email, "apiKey": key })).await.expect(401);
    let _ = old.get("/api/devices").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_as_documented() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    let native = ALICE.native(&gateway.http()).await;
    let attributes =
        json!({ "description": "Main tracking device", "min": "+573001234567", "plate": "FXS493", "expires": "2026-12-31T23:59:59Z" });
    let new = json!({ "key": "356938035643809", "name": "Device 1", "tags": ["vip", "zone=north"], "attributes": attributes });
    gateway.advance(Duration::from_millis(1));
    let _ = native.post("/heliograph/v1/things", &new).await.expect(201);
    let over = json!({ "key": "over", "attributes": { "expires": "2026-03-01T11:59:59Z" } });
    let _ = native.post("/heliograph/v1/things", &over).await.expect(201);

    let list = alice.get("/api/devices").await.expect(200).json();
    assert_eq!(list["success"], true);
    let devices = list["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "dev-1 and the new one; what has expired is not active: {list}");
    assert_eq!(devices[0], json!({ "id": "dev-1", "name": "truck-1", "description": "", "min": "", "tags": { "north": "true" } }));
    let expected = json!({ "id": "356938035643809", "name": "Device 1", "description": "Main tracking device", "min": "+573001234567",
        "tags": { "vip": "true", "zone": "north", "plate": "FXS493" }, "expires": "2026-12-31T23:59:59Z" });
    assert_eq!(devices[1], expected);
    let one = alice.get("/api/devices/356938035643809").await.expect(200).json();
    assert_eq!(one["device"], expected);
    let _ = alice.get("/api/device/over").await.expect(200);
    assert_eq!(error(&alice.get("/api/devices/nothing").await.expect(404)), "Device not found");
}

async fn calls_are_counted_and_kept(url: Option<String>) {
    let mut gateway = start_on(url).await;
    let (alice, rita) = (alice(&gateway).await, rita(&gateway).await);
    let counts = |answer: Value| (answer["apiUsage"].as_u64().unwrap(), answer["apiDailyUsage"].as_u64().unwrap());
    for n in 1..=3 {
        assert_eq!(counts(alice.get("/api/devices").await.expect(200).json()), (n, n));
    }
    assert_eq!(counts(rita.get("/api/devices").await.expect(200).json()), (1, 4), "one's own, the account's");
    assert_eq!(counts(alice.get("/api/devices/nothing").await.expect(404).json()), (4, 5), "refusals count, and show the counts");
    let _ = gateway.http().bearer("garbage").get("/api/devices").await.expect(401);
    gateway.restart().await;
    assert_eq!(counts(alice.get("/api/devices").await.expect(200).json()), (5, 6), "a restart forgets nothing");
    gateway.advance(Duration::from_secs(12 * 3600));
    assert_eq!(counts(alice.get("/api/devices").await.expect(200).json()), (1, 1), "a new day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_used_up() {
    let small = FLEET.replacen("plan = \"UNLIMITED\"", "plan = \"AMBER\"", 1);
    let gateway = Gateway::builder().provision(&small).start().await;
    let alice = alice(&gateway).await;
    for _ in 0..1_000 {
        let _ = alice.get("/api/groups").await.expect(200);
    }
    let refused = alice.get("/api/groups").await.expect(429);
    assert!(error(&refused).contains("1000 requests"), "{refused}");
    assert_eq!(refused.header("retry-after"), Some((12 * 3600).to_string().as_str()));
    assert_eq!((&refused.json()["apiUsage"], &refused.json()["apiDailyUsage"]), (&json!(1_000), &json!(1_000)));
    gateway.advance(Duration::from_secs(12 * 3600));
    let _ = alice.get("/api/groups").await.expect(200);
}

both_engines!(calls, super::calls_are_counted_and_kept);
