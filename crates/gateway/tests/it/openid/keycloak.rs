//! `keycloak-js`, unmodified, in headless Chromium at the realm, by password, code and consent.

use testkit::Child;
use testkit::clients::{root, run};
use testkit::fleet::{ALICE, FLEET};

use super::chromium;
use crate::{HELIOGRAPH, Place};

/// A port nobody has just now.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_js_signs_in_with_a_second_factor() {
    let Some(chromium) = chromium() else { return };
    let (place, port) = (Place::new(), free_port());
    let client = format!(
        r#"
[[client]]
tenant = "acme"
id = "keycloak"
public = true
grants = ["authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:{port}/cb", "http://127.0.0.1:{port}/silent", "http://localhost:{port}/cb"]
scopes = ["openid", "email", "profile"]
"#
    );
    let file = place.folder.path().join("keycloak.toml");
    std::fs::write(&file, format!("{FLEET}{client}")).unwrap();
    let gateway = Child::start(HELIOGRAPH, &place.data(), &["--provision", &file.display().to_string()]);
    let script = root().join("tests/clients/openid/keycloak.mjs").display().to_string();
    let port = port.to_string();
    let arguments = [script.as_str(), chromium, gateway.ready("public_url"), ALICE.email, ALICE.password, port.as_str()];
    let outcome = run("node", arguments, 280).await.ok();
    assert!(outcome.out.contains("6 passed"), "{}\n{}", outcome.out, outcome.err);
}
