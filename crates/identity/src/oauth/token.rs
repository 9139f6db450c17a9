//! The token endpoint (RFC 6749 3.2, RFC 7636 4.6, RFC 9700 4.14): one function per grant.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Caller, Grant, Permissions, Principal, TenantId};
use serde::Serialize;
use store::{OAuthSession, RefreshRecord, Tx};
use subtle::ConstantTimeEq as _;

use super::authorize::{CodeRequest, granted_scope};
use super::claims::{access_claims, id_token_claims};
use super::client_auth::KnownClient;
use super::{ClientAuth, Cnf, OAuthError, OAuthErrorCode as Code, Params, REFRESH_GRACE, Realm};
use crate::directory::Standing;
use crate::reach::NOWHERE;
use crate::tokens::Mint;
use crate::{AuditEvent, Identity, Origin, secret};

/// A request to the token endpoint.
pub struct TokenRequest<'a> {
    /// How the client proves itself.
    pub auth: ClientAuth<'a>,
    /// The form.
    pub params: &'a Params,
    /// The tenant asked for by header (contracts/lightelligence.md 2.3).
    pub tenant: Option<TenantId>,
    /// Where from.
    pub origin: &'a Origin,
}

/// What the token endpoint answers (RFC 6749 5.1 and what the realms' clients expect beside it).
#[derive(Debug, Serialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// `Bearer`, or `DPoP` for one that is bound to a key (RFC 9449 5).
    pub token_type: &'static str,
    /// What was issued in a token exchange (RFC 8693 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    /// Seconds until it ends.
    pub expires_in: i64,
    /// The same as a moment (seed Lightelligence).
    pub expires_at: Timestamp,
    /// The next refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds until that ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_expires_in: Option<i64>,
    /// The id token, when `openid` is in the scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What was granted, space-delimited.
    pub scope: String,
    /// The session (Keycloak).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_state: Option<String>,
    /// Keycloak: tokens issued before this are refused; 0 is none.
    #[serde(rename = "not-before-policy", skip_serializing_if = "Option::is_none")]
    pub not_before_policy: Option<i64>,
}

/// The refresh token that goes out with an answer.
pub(super) struct NextRefresh {
    token: String,
    stored: bool,
}

/// What tokens are made of for a user's session.
pub(super) struct Answer {
    session: OAuthSession,
    /// The scope asked for, when it is less than was granted.
    narrower: Option<Vec<String>>,
    refresh: NextRefresh,
    /// What the access token is for.
    resources: Vec<String>,
}

impl Answer {
    /// The first of a session.
    pub(super) fn first(session: OAuthSession, resources: Vec<String>) -> Self {
        let refresh = NextRefresh { token: URL_SAFE_NO_PAD.encode(secret::random::<32>()), stored: false };
        Self { session, narrower: None, refresh, resources }
    }
}

impl Identity {
    /// Answers a token request.
    pub async fn token(&self, realm: &Realm, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let grant = request.params.need("grant_type")?;
        let known = self.token_client(realm, request.auth, request.params, request.origin).await?;
        let needed = match grant {
            "authorization_code" => Grant::AuthorizationCode,
            "client_credentials" => Grant::ClientCredentials,
            "refresh_token" => Grant::RefreshToken,
            "urn:ietf:params:oauth:grant-type:device_code" => Grant::DeviceCode,
            "urn:ietf:params:oauth:grant-type:token-exchange" => Grant::TokenExchange,
            "id_token" => Grant::IdToken,
            _ => return Err(OAuthError::new(Code::UnsupportedGrantType, "Unsupported grant_type")),
        };
        if !known.client.grants.contains(&needed) {
            return Err(OAuthError::new(Code::UnauthorizedClient, format!("this client may not use the grant {}", needed.name())));
        }
        match needed {
            Grant::AuthorizationCode => self.redeem_code(realm, &known, request).await,
            Grant::RefreshToken => self.redeem_refresh(realm, &known, request).await,
            Grant::DeviceCode => self.redeem_device(realm, &known, request).await,
            Grant::TokenExchange => self.exchange(realm, &known, request).await,
            Grant::IdToken => self.redeem_id_token(realm, &known, request).await,
            Grant::ClientCredentials => self.client_credentials(realm, known, request).await,
        }
    }

    /// RFC 6749 4.4. Nothing is written: the token is all there is.
    async fn client_credentials(&self, realm: &Realm, known: KnownClient, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let signed_in =
            known.signed_in.ok_or_else(|| OAuthError::new(Code::UnauthorizedClient, "a public client has nothing to prove itself with"))?;
        // A plain client is at home in its tenant, an application in none (contracts/lightelligence.md 2.3).
        let application = self.application_of(&known.client.id).await?.is_some();
        let tenant = request.tenant.unwrap_or(signed_in.caller.tenant);
        let permitted = self.client_in(&known.client, tenant).await?;
        let permitted = permitted.ok_or_else(|| OAuthError::invalid_grant("the application is not installed in that tenant"))?;
        let scope = granted_scope(&known.client, request.params.get("scope"))?;
        let of_users = |s: &str| matches!(s, "openid" | "offline_access") || (application && matches!(s, "email" | "profile"));
        let scope: Vec<_> = scope.into_iter().filter(|s| !of_users(s)).collect();
        // Who has permissions registered and asks for none of them gets none.
        let permissions = bounded(permitted, &scope, !names_permissions(&known.client.scopes));
        let caller = Caller { tenant, permissions, ..signed_in.caller };
        let resources = self.audience(self.asked_resources(&known.client, request.params)?)?;
        let mut claims = access_claims(realm, &known.client, None, None, &scope);
        if tenant == NOWHERE {
            claims.remove("tenant");
        } else {
            claims.insert("tenant".to_owned(), serde_json::json!(tenant));
        }
        let mint = Mint { cnf: known.cnf.as_ref(), resources: &resources, ..Mint::plain(&caller, &realm.profile) };
        let minted = self.mint(&mint, |_, _, _| claims).await?;
        let expires_in = minted.expires.as_second() - minted.issued.as_second();
        self.record(AuditEvent::done(&caller, "token.issued", None).detail(realm.name()));
        Ok(TokenResponse {
            access_token: minted.token,
            token_type: Cnf::token_type(known.cnf.as_ref()),
            issued_token_type: None,
            expires_in,
            expires_at: minted.expires,
            refresh_token: None,
            refresh_expires_in: realm.keycloak.then_some(0),
            id_token: None,
            scope: scope.join(" "),
            session_state: None,
            not_before_policy: realm.keycloak.then_some(0),
        })
    }

    /// RFC 6749 4.1.3. A code counts once; a second try ends what the first one gave (RFC 6749 4.1.2).
    async fn redeem_code(&self, realm: &Realm, known: &KnownClient, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let wrong = || OAuthError::invalid_grant("Code not valid");
        let hash = secret::sha256(request.params.need("code")?.as_bytes());
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let record = tx.code(&hash).await?.ok_or_else(wrong)?;
        let asked: CodeRequest = serde_json::from_str(&record.request).map_err(model::Error::internal)?;
        if asked.client != known.client.id || asked.realm != realm.name() {
            return Err(wrong());
        }
        if record.redeemed || !tx.redeem_code(&hash, now).await? {
            tx.delete_oauth_session(record.session).await?;
            tx.commit().await?;
            self.inner.directory.changed();
            self.record(AuditEvent {
                tenant: Some(asked.tenant),
                actor: format!("client:{}", known.client.id),
                action: "oauth.code_reused",
                target: Some(format!("session:{}", record.session)),
                allowed: false,
                detail: None,
                address: request.origin.address,
            });
            return Err(wrong());
        }
        let redirect_ok = match request.params.get("redirect_uri") {
            Some(uri) => uri == asked.redirect_uri,
            None => known.client.redirect_uris == [asked.redirect_uri.clone()],
        };
        let proof_ok = match (&asked.challenge, request.params.get("code_verifier")) {
            (Some(challenge), Some(verifier)) => verifier_fits(challenge, verifier),
            (None, None) => true,
            // A verifier nobody announced: somebody stripped the challenge (RFC 9700 4.8.2).
            (Some(_), None) | (None, Some(_)) => false,
        };
        // RFC 9449 10: a code asked for with a key is redeemed with that key.
        let key_ok = asked.dpop_jkt.is_none() || asked.dpop_jkt.as_ref() == known.cnf.as_ref().and_then(|cnf| cnf.jkt.as_ref());
        // Whoever signed out meanwhile granted nothing.
        let signed_in = tx.hold_login_session(asked.login, now).await?;
        if record.expires <= now || !redirect_ok || !proof_ok || !key_ok || !signed_in {
            tx.commit().await?;
            return Err(wrong());
        }
        let resources = self.narrowed_resources(&asked.resources, request.params)?;
        let session = OAuthSession {
            id: record.session,
            tenant: asked.tenant,
            user: asked.user,
            client: asked.client,
            realm: asked.realm,
            scope: asked.scope,
            login: Some(asked.login),
            auth_time: asked.auth_time,
            nonce: asked.nonce,
            created: now,
            expires: now + realm.refresh_lifetime,
            methods: asked.methods,
            cnf: known.refresh_binding()?,
            resources: asked.resources,
        };
        tx.insert_oauth_session(&session).await?;
        self.answer_session(realm, known, Answer::first(session, resources), tx, request.origin).await
    }

    /// RFC 6749 6. Each refresh token counts once; used again, it is in two hands, and its family ends (RFC 9700 4.14.2).
    ///
    /// A reply may be lost on the way, so within the grace the same token is answered once more: with the same successor, and only
    /// while nobody has used that. Two hands that share a token therefore share its successor too, and whoever comes second with
    /// that one is found out.
    async fn redeem_refresh(&self, realm: &Realm, known: &KnownClient, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let wrong = || OAuthError::invalid_grant("Invalid refresh token");
        let presented = super::shape::secret_of(request.params.need("refresh_token")?);
        let hash = secret::sha256(presented.as_bytes());
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let record = tx.refresh(&hash).await?.ok_or_else(wrong)?;
        let session = tx.oauth_session(record.session).await?.ok_or_else(wrong)?;
        if session.client != known.client.id || session.realm != realm.name() || record.expires <= now {
            return Err(wrong());
        }
        if session.cnf.is_some() && session.cnf != known.refresh_binding()? {
            return Err(OAuthError::invalid_grant("this refresh token is bound to another key"));
        }
        let resources = self.narrowed_resources(&session.resources, request.params)?;
        let asked = request.params.get("scope").map(|_| granted_scope(&known.client, request.params.get("scope"))).transpose()?;
        let narrower = match asked {
            Some(asked) if asked.iter().any(|s| !session.scope.split(' ').any(|had| had == s)) => {
                return Err(OAuthError::new(Code::InvalidScope, "a refreshed token can't have more scope than was granted"));
            }
            other => other,
        };
        let tenant = request.tenant.unwrap_or(record.tenant);
        if !self.reaches(&known.client, tenant).await? {
            return Err(OAuthError::invalid_grant("the application is not installed in that tenant"));
        }
        let successor = self.successor(presented);
        let first = tx.spend_refresh(&hash, now).await?;
        if !first {
            let spent = tx.refresh(&hash).await?.and_then(|r| r.spent).unwrap_or(Timestamp::MIN);
            let next = tx.refresh(&secret::sha256(successor.as_bytes())).await?;
            let lost_reply = now.duration_since(spent).unsigned_abs() <= REFRESH_GRACE && next.is_some_and(|next| next.spent.is_none());
            if !lost_reply {
                return self.refresh_reused(known, &session, tx, request.origin).await;
            }
        }
        let expires = now + realm.refresh_lifetime;
        if !tx.extend_oauth_session(session.id, tenant, expires).await? {
            return Err(wrong());
        }
        let session = OAuthSession { tenant, expires, ..session };
        let refresh = NextRefresh { token: successor, stored: !first };
        self.answer_session(realm, known, Answer { session, narrower, refresh, resources }, tx, request.origin).await
    }

    /// The refresh token that follows this one: the same whenever it is computed, and nobody's to guess without the master key.
    fn successor(&self, token: &str) -> String {
        URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&self.inner.refresh, token.as_bytes()))
    }

    async fn refresh_reused(
        &self,
        known: &KnownClient,
        session: &OAuthSession,
        mut tx: Tx,
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        tx.delete_oauth_session(session.id).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.record(AuditEvent {
            tenant: Some(session.tenant),
            actor: format!("client:{}", known.client.id),
            action: "oauth.refresh_reused",
            target: Some(format!("session:{}", session.id)),
            allowed: false,
            detail: None,
            address: origin.address,
        });
        Err(OAuthError::invalid_grant("Invalid refresh token"))
    }

    /// Tokens for a user's session. The next refresh token is durable before anybody sees it.
    pub(super) async fn answer_session(
        &self,
        realm: &Realm,
        known: &KnownClient,
        answer: Answer,
        mut tx: Tx,
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        let Answer { session, narrower, refresh, resources } = answer;
        let resources = self.audience(resources)?;
        let wrong = || OAuthError::invalid_grant("the user may no longer sign in there");
        let standing = self.inner.directory.user(session.user).await?.ok_or_else(wrong)?;
        let permitted = Self::session_permissions(&session, &standing);
        let Some(permissions) = permitted else { return Err(wrong()) };
        let through = self.through_client(&known.client.id, session.tenant, permissions).await?;
        let Some(permissions) = through else { return Err(wrong()) };
        let granted: Vec<String> = session.scope.split(' ').map(str::to_owned).collect();
        // By what was granted first: a narrower scope that names no permission is not a wider one.
        let permissions = bounded(permissions, &granted, realm.keycloak);
        let scope = narrower.unwrap_or(granted);
        let now = self.clock().now();
        let refresh = if known.client.grants.contains(&Grant::RefreshToken) {
            if !refresh.stored {
                let record =
                    RefreshRecord { session: session.id, tenant: session.tenant, created: now, expires: session.expires, spent: None };
                tx.insert_refresh(&secret::sha256(refresh.token.as_bytes()), &record).await?;
            }
            let shaped = |secret: &str| super::shape::shaped(secret, &realm.issuer(&self.public_url()), &session, now);
            Some(if realm.keycloak { shaped(&refresh.token) } else { refresh.token })
        } else {
            None
        };
        tx.commit().await?;
        let caller = Caller {
            tenant: session.tenant,
            principal: Principal::User(session.user),
            permissions: bounded(permissions, &scope, realm.keycloak),
            request: origin.request,
            address: origin.address,
        };
        let claims = access_claims(realm, &known.client, Some(&standing.record.user), Some(&session), &scope);
        let plain = Mint::plain(&caller, &realm.profile);
        let mint = Mint { session: Some(session.id), cnf: known.cnf.as_ref(), resources: &resources, ..plain };
        let minted = self.mint(&mint, |_, _, _| claims).await?;
        let id_token = if scope.iter().any(|s| s == "openid") {
            let claims = id_token_claims(self, realm, &known.client, &standing.record.user, &session, &scope, &minted.token);
            Some(self.sign_id_token(realm, &claims).await?)
        } else {
            None
        };
        self.record(AuditEvent::done(&caller, "token.issued", format!("session:{}", session.id)).detail(format_args!(
            "{} for client:{}",
            realm.name(),
            known.client.id
        )));
        Ok(TokenResponse {
            access_token: minted.token,
            token_type: Cnf::token_type(known.cnf.as_ref()),
            issued_token_type: None,
            expires_in: minted.expires.as_second() - minted.issued.as_second(),
            expires_at: minted.expires,
            refresh_expires_in: refresh.as_ref().map(|_| seconds(realm.refresh_lifetime)),
            refresh_token: refresh,
            id_token,
            scope: scope.join(" "),
            session_state: Some(session.id.to_string()),
            not_before_policy: realm.keycloak.then_some(0),
        })
    }

    /// What a session's user may do in its tenant now; none when it is locked out or no member any more.
    pub(super) fn session_permissions(session: &OAuthSession, standing: &Standing) -> Option<Permissions> {
        let member = standing.membership(session.tenant).is_some() || standing.record.user.operator;
        // A password changed since ends what was granted before.
        // A second factor demanded since has to be shown first.
        let enough = super::login::has_factor(&session.methods) || !standing.factor.demanded_in(session.tenant);
        let good = member && enough && !standing.record.user.disabled && session.auth_time >= standing.record.tokens_from;
        good.then(|| standing.permissions(session.tenant))
    }
}

/// What a scope leaves of permissions: what it names; with `all_if_silent`, everything when it names none.
pub(super) fn bounded(permissions: Permissions, scope: &[String], all_if_silent: bool) -> Permissions {
    let named: Vec<_> = scope.iter().filter_map(|s| s.parse().ok()).collect();
    if named.is_empty() && all_if_silent { permissions } else { permissions.intersect(Permissions::of(&named)) }
}

pub(super) fn names_permissions(scope: &[String]) -> bool {
    scope.iter().any(|s| s.parse::<model::Permission>().is_ok())
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// RFC 7636 4.6 with S256.
fn verifier_fits(challenge: &str, verifier: &str) -> bool {
    let shaped = (43..=128).contains(&verifier.len()) && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let computed = URL_SAFE_NO_PAD.encode(secret::sha256(verifier.as_bytes()));
    shaped && bool::from(computed.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_fits_its_challenge_only() {
        // RFC 7636 appendix B.
        let (challenge, verifier) = ("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(verifier_fits(challenge, verifier));
        assert!(!verifier_fits(challenge, &verifier.replace('d', "e")));
        assert!(!verifier_fits(challenge, "short"));
        assert!(!verifier_fits(challenge, challenge));
    }

    #[test]
    fn a_narrower_scope_is_never_a_wider_one() {
        use model::Permission::{MessageRead, ThingRead, ThingWrite};
        let scope = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let user = Permissions::of(&[ThingRead, ThingWrite, MessageRead]);
        assert_eq!(bounded(user, &scope("openid thing:read"), true), Permissions::of(&[ThingRead]));
        assert_eq!(bounded(user, &scope("openid"), true), user);
        assert_eq!(bounded(user, &scope("openid"), false), Permissions::NONE);
        assert_eq!(bounded(bounded(user, &scope("openid thing:read"), true), &scope("openid"), true), Permissions::of(&[ThingRead]));
        assert!(names_permissions(&scope("openid thing:read")) && !names_permissions(&scope("openid email")));
    }
}
