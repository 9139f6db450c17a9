//! Sign in and out.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use identity::{Credential, TenantChoice, TokenRef};
use model::{Caller, Error, Principal};

use crate::error::Result;
use crate::extract::{Auth, Body, From, is_token};
use crate::wire::{Me, RevokeRequest, Token, TokenRequest};
use crate::{App, Failure, TOKENS};

/// Get a token
///
/// By HTTP Basic (e-mail address or user name, and password), or by a JSON body with one kind of credential.
#[utoipa::path(
    post, path = "/token", tag = "tokens", security((), ("basic" = [])), request_body = Option<TokenRequest>,
    responses((status = 200, description = "A token", body = Token), (status = 401, description = "The credential is wrong", body = crate::Problem, content_type = "application/problem+json"), (status = 429, description = "Too many tries; wait as `Retry-After` says", body = crate::Problem, content_type = "application/problem+json"))
)]
pub async fn issue_token(
    State(app): State<App>,
    From(origin): From,
    headers: HeaderMap,
    Body(request): Body<TokenRequest>,
) -> Result<Json<Token>> {
    let basic = edge::basic(&headers);
    let tenant = match request.tenant.as_deref() {
        None => TenantChoice::Home,
        Some(text) => text.parse().map_or(TenantChoice::Named(text), TenantChoice::Id),
    };
    let login = request.email.as_deref();
    let password = request.password.as_ref().map(|s| s.expose());
    let key = request.api_key.as_ref().map(|s| s.expose());
    let client = request.client_id.as_deref();
    let secret = request.client_secret.as_ref().map(|s| s.expose());
    let credential = match (&basic, login, password, key, client, secret) {
        (Some(edge::Basic { user, password }), None, None, None, None, None) => Credential::Password { login: user, password },
        (None, Some(login), Some(password), None, None, None) => Credential::Password { login, password },
        (None, None, None, Some(key), None, None) => Credential::ApiKey { key },
        (None, None, None, None, Some(id), Some(secret)) => Credential::Client { id, secret },
        (None, None, None, None, None, None) => {
            return Err(Error::Unauthenticated {
                reason: "send HTTP Basic, or a body with email and password, api_key, or client_id and client_secret",
            }
            .into());
        }
        _ => {
            let reason = "give exactly one credential: HTTP Basic, email and password, api_key, or client_id and client_secret";
            return Err(Failure::Input { field: None, reason: reason.to_owned() });
        }
    };
    let signed_in = app.identity.sign_in(credential, tenant, &origin).await?;
    let token = app.identity.issue(&signed_in, &TOKENS, origin.label.as_deref()).await?;
    Ok(Json(Token::of(token)))
}

/// End a token
///
/// A token ends at once, with every stream opened by it. Without a body: the token this call is made with.
#[utoipa::path(
    post, path = "/token/revoke", tag = "tokens", request_body = Option<RevokeRequest>,
    responses((status = 204, description = "It has ended, or was not valid any more"))
)]
pub async fn revoke_token(
    State(app): State<App>,
    headers: HeaderMap,
    Auth(caller): Auth,
    Body(request): Body<RevokeRequest>,
) -> Result<StatusCode> {
    let bearer = edge::bearer(&headers);
    let which = match (&request.token, request.id) {
        (Some(token), None) => TokenRef::Text(token.expose()),
        (None, Some(id)) => TokenRef::Id(id),
        (None, None) => TokenRef::Text(bearer.filter(|b| is_token(b)).ok_or_else(|| Failure::input("token", "is missing"))?),
        _ => return Err(Failure::input("token", "give token or id, not both")),
    };
    app.identity.revoke_token(&caller, which).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who am I?
///
/// The caller, the tenant it looks at, what it may do there, and its memberships.
#[utoipa::path(get, path = "/me", tag = "tokens", responses((status = 200, description = "The caller", body = Me)))]
pub async fn me(State(app): State<App>, Auth(caller): Auth) -> Result<Json<Me>> {
    Ok(Json(Me::of(&caller, memberships(&app, &caller).await?)))
}

/// Only users have memberships.
async fn memberships(app: &App, caller: &Caller) -> model::Result<Vec<identity::MemberOf>> {
    match caller.principal {
        Principal::User(_) => app.identity.memberships_of(caller).await,
        _ => Ok(Vec::new()),
    }
}
