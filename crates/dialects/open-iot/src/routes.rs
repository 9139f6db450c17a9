//! Paths to handlers.
//!
//! The inner router knows every operation by its path below `/v1/api`; the outer one answers `OPTIONS`, forgives a slash at the
//! end as the platform did, and dresses what comes back.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post, put};
use edge::BodyLimit;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use tower::ServiceExt as _;

use crate::respond::{dress, preflight};
use crate::{App, accounts, auth, invites, page, public, users};

const BASE: &str = "/v1/api";
/// The platform's own limit.
const BODY_MAX: usize = 2_560 * 1_024;

/// Every operation, for tests that try them all: method, path, and does it need a token?
pub const OPERATIONS: &[(&str, &str, bool)] = &[
    ("GET", "/health", false),
    ("GET", "/time", false),
    ("POST", "/auth/token", false),
    ("GET", "/auth/tokenInfo", true),
    ("GET", "/auth/me", true),
    ("POST", "/auth/refresh", true),
    ("PUT", "/auth/refresh", true),
    ("DELETE", "/auth/refresh/revoke", true),
    ("POST", "/users", false),
    ("POST", "/users/request_user_activation", false),
    ("POST", "/users/activate", false),
    ("GET", "/users/forgot_password", false),
    ("POST", "/users/forgot_password", false),
    ("PUT", "/users/forgot_password", false),
    ("PUT", "/users/{user}/change_password", false),
    ("GET", "/users/{user}", true),
    ("PUT", "/users/{user}", true),
    ("DELETE", "/users/{user}", true),
    ("POST", "/accounts", true),
    ("GET", "/accounts/{account}", true),
    ("PUT", "/accounts/{account}", true),
    ("DELETE", "/accounts/{account}", true),
    ("GET", "/accounts/{account}/activationcode", true),
    ("PUT", "/accounts/{account}/activationcode/refresh", true),
    ("GET", "/accounts/{account}/users", true),
    ("PUT", "/accounts/{account}/users/{user}", true),
    ("GET", "/accounts/{account}/invites", true),
    ("POST", "/accounts/{account}/invites", true),
    ("DELETE", "/accounts/{account}/invites/{email}", true),
    ("GET", "/invites/{email}", true),
    ("PUT", "/invites/{invite}/status", true),
];

fn operations(app: App) -> Router {
    Router::new()
        .route("/health", get(public::health))
        .route("/time", get(public::time))
        .route("/auth/token", post(auth::token))
        .route("/auth/tokenInfo", get(auth::info))
        .route("/auth/me", get(auth::me))
        .route("/auth/refresh", post(auth::make).put(auth::exchange))
        .route("/auth/refresh/revoke", delete(auth::revoke))
        .route("/users", post(users::create))
        .route("/users/request_user_activation", post(users::request_activation))
        .route("/users/activate", post(users::activate))
        .route("/users/forgot_password", get(users::reset_info).post(users::forgot).put(users::reset))
        .route("/users/{user}/change_password", put(users::change_password))
        .route("/users/{user}", get(users::read).put(users::update).delete(users::remove))
        .route("/accounts", post(accounts::create))
        .route("/accounts/{account}", get(accounts::read).put(accounts::update).delete(accounts::remove))
        .route("/accounts/{account}/activationcode", get(accounts::activation_code))
        .route("/accounts/{account}/activationcode/refresh", put(accounts::renew_code))
        .route("/accounts/{account}/users", get(accounts::members))
        .route("/accounts/{account}/users/{user}", put(accounts::change_member))
        .route("/accounts/{account}/invites", get(invites::list).post(invites::create))
        .route("/accounts/{account}/invites/{email}", delete(invites::withdraw))
        .route("/invites/{email}", get(invites::mine))
        .route("/invites/{invite}/status", put(invites::answer))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .layer(axum::Extension(BodyLimit(BODY_MAX)))
        .with_state(Arc::new(app))
}

/// `/v1/api` and the page that mails link to.
pub fn router(app: App) -> Router {
    let operations = operations(app);
    let face = any(move |request: Request| {
        let operations = operations.clone();
        async move { dress(answer(operations, request).await) }
    });
    Router::new().route(BASE, face.clone()).route("/v1/api/", face.clone()).route("/v1/api/{*rest}", face).merge(page::router())
}

async fn answer(operations: Router, mut request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    match below(request.uri()) {
        Some(uri) => {
            *request.uri_mut() = uri;
            operations.oneshot(request).await.into_response()
        }
        None => nothing(request).await,
    }
}

/// The same URI below the base, without a slash at its end.
fn below(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_prefix(BASE)?.trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// No such operation; text, as it was there. What was asked for is not repeated.
async fn nothing(request: Request) -> Response {
    let text = format!("Cannot {} this path\n", request.method());
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
