//! What browser applications of Keycloak's kind load into a hidden frame: does the browser keep our cookies there, and does the
//! session go on. Nothing else of ours may be framed; these pages show nothing and tell an application of its own session only.

use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::App;
use crate::forms;
use crate::pages::{self, script};
use crate::realms::OLT;

const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *";

pub(crate) fn router(app: &App) -> Router {
    let at = |path: &str| format!("{}/protocol/openid-connect/{path}", OLT.base);
    Router::new()
        .route(&at("3p-cookies/step1.html"), get(async || frame("cookies1.js")))
        .route(&at("3p-cookies/step2.html"), get(async || frame("cookies2.js")))
        .route(&at("login-status-iframe.html"), get(async || frame("status.js")))
        .route(&at("login-status-iframe.html/state"), get(state))
        .route("/console/assets/cookies1.js", get(async || script(include_str!("../assets/cookies1.js"))))
        .route("/console/assets/cookies2.js", get(async || script(include_str!("../assets/cookies2.js"))))
        .route("/console/assets/status.js", get(async || script(include_str!("../assets/status.js"))))
        .with_state(app.clone())
}

fn frame(source: &str) -> Response {
    let html =
        format!("<!doctype html><html lang=\"en\"><title>Heliograph</title><script src=\"/console/assets/{source}\"></script></html>");
    let headers = [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "public, max-age=3600"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Html(html)).into_response()
}

/// Asked by our own frame: `changed` or `unchanged`; 403 where the page around it is none of the application's.
async fn state(State(app): State<App>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let private = [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let params = forms::query(&uri).unwrap_or_default();
    let field = |name: &str| params.get(name).unwrap_or_default();
    // Only a page of ours asks: any other site would be told whose session it is that it embeds.
    if edge::header(&headers, "sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return (StatusCode::FORBIDDEN, private).into_response();
    }
    let login = pages::login_of(&app.identity, &headers).await.ok().flatten();
    match app.identity.session_unchanged(&OLT.realm, field("client_id"), field("session_state"), field("origin"), login.as_ref()).await {
        Ok(Some(true)) => (private, "unchanged").into_response(),
        Ok(Some(false)) => (private, "changed").into_response(),
        Ok(None) => (StatusCode::FORBIDDEN, private).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, private).into_response(),
    }
}

/// `keycloak-js` asks the token endpoint "with credentials", though no cookie counts there: then the origin has to be named.
pub(crate) async fn credentialed(request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = next.run(request).await;
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    response
}
