//! Who asks: the person behind the bearer token, and what it may do in an account.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use edge::Origin;
use http::request::Parts;
use identity::Person;
use model::{Caller, TenantId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{NOT_AUTHORIZED, Problem};
use crate::{App, TOKENS, tokens};

/// A person by its token.
pub(crate) struct Holder {
    pub person: Person,
    /// The token itself, and what it says.
    pub token: String,
    pub claims: Map<String, Value>,
    pub origin: identity::Origin,
}

impl FromRequestParts<Arc<App>> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Ok::<_, Infallible>(origin) = Origin::from_request_parts(parts, &()).await;
        let token = edge::bearer(&parts.headers).ok_or(NOT_AUTHORIZED)?.to_owned();
        let origin: identity::Origin = origin.into();
        let (person, claims) = app.identity.verify_person(&token, &TOKENS, &origin).await?;
        Ok(Self { person, token, claims, origin })
    }
}

impl Holder {
    /// The caller in that account. One that the token does not name looks the same whether it exists or not.
    pub(crate) async fn within(&self, app: &App, account: &str) -> Result<Caller, Problem> {
        let id: TenantId = account.parse().map_err(|_| NOT_AUTHORIZED)?;
        let granted = tokens::granted(&self.claims, id).ok_or(NOT_AUTHORIZED)?;
        Ok(app.identity.person_in(&self.person, id, granted).await?)
    }

    /// Does this path segment mean the person itself?
    pub(crate) fn is(&self, who: &str) -> bool {
        who == "me" || who.eq_ignore_ascii_case(&self.person.user.id.to_string())
    }
}

/// What the path names, by the names the routes give; empty where it names nothing, or bytes that are no text.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct At {
    pub account: String,
    pub user: String,
    pub email: String,
    pub invite: String,
}

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Path::<Self>::from_request_parts(parts, state).await.map(|Path(at)| at).unwrap_or_default())
    }
}
