//! The page on which a person lets a device in (RFC 8628 3.3).

use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::oauth::{Decision, Login, OAuthError};

use super::{MessagePage, error, form, login_of, page, scope_in_words};
use crate::App;
use crate::forms::{self, encode};

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

/// The code arrives in the address, or is typed.
pub(super) async fn device_page(State(app): State<App>, OriginalUri(uri): OriginalUri, origin: Origin, headers: HeaderMap) -> Response {
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

pub(super) async fn device_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
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
