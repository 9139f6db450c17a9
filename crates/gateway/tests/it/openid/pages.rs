//! The pages a person clicks, in headless Chromium without a mouse: the keyboard alone has to do.

use testkit::clients::{root, run};
use testkit::fleet::ALICE;

use super::start;
use crate::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_consents_and_ends_a_session_in_a_browser() {
    let place = Place::new();
    let gateway = start(&place);
    let folder = root().join("tests/clients/openid");
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|p| std::path::Path::new(p).exists());
    let (Some(chromium), true) = (chromium, folder.join("node_modules").exists()) else {
        assert!(!testkit::required(), "Chromium or its driver is not installed");
        eprintln!("skipped: no Chromium");
        return;
    };
    let file = folder.join("pages.mjs").display().to_string();
    let shots = place.folder.path().display().to_string();
    let outcome =
        run("node", [file.as_str(), chromium, gateway.ready("public_url"), ALICE.email, ALICE.password, shots.as_str()], 200).await.ok();
    assert!(outcome.out.contains("3 passed"), "{}\n{}", outcome.out, outcome.err);
}
