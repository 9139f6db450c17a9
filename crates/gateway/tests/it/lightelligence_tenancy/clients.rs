//! Other people's clients: the platform's own SDK, and python-keycloak with the header `tenant`.

use serde_json::json;
use testkit::clients::{root, run, script_with};
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX};

use super::{Api, builder, permission, sign_in, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_sdk() {
    let folder = root().join("tests/clients/lightelligence-tenancy");
    if !folder.join("node_modules").exists() {
        assert!(!testkit::required(), "the Lightelligence SDK is not installed");
        eprintln!("skipped: run npm ci in tests/clients/lightelligence-tenancy");
        return;
    }
    let gateway = builder().start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE, "portal", None).await.expect(200).text();
    let carol = sign_in(&http, &CAROL, "portal", None).await.expect(200).text();
    let file = folder.join("story.js").display().to_string();
    let arguments = [file.as_str(), http.base(), &alice, &carol, ALICE.id, CAROL.id, GLOBEX, CAROL.email];
    let outcome = run("node", arguments, 60).await.ok();
    assert!(outcome.out.contains("37 passed"), "{}\n{}", outcome.out, outcome.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_keycloak_with_a_tenant_header() {
    // Its tokens are judged by a clock of its own.
    let gateway = builder().clock(model::Clock::system()).start().await;
    let http = gateway.http();
    let (alice, carol) = (Api::person(&http, &ALICE, None).await, Api::person(&http, &CAROL, None).await);
    let wants = json!({ "client": [permission(&alice, "devices_base_data:read").await], "user": [] });
    let new = json!({ "name": "Lamps", "allowedTenants": [{ "tenantId": GLOBEX }], "permissions": wants });
    let made = alice.post("/application-developer/applications", &new).await.expect(201).json();
    let (app, secret) = (text(&made["data"]["oauth2Client"]["id"]), text(&made["data"]["oauth2Client"]["secret"]));
    let _ = carol.post(&format!("/applications/{app}/installation"), &json!({ "permissions": wants })).await.expect(201);
    let arguments = [http.base(), app.as_str(), secret.as_str(), GLOBEX, ACME];
    let story = "lightelligence_tenancy_story.py";
    let Some(outcome) = script_with("HELIOGRAPH_TEST_PYTHON_OPENID", story, &arguments, 60).await else { return };
    assert!(outcome.ok().out.contains("ok python-keycloak"));
}
