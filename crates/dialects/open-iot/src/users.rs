//! Users: registration, activation, passwords, and what they say of themselves (contract 1.3).

use axum::extract::State;
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode, Uri};
use identity::{Profile, SecretString, WRONG_SECRET};
use model::{Error, UserId};
use serde::Deserialize;
use serde_json::json;

use crate::error::{Answer, INTERACTION_NOT_FOUND, NOT_AUTHORIZED, Problem, TERMS, USER_INVALID, USER_NOT_FOUND, credential};
use crate::holder::{At, Holder};
use crate::respond::{empty, json as write};
use crate::{Shared, TOKENS, mails, schema, wire};

pub(crate) async fn create(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::NEW_USER)?;
    if !app.registration {
        return Err(Problem::Generic(StatusCode::FORBIDDEN, "Registration is closed on this gateway"));
    }
    if body.bool("termsAndConditions") == Some(false) {
        return Err(TERMS.into());
    }
    let terms = body.bool("termsAndConditions").unwrap_or(false);
    let profile = Profile { attributes: body.object("attributes").unwrap_or_default(), terms };
    let password = SecretString::from(body.text("password"));
    let (user, mailed) = app.identity.register_person(body.text("email"), &password, profile.clone(), &origin.into()).await?;
    app.notify.mail(mails::activation(&mailed, &app.identity.public_url())).await?;
    Ok(write(StatusCode::CREATED, &wire::user(&user, &profile, None)))
}

pub(crate) async fn request_activation(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::EMAIL)?;
    if let Some(mailed) = app.identity.request_activation(body.text("email"), &origin.into()).await? {
        app.notify.mail(mails::activation(&mailed, &app.identity.public_url())).await?;
    }
    Ok(empty(StatusCode::OK))
}

pub(crate) async fn activate(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::TOKEN)?;
    app.identity.activate_person(body.text("token"), &origin.into()).await?;
    Ok(empty(StatusCode::OK))
}

/// The same answer whether or not anybody has the address.
pub(crate) async fn forgot(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::EMAIL)?;
    if let Some(mailed) = app.identity.forgot_password(body.text("email"), &origin.into()).await? {
        app.notify.mail(mails::reset(&mailed, &app.identity.public_url())).await?;
    }
    Ok(empty(StatusCode::OK))
}

#[derive(Deserialize)]
struct TokenQuery {
    token: String,
}

pub(crate) async fn reset_info(State(app): Shared, origin: Origin, uri: Uri) -> Answer {
    let query: TokenQuery = edge::query(&uri)?;
    match app.identity.reset_secret(&query.token, &origin.into()).await {
        Ok((email, expires)) => {
            Ok(write(StatusCode::OK, &json!({ "email": email, "type": "password-reset", "expires": expires.as_millisecond() })))
        }
        Err(error) if error == WRONG_SECRET => Err(INTERACTION_NOT_FOUND.into()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn reset(State(app): Shared, origin: Origin, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::NEW_PASSWORD)?;
    app.identity.reset_password(body.text("token"), &SecretString::from(body.text("password")), &origin.into()).await?;
    Ok(empty(StatusCode::OK))
}

/// The present password is the credential; a token may come along, and then must be the same user's.
pub(crate) async fn change_password(State(app): Shared, at: At, origin: Origin, headers: HeaderMap, body: Payload) -> Answer {
    let origin: identity::Origin = origin.into();
    let mut login = at.user;
    if headers.contains_key(http::header::AUTHORIZATION) {
        let token = edge::bearer(&headers).ok_or(NOT_AUTHORIZED)?;
        let (person, _) = app.identity.verify_person(token, &TOKENS, &origin).await?;
        if login != "me" && !login.eq_ignore_ascii_case(&person.user.email) {
            return Err(NOT_AUTHORIZED);
        }
        login = person.user.email;
    }
    let body = schema::object(&body.0?, schema::CHANGE_PASSWORD)?;
    let (old, new) = (SecretString::from(body.text("currentpwd")), SecretString::from(body.text("password")));
    app.identity.change_password_of(&login, &old, &new, &origin).await.map_err(credential)?;
    Ok(write(StatusCode::OK, &json!({ "password": body.text("password") })))
}

/// Oneself, or somebody in one of the accounts that the token names.
pub(crate) async fn read(State(app): Shared, at: At, holder: Holder) -> Answer {
    if holder.is(&at.user) {
        return Ok(write(StatusCode::OK, &wire::own_user(&app, &holder).await?));
    }
    let id: UserId = at.user.parse().map_err(|_| USER_NOT_FOUND)?;
    for account in crate::tokens::named(&holder.claims) {
        let Ok(caller) = holder.within(&app, &account.to_string()).await else { continue };
        match app.identity.user(&caller, id).await {
            Ok(user) => {
                let membership = app.identity.membership(&caller, id).await?;
                let profile = app.identity.profile(&caller, id).await?;
                let accounts = json!({ account.to_string(): crate::tokens::role(membership.role) });
                return Ok(write(StatusCode::OK, &wire::user(&user, &profile, Some(accounts))));
            }
            Err(Error::NotFound { .. } | Error::Forbidden(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(USER_NOT_FOUND.into())
}

/// One's attributes and the terms; everything else about a user has an operation of its own.
pub(crate) async fn update(State(app): Shared, at: At, holder: Holder, body: Payload) -> Answer {
    if !holder.is(&at.user) {
        return Err(NOT_AUTHORIZED);
    }
    let body = schema::object(&body.0?, schema::USER)?;
    let other = |name: &str, own: &str| body.maybe(name).is_some_and(|given| !given.eq_ignore_ascii_case(own));
    let own = &holder.person.user;
    if other("email", &own.email) || other("id", &own.id.to_string()) || body.maybe("password").is_some() {
        return Err(Problem::Coded(USER_INVALID, vec!["only attributes and termsAndConditions change here".to_owned()]));
    }
    let accept = body.bool("termsAndConditions") == Some(true);
    app.identity.update_profile(&holder.person.caller(), body.object("attributes"), accept).await?;
    Ok(empty(StatusCode::OK))
}

pub(crate) async fn remove(State(app): Shared, at: At, holder: Holder) -> Answer {
    if !holder.is(&at.user) {
        return Err(NOT_AUTHORIZED);
    }
    app.identity.delete_user(&holder.person.caller(), holder.person.user.id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
