//! The provider's endpoints, once for every face.

use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Redirect as SeeOther, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use edge::{Origin, Payload, Presented};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName, StatusCode};
use identity::Identity;
use identity::oauth::{Authorization, AuthorizeError, Decision, Login, OAuthError, Params, Redirect, ResponseMode, TokenRequest};
use model::TenantId;
use serde_json::json;

use crate::App;
use crate::error::Refusal;
use crate::forms::{self, encode};
use crate::pages;
use crate::realms::{Face, PLAIN};
use crate::registration;

#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) identity: Identity,
    pub(crate) face: &'static Face,
}

/// The routes of one face.
pub(crate) fn router(app: &App, face: &'static Face) -> Router {
    let here = Here { identity: app.identity.clone(), face };
    let mut router = Router::new()
        .route(&format!("{}/.well-known/openid-configuration", face.base), get(discovery).options(preflight))
        .route(face.authorize, get(authorize).post(authorize_form))
        .route(face.token, post(token).options(preflight).layer(axum::middleware::from_fn(crate::frames::credentialed)))
        .route(face.userinfo, get(userinfo).post(userinfo).options(preflight))
        .route(face.jwks, get(jwks).options(preflight))
        .route(face.introspect, post(introspect))
        .route(face.register, post(registration::register).options(preflight))
        .route(
            &format!("{}/{{client}}", face.register),
            get(registration::read).put(registration::replace).delete(registration::remove).options(preflight),
        )
        .route(face.par, post(push).options(preflight))
        .route(face.device, post(device).options(preflight))
        .route(face.revoke, post(revoke).options(preflight))
        .route(face.logout, get(logout).post(logout_form));
    router = if std::ptr::eq(face, &PLAIN) {
        router.route("/.well-known/oauth-authorization-server", get(discovery).options(preflight))
    } else {
        router.route(face.base, get(realm_info).options(preflight))
    };
    router.with_state(here)
}

const OPEN: [(HeaderName, &str); 1] = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
pub(crate) const PRIVATE: [(HeaderName, &str); 3] = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];

async fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (http::header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE, OPTIONS"),
        (http::header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, x-requested-with, tenant, dpop"),
        (http::header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn discovery(State(here): State<Here>) -> Response {
    (OPEN, Json(here.face.discovery(&here.identity.public_url(), here.identity.mtls_url().as_deref()))).into_response()
}

async fn jwks(State(here): State<Here>) -> Response {
    (OPEN, [(CACHE_CONTROL, "public, max-age=300")], Json(here.identity.jwks())).into_response()
}

/// `GET …/realms/olt` (seed: "Get basic realm info").
async fn realm_info(State(here): State<Here>) -> Response {
    let base = format!("{}{}", here.identity.public_url(), here.face.base);
    let info = json!({
        "realm": here.face.realm.name(),
        "public_key": here.identity.realm_public_key(),
        "token-service": format!("{base}/protocol/openid-connect"),
        "tokens-not-before": 0,
    });
    (OPEN, Json(info)).into_response()
}

async fn authorize(State(here): State<Here>, OriginalUri(uri): OriginalUri, origin: Origin, headers: HeaderMap) -> Response {
    match forms::query(&uri) {
        Ok(params) => here.go_on(&params, None, &origin, &headers).await,
        Err(error) => pages::error(&error),
    }
}

/// A form: the request itself (the seed posts it), or the answer of the consent page.
async fn authorize_form(State(here): State<Here>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let params = match forms::body(payload) {
        Ok(params) => params,
        Err(error) => return pages::error(&error),
    };
    let Some(answer) = params.get("consent") else {
        // Signing in comes back by GET, so the request has to stand in the address.
        let kept = params.iter().filter(|(name, _)| *name != "consent" && *name != "consent_tenant");
        return SeeOther::to(&format!("{}?{}", here.face.authorize, encode(kept))).into_response();
    };
    if !pages::same_origin(&headers) {
        return pages::error(&OAuthError::invalid_request("this form was sent from another site"));
    }
    let decision = Decision { allow: answer == "allow", tenant: params.get("consent_tenant").and_then(|id| id.parse().ok()) };
    here.go_on(&params, Some(decision), &origin, &headers).await
}

impl Here {
    async fn go_on(&self, params: &Params, decision: Option<Decision>, origin: &Origin, headers: &HeaderMap) -> Response {
        let realm = &self.face.realm;
        let outcome = async {
            let request = self.identity.authorize_request(realm, params).await?;
            let login = pages::login_of(&self.identity, headers).await?;
            let outcome = self.identity.authorize(realm, &request, login.as_ref(), decision, &origin.into()).await?;
            Ok::<_, AuthorizeError>((request, outcome))
        };
        match outcome.await {
            Ok((_, Authorization::Answer(redirect))) => answer(&redirect),
            Ok((request, Authorization::LogIn)) => {
                // Signed in afresh, the same prompt would ask for ever.
                let prompt: Vec<&str> = params.get("prompt").unwrap_or_default().split(' ').filter(|p| *p != "login").collect();
                let prompt = prompt.join(" ");
                let kept = params.iter().filter(|(name, _)| !matches!(*name, "consent" | "consent_tenant" | "prompt"));
                let next =
                    format!("{}?{}", self.face.authorize, encode(kept.chain((!prompt.is_empty()).then_some(("prompt", prompt.as_str())))));
                let mut query = vec![("next", next.as_str())];
                query.extend(request.login_hint.as_deref().map(|hint| ("login_hint", hint)));
                query.extend(request.wants_factor().then_some(("factor", "1")));
                SeeOther::to(&format!("/console/login?{}", encode(query))).into_response()
            }
            Ok((_, Authorization::Consent(asked))) => pages::consent(self.face.authorize, params, &asked),
            Err(AuthorizeError::Redirect(redirect)) => answer(&redirect),
            Err(AuthorizeError::Show(error)) => pages::error(&error),
        }
    }
}

fn answer(redirect: &Redirect) -> Response {
    match redirect.mode {
        ResponseMode::FormPost => pages::form_post(redirect),
        _ => ([(CACHE_CONTROL, "no-store")], SeeOther::to(&redirect.location())).into_response(),
    }
}

fn tenant_header(headers: &HeaderMap) -> Result<Option<TenantId>, OAuthError> {
    if let Some(text) = edge::header(headers, "tenant").filter(|t| !t.is_empty()) {
        return text.parse().map(Some).map_err(|_| OAuthError::invalid_request("header tenant is not a UUID"));
    }
    // The platform's browser SDK puts the tenant here; others put "XMLHttpRequest".
    Ok(edge::header(headers, "x-requested-with").and_then(|text| text.parse().ok()))
}

async fn token(
    State(here): State<Here>,
    origin: Origin,
    shown: Presented,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    let request = TokenRequest { auth: shown.client(), params: &params, tenant: tenant_header(&headers)?, origin: &(&origin).into() };
    let response = here.identity.token(&here.face.realm, &request).await?;
    Ok((PRIVATE, Json(response)).into_response())
}

async fn userinfo(State(here): State<Here>, shown: Presented) -> Result<Response, Refusal> {
    let token = shown.token().ok_or_else(|| OAuthError::invalid_request("Token not provided"))?;
    let told = |error| Refusal::at_resource(error, &shown);
    let info = here.identity.user_info(&here.face.realm, token, &shown.shown()).await.map_err(told)?;
    Ok((PRIVATE, Json(info)).into_response())
}

async fn introspect(State(here): State<Here>, origin: Origin, shown: Presented, payload: Payload) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    let auth = shown.client();
    let found = here.identity.introspect(&here.face.realm, auth, &params, &(&origin).into()).await?;
    Ok((PRIVATE, Json(found)).into_response())
}

/// RFC 9126 2.2.
async fn push(State(here): State<Here>, origin: Origin, shown: Presented, payload: Payload) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    let pushed = here.identity.push_request(&here.face.realm, shown.client(), &params, &(&origin).into()).await?;
    Ok((StatusCode::CREATED, PRIVATE, Json(pushed)).into_response())
}

/// RFC 8628 3.2. The page is the same for every face.
async fn device(State(here): State<Here>, origin: Origin, shown: Presented, payload: Payload) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    let auth = shown.client();
    let made = here.identity.authorize_device(&here.face.realm, auth, &params, &(&origin).into()).await?;
    let page = format!("{}/console/device", here.identity.public_url());
    let answer = json!({
        "device_code": made.device_code,
        "user_code": made.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", made.user_code),
        "expires_in": made.expires_in,
        "interval": made.interval,
    });
    Ok((PRIVATE, Json(answer)).into_response())
}

async fn revoke(State(here): State<Here>, origin: Origin, shown: Presented, payload: Payload) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    let auth = shown.client();
    here.identity.revoke(&here.face.realm, auth, &params, &(&origin).into()).await?;
    Ok((PRIVATE, StatusCode::OK).into_response())
}

async fn logout(State(here): State<Here>, OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    match forms::query(&uri) {
        Ok(params) => here.log_out(&params, &headers).await,
        Err(error) => pages::error(&error),
    }
}

/// The same by form; with a refresh token it is Keycloak's, and answers 204.
async fn logout_form(
    State(here): State<Here>,
    origin: Origin,
    shown: Presented,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Response, Refusal> {
    let params = forms::body(payload)?;
    if params.get("refresh_token").is_none() {
        return Ok(here.log_out(&params, &headers).await);
    }
    let auth = shown.client();
    here.identity.end_session_of(&here.face.realm, auth, &params, &(&origin).into()).await?;
    Ok((PRIVATE, StatusCode::NO_CONTENT).into_response())
}

impl Here {
    /// OpenID Connect RP-Initiated Logout 1.0: ends the browser's session; goes on to a registered address only.
    async fn log_out(&self, params: &Params, headers: &HeaderMap) -> Response {
        let (client, hinted) = match (params.get("id_token_hint"), params.get("client_id")) {
            (Some(hint), named) => {
                let read = self.identity.read_id_token_hint(&self.face.realm, hint).await;
                read.filter(|(c, _)| named.is_none_or(|id| id == c.id)).unzip()
            }
            (None, Some(id)) => (self.identity.registered_client(id).await, None),
            (None, None) => (None, None),
        };
        let target = match (params.get("post_logout_redirect_uri"), &client) {
            (Some(uri), Some(client)) if client.redirect_uris.iter().any(|known| known == uri) => Some(uri),
            (Some(_), _) => {
                return pages::error(&OAuthError::invalid_request("post_logout_redirect_uri is not registered for this application"));
            }
            (None, _) => None,
        };
        let login: Option<Login> = pages::login_of(&self.identity, headers).await.ok().flatten();
        // Without a hint that tells of this very person anybody's link could sign a person out: ask.
        if login.as_ref().is_some_and(|login| hinted != Some(login.user)) {
            return pages::confirm_logout(client.as_ref().map(|c| c.id.as_str()), target, params.get("state"));
        }
        if let Some(login) = login
            && let Err(error) = self.identity.log_out(&login).await
        {
            return pages::error(&error.into());
        }
        pages::signed_out(target, params.get("state"))
    }
}
