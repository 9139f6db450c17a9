//! The Flotas control API over the sockets: back ends, MQTT trackers and phones, told as stories, and what they must not get away with.

mod bad_input;
mod commands;
mod groups;
mod guarded;
mod places;
mod story;
mod users;

use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY, FLEET, RITA};
use testkit::{Exchange, Gateway, Http};

/// Rita's API key, and Carol's.
const RITAS_KEY: &str = "K2-7d3e9c5a1b2f4d60";
const CAROLS_KEY: &str = "K3-0a9b8c7d6e5f4a3b";
/// What `dev-1` signs in with.
const SECRET: &str = "a secret of truck 1";

/// Bea, who reads in both accounts.
const BEA: &str = "ecd13b15-6d91-4e8e-9156-60e451a3c975";

/// The fleet, with a key for everybody and somebody who belongs to both.
fn fleet() -> String {
    let key = |tenant: &str, user: &str, key: &str| format!("\n[[api_key]]\ntenant = \"{tenant}\"\nuser = \"{user}\"\nkey = \"{key}\"\n");
    let bea = "\n[[user]]\nemail = \"bea@example.com\"\npassword = \"bea works for both\"\nid = \"ecd13b15-6d91-4e8e-9156-60e451a3c975\"\n\
               memberships = [{ tenant = \"acme\", role = \"reader\" }, { tenant = \"globex\", role = \"reader\" }]\n";
    [FLEET, bea, &key("acme", RITA.email, RITAS_KEY), &key("globex", "carol@example.com", CAROLS_KEY)].concat()
}

async fn start() -> Gateway {
    start_on(None).await
}

/// On PostgreSQL when there is a URL, else on SQLite.
async fn start_on(url: Option<String>) -> Gateway {
    Gateway::builder().provision(&fleet()).store(url).start().await
}

/// Gets a token; requests with it.
async fn signed_in(http: &Http, user: &str, key: &str) -> Http {
    let answer = http.post("/api/Auth/Token", &json!({ "userName": user, "apiKey": key })).await.expect(200).json();
    http.bearer(answer["token"].as_str().unwrap())
}

async fn alice(gateway: &Gateway) -> Http {
    signed_in(&gateway.http(), ALICE.email, API_KEY).await
}

async fn rita(gateway: &Gateway) -> Http {
    signed_in(&gateway.http(), RITA.email, RITAS_KEY).await
}

async fn carol(gateway: &Gateway) -> Http {
    signed_in(&gateway.http(), "carol@example.com", CAROLS_KEY).await
}

/// Gives `dev-1` a secret.
async fn with_secret(gateway: &Gateway) {
    let native = ALICE.native(&gateway.http()).await;
    let _ = native.put("/heliograph/v1/things/dev-1/secret", &json!({ "secret": SECRET })).await;
}

/// The text of a refusal, which must be one in the platform's shape.
#[track_caller]
fn error(answer: &Exchange) -> String {
    let json = answer.json();
    assert_eq!(json["success"], false, "{answer}");
    json["error"].as_str().unwrap_or_else(|| panic!("no text: {answer}")).to_owned()
}

/// The range of the whole day of the tests.
fn day() -> Value {
    json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-03-01T23:59:59Z" })
}
