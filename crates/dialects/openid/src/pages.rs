//! What a person sees: sign in, consent, sessions, errors. Plain forms; JavaScript only spares a click where a form sends itself.

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{Html, IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use edge::{Origin, Payload};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use identity::oauth::{ConsentAsked, Decision, Login, OAuthError, OAuthErrorCode, OpenSession, Params, Redirect};
use identity::{ExposeSecret as _, Identity, SecretString};
use uuid::Uuid;

use crate::App;
use crate::forms::{self, encode};

const COOKIE: &str = "heliograph_login";
// No `form-action`: browsers apply it to where a form's answer redirects, and consent redirects to the application.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn router(app: &App) -> Router {
    Router::new()
        .route("/console/login", get(login_page).post(log_in))
        .route("/console/device", get(device_page).post(device_form))
        .route("/console/logout", post(log_out))
        .route("/console/sessions", get(sessions_page))
        .route("/console/sessions/{id}/end", post(end_session))
        .route("/console/assets/pages.css", get(async || asset("text/css; charset=utf-8", include_str!("../assets/pages.css"))))
        .route("/console/assets/submit.js", get(async || asset("text/javascript; charset=utf-8", include_str!("../assets/submit.js"))))
        .route("/console/assets/icon.svg", get(async || asset("image/svg+xml", include_str!("../assets/icon.svg"))))
        .with_state(app.clone())
}

fn asset(media: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, media), (CACHE_CONTROL, "public, max-age=3600"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
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

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    code: &'a str,
    problem: Option<&'a str>,
    asked: Option<DeviceQuestion<'a>>,
}

struct DeviceQuestion<'a> {
    application: &'a str,
    email: &'a str,
    scopes: Vec<String>,
    tenants: Vec<(String, &'a str)>,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    sessions: Vec<SessionLine>,
}

struct SessionLine {
    id: String,
    agent: String,
    address: String,
    since: String,
    this: bool,
    clients: String,
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

/// A path of ours, or the sessions page.
fn local(next: &str) -> &str {
    let safe = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if safe { next } else { "/console/sessions" }
}

async fn login_page(OriginalUri(uri): OriginalUri) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let next = local(params.get("next").unwrap_or_default());
    page(StatusCode::OK, &LoginPage { next, email: params.get("login_hint").unwrap_or_default(), problem: None })
}

async fn log_in(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match forms::body(payload) {
        Ok(params) if same_origin(&headers) => params,
        Ok(_) => return error(&OAuthError::invalid_request("this form was sent from another site")),
        Err(problem) => return error(&problem),
    };
    let next = local(params.get("next").unwrap_or_default());
    let email = params.get("email").unwrap_or_default();
    let password = SecretString::from(params.get("password").unwrap_or_default());
    match app.identity.log_in(email, &password, &(&origin).into()).await {
        Ok(session) => {
            let max_age = session.expires.duration_since(app.identity.clock().now()).as_secs().max(0);
            let secure = if app.identity.public_url().starts_with("https://") { "; Secure" } else { "" };
            let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}", session.cookie.expose_secret());
            let mut response = SeeOther::to(next).into_response();
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                response.headers_mut().insert(SET_COOKIE, value);
            }
            response
        }
        Err(refused) => {
            let (status, text, after) = match &refused {
                model::Error::Unauthenticated { .. } | model::Error::Invalid { .. } => {
                    (StatusCode::UNAUTHORIZED, "That e-mail address and password do not fit together.".to_owned(), None)
                }
                model::Error::TooMany { retry_after } => {
                    let seconds = retry_after.as_secs().max(1);
                    (StatusCode::TOO_MANY_REQUESTS, format!("Too many tries. Please wait {seconds} s."), Some(seconds))
                }
                model::Error::Unavailable { .. } => {
                    (StatusCode::SERVICE_UNAVAILABLE, "Too busy just now. Please try again.".to_owned(), None)
                }
                other => {
                    tracing::error!(error = %other, "sign-in page");
                    (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.".to_owned(), None)
                }
            };
            let mut response = page(status, &LoginPage { next, email, problem: Some(&text) });
            if let Some(seconds) = after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
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
    if !same_origin(&headers) {
        return error(&OAuthError::invalid_request("this form was sent from another site"));
    }
    let params = forms::body(payload).unwrap_or_default();
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

async fn sessions_page(State(app): State<App>, headers: HeaderMap) -> Response {
    let login = match login_of(&app.identity, &headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return SeeOther::to("/console/login?next=/console/sessions").into_response(),
        Err(problem) => return error(&problem.into()),
    };
    match app.identity.open_sessions(&login).await {
        Ok(sessions) => page(StatusCode::OK, &SessionsPage { sessions: sessions.into_iter().map(line).collect() }),
        Err(problem) => error(&problem.into()),
    }
}

fn line(session: OpenSession) -> SessionLine {
    SessionLine {
        id: session.id.to_string(),
        agent: browser_name(&session.agent),
        address: session.address.unwrap_or_else(|| "unknown".to_owned()),
        since: session.since.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        this: session.this,
        clients: session.clients.join(", "),
    }
}

/// The code arrives in the address, or is typed.
async fn device_page(State(app): State<App>, OriginalUri(uri): OriginalUri, origin: Origin, headers: HeaderMap) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let code = params.get("user_code").unwrap_or_default();
    let login = match login_of(&app.identity, &headers).await {
        Ok(Some(login)) => login,
        Ok(None) => {
            let next = format!("/console/device?{}", encode([("user_code", code)]));
            return SeeOther::to(&format!("/console/login?{}", encode([("next", next.as_str())]))).into_response();
        }
        Err(problem) => return error(&problem.into()),
    };
    if code.is_empty() {
        return page(StatusCode::OK, &DevicePage { code, problem: None, asked: None });
    }
    ask_about_device(&app, code, &login, &origin).await
}

async fn ask_about_device(app: &App, code: &str, login: &Login, origin: &Origin) -> Response {
    match app.identity.device_asked(code, login, &origin.into()).await {
        Ok(asked) => {
            let question = DeviceQuestion {
                application: &asked.client.name,
                email: &asked.email,
                scopes: asked.scope.iter().map(|s| scope_in_words(s)).collect(),
                tenants: asked.tenants.iter().map(|(id, name)| (id.to_string(), name.as_str())).collect(),
            };
            page(StatusCode::OK, &DevicePage { code: &asked.user_code, problem: None, asked: Some(question) })
        }
        Err(refused) => device_problem(code, &refused),
    }
}

fn device_problem(code: &str, refused: &model::Error) -> Response {
    let (status, text) = match refused {
        model::Error::NotFound { .. } => {
            (StatusCode::NOT_FOUND, "No device shows that code, or it has expired. Please check it.".to_owned())
        }
        model::Error::TooMany { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many tries. Please wait {} s.", retry_after.as_secs().max(1)))
        }
        model::Error::Forbidden(denial) => (StatusCode::FORBIDDEN, denial.to_string()),
        other => return error(&OAuthError::from(other.clone())),
    };
    page(status, &DevicePage { code, problem: Some(&text), asked: None })
}

async fn device_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match forms::body(payload) {
        Ok(params) if same_origin(&headers) => params,
        Ok(_) => return error(&OAuthError::invalid_request("this form was sent from another site")),
        Err(problem) => return error(&problem),
    };
    let login = match login_of(&app.identity, &headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return SeeOther::to("/console/login?next=/console/device").into_response(),
        Err(problem) => return error(&problem.into()),
    };
    let code = params.get("user_code").unwrap_or_default();
    let Some(answer) = params.get("consent") else { return ask_about_device(&app, code, &login, &origin).await };
    let decision = Decision { allow: answer == "allow", tenant: params.get("consent_tenant").and_then(|id| id.parse().ok()) };
    match app.identity.decide_device(code, decision, &login, &(&origin).into()).await {
        Ok(()) if decision.allow => page(
            StatusCode::OK,
            &MessagePage { title: "Device allowed", text: "You can go back to the device now.", detail: None, link: None },
        ),
        Ok(()) => {
            page(StatusCode::OK, &MessagePage { title: "Device refused", text: "The device gets nothing.", detail: None, link: None })
        }
        Err(refused) => device_problem(code, &refused),
    }
}

/// A browser as its user knows it; anything else as it calls itself.
fn browser_name(agent: &str) -> String {
    let find = |names: &[(&'static str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    // In this order: each one names the ones after it as well.
    let browser = find(&[("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]);
    let system = find(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ => agent.to_owned(),
    }
}

async fn end_session(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if !same_origin(&headers) {
        return error(&OAuthError::invalid_request("this form was sent from another site"));
    }
    let login = match login_of(&app.identity, &headers).await {
        Ok(Some(login)) => login,
        Ok(None) => return SeeOther::to("/console/login?next=/console/sessions").into_response(),
        Err(problem) => return error(&problem.into()),
    };
    if let Ok(id) = id.parse::<Uuid>()
        && let Err(problem) = app.identity.end_open_session(&login, id).await
    {
        return error(&problem.into());
    }
    SeeOther::to("/console/sessions").into_response()
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
    fn browsers_have_names() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0";
        assert_eq!(browser_name(agent), "Chrome on Linux");
        assert_eq!(browser_name("Mozilla/5.0 (Windows NT 10.0; Win64) Gecko/20100101 Firefox/140.0"), "Firefox on Windows");
        assert_eq!(browser_name("curl/8.5.0"), "curl/8.5.0");
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
