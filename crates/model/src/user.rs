//! Users, memberships, OAuth clients and API keys.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, ClientSecurity, Error, Result, Role, TenantId, UserId};

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Address, lower case; unique on this gateway.
    pub email: String,
    /// A second name to sign in by; unique on this gateway.
    pub username: Option<String>,
    /// First name.
    pub given_name: Option<String>,
    /// Last name.
    pub family_name: Option<String>,
    /// Was the address proved?
    pub verified: bool,
    /// Locked out by an administrator?
    pub disabled: bool,
    /// Runs the gateway itself (every tenant, signing keys)?
    pub operator: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// A user in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Since when; a user's oldest membership is its home.
    pub created: Timestamp,
}

/// An OAuth client (application).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its client id, unique on this gateway.
    pub id: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// For people.
    pub name: String,
    /// Has no secret, so must use PKCE.
    pub public: bool,
    /// The grants it may use.
    pub grants: Vec<Grant>,
    /// Where codes may be sent, compared letter by letter.
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for.
    pub scopes: Vec<String>,
    /// How it proves itself, and what is asked of it beyond that.
    #[serde(default)]
    pub security: ClientSecurity,
    /// When it was made.
    pub created: Timestamp,
}

/// An OAuth grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// RFC 6749 4.1.
    AuthorizationCode,
    /// RFC 6749 4.4.
    ClientCredentials,
    /// RFC 6749 6.
    RefreshToken,
    /// RFC 8628.
    DeviceCode,
    /// RFC 8693.
    TokenExchange,
    /// Exchange of a trusted id token (seed Lightelligence).
    IdToken,
}

impl Grant {
    /// Every grant.
    pub const ALL: &'static [Grant] =
        &[Grant::AuthorizationCode, Grant::ClientCredentials, Grant::RefreshToken, Grant::DeviceCode, Grant::TokenExchange, Grant::IdToken];

    /// The short name, as in provisioning files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Grant::AuthorizationCode => "authorization_code",
            Grant::ClientCredentials => "client_credentials",
            Grant::RefreshToken => "refresh_token",
            Grant::DeviceCode => "device_code",
            Grant::TokenExchange => "token_exchange",
            Grant::IdToken => "id_token",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Grant {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|g| g.name() == text).ok_or_else(|| Error::invalid("grants", format!("'{text}' is not a grant")))
    }
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public handle.
    pub id: ApiKeyId,
    /// The tenant it opens.
    pub tenant: TenantId,
    /// The user it stands for.
    pub user: UserId,
    /// For people: what it is used for.
    pub label: String,
    /// The key's first characters, to tell keys apart.
    pub hint: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// Trims and lower-cases an e-mail address and checks its shape: one `@`, something on both sides, no blanks, at most 254 bytes.
pub fn normalize_email(text: &str) -> Result<String> {
    let email = text.trim().to_lowercase();
    let well_formed = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !domain.starts_with('.') && !domain.ends_with('.')
    });
    if !well_formed
        || email.len() > 254
        || email.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '<' | '>' | '"'))
    {
        return Err(Error::invalid("email", "is not an e-mail address"));
    }
    Ok(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        assert_eq!(normalize_email(" Alice@Example.COM ").unwrap(), "alice@example.com");
        for bad in ["", "a", "a@", "@b", "a@b@c", "a b@c", "a@.c", "a@c\r\nBcc: x", "<a@b>"] {
            assert!(normalize_email(bad).is_err(), "{bad:?}");
        }
    }
}
