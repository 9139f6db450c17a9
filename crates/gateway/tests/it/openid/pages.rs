//! The pages a person clicks, in headless Chromium without a mouse: the keyboard alone has to do.

use testkit::clients::{root, run};
use testkit::fleet::ALICE;

use super::{chromium, start};
use crate::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_consents_and_ends_a_session_in_a_browser() {
    let place = Place::new();
    let gateway = start(&place);
    let Some(chromium) = chromium() else { return };
    let file = root().join("tests/clients/openid/pages.mjs").display().to_string();
    let shots = place.folder.path().display().to_string();
    let outcome =
        run("node", [file.as_str(), chromium, gateway.ready("public_url"), ALICE.email, ALICE.password, shots.as_str()], 200).await.ok();
    assert!(outcome.out.contains("3 passed"), "{}\n{}", outcome.out, outcome.err);
}
