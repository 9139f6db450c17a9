//! Tokens: obtained, looked at, refreshed (contract 1.2).

use axum::extract::State;
use edge::{Origin, Payload};
use http::{HeaderMap, StatusCode};
use identity::ExposeSecret as _;
use model::User;
use serde_json::{Value, json};

use crate::error::{Answer, NOT_AUTHORIZED, Problem, credential};
use crate::holder::Holder;
use crate::respond::{empty, json as write};
use crate::{App, Shared, TOKENS, schema, tokens, wire};

/// Name and password become a token. With nothing in the body, a good token becomes a fresh one ("this call also refreshes the
/// token", seed).
pub(crate) async fn token(State(app): Shared, origin: Origin, headers: HeaderMap, body: Payload) -> Answer {
    let body = body.0?;
    let origin: identity::Origin = origin.into();
    if let Some(token) = edge::bearer(&headers)
        && schema::object(&body, schema::NOTHING).is_ok_and(|b| b.is_empty())
    {
        let (person, _) = app.identity.verify_person(token, &TOKENS, &origin).await?;
        return fresh(&app, &person.user, &origin).await.map(|token| write(StatusCode::OK, &json!({ "token": token })));
    }
    let body = schema::object(&body, schema::AUTH)?;
    let user = app.identity.sign_in_person(body.text("username"), body.text("password"), &origin).await.map_err(credential)?;
    let token = fresh(&app, &user, &origin).await?;
    Ok(write(StatusCode::OK, &json!({ "token": token })))
}

/// A token with the accounts and roles of this moment.
async fn fresh(app: &App, user: &User, origin: &identity::Origin) -> Result<String, Problem> {
    Ok(app.identity.issue_person(user, &TOKENS, tokens::accounts, origin).await?.token)
}

/// Header and payload of the presented token.
pub(crate) async fn info(holder: Holder) -> Answer {
    let header: Value = wire::jose_header(&holder.token).ok_or(NOT_AUTHORIZED)?;
    Ok(write(StatusCode::OK, &json!({ "header": header, "payload": holder.claims })))
}

pub(crate) async fn me(State(app): Shared, holder: Holder) -> Answer {
    Ok(write(StatusCode::OK, &wire::own_user(&app, &holder).await?))
}

/// A refresh token, good for a year and told once.
pub(crate) async fn make(State(app): Shared, holder: Holder, body: Payload) -> Answer {
    schema::object(&body.0?, schema::NOTHING)?;
    let refresh = app.identity.make_refresh(&holder.person).await?;
    Ok(write(StatusCode::OK, &json!({ "refreshToken": refresh.expose_secret() })))
}

/// The exchange: the old token (it may have expired) says whose, the refresh token that it is.
pub(crate) async fn exchange(State(app): Shared, origin: Origin, headers: HeaderMap, body: Payload) -> Answer {
    let origin: identity::Origin = origin.into();
    let old = edge::bearer(&headers).ok_or(NOT_AUTHORIZED)?;
    let user = app.identity.person_of_old_token(old, &TOKENS).await?;
    let body = schema::object(&body.0?, schema::REFRESH)?;
    let (user, next) = app.identity.use_refresh(user, body.text("refreshToken"), &origin).await?;
    let jwt = fresh(&app, &user, &origin).await?;
    Ok(write(StatusCode::OK, &json!({ "jwt": jwt, "refreshToken": next.expose_secret() })))
}

pub(crate) async fn revoke(State(app): Shared, holder: Holder, body: Payload) -> Answer {
    let body = schema::object(&body.0?, schema::REFRESH)?;
    app.identity.end_refresh(&holder.person, body.text("refreshToken"), &holder.origin).await?;
    Ok(empty(StatusCode::OK))
}
