//! Dynamic client registration (RFC 7591) and its management (RFC 7592).
//!
//! Nobody registers out of the blue: an owner makes an initial access token that says what its clients may use at most, how many
//! there may be, and until when. A client then manages itself by a registration access token of its own, and never gets more by it.

use std::time::Duration;

use jiff::Timestamp;
use model::{
    AuthMethod, Caller, Client, ClientSecurity, Denial, Error, Grant, Page, PageRequest, Permission, Permissions, Principal, Role,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use store::{ClientRecord, InitialTokenRecord};
use uuid::Uuid;

use super::{OAuthError, OAuthErrorCode as Code, SCOPES};
use crate::clients::takes_secret;
use crate::directory::client_permissions;
use crate::{AuditEvent, Change, Identity, NewClient, Origin, access, secret};

const TOKENS_MAX: usize = 100;
const USES_MAX: u32 = 1_000;
const LIFETIME: Duration = Duration::from_hours(7 * 24);
const LIFETIME_MAX: Duration = Duration::from_hours(90 * 24);

/// An initial access token to be.
#[derive(Clone, Debug, Default)]
pub struct NewInitialToken {
    /// For people.
    pub label: String,
    /// The grants its clients may use at most; empty: `authorization_code` and `refresh_token`.
    pub grants: Vec<Grant>,
    /// The scopes its clients may ask for at most; empty: `openid`, `email`, `profile`, `offline_access`.
    pub scopes: Vec<String>,
    /// How many clients it may make, 1 to 1,000; absent: one.
    pub uses: Option<u32>,
    /// When it ends, 90 days ahead at most; absent: in seven days.
    pub expires: Option<Timestamp>,
}

/// An initial access token without the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialToken {
    /// Its public handle.
    pub id: Uuid,
    /// For people.
    pub label: String,
    /// The grants its clients may use at most.
    pub grants: Vec<Grant>,
    /// The scopes its clients may ask for at most.
    pub scopes: Vec<String>,
    /// How many clients it may still make.
    pub uses: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl From<InitialTokenRecord> for InitialToken {
    fn from(r: InitialTokenRecord) -> Self {
        let uses = u32::try_from(r.uses).unwrap_or(0);
        Self { id: r.id, label: r.label, grants: r.grants, scopes: r.scopes, uses, created: r.created, expires: r.expires }
    }
}

/// What a client is told of its registration (RFC 7591 3.2.1); its address is the face's to add.
#[derive(Debug)]
pub struct Registered {
    /// The client's id.
    pub id: String,
    /// The client information response but for `registration_client_uri`.
    pub metadata: Map<String, Value>,
}

fn unfit(why: impl Into<String>) -> OAuthError {
    OAuthError::new(Code::InvalidClientMetadata, why)
}

fn no_token() -> OAuthError {
    OAuthError::new(Code::InvalidToken, "the access token for registration is not valid")
}

fn wire(grant: Grant) -> &'static str {
    match grant {
        Grant::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        Grant::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        other => other.name(),
    }
}

/// A model's error in the words of RFC 7591 3.2.2.
fn told(error: Error) -> OAuthError {
    match error {
        Error::Invalid { field: "redirect_uris", reason } => OAuthError::new(Code::InvalidRedirectUri, reason),
        Error::Invalid { field, reason } => unfit(format!("{field}: {reason}")),
        Error::Forbidden(denial) => unfit(denial.to_string()),
        other => other.into(),
    }
}

/// What a client's metadata ask for, within what it may have.
fn read(metadata: &Map<String, Value>, grants: &[Grant], scopes: &[String]) -> Result<NewClient, OAuthError> {
    let text = |name: &str| match metadata.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(unfit(format!("{name} is not a text"))),
    };
    let flag = |name: &str| match metadata.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(unfit(format!("{name} is not true or false"))),
    };
    let list = |name: &str, default: &[&str]| match metadata.get(name) {
        None | Some(Value::Null) => Ok(default.iter().map(|&d| d.to_owned()).collect::<Vec<String>>()),
        Some(Value::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.ok_or_else(|| unfit(format!("{name} is not a list of texts")))
        }
        Some(_) => Err(unfit(format!("{name} is not a list"))),
    };
    // What is not done here must not look as if it were.
    for (name, only) in [("id_token_signed_response_alg", "RS256"), ("subject_type", "public")] {
        if text(name)?.is_some_and(|asked| asked != only) {
            return Err(unfit(format!("{name} can only be {only}")));
        }
    }
    for name in [
        "jwks_uri",
        "software_statement",
        "sector_identifier_uri",
        "id_token_encrypted_response_alg",
        "userinfo_signed_response_alg",
        "userinfo_encrypted_response_alg",
        "request_object_signing_alg",
    ] {
        if metadata.contains_key(name) {
            return Err(unfit(format!("{name} is not supported")));
        }
    }
    let mut asked = Vec::new();
    for name in list("grant_types", &["authorization_code"])? {
        let grant = grants.iter().copied().find(|grant| wire(*grant) == name);
        asked.push(grant.ok_or_else(|| unfit("grant_types holds one that this registration may not use"))?);
    }
    let code = asked.contains(&Grant::AuthorizationCode);
    if list("response_types", if code { &["code"] } else { &[] })?.iter().any(|kind| kind != "code" || !code) {
        return Err(unfit("response_types can only be code, with the grant authorization_code"));
    }
    let redirect_uris = list("redirect_uris", &[])?;
    if code && redirect_uris.is_empty() {
        return Err(OAuthError::new(Code::InvalidRedirectUri, "redirect_uris is missing"));
    }
    let method = match text("token_endpoint_auth_method")? {
        Some(name) => name.parse().map_err(|_| unfit("token_endpoint_auth_method is not supported"))?,
        None => AuthMethod::ClientSecretBasic,
    };
    let scopes: Vec<String> = match text("scope")? {
        Some(asked) => scopes.iter().filter(|scope| asked.split(' ').any(|a| a == *scope)).cloned().collect(),
        None => scopes.to_vec(),
    };
    if scopes.is_empty() {
        return Err(unfit("none of the scopes asked for may be had by this registration"));
    }
    Ok(NewClient {
        name: text("client_name")?.map(str::to_owned),
        public: method == AuthMethod::None,
        grants: asked,
        redirect_uris,
        scopes,
        everywhere: false,
        auth_method: Some(method),
        jwks: metadata.get("jwks").filter(|jwks| !jwks.is_null()).cloned(),
        certificate_bound_tokens: flag("tls_client_certificate_bound_access_tokens")?,
        dpop_bound_tokens: flag("dpop_bound_access_tokens")?,
        require_pushed_requests: flag("require_pushed_authorization_requests")?,
        ..NewClient::default()
    })
}

/// What a client may be allowed on its own behalf at most. A client that never acts on its own behalf is not measured by that.
fn bounds(new: &NewClient, scopes: &[String]) -> Permissions {
    let own = new.grants.contains(&Grant::ClientCredentials);
    client_permissions(if own { scopes } else { &new.scopes })
}

/// A client's metadata as its RFC spells them.
fn metadata(client: &Client) -> Map<String, Value> {
    let ClientSecurity { auth_method, jwks, certificate_bound_tokens, dpop_bound_tokens, require_pushed_requests, .. } = &client.security;
    let method = auth_method.unwrap_or(if client.public { AuthMethod::None } else { AuthMethod::ClientSecretBasic });
    let code = client.grants.contains(&Grant::AuthorizationCode);
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("client_id", json!(client.id));
    put("client_id_issued_at", json!(client.created.as_second()));
    put("client_name", json!(client.name));
    put("redirect_uris", json!(client.redirect_uris));
    put("grant_types", json!(client.grants.iter().map(|grant| wire(*grant)).collect::<Vec<_>>()));
    put("response_types", if code { json!(["code"]) } else { json!([]) });
    put("token_endpoint_auth_method", json!(method));
    put("scope", json!(client.scopes.join(" ")));
    put("id_token_signed_response_alg", json!("RS256"));
    put("tls_client_certificate_bound_access_tokens", json!(certificate_bound_tokens));
    put("dpop_bound_access_tokens", json!(dpop_bound_tokens));
    put("require_pushed_authorization_requests", json!(require_pushed_requests));
    if let Some(jwks) = jwks {
        put("jwks", jwks.clone());
    }
    all
}

impl Identity {
    /// Makes an initial access token; it is told this once. Owners only.
    pub async fn create_initial_token(&self, caller: &Caller, new: NewInitialToken) -> model::Result<(InitialToken, SecretString)> {
        let outcome = self.do_create_initial_token(caller, new).await;
        let target = outcome.as_ref().ok().map(|(made, _)| format!("initial_token:{}", made.id));
        self.audited(caller, "initial_token.created", target, outcome)
    }

    async fn do_create_initial_token(&self, caller: &Caller, new: NewInitialToken) -> model::Result<(InitialToken, SecretString)> {
        caller.require(Permission::ClientWrite)?;
        let label = access::text("label", &new.label)?;
        let uses = new.uses.unwrap_or(1);
        if !(1..=USES_MAX).contains(&uses) {
            return Err(Error::invalid("uses", format!("must be 1 to {USES_MAX}")));
        }
        let now = self.clock().now();
        let expires = new.expires.unwrap_or(now + LIFETIME);
        if expires <= now || expires > now + LIFETIME_MAX {
            return Err(Error::invalid("expires", "must be ahead, by 90 days at most"));
        }
        let grants = if new.grants.is_empty() { vec![Grant::AuthorizationCode, Grant::RefreshToken] } else { new.grants };
        let scopes = if new.scopes.is_empty() { SCOPES.iter().map(|&s| s.to_owned()).collect() } else { new.scopes };
        // What its clients may have at most is checked as if it were one of them.
        let shape = self.new_client(caller, &NewClient { grants, scopes, public: true, ..NewClient::default() })?;
        let mut tx = self.inner.db.begin().await?;
        if access::rank_of(&mut tx, caller).await? < access::rank(Role::Owner) {
            return Err(Error::Forbidden(Denial::Rule("only an owner lets clients register themselves")));
        }
        tx.prune_oauth_more(now).await?;
        let page = PageRequest { limit: u32::try_from(TOKENS_MAX).unwrap_or(u32::MAX), cursor: None };
        if tx.initial_tokens(caller.tenant, None, &page).await?.len() >= TOKENS_MAX {
            return Err(Error::conflict("initial access tokens", format!("at most {TOKENS_MAX} at a time")));
        }
        let record = InitialTokenRecord {
            id: self.clock().new_id(),
            tenant: caller.tenant,
            label,
            grants: shape.grants,
            scopes: shape.scopes,
            uses: i64::from(uses),
            created: now,
            expires,
        };
        let token = secret::random_secret("hgi_");
        tx.insert_initial_token(&secret::hash_secret(token.expose_secret()), &record).await?;
        tx.commit().await?;
        Ok((record.into(), token))
    }

    /// The initial access tokens of the caller's tenant, oldest first.
    pub async fn initial_tokens(&self, caller: &Caller, page: &PageRequest) -> model::Result<Page<InitialToken>> {
        caller.require(Permission::ClientRead)?;
        let after = access::cursor::<Uuid>(page.cursor.as_deref())?;
        let rows = self.inner.db.read().await?.initial_tokens(caller.tenant, after, page).await?;
        Ok(Page::cut(rows, page.limit, |r| r.id.to_string()).map(InitialToken::from))
    }

    /// Removes an initial access token; clients it made stay.
    pub async fn delete_initial_token(&self, caller: &Caller, id: Uuid) -> model::Result<()> {
        let outcome = self.do_delete_initial_token(caller, id).await;
        self.audited(caller, "initial_token.deleted", Some(format!("initial_token:{id}")), outcome)
    }

    async fn do_delete_initial_token(&self, caller: &Caller, id: Uuid) -> model::Result<()> {
        caller.require(Permission::ClientWrite)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.delete_initial_token(caller.tenant, id).await? {
            return Err(Error::not_found("initial access token"));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Registers a client (RFC 7591 3.1) with an initial access token.
    pub async fn register_client(&self, bearer: &str, asked: &Map<String, Value>, origin: &Origin) -> Result<Registered, OAuthError> {
        self.inner.limiter.admit(origin.address)?;
        let found = self.inner.db.read().await?.initial_token(&secret::hash_secret(bearer)).await?;
        let Some(initial) = found.filter(|initial| initial.expires > self.clock().now() && initial.uses > 0) else {
            self.inner.limiter.fail_address(origin.address);
            return Err(no_token());
        };
        let new = read(asked, &initial.grants, &initial.scopes)?;
        let maker = Caller {
            tenant: initial.tenant,
            principal: Principal::Client(format!("initial_token:{}", initial.id)),
            permissions: bounds(&new, &initial.scopes),
            request: origin.request,
            address: origin.address,
        };
        let client = self.new_client(&maker, &new).map_err(told)?;
        let password = takes_secret(&client).then(|| secret::random_secret("hgs_"));
        let hash = password.as_ref().map(|p| secret::hash_secret(p.expose_secret()));
        let management = secret::random_secret("hgr_");
        let mut tx = self.inner.db.begin().await?;
        if !tx.use_initial_token(initial.id).await? {
            return Err(no_token());
        }
        tx.insert_client(&client, hash.as_ref().map(<[u8; 32]>::as_slice)).await?;
        tx.set_client_registration(&client.id, &secret::hash_secret(management.expose_secret())).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        self.registration_event(&client, format!("initial_token:{}", initial.id), "client.registered", origin);
        let mut all = metadata(&client);
        if let Some(password) = password {
            all.insert("client_secret".to_owned(), json!(password.expose_secret()));
            all.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        all.insert("registration_access_token".to_owned(), json!(management.expose_secret()));
        Ok(Registered { id: client.id, metadata: all })
    }

    /// A registered client reads its metadata (RFC 7592 2.1). Its secret is kept as a hash and cannot be told again.
    pub async fn registration(&self, id: &str, bearer: &str, origin: &Origin) -> Result<Registered, OAuthError> {
        let record = self.registered(id, bearer, origin).await?;
        Ok(Registered { id: record.client.id.clone(), metadata: metadata(&record.client) })
    }

    /// A registered client replaces its metadata (RFC 7592 2.2). Grants and scopes can be narrowed, never widened.
    pub async fn change_registration(
        &self,
        id: &str,
        bearer: &str,
        asked: &Map<String, Value>,
        origin: &Origin,
    ) -> Result<Registered, OAuthError> {
        let record = self.registered(id, bearer, origin).await?;
        if asked.get("client_id").and_then(Value::as_str) != Some(id) {
            return Err(OAuthError::invalid_request("client_id is not this client's"));
        }
        for name in ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"] {
            if asked.contains_key(name) {
                return Err(OAuthError::invalid_request(format!("{name} is not the client's to say")));
            }
        }
        if let Some(given) = asked.get("client_secret") {
            let hash = secret::hash_secret(given.as_str().unwrap_or_default());
            if !record.secret_hash.as_deref().is_some_and(|known| secret::same_hash(known, &hash)) {
                return Err(OAuthError::invalid_request("client_secret is not this client's"));
            }
        }
        let old = &record.client;
        let new = NewClient { id: Some(old.id.clone()), ..read(asked, &old.grants, &old.scopes)? };
        let maker = Caller {
            tenant: old.tenant,
            principal: Principal::Client(old.id.clone()),
            permissions: bounds(&new, &old.scopes),
            request: origin.request,
            address: origin.address,
        };
        let described = self.new_client(&maker, &new).map_err(told)?;
        let resources = old.security.resources.clone();
        let client = Client { created: old.created, security: ClientSecurity { resources, ..described.security.clone() }, ..described };
        let fresh = (takes_secret(&client) && record.secret_hash.is_none()).then(|| secret::random_secret("hgs_"));
        let hash = match &fresh {
            Some(fresh) => Some(secret::hash_secret(fresh.expose_secret()).to_vec()),
            None => record.secret_hash.filter(|_| takes_secret(&client)),
        };
        let mut tx = self.inner.db.begin().await?;
        if !tx.update_client(&client, hash.as_deref()).await? {
            return Err(no_token());
        }
        tx.commit().await?;
        self.inner.announce(Change::ClientRemoved(client.id.clone()));
        self.registration_event(&client, maker.principal.label(), "client.updated", origin);
        let mut all = metadata(&client);
        if let Some(fresh) = fresh {
            all.insert("client_secret".to_owned(), json!(fresh.expose_secret()));
            all.insert("client_secret_expires_at".to_owned(), json!(0));
        }
        Ok(Registered { id: client.id, metadata: all })
    }

    /// A registered client removes itself (RFC 7592 2.3); its tokens end at once.
    pub async fn end_registration(&self, id: &str, bearer: &str, origin: &Origin) -> Result<(), OAuthError> {
        let record = self.registered(id, bearer, origin).await?;
        let mut tx = self.inner.db.begin().await?;
        tx.delete_client(record.client.tenant, id).await?;
        tx.commit().await?;
        self.inner.announce(Change::ClientRemoved(id.to_owned()));
        self.registration_event(&record.client, Principal::Client(id.to_owned()).label(), "client.deleted", origin);
        Ok(())
    }

    /// The client of that id, if this is its registration access token. A client that is not there looks the same (RFC 7592 2.1).
    async fn registered(&self, id: &str, bearer: &str, origin: &Origin) -> Result<ClientRecord, OAuthError> {
        self.inner.limiter.admit(origin.address)?;
        let record = if id.len() <= 128 { self.inner.db.read().await?.client(id).await? } else { None };
        let hash = secret::hash_secret(bearer);
        let stored = record.as_ref().and_then(|r| r.registration_hash.as_deref()).unwrap_or(&[0; 32]);
        let same = secret::same_hash(&hash, stored);
        match record.filter(|record| same && record.registration_hash.is_some()) {
            Some(record) => Ok(record),
            None => {
                self.inner.limiter.fail_address(origin.address);
                Err(no_token())
            }
        }
    }

    fn registration_event(&self, client: &Client, actor: String, action: &'static str, origin: &Origin) {
        self.record(AuditEvent {
            tenant: Some(client.tenant),
            actor,
            action,
            target: Some(format!("client:{}", client.id)),
            allowed: true,
            detail: None,
            address: origin.address,
        });
    }
}
