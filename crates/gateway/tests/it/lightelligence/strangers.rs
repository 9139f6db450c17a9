//! Another tenant's objects look exactly like absent ones; whoever only reads changes nothing.

use serde_json::{Value, json};

use super::mqtt::Device;
use super::{Api, lamp, open};

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_sees_nothing() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let stranger = Api::sign_in(&gateway.http(), "stranger").await;
    let kind = api.new_type().await;
    let device = api.new_device(&kind, "lamp").await;
    let note = json!({
        "notificationTemplate": { "notificationRecipient": "a@example.com", "notificationPayload": "x" },
        "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated"] } },
    });
    let made = api.post("/notifications", &note).await.expect(200).json();
    let note_id = made["data"]["notificationId"].as_str().unwrap().to_owned();
    let unregistered = Device::make(&gateway, "unregistered", &["-newkey", "rsa:2048"]).await;
    let mut whole = note.clone();
    whole["active"] = json!(true);
    let tries: Vec<(&str, String, Value)> = vec![
        ("GET", format!("/device-types/{kind}"), Value::Null),
        ("PATCH", format!("/device-types/{kind}"), json!({ "name": "mine" })),
        ("DELETE", format!("/device-types/{kind}"), Value::Null),
        ("GET", format!("/device-types/{kind}/onlinemonitoring"), Value::Null),
        ("PATCH", format!("/device-types/{kind}/onlinemonitoring"), json!({ "communicationInterval": 1 })),
        ("GET", format!("/devices/{device}"), Value::Null),
        ("PATCH", format!("/devices/{device}"), json!({ "info": { "name": "mine" } })),
        ("DELETE", format!("/devices/{device}"), Value::Null),
        ("GET", format!("/devices/{device}/onlinemonitoring"), Value::Null),
        ("PATCH", format!("/devices/{device}/onlinemonitoring"), json!({ "communicationInterval": 1 })),
        ("POST", format!("/devices/{device}/actions"), json!({ "action": "raiseTemperature", "payload": {} })),
        ("GET", format!("/devices/{device}/state"), Value::Null),
        ("GET", format!("/devices/{device}/last-events"), Value::Null),
        ("GET", format!("/devices/{device}/events"), Value::Null),
        ("GET", format!("/devices/{device}/last-diagnostics"), Value::Null),
        ("GET", format!("/devices/{device}/last-timeseries?path=$.attributes.t"), Value::Null),
        ("DELETE", format!("/devices/{device}/timeseries?path=$.attributes.t"), Value::Null),
        (
            "GET",
            format!(
                "/devices/{device}/aggregated-timeseries?path=$.attributes.t&aggregation=max&startTime=2026-01-01T00:00:00Z&endTime=2026-01-02T00:00:00Z"
            ),
            Value::Null,
        ),
        ("GET", format!("/devices/{device}/certificates"), Value::Null),
        ("POST", format!("/devices/{device}/certificates"), json!({ "cert": unregistered.pem })),
        ("POST", "/data-ingest".to_owned(), json!({ "deviceId": device, "type": "attributes", "value": {} })),
        ("POST", "/event-ingest".to_owned(), json!({ "deviceId": device, "type": "overheated" })),
        ("GET", format!("/notifications/{note_id}"), Value::Null),
        ("PUT", format!("/notifications/{note_id}"), whole),
        ("PATCH", format!("/notifications/{note_id}"), json!({ "active": false })),
        ("DELETE", format!("/notifications/{note_id}"), Value::Null),
    ];
    let nobody = uuid::Uuid::nil().to_string();
    for (method, path, body) in tries {
        let body = Some(body).filter(|body| !body.is_null());
        let seen = stranger.send(method, &path, body.as_ref()).await;
        assert!(matches!(seen.status, 403 | 404), "{method} {path}: {seen}");
        let without = |text: &str| text.replace(&device, &nobody).replace(&kind, &nobody).replace(&note_id, &nobody);
        let absent_body = body.map(|body| serde_json::from_str::<Value>(&without(&body.to_string())).unwrap());
        let absent = stranger.send(method, &without(&path), absent_body.as_ref()).await;
        assert_eq!(seen.looks(), absent.looks(), "{method} {path}");
    }
    for path in ["/devices?deviceName=lamp", "/device-types", "/devices/states?deviceName=lamp", "/notifications", "/notifications/history"]
    {
        let list = stranger.get(path).await.expect(200).json();
        assert_eq!((&list["data"], &list["meta"]["itemsTotal"]), (&json!([]), &json!(0)), "{path}");
    }
    let other = stranger.new_type().await;
    // Neither a type nor a gateway of another tenant can be borrowed.
    let _ = stranger.post("/devices", &json!({ "info": { "name": "x", "deviceTypeId": kind } })).await.expect(400);
    let behind = json!({ "info": { "name": "x", "deviceTypeId": other, "connectedBy": device } });
    let _ = stranger.post("/devices", &behind).await.expect(409);
    // The same alias in two tenants is no clash.
    for (who, kind) in [(&api, &kind), (&stranger, &other)] {
        let _ = who.post("/devices", &json!({ "info": { "name": "x", "deviceTypeId": kind, "aliases": ["same"] } })).await.expect(201);
    }
    assert_eq!(api.get(&format!("/devices/{device}")).await.expect(200).json()["data"]["info"]["name"], "lamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_changes_nothing() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let reader = Api::sign_in(&gateway.http(), "watcher").await;
    let kind = api.new_type().await;
    let device = api.new_device(&kind, "lamp").await;
    for path in [
        "/devices",
        "/devices/tags",
        "/devices/states",
        "/device-types",
        "/device-types/categories",
        "/notifications",
        "/notifications/history",
    ] {
        let _ = reader.get(path).await.expect(200);
    }
    for path in ["", "/state", "/last-events", "/events", "/last-diagnostics", "/certificates", "/onlinemonitoring"] {
        let _ = reader.get(&format!("/devices/{device}{path}")).await.expect(200);
    }
    for (method, path, body, code) in [
        ("POST", "/device-types".to_owned(), lamp(), "DEVICE_FORBIDDEN"),
        ("PATCH", format!("/device-types/{kind}"), json!({ "name": "mine" }), "DEVICE_FORBIDDEN"),
        ("DELETE", format!("/device-types/{kind}"), Value::Null, "DEVICE_FORBIDDEN"),
        ("POST", "/devices".to_owned(), json!({ "info": { "name": "x", "deviceTypeId": kind } }), "DEVICE_FORBIDDEN"),
        ("PATCH", format!("/devices/{device}"), json!({ "custom": {} }), "DEVICE_FORBIDDEN"),
        ("DELETE", format!("/devices/{device}"), Value::Null, "DEVICE_FORBIDDEN"),
        ("PATCH", format!("/devices/{device}/onlinemonitoring"), json!({ "communicationInterval": 1 }), "DEVICE_FORBIDDEN_OR_NOT_FOUND"),
        ("POST", format!("/devices/{device}/actions"), json!({ "action": "raiseTemperature", "payload": {} }), "DEVICE_FORBIDDEN"),
        (
            "POST",
            "/devices/actions".to_owned(),
            json!({ "action": "raiseTemperature", "payload": {}, "deviceFilter": { "deviceId": [device] } }),
            "DEVICE_FORBIDDEN",
        ),
        ("POST", format!("/devices/{device}/certificates"), json!({ "cert": "x" }), "DEVICECERT_FORBIDDEN"),
        ("POST", "/event-ingest".to_owned(), json!({ "deviceId": device, "type": "overheated" }), "DEVICE_FORBIDDEN"),
        ("DELETE", format!("/devices/{device}/timeseries?path=$.attributes.t"), Value::Null, "TIMESERIES_NO_ACCESS_TO_RESOURCE"),
        (
            "POST",
            "/notifications".to_owned(),
            json!({
                "notificationTemplate": { "notificationRecipient": "a@example.com", "notificationPayload": "x" },
                "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated"] } },
            }),
            "NOTIFICATION_FORBIDDEN",
        ),
    ] {
        let answer = reader.send(method, &path, Some(&body).filter(|b| !b.is_null())).await.expect(403);
        assert_eq!(answer.json()["errorCode"], code, "{method} {path}");
    }
    let flat = reader.post("/data-ingest", &json!({ "deviceId": device, "type": "attributes", "value": {} })).await.expect(403).json();
    assert_eq!((&flat["statusCode"], &flat["error"]), (&json!(403), &json!("Forbidden")));
}
