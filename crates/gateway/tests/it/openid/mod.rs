//! The OpenID provider: other people's clients through both faces, and what happens to bad input.

mod apache;
mod attacks;
mod factor;
mod keycloak;
mod mailed;
mod pages;
mod tables;

use serde_json::json;
use testkit::Child;
use testkit::clients::{root, run, script_with};
use testkit::fleet::{ALICE, FLEET};

use crate::{HELIOGRAPH, Place};

/// Alice's clients: one with a secret, one without.
const CLIENTS: &str = r#"
[[client]]
tenant = "acme"
id = "spa"
public = true
grants = ["authorization_code", "refresh_token", "device_code"]
redirect_uris = ["http://127.0.0.1:9999/cb"]
scopes = ["openid", "email", "profile", "thing:read"]
"#;

/// The fleet with those clients, and `backend` able to do what they do.
fn fleet() -> String {
    let backend = r#"grants = ["client_credentials"]"#;
    let able = r#"grants = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:9999/cb"]
scopes = ["openid", "email", "profile"]"#;
    format!("{}{CLIENTS}", FLEET.replace(backend, able))
}

/// A gateway with those clients.
fn start(place: &Place) -> Child {
    let file = place.folder.path().join("openid.toml");
    std::fs::write(&file, fleet()).unwrap();
    Child::start(HELIOGRAPH, &place.data(), &["--https", "127.0.0.1:0", "--provision", &file.display().to_string()])
}

/// Clients that register themselves and prove themselves by keys and certificates, with whatever else they need.
async fn more(base: &str) {
    let place = Place::new();
    let gateway = start(&place);
    let issuer = format!("{}{base}", gateway.ready("public_url"));
    let folder = root().join("tests/clients/openid");
    if !folder.join("node_modules").exists() {
        assert!(!testkit::required(), "the OpenID clients are not installed");
        eprintln!("skipped: run npm ci in tests/clients/openid");
        return;
    }
    let at = |name: &str| place.folder.path().join(name).display().to_string();
    let (certificate, key) = (at("client.pem"), at("client.key"));
    let curve = "ec_paramgen_curve:P-256";
    let made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", "/CN=partner", "-days", "30"];
    let made = run("openssl", made.into_iter().chain(["-keyout", key.as_str(), "-out", certificate.as_str()]), 30).await.ok();
    assert_eq!(made.code, Some(0));
    let alice = ALICE.native(&gateway.http()).await;
    let grants = ["authorization_code", "refresh_token", "client_credentials", "token_exchange"];
    let scopes = ["openid", "email", "profile", "thing:read"];
    let asked = json!({"label": "partners", "uses": 20, "grants": grants, "scopes": scopes});
    let initial = alice.post("/heliograph/v1/initial-access-tokens", &asked).await.expect(201).json();
    let file = folder.join("more.mjs").display().to_string();
    let arguments = [
        file.as_str(),
        issuer.as_str(),
        gateway.ready("public_url"),
        ALICE.email,
        ALICE.password,
        initial["token"].as_str().unwrap(),
        certificate.as_str(),
        key.as_str(),
        gateway.ready("ca"),
    ];
    let outcome = run("node", arguments, 60).await.ok();
    assert!(outcome.out.contains("9 passed"), "{}\n{}", outcome.out, outcome.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_keys_and_certificates_at_the_plain_face() {
    more("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_keys_and_certificates_at_the_realm() {
    more("/v1/id/auth/realms/olt").await;
}

/// Chromium and its driver, where `./test` has installed them.
fn chromium() -> Option<&'static str> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|p| std::path::Path::new(p).exists());
    if found.is_none() || !root().join("tests/clients/openid/node_modules").exists() {
        assert!(!testkit::required(), "Chromium or its driver is not installed");
        eprintln!("skipped: no Chromium");
        return None;
    }
    found
}

async fn story(base: &str) {
    let place = Place::new();
    let gateway = start(&place);
    let issuer = format!("{}{base}", gateway.ready("public_url"));
    let folder = root().join("tests/clients/openid");
    if !folder.join("node_modules").exists() {
        assert!(!testkit::required(), "the OpenID clients are not installed");
        eprintln!("skipped: run npm ci in tests/clients/openid");
        return;
    }
    let file = folder.join("story.mjs").display().to_string();
    let outcome = run("node", [file.as_str(), issuer.as_str(), gateway.ready("public_url"), ALICE.email, ALICE.password], 60).await.ok();
    assert!(outcome.out.contains("6 passed"), "{}\n{}", outcome.out, outcome.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_oauth4webapi_and_oidc_client_at_the_plain_face() {
    story("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_oauth4webapi_and_oidc_client_at_the_realm() {
    story("/v1/id/auth/realms/olt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_keycloak_and_authlib_at_the_realm() {
    let place = Place::new();
    let gateway = start(&place);
    let arguments = [gateway.ready("public_url").to_owned(), ALICE.email.to_owned(), ALICE.password.to_owned()];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(outcome) = script_with("HELIOGRAPH_TEST_PYTHON_OPENID", "openid_story.py", &arguments, 60).await else { return };
    let outcome = outcome.ok();
    assert!(outcome.out.contains("ok python-keycloak") && outcome.out.contains("ok authlib"), "{}", outcome.out);
}
