//! Open IoT Service Platform over the sockets: the seed sentence by sentence, its three situations, mails, bad input, strangers,
//! and the platform's own SDKs.

mod accounts;
mod bad_input;
mod invitations;
mod sdks;
mod seed;
mod strangers;
mod users;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::PlanName;
use serde_json::{Value, json};
use testkit::fleet::Person;
use testkit::{Gateway, Http};

use crate::flashlex::registering::Mailbox;

const API: &str = "/v1/api";

/// The token of somebody.
async fn token(http: &Http, email: &str, password: &str) -> String {
    let body = json!({ "username": email, "password": password });
    let answer = http.post("/v1/api/auth/token", &body).await.expect(200).json();
    answer["token"].as_str().unwrap().to_owned()
}

/// Requests as this person.
async fn sign_in(http: &Http, who: &Person) -> Http {
    http.bearer(token(http, who.email, who.password).await)
}

/// A token's payload, read without checking anything.
fn payload(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The account's role in what tokenInfo says.
async fn role_in_token(http: &Http, account: &str) -> Option<String> {
    let info = http.get("/v1/api/auth/tokenInfo").await.expect(200).json();
    let accounts = info["payload"]["accounts"].as_array().unwrap().clone();
    accounts.iter().find(|a| a["id"] == account).map(|a| a["role"].as_str().unwrap().to_owned())
}

/// A gateway that takes registrations and sends mails.
async fn open(mailbox: &Mailbox) -> Gateway {
    let url = mailbox.url.clone();
    Gateway::builder()
        .config(move |config| {
            config.registration = Some(PlanName::Amber);
            config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() });
        })
        .start()
        .await
}

/// A mail's text, its transfer encoding undone as far as it matters here.
fn text(mail: &str) -> String {
    mail.replace("=\r\n", "").replace("=3D", "=").replace("=22", "\"")
}

/// What stands after `token=` in a mail.
fn mailed_token(mail: &str) -> String {
    let text = text(mail);
    let (_, rest) = text.split_once("token=").unwrap_or_else(|| panic!("no token in {text}"));
    rest.chars().take_while(|c| !c.is_whitespace() && *c != ')').collect()
}

/// The mail of that number that went to this address with that word in it.
async fn mail_to(mailbox: &Mailbox, email: &str, word: &str) -> String {
    let wanted = |mail: &String| mail.to_lowercase().contains(&format!("to: {email}")) && mail.contains(word);
    testkit::eventually("the mail", 20, async || mailbox.mails.lock().iter().any(wanted)).await;
    mailbox.mails.lock().iter().rfind(|mail| wanted(mail)).unwrap().clone()
}

/// Registers, activates and signs in.
async fn newcomer(gateway: &Gateway, mailbox: &Mailbox, email: &str, password: &str) -> Http {
    let http = gateway.http();
    let _ = http.post("/v1/api/users", &json!({ "email": email, "password": password, "termsAndConditions": true })).await.expect(201);
    let code = mailed_token(&mail_to(mailbox, email, "activate").await);
    let _ = http.post("/v1/api/users/activate", &json!({ "token": code })).await.expect(200);
    http.bearer(token(&http, email, password).await)
}
