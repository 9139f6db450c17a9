//! What holds for every operation: problems, strictness, tokens, documents.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Gateway;
use testkit::fleet::{ACME, ALICE, API_KEY, RITA};

use super::v1;

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_problem_details() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;

    let nobody = http.get(&v1("/things")).await.expect(401);
    assert_eq!(nobody.header("content-type"), Some("application/problem+json"));
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"heliograph\""));
    let problem = nobody.json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("/docs/problems#unauthenticated"), &json!(401)));
    assert_eq!(problem["request_id"].as_str(), nobody.header("x-request-id"), "the log's id");

    let wrong = http.bearer("garbage").get(&v1("/things")).await.expect(401);
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer realm=\"heliograph\", error=\"invalid_token\""));
    let token = http.basic("nobody@example.com", "x").post(&v1("/token"), &json!({})).await.expect(401);
    assert!(token.header("www-authenticate").is_some_and(|v| v.starts_with("Basic ")));

    let unknown = alice.get(&v1("/nothing/here")).await.expect(404).json();
    assert_eq!(unknown["type"], "/docs/problems#no-such-path");
    let method = alice.put(&v1("/things"), &json!({})).await.expect(405);
    assert_eq!(method.json()["type"], "/docs/problems#method");
    assert!(method.header("allow").is_some_and(|v| v.contains("GET") && v.contains("POST")), "{method}");

    for (body, field) in [
        (json!({ "kee": "x" }), "kee"),
        (json!({ "key": 1 }), "key"),
        (json!({ "key": "a/b" }), "key"),
        (json!({ "attributes": { "a": 1 } }), "attributes.a"),
        (json!({ "credentials": "password" }), "credentials"),
        (json!({ "secret": "a secret without need" }), "secret"),
    ] {
        let answer = alice.post(&v1("/things"), &body).await.expect(400).json();
        assert_eq!(answer["field"], field, "{answer}");
        assert_eq!(answer["type"], "/docs/problems#invalid");
    }
    for (query, field) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("colour=red", "colour"), ("status=NEW", "status"), ("cursor=x", "cursor")]
    {
        let answer = alice.get(&v1(&format!("/things?{query}"))).await.expect(400).json();
        assert_eq!(answer["field"], field, "{answer}");
    }
    for (kind, body, status) in
        [("text/plain", "{}", 415), ("application/json", "{", 400), ("application/json", "[]", 400), ("application/json", "{} {}", 400)]
    {
        let answer = alice.send(Method::POST, &v1("/things"), &[("content-type", kind)], Some(body.into())).await.expect(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    }
    let big =
        alice.send(Method::POST, &v1("/things"), &[("content-type", "application/json")], Some(vec![b' '; 3 << 20])).await.expect(413);
    assert_eq!(big.json()["type"], "/docs/problems#too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_every_way() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let ways = [
        http.basic(ALICE.email, ALICE.password).post(&v1("/token"), &json!({})).await,
        http.basic("alice", ALICE.password).post(&v1("/token"), &json!({ "tenant": "acme" })).await,
        http.post(&v1("/token"), &json!({ "email": ALICE.email, "password": ALICE.password })).await,
        http.post(&v1("/token"), &json!({ "email": ALICE.email, "password": ALICE.password, "tenant": ACME })).await,
        http.post(&v1("/token"), &json!({ "api_key": API_KEY })).await,
    ];
    for way in ways {
        let answer = way.expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
        let answer = answer.json();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));
        assert_eq!(answer["expires_at"], "2026-03-01T13:00:00Z");
        let me = http.bearer(answer["access_token"].as_str().unwrap()).get(&v1("/me")).await.expect(200).json();
        assert_eq!((&me["principal"], &me["tenant"]), (&json!(format!("user:{}", ALICE.id)), &json!(ACME)));
        assert_eq!(me["memberships"][0]["role"], "owner");
    }
    let client = json!({ "client_id": "backend", "client_secret": "s3cr3t-of-the-backend" });
    let answer = http.post(&v1("/token"), &client).await.expect(200).json();
    let me = http.bearer(answer["access_token"].as_str().unwrap()).get(&v1("/me")).await.expect(200).json();
    assert_eq!((&me["principal"], &me["memberships"]), (&json!("client:backend"), &json!([])));

    // RFC 9068.
    let token = answer["access_token"].as_str().unwrap();
    let part = |n: usize| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap() };
    let (head, claims) = (part(0), part(1));
    assert_eq!((&head["alg"], &head["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    assert_eq!((&claims["aud"], &claims["sub"], &claims["client_id"]), (&json!("heliograph"), &json!("backend"), &json!("backend")));
    for claim in ["iss", "exp", "iat", "jti", "scope", "tenant"] {
        assert!(!claims[claim].is_null(), "{claim} in {claims}");
    }

    // Two credentials, half a credential.
    let _ = http.basic(ALICE.email, ALICE.password).post(&v1("/token"), &json!({ "api_key": API_KEY })).await.expect(400);
    let _ = http.post(&v1("/token"), &json!({ "email": ALICE.email })).await.expect(400);
    // A tenant one does not belong to reads like a wrong password or a refusal, never like a token.
    let other = http.basic(ALICE.email, ALICE.password).post(&v1("/token"), &json!({ "tenant": "globex" })).await;
    let absent = http.basic(ALICE.email, ALICE.password).post(&v1("/token"), &json!({ "tenant": "nothing" })).await;
    assert!(matches!(other.status, 401 | 403 | 404), "{other}");
    assert_eq!(other.looks(), absent.looks());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_stands_for_its_user_and_a_revoked_token_for_nobody() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let by_key = http.bearer(API_KEY);
    let me = by_key.get(&v1("/me")).await.expect(200).json();
    assert_eq!(me["principal"], format!("user:{}", ALICE.id));
    // A key is no token: there is nothing of it to be revoked.
    let _ = by_key.post(&v1("/token/revoke"), &json!({})).await.expect(400);

    let rita = RITA.native(&http).await;
    let other = RITA.native(&http).await;
    let _ = rita.get(&v1("/me")).await.expect(200);
    let _ = rita.post(&v1("/token/revoke"), &json!({})).await.expect(204);
    let _ = rita.get(&v1("/me")).await.expect(401);
    let _ = other.get(&v1("/me")).await.expect(200);

    let keys = by_key.get(&v1("/api-keys")).await.expect(200);
    assert!(!keys.text().contains(API_KEY), "a listing never shows a key");
    let id = keys.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let _ = by_key.delete(&v1(&format!("/api-keys/{id}"))).await.expect(204);
    let _ = by_key.get(&v1("/me")).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tries_are_told_to_wait() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let mut last = None;
    for _ in 0..200 {
        let answer = http.basic(ALICE.email, "wrong").post(&v1("/token"), &json!({})).await;
        if answer.status != 401 {
            last = Some(answer);
            break;
        }
    }
    let answer = last.expect("guessing has an end").expect(429);
    assert!(answer.header("retry-after").is_some_and(|v| v.parse::<u64>().is_ok_and(|s| s >= 1)), "{answer}");
    assert_eq!(answer.json()["type"], "/docs/problems#too-many-requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_pages_and_their_documents() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let page = http.get("/docs").await.expect(200);
    assert!(page.header("content-security-policy").is_some_and(|v| v.contains("script-src 'self'") && !v.contains("unsafe")), "{page}");
    for path in ["/docs/viewer.js", "/docs/schema.js", "/docs/viewer.css", "/docs/problems"] {
        let _ = http.get(path).await.expect(200);
    }
    let list = http.get("/docs/apis.json").await.expect(200).json();
    assert!(list.as_array().unwrap().len() >= 2, "{list}");
    for api in list.as_array().unwrap() {
        let document = http.get(api["path"].as_str().unwrap()).await.expect(200).json();
        assert!(document["paths"].as_object().is_some_and(|paths| !paths.is_empty()), "{api}");
    }
    let served = http.get(&v1("/openapi.json")).await.expect(200).json();
    assert_eq!(served, serde_json::to_value(native::openapi()).unwrap());
}
