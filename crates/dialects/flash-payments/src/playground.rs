//! The API Playground: one page without outside parts, DOCS on the right, HTTP HEADERS at the bottom (seed, "Getting a token").

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::Shared;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/graphql/playground.css", get(async || asset("text/css; charset=utf-8", include_str!("../assets/playground.css"))))
        .route("/graphql/playground.js", get(async || asset("text/javascript; charset=utf-8", include_str!("../assets/playground.js"))))
}

fn asset(media: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, media), (CACHE_CONTROL, "public, max-age=3600"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

/// The page.
pub(crate) fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("../assets/playground.html")).into_response()
}
