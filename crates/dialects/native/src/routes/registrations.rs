//! Initial access tokens, with which clients register themselves (RFC 7591).

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use identity::ExposeSecret as _;

use super::Created;
use crate::App;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{CreatedInitialToken, InitialToken, NewInitialToken, Page, Paging};

/// List initial access tokens
#[utoipa::path(
    get, path = "/initial-access-tokens", tag = "clients", params(Paging),
    responses((status = 200, description = "Initial access tokens, oldest first", body = Page<InitialToken>))
)]
pub async fn list_initial_tokens(
    State(app): State<App>,
    Auth(caller): Auth,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<InitialToken>>> {
    let page = app.identity.initial_tokens(&caller, &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Create an initial access token
///
/// Clients register themselves with it at `/oauth2/register`. The token is in the answer, this once. Owners only.
#[utoipa::path(
    post, path = "/initial-access-tokens", tag = "clients", request_body = NewInitialToken,
    responses((status = 201, description = "The token", body = CreatedInitialToken, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn create_initial_token(
    State(app): State<App>,
    Auth(caller): Auth,
    Body(new): Body<NewInitialToken>,
) -> Result<Created<CreatedInitialToken>> {
    let new =
        identity::oauth::NewInitialToken { label: new.label, grants: new.grants, scopes: new.scopes, uses: new.uses, expires: new.expires };
    let (made, token) = app.identity.create_initial_token(&caller, new).await?;
    let id = made.id.to_string();
    let body = CreatedInitialToken { initial_token: made.into(), token: token.expose_secret().to_owned() };
    Ok(Created::at(["initial-access-tokens", &id], body))
}

/// Delete an initial access token
///
/// Clients it made stay.
#[utoipa::path(
    delete, path = "/initial-access-tokens/{id}", tag = "clients", params(("id" = Uuid, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_initial_token(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.delete_initial_token(&caller, id("initial access token", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
