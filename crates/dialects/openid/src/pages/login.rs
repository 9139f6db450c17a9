//! Signing in: the password, then the code, or setting up what will show one.

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use axum::routing::get;
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::oauth::Params;
use identity::{ExposeSecret as _, HalfLogin, HalfWay, LoginStep, SecretString};

use super::factor::{CodesPage, EnrolPage};
use super::{HALF_COOKIE, error, form, later, local, page, remember, set_cookie, told};
use crate::App;
use crate::forms::{self, encode};

const PATH: &str = "/console/login";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(PATH, get(login_page).post(log_in))
        .route("/console/login/code", get(code_page).post(code_form))
        .route("/console/login/enrol", get(enrol_page).post(enrol_form))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    email: &'a str,
    factor: bool,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct CodePage<'a> {
    next: &'a str,
    email: &'a str,
    recovery: bool,
    other: String,
    again: String,
    problem: Option<&'a str>,
}

/// Does the application ask for a second factor?
fn wants_factor(params: &Params) -> bool {
    params.get("factor") == Some("1")
}

async fn login_page(OriginalUri(uri): OriginalUri) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let next = local(params.get("next").unwrap_or_default());
    let email = params.get("login_hint").unwrap_or_default();
    page(StatusCode::OK, &LoginPage { next, email, factor: wants_factor(&params), problem: None })
}

async fn log_in(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let next = local(params.get("next").unwrap_or_default());
    let email = params.get("email").unwrap_or_default();
    let password = SecretString::from(params.get("password").unwrap_or_default());
    let factor = wants_factor(&params);
    match app.identity.log_in(email, &password, factor, &(&origin).into()).await {
        Ok(LoginStep::Done(session)) => {
            let mut response = SeeOther::to(next).into_response();
            remember(&app, &mut response, &session);
            response
        }
        Ok(LoginStep::Code(half)) => half_way(&app, "/console/login/code", next, &half),
        Ok(LoginStep::Enrol(half)) => half_way(&app, "/console/login/enrol", next, &half),
        Err(refused) => {
            // What no address can be gets the answer of a wrong one.
            let refused =
                if matches!(refused, model::Error::Invalid { .. }) { model::Error::Unauthenticated { reason: "" } } else { refused };
            let (status, text, after) = told(&refused, "That e-mail address and password do not fit together.");
            later(page(status, &LoginPage { next, email, factor, problem: Some(&text) }), after)
        }
    }
}

/// On to the second step, with the cookie of the first.
fn half_way(app: &App, to: &str, next: &str, half: &HalfLogin) -> Response {
    let mut response = SeeOther::to(&format!("{to}?{}", encode([("next", next)]))).into_response();
    set_cookie(app, &mut response, HALF_COOKIE, half.cookie.expose_secret(), PATH, half.expires);
    response
}

/// Whose second step this is; who has not taken the first is sent there.
async fn half_of(app: &App, headers: &HeaderMap, next: &str, enrolled: bool) -> Result<(String, HalfWay), Response> {
    let cookie = edge::cookie(headers, HALF_COOKIE).unwrap_or_default();
    match app.identity.half_way(cookie).await {
        Ok(Some(half)) if half.enrolled == enrolled => Ok((cookie.to_owned(), half)),
        Ok(_) => Err(SeeOther::to(&format!("{PATH}?{}", encode([("next", next)]))).into_response()),
        Err(problem) => Err(error(&problem.into())),
    }
}

fn code_again(status: StatusCode, next: &str, email: &str, recovery: bool, problem: Option<&str>) -> Response {
    let (kept, other) = ([("next", next)], [("next", next), ("recovery", "1")]);
    let other = if recovery { encode(kept) } else { encode(other) };
    let again = format!("{PATH}?{}", encode(kept));
    page(status, &CodePage { next, email, recovery, other: format!("/console/login/code?{other}"), again, problem })
}

async fn code_page(State(app): State<App>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let next = local(params.get("next").unwrap_or_default());
    match half_of(&app, &headers, next, true).await {
        Ok((_, half)) => code_again(StatusCode::OK, next, &half.email, params.get("recovery") == Some("1"), None),
        Err(answer) => answer,
    }
}

async fn code_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let next = local(params.get("next").unwrap_or_default());
    let (cookie, half) = match half_of(&app, &headers, next, true).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    match app.identity.finish_login(&cookie, params.get("code").unwrap_or_default(), &(&origin).into()).await {
        Ok(session) => {
            let mut response = SeeOther::to(next).into_response();
            remember(&app, &mut response, &session);
            forget_half(&app, &mut response);
            response
        }
        Err(refused) => {
            let recovery = params.get("recovery") == Some("1");
            let wrong = if recovery { "That is none of your unused recovery codes." } else { "That code is wrong, or was used already." };
            let (status, text, after) = told(&refused, wrong);
            later(code_again(status, next, &half.email, recovery, Some(&text)), after)
        }
    }
}

fn forget_half(app: &App, response: &mut Response) {
    set_cookie(app, response, HALF_COOKIE, "", PATH, app.identity.clock().now());
}

async fn enrol_page(State(app): State<App>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let next = local(params.get("next").unwrap_or_default());
    let half = match half_of(&app, &headers, next, false).await {
        Ok((_, half)) => half,
        Err(answer) => return answer,
    };
    match app.identity.offer_half_way(&half).await {
        Ok(offer) => page(StatusCode::OK, &EnrolPage::signing_in(&offer, next, None)),
        Err(problem) => error(&problem.into()),
    }
}

async fn enrol_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let next = local(params.get("next").unwrap_or_default());
    let (cookie, half) = match half_of(&app, &headers, next, false).await {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let (sealed, code) = (params.get("offer").unwrap_or_default(), params.get("code").unwrap_or_default());
    match app.identity.finish_enrolment(&cookie, sealed, code, &(&origin).into()).await {
        Ok((session, codes)) => {
            let mut response = page(StatusCode::OK, &CodesPage::new(&codes, next));
            remember(&app, &mut response, &session);
            forget_half(&app, &mut response);
            response
        }
        Err(refused) => match app.identity.offer_again(half.user, sealed).await {
            Ok(offer) => {
                let (status, text, after) = told(&refused, "That code is wrong. Is the clock of your phone right?");
                later(page(status, &EnrolPage::signing_in(&offer, next, Some(&text))), after)
            }
            // The offer is too old, or not ours: a new one.
            Err(_) => SeeOther::to(&format!("/console/login/enrol?{}", encode([("next", next)]))).into_response(),
        },
    }
}
