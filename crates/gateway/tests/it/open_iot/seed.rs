//! The seed text, sentence by sentence.

use std::time::Duration;

use serde_json::json;
use testkit::fleet::{ACME, ALICE, CAROL, RITA};
use testkit::{Gateway, Http};

use super::{payload, role_in_token, sign_in, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_password_become_a_token_for_24_hours() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let answer = http.post("/v1/api/auth/token", &json!({ "username": ALICE.email, "password": ALICE.password })).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["token"]);
    let text = body["token"].as_str().unwrap();
    assert!(text.starts_with("eyJ"));
    let claims = payload(text);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 86_400);
    assert_eq!(claims["accounts"], json!([{ "id": ACME, "name": "acme", "role": "admin" }]));

    let alice = http.bearer(text);
    gateway.advance(Duration::from_secs(86_400 - 1));
    let _ = alice.get("/v1/api/auth/me").await.expect(200);
    gateway.advance(Duration::from_secs(1));
    let late = alice.get("/v1/api/auth/me").await.expect(401);
    assert_eq!(late.json(), json!({ "code": 401, "status": 401, "message": "Not Authorized" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn this_call_also_refreshes_the_token() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let first = token(&http, ALICE.email, ALICE.password).await;
    gateway.advance(Duration::from_secs(3_600));
    let again = token(&http, ALICE.email, ALICE.password).await;
    let post = reqwest::Method::POST;
    let by_bearer =
        http.bearer(&first).send(post, "/v1/api/auth/token", &[], None).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    let braces = http.bearer(&first).post("/v1/api/auth/token", &json!({})).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    for fresh in [&again, &by_bearer, &braces] {
        assert_eq!(payload(fresh)["exp"].as_i64().unwrap() - payload(&first)["exp"].as_i64().unwrap(), 3_600);
        assert_ne!(payload(fresh)["jti"], payload(&first)["jti"]);
        let _ = http.bearer(fresh).get("/v1/api/auth/me").await.expect(200);
    }
    let _ = http.bearer("garbage").post("/v1/api/auth/token", &json!({})).await.expect(401);
    let _ = http.post("/v1/api/auth/token", &json!({})).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_info_shows_header_and_payload() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let text = token(&http, ALICE.email, ALICE.password).await;
    let info = http.bearer(&text).get("/v1/api/auth/tokenInfo").await.expect(200).json();
    assert_eq!((&info["header"]["typ"], &info["header"]["alg"]), (&json!("JWT"), &json!("RS256")));
    assert!(info["header"]["kid"].is_string());
    assert_eq!(info["payload"], payload(&text));
    assert_eq!(info["payload"]["sub"], ALICE.id);
    assert_eq!(info["payload"]["iss"], http.base());
    assert_eq!(info["payload"]["type"], "user");
    assert!(info["payload"]["jti"].as_str().unwrap().len() == 36 && info["payload"]["exp"].is_i64());
    let keys = http.get("/oauth2/jwks").await.expect(200).json();
    assert!(keys["keys"].as_array().unwrap().iter().any(|k| k["kid"] == info["header"]["kid"]), "others can verify it");
}

#[tokio::test(flavor = "multi_thread")]
async fn me_is_the_user_behind_the_token() {
    let gateway = Gateway::start().await;
    let alice = sign_in(&gateway.http(), &ALICE).await;
    let me = alice.get("/v1/api/auth/me").await.expect(200).json();
    assert_eq!((&me["id"], &me["email"]), (&json!(ALICE.id), &json!(ALICE.email)));
    assert_eq!((&me["termsAndConditions"], &me["verified"]), (&json!(true), &json!(true)));
    assert!(me["created"].as_i64().unwrap() > 1_700_000_000_000 && me["updated"].is_i64());
    assert_eq!(me["accounts"][ACME]["role"], "admin");
}

/// "User creates new account - to use new account, token must be refreshed."
#[tokio::test(flavor = "multi_thread")]
async fn a_new_account_needs_a_new_token() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let made = alice.post("/v1/api/accounts", &json!({ "name": "Garden" })).await.expect(201).json();
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/api/accounts/{id}");
    assert_eq!(role_in_token(&alice, id).await, None);
    let _ = alice.get(&path).await.expect(401);
    let again = sign_in(&http, &ALICE).await;
    assert_eq!(role_in_token(&again, id).await.as_deref(), Some("admin"));
    assert_eq!(again.get(&path).await.expect(200).json()["name"], "Garden");
    let _ = alice.get(&path).await.expect(401);
}

async fn invite(owner: &Http, guest: &Http, email: &str) {
    let _ = owner.post(&format!("/v1/api/accounts/{ACME}/invites"), &json!({ "email": email })).await.expect(201);
    let open = guest.get(&format!("/v1/api/invites/{email}")).await.expect(200).json();
    let id = open[0]["_id"].as_str().unwrap();
    let _ = guest.put(&format!("/v1/api/invites/{id}/status"), &json!({ "accept": true })).await.expect(200);
}

/// "User has been invited to new account - to have access to this account, token should be refreshed."
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_invitation_needs_a_new_token() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (sign_in(&http, &ALICE).await, sign_in(&http, &CAROL).await);
    invite(&alice, &carol, CAROL.email).await;
    let path = format!("/v1/api/accounts/{ACME}");
    assert_eq!(role_in_token(&carol, ACME).await, None);
    let _ = carol.get(&path).await.expect(401);
    let again = sign_in(&http, &CAROL).await;
    assert_eq!(role_in_token(&again, ACME).await.as_deref(), Some("user"));
    let _ = again.get(&path).await.expect(200);
}

/// "User account role has been updated, for instance admin privileges were granted - to use new level of access, token must be
/// refreshed." And what is taken away is gone at once, with the token that said otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_role_needs_a_new_token_and_a_removal_works_at_once() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (sign_in(&http, &ALICE).await, sign_in(&http, &CAROL).await);
    invite(&alice, &carol, CAROL.email).await;
    let as_user = sign_in(&http, &CAROL).await;
    let invites = format!("/v1/api/accounts/{ACME}/invites");
    let _ = as_user.post(&invites, &json!({ "email": "x@example.com" })).await.expect(401);

    let role = json!({ "id": CAROL.id, "accounts": { ACME: "admin" } });
    let answer = alice.put(&format!("/v1/api/accounts/{ACME}/users/{}", CAROL.id), &role).await.expect(200);
    assert!(answer.body.is_empty());
    assert_eq!(role_in_token(&as_user, ACME).await.as_deref(), Some("user"));
    let _ = as_user.post(&invites, &json!({ "email": "x@example.com" })).await.expect(401);
    let as_admin = sign_in(&http, &CAROL).await;
    assert_eq!(role_in_token(&as_admin, ACME).await.as_deref(), Some("admin"));
    let _ = as_admin.post(&invites, &json!({ "email": "x@example.com" })).await.expect(201);

    let answer = alice.delete(&format!("{invites}/{}", CAROL.email)).await.expect(200);
    assert_eq!(answer.json(), "OK");
    for token in [&as_admin, &as_user] {
        let _ = token.get(&format!("/v1/api/accounts/{ACME}")).await.expect(401);
        let _ = token.post(&invites, &json!({ "email": "y@example.com" })).await.expect(401);
        let _ = token.get("/v1/api/auth/me").await.expect(200);
    }
}

/// A role that was lowered elsewhere is lower at once, whatever the token says.
#[tokio::test(flavor = "multi_thread")]
async fn a_demotion_elsewhere_works_at_once() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let native = ALICE.native(&http).await;
    let member = format!("/heliograph/v1/memberships/{}", RITA.id);
    let _ = native.patch(&member, &json!({ "role": "admin" })).await.expect(200);
    let rita = sign_in(&http, &RITA).await;
    let path = format!("/v1/api/accounts/{ACME}");
    let _ = rita.put(&path, &json!({ "name": "acme" })).await.expect(200);
    let _ = native.patch(&member, &json!({ "role": "reader" })).await.expect(200);
    let _ = rita.put(&path, &json!({ "name": "acme" })).await.expect(401);
    let _ = rita.get(&path).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_are_made_exchanged_and_ended() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let made = alice.post("/v1/api/auth/refresh", &json!({})).await.expect(200).json();
    let first = made["refreshToken"].as_str().unwrap().to_owned();
    assert!(first.len() == 16 && first.bytes().all(|b| b.is_ascii_alphanumeric()));
    // The old token has expired meanwhile, which is what refresh tokens are for.
    gateway.advance(Duration::from_secs(30 * 86_400));
    let _ = alice.get("/v1/api/auth/me").await.expect(401);
    let next = alice.put("/v1/api/auth/refresh", &json!({ "refreshToken": first })).await.expect(200).json();
    let fresh = http.bearer(next["jwt"].as_str().unwrap());
    let _ = fresh.get("/v1/api/auth/me").await.expect(200);
    let second = next["refreshToken"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let gone = json!({ "code": 15_001, "message": "Refresh token does not exist" });

    // Somebody else's token, no token, and a made-up one.
    let carol = sign_in(&http, &CAROL).await;
    assert_eq!(carol.put("/v1/api/auth/refresh", &json!({ "refreshToken": second })).await.expect(401).json(), gone);
    assert_eq!(
        carol
            .send(reqwest::Method::DELETE, "/v1/api/auth/refresh/revoke", &[], Some(json!({ "refreshToken": second }).to_string().into()))
            .await
            .expect(401)
            .json(),
        gone
    );
    let _ = http.put("/v1/api/auth/refresh", &json!({ "refreshToken": second })).await.expect(401);
    assert_eq!(fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": "0123456789abcdef" })).await.expect(401).json(), gone);

    // Ended.
    let ended = fresh
        .send(reqwest::Method::DELETE, "/v1/api/auth/refresh/revoke", &[], Some(json!({ "refreshToken": second }).to_string().into()))
        .await
        .expect(200);
    assert!(ended.body.is_empty());
    assert_eq!(fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": second })).await.expect(401).json(), gone);

    // A token used twice ends what came of it.
    let one = fresh.post("/v1/api/auth/refresh", &json!({})).await.expect(200).json()["refreshToken"].as_str().unwrap().to_owned();
    let two = fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": one })).await.expect(200).json()["refreshToken"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": one })).await.expect(401).json(), gone);
    assert_eq!(fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": two })).await.expect(401).json(), gone);

    // A year is its end.
    let old = fresh.post("/v1/api/auth/refresh", &json!({})).await.expect(200).json()["refreshToken"].as_str().unwrap().to_owned();
    gateway.advance(Duration::from_secs(366 * 86_400));
    let answer = fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": old })).await.expect(401).json();
    assert_eq!(answer["code"], 15_001);
}
