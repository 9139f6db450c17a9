//! Answers, and the headers every one of them carries.

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::wire::Envelope;

/// Where the next part of a cut list begins.
pub(crate) const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");
/// Set to `true` when an `Idempotency-Key` was seen before and nothing was sent again.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Compact JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "a response cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An envelope with status 200.
pub(crate) fn ok(text: impl Into<String>, result: impl Serialize) -> Response {
    json(StatusCode::OK, &Envelope::ok(text, result))
}

/// Adds the cursor of the next part, if there is one.
pub(crate) fn with_next(mut response: Response, next: Option<&str>) -> Response {
    if let Some(value) = next.and_then(|cursor| HeaderValue::from_str(cursor).ok()) {
        response.headers_mut().insert(NEXT_CURSOR, value);
    }
    response
}

/// The answer to `OPTIONS`, on every resource and without credentials.
pub(crate) fn preflight() -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,DELETE,OPTIONS"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Accept,Authorization,Client-Id,Content-Type,Idempotency-Key,Last-Event-ID,X-Amz-Date,X-Amz-Security-Token,\
             X-Amz-User-Agent,X-Api-Key,X-Request-Id",
        ),
    );
    // Tokens travel in headers, never in cookies, so any origin may ask and none needs credentials.
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("false"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// What every answer carries: any web page may read it, nobody may keep it (most hold tokens, keys or messages).
pub(crate) fn dress(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    }
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Content-Disposition,Idempotency-Replayed,Retry-After,X-Next-Cursor,X-Request-Id"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
