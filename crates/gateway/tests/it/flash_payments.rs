//! Flash Payments' GraphQL: the seed's own JavaScript, the official audit, a subscription, gql from PyPI, and the playground clicked.

use testkit::Child;
use testkit::clients::{root, run, script_with};
use testkit::fleet::{ALICE, FLEET};

use crate::{HELIOGRAPH, Place};

/// Alice has an account with each affiliation.
fn start(place: &Place) -> Child {
    let fleet = FLEET
        .replace("name = \"acme\"\n", "name = \"acme\"\naffiliation = \"FP_AUS\"\n")
        .replace("[[user]]\nemail = \"alice", "[[tenant]]\nname = \"acme-lux\"\naffiliation = \"FP_LUX\"\n\n[[user]]\nemail = \"alice")
        .replace(
            "memberships = [{ tenant = \"acme\", role = \"owner\" }]",
            "memberships = [{ tenant = \"acme\", role = \"owner\" }, { tenant = \"acme-lux\", role = \"reader\" }]",
        );
    let file = place.folder.path().join("affiliations.toml");
    std::fs::write(&file, fleet).unwrap();
    Child::start(HELIOGRAPH, &place.data(), &["--provision", &file.display().to_string()])
}

fn installed() -> bool {
    let there = root().join("tests/clients/flash-payments/node_modules").exists();
    assert!(there || !testkit::required(), "the GraphQL clients are not installed");
    if !there {
        eprintln!("skipped: run npm ci in tests/clients/flash-payments");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_javascript_the_audit_and_a_subscription() {
    let place = Place::new();
    let gateway = start(&place);
    if !installed() {
        return;
    }
    let file = root().join("tests/clients/flash-payments/story.mjs").display().to_string();
    let outcome = run("node", [file.as_str(), gateway.ready("public_url"), ALICE.email, ALICE.password], 90).await.ok();
    assert!(outcome.out.contains("8 passed"), "{}\n{}", outcome.out, outcome.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playground_is_clicked_as_the_seed_says() {
    let place = Place::new();
    let gateway = start(&place);
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|p| std::path::Path::new(p).exists());
    let (Some(chromium), true) = (chromium, installed()) else {
        assert!(!testkit::required(), "Chromium is not installed");
        return;
    };
    let file = root().join("tests/clients/flash-payments/playground.mjs").display().to_string();
    let shots = place.folder.path().display().to_string();
    // Rita has one account, so that the mutation works as the page shows it.
    let arguments = [file.as_str(), chromium, gateway.ready("public_url"), "rita@example.com", "rita only ever reads", shots.as_str()];
    let outcome = run("node", arguments, 200).await.ok();
    assert!(outcome.out.contains("1 passed"), "{}\n{}", outcome.out, outcome.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn gql_reads_the_schema_and_logs_in() {
    let place = Place::new();
    let gateway = start(&place);
    let url = format!("{}/graphql", gateway.ready("public_url"));
    let Some(outcome) = script_with("HELIOGRAPH_TEST_PYTHON_OPENID", "graphql_story.py", &[&url, ALICE.email, ALICE.password], 60).await
    else {
        return;
    };
    assert!(outcome.ok().out.contains("ok gql"));
}
