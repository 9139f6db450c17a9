//! The second factor's pages: set it up, get new recovery codes, take it away.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::oauth::Login;
use identity::{ExposeSecret as _, FactorState, Offer, RecoveryCodes, SecretString};

use super::{error, form, later, page, qr, remember, signed_in, told};
use crate::App;

const PATH: &str = "/console/second-factor";
const WRONG: &str = "The password or the code is wrong, or the code was used already.";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(PATH, get(factor_page).post(enrol_form))
        .route("/console/second-factor/remove", post(remove_form))
        .route("/console/second-factor/recovery-codes", post(recovery_form))
}

#[derive(Template)]
#[template(path = "enrol.html")]
pub(super) struct EnrolPage<'a> {
    action: &'static str,
    next: &'a str,
    signing_in: bool,
    qr: String,
    secret: String,
    offer: &'a str,
    problem: Option<&'a str>,
}

impl<'a> EnrolPage<'a> {
    fn new(offer: &'a Offer, action: &'static str, next: &'a str, signing_in: bool, problem: Option<&'a str>) -> Self {
        let secret = offer.secret.expose_secret();
        // In groups of four, which are easier to type.
        let secret: Vec<String> = secret.as_bytes().chunks(4).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let qr = qr::svg(offer.uri.expose_secret(), "QR code for an authenticator app; the same secret stands below as text");
        Self { action, next, signing_in, qr, secret: secret.join(" "), offer: &offer.sealed, problem }
    }

    /// On the way in, the password just typed.
    pub(super) fn signing_in(offer: &'a Offer, next: &'a str, problem: Option<&'a str>) -> Self {
        Self::new(offer, "/console/login/enrol", next, true, problem)
    }
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub(super) struct CodesPage<'a> {
    codes: Vec<&'a str>,
    next: &'a str,
}

impl<'a> CodesPage<'a> {
    pub(super) fn new(codes: &'a RecoveryCodes, next: &'a str) -> Self {
        Self { codes: codes.0.iter().map(|code| code.expose_secret()).collect(), next }
    }
}

#[derive(Template)]
#[template(path = "factor.html")]
struct FactorPage<'a> {
    since: String,
    left: u64,
    demanded: bool,
    problem: Option<&'a str>,
}

fn enrolled_page(status: StatusCode, state: &FactorState, problem: Option<&str>) -> Response {
    let since = state.enrolled.map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
    page(status, &FactorPage { since, left: state.recovery_codes, demanded: state.demanded, problem })
}

async fn factor_page(State(app): State<App>, headers: HeaderMap) -> Response {
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    show(&app, &login, StatusCode::OK, None).await
}

/// What there is, or an offer to set it up.
async fn show(app: &App, login: &Login, status: StatusCode, problem: Option<&str>) -> Response {
    let state = match app.identity.own_factor(login).await {
        Ok(state) => state,
        Err(problem) => return error(&problem.into()),
    };
    if state.enrolled.is_some() {
        return enrolled_page(status, &state, problem);
    }
    match app.identity.offer_factor(login).await {
        Ok(offer) => page(status, &EnrolPage::new(&offer, PATH, "", false, problem)),
        Err(problem) => error(&problem.into()),
    }
}

async fn enrol_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let (sealed, code) = (params.get("offer").unwrap_or_default(), params.get("code").unwrap_or_default());
    let password = SecretString::from(params.get("password").unwrap_or_default());
    match app.identity.enrol_factor(&login, sealed, &password, code, &(&origin).into()).await {
        Ok((session, codes)) => {
            let mut response = page(StatusCode::OK, &CodesPage::new(&codes, PATH));
            remember(&app, &mut response, &session);
            response
        }
        Err(refused) => {
            let (status, text, after) = told(&refused, "The password or the code is wrong. Is the clock of your phone right?");
            let response = match app.identity.offer_again(login.user, sealed).await {
                Ok(offer) => page(status, &EnrolPage::new(&offer, PATH, "", false, Some(&text))),
                Err(_) => show(&app, &login, status, Some("That took too long. Please scan the new code.")).await,
            };
            later(response, after)
        }
    }
}

async fn remove_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let password = SecretString::from(params.get("password").unwrap_or_default());
    match app.identity.remove_factor(&login, &password, params.get("code").unwrap_or_default(), &(&origin).into()).await {
        Ok(()) => SeeOther::to("/console/sessions").into_response(),
        Err(refused) => {
            let (status, text, after) = told(&refused, WRONG);
            later(show(&app, &login, status, Some(&text)).await, after)
        }
    }
}

async fn recovery_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let password = SecretString::from(params.get("password").unwrap_or_default());
    match app.identity.renew_recovery_codes(&login, &password, params.get("code").unwrap_or_default(), &(&origin).into()).await {
        Ok(codes) => page(StatusCode::OK, &CodesPage::new(&codes, PATH)),
        Err(refused) => {
            let (status, text, after) = told(&refused, WRONG);
            later(show(&app, &login, status, Some(&text)).await, after)
        }
    }
}
