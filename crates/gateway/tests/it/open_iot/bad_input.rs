//! Every body that is wrong, and what is said about it.

use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE};
use testkit::{Gateway, Http};

use super::{API, open, sign_in};
use crate::flashlex::registering::Mailbox;

async fn raw(http: &Http, method: &str, path: &str, body: &[u8]) -> testkit::Exchange {
    http.send(method.parse().unwrap(), &format!("{API}{path}"), &[("content-type", "application/json")], Some(body.to_vec())).await
}

/// Every operation that takes a body, with one that fits.
fn bodies() -> Vec<(&'static str, String, Value)> {
    let account = format!("/accounts/{ACME}");
    vec![
        ("POST", "/auth/token".to_owned(), json!({ "username": ALICE.email, "password": "x" })),
        ("POST", "/auth/refresh".to_owned(), json!({})),
        ("PUT", "/auth/refresh".to_owned(), json!({ "refreshToken": "x" })),
        ("DELETE", "/auth/refresh/revoke".to_owned(), json!({ "refreshToken": "x" })),
        ("POST", "/users".to_owned(), json!({ "email": "n@example.com", "password": "Receiver12345" })),
        ("POST", "/users/request_user_activation".to_owned(), json!({ "email": "n@example.com" })),
        ("POST", "/users/activate".to_owned(), json!({ "token": "x" })),
        ("POST", "/users/forgot_password".to_owned(), json!({ "email": "n@example.com" })),
        ("PUT", "/users/forgot_password".to_owned(), json!({ "token": "x", "password": "Receiver12345" })),
        ("PUT", format!("/users/{}/change_password", ALICE.email), json!({ "currentpwd": "x", "password": "Receiver12345" })),
        ("PUT", "/users/me".to_owned(), json!({ "attributes": {} })),
        ("POST", "/accounts".to_owned(), json!({ "name": "x" })),
        ("PUT", account.clone(), json!({ "name": "x" })),
        ("PUT", format!("{account}/activationcode/refresh"), json!({})),
        ("PUT", format!("{account}/users/{}", ALICE.id), json!({ "accounts": {} })),
        ("POST", format!("{account}/invites"), json!({ "email": "n@example.com" })),
        ("PUT", "/invites/4bd7e8a1-0c6c-4c14-9a53-9df1ff32bd4b/status".to_owned(), json!({ "accept": true })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_strict_everywhere() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let alice = sign_in(&gateway.http(), &ALICE).await;
    for (method, path, good) in bodies() {
        for malformed in [&b"{"[..], b"{]", b"\xff\xfe", b"{\"a\":1}}", "[".repeat(100_000).as_bytes()] {
            let answer = raw(&alice, method, &path, malformed).await.expect(400).json();
            assert_eq!(answer, json!({ "code": 400, "status": 400, "message": "Invalid request" }), "{method} {path}");
        }
        for wrong in [json!([]), json!("text"), json!(1), json!(null)] {
            let answer = raw(&alice, method, &path, wrong.to_string().as_bytes()).await.expect(400).json();
            assert_eq!((&answer["code"], &answer["message"]), (&json!(400), &json!("Invalid request")), "{method} {path} {wrong}");
            assert!(answer["errors"].is_array() && answer.get("status").is_none());
        }
        let mut more = good.clone();
        more["surplus"] = json!(1);
        let answer = raw(&alice, method, &path, more.to_string().as_bytes()).await.expect(400).json();
        assert_eq!(answer["errors"], json!(["surplus is not allowed"]), "{method} {path}");
        for name in good.as_object().unwrap().keys() {
            let mut mistyped = good.clone();
            mistyped[name] = json!([1]);
            let answer = raw(&alice, method, &path, mistyped.to_string().as_bytes()).await.expect(400).json();
            assert!(answer["errors"][0].as_str().unwrap().starts_with(name.as_str()), "{method} {path} {name}: {answer}");
        }
        let big = format!("{{\"surplus\":\"{}\"}}", "x".repeat(2_560 * 1_024));
        assert_eq!(raw(&alice, method, &path, big.as_bytes()).await.expect(413).json()["code"], 413, "{method} {path}");
    }
    assert!(mailbox.mails.lock().is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_make_no_sense() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let user = |email: &str, password: &str| json!({ "email": email, "password": password });
    for (body, code) in [
        (user("nonsense", "Receiver12345"), 400),
        (user("", "Receiver12345"), 400),
        (user("a@b.c\r\nBcc: x@y.z", "Receiver12345"), 400),
        (user("a@example.com", ""), 2401),
        (user("a@example.com", "short"), 2401),
        (user("a@example.com", "abcdefgh"), 2401),
        (user("a@example.com", &"x".repeat(2_000)), 2401),
        (json!({ "email": "a@example.com", "password": "Receiver12345", "termsAndConditions": false }), 2405),
        (json!({ "email": "a@example.com", "password": "Receiver12345", "attributes": { "a": 1 } }), 400),
    ] {
        assert_eq!(http.post("/v1/api/users", &body).await.expect(400).json()["code"], code, "{body}");
    }
    for email in ["", "nonsense", "a@b@c"] {
        for path in ["/users/request_user_activation", "/users/forgot_password"] {
            assert_eq!(http.post(&format!("{API}{path}"), &json!({ "email": email })).await.expect(400).json()["code"], 400);
        }
        let _ = alice.post(&format!("{API}/accounts/{ACME}/invites"), &json!({ "email": email })).await.expect(400);
    }
    for name in ["", "  ", "a\nb", &"x".repeat(129)] {
        assert_eq!(alice.post("/v1/api/accounts", &json!({ "name": name })).await.expect(400).json()["code"], 400);
        assert_eq!(alice.put(&format!("{API}/accounts/{ACME}"), &json!({ "name": name })).await.expect(400).json()["code"], 400);
    }
    let many: serde_json::Map<String, Value> = (0..101).map(|n| (n.to_string(), json!("x"))).collect();
    for attributes in [json!(many), json!({ "": "x" }), json!({ "a": "" }), json!({ "a": "x".repeat(1_025) }), json!({ "a": null })] {
        let body = json!({ "attributes": attributes });
        assert!(alice.put("/v1/api/users/me", &body).await.expect(400).json()["errors"].is_array());
        let body = json!({ "name": "x", "attributes": body["attributes"] });
        let _ = alice.post("/v1/api/accounts", &body).await.expect(400);
        let _ = alice.put(&format!("{API}/accounts/{ACME}"), &body).await.expect(400);
    }
    for settings in [json!({}), json!({ "trackSensorHealth": "no" }), json!({ "trackSensorHealth": false, "x": "y".repeat(20_000) })] {
        let _ = alice.post("/v1/api/accounts", &json!({ "name": "x", "settings": settings })).await.expect(400);
    }
    for token in ["", "x", "0123456789abcdef", "\u{1F600}\u{1F600}\u{1F600}\u{1F600}", &"x".repeat(10_000)] {
        assert_eq!(http.post("/v1/api/users/activate", &json!({ "token": token })).await.expect(400).json()["code"], 2406);
        let body = json!({ "token": token, "password": "Receiver12345" });
        assert_eq!(http.put("/v1/api/users/forgot_password", &body).await.expect(400).json()["code"], 2406);
        let body = json!({ "refreshToken": token });
        assert_eq!(alice.put("/v1/api/auth/refresh", &body).await.expect(401).json()["code"], 15_001);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    for (method, path) in [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("PATCH", "/auth/me"),
        ("GET", "/auth/token"),
        ("POST", "/auth/me"),
        ("GET", "/accounts"),
    ] {
        let answer = raw(&alice, method, path, b"").await.expect(404);
        assert!(answer.text().starts_with(&format!("Cannot {method} ")), "{}", answer.text());
    }
    // A slash at the end is forgiven.
    let _ = alice.get("/v1/api/auth/me/").await.expect(200);
    for path in ["/v1/api/accounts", "/v1/api/auth/token", "/v1/api/accounts/x/users"] {
        let answer = http.send(reqwest::Method::OPTIONS, path, &[], None).await.expect(200);
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, OPTIONS, PUT, PATCH, DELETE"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let health = http.get("/v1/api/health").await.expect(200).json();
    assert_eq!((&health["kind"], &health["isHealthy"], &health["currentSetting"]), (&json!("healthcheck"), &json!(true), &json!("prod")));
    assert_eq!(http.get("/v1/api/time").await.expect(200).json()["actualTime"], "2026-03-01 12:00:00");
    // The page that mails link to.
    let page = http.get("/ui/auth").await.expect(200);
    assert!(page.text().contains("/ui/auth.js") && page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    let _ = http.get("/ui/auth.js").await.expect(200);
    let _ = http.get("/ui/auth.css").await.expect(200);
}
