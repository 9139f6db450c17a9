//! What mails link to: a new password for who forgot it, and proof of an address. A link alone changes nothing, since programs
//! open links too; the button on its page does.

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::{ExposeSecret as _, MailedSecret, SecretString};
use notify::Mail;

use super::{MessagePage, error, form, later, page, signed_in, told};
use crate::App;
use crate::forms::{self, encode};

const STALE: &str = "That link is used, too old, or not complete. You can ask for a new one.";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/console/forgot", get(forgot_page).post(forgot_form))
        .route("/console/reset", get(reset_page).post(reset_form))
        .route("/console/verify", get(verify_page).post(verify_form))
        .route("/console/verify/send", post(send_verification))
}

#[derive(Template)]
#[template(path = "forgot.html")]
struct ForgotPage<'a> {
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage<'a> {
    token: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage<'a> {
    token: &'a str,
}

fn reset_mail(mailed: &MailedSecret, public_url: &str) -> Mail {
    let text = format!(
        "Somebody, you we hope, has forgotten the password for {public_url}.\n\nOpen this link to choose a new one, until {}:\n\n{}\n\n\
         If it was not you, leave this mail alone: your password has not changed.\n",
        mailed.expires.strftime("%H:%M UTC"),
        link(public_url, "reset", mailed),
    );
    Mail { to: mailed.email.clone(), subject: "Choose a new password".to_owned(), text }
}

fn verification_mail(mailed: &MailedSecret, public_url: &str) -> Mail {
    let text = format!(
        "Is this your address? Then open this link to say so at {public_url}, until {}:\n\n{}\n\n\
         If you know nothing of it, leave this mail alone and nothing will happen.\n",
        mailed.expires.strftime("%H:%M UTC"),
        link(public_url, "verify", mailed),
    );
    Mail { to: mailed.email.clone(), subject: "Is this your address?".to_owned(), text }
}

fn link(public_url: &str, what: &str, mailed: &MailedSecret) -> String {
    format!("{}/console/{what}?{}", public_url.trim_end_matches('/'), encode([("token", mailed.secret.expose_secret())]))
}

async fn forgot_page(OriginalUri(uri): OriginalUri) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    page(StatusCode::OK, &ForgotPage { email: params.get("email").unwrap_or_default(), problem: None })
}

/// Known or unknown: the same answer, after the same work.
async fn forgot_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let email = params.get("email").unwrap_or_default();
    match app.identity.forgot_password(email, &(&origin).into()).await {
        Ok(mailed) => {
            if let Some(mailed) = mailed {
                let (notify, mail) = (app.notify.clone(), reset_mail(&mailed, &app.identity.public_url()));
                // Beside the answer, which must not take longer for who is known.
                tokio::spawn(async move {
                    if let Err(error) = notify.mail(mail).await {
                        tracing::error!(%error, "a mail for a forgotten password could not be queued");
                    }
                });
            }
            page(
                StatusCode::OK,
                &MessagePage {
                    title: "Look into your mail",
                    text: "If somebody has that address here, a mail with a link is on its way. The link is good for an hour.",
                    detail: None,
                    link: Some(("/console/login", "Back to sign in")),
                },
            )
        }
        Err(refused) => {
            let (status, text, after) = told(&refused, "");
            later(page(status, &ForgotPage { email, problem: Some(&text) }), after)
        }
    }
}

fn stale(status: StatusCode, to: (&str, &str)) -> Response {
    page(status, &MessagePage { title: "This link is no longer good", text: STALE, detail: None, link: Some(to) })
}

const ASK_AGAIN: (&str, &str) = ("/console/forgot", "Ask for a new link");

async fn reset_page(State(app): State<App>, OriginalUri(uri): OriginalUri, origin: Origin) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    let token = params.get("token").unwrap_or_default();
    match app.identity.reset_secret(token, &(&origin).into()).await {
        Ok((email, _)) => page(StatusCode::OK, &ResetPage { token, email: &email, problem: None }),
        Err(model::Error::Unauthenticated { .. }) => stale(StatusCode::NOT_FOUND, ASK_AGAIN),
        Err(problem) => error(&problem.into()),
    }
}

async fn reset_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let token = params.get("token").unwrap_or_default();
    let again = async |status: StatusCode, text: &str, after: Option<u64>| match app.identity.reset_secret(token, &(&origin).into()).await {
        Ok((email, _)) => later(page(status, &ResetPage { token, email: &email, problem: Some(text) }), after),
        Err(_) => stale(StatusCode::NOT_FOUND, ASK_AGAIN),
    };
    if params.get("new") != params.get("again") {
        return again(StatusCode::BAD_REQUEST, "The new password is not the same both times.", None).await;
    }
    let password = SecretString::from(params.get("new").unwrap_or_default());
    match app.identity.reset_password(token, &password, &(&origin).into()).await {
        Ok(()) => page(
            StatusCode::OK,
            &MessagePage {
                title: "Your password is changed",
                text: "All browsers and applications are signed out.",
                detail: None,
                link: Some(("/console/login", "Sign in")),
            },
        ),
        Err(model::Error::Unauthenticated { .. }) => stale(StatusCode::NOT_FOUND, ASK_AGAIN),
        Err(refused) => {
            let (status, text, after) = told(&refused, "");
            again(status, &text, after).await
        }
    }
}

/// The signed-in user's own address, by mail.
async fn send_verification(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    if let Err(refused) = form(&headers, payload) {
        return refused;
    }
    let login = match signed_in(&app, &headers, "/console/sessions").await {
        Ok(login) => login,
        Err(answer) => return answer,
    };
    let sent = async {
        let caller = app.identity.caller_of_login(&login, &(&origin).into()).await?;
        let user = app.identity.user(&caller, login.user).await?;
        if let Some(mailed) = app.identity.request_activation(&user.email, &(&origin).into()).await? {
            app.notify.mail(verification_mail(&mailed, &app.identity.public_url())).await?;
        }
        Ok::<_, model::Error>(())
    };
    match sent.await {
        Ok(()) => SeeOther::to("/console/sessions?said=mail").into_response(),
        Err(refused) => {
            let (status, text, after) = told(&refused, "");
            let link = Some(("/console/sessions", "Back"));
            later(page(status, &MessagePage { title: "Not now", text: &text, detail: None, link }), after)
        }
    }
}

async fn verify_page(OriginalUri(uri): OriginalUri) -> Response {
    let params = forms::query(&uri).unwrap_or_default();
    page(StatusCode::OK, &VerifyPage { token: params.get("token").unwrap_or_default() })
}

async fn verify_form(State(app): State<App>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match form(&headers, payload) {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    match app.identity.activate_person(params.get("token").unwrap_or_default(), &(&origin).into()).await {
        Ok(()) => page(
            StatusCode::OK,
            &MessagePage { title: "Thank you", text: "Your address is proved.", detail: None, link: Some(("/console/sessions", "Go on")) },
        ),
        Err(model::Error::Unauthenticated { .. }) => stale(StatusCode::NOT_FOUND, ("/console/sessions", "Go on")),
        Err(problem) => error(&problem.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_alone_on_their_line() {
        let expires = "2026-01-01T10:15:00Z".parse().unwrap();
        let mailed = MailedSecret { email: "a@b.c".into(), secret: "abcdefgh12345678".into(), expires };
        for (mail, what) in [(reset_mail(&mailed, "https://gw/"), "reset"), (verification_mail(&mailed, "https://gw"), "verify")] {
            assert!(mail.text.contains(&format!("\nhttps://gw/console/{what}?token=abcdefgh12345678\n")), "{}", mail.text);
            assert!(mail.text.contains("10:15 UTC") && mail.to == "a@b.c");
        }
    }
}
