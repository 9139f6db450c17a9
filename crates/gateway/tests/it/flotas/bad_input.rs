//! What is wrong in itself, whoever sends it.

use reqwest::Method;
use serde_json::json;

use super::{alice, error, start};

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let gateway = start().await;
    let (http, alice) = (gateway.http(), alice(&gateway).await);
    let json_type = ("content-type", "application/json; charset=utf-8");
    let with_body = [
        (Method::POST, "/api/Auth/Token"),
        (Method::POST, "/api/devices/dev-1/locations"),
        (Method::POST, "/api/devices/dev-1/alerts"),
        (Method::POST, "/api/devices/dev-1/sendCommand"),
        (Method::POST, "/api/groups"),
        (Method::POST, "/api/users"),
        (Method::PUT, "/api/groups/0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11"),
        (Method::PATCH, "/api/groups/0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11"),
        (Method::PUT, "/api/users/0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11"),
        (Method::PATCH, "/api/users/0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11"),
    ];
    let deep = "[".repeat(100_000);
    for (method, path) in with_body {
        for body in ["", " ", "{", "null", "7", "\"x\"", "{} {}", &deep, "\u{0}"] {
            let answer = alice.send(method.clone(), path, &[json_type], Some(body.as_bytes().to_vec())).await;
            assert_eq!(answer.status, 400, "{body:.20}: {answer}");
            let _ = error(&answer);
        }
        let _ = error(&alice.send(method.clone(), path, &[json_type], Some(b"\xff\xfe".to_vec())).await.expect(400));
        let _ = error(&alice.send(method.clone(), path, &[json_type], Some(vec![b' '; 2 << 20])).await.expect(413));
        for other in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let answer = alice.send(method.clone(), path, &[("content-type", other)], Some(b"{}".to_vec())).await.expect(415);
            assert!(error(&answer).contains("JSON"), "{answer}");
        }
    }
    for body in [json!({}), json!({ "userName": "alice" }), json!({ "apiKey": "x" }), json!({ "userName": "", "apiKey": "" })] {
        assert!(error(&http.post("/api/Auth/Token", &body).await.expect(400)).contains("is required"));
    }
    for body in [json!({ "userName": 7, "apiKey": "x" }), json!({ "userName": "a", "apiKey": null }), json!(["alice", "key", 3])] {
        let _ = error(&http.post("/api/Auth/Token", &body).await.expect(400));
    }
    let long = json!({ "userName": "x".repeat(100_000), "apiKey": "y".repeat(100_000) });
    assert_eq!(error(&http.post("/api/Auth/Token", &long).await.expect(401)), "Invalid API key or username.");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    for path in ["/api/devices/dev-1/locations", "/api/devices/dev-1/alerts"] {
        for (body, says) in [
            (json!({}), "from: is required"),
            (json!({ "from": "2026-03-01" }), "to: is required"),
            (json!({ "from": "", "to": "" }), "from: is required"),
            (json!({ "from": "yesterday", "to": "2026-03-01" }), "from: must be"),
            (json!({ "from": "2026-03-01", "to": "2026-13-01" }), "to: must be"),
            (json!({ "from": "2026-03-02", "to": "2026-03-01" }), "before the beginning"),
            (json!({ "from": "1950-01-01", "to": "1950-01-02" }), "1970"),
            (json!({ "from": "2020-01-01", "to": "2026-03-01" }), "31 days"),
            (json!({ "from": 7, "to": 8 }), "body"),
            (json!({ "from": "NaN", "to": "inf" }), "from: must be"),
        ] {
            let answer = alice.post(path, &body).await.expect(400);
            assert!(error(&answer).contains(says), "{body}: {answer}");
        }
    }
    let mut body = super::day();
    body["alertName"] = json!("x".repeat(129));
    assert!(error(&alice.post("/api/devices/dev-1/alerts", &body).await.expect(400)).contains("alertName"));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    let long = "x".repeat(3_000);
    for id in ["nothing", "..%2F..%2Fetc", "%00", "%ff", "%22%3B--", "+", &long, "'%20or%20'1'='1"] {
        for (method, path) in [
            ("GET", format!("devices/{id}")),
            ("GET", format!("devices/{id}/lastLocation")),
            ("POST", format!("devices/{id}/locations")),
            ("POST", format!("devices/{id}/alerts")),
            ("GET", format!("groups/{id}")),
            ("DELETE", format!("groups/{id}")),
            ("GET", format!("users/{id}")),
            ("DELETE", format!("users/{id}")),
        ] {
            let body = (method == "POST").then(|| super::day().to_string().into_bytes());
            let headers = [("content-type", "application/json")];
            let answer = alice.send(method.parse().unwrap(), &format!("/api/{path}"), &headers, body).await;
            assert_eq!(answer.status, 404, "{method} {path:.40}: {answer}");
            let _ = error(&answer);
        }
    }
    for path in ["/api/geofences", "/api/devices/dev-1/trips", "/api/auth", "/api/auth/token/refresh"] {
        let _ = error(&alice.get(path).await.expect(404));
    }
    let answer = alice.delete("/api/devices/dev-1").await.expect(405);
    assert_eq!((error(&answer).as_str(), answer.header("allow")), ("This path takes GET.", Some("GET")));
    let _ = alice.get("/api/Auth/Token").await.expect(405);
}
