//! OAuth errors as their RFCs write them: status, `error`, `error_description`, `WWW-Authenticate`.

use axum::response::{IntoResponse, Response};
use edge::Presented;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use identity::oauth::{ASYMMETRIC, OAuthError, OAuthErrorCode as Code};
use serde_json::json;

/// An [`OAuthError`] as a response.
pub(crate) struct Refusal(pub(crate) OAuthError, Option<String>);

impl Refusal {
    /// At a resource: the challenge names the scheme the token came by (RFC 6750 3, RFC 9449 7.1).
    pub(crate) fn at_resource(error: OAuthError, shown: &Presented) -> Self {
        let name = error.code.name();
        let challenge = if shown.shown().dpop_scheme {
            format!("DPoP error=\"{name}\", algs=\"{}\"", ASYMMETRIC.join(" "))
        } else {
            format!("Bearer error=\"{name}\"")
        };
        Self(error, Some(challenge))
    }
}

impl<E: Into<OAuthError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into(), None)
    }
}

fn status(error: &OAuthError, at_resource: bool) -> StatusCode {
    match error.code {
        Code::InvalidDpopProof | Code::UseDpopNonce if at_resource => StatusCode::UNAUTHORIZED,
        Code::InvalidClient | Code::InvalidToken | Code::LoginRequired => StatusCode::UNAUTHORIZED,
        Code::InsufficientScope => StatusCode::FORBIDDEN,
        Code::TemporarilyUnavailable if error.retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
        Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error, challenge) = self;
        let name = error.code.name();
        let body = axum::Json(json!({"error": name, "error_description": error.description}));
        let mut response = (status(&error, challenge.is_some()), [(CACHE_CONTROL, "no-store")], body).into_response();
        let headers = response.headers_mut();
        let challenge = match error.code {
            _ if challenge.is_some() => challenge,
            Code::InvalidClient => Some("Basic realm=\"heliograph\"".to_owned()),
            Code::InvalidToken | Code::InsufficientScope => Some(format!("Bearer error=\"{name}\"")),
            _ => None,
        };
        if let Some(value) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        if let Some(nonce) = error.dpop_nonce.and_then(|nonce| HeaderValue::from_str(&nonce).ok()) {
            headers.insert("dpop-nonce", nonce);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("DPoP-Nonce, WWW-Authenticate"));
        }
        if let Some(after) = error.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
