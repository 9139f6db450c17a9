//! Users: registration, activation, passwords, attributes, the end.

use std::time::Duration;

use serde_json::json;
use testkit::Gateway;
use testkit::fleet::{ACME, ALICE, RITA};

use super::{mail_to, mailed_token, newcomer, open, sign_in, token};
use crate::flashlex::registering::Mailbox;

const NEW: &str = "new@example.com";
const PASSWORD: &str = "Receiver12345";

#[tokio::test(flavor = "multi_thread")]
async fn register_activate_sign_in() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let body = json!({ "email": "New@Example.com", "password": PASSWORD, "termsAndConditions": true, "attributes": { "phone": "1" } });
    let made = http.post("/v1/api/users", &body).await.expect(201).json();
    assert_eq!((&made["email"], &made["attributes"]["phone"], &made["type"]), (&json!(NEW), &json!("1"), &json!("user")));
    assert!(made["id"].is_string() && made.get("verified").is_none() && made.get("password").is_none());

    // Not before the address is proved, and only with the right password does one learn why.
    let login = |password: &str| json!({ "username": NEW, "password": password });
    let early = http.post("/v1/api/auth/token", &login(PASSWORD)).await.expect(401);
    assert_eq!(early.json(), json!({ "code": 2402, "message": "User's email not verified" }));
    let wrong = http.post("/v1/api/auth/token", &login("wrong password 1")).await.expect(401);
    assert_eq!((wrong.text().as_str(), wrong.header("content-type")), ("Not Authorized", Some("text/plain; charset=utf-8")));
    // Nor anywhere else on this gateway.
    let _ = http.basic(NEW, PASSWORD).get("/token").await.expect(401);
    let again = http.post("/v1/api/users", &body).await.expect(409).json();
    assert_eq!(again, json!({ "code": 2409, "message": "User already exists" }));

    let mail = mail_to(&mailbox, NEW, "activate").await;
    let code = mailed_token(&mail);
    assert!(code.len() == 16 && code.bytes().all(|b| b.is_ascii_alphanumeric()), "{code}");
    assert!(super::text(&mail).contains(&format!("{}/ui/auth#/activate?token={code}", http.base())));
    let done = http.post("/v1/api/users/activate", &json!({ "token": code })).await.expect(200);
    assert!(done.body.is_empty());
    let twice = http.post("/v1/api/users/activate", &json!({ "token": code })).await.expect(400).json();
    assert_eq!(twice["code"], 2406);
    let me = http.bearer(token(&http, NEW, PASSWORD).await).get("/v1/api/auth/me").await.expect(200).json();
    assert_eq!((&me["verified"], &me["termsAndConditions"], me.get("accounts")), (&json!(true), &json!(true), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_mail_may_be_asked_for_again_and_ends() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let _ = http.post("/v1/api/users", &json!({ "email": NEW, "password": PASSWORD })).await.expect(201);
    let first = mailed_token(&mailbox.mail(1).await);
    gateway.advance(Duration::from_secs(3_601));
    assert_eq!(http.post("/v1/api/users/activate", &json!({ "token": first })).await.expect(400).json()["code"], 2406);
    let asked = http.post("/v1/api/users/request_user_activation", &json!({ "email": NEW })).await.expect(200);
    assert!(asked.body.is_empty());
    let second = mailed_token(&mailbox.mail(2).await);
    let _ = http.post("/v1/api/users/activate", &json!({ "token": second })).await.expect(200);
    // Proved already: nothing to mail. Unknown: 2404.
    let _ = http.post("/v1/api/users/request_user_activation", &json!({ "email": NEW })).await.expect(200);
    let unknown = http.post("/v1/api/users/request_user_activation", &json!({ "email": "nobody@example.com" })).await.expect(404).json();
    assert_eq!(unknown, json!({ "code": 2404, "message": "User Not Found" }));
    assert_eq!(mailbox.mails.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let before = sign_in(&http, &RITA).await;
    let known = http.post("/v1/api/users/forgot_password", &json!({ "email": RITA.email })).await.expect(200);
    let unknown = http.post("/v1/api/users/forgot_password", &json!({ "email": "nobody@example.com" })).await.expect(200);
    assert_eq!((known.looks(), known.body.len()), (unknown.looks(), 0));
    let code = mailed_token(&mail_to(&mailbox, RITA.email, "resetPassword").await);
    let info = http.get(&format!("/v1/api/users/forgot_password?token={code}")).await.expect(200).json();
    assert_eq!(info["email"], RITA.email);
    assert_eq!(http.get("/v1/api/users/forgot_password?token=0123456789abcdef").await.expect(404).json()["code"], 11_404);

    let weak = http.put("/v1/api/users/forgot_password", &json!({ "token": code, "password": "12345678" })).await.expect(400).json();
    assert_eq!((&weak["code"], &weak["message"]), (&json!(2401), &json!("Password too Weak")));
    // The token of one purpose is none of another.
    assert_eq!(http.post("/v1/api/users/activate", &json!({ "token": code })).await.expect(400).json()["code"], 2406);
    gateway.advance(Duration::from_secs(1));
    let set = http.put("/v1/api/users/forgot_password", &json!({ "token": code, "password": "quite another 1" })).await.expect(200);
    assert!(set.body.is_empty());
    assert_eq!(
        http.put("/v1/api/users/forgot_password", &json!({ "token": code, "password": "quite another 2" })).await.expect(400).json()["code"],
        2406
    );
    let _ = before.get("/v1/api/auth/me").await.expect(401);
    let _ = http.post("/v1/api/auth/token", &json!({ "username": RITA.email, "password": RITA.password })).await.expect(401);
    let _ = token(&http, RITA.email, "quite another 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let rita = sign_in(&http, &RITA).await;
    let refresh = rita.post("/v1/api/auth/refresh", &json!({})).await.expect(200).json()["refreshToken"].clone();
    let path = format!("/v1/api/users/{}/change_password", RITA.email);
    let body = |old: &str, new: &str| json!({ "currentpwd": old, "password": new });
    let wrong = rita.put(&path, &body("wrong", "Receiver12345")).await.expect(401);
    assert_eq!(wrong.text(), "Not Authorized");
    assert_eq!(rita.put(&path, &body(RITA.password, "aaaaaaaa")).await.expect(400).json()["code"], 2401);
    let other = format!("/v1/api/users/{}/change_password", ALICE.email);
    let _ = rita.put(&other, &body(ALICE.password, "Receiver12345")).await.expect(401);
    let _ = http.bearer("garbage").put(&path, &body(RITA.password, "Receiver12345")).await.expect(401);
    gateway.advance(Duration::from_secs(1));
    let done = rita.put(&path, &body(RITA.password, "Receiver12345")).await.expect(200);
    assert_eq!(done.json(), json!({ "password": "Receiver12345" }));
    let _ = rita.get("/v1/api/auth/me").await.expect(401);
    let fresh = http.bearer(token(&http, RITA.email, "Receiver12345").await);
    let old = fresh.put("/v1/api/auth/refresh", &json!({ "refreshToken": refresh })).await.expect(401).json();
    assert_eq!(old["code"], 15_001, "refresh tokens of before end with the old password");
    // The present password is a credential, so the python SDK, which sends no token here, is served too.
    let _ = http.put(&path, &body("Receiver12345", "Receiver54321")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_wrong_passwords_lock_for_a_while() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let attempt = async |password: &str| http.post("/v1/api/auth/token", &json!({ "username": RITA.email, "password": password })).await;
    for n in 0..10 {
        assert_eq!(attempt(&format!("wrong {n}")).await.status, 401);
    }
    let locked = attempt(RITA.password).await.expect(403);
    assert_eq!(locked.json(), json!({ "code": 2403, "message": "Account locked" }));
    let wait: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    // Unknown names are locked just the same: nobody learns which exist.
    for n in 0..10 {
        let _ = http.post("/v1/api/auth/token", &json!({ "username": "nobody@example.com", "password": n.to_string() })).await.expect(401);
    }
    let _ = http.post("/v1/api/auth/token", &json!({ "username": "nobody@example.com", "password": "x" })).await.expect(403);
    gateway.advance(Duration::from_secs(wait + 1));
    let _ = attempt(RITA.password).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_and_terms() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let path = format!("/v1/api/users/{}", ALICE.id);
    let set = alice.put(&path, &json!({ "attributes": { "phone": "123", "team": "north" } })).await.expect(200);
    assert!(set.body.is_empty());
    let seen = alice.get("/v1/api/users/me").await.expect(200).json();
    assert_eq!(seen["attributes"], json!({ "phone": "123", "team": "north" }));
    let _ = alice.put("/v1/api/users/me", &json!({ "attributes": { "phone": "9" } })).await.expect(200);
    assert_eq!(alice.get(&path).await.expect(200).json()["attributes"], json!({ "phone": "9" }), "as a whole");

    let _ = http.post("/v1/api/users", &json!({ "email": NEW, "password": PASSWORD })).await.expect(201);
    let code = mailed_token(&mail_to(&mailbox, NEW, "activate").await);
    let _ = http.post("/v1/api/users/activate", &json!({ "token": code })).await.expect(200);
    let new = http.bearer(token(&http, NEW, PASSWORD).await);
    assert_eq!(new.get("/v1/api/auth/me").await.expect(200).json().get("termsAndConditions"), None);
    let _ = new.put("/v1/api/users/me", &json!({ "termsAndConditions": true })).await.expect(200);
    assert_eq!(new.get("/v1/api/auth/me").await.expect(200).json()["termsAndConditions"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_each_other_and_change_only_themselves() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let seen = alice.get(&format!("/v1/api/users/{}", RITA.id)).await.expect(200).json();
    assert_eq!((&seen["email"], &seen["accounts"]), (&json!(RITA.email), &json!({ ACME: "user" })));
    let _ = alice.put(&format!("/v1/api/users/{}", RITA.id), &json!({ "attributes": {} })).await.expect(401);
    let _ = alice.delete(&format!("/v1/api/users/{}", RITA.id)).await.expect(401);
    for body in [json!({ "email": "other@example.com" }), json!({ "password": "Receiver12345" }), json!({ "id": RITA.id })] {
        assert_eq!(alice.put("/v1/api/users/me", &body).await.expect(400).json()["code"], 2400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_ends_unless_accounts_would_be_orphaned() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let kept = alice.delete("/v1/api/users/me").await.expect(403).json();
    assert_eq!(kept["code"], 2421);
    let new = newcomer(&gateway, &mailbox, NEW, PASSWORD).await;
    let id = new.get("/v1/api/auth/me").await.expect(200).json()["id"].as_str().unwrap().to_owned();
    let gone = new.delete(&format!("/v1/api/users/{id}")).await.expect(204);
    assert!(gone.body.is_empty());
    let _ = new.get("/v1/api/auth/me").await.expect(401);
    let _ = http.post("/v1/api/auth/token", &json!({ "username": NEW, "password": PASSWORD })).await.expect(401);
    let _ = http.post("/v1/api/users", &json!({ "email": NEW, "password": PASSWORD })).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_may_be_closed_to_newcomers() {
    let gateway = Gateway::start().await;
    let answer = gateway.http().post("/v1/api/users", &json!({ "email": NEW, "password": PASSWORD })).await.expect(403).json();
    assert_eq!(answer["code"], 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded_with_mail() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let ask = async |email: &str| http.post("/v1/api/users/forgot_password", &json!({ "email": email })).await;
    for email in [RITA.email, "nobody@example.com"] {
        for _ in 0..20 {
            let _ = ask(email).await.expect(200);
        }
        let slow = ask(email).await.expect(429);
        assert_eq!(slow.json()["error"], "RateLimit");
        assert!(slow.header("retry-after").is_some());
    }
    gateway.advance(Duration::from_secs(3_601));
    let _ = ask(RITA.email).await.expect(200);
}
