//! Who asks: the bearer of a token of the realm `olt`.

use axum::extract::FromRequestParts;
use edge::Origin;
use http::request::Parts;
use model::{Caller, Error};

use crate::App;
use crate::error::Refusal;

const MISSING: Error = Error::Unauthenticated { reason: "Authorization is missing." };

/// A recognised caller, in the tenant its token names. Usable as an axum extractor; deref gives the [`Caller`].
#[derive(Clone, Debug)]
pub(crate) struct Asking(pub(crate) Caller);

impl std::ops::Deref for Asking {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequestParts<App> for Asking {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let token = edge::bearer(&parts.headers).ok_or(MISSING)?;
        let caller = app.identity.verify(token, app.realm).await?;
        let Ok(origin) = Origin::from_request_parts(parts, app).await;
        Ok(Self(Caller { request: origin.request, address: origin.address, ..caller }))
    }
}
