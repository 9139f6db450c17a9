//! Tokens, tenants, users, memberships, clients, API keys.

use identity::{ExposeSecret, IssuedToken, SecretString};
use jiff::Timestamp;
use model::{AuthMethod, Caller, Grant, PlanName, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{GrantWord, PermissionWord, PlanWord, RoleWord, Secret, nullable, present};

/// A credential: exactly one of e-mail and password, API key, client id and secret. Without a body: HTTP Basic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "alice@example.com", "password": "correct horse battery staple"}))]
pub struct TokenRequest {
    /// A user's e-mail address or user name.
    pub email: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// In which tenant, by id or name; the user's oldest membership when absent.
    pub tenant: Option<String>,
    /// An API key.
    pub api_key: Option<Secret>,
    /// An OAuth client's id.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<Secret>,
}

/// A fresh token.
#[derive(Serialize, ToSchema)]
pub struct Token {
    /// The token: a JWT signed with EdDSA (RFC 9068), for `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until it ends.
    #[schema(example = 3600)]
    pub expires_in: i64,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Token {
    /// The answer to a token request.
    pub fn of(token: IssuedToken) -> Self {
        let expires_in = token.expires.as_second() - token.issued.as_second();
        Self { access_token: token.token, token_type: "Bearer", expires_in, expires_at: token.expires }
    }
}

/// The token that shall end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// The token itself.
    pub token: Option<Secret>,
    /// Or its `jti`; operators only.
    pub id: Option<Uuid>,
}

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// `user:…`, `client:…` or `operator`.
    #[schema(example = "user:ecd13b11-6d91-4e8e-9156-60e451a3c975")]
    pub principal: String,
    /// The tenant this call looks at.
    pub tenant: Uuid,
    /// What the caller may do there.
    #[schema(value_type = Vec<PermissionWord>)]
    pub permissions: Vec<&'static str>,
    /// Every tenant the user is a member of; the oldest, its home, first.
    pub memberships: Vec<MyMembership>,
}

impl Me {
    /// The caller and its memberships.
    pub fn of(caller: &Caller, memberships: Vec<identity::MemberOf>) -> Self {
        Self {
            principal: caller.principal.label(),
            tenant: caller.tenant.uuid(),
            permissions: caller.permissions.iter().map(model::Permission::name).collect(),
            memberships: memberships.into_iter().map(MyMembership::from).collect(),
        }
    }
}

/// A tenant one is a member of.
#[derive(Debug, Serialize, ToSchema)]
pub struct MyMembership {
    /// The tenant.
    pub tenant: Tenant,
    /// As what.
    #[schema(value_type = RoleWord)]
    pub role: Role,
}

impl From<identity::MemberOf> for MyMembership {
    fn from(m: identity::MemberOf) -> Self {
        Self { tenant: m.tenant.into(), role: m.membership.role }
    }
}

/// A tenant, the unit of isolation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// Its name, unique on this gateway.
    #[schema(example = "acme")]
    pub name: String,
    /// The Flash Payments affiliation that leads here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "FP_AUS")]
    pub affiliation: Option<String>,
    /// Its plan.
    #[schema(value_type = PlanWord)]
    pub plan: PlanName,
    /// When the plan began; periods are months counted from here.
    pub plan_since: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

impl From<model::Tenant> for Tenant {
    fn from(t: model::Tenant) -> Self {
        Self { id: t.id.uuid(), name: t.name, affiliation: t.affiliation, plan: t.plan, plan_since: t.plan_since, created: t.created }
    }
}

/// A tenant to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "acme", "plan": "SAPPHIRE"}))]
pub struct NewTenant {
    /// Its id; made when absent.
    pub id: Option<Uuid>,
    /// Its name, unique on this gateway.
    pub name: String,
    /// The Flash Payments affiliation that shall lead here.
    pub affiliation: Option<String>,
    /// Its plan; AMBER when absent.
    #[schema(value_type = Option<PlanWord>)]
    pub plan: Option<PlanName>,
}

/// What to change of a tenant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"affiliation": null}))]
pub struct TenantPatch {
    /// A new name.
    #[serde(deserialize_with = "present")]
    pub name: Option<String>,
    /// A new affiliation; null removes it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub affiliation: Option<Option<String>>,
    /// A new plan; operators only.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<PlanWord>)]
    pub plan: Option<PlanName>,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Address, unique on this gateway.
    #[schema(example = "alice@example.com")]
    pub email: String,
    /// A second name to sign in by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// Was the address proved?
    pub verified: bool,
    /// Locked out?
    pub disabled: bool,
    /// Runs the gateway itself?
    pub operator: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl From<model::User> for User {
    fn from(u: model::User) -> Self {
        Self {
            id: u.id.uuid(),
            email: u.email,
            username: u.username,
            given_name: u.given_name,
            family_name: u.family_name,
            verified: u.verified,
            disabled: u.disabled,
            operator: u.operator,
            created: u.created,
            updated: u.updated,
        }
    }
}

/// A user to be. It becomes a member of the caller's tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "bob@example.com", "password": "correct horse battery staple", "role": "writer"}))]
pub struct NewUser {
    /// Its id; made when absent.
    pub id: Option<Uuid>,
    /// Address, unique on this gateway.
    pub email: String,
    /// A second name to sign in by.
    pub username: Option<String>,
    /// Without one the user cannot sign in by password.
    pub password: Option<Secret>,
    /// First name.
    pub given_name: Option<String>,
    /// Last name.
    pub family_name: Option<String>,
    /// Is the address proved?
    #[serde(default)]
    pub verified: bool,
    /// Runs the gateway; operators only.
    #[serde(default)]
    pub operator: bool,
    /// As what it joins the tenant; `user` when absent. An operator who leaves it out makes a user that belongs nowhere.
    #[schema(value_type = Option<RoleWord>)]
    pub role: Option<Role>,
}

/// What to change of a user.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"given_name": "Alice", "username": null}))]
pub struct UserPatch {
    /// A new address; it counts as unproved unless `verified` says otherwise.
    #[serde(deserialize_with = "present")]
    pub email: Option<String>,
    /// A new user name; null removes it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub username: Option<Option<String>>,
    /// A new first name; null removes it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub given_name: Option<Option<String>>,
    /// A new last name; null removes it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub family_name: Option<Option<String>>,
    /// Is the address proved? Not for oneself to say.
    #[serde(deserialize_with = "present")]
    pub verified: Option<bool>,
    /// Locked out? Not for oneself to say.
    #[serde(deserialize_with = "present")]
    pub disabled: Option<bool>,
    /// Runs the gateway? Operators only.
    #[serde(deserialize_with = "present")]
    pub operator: Option<bool>,
}

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password; every session of the user ends.
    pub password: Secret,
}

/// Must there be a second factor?
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorDemand {
    /// Must there?
    pub required: bool,
}

/// A user's second factor.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecondFactor {
    /// Since when there is one; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Recovery codes left.
    pub recovery_codes: u64,
    /// Must this user have one, by an administrator's word?
    pub required: bool,
    /// Must it, for whatever reason (a tenant of its demands one)?
    pub demanded: bool,
}

impl From<identity::FactorState> for SecondFactor {
    fn from(state: identity::FactorState) -> Self {
        let identity::FactorState { enrolled, recovery_codes, required, demanded } = state;
        Self { since: enrolled, recovery_codes, required, demanded }
    }
}

/// A user in the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// The person.
    pub user: User,
    /// As what.
    #[schema(value_type = RoleWord)]
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

impl From<identity::Member> for Member {
    fn from(m: identity::Member) -> Self {
        Self { user: m.user.into(), role: m.membership.role, since: m.membership.created }
    }
}

/// A membership.
#[derive(Debug, Serialize, ToSchema)]
pub struct Membership {
    /// The tenant.
    pub tenant: Uuid,
    /// The user.
    pub user: Uuid,
    /// As what.
    #[schema(value_type = RoleWord)]
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

impl From<model::Membership> for Membership {
    fn from(m: model::Membership) -> Self {
        Self { tenant: m.tenant.uuid(), user: m.user.uuid(), role: m.role, since: m.created }
    }
}

/// A member to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMembership {
    /// The user, by id; or give `email`.
    pub user: Option<Uuid>,
    /// The user, by e-mail address or user name.
    pub email: Option<String>,
    /// As what.
    #[schema(value_type = RoleWord)]
    pub role: Role,
}

/// What to change of a membership.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MembershipPatch {
    /// As what from now on.
    #[schema(value_type = RoleWord)]
    pub role: Role,
}

/// An OAuth client.
#[derive(Debug, Serialize, ToSchema)]
pub struct Client {
    /// Its client id, unique on this gateway.
    #[schema(example = "backend")]
    pub id: String,
    /// For people.
    pub name: String,
    /// Has no secret, so must use PKCE.
    pub public: bool,
    /// The grants it may use.
    #[schema(value_type = Vec<GrantWord>)]
    pub grants: Vec<Grant>,
    /// Where codes may be sent, compared letter by letter.
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for; those that are permissions (`thing:read`) bound what it may do itself.
    pub scopes: Vec<String>,
    /// How it proves itself; absent: by its secret, or not at all when public.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub auth_method: Option<AuthMethod>,
    /// Its public keys, a JWK set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<serde_json::Value>,
    /// The fingerprints of its certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub certificates: Vec<model::CertificateFingerprint>,
    /// Are its access tokens bound to its certificate?
    pub certificate_bound_tokens: bool,
    /// Is it refused tokens without DPoP?
    pub dpop_bound_tokens: bool,
    /// Must it push its authorization requests?
    pub require_pushed_requests: bool,
    /// The resources it may ask tokens for, beside the gateway.
    pub resources: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
}

impl From<model::Client> for Client {
    fn from(c: model::Client) -> Self {
        Self {
            id: c.id,
            name: c.name,
            public: c.public,
            grants: c.grants,
            redirect_uris: c.redirect_uris,
            scopes: c.scopes,
            auth_method: c.security.auth_method,
            jwks: c.security.jwks,
            certificates: c.security.certificates,
            certificate_bound_tokens: c.security.certificate_bound_tokens,
            dpop_bound_tokens: c.security.dpop_bound_tokens,
            require_pushed_requests: c.security.require_pushed_requests,
            resources: c.security.resources,
            created: c.created,
        }
    }
}

/// A client to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "backend", "grants": ["client_credentials"], "scopes": ["thing:read", "message:write"]}))]
pub struct NewClient {
    /// Its client id; made when absent.
    pub id: Option<String>,
    /// For people; the id when absent.
    pub name: Option<String>,
    /// Without a secret.
    #[serde(default)]
    pub public: bool,
    /// Its secret, 16 characters at least; made when absent.
    pub secret: Option<Secret>,
    /// The grants it may use.
    #[serde(default)]
    #[schema(value_type = Vec<GrantWord>)]
    pub grants: Vec<Grant>,
    /// Where codes may be sent.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Good in every tenant of its user, with all that the user may there; operators only.
    #[serde(default)]
    pub everywhere: bool,
    /// How it proves itself: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `self_signed_tls_client_auth`;
    /// absent: by its secret, or not at all when public.
    #[schema(value_type = Option<String>)]
    pub auth_method: Option<AuthMethod>,
    /// Its public keys, a JWK set, for `private_key_jwt`.
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<serde_json::Value>,
    /// Its certificates, PEM or fingerprint, for `self_signed_tls_client_auth`.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Bind its access tokens to its certificate (RFC 8705)?
    #[serde(default)]
    pub certificate_bound_tokens: bool,
    /// Refuse it tokens without DPoP (RFC 9449)?
    #[serde(default)]
    pub dpop_bound_tokens: bool,
    /// Refuse authorization requests it did not push (RFC 9126)?
    #[serde(default)]
    pub require_pushed_requests: bool,
    /// The resources it may ask tokens for, beside the gateway (RFC 8707).
    #[serde(default)]
    pub resources: Vec<String>,
}

/// A fresh client with its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedClient {
    /// The client.
    #[serde(flatten)]
    pub client: Client,
    /// Its secret, shown this once; absent for a public client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl CreatedClient {
    /// The answer to a creation.
    pub fn of(client: model::Client, secret: Option<&SecretString>) -> Self {
        Self { client: client.into(), secret: secret.map(|s| s.expose_secret().to_owned()) }
    }
}

/// An initial access token without the token itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct InitialToken {
    /// Its id.
    pub id: Uuid,
    /// For people.
    pub label: String,
    /// The grants its clients may use at most.
    #[schema(value_type = Vec<GrantWord>)]
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

impl From<identity::oauth::InitialToken> for InitialToken {
    fn from(t: identity::oauth::InitialToken) -> Self {
        Self { id: t.id, label: t.label, grants: t.grants, scopes: t.scopes, uses: t.uses, created: t.created, expires: t.expires }
    }
}

/// An initial access token to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "partners", "uses": 10}))]
pub struct NewInitialToken {
    /// For people.
    pub label: String,
    /// The grants its clients may use at most; absent: `authorization_code` and `refresh_token`.
    #[serde(default)]
    #[schema(value_type = Vec<GrantWord>)]
    pub grants: Vec<Grant>,
    /// The scopes its clients may ask for at most; absent: `openid`, `email`, `profile`, `offline_access`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How many clients it may make, 1 to 1,000; absent: one.
    pub uses: Option<u32>,
    /// When it ends, 90 days ahead at most; absent: in seven days.
    pub expires: Option<Timestamp>,
}

/// A fresh initial access token.
#[derive(Serialize, ToSchema)]
pub struct CreatedInitialToken {
    /// What it allows.
    #[serde(flatten)]
    pub initial_token: InitialToken,
    /// The token, shown this once.
    pub token: String,
}

/// An API key without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// The user it stands for.
    pub user: Uuid,
    /// What it is used for.
    pub label: String,
    /// The key's first characters, to tell keys apart.
    pub hint: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl From<model::ApiKey> for ApiKey {
    fn from(k: model::ApiKey) -> Self {
        Self { id: k.id.uuid(), user: k.user.uuid(), label: k.label, hint: k.hint, created: k.created, expires: k.expires }
    }
}

/// An API key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "weather station", "expires": "2030-01-01T00:00:00Z"}))]
pub struct NewApiKey {
    /// The user it stands for; the caller when absent.
    pub user: Option<Uuid>,
    /// What it is used for.
    #[serde(default)]
    pub label: String,
    /// The key, 16 characters at least; made when absent.
    pub key: Option<Secret>,
    /// When it ends; never when absent.
    pub expires: Option<Timestamp>,
}

/// A fresh API key.
#[derive(Serialize, ToSchema)]
pub struct CreatedApiKey {
    /// What is kept of it.
    #[serde(flatten)]
    pub api_key: ApiKey,
    /// The key itself, shown this once.
    pub key: String,
}

impl CreatedApiKey {
    /// The answer to a creation.
    pub fn of((api_key, key): identity::NewKey) -> Self {
        Self { api_key: api_key.into(), key: key.expose_secret().to_owned() }
    }
}
