//! The fleet that most tests start with: two tenants that must never see each other.

use crate::Http;

/// A provisioning file. Tenant `acme`: Alice owns it, Rita only reads; `dev-1` is its thing, `backend` its client.
/// Tenant `globex`: Carol owns it, `dev-9` is its thing.
pub const FLEET: &str = r#"
[[tenant]]
name = "acme"
id = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01"
plan = "UNLIMITED"

[[tenant]]
name = "globex"
id = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a02"
plan = "UNLIMITED"

[[user]]
email = "alice@example.com"
password = "correct horse battery staple"
id = "ecd13b11-6d91-4e8e-9156-60e451a3c975"
username = "alice"
given_name = "Alice"
family_name = "Anders"
verified = true
memberships = [{ tenant = "acme", role = "owner" }]

[[user]]
email = "rita@example.com"
password = "rita only ever reads"
id = "ecd13b12-6d91-4e8e-9156-60e451a3c975"
verified = true
memberships = [{ tenant = "acme", role = "reader" }]

[[user]]
email = "carol@example.com"
password = "carol is somebody else"
id = "ecd13b13-6d91-4e8e-9156-60e451a3c975"
verified = true
memberships = [{ tenant = "globex", role = "owner" }]

[[client]]
tenant = "acme"
id = "backend"
secret = "s3cr3t-of-the-backend"
grants = ["client_credentials"]

[[api_key]]
tenant = "acme"
user = "alice@example.com"
key = "K1-2b1f0f8b5d5c4b7f"

[[thing]]
tenant = "acme"
id = "dev-1"
name = "truck-1"
tags = ["north"]

[[thing]]
tenant = "globex"
id = "dev-9"
name = "truck-9"
"#;

/// Somebody who can sign in.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The address.
    pub email: &'static str,
    /// The password.
    pub password: &'static str,
    /// The user's id.
    pub id: &'static str,
}

impl Person {
    /// Signs in at the gateway's own API; requests as this person.
    pub async fn native(&self, http: &Http) -> Http {
        let answer = http.basic(self.email, self.password).post("/heliograph/v1/token", &serde_json::json!({})).await.expect(200);
        http.bearer(answer.json()["access_token"].as_str().unwrap())
    }

    /// Signs in at FlashLex; requests as this person.
    pub async fn flashlex(&self, http: &Http) -> Http {
        let answer = http.basic(self.email, self.password).get("/prd/v1/token").await.expect(200);
        http.bearer(answer.json()["accessToken"].as_str().unwrap())
    }
}

/// Makes a thing that signs in with a secret; returns its id.
pub async fn thing_with_secret(owner: &Http, key: &str, secret: &str) -> String {
    let new = serde_json::json!({ "key": key, "credentials": "secret", "secret": secret });
    let answer = owner.post("/heliograph/v1/things", &new).await.expect(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Owner of `acme`.
pub const ALICE: Person =
    Person { email: "alice@example.com", password: "correct horse battery staple", id: "ecd13b11-6d91-4e8e-9156-60e451a3c975" };
/// Reader in `acme`.
pub const RITA: Person = Person { email: "rita@example.com", password: "rita only ever reads", id: "ecd13b12-6d91-4e8e-9156-60e451a3c975" };
/// Owner of `globex`.
pub const CAROL: Person =
    Person { email: "carol@example.com", password: "carol is somebody else", id: "ecd13b13-6d91-4e8e-9156-60e451a3c975" };

/// Tenant `acme`.
pub const ACME: &str = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01";
/// Tenant `globex`.
pub const GLOBEX: &str = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a02";
/// Alice's API key.
pub const API_KEY: &str = "K1-2b1f0f8b5d5c4b7f";
