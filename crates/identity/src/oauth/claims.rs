//! What tokens and userinfo say (RFC 9068, OpenID Connect Core 2 and 5, contracts/lightelligence.md 2.2), and what others may ask about a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Client, TenantId, User, UserId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::OAuthSession;

use super::token::seconds;
use super::{ClientAuth, Cnf, ID_TOKEN_LIFETIME, OAuthError, OAuthErrorCode as Code, Params, Realm, Shown};
use crate::tokens::Examined;
use crate::{Algorithm, Identity, Origin, TokenRef, secret};

/// What userinfo answers (seed Lightelligence; `email_verified` beside `emailVerified` for clients of the standard).
#[derive(Clone, Debug, Serialize)]
pub struct UserInfo {
    /// The user's id.
    pub sub: UserId,
    /// Was the address proved? With scope `email`.
    #[serde(rename = "emailVerified", skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// The same, as OpenID Connect spells it.
    #[serde(rename = "email_verified", skip_serializing_if = "Option::is_none")]
    pub email_verified_standard: Option<bool>,
    /// First and last name. With scope `profile`, as the following.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// User name, or the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// The tenant the token speaks for.
    pub tenant: TenantId,
    /// The address. With scope `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Does the user sign in with a second factor?
    #[serde(rename = "twoFactorAuthEnabled")]
    pub two_factor: bool,
}

/// What introspection answers (RFC 7662 2.2).
#[derive(Clone, Debug, Default, Serialize)]
pub struct Introspection {
    /// Is it good?
    pub active: bool,
    /// What it says, if it is.
    #[serde(flatten)]
    pub claims: Map<String, Value>,
}

/// Claims of an access token beside those every token has.
pub(super) fn access_claims(
    realm: &Realm,
    client: &Client,
    user: Option<&User>,
    session: Option<&OAuthSession>,
    scope: &[String],
) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("client_id", json!(client.id));
    put("azp", json!(client.id));
    put("scope", json!(scope.join(" ")));
    put("tenant", json!(session.map_or(client.tenant, |s| s.tenant)));
    if let Some(session) = session {
        put("auth_time", json!(session.auth_time.as_second()));
        put("sid", json!(session.id));
        put("acr", json!(super::acr(&session.methods)));
        put("amr", json!(session.methods.split(' ').collect::<Vec<_>>()));
    }
    if realm.keycloak {
        put("typ", json!("Bearer"));
        put("aud", json!(client.id));
        put("nbf", json!(0));
        if session.is_none() {
            put("acr", json!(super::ACR_PASSWORD));
        }
        put("allowed-origins", json!(["*"]));
        put("resource_access", json!({}));
        match session {
            Some(session) => put("session_state", json!(session.id)),
            None => put("clientId", json!(client.id)),
        };
    }
    if let Some(user) = user.filter(|_| realm.keycloak) {
        user_claims(&mut claims, user, scope);
    }
    claims
}

fn has(scope: &[String], name: &str) -> bool {
    scope.iter().any(|s| s == name)
}

fn full_name(user: &User) -> Option<String> {
    let parts: Vec<_> = user.given_name.iter().chain(&user.family_name).map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The user's own claims, by scope (OpenID Connect Core 5.4).
fn user_claims(claims: &mut Map<String, Value>, user: &User, scope: &[String]) {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    if has(scope, "email") {
        put("email", Some(json!(user.email)));
        put("email_verified", Some(json!(user.verified)));
    }
    if has(scope, "profile") {
        put("name", full_name(user).map(Value::String));
        put("given_name", user.given_name.clone().map(Value::String));
        put("family_name", user.family_name.clone().map(Value::String));
        put("preferred_username", Some(json!(user.username.as_ref().unwrap_or(&user.email))));
    }
}

/// Claims of an id token; `at_hash` binds it to its access token (OpenID Connect Core 3.1.3.6).
pub(super) fn id_token_claims(
    identity: &Identity,
    realm: &Realm,
    client: &Client,
    user: &User,
    session: &OAuthSession,
    scope: &[String],
    access_token: &str,
) -> Map<String, Value> {
    let now = identity.clock().now().as_second();
    let mut claims = Map::new();
    user_claims(&mut claims, user, scope);
    let digest = secret::sha256(access_token.as_bytes());
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(realm.issuer(&identity.public_url())));
    put("sub", json!(user.id));
    put("aud", json!(client.id));
    put("azp", json!(client.id));
    put("iat", json!(now));
    put("exp", json!(now + seconds(ID_TOKEN_LIFETIME)));
    put("auth_time", json!(session.auth_time.as_second()));
    put("acr", json!(super::acr(&session.methods)));
    put("amr", json!(session.methods.split(' ').collect::<Vec<_>>()));
    put("sid", json!(session.id));
    put("tenant", json!(session.tenant));
    put("at_hash", json!(URL_SAFE_NO_PAD.encode(digest.split_at(16).0)));
    if let Some(nonce) = &session.nonce {
        put("nonce", json!(nonce));
    }
    if realm.keycloak {
        put("typ", json!("ID"));
        put("session_state", json!(session.id));
    }
    claims
}

impl Identity {
    /// Signs an id token: RS256, which every client can check (OpenID Connect Core 15.1).
    pub(super) async fn sign_id_token(&self, realm: &Realm, claims: &Map<String, Value>) -> Result<String, OAuthError> {
        let key = self.signing_key(Algorithm::Rs256, realm.name(), ID_TOKEN_LIFETIME).await?;
        Ok(crate::tokens::compact(&key, Some("JWT"), claims)?)
    }

    /// Who the bearer of an access token is (OpenID Connect Core 5.3).
    pub async fn user_info(&self, realm: &Realm, token: &str, shown: &Shown<'_>) -> Result<UserInfo, OAuthError> {
        let invalid = |why: &str| OAuthError::new(Code::InvalidToken, why);
        let caller = self.verify_shown(token, &realm.profile, shown).await?;
        let user = caller.user().ok_or_else(|| invalid("this token speaks for an application, not for a user"))?;
        let standing = self.inner.directory.user(user).await?.ok_or_else(|| invalid("the user is gone"))?;
        let scope: Vec<String> =
            claim_of(token, "scope").and_then(|s| s.as_str().map(|s| s.split(' ').map(str::to_owned).collect())).unwrap_or_default();
        if !has(&scope, "openid") {
            return Err(OAuthError::new(Code::InsufficientScope, "the token lacks the scope openid"));
        }
        let user = &standing.record.user;
        let (email, profile) = (has(&scope, "email"), has(&scope, "profile"));
        Ok(UserInfo {
            sub: user.id,
            email_verified: email.then_some(user.verified),
            email_verified_standard: email.then_some(user.verified),
            name: full_name(user).filter(|_| profile),
            preferred_username: profile.then(|| user.username.clone().unwrap_or_else(|| user.email.clone())),
            given_name: user.given_name.clone().filter(|_| profile),
            family_name: user.family_name.clone().filter(|_| profile),
            tenant: caller.tenant,
            email: email.then(|| user.email.clone()),
            two_factor: standing.factor.enrolled,
        })
    }

    /// Is a token good, and what does it say? Only a client that proves itself may ask, about tokens of its own tenant (RFC 7662).
    pub async fn introspect(
        &self,
        realm: &Realm,
        auth: ClientAuth<'_>,
        params: &Params,
        origin: &Origin,
    ) -> Result<Introspection, OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        if known.client.public {
            return Err(OAuthError::new(Code::InvalidClient, "a public client can't introspect"));
        }
        let token = params.need("token")?;
        let mut found = Introspection::default();
        if let Ok(Examined { caller, cnf, .. }) = self.examine(token, &realm.profile).await {
            // A resource of the tenant asks, or whoever it was issued to.
            let own = claim_of(token, "azp").is_some_and(|azp| azp == known.client.id.as_str());
            if (own || (caller.tenant == known.client.tenant && self.application_of(&known.client.id).await?.is_none()))
                && let Some(Value::Object(mut claims)) = payload_of(token)
            {
                claims.remove("heliograph");
                claims.insert("token_type".to_owned(), json!(Cnf::token_type(cnf.as_ref())));
                if let Some(user) = caller.user()
                    && let Some(standing) = self.inner.directory.user(user).await?
                {
                    claims.insert("username".to_owned(), json!(standing.record.user.email));
                }
                found = Introspection { active: true, claims };
            }
            return Ok(found);
        }
        let mut tx = self.inner.db.read().await?;
        if let Some(record) = tx.refresh(&secret::sha256(super::shape::secret_of(token).as_bytes())).await?
            && record.spent.is_none()
            && record.expires > self.clock().now()
            && let Some(session) = tx.oauth_session(record.session).await?
            && session.client == known.client.id
            && session.realm == realm.name()
        {
            let claims = json!({
                "client_id": session.client, "scope": session.scope, "sub": session.user, "tenant": session.tenant,
                "exp": record.expires.as_second(), "iat": record.created.as_second(), "token_type": "refresh_token",
            });
            if let Value::Object(claims) = claims {
                found = Introspection { active: true, claims };
            }
        }
        Ok(found)
    }

    /// Ends a token (RFC 7009): a refresh token with its whole session, an access token by its id. An unknown token is no error.
    pub async fn revoke(&self, realm: &Realm, auth: ClientAuth<'_>, params: &Params, origin: &Origin) -> Result<(), OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        let token = params.need("token")?;
        let mut tx = self.inner.db.begin().await?;
        if let Some(record) = tx.refresh(&secret::sha256(super::shape::secret_of(token).as_bytes())).await? {
            if let Some(session) = tx.oauth_session(record.session).await?
                && session.client == known.client.id
            {
                tx.delete_oauth_session(session.id).await?;
                tx.commit().await?;
                self.inner.directory.changed();
            }
            return Ok(());
        }
        drop(tx);
        // Its own client may end an access token, whoever it speaks for; nobody else's (RFC 7009 2.1).
        if claim_of(token, "client_id").and_then(|id| id.as_str().map(str::to_owned)).as_deref() == Some(known.client.id.as_str())
            && let Ok(found) = self.examine(token, &realm.profile).await
        {
            self.revoke_token(&found.caller, TokenRef::Text(token)).await?;
        }
        Ok(())
    }

    /// Ends the session of a refresh token (Keycloak's logout form).
    pub async fn end_session_of(&self, realm: &Realm, auth: ClientAuth<'_>, params: &Params, origin: &Origin) -> Result<(), OAuthError> {
        let known = self.oauth_client(realm, auth, params, origin).await?;
        let hash = secret::sha256(super::shape::secret_of(params.need("refresh_token")?).as_bytes());
        let mut tx = self.inner.db.begin().await?;
        let session = match tx.refresh(&hash).await? {
            Some(record) => tx.oauth_session(record.session).await?,
            None => None,
        };
        let session = session
            .filter(|s| s.client == known.client.id && s.realm == realm.name())
            .ok_or_else(|| OAuthError::invalid_grant("Invalid refresh token"))?;
        if let Some(login) = session.login {
            tx.delete_login_session(session.user, login).await?;
        }
        tx.delete_oauth_session(session.id).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(())
    }

    /// The client an id token was made for (`id_token_hint`) and whom it tells of, expired or not; its signature and issuer must be
    /// ours.
    pub async fn read_id_token_hint(&self, realm: &Realm, token: &str) -> Option<(Client, UserId)> {
        let claims = self.read_id_token(token, &realm.issuer(&self.public_url())).await.ok()?;
        let id = claims.get("aud")?.as_str()?.to_owned();
        let user = claims.get("sub")?.as_str()?.parse().ok()?;
        Some((self.inner.directory.client(&id).await.ok()??.client.clone(), user))
    }

    /// A registered client, for a logout that names it.
    pub async fn registered_client(&self, id: &str) -> Option<Client> {
        Some(self.inner.directory.client(id).await.ok()??.client.clone())
    }

    /// Removes what expired more than an hour ago; until then a code used again is still known.
    pub(crate) async fn prune_oauth(&self) -> model::Result<()> {
        let now: Timestamp = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        tx.prune_devices(now).await?;
        tx.prune_oauth_more(now).await?;
        tx.prune_half_logins(now).await?;
        tx.prune_oauth(now - std::time::Duration::from_hours(1)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A token's payload, unchecked: only for tokens that were verified just before.
pub(super) fn payload_of(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

pub(super) fn claim_of(token: &str, name: &str) -> Option<Value> {
    payload_of(token)?.get(name).cloned()
}
