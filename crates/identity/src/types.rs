//! What goes in and comes out of the verbs: pure shapes.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use model::{ApiKeyId, Caller, Client, Clock, Membership, PlanName, RequestId, Tenant, TenantId, User, UserId};
use secrecy::SecretString;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{MasterKey, PasswordCost, RateLimits};

/// What [`Identity::open`](crate::Identity::open) needs to know; [`Options::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock of everything: lifetimes, limits, certificates.
    pub clock: Clock,
    /// Where clients reach the gateway; issuers are built from it.
    pub public_url: String,
    /// Seals private keys at rest.
    pub master_key: MasterKey,
    /// Cost of a new password hash.
    pub password: PasswordCost,
    /// Failures allowed per account and per address.
    pub limits: RateLimits,
    /// Password hashes that may wait for a core; one more is refused as unavailable.
    pub hash_queue: usize,
    /// How long a successful password check is remembered in memory.
    pub remember_passwords: Duration,
    /// How long a new signing key is published before it signs.
    pub key_lead: Duration,
    /// The plan of tenants that register themselves.
    pub registration_plan: PlanName,
    /// May any signed-in user found tenants?
    pub found_tenants: bool,
    /// How long the audit trail is kept.
    pub audit_retention: Duration,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(clock: Clock, public_url: impl Into<String>, master_key: MasterKey) -> Self {
        Self {
            clock,
            public_url: public_url.into(),
            master_key,
            password: PasswordCost::default(),
            limits: RateLimits::default(),
            hash_queue: 256,
            remember_passwords: Duration::from_mins(5),
            key_lead: Duration::from_mins(10),
            registration_plan: PlanName::Amber,
            found_tenants: true,
            audit_retention: Duration::from_hours(400 * 24),
        }
    }
}

/// Where a request comes from, for limits and audit.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The peer's address, if over the network.
    pub address: Option<IpAddr>,
    /// `Client-Id`, user agent or whatever the peer calls itself.
    pub label: Option<String>,
    /// The request.
    pub request: RequestId,
}

/// What a peer shows to prove who it is.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A user by e-mail or user name.
    Password {
        /// E-mail or user name.
        login: &'a str,
        /// The password.
        password: &'a str,
    },
    /// An API key alone.
    ApiKey {
        /// The key.
        key: &'a str,
    },
    /// An API key in the place of its user's password.
    ApiKeyOf {
        /// E-mail or user name of the key's user.
        login: &'a str,
        /// The key.
        key: &'a str,
    },
    /// An OAuth client.
    Client {
        /// The client id.
        id: &'a str,
        /// The client secret.
        secret: &'a str,
    },
    /// A device with a shared secret.
    Thing {
        /// Thing id, or key.
        handle: &'a str,
        /// The secret.
        secret: &'a str,
    },
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { login, .. } => write!(f, "Password({login:?})"),
            Self::ApiKey { .. } => f.write_str("ApiKey"),
            Self::ApiKeyOf { login, .. } => write!(f, "ApiKeyOf({login:?})"),
            Self::Client { id, .. } => write!(f, "Client({id:?})"),
            Self::Thing { handle, .. } => write!(f, "Thing({handle:?})"),
        }
    }
}

/// In which tenant a user signs in; clients, things and API keys have one of their own and may only name that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantChoice<'a> {
    /// The user's oldest membership; an operator without any: the default tenant.
    Home,
    /// That tenant.
    Id(TenantId),
    /// The tenant of that name.
    Named(&'a str),
}

/// A recognised peer.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The caller, with everything its role permits.
    pub caller: Caller,
    /// The user, unless a client or thing signed in.
    pub user: Option<User>,
    /// The user's membership; absent for an operator in a tenant it is no member of.
    pub membership: Option<Membership>,
    /// The client that signed in on its own behalf.
    pub client: Option<Client>,
    /// The API key that was shown.
    pub api_key: Option<ApiKeyId>,
}

/// A token profile's signature algorithm (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2,048-bit keys.
    Rs256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-512; one key per profile.
    Hs512,
}

impl Algorithm {
    /// The name in a JOSE header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
            Self::Hs512 => "HS512",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rs256, Self::EdDsa, Self::Hs512].into_iter().find(|a| a.name() == name)
    }
}

/// A dialect's tokens. Tokens of one profile are never accepted for another.
#[derive(Clone, Copy, Debug)]
pub struct TokenProfile {
    /// Stored in the claim that separates profiles.
    pub name: &'static str,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// `iss`, from the public URL.
    pub issuer: fn(public_url: &str) -> String,
    /// `aud`; absent: tokens carry none, and one that does is refused.
    pub audience: Option<&'static str>,
    /// How long they are valid.
    pub lifetime: Duration,
    /// The dialect's own claims. `iss`, `aud`, `exp`, `iat`, `jti` and `heliograph` are not theirs to set; `sub` is.
    pub claims: fn(&TokenFacts<'_>) -> Map<String, Value>,
    /// The JOSE header's `typ`, checked letter by letter; absent: no `typ`.
    pub typ: Option<&'static str>,
}

/// What a dialect may build its claims from.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts<'a> {
    /// Whom the token speaks for.
    pub caller: &'a Caller,
    /// The user, if one.
    pub user: Option<&'a User>,
    /// The user's membership.
    pub membership: Option<&'a Membership>,
    /// The client that signed in on its own behalf.
    pub client: Option<&'a Client>,
    /// The token's id (`jti`).
    pub id: Uuid,
    /// `iat`.
    pub issued: Timestamp,
    /// `exp`.
    pub expires: Timestamp,
    /// The label the token was asked for with (FlashLex `Client-Id`).
    pub label: Option<&'a str>,
    /// The gateway's public URL.
    pub public_url: &'a str,
}

/// A fresh token.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token itself (JWS compact form).
    pub token: String,
    /// Its `jti`.
    pub id: Uuid,
    /// When it was made, to the second.
    pub issued: Timestamp,
    /// When it ends, to the second.
    pub expires: Timestamp,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Which token is meant.
#[derive(Clone, Copy)]
pub enum TokenRef<'a> {
    /// The token itself (RFC 7009); its own bearer may always revoke it.
    Text(&'a str),
    /// Its `jti`; only an operator may revoke by id alone.
    Id(Uuid),
}

/// A signing key, without its private half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyInfo {
    /// Its `kid`.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The one profile it signs for (HS512), or absent: every profile of that algorithm.
    pub profile: Option<String>,
    /// When it was made, and published.
    pub created: Timestamp,
    /// When it begins to sign.
    pub signs_from: Timestamp,
    /// When its successor takes over; absent: none is made yet.
    pub signs_until: Option<Timestamp>,
    /// When the last token it signed has expired; absent while it signs.
    pub verifies_until: Option<Timestamp>,
    /// Does it sign new tokens now?
    pub current: bool,
}

/// What an `ensure_…` found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was there and differed.
    Updated,
    /// It was there as asked for.
    Unchanged,
}

/// What the first start made.
#[derive(Debug)]
pub struct FirstStart {
    /// The tenant `main`.
    pub tenant: Tenant,
    /// The operator.
    pub user: User,
    /// The operator's password, told this once.
    pub password: SecretString,
}

/// A registration that waits for its code.
#[derive(Debug)]
pub struct Pending {
    /// The address the mail goes to.
    pub email: String,
    /// Six digits for the mailer, never for the answer to the caller. Absent: the address has an account already, and the mail says that.
    pub code: Option<SecretString>,
    /// When the code ends.
    pub expires: Timestamp,
}

/// Which part of the audit trail is asked for; absent fields match everything.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
    /// Exactly this actor (`user:…`).
    pub actor: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// Only what happened, or only what was refused.
    pub allowed: Option<bool>,
    /// Every tenant's trail, and lines that belong to none; operators only.
    pub everywhere: bool,
}

/// Something for the audit trail.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// The tenant it concerns.
    pub tenant: Option<TenantId>,
    /// Who, as [`Principal::label`](model::Principal::label) names it.
    pub actor: String,
    /// What, `noun.verb`.
    pub action: &'static str,
    /// On what, `noun:id`.
    pub target: Option<String>,
    /// Did it happen?
    pub allowed: bool,
    /// Why, or with what; never a secret.
    pub detail: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
}

impl AuditEvent {
    /// A caller did this in its tenant.
    #[must_use]
    pub fn done(caller: &Caller, action: &'static str, target: impl Into<Option<String>>) -> Self {
        Self {
            tenant: Some(caller.tenant),
            actor: caller.principal.label(),
            action,
            target: target.into(),
            allowed: true,
            detail: None,
            address: caller.address,
        }
    }

    /// A caller was refused this.
    #[must_use]
    pub fn refused(caller: &Caller, action: &'static str, target: impl Into<Option<String>>, why: impl fmt::Display) -> Self {
        Self { allowed: false, detail: Some(why.to_string()), ..Self::done(caller, action, target) }
    }

    /// The same with a remark.
    #[must_use]
    pub fn detail(self, detail: impl fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..self }
    }
}

/// Something changed that live sessions and streams must heed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A user was disabled, removed, or got another password or other rights.
    UserChanged(UserId),
    /// A user is no longer a member of a tenant, or as something else.
    MemberChanged {
        /// The tenant.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// Is it still a member?
        removed: bool,
    },
    /// The token of this id was revoked.
    TokenRevoked(Uuid),
    /// An API key was removed.
    KeyRemoved(ApiKeyId),
    /// A client was removed or changed.
    ClientRemoved(String),
    /// A tenant was removed, with all that was its.
    TenantRemoved(TenantId),
}
