//! OAuth's own errors (RFC 6749 5.2, 4.1.2.1; RFC 6750 3.1), as a closed list.

use std::time::Duration;

/// An error code of an RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OAuthErrorCode {
    /// RFC 6749: a parameter is missing, repeated or malformed.
    InvalidRequest,
    /// RFC 6749 5.2: the client is unknown, or did not prove itself.
    InvalidClient,
    /// RFC 6749 5.2: the code or refresh token is wrong, used, expired or another client's.
    InvalidGrant,
    /// RFC 6749: this client may not use this grant.
    UnauthorizedClient,
    /// RFC 6749 5.2.
    UnsupportedGrantType,
    /// RFC 6749 4.1.2.1.
    UnsupportedResponseType,
    /// RFC 6749: the scope is unknown or more than the client may ask for.
    InvalidScope,
    /// RFC 6749 4.1.2.1: the user said no.
    AccessDenied,
    /// RFC 6750 3.1: the access token is wrong.
    InvalidToken,
    /// RFC 6750 3.1: the access token lacks a scope.
    InsufficientScope,
    /// OpenID Connect Core 3.1.2.6: the user would have to sign in.
    LoginRequired,
    /// OpenID Connect Core 3.1.2.6: the user would have to consent.
    ConsentRequired,
    /// OpenID Connect Core 3.1.2.6: request objects are not taken.
    RequestNotSupported,
    /// RFC 8628 3.5: the user has not said anything yet.
    AuthorizationPending,
    /// RFC 8628 3.5: ask less often.
    SlowDown,
    /// RFC 8628 3.5: the user took too long.
    ExpiredToken,
    /// RFC 9449 5: the DPoP proof is missing or wrong.
    InvalidDpopProof,
    /// RFC 9449 8: send a proof with the nonce given.
    UseDpopNonce,
    /// RFC 8707 2: the resource is unknown or not for this client.
    InvalidTarget,
    /// RFC 9101 5.2: the pushed request is unknown, answered or over.
    InvalidRequestUri,
    /// RFC 7591 3.2.2: a redirect URI can't be registered.
    InvalidRedirectUri,
    /// RFC 7591 3.2.2: other metadata can't be registered.
    InvalidClientMetadata,
    /// RFC 6749 4.1.2.1: try again later.
    TemporarilyUnavailable,
    /// RFC 6749 4.1.2.1.
    ServerError,
}

impl OAuthErrorCode {
    /// Those an authorization request may meet.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [
            Self::InvalidRequest,
            Self::UnauthorizedClient,
            Self::UnsupportedResponseType,
            Self::InvalidScope,
            Self::InvalidTarget,
            Self::RequestNotSupported,
        ]
        .into_iter()
        .find(|code| code.name() == name)
    }

    /// The code on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// An OAuth error: a code for the program, a sentence for its developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.name())]
pub struct OAuthError {
    /// The RFC's code.
    pub code: OAuthErrorCode,
    /// What is wrong and what to do; ASCII, no secret.
    pub description: String,
    /// When another try has a chance, if there were too many.
    pub retry_after: Option<Duration>,
    /// A fresh nonce for the next DPoP proof (RFC 9449 8).
    pub dpop_nonce: Option<String>,
}

impl OAuthError {
    /// An error of that code.
    pub fn new(code: OAuthErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), retry_after: None, dpop_nonce: None }
    }

    /// Shorthand for `invalid_request`.
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(OAuthErrorCode::InvalidRequest, description)
    }

    /// Shorthand for `invalid_grant`.
    pub fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new(OAuthErrorCode::InvalidGrant, description)
    }
}

impl From<model::Error> for OAuthError {
    fn from(error: model::Error) -> Self {
        use model::Error as E;
        match error {
            E::Unauthenticated { reason } => Self::new(OAuthErrorCode::InvalidClient, reason),
            E::TooMany { retry_after } => Self {
                code: OAuthErrorCode::TemporarilyUnavailable,
                description: format!("too many tries, retry in {} s", retry_after.as_secs().max(1)),
                retry_after: Some(retry_after),
                dpop_nonce: None,
            },
            E::Forbidden(denial) => Self::new(OAuthErrorCode::AccessDenied, denial.to_string()),
            E::Invalid { field, reason } => Self::invalid_request(format!("{field}: {reason}")),
            E::Unavailable { reason } => Self::new(OAuthErrorCode::TemporarilyUnavailable, reason),
            E::NotFound { .. } | E::Conflict { .. } | E::TooLarge { .. } => Self::invalid_request(error.to_string()),
            E::Internal { detail } => {
                tracing::error!(detail, "oauth");
                Self::new(OAuthErrorCode::ServerError, "internal error")
            }
        }
    }
}

impl From<store::Error> for OAuthError {
    fn from(error: store::Error) -> Self {
        model::Error::from(error).into()
    }
}
