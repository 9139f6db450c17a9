//! Groups, their patches, and who may touch them.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::both_engines;

use super::{alice, carol, error, rita, start, start_on};

async fn a_groups_life(url: Option<String>) {
    let gateway = start_on(url).await;
    let alice = alice(&gateway).await;
    let empty = alice.get("/api/groups").await.expect(200).json();
    assert_eq!((&empty["groups"], &empty["error"]), (&json!([]), &Value::Null));
    let native = testkit::fleet::ALICE.native(&gateway.http()).await;
    for key in ["dev-2", "dev-3"] {
        let _ = native.post("/heliograph/v1/things", &json!({ "key": key })).await.expect(201);
    }
    let body = json!({ "name": "New Group", "description": "of the north", "devices": ["dev-2", "dev-1", "dev-2"] });
    let made = alice.post("/api/groups", &body).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/groups/{id}");
    assert_eq!(
        made,
        json!({ "success": true, "error": null, "apiUsage": 2, "apiDailyUsage": 2, "id": id, "name": "New Group", "description": "of the north",
            "devices": ["dev-2", "dev-1"], "creation": "2026-03-01T12:00:00Z", "lastModified": "2026-03-01T12:00:00Z" })
    );
    assert_eq!(alice.get("/api/groups").await.json()["groups"][0]["devices"], json!(["dev-2", "dev-1"]));
    assert_eq!(alice.get(&format!("/api/Groups/{id}")).await.expect(200).json()["name"], "New Group");
    gateway.advance(Duration::from_secs(60));
    let put = alice.put(&path, &json!({ "name": "South", "devices": ["dev-1", "dev-3"] })).await.expect(200).json();
    assert_eq!((&put["name"], &put["description"], &put["devices"]), (&json!("South"), &Value::Null, &json!(["dev-1", "dev-3"])));
    assert_eq!((&put["creation"], &put["lastModified"]), (&json!("2026-03-01T12:00:00Z"), &json!("2026-03-01T12:01:00Z")));

    let patch = json!([
        { "op": "test", "path": "/name", "value": "South" },
        { "op": "replace", "path": "/name", "value": "West" },
        { "op": "add", "path": "/devices/-", "value": "dev-2" },
        { "op": "remove", "path": "/devices/0" },
    ]);
    let patched = alice.patch(&path, &patch).await.expect(200).json();
    assert_eq!((&patched["name"], &patched["devices"]), (&json!("West"), &json!(["dev-3", "dev-2"])));
    // All or nothing.
    for (patch, status) in [
        (json!([{ "op": "replace", "path": "/name", "value": "East" }, { "op": "test", "path": "/name", "value": "West" }]), 400),
        (json!([{ "op": "replace", "path": "/id", "value": "other" }]), 400),
        (json!([{ "op": "add", "path": "/owner", "value": "me" }]), 400),
        (json!([{ "op": "remove", "path": "/name" }]), 400),
        (json!([{ "op": "replace", "path": "/name", "value": " " }]), 400),
        (json!([{ "op": "replace", "path": "/devices", "value": "dev-1" }]), 400),
        (json!([{ "op": "add", "path": "/devices/-", "value": "dev-9" }]), 400),
        (json!([{ "op": "fly", "path": "/name" }]), 400),
        (json!({ "op": "replace" }), 400),
        (json!([]), 400),
    ] {
        let _ = error(&alice.patch(&path, &patch).await.expect(status));
    }
    assert!(error(&alice.patch(&path, &json!([{ "op": "remove", "path": "/nothing" }])).await).starts_with("Invalid patch operation"));
    let after = alice.get(&path).await.expect(200).json();
    assert_eq!((&after["name"], &after["devices"]), (&json!("West"), &json!(["dev-3", "dev-2"])));

    // A device that goes leaves its groups.
    let _ = native.delete("/heliograph/v1/things/dev-3").await.expect(204);
    assert_eq!(alice.get(&path).await.json()["devices"], json!(["dev-2"]));

    let taken = alice.post("/api/groups", &json!({ "name": "West" })).await.expect(409);
    assert!(error(&taken).contains("exists already"), "{taken}");
    let gone = alice.delete(&path).await.expect(200).json();
    assert_eq!(gone.as_object().unwrap().keys().collect::<Vec<_>>(), ["apiDailyUsage", "apiUsage", "error", "success"]);
    for answer in [alice.delete(&path).await, alice.get(&path).await, alice.put(&path, &body).await, alice.get("/api/groups/no-uuid").await]
    {
        assert_eq!((answer.status, error(&answer).as_str()), (404, "Group not found"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_groups() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    for (body, says) in [
        (json!({}), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "x".repeat(129) }), "name"),
        (json!({ "name": "a\nb" }), "name"),
        (json!({ "name": 7 }), "body"),
        (json!({ "name": "x", "description": "y".repeat(1_025) }), "description"),
        (json!({ "name": "x", "devices": ["dev-9"] }), "devices: there is no 'dev-9'"),
        (json!({ "name": "x", "devices": ["dev-1", "nothing"] }), "devices: there is no 'nothing'"),
        (json!({ "name": "x", "devices": vec!["x"; 5_001] }), "5000"),
        (json!({ "name": "x", "devices": "dev-1" }), "body"),
        (json!([]), "name"),
    ] {
        let answer = alice.post("/api/groups", &body).await.expect(400);
        let text = error(&answer);
        assert!(text.starts_with("Invalid input") && text.contains(says), "{says}: {text}");
    }
    assert_eq!(alice.get("/api/groups").await.json()["groups"], json!([]), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn others() {
    let gateway = start().await;
    let (alice, rita, carol) = (alice(&gateway).await, rita(&gateway).await, carol(&gateway).await);
    let id = alice.post("/api/groups", &json!({ "name": "ours", "devices": ["dev-1"] })).await.expect(201).json()["id"].clone();
    let path = format!("/api/groups/{}", id.as_str().unwrap());
    assert_eq!(rita.get(&path).await.expect(200).json()["devices"], json!(["dev-1"]));
    let patch = json!([{ "op": "replace", "path": "/name", "value": "theirs" }]);
    for (who, status) in [(&rita, 403), (&carol, 404)] {
        let _ = error(&who.put(&path, &json!({ "name": "theirs" })).await.expect(status));
        let _ = error(&who.patch(&path, &patch).await.expect(status));
        let _ = error(&who.delete(&path).await.expect(status));
    }
    let _ = error(&rita.post("/api/groups", &json!({ "name": "hers" })).await.expect(403));
    let _ = error(&carol.get(&path).await.expect(404));
    assert_eq!(carol.get("/api/groups").await.json()["groups"], json!([]));
    let _ = carol.post("/api/groups", &json!({ "name": "ours" })).await.expect(201);
    assert_eq!(alice.get(&path).await.json()["name"], "ours");
}

both_engines!(a_groups_story, super::a_groups_life);
