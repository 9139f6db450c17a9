//! The page that the mails link to: it reads the token behind the `#`, which no server sees, and calls the API with it.

use axum::Router;
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
                      base-uri 'none'; frame-ancestors 'none'";

type File = ([(HeaderName, &'static str); 2], &'static str);

fn file(kind: &'static str, text: &'static str) -> File {
    ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)], text)
}

/// `/ui/auth` and its files.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/ui/auth", get(async || file("text/html; charset=utf-8", include_str!("../assets/auth.html"))))
        .route("/ui/auth.js", get(async || file("text/javascript; charset=utf-8", include_str!("../assets/auth.js"))))
        .route("/ui/auth.css", get(async || file("text/css; charset=utf-8", include_str!("../assets/auth.css"))))
}
