//! Bad input for each operation: the status, and the service's own code.

use serde_json::{Value, json};
use testkit::Http;

use super::{Api, lamp, open};

/// Method, path, body, status, code.
type Try = (&'static str, String, Value, u16, &'static str);

async fn refused(api: &Api, tries: Vec<Try>) {
    for (method, path, body, status, code) in tries {
        let answer = api.send(method, &path, Some(&body).filter(|b| !b.is_null())).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer}");
        assert_eq!(answer.json()["errorCode"], code, "{method} {path} {body}: {answer}");
        assert!(answer.json()["errorMessage"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

fn with(mut value: Value, pointer: &str, to: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = to;
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn types() {
    const CODE: &str = "DEVICE_VALIDATION";
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let one = format!("/device-types/{kind}");
    let post = |body: Value| ("POST", "/device-types".to_owned(), body, 400, CODE);
    let patch = |body: Value| ("PATCH", one.clone(), body, 400, CODE);
    let get = |query: &str| ("GET", format!("/device-types{query}"), Value::Null, 400, CODE);
    let mut tries = vec![
        post(json!({})),
        post(json!([lamp()])),
        post(json!({ "name": "no schema" })),
        post(with(lamp(), "/name", json!(""))),
        post(with(lamp(), "/name", json!("x".repeat(256)))),
        post(with(lamp(), "/name", json!(1))),
        post(with(lamp(), "/categories", json!("urn:x"))),
        post(with(lamp(), "/communicationInterval", json!(172_801))),
        post(with(lamp(), "/communicationInterval", json!(-1))),
        post(with(lamp(), "/reportingRules/0/path", json!("configuration.brightness"))),
        post(with(lamp(), "/reportingRules/0/reportTo", json!(["nowhere"]))),
        post(with(lamp(), "/schema/other", json!({}))),
        post(with(lamp(), "/schema/attributes/temperature", json!({ "type": "temperature" }))),
        post(with(lamp(), "/schema/attributes/temperature", json!({ "$ref": "http://127.0.0.1:9/schema" }))),
        patch(json!({ "name": "" })),
        patch(json!({ "schema": { "events": [] } })),
        patch(json!({ "communicationInterval": 1.5 })),
        get("?page=-1"),
        get("?pageSize=many"),
        get("?pageSize=1001"),
        get("?deviceTypeId=dev-1"),
        ("GET", "/device-types?deviceTypeName=a".to_owned(), json!({ "deviceTypeName": ["a"] }), 400, CODE),
        ("GET", "/device-types".to_owned(), json!({ "deviceTypeName": [] }), 400, CODE),
        ("GET", "/device-types".to_owned(), json!({ "deviceName": ["a"] }), 400, CODE),
        ("PATCH", format!("{one}/onlinemonitoring"), json!({}), 400, CODE),
        ("PATCH", format!("{one}/onlinemonitoring"), json!({ "communicationInterval": "60" }), 400, CODE),
        ("PATCH", format!("{one}/onlinemonitoring"), json!({ "communicationInterval": 172_801 }), 400, CODE),
    ];
    let gone = uuid::Uuid::nil();
    tries.extend([
        ("GET", "/device-types/dev-1".to_owned(), Value::Null, 400, CODE),
        ("GET", format!("/device-types/{gone}"), Value::Null, 404, "DEVICE_RESOURCE_NOT_FOUND"),
        ("PATCH", format!("/device-types/{gone}"), json!({ "name": "x" }), 404, "DEVICE_RESOURCE_NOT_FOUND"),
        ("DELETE", format!("/device-types/{gone}"), Value::Null, 404, "DEVICE_RESOURCE_NOT_FOUND"),
        ("GET", format!("/device-types/{gone}/onlinemonitoring"), Value::Null, 403, "DEVICE_FORBIDDEN_OR_NOT_FOUND"),
        (
            "PATCH",
            format!("/device-types/{gone}/onlinemonitoring"),
            json!({ "communicationInterval": 1 }),
            403,
            "DEVICE_FORBIDDEN_OR_NOT_FOUND",
        ),
    ]);
    refused(&api, tries).await;
    // What is wrong is named by its path.
    let answer = api.post("/device-types", &with(lamp(), "/reportingRules/0/reportTo", json!(["nowhere"]))).await.json();
    assert!(answer["errorMessage"].as_str().unwrap().contains("reportingRules[0].reportTo[0]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices() {
    const CODE: &str = "DEVICE_VALIDATION";
    const GONE: &str = "DEVICE_RESOURCE_NOT_FOUND";
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let device = api.new_device(&kind, "lamp").await;
    let one = format!("/devices/{device}");
    let base = json!({ "info": { "name": "x", "deviceTypeId": kind } });
    let post = |pointer: &str, to: Value| ("POST", "/devices".to_owned(), with(base.clone(), pointer, to), 400, CODE);
    let patch = |body: Value| ("PATCH", one.clone(), body, 400, CODE);
    let act = |body: Value| ("POST", format!("{one}/actions"), body, 400, CODE);
    let all = |body: Value| ("POST", "/devices/actions".to_owned(), body, 400, CODE);
    let gone = uuid::Uuid::nil();
    refused(
        &api,
        vec![
            ("POST", "/devices".to_owned(), json!({}), 400, CODE),
            post("/info/name", Value::Null),
            post("/info/name", json!("x".repeat(256))),
            post("/info/deviceTypeId", Value::Null),
            post("/info/deviceTypeId", json!("lamp")),
            post("/info/deviceTypeId", json!(gone)),
            post("/info/description", json!("x".repeat(513))),
            post("/info/tags", json!(["two words"])),
            post("/info/tags", json!(["x".repeat(257)])),
            post("/info/aliases", json!([""])),
            post("/info/installationTimestamp", json!("yesterday")),
            post("/info/communicationInterval", json!(172_801)),
            post("/info/coordinates", json!({ "x": "far" })),
            post("/configuration", json!({ "brightness": 101 })),
            post("/configuration", json!({ "unknown": 1 })),
            post("/custom", json!([])),
            patch(json!({ "info": { "name": "" } })),
            patch(json!({ "info": { "deviceTypeId": gone } })),
            patch(json!({ "configuration": { "color": { "g": 1 } } })),
            patch(json!({ "configuration": "bright" })),
            ("GET", "/devices/dev-1".to_owned(), Value::Null, 400, CODE),
            ("GET", "/devices?deviceId=dev-1".to_owned(), Value::Null, 400, CODE),
            ("GET", "/devices?page=x".to_owned(), Value::Null, 400, CODE),
            ("GET", "/devices?deviceTag=a".to_owned(), json!({ "deviceTag": ["a"] }), 400, CODE),
            ("GET", "/devices".to_owned(), json!({ "deviceTags": ["a"] }), 400, CODE),
            ("GET", "/devices/states?pageSize=-1".to_owned(), Value::Null, 400, "DEVICESTATE_VALIDATION"),
            ("GET", "/devices/x/state".to_owned(), Value::Null, 400, "DEVICESTATE_VALIDATION"),
            ("GET", format!("{one}/last-events?eventTypes=a%20b"), Value::Null, 400, CODE),
            ("GET", "/devices/x/last-diagnostics".to_owned(), Value::Null, 400, "DEVICEDIAGNOSTICS_VALIDATION"),
            act(json!({})),
            act(json!({ "action": "raiseTemperature" })),
            act(json!({ "action": "raiseTemperature", "payload": [] })),
            act(json!({ "action": "raiseTemperature", "payload": { "value": "hot" } })),
            act(json!({ "action": "unknown", "payload": {} })),
            all(json!({ "action": "raiseTemperature", "payload": {} })),
            all(json!({ "action": "raiseTemperature", "payload": {}, "deviceFilter": {} })),
            all(json!({ "action": "raiseTemperature", "payload": {}, "deviceFilter": { "deviceTag": [] } })),
            all(json!({ "action": "raiseTemperature", "payload": {}, "deviceFilter": { "tagged": ["a"] } })),
            ("GET", format!("/devices/{gone}"), Value::Null, 404, GONE),
            ("PATCH", format!("/devices/{gone}"), json!({ "custom": {} }), 404, GONE),
            ("DELETE", format!("/devices/{gone}"), Value::Null, 404, GONE),
            ("POST", format!("/devices/{gone}/actions"), json!({ "action": "a", "payload": {} }), 404, GONE),
            ("GET", format!("/devices/{gone}/last-events"), Value::Null, 404, GONE),
            ("GET", format!("/devices/{gone}/state"), Value::Null, 404, "DEVICESTATE_RESOURCE_NOT_FOUND"),
            ("GET", format!("/devices/{gone}/last-diagnostics"), Value::Null, 404, "DEVICEDIAGNOSTICS_RESOURCE_NOT_FOUND"),
            (
                "PATCH",
                format!("/devices/{gone}/onlinemonitoring"),
                json!({ "communicationInterval": 1 }),
                403,
                "DEVICE_FORBIDDEN_OR_NOT_FOUND",
            ),
        ],
    )
    .await;
    // A bulk action to nobody in particular went to nobody at all.
    let _ = api
        .post("/devices/actions", &json!({ "action": "unknown", "payload": {}, "deviceFilter": { "deviceTag": ["a"] } }))
        .await
        .expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_series() {
    const CODE: &str = "DEVICECERT_VALIDATION";
    const GONE: &str = "DEVICECERT_RESOURCE_NOT_FOUND";
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let one = format!("/devices/{}", api.new_device(&kind, "lamp").await);
    let gone = uuid::Uuid::nil();
    let range = "startTime=2026-01-01T00:00:00Z&endTime=2026-01-02T00:00:00Z&path=$.attributes.temperature";
    let aggregated =
        |query: String| ("GET", format!("{one}/aggregated-timeseries?{query}"), Value::Null, 400, "AGGREGATEDTIMESERIES_BAD_REQUEST");
    let last = |query: &str| ("GET", format!("{one}/last-timeseries{query}"), Value::Null, 400, "TIMESERIES_BADREQUEST");
    let delete = |query: &str| ("DELETE", format!("{one}/timeseries{query}"), Value::Null, 400, "TIMESERIES_BADREQUEST");
    refused(
        &api,
        vec![
            ("POST", format!("{one}/certificates"), json!({}), 400, CODE),
            ("POST", format!("{one}/certificates"), json!({ "cert": "no certificate" }), 400, CODE),
            ("POST", format!("{one}/certificates"), json!({ "cert": "x", "status": "good" }), 400, CODE),
            ("GET", format!("{one}/certificates?page=-1"), Value::Null, 400, CODE),
            ("GET", format!("{one}/certificates/first"), Value::Null, 400, CODE),
            ("GET", format!("{one}/certificates/{gone}"), Value::Null, 404, GONE),
            ("PATCH", format!("{one}/certificates/{gone}"), json!({ "status": "revoked" }), 404, GONE),
            ("PATCH", format!("{one}/certificates/{gone}"), json!({ "status": 1 }), 400, CODE),
            ("DELETE", format!("{one}/certificates/{gone}"), Value::Null, 404, GONE),
            last(""),
            last("?path=temperature"),
            delete(""),
            delete("?path=$.attributes.t&startTime=yesterday"),
            delete("?path=$.attributes.t&startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z"),
            aggregated(range.to_owned()),
            aggregated(format!("{range}&aggregation=median")),
            aggregated(format!("{range}&aggregation=mean&frameSize=2m")),
            aggregated("aggregation=mean&path=$.attributes.temperature&startTime=2026-01-01T00:00:00Z".to_owned()),
            // 5,760 frames.
            aggregated(
                "aggregation=mean&frameSize=1m&path=$.attributes.t&startTime=2026-01-01T00:00:00Z&endTime=2026-01-05T00:00:00Z".to_owned(),
            ),
            (
                "GET",
                format!("/devices/{gone}/aggregated-timeseries?{range}&aggregation=mean"),
                Value::Null,
                404,
                "AGGREGATEDTIMESERIES_DEVICEID",
            ),
            ("GET", format!("/devices/{gone}/last-timeseries?path=$.attributes.t"), Value::Null, 404, "TIMESERIES_DEVICE"),
            ("DELETE", format!("/devices/{gone}/timeseries?path=$.attributes.t"), Value::Null, 404, "TIMESERIES_DEVICE"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let device = api.new_device(&kind, "lamp").await;
    let gone = uuid::Uuid::nil();
    // `/data-ingest` refuses in a shape of its own.
    for body in [
        json!([]),
        json!({}),
        json!({ "deviceId": device, "value": {} }),
        json!({ "deviceId": device, "type": "state", "value": {} }),
        json!({ "deviceId": device, "type": "attributes", "value": 1 }),
        json!({ "deviceId": device, "type": "attributes" }),
        json!({ "deviceId": "lamp", "type": "attributes", "value": {} }),
        json!({ "deviceId": device, "alias": "lamp", "type": "attributes", "value": {} }),
        json!({ "type": "attributes", "value": {} }),
        json!({ "deviceId": device, "type": "attributes", "value": {}, "time": "now" }),
    ] {
        let answer = api.post("/data-ingest", &body).await.expect(400).json();
        assert_eq!((&answer["statusCode"], &answer["error"]), (&json!(400), &json!("Bad Request")), "{body}");
    }
    let event = |body: Value, status, code| ("POST", "/event-ingest".to_owned(), body, status, code);
    refused(
        &api,
        vec![
            event(json!({ "deviceId": device }), 400, "DEVICE_VALIDATION"),
            event(json!({ "type": "overheated" }), 400, "DEVICE_VALIDATION"),
            event(json!({ "deviceId": device, "type": "overheated", "createdAt": 7 }), 400, "DEVICE_VALIDATION"),
            event(json!({ "deviceId": gone, "type": "overheated" }), 404, "DEVICE_RESOURCE_NOT_FOUND"),
            event(json!({ "alias": "nobody", "type": "overheated" }), 404, "DEVICE_RESOURCE_NOT_FOUND"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_operation_and_who_is_nobody() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let answer = api.send("PUT", "/devices", Some(&json!({}))).await.expect(405);
    assert!(answer.json()["errorCode"].is_string(), "{answer}");
    let big = json!({ "name": "x".repeat(2 << 20), "schema": {} });
    let _ = api.post("/device-types", &big).await.expect(413);
    // A preflight of a browser, and an answer that its script may read.
    let http: &Http = &api.0;
    let ask = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization"),
    ];
    let preflight = http.send("OPTIONS".parse().unwrap(), "/v1/devices", &ask, None).await.expect(204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    let read = http.send("GET".parse().unwrap(), "/v1/devices", &[("origin", "https://app.example")], None).await.expect(200);
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
    // A token of another face is none here.
    let native = testkit::fleet::ALICE.native(&gateway.http()).await;
    let refused = native.get("/v1/devices").await.expect(401).json();
    assert_eq!(refused["errorCode"], "ID_UNAUTHORIZED");
}
