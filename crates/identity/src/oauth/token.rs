//! The token endpoint (RFC 6749 3.2, RFC 7636 4.6, RFC 9700 4.14): one function per grant.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Caller, Client, Grant, Permissions, Principal, TenantId};
use serde::Serialize;
use store::{OAuthSession, RefreshRecord, Tx};
use subtle::ConstantTimeEq as _;

use super::authorize::{CodeRequest, granted_scope};
use super::claims::{access_claims, id_token_claims};
use super::{OAuthError, OAuthErrorCode as Code, Params, REFRESH_GRACE, Realm};
use crate::directory::Standing;
use crate::tokens::Mint;
use crate::{AuditEvent, Credential, Identity, Origin, SignedIn, TenantChoice, secret};

/// How a client proves itself (RFC 6749 2.3.1): HTTP Basic, or form fields.
#[derive(Clone, Copy)]
pub struct ClientAuth<'a> {
    /// User and password of the `Authorization: Basic` header, if there is one.
    pub basic: Option<(&'a str, &'a str)>,
}

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
    /// `Bearer`.
    pub token_type: &'static str,
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

/// A client that proved itself, or is public and only says who it is.
pub(super) struct KnownClient {
    pub(super) client: Client,
    signed_in: Option<SignedIn>,
}

impl Identity {
    /// Answers a token request.
    pub async fn token(&self, realm: &Realm, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let grant = request.params.need("grant_type")?;
        let known = self.oauth_client(request.auth, request.params, request.origin).await?;
        let needed = match grant {
            "authorization_code" => Grant::AuthorizationCode,
            "client_credentials" => Grant::ClientCredentials,
            "refresh_token" => Grant::RefreshToken,
            "urn:ietf:params:oauth:grant-type:device_code" => Grant::DeviceCode,
            _ => return Err(OAuthError::new(Code::UnsupportedGrantType, "Unsupported grant_type")),
        };
        if !known.client.grants.contains(&needed) {
            return Err(OAuthError::new(Code::UnauthorizedClient, format!("this client may not use the grant {}", needed.name())));
        }
        match needed {
            Grant::AuthorizationCode => self.redeem_code(realm, &known, request).await,
            Grant::RefreshToken => self.redeem_refresh(realm, &known, request).await,
            Grant::DeviceCode => self.redeem_device(realm, &known, request).await,
            _ => self.client_credentials(realm, known, request).await,
        }
    }

    /// Who asks? A confidential client has to prove it; a public one says its name.
    pub(super) async fn oauth_client(&self, auth: ClientAuth<'_>, params: &Params, origin: &Origin) -> Result<KnownClient, OAuthError> {
        let refused = || OAuthError::new(Code::InvalidClient, "Invalid client credentials");
        let (id, given) = match (auth.basic, params.get("client_id"), params.get("client_secret")) {
            (Some(_), _, Some(_)) => return Err(OAuthError::invalid_request("the client proves itself in two ways at once")),
            (Some((id, given)), named, None) => {
                let id = form_decode(id);
                if named.is_some_and(|named| named != id) {
                    return Err(OAuthError::invalid_request("client_id differs between header and form"));
                }
                (id, Some(form_decode(given)))
            }
            (None, Some(id), given) => (id.to_owned(), given.map(str::to_owned)),
            (None, None, _) => return Err(OAuthError::new(Code::InvalidClient, "client_id is missing")),
        };
        match given {
            Some(given) if !given.is_empty() => {
                let signed_in = self
                    .sign_in(Credential::Client { id: &id, secret: &given }, TenantChoice::Home, origin)
                    .await
                    .map_err(|error| if matches!(error, model::Error::Unauthenticated { .. }) { refused() } else { error.into() })?;
                let client = signed_in.client.clone().ok_or_else(refused)?;
                Ok(KnownClient { client, signed_in: Some(signed_in) })
            }
            _ => {
                let record = self.inner.directory.client(&id).await?.filter(|record| record.client.public).ok_or_else(refused)?;
                Ok(KnownClient { client: record.client.clone(), signed_in: None })
            }
        }
    }

    /// RFC 6749 4.4. Nothing is written: the token is all there is.
    async fn client_credentials(&self, realm: &Realm, known: KnownClient, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let signed_in =
            known.signed_in.ok_or_else(|| OAuthError::new(Code::UnauthorizedClient, "a public client has nothing to prove itself with"))?;
        if request.tenant.is_some_and(|asked| asked != known.client.tenant) {
            return Err(OAuthError::invalid_grant("the application is not installed in that tenant"));
        }
        let scope = granted_scope(&known.client, request.params.get("scope"))?;
        let scope: Vec<_> = scope.into_iter().filter(|s| s != "openid" && s != "offline_access").collect();
        // Who has permissions registered and asks for none of them gets none.
        let permissions = bounded(signed_in.caller.permissions, &scope, !names_permissions(&known.client.scopes));
        let caller = Caller { permissions, ..signed_in.caller };
        let claims = access_claims(realm, &known.client, None, None, &scope);
        let minted = self.mint(&Mint { caller: &caller, profile: &realm.profile, key: None, session: None }, |_, _, _| claims).await?;
        let expires_in = minted.expires.as_second() - minted.issued.as_second();
        self.record(AuditEvent::done(&caller, "token.issued", None).detail(realm.name()));
        Ok(TokenResponse {
            access_token: minted.token,
            token_type: "Bearer",
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
        if record.expires <= now || !redirect_ok || !proof_ok {
            tx.commit().await?;
            return Err(wrong());
        }
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
        };
        tx.insert_oauth_session(&session).await?;
        self.answer_session(realm, known, session, None, tx, request.origin).await
    }

    /// RFC 6749 6. Each refresh token counts once; used again after the grace, it is in two hands, and its family ends (RFC 9700 4.14.2).
    async fn redeem_refresh(&self, realm: &Realm, known: &KnownClient, request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
        let wrong = || OAuthError::invalid_grant("Invalid refresh token");
        let hash = secret::sha256(request.params.need("refresh_token")?.as_bytes());
        let now = self.clock().now();
        let mut tx = self.inner.db.begin().await?;
        let record = tx.refresh(&hash).await?.ok_or_else(wrong)?;
        let session = tx.oauth_session(record.session).await?.ok_or_else(wrong)?;
        if session.client != known.client.id || session.realm != realm.name() || record.expires <= now {
            return Err(wrong());
        }
        let lost_reply = |spent: Timestamp| now.duration_since(spent).unsigned_abs() <= REFRESH_GRACE;
        if record.spent.is_some_and(|spent| !lost_reply(spent)) {
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
                address: request.origin.address,
            });
            return Err(wrong());
        }
        let asked = request.params.get("scope").map(|_| granted_scope(&known.client, request.params.get("scope"))).transpose()?;
        let narrower = match asked {
            Some(asked) if asked.iter().any(|s| !session.scope.split(' ').any(|had| had == s)) => {
                return Err(OAuthError::new(Code::InvalidScope, "a refreshed token can't have more scope than was granted"));
            }
            other => other,
        };
        if request.tenant.is_some_and(|asked| asked != known.client.tenant) {
            return Err(OAuthError::invalid_grant("the application is not installed in that tenant"));
        }
        let tenant = request.tenant.unwrap_or(record.tenant);
        tx.spend_refresh(&hash, now).await?;
        let expires = now + realm.refresh_lifetime;
        if !tx.extend_oauth_session(session.id, tenant, expires).await? {
            return Err(wrong());
        }
        let session = OAuthSession { tenant, expires, ..session };
        self.answer_session(realm, known, session, narrower, tx, request.origin).await
    }

    /// Tokens for a user's session. The next refresh token is durable before anybody sees it.
    pub(super) async fn answer_session(
        &self,
        realm: &Realm,
        known: &KnownClient,
        session: OAuthSession,
        narrower: Option<Vec<String>>,
        mut tx: Tx,
        origin: &Origin,
    ) -> Result<TokenResponse, OAuthError> {
        let wrong = || OAuthError::invalid_grant("the user may no longer sign in there");
        let standing = self.inner.directory.user(session.user).await?.ok_or_else(wrong)?;
        let permitted = Self::session_permissions(&session, &standing);
        let Some(permissions) = permitted else { return Err(wrong()) };
        let granted: Vec<String> = session.scope.split(' ').map(str::to_owned).collect();
        // By what was granted first: a narrower scope that names no permission is not a wider one.
        let permissions = bounded(permissions, &granted, realm.keycloak);
        let scope = narrower.unwrap_or(granted);
        let now = self.clock().now();
        let refresh = if known.client.grants.contains(&Grant::RefreshToken) {
            let token = URL_SAFE_NO_PAD.encode(secret::random::<32>());
            let record = RefreshRecord { session: session.id, tenant: session.tenant, created: now, expires: session.expires, spent: None };
            tx.insert_refresh(&secret::sha256(token.as_bytes()), &record).await?;
            Some(token)
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
        let minted =
            self.mint(&Mint { caller: &caller, profile: &realm.profile, key: None, session: Some(session.id) }, |_, _, _| claims).await?;
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
            token_type: "Bearer",
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
    fn session_permissions(session: &OAuthSession, standing: &Standing) -> Option<Permissions> {
        let member = standing.membership(session.tenant).is_some() || standing.record.user.operator;
        // A password changed since ends what was granted before.
        let good = member && !standing.record.user.disabled && session.auth_time >= standing.record.tokens_from;
        good.then(|| standing.permissions(session.tenant))
    }
}

/// What a scope leaves of permissions: what it names; with `all_if_silent`, everything when it names none.
fn bounded(permissions: Permissions, scope: &[String], all_if_silent: bool) -> Permissions {
    let named: Vec<_> = scope.iter().filter_map(|s| s.parse().ok()).collect();
    if named.is_empty() && all_if_silent { permissions } else { permissions.intersect(Permissions::of(&named)) }
}

fn names_permissions(scope: &[String]) -> bool {
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

/// Undoes the form encoding that RFC 6749 2.3.1 asks for in Basic credentials. Most clients skip it; then there is no `%` to undo.
fn form_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => {
                let mut ahead = bytes.clone();
                let hex: String = ahead.by_ref().take(2).map(char::from).collect();
                match u8::from_str_radix(&hex, 16) {
                    Ok(value) if hex.len() == 2 => {
                        bytes = ahead;
                        value
                    }
                    _ => byte,
                }
            }
            other => other,
        };
        out.push(decoded);
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
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

    #[test]
    fn basic_credentials_are_form_encoded_or_plain() {
        assert_eq!(form_decode("a+b"), "a+b");
        assert_eq!(form_decode("a%2Bb+c%25"), "a+b c%");
        assert_eq!(form_decode("100%"), "100%");
        assert_eq!(form_decode("%zz"), "%zz");
    }
}
