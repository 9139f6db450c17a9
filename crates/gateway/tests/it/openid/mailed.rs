//! Forgotten passwords and unproved addresses: what is mailed, and what its links do.

use reqwest::StatusCode;
use std::time::Duration;
use testkit::Gateway;
use testkit::fleet::{ALICE, FLEET};

use super::attacks::Browser;
use crate::flashlex::registering::Mailbox;

async fn open(mailbox: &Mailbox) -> Gateway {
    let url = mailbox.url.clone();
    let fleet = FLEET.replace(
        "email = \"rita@example.com\"\npassword = \"rita only ever reads\"\nid = \"ecd13b12-6d91-4e8e-9156-60e451a3c975\"\nverified = true",
        "email = \"rita@example.com\"\npassword = \"rita only ever reads\"\nid = \"ecd13b12-6d91-4e8e-9156-60e451a3c975\"",
    );
    Gateway::builder()
        .provision(&fleet)
        .config(move |config| config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() }))
        .start()
        .await
}

/// The path behind the link in a mail.
fn link(mail: &str) -> String {
    let text = mail.replace("=\r\n", "").replace("=3D", "=");
    let at = text.find("/console/").unwrap_or_else(|| panic!("{mail}"));
    text[at..].split_whitespace().next().unwrap().to_owned()
}

async fn log_in(browser: &Browser, email: &str, password: &str) -> StatusCode {
    browser.post("/console/login", &[("email", email), ("password", password), ("next", "/")], &[]).await.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_set_anew_by_mail_once() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let mut browser = Browser::new(gateway.http().base().to_owned());
    browser.log_in().await;
    let ask = async |email: &str| {
        let answer = browser.post("/console/forgot", &[("email", email)], &[]).await;
        (answer.status(), answer.text().await.unwrap())
    };
    let (known, unknown) = (ask(ALICE.email).await, ask("nobody@example.com").await);
    assert_eq!(known, unknown, "the answer does not tell who has an account");
    assert_eq!(known.0, StatusCode::OK);
    assert_eq!(ask("nonsense").await.0, StatusCode::BAD_REQUEST);
    let path = link(&mailbox.mail(1).await);
    assert!(path.starts_with("/console/reset?token="), "{path}");
    assert_eq!(mailbox.mails.lock().len(), 1, "nothing for nobody");
    let token = path.split_once("token=").unwrap().1;
    // Looking changes nothing; wrong links are no good; the two fields must agree; easy ones are refused.
    let page = browser.get(&path).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains(ALICE.email));
    for bad in ["", "x", "AAAAAAAAAAAAAAAA"] {
        assert_eq!(browser.get(&format!("/console/reset?token={bad}")).await.status(), StatusCode::NOT_FOUND);
    }
    let set = async |new: &str, again: &str| browser.post("/console/reset", &[("token", token), ("new", new), ("again", again)], &[]).await;
    assert_eq!(set("a fine new password", "another").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(set("12345678", "12345678").await.status(), StatusCode::BAD_REQUEST);
    let foreign = [("sec-fetch-site", "cross-site")];
    let fields = [("token", token), ("new", "a fine new password"), ("again", "a fine new password")];
    assert_eq!(browser.post("/console/reset", &fields, &foreign).await.status(), StatusCode::BAD_REQUEST);
    gateway.advance(Duration::from_secs(1));
    assert_eq!(set("a fine new password", "a fine new password").await.status(), StatusCode::OK);
    assert_eq!(set("a fine new password", "a fine new password").await.status(), StatusCode::NOT_FOUND, "once");
    // The browser that was signed in is so no more; the old password is gone.
    assert_eq!(browser.get("/console/sessions").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(log_in(&browser, ALICE.email, ALICE.password).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&browser, ALICE.email, "a fine new password").await, StatusCode::SEE_OTHER);
    // An hour later a link is too old.
    let _ = ask(ALICE.email).await;
    let path = link(&mailbox.mail(2).await);
    gateway.advance(Duration::from_secs(3_601));
    assert_eq!(browser.get(&path).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_for_forgotten_passwords_are_rationed() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let browser = Browser::new(gateway.http().base().to_owned());
    for email in [ALICE.email, "nobody@example.com"] {
        let mut refused = None;
        for n in 0..25 {
            let answer = browser.post("/console/forgot", &[("email", email)], &[]).await;
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                assert!(answer.headers().contains_key("retry-after"));
                refused = Some(n);
                break;
            }
        }
        assert_eq!(refused, Some(20), "{email}");
        gateway.advance(Duration::from_mins(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_proved_by_the_button_behind_the_link() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let mut browser = Browser::new(gateway.http().base().to_owned());
    let answer = browser.post("/console/verify/send", &[], &[]).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "to sign in");
    let answer =
        browser.post("/console/login", &[("email", "rita@example.com"), ("password", "rita only ever reads"), ("next", "/")], &[]).await;
    browser.cookie = Some(answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned());
    assert!(browser.get("/console/sessions").await.text().await.unwrap().contains("not proved yet"));
    assert_eq!(browser.post("/console/verify/send", &[], &[]).await.status(), StatusCode::SEE_OTHER);
    let path = link(&mailbox.mail(1).await);
    assert!(path.starts_with("/console/verify?token="), "{path}");
    // A program that opens the link proves nothing.
    assert_eq!(browser.get(&path).await.status(), StatusCode::OK);
    assert!(browser.get("/console/sessions").await.text().await.unwrap().contains("not proved yet"));
    let token = path.split_once("token=").unwrap().1;
    assert_eq!(browser.post("/console/verify", &[("token", "x")], &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(browser.post("/console/verify", &[("token", token)], &[]).await.status(), StatusCode::OK);
    assert!(!browser.get("/console/sessions").await.text().await.unwrap().contains("not proved yet"));
    assert_eq!(browser.post("/console/verify", &[("token", token)], &[]).await.status(), StatusCode::NOT_FOUND, "once");
}
