//! Every operation, tried by everybody who may not.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY};
use testkit::{Auth, Http};

use super::{alice, carol, error, rita, start};

/// Method, path, and what a reader gets (0: may do it) and another account (0: sees its own).
const TABLE: &[(&str, &str, u16, u16)] = &[
    ("GET", "/api/devices", 0, 0),
    ("GET", "/api/devices/{deviceId}", 0, 404),
    ("GET", "/api/devices/{deviceId}/lastLocation", 0, 404),
    ("POST", "/api/devices/{deviceId}/locations", 0, 404),
    ("POST", "/api/devices/{deviceId}/alerts", 0, 404),
    ("POST", "/api/devices/{deviceId}/sendCommand", 403, 404),
    ("GET", "/api/groups", 0, 0),
    ("POST", "/api/groups", 403, 0),
    ("GET", "/api/groups/{groupId}", 0, 404),
    ("PUT", "/api/groups/{groupId}", 403, 404),
    ("PATCH", "/api/groups/{groupId}", 403, 404),
    ("GET", "/api/users", 403, 0),
    ("POST", "/api/users", 403, 0),
    ("GET", "/api/users/{userId}", 403, 404),
    ("PUT", "/api/users/{userId}", 403, 404),
    ("PATCH", "/api/users/{userId}", 403, 404),
    ("GET", "/api/users/countries", 0, 0),
    ("GET", "/api/users/timeZones", 0, 0),
    ("DELETE", "/api/groups/{groupId}", 403, 404),
    ("DELETE", "/api/users/{userId}", 403, 404),
];

fn body(method: &str, path: &str, email: &str) -> Option<Value> {
    let user = json!({ "name": "N", "email": email, "country": "US", "timeZone": "UTC" });
    match (method, path.split('/').next_back().unwrap()) {
        (_, "locations" | "alerts") => Some(super::day()),
        (_, "sendCommand") => Some(json!({ "command": "x", "timeout": 0 })),
        ("PATCH", _) => Some(json!([{ "op": "test", "path": "/id", "value": "no" }])),
        ("POST" | "PUT", _) if path.contains("users") => Some(user),
        ("POST" | "PUT", _) => Some(json!({ "name": format!("{method} of {email}") })),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_guarded() {
    let mut operations: Vec<_> = flotas_control::OPERATIONS.to_vec();
    operations.retain(|operation| !TABLE.iter().any(|row| (row.0, row.1) == *operation));
    assert_eq!((TABLE.len(), operations), (20, vec![("POST", "/api/Auth/Token")]), "the table is complete");

    let gateway = start().await;
    let (http, alice, rita, carol) = (gateway.http(), alice(&gateway).await, rita(&gateway).await, carol(&gateway).await);
    let group = alice.post("/api/groups", &json!({ "name": "ours" })).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let user = json!({ "name": "L", "email": "leaver@example.com", "country": "US", "timeZone": "UTC" });
    let user = alice.post("/api/users", &user).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let Auth::Bearer(token) = alice.auth().clone() else { panic!("a token") };
    let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
    let at = token.rfind('.').unwrap() + 20;
    let altered = format!("{}{}{}", &token[..at], if &token[at..=at] == "A" { "B" } else { "A" }, &token[at + 1..]);
    let Auth::Bearer(native) = ALICE.native(&http).await.auth().clone() else { panic!("a token") };
    let Auth::Bearer(flashlex) = ALICE.flashlex(&http).await.auth().clone() else { panic!("a token") };
    let strangers: Vec<(&str, Http)> = vec![
        ("nobody", http.clone()),
        ("garbage", http.bearer("garbage")),
        ("an altered token", http.bearer(altered)),
        ("an unsigned token", http.bearer(unsigned)),
        ("an API key", http.bearer(API_KEY)),
        ("Basic", http.basic(ALICE.email, ALICE.password)),
        ("the own API's token", http.bearer(native)),
        ("FlashLex's token", http.bearer(flashlex)),
    ];
    let path = |path: &str| path.replace("{deviceId}", "dev-1").replace("{groupId}", &group).replace("{userId}", &user);
    let send = async |who: &Http, method: &str, template: &str, email: &str| {
        let body = body(method, template, email).map(|b| b.to_string().into_bytes());
        who.send(method.parse().unwrap(), &path(template), &[("content-type", "application/json")], body).await
    };
    for (method, template, reader, stranger) in TABLE {
        for (who, http) in &strangers {
            let answer = send(http, method, template, "a@example.com").await;
            assert_eq!(answer.status, 401, "{who}: {answer}");
            let text = if (*method, *template) == ("GET", "/api/groups") {
                "Unauthorized access"
            } else {
                "Authentication failed. Invalid token."
            };
            assert_eq!((error(&answer).as_str(), answer.header("www-authenticate")), (text, Some("Bearer")), "{who}: {answer}");
        }
        for (who, http, wanted) in [("a reader", &rita, *reader), ("another account", &carol, *stranger)] {
            let email = format!("{}@example.com", who.replace(' ', "-"));
            let answer = send(http, method, template, &email).await;
            match wanted {
                0 => assert!((200..300).contains(&answer.status), "{who}: {answer}"),
                status => assert_eq!((answer.status, error(&answer).is_empty()), (status, false), "{who}: {answer}"),
            }
        }
        gateway.advance(Duration::from_secs(10));
    }
    // Nothing happened meanwhile, and whoever may, does.
    for (method, template, ..) in TABLE {
        let answer = send(&alice, method, template, "leaver@example.com").await;
        let wanted: &[u16] = match (*method, *template) {
            ("PATCH", _) => &[400],
            (_, t) if t.ends_with("sendCommand") => &[408],
            ("POST", "/api/users") => &[409],
            _ => &[200, 201],
        };
        assert!(wanted.contains(&answer.status), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_this_apis_alone() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    for path in ["/heliograph/v1/things", "/prd/v1/things"] {
        let _ = alice.get(path).await.expect(401);
    }
}
