//! `heliograph token`

use clap::Args;
use http::Method;
use identity::ExposeSecret as _;
use serde_json::{Map, Value};

use super::{say, user};
use crate::client::{Client, text};
use crate::{Config, Problem};

/// Whose token.
#[derive(Debug, Args)]
pub struct Token {
    /// A user's e-mail address or user name
    #[arg(long, requires = "password", conflicts_with_all = ["client", "api_key"])]
    email: Option<String>,
    /// The user's password; `-` reads it from stdin
    #[arg(long, requires = "email")]
    password: Option<String>,
    /// A client's id
    #[arg(long, requires = "secret", conflicts_with = "api_key")]
    client: Option<String>,
    /// The client's secret; `-` reads it from stdin
    #[arg(long, requires = "client")]
    secret: Option<String>,
    /// An API key; `-` reads it from stdin
    #[arg(long)]
    api_key: Option<String>,
    /// Tenant, by name or id [default: the user's oldest membership]
    #[arg(long)]
    tenant: Option<String>,
}

/// Prints the token and nothing else.
pub async fn run(config: &Config, asked: Token) -> Result<(), Problem> {
    let client = Client::open(config).await?;
    let told = token(&client, asked).await;
    client.close().await;
    say(told?)
}

async fn token(client: &Client, asked: Token) -> Result<String, Problem> {
    let mut body = Map::new();
    let mut put = |name: &str, value: String| body.insert(name.to_owned(), Value::String(value));
    match (asked.email, asked.password, asked.client, asked.secret, asked.api_key) {
        (Some(email), Some(password), ..) => {
            put("email", email);
            put("password", user::typed(password)?);
        }
        (None, None, Some(id), Some(secret), _) => {
            put("client_id", id);
            put("client_secret", user::typed(secret)?);
        }
        (None, None, None, None, Some(key)) => {
            put("api_key", user::typed(key)?);
        }
        _ => {
            // The operator's own: it opens the API under /heliograph/v1 as long as the gateway runs.
            return client.token().map(|token| token.expose_secret().to_owned()).ok_or_else(|| {
                Problem::failed(
                    "no gateway runs, and the operator's token lives only while one does: start it, or give --email and --password",
                )
            });
        }
    }
    if let Some(tenant) = asked.tenant {
        put("tenant", tenant);
    }
    let answer = client.json(Method::POST, "/token", Some(&Value::Object(body))).await?;
    Ok(text(&answer, "access_token").to_owned())
}
