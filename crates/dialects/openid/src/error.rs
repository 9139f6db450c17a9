//! OAuth errors as their RFCs write them: status, `error`, `error_description`, `WWW-Authenticate`.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use identity::oauth::{OAuthError, OAuthErrorCode as Code};
use serde_json::json;

/// An [`OAuthError`] as a response.
pub(crate) struct Refusal(pub(crate) OAuthError);

impl<E: Into<OAuthError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

fn status(error: &OAuthError) -> StatusCode {
    match error.code {
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
        let error = self.0;
        let name = error.code.name();
        let body = axum::Json(json!({"error": name, "error_description": error.description}));
        let mut response = (status(&error), [(CACHE_CONTROL, "no-store")], body).into_response();
        let headers = response.headers_mut();
        let challenge = match error.code {
            Code::InvalidClient => Some("Basic realm=\"heliograph\"".to_owned()),
            Code::InvalidToken | Code::InsufficientScope => Some(format!("Bearer error=\"{name}\"")),
            _ => None,
        };
        if let Some(value) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        if let Some(after) = error.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
