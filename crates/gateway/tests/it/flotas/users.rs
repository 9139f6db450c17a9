//! Users: members of the account, with what only this platform knows of them.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::both_engines;
use testkit::fleet::{ALICE, CAROL, RITA};

use super::{BEA, RITAS_KEY, alice, carol, error, rita, signed_in, start, start_on};

fn john() -> Value {
    json!({ "name": "John Doe", "email": "John@Example.com", "country": "USA", "timeZone": "America/New_York", "description": "drives at night",
        "message": "", "tags": { "shift": "night" }, "privileges": ["read", "write"], "group": "g1", "deviceId": "dev-1", "adminDevices": 3,
        "from": "2026-01-01T00:00:00Z", "expires": "2026-12-31T23:59:59Z", "password": "john types it every day" })
}

async fn a_users_life(url: Option<String>) {
    let gateway = start_on(url).await;
    let (http, alice) = (gateway.http(), alice(&gateway).await);
    let made = alice.post("/api/users", &john()).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/users/{id}");
    assert_eq!(
        made,
        json!({ "success": true, "error": null, "apiUsage": 1, "apiDailyUsage": 1, "id": id, "name": "John Doe", "email": "john@example.com",
            "country": "USA", "timeZone": "America/New_York", "description": "drives at night", "message": "", "disabled": false,
            "disabledMessage": null, "tags": { "shift": "night" }, "privileges": ["read", "write"], "group": "g1", "deviceId": "dev-1",
            "adminDevices": 3, "from": "2026-01-01T00:00:00Z", "expires": "2026-12-31T23:59:59Z", "password": null,
            "creation": "2026-03-01T12:00:00Z", "modification": "2026-03-01T12:00:00Z", "lastLogin": null })
    );
    let list = alice.get("/api/users").await.expect(200).json();
    let mut emails: Vec<_> = list["users"].as_array().unwrap().iter().map(|u| u["email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["alice@example.com", "bea@example.com", "john@example.com", "rita@example.com"]);
    assert!(!list.to_string().contains("john types"));

    // He is a user of the gateway like any other, and writes.
    let login = http.basic("john@example.com", "john types it every day");
    let _ = login.post("/heliograph/v1/token", &json!({})).await.expect(200);
    let native = ALICE.native(&http).await;
    let key = native.post("/heliograph/v1/api-keys", &json!({ "label": "john", "user": id })).await.expect(201).json();
    let key = key["key"].as_str().unwrap();
    let john_http = signed_in(&http, "john@example.com", key).await;
    let _ = john_http.post("/api/groups", &json!({ "name": "johns" })).await.expect(201);
    let _ = john_http.get("/api/users").await.expect(403);
    assert_eq!(john_http.get(&path).await.expect(200).json()["lastLogin"], "2026-03-01T12:00:00Z");
    assert_eq!(alice.get(&path).await.expect(200).json()["lastLogin"], "2026-03-01T12:00:00Z");

    gateway.advance(Duration::from_secs(60));
    let patch = json!([
        { "op": "replace", "path": "/email", "value": "x@example.com" },
        { "op": "add", "path": "/tags", "value": { "vip": "true" } },
        { "op": "copy", "from": "/tags/vip", "path": "/tags/copied" },
        { "op": "move", "from": "/description", "path": "/message" },
        { "op": "replace", "path": "/privileges", "value": ["read"] },
        { "op": "test", "path": "/password", "value": null },
    ]);
    let patched = alice.patch(&path, &patch).await.expect(200).json();
    assert_eq!((&patched["email"], &patched["tags"]), (&json!("x@example.com"), &json!({ "vip": "true", "copied": "true" })));
    assert_eq!((&patched["description"], &patched["message"]), (&Value::Null, &json!("drives at night")));
    assert_eq!((&patched["privileges"], &patched["modification"]), (&json!(["read"]), &json!("2026-03-01T12:01:00Z")));
    let _ = john_http.post("/api/groups", &json!({ "name": "more" })).await.expect(403);

    let mut put = john();
    put["name"] = json!("John");
    put["privileges"] = Value::Null;
    put["password"] = Value::Null;
    put["tags"] = Value::Null;
    put["lastLogin"] = json!("2000-01-01T00:00:00Z");
    let put = alice.put(&path, &put).await.expect(200).json();
    assert_eq!((&put["name"], &put["email"], &put["tags"]), (&json!("John"), &json!("john@example.com"), &json!({})));
    assert_eq!(
        (&put["privileges"], &put["lastLogin"]),
        (&json!(["read"]), &json!("2026-03-01T12:00:00Z")),
        "privileges stay, and who signed in when"
    );
    let _ = login.post("/heliograph/v1/token", &json!({})).await.expect(200);

    // Disabled, and over.
    let disabled = json!([{ "op": "replace", "path": "/disabled", "value": true }]);
    assert_eq!(alice.patch(&path, &disabled).await.expect(200).json()["disabled"], true);
    let _ = john_http.get("/api/devices").await.expect(401);
    let enabled = json!([{ "op": "replace", "path": "/disabled", "value": false }, { "op": "replace", "path": "/expires", "value": "2026-03-01T12:02:00Z" }]);
    let _ = alice.patch(&path, &enabled).await.expect(200);
    let _ = john_http.get("/api/devices").await.expect(200);
    gateway.advance(Duration::from_secs(60));
    assert_eq!(error(&john_http.get("/api/devices").await.expect(401)), "Authentication failed. Invalid token.");
    let refused = http.post("/api/Auth/Token", &json!({ "userName": "john@example.com", "apiKey": key })).await.expect(401);
    assert_eq!(error(&refused), "Invalid API key or username.");

    let gone = alice.delete(&path).await.expect(200).json();
    assert_eq!((gone["success"].clone(), gone.get("id")), (json!(true), None));
    assert_eq!(error(&alice.get(&path).await.expect(404)), "User not found.");
    assert_eq!(error(&alice.delete(&path).await.expect(404)), "User not found");
    let _ = login.post("/heliograph/v1/token", &json!({})).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_users() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    for (field, value, says) in [
        ("name", json!(null), "name"),
        ("email", json!("nowhere"), "Invalid email address."),
        ("email", json!(null), "email: is required"),
        ("country", json!(" "), "country"),
        ("timeZone", json!("Mars/Olympus"), "timeZone"),
        ("tags", json!([]), "body"),
        ("tags", json!({ "a": 7 }), "body"),
        ("privileges", json!("read"), "body"),
        ("expires", json!("soon"), "expires"),
        ("expires", json!("2025-01-01"), "after from"),
        ("adminDevices", json!("many"), "body"),
        ("password", json!("short"), "password"),
        ("description", json!("x".repeat(1_025)), "description"),
        ("disabled", json!("yes"), "body"),
    ] {
        let mut body = john();
        body[field] = value.clone();
        let answer = alice.post("/api/users", &body).await.expect(400);
        assert!(error(&answer).contains(says), "{field} {value}: {answer}");
        let path = format!("/api/users/{}", RITA.id);
        let answer = alice.put(&path, &body).await.expect(400);
        assert!(error(&answer).contains(says), "{field} {value}: {answer}");
    }
    // Somebody has the address, here or elsewhere.
    for email in [RITA.email, CAROL.email] {
        let mut body = john();
        body["email"] = json!(email);
        let _ = error(&alice.post("/api/users", &body).await.expect(409));
    }
    // A change that is refused in part is refused as a whole.
    let mut body = john();
    body["email"] = json!(CAROL.email);
    let _ = error(&alice.put(&format!("/api/users/{}", RITA.id), &body).await.expect(409));
    let path = format!("/api/users/{}", RITA.id);
    for patch in [
        json!([{ "op": "replace", "path": "/id", "value": ALICE.id }]),
        json!([{ "op": "remove", "path": "/email" }]),
        json!([{ "op": "add", "path": "/operator", "value": true }]),
        json!([{ "op": "replace", "path": "/creation", "value": "2000-01-01T00:00:00Z" }]),
        json!([{ "op": "replace", "path": "/tags/none", "value": "x" }]),
        json!("replace"),
    ] {
        let _ = error(&alice.patch(&path, &patch).await.expect(400));
    }
    let rita = alice.get(&path).await.expect(200).json();
    assert_eq!((&rita["name"], &rita["email"], &rita["privileges"]), (&json!("rita@example.com"), &json!(RITA.email), &json!(["read"])));
    // The last owner stays one.
    let owner = format!("/api/users/{}", ALICE.id);
    let _ = error(&alice.patch(&owner, &json!([{ "op": "replace", "path": "/privileges", "value": ["read"] }])).await.expect(409));
    let _ = error(&alice.delete(&owner).await.expect(409));
}

#[tokio::test(flavor = "multi_thread")]
async fn others() {
    let gateway = start().await;
    let (alice, rita, carol) = (alice(&gateway).await, rita(&gateway).await, carol(&gateway).await);
    let path = format!("/api/users/{}", RITA.id);
    assert_eq!(rita.get(&path).await.expect(200).json()["email"], RITA.email, "oneself");
    let patch = json!([{ "op": "replace", "path": "/privileges", "value": ["owner"] }]);
    let _ = error(&rita.patch(&path, &patch).await.expect(403));
    let _ = error(&rita.put(&path, &john()).await.expect(403));
    let _ = error(&rita.post("/api/users", &john()).await.expect(403));
    let _ = error(&rita.get(&format!("/api/users/{}", ALICE.id)).await.expect(403));
    for id in [RITA.id, "0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11", "nobody"] {
        let path = format!("/api/users/{id}");
        for answer in [carol.get(&path).await, carol.put(&path, &john()).await, carol.patch(&path, &patch).await] {
            assert_eq!((answer.status, error(&answer).as_str()), (404, "User not found."), "{id}");
        }
        assert_eq!(error(&carol.delete(&path).await.expect(404)), "User not found");
    }
    assert_eq!(carol.get("/api/users").await.json()["users"].as_array().unwrap().len(), 2, "Carol and Bea");
    // Who belongs to another account as well only leaves this one.
    let path = format!("/api/users/{BEA}");
    let _ = error(&alice.patch(&path, &json!([{ "op": "replace", "path": "/name", "value": "Bea B." }])).await.expect(403));
    let _ = error(&alice.patch(&path, &json!([{ "op": "replace", "path": "/password", "value": "bea does not know" }])).await.expect(403));
    let _ = alice.patch(&path, &json!([{ "op": "replace", "path": "/country", "value": "CO" }])).await.expect(200);
    assert_eq!(carol.get(&path).await.expect(200).json()["country"], Value::Null, "what one account notes is not the other's");
    let _ = alice.delete(&path).await.expect(200);
    let _ = alice.get(&path).await.expect(404);
    let _ = carol.get(&path).await.expect(200);
    let login = gateway.http().basic("bea@example.com", "bea works for both");
    let _ = login.post("/heliograph/v1/token", &json!({})).await.expect(200);
    // A member who goes takes its keys along.
    let _ = alice.delete(&format!("/api/users/{}", RITA.id)).await.expect(200);
    let _ = rita.get("/api/devices").await.expect(401);
    let _ = gateway.http().post("/api/Auth/Token", &json!({ "userName": RITA.email, "apiKey": RITAS_KEY })).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn countries_and_time_zones() {
    let gateway = start().await;
    let rita = rita(&gateway).await;
    let countries = rita.get("/api/users/countries").await.expect(200).json();
    assert_eq!((&countries["countries"]["US"], &countries["countries"]["CO"]), (&json!("United States"), &json!("Colombia")));
    assert_eq!(countries["countries"].as_object().unwrap().len(), 249);
    let zones = rita.get("/api/users/TimeZones").await.expect(200).json();
    assert_eq!(zones["timeZones"]["America/Bogota"], "UTC-05:00");
}

both_engines!(a_users_story, super::a_users_life);
