//! OAuth clients and API keys.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::UserId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Created;
use crate::error::Result;
use crate::extract::{At, Auth, Body, Params, id};
use crate::wire::{ApiKey, Client, CreatedApiKey, CreatedClient, NewApiKey, NewClient, Page, Paging};
use crate::{App, Failure};

/// List clients
#[utoipa::path(
    get, path = "/clients", tag = "clients", params(Paging),
    responses((status = 200, description = "Clients by id", body = Page<Client>))
)]
pub async fn list_clients(State(app): State<App>, Auth(caller): Auth, Params(paging): Params<Paging>) -> Result<Json<Page<Client>>> {
    let page = app.identity.clients(&caller, &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Create a client
///
/// Its secret is in the answer, this once.
#[utoipa::path(
    post, path = "/clients", tag = "clients", request_body = NewClient,
    responses((status = 201, description = "The client and its secret", body = CreatedClient, headers(("Location" = String, description = "Where it lies"))))
)]
pub async fn create_client(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewClient>) -> Result<Created<CreatedClient>> {
    let new = identity::NewClient {
        id: new.id,
        name: new.name,
        public: new.public,
        secret: new.secret.map(|s| s.0),
        grants: new.grants,
        redirect_uris: new.redirect_uris,
        scopes: new.scopes,
        everywhere: new.everywhere,
        auth_method: new.auth_method,
        jwks: new.jwks,
        certificates: new.certificates,
        certificate_bound_tokens: new.certificate_bound_tokens,
        dpop_bound_tokens: new.dpop_bound_tokens,
        require_pushed_requests: new.require_pushed_requests,
        resources: new.resources,
    };
    let (client, secret) = app.identity.create_client(&caller, new).await?;
    let id = client.id.clone();
    Ok(Created::at(["clients", &id], CreatedClient::of(client, secret.as_ref())))
}

/// Get a client
#[utoipa::path(
    get, path = "/clients/{id}", tag = "clients", params(("id" = String, Path, description = "Its client id")),
    responses((status = 200, description = "The client", body = Client))
)]
pub async fn get_client(State(app): State<App>, Auth(caller): Auth, At(id): At<String>) -> Result<Json<Client>> {
    Ok(Json(app.identity.client(&caller, &id).await?.into()))
}

/// Delete a client
///
/// Its tokens end at once.
#[utoipa::path(
    delete, path = "/clients/{id}", tag = "clients", params(("id" = String, Path, description = "Its client id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_client(State(app): State<App>, Auth(caller): Auth, At(id): At<String>) -> Result<StatusCode> {
    app.identity.delete_client(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which API keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ApiKeyQuery {
    /// Only keys of this user.
    user: Option<Uuid>,
    /// Rows on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List API keys
///
/// Without the keys themselves; `hint` tells them apart.
#[utoipa::path(
    get, path = "/api-keys", tag = "clients", params(ApiKeyQuery),
    responses((status = 200, description = "API keys by id", body = Page<ApiKey>))
)]
pub async fn list_api_keys(State(app): State<App>, Auth(caller): Auth, Params(query): Params<ApiKeyQuery>) -> Result<Json<Page<ApiKey>>> {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let page = app.identity.api_keys(&caller, query.user.map(UserId), &paging.request()?).await?;
    Ok(Json(Page::of(page)))
}

/// Create an API key
///
/// The key is in the answer, this once.
#[utoipa::path(
    post, path = "/api-keys", tag = "clients", request_body = NewApiKey,
    responses((status = 201, description = "The key", body = CreatedApiKey, headers(("Location" = String, description = "Where to delete it"))))
)]
pub async fn create_api_key(State(app): State<App>, Auth(caller): Auth, Body(new): Body<NewApiKey>) -> Result<Created<CreatedApiKey>> {
    let user = new.user.map(UserId).or(caller.user()).ok_or_else(|| Failure::input("user", "is missing"))?;
    let new = identity::NewApiKey { user, label: new.label, key: new.key.map(|s| s.0), expires: new.expires };
    let made = CreatedApiKey::of(app.identity.create_api_key(&caller, new).await?);
    Ok(Created::at(["api-keys", &made.api_key.id.to_string()], made))
}

/// Delete an API key
///
/// It ends at once.
#[utoipa::path(
    delete, path = "/api-keys/{id}", tag = "clients", params(("id" = Uuid, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"))
)]
pub async fn delete_api_key(State(app): State<App>, Auth(caller): Auth, At(text): At<String>) -> Result<StatusCode> {
    app.identity.delete_api_key(&caller, id("API key", &text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
