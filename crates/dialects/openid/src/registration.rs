//! Dynamic client registration on the wire (RFC 7591, 7592).

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use edge::{Origin, Payload, Presented};
use http::StatusCode;
use identity::oauth::{OAuthError, OAuthErrorCode, Registered};
use serde_json::{Map, Value, json};

use crate::error::Refusal;
use crate::provider::{Here, PRIVATE};

/// The metadata, a JSON object.
fn metadata(payload: Payload) -> Result<Map<String, Value>, OAuthError> {
    let unfit = |why: &str| OAuthError::new(OAuthErrorCode::InvalidClientMetadata, why);
    serde_json::from_slice(&payload.0?).map_err(|_| unfit("the body is not a JSON object"))
}

/// The token that lets one register, or manage a registration.
fn token(shown: &Presented) -> Result<&str, Refusal> {
    let missing = || Refusal::at_resource(OAuthError::new(OAuthErrorCode::InvalidToken, "an access token is required"), shown);
    shown.token().filter(|_| !shown.shown().dpop_scheme).ok_or_else(missing)
}

fn answer(here: &Here, status: StatusCode, registered: Registered) -> Response {
    let uri = format!("{}{}/{}", here.identity.public_url(), here.face.register, registered.id);
    let mut all = registered.metadata;
    all.insert("registration_client_uri".to_owned(), json!(uri));
    (status, PRIVATE, Json(all)).into_response()
}

/// RFC 7591 3.1.
pub(crate) async fn register(State(here): State<Here>, origin: Origin, shown: Presented, payload: Payload) -> Result<Response, Refusal> {
    let bearer = token(&shown)?;
    let asked = metadata(payload)?;
    let registered = here.identity.register_client(bearer, &asked, &(&origin).into()).await;
    Ok(answer(&here, StatusCode::CREATED, registered.map_err(|error| refused(error, &shown))?))
}

/// RFC 7592 2.1.
pub(crate) async fn read(
    State(here): State<Here>,
    Path(client): Path<String>,
    origin: Origin,
    shown: Presented,
) -> Result<Response, Refusal> {
    let bearer = token(&shown)?;
    let found = here.identity.registration(&client, bearer, &(&origin).into()).await;
    Ok(answer(&here, StatusCode::OK, with_token(found.map_err(|error| refused(error, &shown))?, bearer)))
}

/// RFC 7592 2.2.
pub(crate) async fn replace(
    State(here): State<Here>,
    Path(client): Path<String>,
    origin: Origin,
    shown: Presented,
    payload: Payload,
) -> Result<Response, Refusal> {
    let bearer = token(&shown)?;
    let asked = metadata(payload)?;
    let changed = here.identity.change_registration(&client, bearer, &asked, &(&origin).into()).await;
    Ok(answer(&here, StatusCode::OK, with_token(changed.map_err(|error| refused(error, &shown))?, bearer)))
}

/// RFC 7592 2.3.
pub(crate) async fn remove(
    State(here): State<Here>,
    Path(client): Path<String>,
    origin: Origin,
    shown: Presented,
) -> Result<Response, Refusal> {
    let gone = here.identity.end_registration(&client, token(&shown)?, &(&origin).into()).await;
    gone.map_err(|error| refused(error, &shown))?;
    Ok((StatusCode::NO_CONTENT, PRIVATE).into_response())
}

/// The token stays the one that was shown (RFC 7592 3).
fn with_token(mut registered: Registered, bearer: &str) -> Registered {
    registered.metadata.insert("registration_access_token".to_owned(), json!(bearer));
    registered
}

/// A wrong token is refused as at a resource; what is wrong with the metadata as a bad request.
fn refused(error: OAuthError, shown: &Presented) -> Refusal {
    if error.code == OAuthErrorCode::InvalidToken { Refusal::at_resource(error, shown) } else { error.into() }
}
