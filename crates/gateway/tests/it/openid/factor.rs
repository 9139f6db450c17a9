//! A second factor in headless Chromium: set up, asked for, demanded, taken away; the fleet's owner and its reader.

use testkit::clients::{root, run};
use testkit::fleet::{ALICE, RITA};

use super::{chromium, start};
use crate::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sets_up_a_second_factor_and_signs_in_with_it_in_a_browser() {
    let place = Place::new();
    let gateway = start(&place);
    let Some(chromium) = chromium() else { return };
    let file = root().join("tests/clients/openid/factor.mjs").display().to_string();
    let shots = place.folder.path().display().to_string();
    let people = [ALICE.email, ALICE.password, "K1-2b1f0f8b5d5c4b7f", RITA.email, RITA.password];
    let arguments: Vec<&str> =
        [file.as_str(), chromium, gateway.ready("public_url")].into_iter().chain(people).chain([shots.as_str()]).collect();
    let outcome = run("node", arguments, 240).await.ok();
    assert!(outcome.out.contains("5 passed"), "{}\n{}", outcome.out, outcome.err);
}
