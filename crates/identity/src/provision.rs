//! First start, the operator at the command line, and declarative provisioning: `ensure_…` by natural key, idempotent.

use model::{
    ApiKey, Caller, Client, Error, Membership, Permission, Permissions, PlanName, Principal, Result, Role, Tenant, TenantId, User, UserId,
    normalize_email,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::api_keys::checked_key;
use crate::clients::{checked_secret, takes_secret};
use crate::password::PASSWORD_MAX;
use crate::{Change, FirstStart, Identity, NewApiKey, NewClient, NewTenant, NewUser, Outcome, access, secret};

/// The tenant of the first start.
const MAIN: &str = "main";

impl Identity {
    /// The operator at the command line on the data directory: everything, in that tenant.
    #[must_use]
    pub fn operator_caller(&self, tenant: TenantId) -> Caller {
        Caller { tenant, principal: Principal::Operator, permissions: Permissions::all(), request: self.clock().new_id(), address: None }
    }

    /// The tenant `main`, or else the one with the lowest id.
    pub async fn default_tenant(&self) -> Result<Tenant> {
        let mut tx = self.inner.db.read().await?;
        if let Some(main) = tx.tenant_named(MAIN).await? {
            return Ok(main);
        }
        let first = tx.tenants(None, &model::PageRequest { limit: 1, cursor: None }).await?;
        first.into_iter().next().ok_or(Error::not_found("tenant"))
    }

    /// The tenant of that name, for those who know names from configuration or a command line; operators only.
    pub async fn tenant_named(&self, caller: &Caller, name: &str) -> Result<Tenant> {
        caller.require(Permission::Operate)?;
        self.inner.db.read().await?.tenant_named(name).await?.ok_or(Error::not_found("tenant"))
    }

    /// Where no tenant exists yet: makes `main` (no limits) and an operator of this address with a password of 256
    /// random bits, told this once. Otherwise nothing.
    pub async fn first_start(&self, email: &str) -> Result<Option<FirstStart>> {
        let mut tx = self.inner.db.read().await?;
        let there = !tx.tenants(None, &model::PageRequest { limit: 1, cursor: None }).await?.is_empty();
        drop(tx);
        if there {
            return Ok(None);
        }
        let password = secret::random_secret("");
        let hash = self.inner.passwords.hash(password.expose_secret()).await?;
        let user = self.new_user(&NewUser { email: email.to_owned(), verified: true, operator: true, ..NewUser::default() })?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.tenants(None, &model::PageRequest { limit: 1, cursor: None }).await?.is_empty() {
            return Ok(None);
        }
        let new = NewTenant { name: MAIN.to_owned(), plan: Some(PlanName::Unlimited), ..NewTenant::default() };
        let tenant = self.insert_tenant(&mut tx, new).await?;
        self.insert_user(&mut tx, &user, Some(&hash)).await?;
        tx.set_membership(&Membership { tenant: tenant.id, user: user.id, role: Role::Owner, created: self.clock().now() }).await?;
        tx.commit().await?;
        self.inner.directory.changed();
        let caller = self.operator_caller(tenant.id);
        self.record(crate::AuditEvent::done(&caller, "gateway.first_start", format!("user:{}", user.id)));
        Ok(Some(FirstStart { tenant, user, password }))
    }

    /// The tenant of that name, as described: an absent id, affiliation or plan is left as it is (a new one: AMBER).
    pub async fn ensure_tenant(&self, caller: &Caller, new: NewTenant) -> Result<(Tenant, Outcome)> {
        caller.require(Permission::Operate)?;
        let mut tx = self.inner.db.begin().await?;
        let name = access::text("name", &new.name)?;
        let Some(old) = tx.tenant_named(&name).await? else {
            let tenant = self.insert_tenant(&mut tx, new).await?;
            tx.commit().await?;
            self.inner.directory.changed();
            return self.ensured(caller, "tenant", tenant.id.to_string(), Outcome::Created, tenant);
        };
        same_id("tenant", new.id, old.id)?;
        let mut tenant = old.clone();
        if new.affiliation.is_some() {
            tenant.affiliation = access::optional_text("affiliation", new.affiliation.as_deref())?;
        }
        if let Some(plan) = new.plan
            && plan != old.plan
        {
            tenant.plan = plan;
            tenant.plan_since = self.clock().now();
        }
        let outcome = if tenant == old { Outcome::Unchanged } else { Outcome::Updated };
        if outcome == Outcome::Updated {
            tx.update_tenant(&tenant).await?;
            tx.commit().await?;
            self.inner.directory.changed();
        }
        self.ensured(caller, "tenant", tenant.id.to_string(), outcome, tenant)
    }

    /// The user of that address, as described; absent fields are left as they are, flags only ever set. A password that
    /// is the present one stays as it is hashed; `membership` is ensured, too. Any password is taken: whoever holds the
    /// provisioning file holds the gateway.
    pub async fn ensure_user(&self, caller: &Caller, new: NewUser) -> Result<(User, Outcome)> {
        caller.require(Permission::Operate)?;
        let email = normalize_email(&new.email)?;
        if let Some(password) = &new.password
            && !(1..=PASSWORD_MAX).contains(&password.expose_secret().len())
        {
            return Err(Error::invalid("password", format!("must have 1 to {PASSWORD_MAX} bytes")));
        }
        let found = self.inner.db.read().await?.user_by_email(&email).await?;
        let (user, mut outcome) = match found {
            None => {
                let user = self.new_user(&new)?;
                let hash = self.hash_new(new.password.as_ref()).await?;
                let mut tx = self.inner.db.begin().await?;
                self.insert_user(&mut tx, &user, hash.as_deref()).await?;
                tx.commit().await?;
                self.inner.directory.changed();
                (user, Outcome::Created)
            }
            Some(old) => {
                same_id("user", new.id, old.user.id)?;
                let described = self.new_user(&new)?;
                let mut user = old.user.clone();
                user.username = described.username.or(user.username);
                user.given_name = described.given_name.or(user.given_name);
                user.family_name = described.family_name.or(user.family_name);
                user.verified |= new.verified;
                user.operator |= new.operator;
                let mut outcome = Outcome::Unchanged;
                if user != old.user {
                    user.updated = self.clock().now();
                    let mut tx = self.inner.db.begin().await?;
                    crate::users::check_names(&mut tx, &user).await?;
                    tx.update_user(&user).await?;
                    tx.commit().await?;
                    self.inner.announce(Change::UserChanged(user.id));
                    outcome = Outcome::Updated;
                }
                if let Some(password) = &new.password
                    && !self.is_password(user.id, old.password.as_deref(), password).await?
                {
                    self.store_password(user.id, password).await?;
                    outcome = Outcome::Updated;
                }
                (user, outcome)
            }
        };
        if let Some((tenant, role)) = new.membership {
            let (_, membership) = self.ensure_membership(&caller.in_tenant(tenant)?, user.id, role).await?;
            if outcome == Outcome::Unchanged && membership != Outcome::Unchanged {
                outcome = Outcome::Updated;
            }
        }
        self.ensured(caller, "user", user.id.to_string(), outcome, user)
    }

    async fn is_password(&self, id: UserId, stored: Option<&str>, password: &SecretString) -> Result<bool> {
        let Some(stored) = stored else { return Ok(false) };
        let passwords = &self.inner.passwords;
        let print = passwords.fingerprint(&format!("user:{id}"), Some(stored), password.expose_secret());
        Ok(passwords.remembers(&print) || passwords.check(print, Some(stored), password.expose_secret()).await?)
    }

    /// That user as a member of the caller's tenant in that role.
    pub async fn ensure_membership(&self, caller: &Caller, user: UserId, role: Role) -> Result<(Membership, Outcome)> {
        caller.require(Permission::Operate)?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.lock_tenant(caller.tenant).await? {
            return Err(Error::not_found("tenant"));
        }
        if tx.user(user).await?.is_none() {
            return Err(Error::not_found("user"));
        }
        let old = tx.membership(caller.tenant, user).await?;
        let membership = match &old {
            Some(old) => Membership { role, ..old.clone() },
            None => self.joining(&mut tx, caller.tenant, user, role).await?,
        };
        let outcome = match old {
            None => Outcome::Created,
            Some(old) if old.role == role => Outcome::Unchanged,
            Some(old) => {
                crate::memberships::keep_an_owner(&mut tx, &old).await?;
                Outcome::Updated
            }
        };
        if outcome != Outcome::Unchanged {
            tx.set_membership(&membership).await?;
            tx.commit().await?;
            self.inner.announce(Change::MemberChanged { tenant: caller.tenant, user, removed: false });
        }
        self.ensured(caller, "member", user.to_string(), outcome, membership)
    }

    /// The client of that id in the caller's tenant, exactly as described; without a secret in the description (and not
    /// public) it keeps the one it has, and a new one cannot be made. A weak secret is taken: the file's owner chose it.
    pub async fn ensure_client(&self, caller: &Caller, new: NewClient) -> Result<(Client, Outcome)> {
        caller.require(Permission::Operate)?;
        if new.id.is_none() {
            return Err(Error::invalid("id", "is missing"));
        }
        let described = self.new_client(caller, &new)?;
        if new.public && new.secret.is_some() {
            return Err(Error::invalid("secret", "a public client has none"));
        }
        let hash = new.secret.as_ref().map(checked_secret).transpose()?.map(|s| secret::hash_secret(s.expose_secret()).to_vec());
        let mut tx = self.inner.db.begin().await?;
        let reach = tx.client_reach(&described.id).await?.unwrap_or_default();
        if reach.application.is_some() {
            return Err(Error::conflict("id", format!("client {} is an application's", described.id)));
        }
        let (client, mut outcome) = match tx.client(&described.id).await? {
            None => {
                if hash.is_none() && takes_secret(&described) {
                    return Err(Error::invalid("secret", "is missing; a client without one must be public"));
                }
                tx.insert_client(&described, hash.as_deref()).await?;
                (described, Outcome::Created)
            }
            Some(old) if old.client.tenant != caller.tenant => {
                return Err(Error::conflict("id", format!("client {} belongs to another tenant", described.id)));
            }
            Some(old) => {
                let client = Client { created: old.client.created, ..described };
                let hash = if takes_secret(&client) { hash.or_else(|| old.secret_hash.clone()) } else { None };
                if hash.is_none() && takes_secret(&client) {
                    return Err(Error::invalid("secret", "is missing; a client without one must be public"));
                }
                if client == old.client && hash == old.secret_hash {
                    (client, Outcome::Unchanged)
                } else {
                    tx.update_client(&client, hash.as_deref()).await?;
                    (client, Outcome::Updated)
                }
            }
        };
        if reach.everywhere != new.everywhere {
            tx.set_client_reach(&client.id, store::ClientReach { application: None, everywhere: new.everywhere }).await?;
            outcome = if outcome == Outcome::Created { outcome } else { Outcome::Updated };
        }
        if outcome != Outcome::Unchanged {
            tx.commit().await?;
            self.inner.announce(Change::ClientRemoved(client.id.clone()));
        }
        self.ensured(caller, "client", client.id.clone(), outcome, client)
    }

    /// That API key for that user in the caller's tenant. A key that stands for somebody else is a conflict.
    pub async fn ensure_api_key(&self, caller: &Caller, new: NewApiKey) -> Result<(ApiKey, Outcome)> {
        caller.require(Permission::Operate)?;
        let text = checked_key(new.key.as_ref().ok_or_else(|| Error::invalid("key", "is missing"))?)?;
        let hash = secret::hash_secret(text.expose_secret());
        let described = self.new_api_key(caller, &new, text)?;
        let mut tx = self.inner.db.begin().await?;
        let Some(user) = tx.user(new.user).await? else { return Err(Error::not_found("user")) };
        let (key, outcome) = match tx.api_key_by_hash(&hash).await? {
            Some(old) if old.tenant != caller.tenant || old.user != new.user => {
                return Err(Error::conflict("key", format!("{}… stands for another user or tenant", old.hint)));
            }
            Some(old) => {
                let key = ApiKey { label: described.label, expires: described.expires, ..old.clone() };
                if key == old {
                    (key, Outcome::Unchanged)
                } else {
                    tx.update_api_key(&key).await?;
                    (key, Outcome::Updated)
                }
            }
            None => {
                if tx.membership(caller.tenant, new.user).await?.is_none() && !user.user.operator {
                    return Err(Error::conflict("user", format!("{} is no member of the tenant", user.user.email)));
                }
                tx.insert_api_key(&described, &hash).await?;
                (described, Outcome::Created)
            }
        };
        if outcome != Outcome::Unchanged {
            tx.commit().await?;
            self.inner.directory.changed();
        }
        self.ensured(caller, "api_key", key.id.to_string(), outcome, key)
    }

    /// Puts what changed on the trail.
    fn ensured<T>(&self, caller: &Caller, noun: &str, id: String, outcome: Outcome, value: T) -> Result<(T, Outcome)> {
        let action = match outcome {
            Outcome::Created => "provision.created",
            Outcome::Updated => "provision.updated",
            Outcome::Unchanged => return Ok((value, outcome)),
        };
        self.record(crate::AuditEvent::done(caller, action, format!("{noun}:{id}")));
        Ok((value, outcome))
    }
}

/// An id is for ever: a description that names another one means another thing.
fn same_id<T: PartialEq + std::fmt::Display>(noun: &'static str, described: Option<T>, present: T) -> Result<()> {
    match described {
        Some(id) if id != present => Err(Error::conflict("id", format!("this {noun} exists with the id {present}, not {id}"))),
        _ => Ok(()),
    }
}
