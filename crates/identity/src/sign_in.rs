//! Credential checks: limited, the same work for the known and the unknown, one refusal for every reason, audited.

use std::sync::Arc;

use model::{Caller, Denial, Error, Membership, Permission, Permissions, Principal, Result, TenantId, ThingId, User, UserId};

use crate::FACTOR_DEMANDED;
use crate::directory::{Standing, client_permissions, normalize_login};
use crate::password::Passwords;
use crate::tokens::thing_permissions;
use crate::{AuditEvent, Credential, Identity, Origin, SignedIn, TenantChoice, secret};

/// The one answer to whoever fails, whatever was wrong: it must not tell which accounts exist.
pub(crate) const REFUSED: Error = Error::Unauthenticated { reason: "the credentials are not valid" };
/// The password is right, but its owner has not followed the link in the mail yet.
pub const UNPROVED: Error = Error::Forbidden(Denial::Rule("the e-mail address is not proved yet; follow the link in the mail"));
const NOT_A_MEMBER: Error = Error::Forbidden(Denial::Rule("not a member of that tenant"));
const NO_TENANT: Error = Error::Forbidden(Denial::Rule("the user belongs to no tenant"));
/// The longest handle, secret or key looked at, in bytes.
const TEXT_MAX: usize = 1_024;

/// A refusal with what the trail may know and the caller may not.
struct Refusal {
    error: Error,
    tenant: Option<TenantId>,
    why: &'static str,
}

impl Refusal {
    fn because(why: &'static str) -> Self {
        Self { error: REFUSED, tenant: None, why }
    }

    fn of(standing: &Standing, why: &'static str) -> Self {
        Self { error: REFUSED, tenant: standing.memberships.first().map(|m| m.tenant), why }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, tenant: None, why: "" }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

type Checked<T> = std::result::Result<T, Refusal>;

impl Identity {
    /// Checks a credential. Failures are limited per account and per address ([`Error::TooMany`]); a full password queue
    /// is [`Error::Unavailable`]; everything else that is wrong with a credential is one and the same
    /// [`Error::Unauthenticated`]. Good credentials for a tenant one has no part in are [`Error::Forbidden`].
    pub async fn sign_in(&self, credential: Credential<'_>, tenant: TenantChoice<'_>, origin: &Origin) -> Result<SignedIn> {
        let signed_in = self.heard(credential, self.check(credential, tenant, origin).await, origin)?;
        let how = if signed_in.api_key.is_some() { "API key" } else { method(credential) };
        self.record(AuditEvent::done(&signed_in.caller, "sign_in", None).detail(how));
        Ok(signed_in)
    }

    /// A user's password alone, for who asks for the second factor next; a good one leaves no line in the trail yet.
    pub(crate) async fn prove_password(&self, login: &str, password: &str, origin: &Origin) -> Result<SignedIn> {
        let credential = Credential::Password { login, password };
        let checked = async {
            self.inner.limiter.admit(origin.address)?;
            let standing = self.by_password(login, password, None, origin).await?;
            self.user_in(&standing, TenantChoice::Home, origin).await
        };
        self.heard(credential, checked.await, origin)
    }

    /// Writes a refusal into the trail, and tells less of it.
    fn heard(&self, credential: Credential<'_>, checked: Checked<SignedIn>, origin: &Origin) -> Result<SignedIn> {
        match checked {
            Ok(signed_in) => Ok(signed_in),
            Err(refusal) => {
                let (action, why) = match &refusal.error {
                    error if *error == FACTOR_DEMANDED => ("sign_in.refused", "a second factor is demanded"),
                    Error::Unauthenticated { .. } => ("sign_in.refused", refusal.why),
                    Error::Forbidden(_) => ("sign_in.refused", "not a member of the tenant"),
                    Error::TooMany { .. } => ("sign_in.limited", "too many failures"),
                    _ => return Err(refusal.error),
                };
                self.record(AuditEvent {
                    tenant: refusal.tenant,
                    actor: claimed(credential),
                    action,
                    target: None,
                    allowed: false,
                    detail: Some(format!("{}: {why}", method(credential))),
                    address: origin.address,
                });
                Err(refusal.error)
            }
        }
    }

    async fn check(&self, credential: Credential<'_>, tenant: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        self.inner.limiter.admit(origin.address)?;
        match credential {
            Credential::Password { login, password } => self.check_password(login, password, tenant, origin).await,
            Credential::ApiKey { key } => self.check_key(None, key, tenant, origin).await,
            Credential::ApiKeyOf { login, key } => self.check_key(Some(login), key, tenant, origin).await,
            Credential::Client { id, secret } => self.check_client(id, secret, tenant, origin).await,
            Credential::Thing { handle, secret } => self.check_thing(handle, secret, tenant, origin).await,
        }
    }

    async fn check_password(&self, login: &str, password: &str, tenant: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        // Where a password alone does not do, an API key in its place does: an app password.
        if let Some(standing) = self.inner.directory.user_by_login(login).await?
            && standing.factor.demanded()
            && password.len() <= TEXT_MAX
            && let Some(key) = self.inner.directory.api_key(secret::hash_secret(password)).await?
            && key.user == standing.record.user.id
        {
            return self.check_key(Some(login), password, tenant, origin).await;
        }
        let standing = self.by_password(login, password, None, origin).await?;
        let signed_in = self.user_in(&standing, tenant, origin).await?;
        // An operator is no member of every tenant whose rules it comes under.
        let there = signed_in.caller.tenant;
        let demanded = standing.factor.demanded_in(there)
            || (signed_in.membership.is_none() && self.inner.db.read().await?.tenant_requires_factor(there).await?);
        if demanded { Err(Refusal { error: FACTOR_DEMANDED, tenant: Some(there), why: "" }) } else { Ok(signed_in) }
    }

    /// A user's password checked, wherever the user belongs, if anywhere: for faces whose tokens speak for a person and not for
    /// a person in one tenant. A user whose address must be proved first is [`UNPROVED`], told only with the right password.
    pub async fn sign_in_person(&self, login: &str, password: &str, origin: &Origin) -> Result<User> {
        let credential = Credential::Password { login, password };
        let event = |actor: String, tenant: Option<TenantId>, why: Option<&str>| AuditEvent {
            tenant,
            actor,
            action: if why.is_none() { "sign_in" } else { "sign_in.refused" },
            target: None,
            allowed: why.is_none(),
            detail: Some(why.map_or_else(|| method(credential).to_owned(), |why| format!("{}: {why}", method(credential)))),
            address: origin.address,
        };
        match self.check_person(login, password, origin).await {
            Ok(standing) => {
                let user = standing.record.user.clone();
                let home = standing.memberships.first().map(|m| m.tenant);
                self.record(event(Principal::User(user.id).label(), home, None));
                Ok(user)
            }
            Err(refusal) => {
                let why = match &refusal.error {
                    Error::TooMany { .. } => "too many failures",
                    Error::Unauthenticated { .. } => refusal.why,
                    error if *error == FACTOR_DEMANDED => "a second factor is demanded",
                    Error::Forbidden(_) => "the address is not proved",
                    _ => return Err(refusal.error),
                };
                self.record(event(claimed(credential), refusal.tenant, Some(why)));
                Err(refusal.error)
            }
        }
    }

    async fn check_person(&self, login: &str, password: &str, origin: &Origin) -> Checked<Arc<Standing>> {
        self.inner.limiter.admit(origin.address)?;
        let mut waiting = None;
        if let Some(standing) = self.inner.directory.user_by_login(login).await?
            && standing.record.password.is_none()
        {
            waiting = self.inner.db.read().await?.user_attributes(standing.record.user.id).await?.and_then(|a| a.waiting).map(|w| w.0);
        }
        let unproved = waiting.is_some();
        let standing = self.by_password(login, password, waiting, origin).await?;
        if unproved {
            return Err(UNPROVED.into());
        }
        if standing.factor.demanded() {
            return Err(Refusal { error: FACTOR_DEMANDED, tenant: standing.memberships.first().map(|m| m.tenant), why: "" });
        }
        Ok(standing)
    }

    /// The user of that name and password; `waiting` is the hash of a password that is not in force yet.
    async fn by_password(&self, login: &str, password: &str, waiting: Option<String>, origin: &Origin) -> Checked<Arc<Standing>> {
        let inner = &self.inner;
        let standing = inner.directory.user_by_login(login).await?;
        let stored = waiting.or_else(|| standing.as_ref().and_then(|s| s.record.password.clone()));
        // Both of a user's names share one allowance; what no user is called has one of its own.
        let account = match &standing {
            Some(standing) => user_account(standing.record.user.id),
            None => format!("login:{}", normalize_login(login).unwrap_or_default()),
        };
        let passwords = &inner.passwords;
        let print = passwords.fingerprint(&account, stored.as_deref(), password);
        let enabled = standing.as_ref().is_some_and(|s| !s.record.user.disabled);
        let good = match passwords.flight(&print) {
            // The very same check runs already: no new guess, so no new charge.
            Some(flight) => Passwords::join(flight).await? && enabled,
            None => {
                let charge = inner.limiter.charge(&account, origin.address)?;
                let checked =
                    if passwords.remembers(&print) { Ok(true) } else { passwords.check(print, stored.as_deref(), password).await };
                match checked {
                    Ok(good) if good && enabled => {
                        charge.give_back();
                        true
                    }
                    Ok(_) => false,
                    Err(busy) => {
                        charge.give_back();
                        return Err(busy.into());
                    }
                }
            }
        };
        match standing {
            Some(standing) if good => Ok(standing),
            Some(standing) if standing.record.user.disabled => Err(Refusal::of(&standing, "the user is disabled")),
            Some(standing) => Err(Refusal::of(&standing, "wrong password")),
            None => Err(Refusal::because("unknown user")),
        }
    }

    async fn check_key(&self, login: Option<&str>, text: &str, tenant: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        let inner = &self.inner;
        if text.len() > TEXT_MAX {
            inner.limiter.fail_address(origin.address);
            return Err(Refusal::because("unknown API key"));
        }
        let owner = match login {
            Some(login) => inner.directory.user_by_login(login).await?,
            None => None,
        };
        // Looked up by its hash, which tells a guesser nothing about how close the guess was.
        let key = inner.directory.api_key(secret::hash_secret(text)).await?;
        let standing = match &key {
            Some(key) => inner.directory.user(key.user).await?,
            None => None,
        };
        let charge = match (login, &owner) {
            (None, _) => None,
            (Some(_), Some(owner)) => Some(inner.limiter.charge(&user_account(owner.record.user.id), origin.address)?),
            (Some(login), None) => {
                Some(inner.limiter.charge(&format!("login:{}", normalize_login(login).unwrap_or_default()), origin.address)?)
            }
        };
        let live = key.filter(|key| key.expires.is_none_or(|end| end > self.clock().now()));
        let owned = |id: UserId| login.is_none() || owner.as_ref().is_some_and(|o| o.record.user.id == id);
        match (live, standing) {
            (Some(key), Some(standing)) if owned(key.user) && !standing.record.user.disabled => {
                if let Some(charge) = charge {
                    charge.give_back();
                }
                let membership = standing.membership(key.tenant).cloned();
                if membership.is_none() && !standing.record.user.operator {
                    return Err(NOT_A_MEMBER.into());
                }
                self.only_in(key.tenant, tenant).await?;
                let mut signed_in = signed_in_user(&standing, key.tenant, membership, origin);
                signed_in.api_key = Some(key.id);
                Ok(signed_in)
            }
            (_, standing) => {
                if charge.is_none() {
                    inner.limiter.fail_address(origin.address);
                }
                match standing {
                    Some(standing) => Err(Refusal::of(&standing, "expired key, disabled user, or another user's key")),
                    None => Err(Refusal::because("unknown API key")),
                }
            }
        }
    }

    async fn check_client(&self, id: &str, text: &str, tenant: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        let inner = &self.inner;
        let record = if id.len() > TEXT_MAX { None } else { inner.directory.client(id).await? };
        let charge = inner.limiter.charge(&format!("client:{}", id.get(..TEXT_MAX.min(id.len())).unwrap_or_default()), origin.address)?;
        let hash = secret::hash_secret(text.get(..TEXT_MAX + 1).unwrap_or(text));
        let stored = record.as_ref().and_then(|r| r.secret_hash.as_deref()).unwrap_or(&[0; 32]);
        let same = secret::same_hash(&hash, stored);
        let Some(record) = record.filter(|r| same && r.secret_hash.is_some() && !r.client.public) else {
            return Err(Refusal::because("unknown client or wrong secret"));
        };
        charge.give_back();
        let client = record.client.clone();
        let (home, permissions) = if self.application_of(id).await?.is_some() {
            // An application is at home nowhere; where it is installed it may say so.
            let named = match tenant {
                TenantChoice::Home => crate::reach::NOWHERE,
                TenantChoice::Id(id) => id,
                TenantChoice::Named(name) => inner.db.read().await?.tenant_named(name).await?.ok_or(NOT_A_MEMBER)?.id,
            };
            (named, self.client_in(&client, named).await?.ok_or(NOT_A_MEMBER)?)
        } else {
            self.only_in(client.tenant, tenant).await?;
            (client.tenant, client_permissions(&client.scopes))
        };
        let caller = caller(home, Principal::Client(client.id.clone()), permissions, origin);
        Ok(SignedIn { caller, user: None, membership: None, client: Some(client), api_key: None })
    }

    async fn check_thing(&self, handle: &str, text: &str, tenant: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        let inner = &self.inner;
        let mut things = Vec::new();
        if handle.len() <= model::Thing::NAME_MAX && text.len() <= TEXT_MAX {
            let mut tx = inner.db.read().await?;
            things = tx.thing_credentials(handle).await?;
            if let Ok(id) = handle.parse::<ThingId>()
                && !things.iter().any(|t| t.thing == id)
            {
                things.extend(tx.thing_credential(id).await?);
            }
        }
        let charge = inner.limiter.charge(&format!("thing:{}", handle.get(..64).unwrap_or(handle)), origin.address)?;
        let hash = secret::hash_secret(text);
        // Things of several tenants may share a key; the secret says which is meant. All are compared.
        let mut found = None;
        for thing in &things {
            if secret::same_hash(&hash, thing.secret_hash.as_deref().unwrap_or(&[0; 32])) && thing.secret_hash.is_some() {
                found = Some(thing);
            }
        }
        let Some(thing) = found else {
            return Err(Refusal { error: REFUSED, tenant: things.first().map(|t| t.tenant), why: "unknown thing or wrong secret" });
        };
        charge.give_back();
        self.only_in(thing.tenant, tenant).await?;
        let caller = caller(thing.tenant, Principal::Thing(thing.thing), thing_permissions(), origin);
        Ok(SignedIn { caller, user: None, membership: None, client: None, api_key: None })
    }

    /// A recognised user in the tenant it chose.
    async fn user_in(&self, standing: &Arc<Standing>, choice: TenantChoice<'_>, origin: &Origin) -> Checked<SignedIn> {
        let user = &standing.record.user;
        let tenant = match choice {
            TenantChoice::Home => match standing.memberships.first() {
                Some(home) => home.tenant,
                None if user.operator => self.default_tenant().await?.id,
                None => return Err(NO_TENANT.into()),
            },
            TenantChoice::Id(id) => id,
            TenantChoice::Named(name) => match self.inner.db.read().await?.tenant_named(name).await? {
                Some(tenant) => tenant.id,
                None => return Err(NOT_A_MEMBER.into()),
            },
        };
        let membership = standing.membership(tenant).cloned();
        if membership.is_none() && (!user.operator || self.inner.db.read().await?.tenant(tenant).await?.is_none()) {
            return Err(Refusal { error: NOT_A_MEMBER, tenant: standing.memberships.first().map(|m| m.tenant), why: "" });
        }
        Ok(signed_in_user(standing, tenant, membership, origin))
    }

    /// Clients, things and keys have a tenant of their own and may only name that.
    async fn only_in(&self, own: TenantId, choice: TenantChoice<'_>) -> Result<()> {
        let same = match choice {
            TenantChoice::Home => true,
            TenantChoice::Id(id) => id == own,
            TenantChoice::Named(name) => self.inner.db.read().await?.tenant_named(name).await?.is_some_and(|t| t.id == own),
        };
        if same { Ok(()) } else { Err(NOT_A_MEMBER) }
    }

    /// A user as if it had signed in, for the command line and for what a password was checked for already; operators only.
    pub async fn sign_in_as(&self, caller: &Caller, user: UserId, tenant: TenantChoice<'_>) -> Result<SignedIn> {
        caller.require(Permission::Operate)?;
        let standing = self.inner.directory.user(user).await?.ok_or(Error::not_found("user"))?;
        if standing.record.user.disabled {
            return Err(Error::Forbidden(Denial::Rule("the user is disabled")));
        }
        let origin = Origin { address: caller.address, label: None, request: caller.request };
        let signed_in = self.user_in(&standing, tenant, &origin).await.map_err(|refusal| refusal.error)?;
        self.record(AuditEvent::done(caller, "sign_in.on_behalf", format!("user:{user}")));
        Ok(signed_in)
    }

    /// A user who proved itself otherwise just now (registration code).
    pub(crate) async fn signed_in(&self, user: UserId, origin: &Origin) -> Result<SignedIn> {
        let standing = self.inner.directory.user(user).await?.ok_or(REFUSED)?;
        self.user_in(&standing, TenantChoice::Home, origin).await.map_err(|refusal| refusal.error)
    }
}

fn user_account(id: UserId) -> String {
    format!("user:{id}")
}

fn caller(tenant: TenantId, principal: Principal, permissions: Permissions, origin: &Origin) -> Caller {
    Caller { tenant, principal, permissions, request: origin.request, address: origin.address }
}

fn signed_in_user(standing: &Standing, tenant: TenantId, membership: Option<Membership>, origin: &Origin) -> SignedIn {
    let user = standing.record.user.clone();
    let caller = caller(tenant, Principal::User(user.id), standing.permissions(tenant), origin);
    SignedIn { caller, user: Some(user), membership, client: None, api_key: None }
}

fn method(credential: Credential<'_>) -> &'static str {
    match credential {
        Credential::Password { .. } => "password",
        Credential::ApiKey { .. } | Credential::ApiKeyOf { .. } => "API key",
        Credential::Client { .. } => "client secret",
        Credential::Thing { .. } => "thing secret",
    }
}

/// What a refused caller claimed to be.
fn claimed(credential: Credential<'_>) -> String {
    match credential {
        Credential::Password { login, .. } | Credential::ApiKeyOf { login, .. } => format!("login:{login}"),
        Credential::ApiKey { .. } => "unknown".to_owned(),
        Credential::Client { id, .. } => format!("client:{id}"),
        Credential::Thing { handle, .. } => format!("thing:{handle}"),
    }
}
