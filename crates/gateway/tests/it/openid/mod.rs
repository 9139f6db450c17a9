//! The OpenID provider: other people's clients through both faces, and what happens to bad input.

mod attacks;
mod pages;

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

/// A gateway with those clients.
fn start(place: &Place) -> Child {
    let backend = r#"grants = ["client_credentials"]"#;
    let able = r#"grants = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:9999/cb"]
scopes = ["openid", "email", "profile"]"#;
    let file = place.folder.path().join("openid.toml");
    std::fs::write(&file, format!("{}{CLIENTS}", FLEET.replace(backend, able))).unwrap();
    Child::start(HELIOGRAPH, &place.data(), &["--provision", &file.display().to_string()])
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
