//! Texts that break programs, in every path and every body of every face, on both stores: NUL (which PostgreSQL does not keep), bytes
//! that are no text, what looks like SQL, numbers at the edge. Nothing is an internal error.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY, FLEET};
use testkit::{Gateway, Http, both_engines};

/// As they stand in a path.
const PATHS: &[&str] = &[
    "%00",
    "a%00b",
    "%ff%fe",
    "%c0%af",
    "%ed%a0%80",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%",
    "%zz",
    "'%20or%20'1'='1",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "-1",
    "0",
    "9223372036854775808",
    "00000000-0000-0000-0000-000000000000",
    "%0d%0aX-Injected:%201",
];

fn nasty() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.1),
        json!([]),
        json!([[]]),
        json!({}),
        json!([null]),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("a\0b"),
        json!("\u{ffff}\u{202e}\u{feff}"),
        json!("'; drop table thing; --"),
        json!("\r\nBcc: everybody@example.com"),
        json!("../../../../etc/passwd"),
        json!("💩".repeat(300)),
        json!("x".repeat(70_000)),
        json!("9999-99-99T99:99:99Z"),
        json!("+262143-12-31T23:59:59Z"),
        json!("-009999-01-01T00:00:00Z"),
    ]
}

/// Every body with each of its values, at any depth, replaced by each nasty one; and the whole by it.
fn variants(body: &Value) -> Vec<Value> {
    fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
        out.push(at.to_owned());
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| pointers(value, &format!("{at}/{name}"), out)),
            Value::Array(list) => list.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), out)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    pointers(body, "", &mut all);
    let mut variants = Vec::new();
    for pointer in all {
        for value in nasty() {
            let mut changed = body.clone();
            *changed.pointer_mut(&pointer).unwrap() = value;
            variants.push(changed);
        }
    }
    variants
}

async fn no_text_breaks_a_face(url: Option<String>) {
    let fleet = format!(
        "{FLEET}\n[[user]]\nemail = \"victim@example.com\"\nid = \"ecd13b19-6d91-4e8e-9156-60e451a3c975\"\nmemberships = [{{ tenant = \"acme\", role = \"reader\" }}]\n"
    );
    let gateway = Gateway::builder().provision(&fleet).store(url).start().await;
    let http = gateway.http();
    let (native, flashlex) = (ALICE.native(&http).await, ALICE.flashlex(&http).await);
    let flotas = http.post("/api/Auth/Token", &json!({ "userName": ALICE.email, "apiKey": API_KEY })).await.expect(200).json();
    let flotas = http.bearer(flotas["token"].as_str().unwrap());
    let open_iot =
        http.post("/v1/api/auth/token", &json!({ "username": ALICE.email, "password": ALICE.password })).await.expect(200).json();
    let open_iot = http.bearer(open_iot["token"].as_str().unwrap());
    let _ = native.put("/heliograph/v1/things/dev-1/secret", &json!({ "secret": "a secret of truck 1" })).await;
    let mut wrong = Vec::new();
    let mut check = |what: String, status: u16| {
        if status >= 500 {
            wrong.push(format!("{what}: {status}"));
        }
    };

    // Paths and queries.
    let paths: &[(&Http, &[&str])] = &[
        (
            &native,
            &[
                "GET /heliograph/v1/things/{}",
                "GET /heliograph/v1/things/{}/messages",
                "GET /heliograph/v1/things/dev-1/messages/{}",
                "GET /heliograph/v1/things/{}/inbox",
                "GET /heliograph/v1/things/{}/keys",
                "GET /heliograph/v1/things/{}/messages/stream",
                "DELETE /heliograph/v1/things/dev-1/certificates/{}",
                "GET /heliograph/v1/users/{}",
                "GET /heliograph/v1/clients/{}",
                "GET /heliograph/v1/tenants/{}",
                "DELETE /heliograph/v1/api-keys/{}",
                "DELETE /heliograph/v1/memberships/{}",
                "GET /heliograph/v1/things?name_contains={}&tag={}",
                "GET /heliograph/v1/things?cursor={}",
                "GET /heliograph/v1/things?limit={}",
                "GET /heliograph/v1/users?cursor={}",
                "GET /heliograph/v1/audit?actor={}&action={}",
                "GET /heliograph/v1/audit?from={}",
                "GET /heliograph/v1/things/dev-1/messages?from={}&to={}&cursor={}",
            ],
        ),
        (
            &flashlex,
            &[
                "GET /prd/v1/things/{}",
                "GET /prd/v1/things/{}/messages",
                "GET /prd/v1/things/{}/archive",
                "GET /prd/v1/things/{}/dist",
                "GET /prd/v1/users/{}",
                "GET /prd/v1/subscriptions/{}",
                "GET /prd/v1/things?thingName={}",
                "GET /prd/v1/things/dev-1/messages?from={}&to={}",
                "POST /prd/v1/things/{}/collect",
            ],
        ),
        (
            &flotas,
            &[
                "GET /api/devices/{}",
                "GET /api/devices/{}/lastLocation",
                "GET /api/groups/{}",
                "DELETE /api/groups/{}",
                "GET /api/users/{}",
                "GET /api/{}",
                "GET /api/devices?name={}&page={}",
                "GET /api/osmand?id={}&secret={}&lat={}&lon={}",
                "GET /api/osmand?id=dev-1&secret=a%20secret%20of%20truck%201&lat=1&lon=2&speed={}&timestamp={}&hdop={}",
            ],
        ),
        (
            &open_iot,
            &[
                "GET /v1/api/users/{}",
                "GET /v1/api/accounts/{}",
                "GET /v1/api/accounts/{}/users",
                "DELETE /v1/api/accounts/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01/invites/{}",
                "GET /v1/api/invites/{}",
                "GET /v1/api/users/forgot_password?token={}",
                "GET /v1/api/{}",
            ],
        ),
        (
            &http,
            &[
                "GET /{}",
                "GET /oauth2/authorize?client_id={}&redirect_uri={}&response_type=code",
                "GET /oauth2/authorize?client_id=backend&redirect_uri={}&response_type={}&state={}&nonce={}&prompt={}&max_age={}",
                "GET /oauth2/logout?id_token_hint={}&post_logout_redirect_uri={}",
                "GET /console/login?next={}&login_hint={}",
                "GET /console/device?user_code={}",
                "GET /graphql?query={}&variables={}",
                "GET /docs/{}",
            ],
        ),
    ];
    for (who, routes) in paths {
        for route in *routes {
            let (method, path) = route.split_once(' ').unwrap();
            for text in PATHS {
                let path = path.replace("{}", text);
                if path.parse::<http::Uri>().is_err() {
                    continue;
                }
                check(format!("{method} {path}"), who.status(method, &path, None).await);
            }
        }
    }

    // Bodies.
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let thing = json!({ "key": "k", "name": "n", "kind": "truck", "tags": ["a"], "attributes": { "a": "b" }, "distribution": "d", "secret": "0123456789abcdef" });
    let bodies: Vec<(&Http, &str, &str, Value)> = vec![
        (&native, "POST", "/heliograph/v1/things", thing.clone()),
        (&native, "PATCH", "/heliograph/v1/things/dev-1", json!({ "name": "n", "kind": "k", "tags": ["a"], "attributes": { "a": "b" } })),
        (
            &native,
            "POST",
            "/heliograph/v1/things/dev-1/messages",
            json!({ "payload": "a", "json": { "a": 1 }, "payload_base64": "YQ==", "expires_in": 60, "priority": 4 }),
        ),
        (&native, "POST", "/heliograph/v1/things/dev-1/certificates", json!({ "pem": certificate })),
        (
            &native,
            "POST",
            "/heliograph/v1/users",
            json!({ "email": "x@example.com", "username": "x", "password": "a long password", "role": "reader", "given_name": "X", "family_name": "Y" }),
        ),
        (&native, "PATCH", "/heliograph/v1/users/ecd13b19-6d91-4e8e-9156-60e451a3c975", json!({ "given_name": "X", "family_name": "Y" })),
        (
            &native,
            "POST",
            "/heliograph/v1/clients",
            json!({ "id": "c", "grants": ["client_credentials"], "scopes": ["openid"], "redirect_uris": ["http://127.0.0.1/cb"], "secret": "0123456789abcdef" }),
        ),
        (&native, "POST", "/heliograph/v1/api-keys", json!({ "label": "l", "user": ALICE.id, "expires": "2027-01-01T00:00:00Z" })),
        (&native, "POST", "/heliograph/v1/memberships", json!({ "user": ALICE.id, "role": "owner" })),
        (&native, "PATCH", "/heliograph/v1/tenants/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01", json!({ "name": "acme" })),
        (&native, "POST", "/heliograph/v1/token/revoke", json!({ "token": "t", "id": "i" })),
        (&flashlex, "POST", "/prd/v1/things", json!({ "flthingspk": "k", "thingName": "n", "thingType": "t", "tags": ["a"] })),
        (&flashlex, "POST", "/prd/v1/things/dev-1/publish", json!({ "message": "m", "payload": { "a": 1 } })),
        (&flotas, "POST", "/api/groups", json!({ "name": "g", "description": "d", "devices": [1], "users": [1] })),
        (&flotas, "PUT", "/api/groups/1", json!({ "id": 1, "name": "g", "description": "d" })),
        (&flotas, "PATCH", "/api/groups/1", json!([{ "op": "replace", "path": "/name", "value": "x" }])),
        (
            &flotas,
            "POST",
            "/api/users",
            json!({ "email": "y@example.com", "password": "a long password", "name": "Y", "country": "ES", "timeZone": "Europe/Madrid" }),
        ),
        (&flotas, "POST", "/api/devices/1/locations", json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-03-01T23:59:59Z" })),
        (&flotas, "POST", "/api/devices/1/alerts", json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-03-01T23:59:59Z" })),
        (&flotas, "POST", "/api/devices/1/sendCommand", json!({ "command": "c", "parameters": { "a": "b" } })),
        (&open_iot, "POST", "/v1/api/accounts", json!({ "name": "a", "attributes": { "a": "b" } })),
        (&open_iot, "PUT", "/v1/api/accounts/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01", json!({ "name": "acme", "attributes": { "a": "b" } })),
        (&open_iot, "POST", "/v1/api/accounts/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01/invites", json!({ "email": "z@example.com" })),
        (&open_iot, "PUT", "/v1/api/users/ecd13b11-6d91-4e8e-9156-60e451a3c975", json!({ "attributes": { "a": "b" } })),
        (&open_iot, "PUT", "/v1/api/auth/refresh", json!({ "refreshToken": "t" })),
        (
            &http,
            "POST",
            "/graphql",
            json!({ "query": "query q($a: ID!) { thing(id: $a) { id } }", "operationName": "q", "variables": { "a": "b" } }),
        ),
    ];
    for (who, method, path, body) in &bodies {
        for variant in variants(body) {
            let status = who.status(method, path, Some(&variant)).await;
            check(format!("{method} {path} {:.200}", variant.to_string()), status);
        }
        // Text that is no text.
        for raw in [
            &b"{\"name\":\"\xff\xfe\"}"[..],
            b"\xff\xfe\x00",
            b"{\"name\":\"\\ud800\"}",
            b"{\"a\":1}{\"a\":2}",
            b"{\"name\":\"a\",\"name\":\"b\"}",
            b"\x00",
            b"nul",
        ] {
            let headers = [("content-type", "application/json")];
            let answer = who.send(method.parse().unwrap(), path, &headers, Some(raw.to_vec())).await;
            check(format!("{method} {path} {raw:?}"), answer.status);
        }
    }

    // Forms, and the credentials in them: each is a try, so few of them.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (path, names) in [
        ("/oauth2/token", &["grant_type", "client_id", "client_secret", "code", "refresh_token", "redirect_uri", "scope"][..]),
        ("/v1/id/auth/realms/olt/protocol/openid-connect/token", &["grant_type", "client_id", "client_secret", "code"]),
        ("/oauth2/introspect", &["token", "client_id", "client_secret"]),
        ("/oauth2/revoke", &["token", "client_id", "client_secret"]),
        ("/oauth2/device_authorization", &["client_id", "scope"]),
        ("/console/login", &["email", "password", "next"]),
        ("/oauth2/authorize", &["client_id", "redirect_uri", "response_type", "scope", "state", "consent"]),
        ("/api/osmand", &["id", "secret", "lat", "lon"]),
    ] {
        for text in [
            "%00",
            "a%00b",
            "%FF%FE",
            "%ED%A0%80",
            "%",
            "%zz",
            "a&a=b&&==&%3D",
            "%27%20or%201%3D1--",
            "%F0%9F%92%A9",
            "%0D%0ASet-Cookie:%20a=b",
        ] {
            for one in names {
                let good = [("grant_type", "client_credentials"), ("client_id", "backend"), ("response_type", "code"), ("id", "dev-1")];
                let value = |name: &str| good.iter().find(|(n, _)| *n == name).map_or("x", |(_, v)| *v);
                let body = names.iter().map(|n| format!("{n}={}", if n == one { text } else { value(n) })).collect::<Vec<_>>().join("&");
                let answer = http.send(Method::POST, path, &form, Some(body.clone().into_bytes())).await;
                check(format!("POST {path} {body}"), answer.status);
                assert!(
                    answer.header("x-injected").is_none() && answer.header("set-cookie").is_none_or(|c| !c.starts_with("a=b")),
                    "{answer}"
                );
                gateway.advance(std::time::Duration::from_secs(60));
            }
        }
    }
    for (name, password) in [("a\0b", "x"), ("x", "a\0b"), ("\u{202e}", "\u{ffff}"), ("x'; --", "x"), ("", ""), ("dev-1", "\0")] {
        for path in ["/prd/v1/token", "/api/osmand?lat=1&lon=2", "/heliograph/v1/me"] {
            check(format!("GET {path} as {name:?}"), http.basic(name, password).get(path).await.status);
        }
        let body = json!({ "email": name, "password": password });
        check(format!("token for {name:?}"), http.post("/heliograph/v1/token", &body).await.status);
        let body = json!({ "username": name, "password": password });
        check(format!("Open IoT token for {name:?}"), http.post("/v1/api/auth/token", &body).await.status);
        let body = json!({ "userName": name, "apiKey": password });
        check(format!("Flotas token for {name:?}"), http.post("/api/Auth/Token", &body).await.status);
        gateway.advance(std::time::Duration::from_secs(60));
    }
    assert!(wrong.is_empty(), "{} answers of 5xx:\n{}", wrong.len(), wrong.join("\n"));
}

both_engines!(nasty_texts, super::no_text_breaks_a_face);
