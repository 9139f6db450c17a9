//! `heliograph user …`

use std::io::Read as _;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::say;
use crate::client::{Client, escaped, text};
use crate::{Config, Problem};

/// Users.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user to a tenant
    Add {
        /// E-mail address
        #[arg(long)]
        email: String,
        /// Password; `-` reads it from stdin
        #[arg(long)]
        password: String,
        /// Tenant, by name or id [default: main, else the first]
        #[arg(long)]
        tenant: Option<String>,
        /// owner, admin, writer, reader, user, guest
        #[arg(long, default_value = "user")]
        role: String,
        /// A second name to sign in by
        #[arg(long)]
        username: Option<String>,
        /// First name
        #[arg(long)]
        given_name: Option<String>,
        /// Last name
        #[arg(long)]
        family_name: Option<String>,
        /// May run the gateway itself, in every tenant
        #[arg(long)]
        operator: bool,
    },
    /// List a tenant's users
    List {
        /// Tenant, by name or id
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Set a user's password
    Password {
        /// E-mail address or user name
        #[arg(long)]
        email: String,
        /// The new password; `-` reads it from stdin
        #[arg(long)]
        password: String,
    },
}

/// Does what is asked.
pub async fn run(config: &Config, what: User) -> Result<(), Problem> {
    let mut client = Client::open(config).await?;
    let done = carry_out(&mut client, what).await;
    client.close().await;
    done
}

async fn carry_out(client: &mut Client, what: User) -> Result<(), Problem> {
    match what {
        User::Add { email, password, tenant, role, username, given_name, family_name, operator } => {
            client.in_tenant(tenant.as_deref()).await?;
            let body = json!({
                "email": email, "password": typed(password)?, "role": role, "verified": true, "operator": operator,
                "username": username, "given_name": given_name, "family_name": family_name,
            });
            let user = client.json(Method::POST, "/users", Some(&body)).await?;
            say(format_args!("added {} ({})", text(&user, "email"), text(&user, "id")))
        }
        User::List { tenant } => {
            client.in_tenant(tenant.as_deref()).await?;
            for member in client.all("/memberships").await? {
                let user = member.get("user").unwrap_or(&Value::Null);
                say(format_args!("{}  {}  {}", text(user, "id"), text(&member, "role"), text(user, "email")))?;
            }
            Ok(())
        }
        User::Password { email, password } => {
            let id = find(client, &email).await?;
            client.json(Method::PUT, &format!("/users/{}/password", escaped(&id)), Some(&json!({ "password": typed(password)? }))).await?;
            say(format_args!("{email} has a new password; its tokens and sessions have ended"))
        }
    }
}

/// The user's id, wherever it is a member.
async fn find(client: &mut Client, login: &str) -> Result<String, Problem> {
    for user in client.all("/users").await? {
        if text(&user, "email").eq_ignore_ascii_case(login) || (!login.is_empty() && text(&user, "username") == login) {
            return Ok(text(&user, "id").to_owned());
        }
    }
    for tenant in client.all("/tenants").await? {
        client.in_tenant(Some(text(&tenant, "id"))).await?;
        for user in client.all("/users").await? {
            if text(&user, "email").eq_ignore_ascii_case(login) || text(&user, "username") == login {
                return Ok(text(&user, "id").to_owned());
            }
        }
    }
    Err(Problem::failed(format!("there is no user {login}")))
}

/// A password from the line, or the first line of stdin, where no process list shows it.
pub fn typed(password: String) -> Result<String, Problem> {
    if password != "-" {
        return Ok(password);
    }
    let mut all = String::new();
    std::io::stdin().take(64 * 1024).read_to_string(&mut all).map_err(Problem::failed)?;
    Ok(all.lines().next().unwrap_or_default().to_owned())
}
