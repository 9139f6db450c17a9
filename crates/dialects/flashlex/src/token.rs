//! `GET /token`: name and password become a token.

use axum::extract::State;
use edge::Origin;
use http::{HeaderMap, StatusCode};
use identity::{Credential, TenantChoice};
use model::Error;

use crate::error::{Answer, Problem};
use crate::respond::json;
use crate::wire::Login;
use crate::{Shared, TOKENS};

/// The longest `Client-Id` that is kept.
const LABEL_MAX: usize = 100;

/// The one answer without an envelope.
pub(crate) async fn token(State(app): Shared, origin: Origin, headers: HeaderMap) -> Answer {
    let Some(basic) = edge::basic(&headers) else {
        return Err(Problem::Basic(Error::Unauthenticated { reason: "an Authorization header with Basic credentials is required" }));
    };
    let label: Option<String> = edge::header(&headers, "client-id").filter(|l| !l.is_empty()).map(|l| l.chars().take(LABEL_MAX).collect());
    let credential = Credential::Password { login: &basic.user, password: &basic.password };
    let signed_in = app.identity.sign_in(credential, TenantChoice::Home, &(&origin).into()).await.map_err(Problem::Basic)?;
    let issued = app.identity.issue(&signed_in, &TOKENS, label.as_deref()).await?;
    Ok(json(StatusCode::OK, &Login { access_token: issued.token }))
}
