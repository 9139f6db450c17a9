//! The platform's own SDKs, unmodified: JavaScript 1.4.2 and Python 0.2.1; and the page its mails link to, in a browser.

use serde_json::json;
use testkit::clients::{root, run, script_with};
use testkit::fleet::{ALICE, CAROL};

use super::{mail_to, mailed_token, open, token};
use crate::flashlex::registering::Mailbox;

#[tokio::test(flavor = "multi_thread")]
async fn javascript() {
    let folder = root().join("tests/clients/open-iot");
    if !folder.join("node_modules").exists() {
        assert!(!testkit::required(), "the Open IoT SDK is not installed");
        eprintln!("skipped: run npm ci in tests/clients/open-iot");
        return;
    }
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let file = folder.join("story.mjs").display().to_string();
    let base = http.base().to_owned();
    let arguments = [file, base, ALICE.email.to_owned(), ALICE.password.to_owned(), CAROL.email.to_owned(), CAROL.password.to_owned()];
    let outcome = run("node", &arguments, 90).await.ok();
    assert!(outcome.out.contains("ok oisp-sdk-js"), "{}\n{}", outcome.out, outcome.err);
    let _ = mail_to(&mailbox, "sdk@example.com", "activate").await;
    let _ = mail_to(&mailbox, CAROL.email, "invites").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let api = format!("{}/v1/api", gateway.http().base());
    let arguments = [api.as_str(), ALICE.email, ALICE.password];
    let Some(outcome) = script_with("HELIOGRAPH_TEST_PYTHON_OPEN_IOT", "open_iot_story.py", &arguments, 90).await else { return };
    let outcome = outcome.ok();
    assert!(outcome.out.contains("ok oisp"), "{}", outcome.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_that_mails_link_to() {
    let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|p| std::path::Path::new(p).exists());
    let (Some(chromium), true) = (chromium, root().join("tests/clients/openid/node_modules").exists()) else {
        assert!(!testkit::required(), "Chromium or its driver is not installed");
        eprintln!("skipped: no Chromium");
        return;
    };
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let email = "clicks@example.com";
    let _ = http.post("/v1/api/users", &json!({ "email": email, "password": "Receiver12345" })).await.expect(201);
    let _ = http.post("/v1/api/users/forgot_password", &json!({ "email": email })).await.expect(200);
    let link = async |what: &str| {
        let code = mailed_token(&mail_to(&mailbox, email, what).await);
        format!("{}/ui/auth#/{what}?token={code}", http.base())
    };
    let file = root().join("tests/clients/open-iot/page.mjs").display().to_string();
    let arguments = [file, chromium.to_owned(), link("activate").await, link("resetPassword").await, "Sender67890".to_owned()];
    let outcome = run("node", &arguments, 90).await.ok();
    assert!(outcome.out.contains("ok page"), "{}\n{}", outcome.out, outcome.err);
    let _ = token(&http, email, "Sender67890").await;
}
