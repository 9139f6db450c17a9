//! The token style: a JWT whose `iat` and `exp` are four hours apart (seed: "The token lifetime is 4 hours at this time").

use std::time::Duration;

use identity::{Algorithm, TokenFacts, TokenProfile};
use serde_json::{Map, Value, json};

/// Flash Payments tokens.
pub static TOKENS: TokenProfile = TokenProfile {
    name: "flash-payments",
    algorithm: Algorithm::EdDsa,
    issuer: |public_url| format!("{public_url}/graphql"),
    audience: None,
    lifetime: Duration::from_hours(4),
    claims,
    typ: Some("JWT"),
};

fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    if let Some(user) = facts.user {
        claims.insert("email".to_owned(), json!(user.email));
    }
    claims
}
