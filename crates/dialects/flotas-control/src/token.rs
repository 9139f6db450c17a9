//! `POST /api/Auth/Token`: an API key and its user's name for a token (seed; contracts/flotas-control.md 3.1).

use std::time::Duration;

use edge::Origin;
use identity::{Algorithm, Credential, TenantChoice, TokenFacts, TokenProfile};
use model::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Problem;
use crate::reply::Reply;
use crate::{Shared, people, wire};

/// Flotas control tokens: HS512, `typ` JWT, a day long; they end with the API key they were got by.
pub static TOKENS: TokenProfile = TokenProfile {
    name: "flotas-control",
    algorithm: Algorithm::Hs512,
    issuer: |public_url| format!("{}/api", public_url.trim_end_matches('/')),
    audience: None,
    lifetime: Duration::from_hours(24),
    claims,
    typ: Some("JWT"),
};

fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    if let Some(user) = facts.user {
        claims.insert("unique_name".to_owned(), json!(user.username.as_deref().unwrap_or(&user.email)));
        claims.insert("email".to_owned(), json!(user.email));
    }
    claims
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, alias = "username", alias = "UserName")]
    #[serde(rename = "userName")]
    user_name: String,
    #[serde(default, alias = "apikey", alias = "ApiKey")]
    #[serde(rename = "apiKey")]
    api_key: String,
}

#[derive(Serialize)]
struct Token {
    token: String,
    expires: String,
}

/// One and the same for an unknown user, a wrong key and a user who may not now.
pub(crate) const REFUSED: Error = Error::Unauthenticated { reason: "Invalid API key or username." };

pub(crate) async fn token(app: &Shared, body: &[u8], origin: &Origin) -> std::result::Result<Reply, Problem> {
    let body: Body = edge::json(body)?;
    for (field, text) in [("userName", &body.user_name), ("apiKey", &body.api_key)] {
        if text.is_empty() {
            return Err(Error::invalid(field, "is required").into());
        }
    }
    let issued = issue(app, &body, origin).await.map_err(|error| match error {
        Error::Unauthenticated { .. } | Error::Forbidden(_) => REFUSED,
        other => other,
    })?;
    Ok(Reply::ok(&Token { token: issued.token, expires: wire::time(issued.expires) }))
}

async fn issue(app: &Shared, body: &Body, origin: &Origin) -> Result<identity::IssuedToken> {
    let credential = Credential::ApiKeyOf { login: body.user_name.trim(), key: body.api_key.trim() };
    let signed_in = app.identity.sign_in(credential, TenantChoice::Home, &origin.into()).await?;
    if !people::may_now(app, &signed_in.caller).await? {
        return Err(REFUSED);
    }
    let issued = app.identity.issue(&signed_in, &TOKENS, origin.label.as_deref()).await?;
    app.things.logged_in(&signed_in.caller).await?;
    Ok(issued)
}
