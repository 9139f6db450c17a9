//! The authorization endpoint (RFC 6749 4.1, OpenID Connect Core 3.1.2, RFC 7636, RFC 9207, RFC 9700).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Client, Grant, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

use super::redirect::registered;
use super::{CODE_LIFETIME, Login, OAuthError, OAuthErrorCode as Code, Params, Realm, Redirect, ResponseMode};
use crate::{AuditEvent, Identity, Origin, secret};

/// A fresh sign-in stays fresh for this long, so that `max_age=0` does not ask for ever.
const FRESH: Duration = Duration::from_secs(5);

/// A request whose client and redirect URI are known to belong together.
#[derive(Clone, Debug)]
pub struct AuthorizeRequest {
    /// The client.
    pub client: Client,
    redirect_uri: String,
    mode: ResponseMode,
    scope: Vec<String>,
    state: Option<String>,
    nonce: Option<String>,
    challenge: Option<String>,
    prompt: Vec<String>,
    max_age: Option<u64>,
    wants_factor: bool,
    /// Whom the client expects to sign in.
    pub login_hint: Option<String>,
    issuer: String,
    dpop_jkt: Option<String>,
    resources: Vec<String>,
    /// It was pushed: under this name, then.
    pushed: Option<PushedAs>,
}

/// How a pushed request is known (RFC 9126).
#[derive(Clone, Debug)]
pub(super) struct PushedAs {
    pub(super) hash: [u8; 32],
    pub(super) at: Timestamp,
}

/// What comes of an authorization request.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// The user has to sign in first.
    LogIn,
    /// The user has to be asked.
    Consent(Box<ConsentAsked>),
    /// Send the browser there.
    Answer(Redirect),
}

/// What the user is asked.
#[derive(Clone, Debug)]
pub struct ConsentAsked {
    /// By whom.
    pub client: Client,
    /// For what.
    pub scope: Vec<String>,
    /// In which tenant: those of the user where the client may be used.
    pub tenants: Vec<(TenantId, String)>,
    /// Who is asked (e-mail).
    pub email: String,
}

/// What the user said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes?
    pub allow: bool,
    /// In which tenant; the only one, when absent.
    pub tenant: Option<TenantId>,
}

/// What is wrong with a request, and who may be told.
#[derive(Clone, Debug)]
pub enum AuthorizeError {
    /// Show it to the user: the client or the redirect URI can't be trusted.
    Show(OAuthError),
    /// Tell the client.
    Redirect(Redirect),
}

impl From<model::Error> for AuthorizeError {
    fn from(error: model::Error) -> Self {
        Self::Show(error.into())
    }
}

impl From<store::Error> for AuthorizeError {
    fn from(error: store::Error) -> Self {
        Self::Show(error.into())
    }
}

/// What a code remembers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CodeRequest {
    pub(super) realm: String,
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) user: UserId,
    pub(super) tenant: TenantId,
    pub(super) login: Uuid,
    pub(super) auth_time: Timestamp,
    #[serde(default = "by_password")]
    pub(super) methods: String,
    /// The key it is to be redeemed with (RFC 9449 10).
    #[serde(default)]
    pub(super) dpop_jkt: Option<String>,
    /// What its tokens are for, space-delimited (RFC 8707).
    #[serde(default)]
    pub(super) resources: String,
}

/// What a code of an older version was got by.
pub(super) fn by_password() -> String {
    "pwd".to_owned()
}

impl AuthorizeRequest {
    /// Does the client ask for a second factor (`acr_values`)?
    #[must_use]
    pub fn wants_factor(&self) -> bool {
        self.wants_factor
    }

    fn refuse(&self, error: &OAuthError) -> AuthorizeError {
        AuthorizeError::Redirect(Redirect::error(&self.redirect_uri, self.mode, error, self.state.as_deref(), self.issuer.clone()))
    }

    fn prompts(&self, what: &str) -> bool {
        self.prompt.iter().any(|p| p == what)
    }
}

impl Identity {
    /// Judges an authorization request. Until client and redirect URI are known to belong together, errors are shown, never sent anywhere.
    /// One that was pushed is looked up by its `request_uri`; nothing else in the address counts then but `client_id` (RFC 9126 4).
    pub async fn authorize_request(&self, realm: &Realm, params: &Params) -> Result<AuthorizeRequest, AuthorizeError> {
        match params.get("request_uri") {
            Some(uri) => {
                let (pushed, found) = self.pushed_request(realm, uri, params.get("client_id")).await.map_err(AuthorizeError::Show)?;
                self.judged(realm, &found, Some(pushed)).await
            }
            None => self.judged(realm, params, None).await,
        }
    }

    /// The same for parameters at hand, whichever way they came.
    pub(super) async fn judged(
        &self,
        realm: &Realm,
        params: &Params,
        pushed: Option<PushedAs>,
    ) -> Result<AuthorizeRequest, AuthorizeError> {
        let show = |description: &str| AuthorizeError::Show(OAuthError::invalid_request(description));
        let client_id = params.get("client_id").ok_or_else(|| show("the application did not say who it is: client_id is missing"))?;
        let record = self.inner.directory.client(client_id).await?;
        let client = record
            .ok_or_else(|| AuthorizeError::Show(OAuthError::new(Code::InvalidClient, "no application of that client_id is registered")))?;
        let client = client.client.clone();
        let redirect_uri = match (params.get("redirect_uri"), client.redirect_uris.as_slice()) {
            (Some(uri), known) if registered(known, uri) => uri.to_owned(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(show("redirect_uri is missing")),
            (Some(_), _) => return Err(show("redirect_uri is not registered for this application")),
        };
        let mut request = AuthorizeRequest {
            client,
            redirect_uri,
            mode: ResponseMode::Query,
            scope: Vec::new(),
            state: params.get("state").map(str::to_owned),
            nonce: params.get("nonce").map(str::to_owned),
            challenge: None,
            prompt: params.get("prompt").unwrap_or_default().split(' ').filter(|p| !p.is_empty()).map(str::to_owned).collect(),
            max_age: None,
            // The first value known here is the one preferred (OpenID Connect Core 3.1.2.1).
            wants_factor: params.get("acr_values").unwrap_or_default().split(' ').find(|v| super::ACR_VALUES.contains(v))
                == Some(super::ACR_FACTOR),
            login_hint: params.get("login_hint").map(str::to_owned),
            issuer: realm.issuer(&self.public_url()),
            dpop_jkt: params.get("dpop_jkt").map(str::to_owned),
            resources: Vec::new(),
            pushed,
        };
        if let Err(error) = self.judge(&mut request, params) {
            return Err(request.refuse(&error));
        }
        Ok(request)
    }

    fn judge(&self, request: &mut AuthorizeRequest, params: &Params) -> Result<(), OAuthError> {
        if let Some(mode) = params.get("response_mode") {
            request.mode = ResponseMode::parse(mode)
                .ok_or_else(|| OAuthError::invalid_request("response_mode is not one of query, fragment, form_post"))?;
        }
        if params.get("request").is_some() || params.get("request_uri").is_some() {
            return Err(OAuthError::new(Code::RequestNotSupported, "request objects are not supported"));
        }
        if request.client.security.require_pushed_requests && request.pushed.is_none() {
            return Err(OAuthError::invalid_request("this application has to push its authorization requests"));
        }
        if request.dpop_jkt.as_ref().is_some_and(|jkt| jkt.len() != 43 || !jkt.bytes().all(is_base64url)) {
            return Err(OAuthError::invalid_request("dpop_jkt is not a base64url SHA-256 thumbprint"));
        }
        request.resources = self.asked_resources(&request.client, params)?;
        match params.get("response_type") {
            Some("code") => {}
            Some(_) => return Err(OAuthError::new(Code::UnsupportedResponseType, "only response_type=code is supported")),
            None => return Err(OAuthError::invalid_request("response_type is missing")),
        }
        if !request.client.grants.contains(&Grant::AuthorizationCode) {
            return Err(OAuthError::new(Code::UnauthorizedClient, "this application may not use the authorization code grant"));
        }
        request.scope = granted_scope(&request.client, params.get("scope"))?;
        request.challenge = match (params.get("code_challenge"), params.get("code_challenge_method")) {
            (Some(challenge), Some("S256")) if challenge.len() == 43 && challenge.bytes().all(is_base64url) => Some(challenge.to_owned()),
            (Some(_), Some("S256")) => return Err(OAuthError::invalid_request("code_challenge is not a base64url SHA-256 value")),
            (Some(_), _) => return Err(OAuthError::invalid_request("code_challenge_method must be S256")),
            (None, Some(_)) => return Err(OAuthError::invalid_request("code_challenge is missing")),
            (None, None) if request.client.public => {
                return Err(OAuthError::invalid_request("a public client must send code_challenge with code_challenge_method=S256"));
            }
            (None, None) => None,
        };
        if let Some(unknown) = request.prompt.iter().find(|p| !["none", "login", "consent", "select_account"].contains(&p.as_str())) {
            let shown: String = unknown.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
            return Err(OAuthError::invalid_request(format!("prompt value {shown} is unknown")));
        }
        if request.prompts("none") && request.prompt.len() > 1 {
            return Err(OAuthError::invalid_request("prompt=none stands alone"));
        }
        if let Some(max_age) = params.get("max_age") {
            request.max_age = Some(max_age.parse().map_err(|_| OAuthError::invalid_request("max_age is not a number of seconds"))?);
        }
        Ok(())
    }

    /// Goes on with a request: who is signed in, what the user said, if asked.
    pub async fn authorize(
        &self,
        realm: &Realm,
        request: &AuthorizeRequest,
        login: Option<&Login>,
        decision: Option<Decision>,
        origin: &Origin,
    ) -> Result<Authorization, AuthorizeError> {
        let silent = request.prompts("none");
        let refuse = |code: Code, why: &str| Err(request.refuse(&OAuthError::new(code, why)));
        let now = self.clock().now();
        let fresh = |login: &&Login| match request.max_age {
            Some(max_age) => now.duration_since(login.auth_time).unsigned_abs() <= Duration::from_secs(max_age).max(FRESH),
            None => true,
        };
        let enough = |login: &&Login| login.second_factor() || !request.wants_factor;
        // Whoever signed in after the request was pushed did so for it.
        let asked_again =
            |login: &&Login| !request.prompts("login") || request.pushed.as_ref().is_some_and(|pushed| login.auth_time >= pushed.at);
        let Some(login) = login.filter(fresh).filter(enough).filter(asked_again) else {
            return if silent { refuse(Code::LoginRequired, "the user has to sign in") } else { Ok(Authorization::LogIn) };
        };
        let Some(standing) = self.inner.directory.user(login.user).await? else { return Ok(Authorization::LogIn) };
        let tenants = self.tenants_for(&request.client, &standing.memberships).await?;
        let [first, others @ ..] = tenants.as_slice() else {
            return refuse(Code::AccessDenied, "the user is no member of a tenant in which this application is installed");
        };
        let scope = request.scope.join(" ");
        let client = &request.client;
        let decision = match decision {
            Some(decision) => decision,
            None => {
                let remembered = self.inner.db.read().await?.consent(login.user, &client.id).await?;
                let covered = remembered.is_some_and(|known| covers(&known, &request.scope));
                if !covered || !others.is_empty() || request.prompts("consent") || request.prompts("select_account") {
                    if silent {
                        return refuse(Code::ConsentRequired, "the user has to be asked");
                    }
                    let email = standing.record.user.email.clone();
                    return Ok(Authorization::Consent(Box::new(ConsentAsked {
                        client: client.clone(),
                        scope: request.scope.clone(),
                        tenants,
                        email,
                    })));
                }
                Decision { allow: true, tenant: Some(first.0) }
            }
        };
        let tenant = match decision.tenant {
            Some(chosen) if tenants.iter().any(|(id, _)| *id == chosen) => chosen,
            None if others.is_empty() => first.0,
            _ => return refuse(Code::InvalidRequest, "the tenant chosen is not one of the user's"),
        };
        let audit = AuditEvent {
            tenant: Some(tenant),
            actor: format!("user:{}", login.user),
            action: "oauth.authorized",
            target: Some(format!("client:{}", client.id)),
            allowed: decision.allow,
            detail: Some(scope.clone()),
            address: origin.address,
        };
        self.record(audit);
        if let Some(pushed) = &request.pushed {
            // Answered, one way or the other: it counts once (RFC 9126 7.3).
            let mut tx = self.inner.db.begin().await?;
            let first = tx.delete_pushed_request(&pushed.hash).await?;
            tx.commit().await?;
            if !first {
                return Err(AuthorizeError::Show(OAuthError::new(Code::InvalidRequestUri, "this request was answered already")));
            }
        }
        if !decision.allow {
            return refuse(Code::AccessDenied, "the user said no");
        }
        let code = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        let session: SessionId = SessionId(Uuid::new_v4());
        let remembered = CodeRequest {
            realm: realm.name().to_owned(),
            client: client.id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            scope: scope.clone(),
            nonce: request.nonce.clone(),
            challenge: request.challenge.clone(),
            user: login.user,
            tenant,
            login: login.id,
            auth_time: login.auth_time,
            methods: login.methods.clone(),
            dpop_jkt: request.dpop_jkt.clone(),
            resources: request.resources.join(" "),
        };
        let json = serde_json::to_string(&remembered).map_err(model::Error::internal)?;
        let mut tx = self.inner.db.begin().await?;
        let known = tx.consent(login.user, &client.id).await?;
        if !known.as_deref().is_some_and(|known| covers(known, &request.scope)) {
            let mut all: Vec<_> = known.iter().flat_map(|k| k.split(' ')).chain(request.scope.iter().map(String::as_str)).collect();
            all.sort_unstable();
            all.dedup();
            tx.set_consent(login.user, &client.id, &all.join(" "), now).await?;
        }
        tx.insert_code(&secret::sha256(code.as_bytes()), session, &json, now + CODE_LIFETIME).await?;
        tx.commit().await?;
        let mut params = vec![("code", code), ("session_state", session.to_string())];
        params.extend(request.state.as_ref().map(|state| ("state", state.clone())));
        params.push(("iss", request.issuer.clone()));
        Ok(Authorization::Answer(Redirect { uri: request.redirect_uri.clone(), mode: request.mode, params }))
    }

    /// The user's tenants in which a client may be used.
    pub(super) async fn tenants_for(
        &self,
        client: &Client,
        memberships: &[model::Membership],
    ) -> Result<Vec<(TenantId, String)>, model::Error> {
        let mut found = Vec::new();
        for membership in memberships {
            if self.reaches(client, membership.tenant).await?
                && let Some(tenant) = self.inner.db.read().await?.tenant(membership.tenant).await?
            {
                found.push((tenant.id, tenant.name));
            }
        }
        Ok(found)
    }
}

/// The scope a client gets: what it asks for and has registered, in its order; nothing asked is all it has registered.
pub(super) fn granted_scope(client: &Client, asked: Option<&str>) -> Result<Vec<String>, OAuthError> {
    let Some(asked) = asked else { return Ok(client.scopes.clone()) };
    if !asked.bytes().all(|b| b == b' ' || b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b)) {
        return Err(OAuthError::new(Code::InvalidScope, "scope holds characters that RFC 6749 3.3 does not allow"));
    }
    let mut granted: Vec<String> = Vec::new();
    for scope in asked.split(' ').filter(|s| !s.is_empty()) {
        if client.scopes.iter().any(|known| known == scope) && !granted.iter().any(|g| g == scope) {
            granted.push(scope.to_owned());
        }
    }
    if granted.is_empty() {
        return Err(OAuthError::new(Code::InvalidScope, "none of the scopes asked for is registered for this client"));
    }
    Ok(granted)
}

fn covers(known: &str, scope: &[String]) -> bool {
    scope.iter().all(|asked| known.split(' ').any(|k| k == asked))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}
