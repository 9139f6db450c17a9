//! Tokens for tokens: token exchange (RFC 8693), and the grant `id_token` that the Lightelligence seed lists.
//!
//! Only tokens of this provider count, only within the client's tenant, only for a confidential client that may use the grant.
//! What comes out speaks for the same subject, may do no more and lasts no longer than what went in, ends with the same session,
//! and has no refresh token.

use jiff::Timestamp;
use model::{Caller, Permissions, Principal, SessionId, UserId};
use serde_json::{Map, Value, json};

use super::authorize::granted_scope;
use super::claims::{access_claims, claim_of};
use super::client_auth::KnownClient;
use super::token::{bounded, names_permissions};
use super::{Cnf, OAuthError, OAuthErrorCode as Code, Realm, TokenRequest, TokenResponse};
use crate::tokens::{Examined, Mint};
use crate::{AuditEvent, Identity};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Actors one behind the other.
const ACTORS_MAX: usize = 4;

/// What was handed in.
struct Subject {
    caller: Caller,
    scope: Vec<String>,
    session: Option<SessionId>,
    expires: Timestamp,
    /// Who acts for the subject already (RFC 8693 4.1).
    act: Option<Value>,
    user: Option<model::User>,
}

fn unfit(why: &str) -> OAuthError {
    // RFC 8693 2.2.2.
    OAuthError::invalid_request(why)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn depth(act: &Value) -> usize {
    act.get("act").map_or(1, |inner| 1 + depth(inner))
}

impl Identity {
    /// RFC 8693 2.1.
    pub(super) async fn exchange(
        &self,
        realm: &Realm,
        known: &KnownClient,
        request: &TokenRequest<'_>,
    ) -> Result<TokenResponse, OAuthError> {
        let params = request.params;
        if params.get("requested_token_type").is_some_and(|asked| asked != ACCESS_TOKEN && asked != JWT) {
            return Err(unfit("only access tokens are issued: requested_token_type"));
        }
        let token = params.need("subject_token")?;
        let subject = match params.need("subject_token_type")? {
            ACCESS_TOKEN | JWT => self.subject_of_access_token(realm, known, token).await?,
            ID_TOKEN => self.subject_of_id_token(realm, known, token, false).await?,
            _ => return Err(unfit("subject_token_type is neither access_token nor id_token")),
        };
        let actor = match (params.get("actor_token"), params.get("actor_token_type")) {
            (None, None) => None,
            (Some(token), Some(ACCESS_TOKEN | JWT)) => Some(self.subject_of_access_token(realm, known, token).await?),
            (Some(token), Some(ID_TOKEN)) => Some(self.subject_of_id_token(realm, known, token, false).await?),
            (Some(_), None) => return Err(unfit("actor_token_type is missing")),
            (None, Some(_)) => return Err(unfit("actor_token is missing")),
            (Some(_), Some(_)) => return Err(unfit("actor_token_type is neither access_token nor id_token")),
        };
        let act = match (actor, &subject.act) {
            (None, before) => before.clone(),
            (Some(actor), before) => {
                let mut act = json!({"sub": subject_name(&actor.caller.principal)});
                if let (Some(members), Some(before)) = (act.as_object_mut(), before) {
                    members.insert("act".to_owned(), before.clone());
                }
                Some(act)
            }
        };
        if act.as_ref().is_some_and(|act| depth(act) > ACTORS_MAX) {
            return Err(unfit("too many actors one behind the other"));
        }
        let asked: Vec<&str> = params.all("resource").chain(params.all("audience")).collect();
        let resources = self.audience(self.known_resources(&known.client, asked)?)?;
        self.answer_exchange(realm, known, request, subject, act, &resources).await
    }

    /// The grant `id_token`: an id token made for this very client, given as `id_token` or `assertion`, for an access token.
    pub(super) async fn redeem_id_token(
        &self,
        realm: &Realm,
        known: &KnownClient,
        request: &TokenRequest<'_>,
    ) -> Result<TokenResponse, OAuthError> {
        let token = match (request.params.get("id_token"), request.params.get("assertion")) {
            (Some(token), None) | (None, Some(token)) => token,
            (Some(_), Some(_)) => return Err(unfit("give id_token or assertion, not both")),
            (None, None) => return Err(unfit("Missing form parameter: id_token")),
        };
        let subject = self.subject_of_id_token(realm, known, token, true).await;
        let subject = subject.map_err(|error| match error.code {
            Code::InvalidRequest => OAuthError::invalid_grant(error.description),
            _ => error,
        })?;
        let resources = self.audience(self.asked_resources(&known.client, request.params)?)?;
        let answer = self.answer_exchange(realm, known, request, subject, None, &resources).await?;
        Ok(TokenResponse { issued_token_type: None, ..answer })
    }

    async fn subject_of_access_token(&self, realm: &Realm, known: &KnownClient, token: &str) -> Result<Subject, OAuthError> {
        let told = |error: model::Error| match error {
            model::Error::Unauthenticated { .. } => unfit("a token is not valid, or not of this provider"),
            other => other.into(),
        };
        let Examined { caller, cnf, session, expires } = self.examine(token, &realm.profile).await.map_err(told)?;
        // Whoever steals a bound token must not get it unbound here.
        if cnf.is_some() && cnf != known.cnf {
            return Err(unfit("a token is bound to a key that this request does not show"));
        }
        if caller.tenant != known.client.tenant {
            return Err(unfit("a token is not valid, or not of this provider"));
        }
        let scope = claim_of(token, "scope").and_then(|s| s.as_str().map(words)).unwrap_or_default();
        let user = match caller.user() {
            Some(id) => self.inner.directory.user(id).await?.map(|standing| standing.record.user.clone()),
            None => None,
        };
        Ok(Subject { caller, scope, session, expires, act: claim_of(token, "act"), user })
    }

    /// An id token counts while it lasts, its session has not ended, and its user is still a member. Its scope is its session's.
    async fn subject_of_id_token(&self, realm: &Realm, known: &KnownClient, token: &str, own: bool) -> Result<Subject, OAuthError> {
        let wrong = || unfit("the id token is not valid, or not of this provider");
        let told = |error: model::Error| match error {
            model::Error::Unauthenticated { .. } => wrong(),
            other => other.into(),
        };
        let claims = self.read_id_token(token, &realm.issuer(&self.public_url())).await.map_err(told)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let exp = claims.get("exp").and_then(Value::as_i64).ok_or_else(wrong)?;
        self.check_times(exp, None, 0).map_err(told)?;
        let audience = text("aud").ok_or_else(wrong)?;
        if own && audience != known.client.id {
            return Err(unfit("the id token was made for another client"));
        }
        let made_for = self.inner.directory.client(audience).await?.ok_or_else(wrong)?;
        let user: UserId = text("sub").and_then(|sub| sub.parse().ok()).ok_or_else(wrong)?;
        let id: SessionId = text("sid").and_then(|sid| sid.parse().ok()).ok_or_else(wrong)?;
        let session = self.inner.db.read().await?.oauth_session(id).await?.filter(|s| s.user == user).ok_or_else(wrong)?;
        let tenant = known.client.tenant;
        if session.tenant != tenant || made_for.client.tenant != tenant || session.realm != realm.name() {
            return Err(wrong());
        }
        let standing = self.inner.directory.user(user).await?.ok_or_else(wrong)?;
        let Some(permissions) = Self::session_permissions(&session, &standing) else { return Err(wrong()) };
        let through = self.through_client(&session.client, tenant, permissions).await?;
        let Some(permissions) = through else { return Err(wrong()) };
        let scope = words(&session.scope);
        let caller = Caller {
            tenant,
            principal: Principal::User(user),
            permissions: bounded(permissions, &scope, realm.keycloak),
            request: model::RequestId(uuid::Uuid::nil()),
            address: None,
        };
        let expires = Timestamp::from_second(exp).map_err(|_| wrong())?;
        Ok(Subject { caller, scope, session: Some(session.id), expires, act: None, user: Some(standing.record.user.clone()) })
    }

    async fn answer_exchange(
        &self,
        realm: &Realm,
        known: &KnownClient,
        request: &TokenRequest<'_>,
        subject: Subject,
        act: Option<Value>,
        resources: &[String],
    ) -> Result<TokenResponse, OAuthError> {
        if known.signed_in.is_none() {
            return Err(OAuthError::new(Code::UnauthorizedClient, "a public client has nothing to prove itself with"));
        }
        if request.tenant.is_some_and(|asked| asked != subject.caller.tenant) {
            return Err(OAuthError::invalid_grant("the token speaks for another tenant"));
        }
        let had = |scope: &String| subject.scope.contains(scope);
        let scope = match request.params.get("scope") {
            Some(_) => {
                let asked = granted_scope(&known.client, request.params.get("scope"))?;
                if !asked.iter().all(had) {
                    return Err(OAuthError::new(Code::InvalidScope, "an exchanged token can't have more scope than the one handed in"));
                }
                asked
            }
            None => known.client.scopes.iter().filter(|scope| had(scope)).cloned().collect(),
        };
        let permissions = exchanged(&subject, &scope, realm.keycloak, names_permissions(&known.client.scopes));
        let caller = Caller { permissions, request: request.origin.request, address: request.origin.address, ..subject.caller };
        let mut claims: Map<String, Value> = access_claims(realm, &known.client, subject.user.as_ref(), None, &scope);
        if let Some(session) = subject.session {
            claims.insert("sid".to_owned(), json!(session));
        }
        if let Some(act) = act {
            claims.insert("act".to_owned(), act);
        }
        let plain = Mint::plain(&caller, &realm.profile);
        let mint = Mint { session: subject.session, cnf: known.cnf.as_ref(), resources, until: Some(subject.expires), ..plain };
        let minted = self.mint(&mint, |_, _, _| claims).await?;
        self.record(AuditEvent::done(&caller, "token.exchanged", None).detail(format_args!(
            "{} for client:{}",
            realm.name(),
            known.client.id
        )));
        Ok(TokenResponse {
            access_token: minted.token,
            token_type: Cnf::token_type(known.cnf.as_ref()),
            issued_token_type: Some(ACCESS_TOKEN),
            expires_in: minted.expires.as_second() - minted.issued.as_second(),
            expires_at: minted.expires,
            refresh_token: None,
            refresh_expires_in: None,
            id_token: None,
            scope: scope.join(" "),
            session_state: None,
            not_before_policy: realm.keycloak.then_some(0),
        })
    }
}

fn subject_name(principal: &Principal) -> String {
    match principal {
        Principal::User(id) => id.to_string(),
        Principal::Client(id) => id.clone(),
        Principal::Thing(id) => id.to_string(),
        Principal::Operator => "operator".to_owned(),
    }
}

/// What is left of the subject's permissions: what the scope names. Where a scope that names none means all (Keycloak), a client
/// that is bound to named permissions still gets none it did not name.
fn exchanged(subject: &Subject, scope: &[String], keycloak: bool, client_is_bound: bool) -> Permissions {
    bounded(subject.caller.permissions, scope, keycloak && !client_is_bound)
}
