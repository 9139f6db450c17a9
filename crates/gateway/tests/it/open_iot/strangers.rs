//! Every operation, tried by everybody who may not; and other people's accounts, which look exactly like absent ones.

use std::time::Duration;

use serde_json::json;
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX, RITA};
use testkit::{Auth, Gateway, Http};

use super::{API, sign_in, token};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn filled(path: &str, account: &str) -> String {
    let path = path.replace("{account}", account).replace("{user}", RITA.id).replace("{email}", RITA.email).replace("{invite}", NOBODY);
    assert!(!path.contains('{'), "{path}");
    format!("{API}{path}")
}

/// A body that fits each operation, so that it is the token that is refused and nothing else.
fn body(method: &str, path: &str) -> Option<serde_json::Value> {
    Some(match (method, path) {
        ("PUT", "/auth/refresh") | ("DELETE", "/auth/refresh/revoke") => json!({ "refreshToken": "0123456789abcdef" }),
        ("POST" | "PUT", "/accounts" | "/accounts/{account}") => json!({ "name": "x" }),
        ("PUT", "/accounts/{account}/users/{user}") => json!({ "accounts": { ACME: "admin", GLOBEX: "admin", NOBODY: "admin" } }),
        ("POST", "/accounts/{account}/invites") => json!({ "email": "x@example.com" }),
        ("PUT", "/invites/{invite}/status") => json!({ "accept": true }),
        ("POST" | "PUT", _) => json!({}),
        _ => return None,
    })
}

async fn call(http: &Http, method: &str, path: &str, account: &str) -> testkit::Exchange {
    let bytes = body(method, path).map(|b| b.to_string().into_bytes());
    http.send(method.parse().unwrap(), &filled(path, account), &[("content-type", "application/json")], bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_good_token_opens_nothing() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let good = token(&http, ALICE.email, ALICE.password).await;
    let flashlex = ALICE.flashlex(&http).await;
    let native = ALICE.native(&http).await;
    let Auth::Bearer(flashlex) = flashlex.auth().clone() else { panic!() };
    let Auth::Bearer(native) = native.auth().clone() else { panic!() };
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let flipped = format!("{head}.{claims}.{}", signature.chars().rev().collect::<String>());
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    for bad in [
        Auth::None,
        Auth::Bearer("garbage".into()),
        Auth::Bearer(flashlex),
        Auth::Bearer(native),
        Auth::Bearer(flipped),
        Auth::Bearer(none),
        Auth::Basic(ALICE.email.into(), ALICE.password.into()),
    ] {
        for (method, path, _) in open_iot_operations().filter(|o| o.2) {
            let answer = call(&http.with(bad.clone()), method, path, ACME).await.expect(401);
            assert_eq!(answer.json(), json!({ "code": 401, "status": 401, "message": "Not Authorized" }), "{method} {path}");
        }
    }
    // And this face's tokens open no other.
    let mine = http.bearer(&good);
    let _ = mine.get("/heliograph/v1/me").await.expect(401);
    let _ = mine.get("/prd/v1/things").await.expect(401);
    gateway.advance(Duration::from_secs(86_400));
    for (method, path, _) in open_iot_operations().filter(|o| o.2) {
        let _ = call(&mine, method, path, ACME).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_account_looks_like_an_absent_one() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let carol = sign_in(&http, &CAROL).await;
    for (method, path, _) in open_iot_operations().filter(|o| o.1.contains("{account}")) {
        let foreign = call(&carol, method, path, ACME).await.expect(401);
        for absent in [NOBODY, "nonsense"] {
            assert_eq!(foreign.looks(), call(&carol, method, path, absent).await.looks(), "{method} {path}");
        }
    }
    // Alice's people are nobody to Carol.
    let there = carol.get(&format!("{API}/users/{}", RITA.id)).await;
    let absent = carol.get(&format!("{API}/users/{NOBODY}")).await;
    assert_eq!((there.looks(), there.status), (absent.looks(), 404));
    let _ = carol.get(&format!("{API}/invites/{}", RITA.email)).await.expect(401);
    let alice = sign_in(&http, &ALICE).await;
    assert_eq!(alice.get(&format!("{API}/accounts/{ACME}")).await.expect(200).json()["name"], "acme", "nothing happened to it");
    assert_eq!(alice.get(&format!("{API}/accounts/{ACME}/users")).await.expect(200).json().as_array().unwrap().len(), 2);
}

/// A member who is no administrator reads and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_no_administrator() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let native = ALICE.native(&http).await;
    let _ = native.patch(&format!("/heliograph/v1/memberships/{}", RITA.id), &json!({ "role": "user" })).await.expect(200);
    let rita = sign_in(&http, &RITA).await;
    for (method, path) in [
        ("PUT", "/accounts/{account}"),
        ("DELETE", "/accounts/{account}"),
        ("PUT", "/accounts/{account}/users/{user}"),
        ("POST", "/accounts/{account}/invites"),
    ] {
        let answer = call(&rita, method, path, ACME).await.expect(401);
        assert_eq!(answer.json()["message"], "Not Authorized", "{method} {path}");
    }
    let _ = rita.delete(&format!("{API}/accounts/{ACME}/invites/{}", ALICE.email)).await.expect(401);
    for path in ["/accounts/{account}", "/accounts/{account}/users", "/accounts/{account}/invites", "/accounts/{account}/activationcode"] {
        let _ = call(&rita, "GET", path, ACME).await.expect(200);
    }
    let me = rita.get("/v1/api/auth/me").await.expect(200).json();
    assert_eq!(me["accounts"][ACME]["role"], "user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_out_user_is_out_at_once() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let rita = sign_in(&http, &RITA).await;
    let native = ALICE.native(&http).await;
    let _ = native.patch(&format!("/heliograph/v1/users/{}", RITA.id), &json!({ "disabled": true })).await.expect(200);
    let _ = rita.get("/v1/api/auth/me").await.expect(401);
    let _ = http.post("/v1/api/auth/token", &json!({ "username": RITA.email, "password": RITA.password })).await.expect(401);
    let _ = rita.put("/v1/api/auth/refresh", &json!({ "refreshToken": "0123456789abcdef" })).await.expect(401);
}

/// Every operation the router has, by its own list.
fn open_iot_operations() -> impl Iterator<Item = &'static (&'static str, &'static str, bool)> {
    open_iot::OPERATIONS.iter()
}

/// The list is the router's: each answers something else than "no such path".
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_operations_is_served() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    for (method, path, _) in open_iot_operations() {
        let answer = call(&http, method, path, ACME).await;
        assert!(!answer.text().starts_with("Cannot "), "{method} {path}");
    }
}
