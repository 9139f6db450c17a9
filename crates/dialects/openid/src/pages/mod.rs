//! What a person sees. Plain forms; JavaScript only spares a click where a form sends itself.
//!
//! Signing in ([`login`]), the account's own pages ([`account`]: sessions, password; [`factor`]: the second factor), what mails link
//! to ([`mailed`]), letting a device in ([`device`]); here: consent, signing out, errors, and what all pages share.

mod account;
mod device;
mod factor;
mod login;
mod mailed;
mod qr;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use edge::Payload;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use identity::oauth::{ConsentAsked, Login, LoginSession, OAuthError, OAuthErrorCode, Params, Redirect};
use identity::{ExposeSecret as _, Identity};
use model::Timestamp;

use crate::App;
use crate::forms::{self, encode};

/// A browser that is signed in.
const COOKIE: &str = "heliograph_login";
/// A browser whose user typed the password and not yet the code.
const HALF_COOKIE: &str = "heliograph_half";
// No `form-action`: browsers apply it to where a form's answer redirects, and consent redirects to the application.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .merge(login::router())
        .merge(account::router())
        .merge(factor::router())
        .merge(mailed::router())
        .route("/console/device", get(device::device_page).post(device::device_form))
        .route("/console/logout", post(log_out))
        .route("/console/assets/pages.css", get(async || asset("text/css; charset=utf-8", include_str!("../../assets/pages.css"))))
        .route("/console/assets/submit.js", get(async || script(include_str!("../../assets/submit.js"))))
        .route("/console/assets/icon.svg", get(async || asset("image/svg+xml", include_str!("../../assets/icon.svg"))))
        .with_state(app.clone())
}

/// A script of ours.
pub(crate) fn script(text: &'static str) -> Response {
    asset("text/javascript; charset=utf-8", text)
}

fn asset(media: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, media), (CACHE_CONTROL, "public, max-age=3600"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    action: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    application: &'a str,
    email: &'a str,
    scopes: Vec<String>,
    tenants: Vec<(String, &'a str)>,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    text: &'a str,
    detail: Option<&'a str>,
    link: Option<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    redirect: &'a Redirect,
}

fn page(status: StatusCode, page: &impl Template) -> Response {
    let Ok(html) = page.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of these pages holds the application's request.
        (REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, Html(html)).into_response()
}

/// Was a form sent from one of our own pages? Browsers say so; what is no browser has no cookie to abuse.
pub(crate) fn same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = edge::header(headers, "sec-fetch-site") {
        return site == "same-origin";
    }
    match (edge::header(headers, "origin"), edge::header(headers, "host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, o)| o == host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Who is signed in at this browser.
pub(crate) async fn login_of(identity: &Identity, headers: &HeaderMap) -> Result<Option<Login>, model::Error> {
    match edge::cookie(headers, COOKIE) {
        Some(cookie) => identity.login_of_cookie(cookie).await,
        None => Ok(None),
    }
}

/// Sets a cookie that scripts can't read, until then.
fn set_cookie(app: &App, response: &mut Response, name: &str, value: &str, path: &str, until: Timestamp) {
    let max_age = until.duration_since(app.identity.clock().now()).as_secs().max(0);
    let secure = if app.identity.public_url().starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The browser is signed in from now on.
fn remember(app: &App, response: &mut Response, session: &LoginSession) {
    set_cookie(app, response, COOKIE, session.cookie.expose_secret(), "/", session.expires);
}

/// A form's fields, if one of our own pages sent it.
#[expect(clippy::result_large_err, reason = "the refusal is the answer")]
fn form(headers: &HeaderMap, payload: Payload) -> Result<Params, Response> {
    if !same_origin(headers) {
        return Err(error(&OAuthError::invalid_request("this form was sent from another site")));
    }
    forms::body(payload).map_err(|problem| error(&problem))
}

/// Who is signed in; who is not is sent to sign in and comes back to `next`.
async fn signed_in(app: &App, headers: &HeaderMap, next: &str) -> Result<Login, Response> {
    match login_of(&app.identity, headers).await {
        Ok(Some(login)) => Ok(login),
        Ok(None) => Err(SeeOther::to(&format!("/console/login?{}", encode([("next", next)]))).into_response()),
        Err(problem) => Err(error(&problem.into())),
    }
}

/// What a person is told about a refusal, and the status that goes with it; `wrong` where a secret was wrong.
fn told(refused: &model::Error, wrong: &str) -> (StatusCode, String, Option<u64>) {
    match refused {
        model::Error::Unauthenticated { .. } => (StatusCode::UNAUTHORIZED, wrong.to_owned(), None),
        model::Error::TooMany { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many tries. Please wait {}.", wait(seconds)), Some(seconds))
        }
        model::Error::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "Too busy just now. Please try again.".to_owned(), None),
        model::Error::Invalid { field, reason } => (StatusCode::BAD_REQUEST, format!("The {field} {reason}."), None),
        model::Error::Forbidden(denial) => (StatusCode::FORBIDDEN, denial.to_string(), None),
        other => {
            tracing::error!(error = %other, "a page of the console");
            (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.".to_owned(), None)
        }
    }
}

fn wait(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} s"),
        _ => format!("{} min", seconds.div_ceil(60)),
    }
}

/// With `Retry-After`, where there is something to wait for.
fn later(mut response: Response, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A path of ours, or the sessions page.
fn local(next: &str) -> &str {
    let safe = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if safe { next } else { "/console/sessions" }
}

fn scope_in_words(scope: &str) -> String {
    match scope {
        "openid" => "Know who you are on this gateway".to_owned(),
        "email" => "See your e-mail address".to_owned(),
        "profile" => "See your name".to_owned(),
        "offline_access" => "Stay signed in while you are away".to_owned(),
        "thing:read" => "See things".to_owned(),
        "thing:write" => "Add, change and remove things".to_owned(),
        "message:read" => "Read messages".to_owned(),
        "message:write" => "Send messages to things, and delete messages".to_owned(),
        other => other.to_owned(),
    }
}

/// Asks the user.
pub(crate) fn consent(action: &str, params: &Params, asked: &ConsentAsked) -> Response {
    let fields = params.iter().filter(|(name, _)| *name != "consent" && *name != "consent_tenant").collect();
    let scopes = asked.scope.iter().map(|s| scope_in_words(s)).collect();
    let tenants = asked.tenants.iter().map(|(id, name)| (id.to_string(), name.as_str())).collect();
    page(StatusCode::OK, &ConsentPage { action, fields, application: &asked.client.name, email: &asked.email, scopes, tenants })
}

/// An answer that travels as a form which sends itself.
pub(crate) fn form_post(redirect: &Redirect) -> Response {
    page(StatusCode::OK, &FormPostPage { redirect })
}

/// An error nobody else may be told.
pub(crate) fn error(problem: &OAuthError) -> Response {
    let status = match problem.code {
        OAuthErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        OAuthErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    page(status, &MessagePage { title: "This can't go on", text: &problem.description, detail: Some(problem.code.name()), link: None })
}

/// Asks before signing out on somebody's word.
pub(crate) fn confirm_logout(client: Option<&str>, target: Option<&str>, state: Option<&str>) -> Response {
    let fields =
        [("client_id", client), ("to", target), ("state", state)].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    page(StatusCode::OK, &LogoutPage { fields })
}

/// Signed out: on to the application, or a word to the user.
pub(crate) fn signed_out(target: Option<&str>, state: Option<&str>) -> Response {
    let mut response = match target {
        Some(uri) => {
            let joint = if uri.contains('?') { '&' } else { '?' };
            let location = state.map_or_else(|| uri.to_owned(), |state| format!("{uri}{joint}{}", encode([("state", state)])));
            SeeOther::to(&location).into_response()
        }
        None => page(
            StatusCode::OK,
            &MessagePage {
                title: "Signed out",
                text: "You are signed out of this browser.",
                detail: None,
                link: Some(("/console/login", "Sign in again")),
            },
        ),
    };
    response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("heliograph_login=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"));
    response
}

async fn log_out(State(app): State<App>, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    match login_of(&app.identity, &headers).await {
        Ok(Some(login)) => {
            if let Err(problem) = app.identity.log_out(&login).await {
                return error(&problem.into());
            }
        }
        Ok(None) => {}
        Err(problem) => return error(&problem.into()),
    }
    // Checked when the page was made, and again: a form can be changed.
    let client = match params.get("client_id") {
        Some(id) => app.identity.registered_client(id).await,
        None => None,
    };
    let target = params.get("to").filter(|uri| client.is_some_and(|c| c.redirect_uris.iter().any(|known| known == uri)));
    signed_out(target, params.get("state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_paths_follow_a_sign_in() {
        assert_eq!(local("/oauth2/authorize?x=1"), "/oauth2/authorize?x=1");
        for bad in ["", "https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x"] {
            assert_eq!(local(bad), "/console/sessions", "{bad}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.insert(*name, HeaderValue::from_static(value));
            }
            map
        };
        assert!(same_origin(&headers(&[("sec-fetch-site", "same-origin"), ("host", "a")])));
        assert!(!same_origin(&headers(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")])));
        assert!(same_origin(&headers(&[("origin", "http://a:1"), ("host", "a:1")])));
        assert!(!same_origin(&headers(&[("origin", "http://b"), ("host", "a")])));
        assert!(!same_origin(&headers(&[("origin", "null"), ("host", "a")])));
        assert!(same_origin(&headers(&[("host", "a")])));
    }
}
