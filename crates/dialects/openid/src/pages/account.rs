//! The account's own pages: where it is signed in, its password.

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::SecretString;
use identity::oauth::OpenSession;
use uuid::Uuid;

use super::{error, form, later, page, remember, signed_in, told};
use crate::App;
use crate::forms;

const PATH: &str = "/console/sessions";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route(PATH, get(sessions_page))
        .route("/console/sessions/{id}/end", post(end_session))
        .route("/console/password", get(password_page).post(password_form))
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    email: String,
    verified: bool,
    factor: bool,
    said: Option<&'static str>,
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

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    email: &'a str,
    problem: Option<&'a str>,
}

/// What just happened, by the word in the address.
fn said(word: Option<&str>) -> Option<&'static str> {
    match word {
        Some("password") => Some("Your password is changed. All other browsers and applications are signed out."),
        Some("mail") => Some("A mail is on its way to you. Its link is good for an hour."),
        _ => None,
    }
}

async fn sessions_page(State(app): State<App>, OriginalUri(uri): OriginalUri, origin: Origin, headers: HeaderMap) -> Response {
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let found = async {
        let caller = app.identity.caller_of_login(&login, &(&origin).into()).await?;
        let user = app.identity.user(&caller, login.user).await?;
        let factor = app.identity.own_factor(&login).await?;
        Ok::<_, model::Error>((user, factor, app.identity.open_sessions(&login).await?))
    };
    match found.await {
        Ok((user, factor, sessions)) => page(
            StatusCode::OK,
            &SessionsPage {
                email: user.email,
                verified: user.verified,
                factor: factor.enrolled.is_some(),
                said: said(forms::query(&uri).unwrap_or_default().get("said")),
                sessions: sessions.into_iter().map(line).collect(),
            },
        ),
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

async fn end_session(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap, payload: Payload) -> Response {
    if let Err(refused) = form(&headers, payload) {
        return refused;
    }
    let login = match signed_in(&app, &headers, PATH).await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    if let Ok(id) = id.parse::<Uuid>()
        && let Err(problem) = app.identity.end_open_session(&login, id).await
    {
        return error(&problem.into());
    }
    SeeOther::to(PATH).into_response()
}

async fn email_of(app: &App, login: &identity::oauth::Login, origin: &Origin) -> Result<String, model::Error> {
    let caller = app.identity.caller_of_login(login, &origin.into()).await?;
    Ok(app.identity.user(&caller, login.user).await?.email)
}

async fn password_page(State(app): State<App>, origin: Origin, headers: HeaderMap) -> Response {
    let login = match signed_in(&app, &headers, "/console/password").await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    match email_of(&app, &login, &origin).await {
        Ok(email) => page(StatusCode::OK, &PasswordPage { email: &email, problem: None }),
        Err(problem) => error(&problem.into()),
    }
}

async fn password_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let login = match signed_in(&app, &headers, "/console/password").await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let email = match email_of(&app, &login, &origin).await {
        Ok(email) => email,
        Err(problem) => return error(&problem.into()),
    };
    let field = |name: &str| SecretString::from(params.get(name).unwrap_or_default());
    if params.get("new") != params.get("again") {
        return page(
            StatusCode::BAD_REQUEST,
            &PasswordPage { email: &email, problem: Some("The new password is not the same both times.") },
        );
    }
    match app.identity.change_own_password(&login, &field("old"), &field("new"), &(&origin).into()).await {
        Ok(session) => {
            let mut response = SeeOther::to("/console/sessions?said=password").into_response();
            remember(&app, &mut response, &session);
            response
        }
        Err(refused) => {
            let (status, text, after) = told(&refused, "The old password is wrong.");
            later(page(status, &PasswordPage { email: &email, problem: Some(&text) }), after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_have_names() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0";
        assert_eq!(browser_name(agent), "Chrome on Linux");
        assert_eq!(browser_name("Mozilla/5.0 (Windows NT 10.0; Win64) Gecko/20100101 Firefox/140.0"), "Firefox on Windows");
        assert_eq!(browser_name("curl/8.5.0"), "curl/8.5.0");
    }
}
