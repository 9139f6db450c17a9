//! How an OAuth client proves itself, and what is asked of it beyond that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CertificateFingerprint, Error, Result};

/// How a client proves itself at the token endpoint (OpenID Connect Core 9, RFC 8705 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// It does not: a public client.
    None,
    /// Its secret by HTTP Basic.
    ClientSecretBasic,
    /// Its secret in the form.
    ClientSecretPost,
    /// An assertion signed with a registered key (RFC 7523).
    PrivateKeyJwt,
    /// A registered certificate in the TLS handshake (RFC 8705 2.2).
    SelfSignedTlsClientAuth,
}

impl AuthMethod {
    /// Every method.
    pub const ALL: &'static [AuthMethod] = &[
        AuthMethod::None,
        AuthMethod::ClientSecretBasic,
        AuthMethod::ClientSecretPost,
        AuthMethod::PrivateKeyJwt,
        AuthMethod::SelfSignedTlsClientAuth,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AuthMethod::None => "none",
            AuthMethod::ClientSecretBasic => "client_secret_basic",
            AuthMethod::ClientSecretPost => "client_secret_post",
            AuthMethod::PrivateKeyJwt => "private_key_jwt",
            AuthMethod::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Does it take a shared secret?
    #[must_use]
    pub fn by_secret(self) -> bool {
        matches!(self, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AuthMethod {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|m| m.name() == text).ok_or_else(|| Error::invalid("auth_method", format!("'{text}' is not known")))
    }
}

/// What a client registered beside its grants, redirect URIs and scopes; the default is a client by secret, or a public one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSecurity {
    /// How it proves itself; absent: by its secret, Basic or form alike, or not at all when public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<AuthMethod>,
    /// Its public keys, a JWK set (RFC 7517).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Its certificates, by fingerprint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFingerprint>,
    /// Its access tokens are bound to the certificate of the handshake (RFC 8705 3).
    pub certificate_bound_tokens: bool,
    /// Its access tokens are always bound by DPoP (RFC 9449 5.2).
    pub dpop_bound_tokens: bool,
    /// It must push its authorization requests (RFC 9126 6).
    pub require_pushed_requests: bool,
    /// The resources it may ask tokens for, beside the gateway itself (RFC 8707).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for method in AuthMethod::ALL {
            assert_eq!(method.name().parse::<AuthMethod>().unwrap(), *method);
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
        }
        assert!("client_secret_jwt".parse::<AuthMethod>().is_err());
    }

    #[test]
    fn what_was_stored_before_reads_as_the_default() {
        assert_eq!(serde_json::from_str::<ClientSecurity>("{}").unwrap(), ClientSecurity::default());
    }
}
