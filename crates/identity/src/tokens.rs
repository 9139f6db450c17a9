//! Tokens: issued, verified, revoked. Every check of a token is in this file.
//!
//! A token says who it speaks for, in which tenant, and what that was allowed to do when it was issued; `verify` gives
//! back what of that is still true. A token seen before costs one hash and a few look-ups in memory.

mod across;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{DecodingKey, Header, Validation};
use model::{
    ApiKeyId, Caller, Error, Grant, Permission, Permissions, Principal, RequestId, Result, Role, SessionId, TenantId, ThingId, UserId,
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use across::Person;

use crate::keys::SigningKey;
use crate::oauth::Cnf;
use crate::{Algorithm, AuditEvent, Change, Identity, IssuedToken, SignedIn, TokenFacts, TokenProfile, TokenRef, secret};

/// The longest token read, in bytes.
pub const TOKEN_MAX: usize = 8_192;
/// A profile's `audience` when each token names its own (a realm of Keycloak's kind names the client); it is not compared then.
pub const ANY_AUDIENCE: &str = "*";
const SEEN_MAX: usize = 100_000;

pub(crate) const INVALID: Error = Error::Unauthenticated { reason: "the token is not valid" };
const EXPIRED: Error = Error::Unauthenticated { reason: "the token has expired" };

/// Our private claim: what no dialect may set.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    profile: String,
    tenant: TenantId,
    kind: Kind,
    /// User or thing id, client id.
    id: String,
    /// A role's name, where the permissions are exactly that role's; `operator` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Else their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permissions: Option<Vec<String>>,
    /// The API key it was issued for; it ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<ApiKeyId>,
    /// The OAuth session it was issued in; it ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    /// It is for other resources (RFC 8707): nothing here takes it, only introspection knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    elsewhere: bool,
}

/// A good token, looked at and not used.
pub(crate) struct Examined {
    pub(crate) caller: Caller,
    pub(crate) cnf: Option<Cnf>,
    pub(crate) session: Option<SessionId>,
    pub(crate) expires: Timestamp,
}

/// What a token is made for.
#[derive(Clone, Copy)]
pub(crate) struct Mint<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) profile: &'a TokenProfile,
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) session: Option<SessionId>,
    /// To what it is bound.
    pub(crate) cnf: Option<&'a Cnf>,
    /// The resources it is for, in the place of the profile's audience (RFC 8707); empty: this gateway.
    pub(crate) resources: &'a [String],
    /// It ends then at the latest.
    pub(crate) until: Option<Timestamp>,
}

impl<'a> Mint<'a> {
    /// A plain token: bound to nothing, for this gateway.
    pub(crate) fn plain(caller: &'a Caller, profile: &'a TokenProfile) -> Self {
        Self { caller, profile, key: None, session: None, cnf: None, resources: &[], until: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    User,
    Client,
    Thing,
}

/// The claims we check; others are the dialect's.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    aud: Option<Audience>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
    jti: Uuid,
    #[serde(default)]
    cnf: Option<Cnf>,
    /// The OAuth client it was issued to.
    #[serde(default)]
    azp: Option<String>,
    heliograph: Own,
}

/// RFC 7519 4.1.3: one audience, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A token whose signature and claims were good.
struct Verified {
    tenant: TenantId,
    principal: Principal,
    permissions: Permissions,
    key: Option<ApiKeyId>,
    session: Option<SessionId>,
    id: Uuid,
    /// Milliseconds, from the id: `iat` has seconds only.
    issued: i64,
    expires: i64,
    cnf: Option<Cnf>,
    elsewhere: bool,
    /// The OAuth client it was issued to.
    client: Option<String>,
}

impl Verified {
    /// May whoever holds it use it here, without proof of anything more?
    fn is_plain(&self) -> bool {
        self.cnf.is_none() && !self.elsewhere
    }
}

/// Tokens seen, and tokens revoked.
#[derive(Default)]
pub(crate) struct Tokens {
    seen: RwLock<HashMap<[u8; 32], Arc<Verified>>>,
    revoked: RwLock<HashMap<Uuid, Timestamp>>,
}

impl Tokens {
    /// Takes over what the store holds.
    pub(crate) async fn reload(&self, db: &store::Db, now: Timestamp) -> Result<()> {
        let stored = db.read().await?.revoked_tokens(now).await?;
        let mut revoked = self.revoked.write();
        // What was revoked here while we read stays.
        revoked.retain(|_, expires| *expires > now);
        revoked.extend(stored);
        Ok(())
    }

    /// Forgets every token seen: each is checked afresh.
    pub(crate) fn forget(&self) {
        self.seen.write().clear();
    }

    /// Forgets tokens that have expired.
    pub(crate) fn prune(&self, now: i64) {
        self.seen.write().retain(|_, token| token.expires > now);
    }

    fn remember(&self, key: [u8; 32], token: Arc<Verified>, now: i64) {
        let mut seen = self.seen.write();
        if seen.len() >= SEEN_MAX {
            seen.retain(|_, token| token.expires > now);
        }
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert(key, token);
    }
}

impl Identity {
    /// A token of this profile for whoever signed in. Error: Forbidden for a client without the grant `client_credentials`.
    pub async fn issue(&self, signed_in: &SignedIn, profile: &TokenProfile, label: Option<&str>) -> Result<IssuedToken> {
        let caller = &signed_in.caller;
        // Its secret proves who asks for its users' tokens; that alone makes it nobody in the tenant.
        if signed_in.client.as_ref().is_some_and(|client| !client.grants.contains(&Grant::ClientCredentials)) {
            return Err(Error::Forbidden(model::Denial::Rule("this client may not use the grant client_credentials")));
        }
        if caller.tenant == crate::reach::NOWHERE {
            return Err(Error::Forbidden(model::Denial::Rule("an application has no tenant of its own; its tokens are the realm's")));
        }
        let public_url = self.public_url();
        let mint = Mint { key: signed_in.api_key, ..Mint::plain(caller, profile) };
        let issued = self
            .mint(&mint, |id, issued, expires| {
                (profile.claims)(&TokenFacts {
                    caller,
                    user: signed_in.user.as_ref(),
                    membership: signed_in.membership.as_ref(),
                    client: signed_in.client.as_ref(),
                    id,
                    issued,
                    expires,
                    label,
                    public_url: &public_url,
                })
            })
            .await?;
        let event = AuditEvent::done(caller, "token.issued", None);
        self.record(match label {
            Some(label) => event.detail(format_args!("{} for {label}", profile.name)),
            None => event.detail(profile.name),
        });
        Ok(issued)
    }

    /// Signs a token; `claims` gives the face's own, from the token's id, beginning and end.
    pub(crate) async fn mint(
        &self,
        mint: &Mint<'_>,
        claims: impl FnOnce(Uuid, Timestamp, Timestamp) -> Map<String, Value>,
    ) -> Result<IssuedToken> {
        let Mint { caller, profile, key: api_key, session, cnf, resources, until } = *mint;
        let (kind, id) = match &caller.principal {
            Principal::User(id) => (Kind::User, id.to_string()),
            Principal::Client(id) => (Kind::Client, id.clone()),
            Principal::Thing(id) => (Kind::Thing, id.to_string()),
            Principal::Operator => return Err(Error::Forbidden(model::Denial::Rule("the command line has no tokens; sign in as a user"))),
        };
        let key = self.signing_key(profile.algorithm, profile.name, profile.lifetime).await?;
        let token_id: Uuid = self.clock().new_id();
        let issued = second(self.clock().now())?;
        let lifetime = SignedDuration::try_from(profile.lifetime).map_err(|_| Error::internal("a token's lifetime"))?;
        let expires = issued.checked_add(lifetime).map_err(|_| Error::internal("the end of time"))?;
        let expires = second(until.map_or(expires, |until| until.min(expires)))?;
        let mut claims = claims(token_id, issued, expires);
        let (role, permissions) = describe(caller.permissions);
        let own = Own {
            profile: profile.name.to_owned(),
            tenant: caller.tenant,
            kind,
            id: id.clone(),
            role,
            permissions,
            key: api_key,
            session,
            elsewhere: !resources.is_empty(),
        };
        claims.entry("sub").or_insert_with(|| Value::String(id));
        claims.insert("iss".to_owned(), Value::String((profile.issuer)(&self.public_url())));
        match (profile.audience, resources) {
            (_, [only]) => claims.insert("aud".to_owned(), json!(only)),
            (_, [_, ..]) => claims.insert("aud".to_owned(), json!(resources)),
            (Some(ANY_AUDIENCE), []) => None,
            (Some(audience), []) => claims.insert("aud".to_owned(), json!(audience)),
            (None, []) => claims.remove("aud"),
        };
        if let Some(cnf) = cnf {
            claims.insert("cnf".to_owned(), serde_json::to_value(cnf).map_err(Error::internal)?);
        }
        claims.insert("iat".to_owned(), json!(issued.as_second()));
        claims.insert("exp".to_owned(), json!(expires.as_second()));
        claims.insert("jti".to_owned(), json!(token_id));
        claims.insert("heliograph".to_owned(), serde_json::to_value(own).map_err(Error::internal)?);
        let token = compact(&key, profile.typ, &claims)?;
        if token.len() > TOKEN_MAX {
            return Err(Error::internal("a token longer than we would read"));
        }
        Ok(IssuedToken { token, id: token_id, issued, expires })
    }

    /// Whom a token of this profile speaks for, with what it was issued for and what is still permitted. `request` and
    /// `address` of the caller are empty: the edge knows them.
    ///
    /// A token bound to a key or a certificate is refused here: [`verify_shown`](Self::verify_shown) takes it with its proof.
    pub async fn verify(&self, token: &str, profile: &TokenProfile) -> Result<Caller> {
        let verified = self.seen_or_decoded(token, profile).await?;
        if !verified.is_plain() {
            return Err(INVALID);
        }
        self.still_good(&verified).await
    }

    /// The same with what the token is bound to, which is the caller's to check.
    pub(crate) async fn verify_with_cnf(&self, token: &str, profile: &TokenProfile) -> Result<(Caller, Option<Cnf>)> {
        let verified = self.seen_or_decoded(token, profile).await?;
        if verified.elsewhere {
            return Err(INVALID);
        }
        Ok((self.still_good(&verified).await?, verified.cnf.clone()))
    }

    /// The same wherever the token may be used, for those who ask about it and do not use it.
    pub(crate) async fn examine(&self, token: &str, profile: &TokenProfile) -> Result<Examined> {
        let verified = self.seen_or_decoded(token, profile).await?;
        let caller = self.still_good(&verified).await?;
        let expires = Timestamp::from_microsecond(verified.expires).map_err(Error::internal)?;
        Ok(Examined { caller, cnf: verified.cnf.clone(), session: verified.session, expires })
    }

    /// What the token says, if its signature and claims are good; checked once, remembered after that.
    async fn seen_or_decoded(&self, token: &str, profile: &TokenProfile) -> Result<Arc<Verified>> {
        if token.len() > TOKEN_MAX {
            return Err(INVALID);
        }
        let tokens = &self.inner.tokens;
        // The profile's name is part of the key: a token seen by one profile is unknown to another.
        let key = secret::sha256_of(&[profile.name.as_bytes(), b"\0", token.as_bytes()]);
        let seen = tokens.seen.read().get(&key).cloned();
        match seen {
            Some(verified) => Ok(verified),
            None => {
                let verified = Arc::new(self.decode(token, profile).await?);
                tokens.remember(key, Arc::clone(&verified), self.clock().micros());
                Ok(verified)
            }
        }
    }

    /// What time and revocation have left of a token.
    async fn still_good(&self, token: &Verified) -> Result<Caller> {
        if self.clock().micros() >= token.expires {
            return Err(EXPIRED);
        }
        if self.inner.tokens.revoked.read().contains_key(&token.id) {
            return Err(INVALID);
        }
        let directory = &self.inner.directory;
        if let Some(key) = token.key {
            let live = directory.api_key_by_id(token.tenant, key).await?.ok_or(INVALID)?;
            if live.expires.is_some_and(|end| end <= self.clock().now()) {
                return Err(INVALID);
            }
        }
        if let Some(session) = token.session
            && !directory.session_lives(session).await?
        {
            return Err(INVALID);
        }
        let present = match &token.principal {
            Principal::User(id) => {
                let standing = match directory.user_at_hand(*id) {
                    Some(standing) => standing,
                    None => directory.user(*id).await?.ok_or(INVALID)?,
                };
                let member = standing.record.user.operator || standing.membership(token.tenant).is_some();
                if standing.record.user.disabled || !member || token.issued < standing.record.tokens_from.as_millisecond() {
                    return Err(INVALID);
                }
                let permissions = standing.permissions(token.tenant);
                match &token.client {
                    // An application ends where it is no longer installed, and does there what was agreed to.
                    Some(client) => self.through_client(client, token.tenant, permissions).await?.ok_or(INVALID)?,
                    None => permissions,
                }
            }
            Principal::Client(id) => {
                let record = directory.client(id).await?.ok_or(INVALID)?;
                self.client_in(&record.client, token.tenant).await?.ok_or(INVALID)?
            }
            Principal::Thing(id) => {
                directory.thing(*id).await?.filter(|tenant| *tenant == token.tenant).ok_or(INVALID)?;
                thing_permissions()
            }
            Principal::Operator => return Err(INVALID),
        };
        Ok(Caller {
            tenant: token.tenant,
            principal: token.principal.clone(),
            permissions: token.permissions.intersect(present),
            request: RequestId(Uuid::nil()),
            address: None,
        })
    }

    /// Signature and claims. The algorithm is the key's, never the token's.
    async fn decode(&self, token: &str, profile: &TokenProfile) -> Result<Verified> {
        let claims = self.decode_undated(token, profile).await?;
        self.check_times(claims.exp, claims.nbf, 0)?;
        Verified::of(claims)
    }

    /// The same, expired or not.
    async fn decode_undated(&self, token: &str, profile: &TokenProfile) -> Result<Claims> {
        let header = read_header(token)?;
        let key = self.key_named(header.kid.as_deref()).await?;
        if key.algorithm != profile.algorithm || key.profile.as_deref().is_some_and(|p| p != profile.name) {
            return Err(INVALID);
        }
        if header.typ.as_deref() != profile.typ {
            return Err(INVALID);
        }
        let claims: Claims = check_signature(token, &key.verifier, key.algorithm)?;
        let issuer = (profile.issuer)(&self.public_url());
        let aimed = claims.heliograph.elsewhere || audience_fits(claims.aud.as_ref(), profile);
        if claims.iss != issuer || !aimed || claims.heliograph.profile != profile.name {
            return Err(INVALID);
        }
        Ok(claims)
    }

    async fn key_named(&self, kid: Option<&str>) -> Result<Arc<SigningKey>> {
        let kid = kid.ok_or(INVALID)?;
        let inner = &self.inner;
        if let Some(key) = inner.keys.verifying(kid) {
            return Ok(key);
        }
        // Another node may have made it a moment ago.
        if inner.keys.may_look() {
            inner.keys.reload(&inner.db, &inner.sealer).await?;
        }
        inner.keys.verifying(kid).ok_or(INVALID)
    }

    pub(crate) fn check_times(&self, exp: i64, nbf: Option<i64>, leeway: i64) -> Result<()> {
        let now = self.clock().now().as_second();
        if now >= exp.saturating_add(leeway) {
            return Err(EXPIRED);
        }
        if nbf.is_some_and(|nbf| nbf.saturating_sub(leeway) > now) {
            return Err(Error::Unauthenticated { reason: "the token is not valid yet" });
        }
        Ok(())
    }

    /// Revokes a token. By its text: its own bearer may, an operator, and whoever may change users (clients, things) of
    /// its tenant; a text that is no live token of ours is no error (RFC 7009 2.2). By its id alone: operators.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenRef<'_>) -> Result<()> {
        let (id, expires) = match token {
            TokenRef::Id(id) => {
                caller.require(Permission::Operate)?;
                // Its end is not known, but it cannot outlive the longest lifetime any key has signed.
                let longest = SignedDuration::try_from(self.inner.keys.longest()).unwrap_or(SignedDuration::MAX);
                (id, self.clock().now().checked_add(longest).unwrap_or(Timestamp::MAX))
            }
            TokenRef::Text(text) => {
                let Some(token) = self.decode_any(text).await? else { return Ok(()) };
                let manages = caller.tenant == token.tenant
                    && caller.permissions.has(match token.principal {
                        Principal::User(_) | Principal::Operator => Permission::UserWrite,
                        Principal::Client(_) => Permission::ClientWrite,
                        Principal::Thing(_) => Permission::ThingWrite,
                    });
                if token.principal != caller.principal && !manages && !caller.permissions.has(Permission::Operate) {
                    return Err(Error::not_found("token"));
                }
                let expires = Timestamp::from_microsecond(token.expires).unwrap_or(Timestamp::MAX);
                (token.id, expires)
            }
        };
        let mut tx = self.inner.db.begin().await?;
        tx.revoke_token(id, expires).await?;
        tx.commit().await?;
        self.inner.tokens.revoked.write().insert(id, expires);
        self.inner.announce(Change::TokenRevoked(id));
        self.record(AuditEvent::done(caller, "token.revoked", format!("token:{id}")));
        Ok(())
    }

    /// A live token of any profile: the signature is checked, the profile is whatever the token says.
    async fn decode_any(&self, text: &str) -> Result<Option<Verified>> {
        if text.len() > TOKEN_MAX {
            return Ok(None);
        }
        let Ok(header) = read_header(text) else { return Ok(None) };
        let key = match self.key_named(header.kid.as_deref()).await {
            Ok(key) => key,
            Err(Error::Unauthenticated { .. }) => return Ok(None),
            Err(other) => return Err(other),
        };
        let Ok(claims) = check_signature::<Claims>(text, &key.verifier, key.algorithm) else { return Ok(None) };
        if key.profile.as_ref().is_some_and(|p| *p != claims.heliograph.profile) || self.check_times(claims.exp, None, 0).is_err() {
            return Ok(None);
        }
        Ok(Verified::of(claims).ok())
    }

    /// The claims of an id token of ours, expired or not: a hint at logout stays good (RP-Initiated Logout 1.0, 4).
    pub(crate) async fn read_id_token(&self, token: &str, issuer: &str) -> Result<Map<String, Value>> {
        if token.len() > TOKEN_MAX {
            return Err(INVALID);
        }
        let key = self.key_named(read_header(token)?.kid.as_deref()).await?;
        if key.algorithm != Algorithm::Rs256 {
            return Err(INVALID);
        }
        let claims: Map<String, Value> = check_signature(token, &key.verifier, key.algorithm)?;
        // An access token is no id token.
        let ours = claims.get("iss").and_then(Value::as_str) == Some(issuer) && !claims.contains_key("heliograph");
        if ours { Ok(claims) } else { Err(INVALID) }
    }

    /// Tells identity that a thing is gone, so that tokens it holds end at once and not a few seconds later.
    pub fn thing_removed(&self, thing: ThingId) {
        self.inner.directory.thing_removed(thing);
    }
}

impl Verified {
    fn of(claims: Claims) -> Result<Self> {
        let own = claims.heliograph;
        let principal = match own.kind {
            Kind::User => Principal::User(UserId(Uuid::parse_str(&own.id).map_err(|_| INVALID)?)),
            Kind::Thing => Principal::Thing(ThingId(Uuid::parse_str(&own.id).map_err(|_| INVALID)?)),
            Kind::Client => Principal::Client(own.id),
        };
        let permissions = match (own.role.as_deref(), own.permissions) {
            (Some("operator"), None) => Permissions::all(),
            (Some(role), None) => role.parse::<Role>().map_err(|_| INVALID)?.permissions(),
            (None, Some(names)) => Permissions::of(&names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<_>>()),
            _ => return Err(INVALID),
        };
        let issued = match claims.jti.get_timestamp() {
            Some(at) => {
                let (seconds, nanos) = at.to_unix();
                i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000).saturating_add(i64::from(nanos / 1_000_000))
            }
            None => claims.iat.saturating_mul(1_000),
        };
        Ok(Self {
            tenant: own.tenant,
            principal,
            permissions,
            key: own.key,
            session: own.session,
            id: claims.jti,
            issued,
            expires: claims.exp.saturating_mul(1_000_000),
            cnf: claims.cnf,
            elsewhere: own.elsewhere,
            client: claims.azp,
        })
    }
}

/// What a thing may do: hand in messages. What it may see of its own is the business of the verb it calls.
pub(crate) fn thing_permissions() -> Permissions {
    Permissions::of(&[Permission::MessageSubmit])
}

/// Permissions as a role's name where they are exactly that, else by name.
fn describe(permissions: Permissions) -> (Option<String>, Option<Vec<String>>) {
    if permissions == Permissions::all() {
        return (Some("operator".to_owned()), None);
    }
    match Role::ALL.iter().find(|role| role.permissions() == permissions) {
        Some(role) => (Some(role.name().to_owned()), None),
        None => (None, Some(permissions.iter().map(|p| p.name().to_owned()).collect())),
    }
}

fn second(at: Timestamp) -> Result<Timestamp> {
    Timestamp::from_second(at.as_second()).map_err(Error::internal)
}

fn audience_fits(aud: Option<&Audience>, profile: &TokenProfile) -> bool {
    match (profile.audience, aud) {
        (None, None) | (Some(ANY_AUDIENCE), Some(_)) => true,
        (Some(expected), Some(Audience::One(only))) => only == expected,
        (Some(expected), Some(Audience::Several(all))) => all.iter().any(|one| one == expected),
        _ => false,
    }
}

pub(crate) fn compact(key: &SigningKey, typ: Option<&str>, claims: &Map<String, Value>) -> Result<String> {
    #[derive(Serialize)]
    struct Jose<'a> {
        kid: &'a str,
        alg: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        typ: Option<&'a str>,
    }
    let header = serde_json::to_vec(&Jose { kid: &key.kid, alg: key.algorithm.name(), typ }).map_err(Error::internal)?;
    let claims = serde_json::to_vec(claims).map_err(Error::internal)?;
    let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 360);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// A header that asks for nothing we do not know: no key of its own, no critical extension, no compression.
pub(crate) fn read_header(token: &str) -> Result<Header> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| INVALID)?;
    let plain = header.crit.is_none()
        && header.jwk.is_none()
        && header.jku.is_none()
        && header.x5u.is_none()
        && header.x5c.is_none()
        && header.enc.is_none()
        && header.zip.is_none()
        && header.extras.get::<Value>("b64").is_ok_and(|b64| b64.is_none());
    if plain { Ok(header) } else { Err(INVALID) }
}

/// Checks the signature and reads the claims. Times, issuer and audience are the caller's to check, on our clock.
pub(crate) fn check_signature<T: serde::de::DeserializeOwned>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<T> {
    let mut validation = Validation::new(match algorithm {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
    });
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<T>(token, key, &validation).map(|data| data.claims).map_err(|_| INVALID)
}
