//! What a handler takes out of a request before it looks at the body: the caller, the thing in the path, the query.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use edge::Origin;
use http::HeaderMap;
use http::request::Parts;
use model::{Caller, Error};
use serde::Deserialize;

use crate::error::Problem;
use crate::filter::Filter;
use crate::{App, TOKENS, names};

/// A user (or a client on its own behalf) by the token in `Authorization`.
pub(crate) struct User {
    pub caller: Caller,
    /// The token, for those who must check again later.
    pub token: String,
}

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?.to_owned();
        let caller = app.identity.verify(&token, &TOKENS).await?;
        Ok(Self { caller: located(caller, parts).await, token })
    }
}

/// The thing in the path, by a token it signed itself.
pub(crate) struct ThingItself {
    pub caller: Caller,
    pub handle: String,
}

impl FromRequestParts<Arc<App>> for ThingItself {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?.to_owned();
        let Handle(handle) = Handle::from_request_parts(parts, app).await?;
        let caller = app.identity.verify_thing_token(&handle, &token).await?;
        Ok(Self { caller: located(caller, parts).await, handle })
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    edge::bearer(headers).ok_or(Error::Unauthenticated { reason: "an Authorization header with a Bearer token is required" })
}

/// The caller with this request's id and address.
async fn located(caller: Caller, parts: &mut Parts) -> Caller {
    let Ok::<_, Infallible>(origin) = Origin::from_request_parts(parts, &()).await;
    Caller { request: origin.request, address: origin.address, ..caller }
}

/// The `{id}` of a path.
#[derive(Deserialize)]
struct Id {
    id: String,
}

/// The thing in the path.
pub(crate) struct Handle(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Handle {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        path_id(parts, state).await.map(|id| Self(names::handle(&id))).ok_or(Problem::Core(Error::not_found("thing")))
    }
}

/// Whatever else is named in the path.
pub(crate) struct PathId(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(path_id(parts, state).await))
    }
}

/// `None` for what cannot be an id, bytes that are no text for instance.
async fn path_id<S: Send + Sync>(parts: &mut Parts, state: &S) -> Option<String> {
    Path::<Id>::from_request_parts(parts, state).await.ok().map(|Path(Id { id })| id)
}

/// The query of a list. Taken after the caller, so that a stranger learns nothing from it.
impl<S: Send + Sync> FromRequestParts<S> for Filter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::parse(parts.uri.query())?)
    }
}

/// The longest `Idempotency-Key`.
const KEY_MAX: usize = 255;

/// The request's `Idempotency-Key`.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    match edge::header(headers, "idempotency-key") {
        Some(key) if !key.is_empty() && key.len() <= KEY_MAX => Ok(Some(key.to_owned())),
        _ => Err(Error::invalid("Idempotency-Key", format!("must be one header of 1 to {KEY_MAX} visible ASCII characters"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_one_short_word() {
        let headers = |values: &[&str]| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append("idempotency-key", value.parse().unwrap());
            }
            map
        };
        assert_eq!(idempotency_key(&headers(&[])).unwrap(), None);
        assert_eq!(idempotency_key(&headers(&["k-1"])).unwrap().as_deref(), Some("k-1"));
        for bad in [&[""][..], &["a", "b"], &[&"x".repeat(256)]] {
            assert!(idempotency_key(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
