//! The platform's own browser SDK, as it is on npm.

use testkit::clients::{root, run};

use super::mqtt::Device;
use super::{Api, open};

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_sdk_unmodified() {
    let folder = root().join("tests/clients/lightelligence");
    if !folder.join("node_modules").exists() {
        assert!(!testkit::required(), "the Lightelligence SDK is not installed");
        eprintln!("skipped: run npm ci in tests/clients/lightelligence");
        return;
    }
    // The clock stands still before the certificate's beginning: registering it needs only that it has not ended.
    let gateway = open().await;
    let Api(http) = Api::backend(&gateway).await;
    let testkit::Auth::Bearer(token) = http.auth() else { panic!("a token") };
    let device = Device::make(&gateway, "sdk", &["-newkey", "rsa:2048"]).await;
    let certificate = gateway.folder().join("sdk-cert.pem").display().to_string();
    assert!(device.pem.starts_with("-----BEGIN"));
    let story = folder.join("story.cjs").display().to_string();
    let outcome = run("node", [story.as_str(), http.base(), token.as_str(), certificate.as_str()], 60).await.ok();
    assert!(outcome.out.contains("ok browser-sdk"), "{}\n{}", outcome.out, outcome.err);
}
