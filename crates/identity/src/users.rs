//! Users: accounts of people, shared by the tenants they are members of.

use model::{Caller, Denial, Error, Membership, Page, PageRequest, Permission, Result, Role, User, UserId, normalize_email};
use secrecy::{ExposeSecret as _, SecretString};
use store::Tx;

use crate::access::{self, Reach, cursor, reach_account};
use crate::directory::normalize_login;
use crate::password::Passwords;
use crate::{Change, Identity, NewUser, Origin, UserChange};

impl Identity {
    /// Makes a user and its membership in the caller's tenant (operators: in any, or in none).
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<User> {
        let outcome = self.do_create_user(caller, new).await;
        let target = outcome.as_ref().ok().map(|u| format!("user:{}", u.id));
        self.audited(caller, "user.created", target, outcome)
    }

    async fn do_create_user(&self, caller: &Caller, new: NewUser) -> Result<User> {
        caller.require(Permission::UserWrite)?;
        let operates = caller.permissions.has(Permission::Operate);
        if new.operator && !operates {
            return Err(Error::Forbidden(Denial::Rule("only an operator makes operators")));
        }
        if let Some(password) = &new.password {
            Passwords::check_new(password.expose_secret())?;
        }
        let membership = match new.membership {
            Some((tenant, role)) => {
                access::own_tenant(caller, tenant)?;
                Some((tenant, role))
            }
            None if operates => None,
            None => Some((caller.tenant, Role::User)),
        };
        // Before the transaction, which must be short; and not before the cheap checks.
        let user = self.new_user(&new)?;
        let password = self.hash_new(new.password.as_ref()).await?;
        let mut tx = self.inner.db.begin().await?;
        if let Some((_, role)) = membership {
            access::may_grant(&mut tx, caller, role).await?;
        }
        self.insert_user(&mut tx, &user, password.as_deref()).await?;
        if let Some((tenant, role)) = membership {
            if tx.tenant(tenant).await?.is_none() {
                return Err(Error::not_found("tenant"));
            }
            tx.set_membership(&Membership { tenant, user: user.id, role, created: self.clock().now() }).await?;
        }
        tx.commit().await?;
        self.inner.directory.changed();
        Ok(user)
    }

    /// Checks what makes a user.
    pub(crate) fn new_user(&self, new: &NewUser) -> Result<User> {
        let now = self.clock().now();
        Ok(User {
            id: new.id.unwrap_or_else(|| self.clock().new_id()),
            email: normalize_email(&new.email)?,
            username: access::username(new.username.as_deref())?,
            given_name: access::optional_text("given_name", new.given_name.as_deref())?,
            family_name: access::optional_text("family_name", new.family_name.as_deref())?,
            verified: new.verified,
            disabled: false,
            operator: new.operator,
            created: now,
            updated: now,
        })
    }

    pub(crate) async fn hash_new(&self, password: Option<&SecretString>) -> Result<Option<String>> {
        match password {
            Some(password) => Ok(Some(self.inner.passwords.hash(password.expose_secret()).await?)),
            None => Ok(None),
        }
    }

    /// Adds a user within a transaction, if nobody has its id or names.
    pub(crate) async fn insert_user(&self, tx: &mut Tx, user: &User, password: Option<&str>) -> Result<()> {
        if tx.user(user.id).await?.is_some() {
            return Err(Error::conflict("id", "another user has it"));
        }
        check_names(tx, user).await?;
        tx.insert_user(user, password).await?;
        Ok(())
    }

    /// A user: oneself, a member of the caller's tenant, anyone for operators.
    pub async fn user(&self, caller: &Caller, id: UserId) -> Result<User> {
        if caller.user() != Some(id) {
            caller.require(Permission::UserRead)?;
        }
        access::visible(&mut self.inner.db.read().await?, caller, id).await.map(|record| record.user)
    }

    /// The same by e-mail or user name.
    pub async fn user_named(&self, caller: &Caller, login: &str) -> Result<User> {
        let mut tx = self.inner.db.read().await?;
        let found = find(&mut tx, login).await?;
        if found.as_ref().is_none_or(|id| caller.user() != Some(*id)) {
            caller.require(Permission::UserRead)?;
        }
        match found {
            Some(id) => access::visible(&mut tx, caller, id).await.map(|record| record.user),
            None => Err(Error::not_found("user")),
        }
    }

    /// The users of the caller's tenant, by id.
    pub async fn users(&self, caller: &Caller, page: &PageRequest) -> Result<Page<User>> {
        caller.require(Permission::UserRead)?;
        let after = cursor(page.cursor.as_deref())?;
        let rows = self.inner.db.read().await?.users_of(caller.tenant, after, page).await?;
        Ok(Page::cut(rows, page.limit, |r| r.user.id.to_string()).map(|r| r.user))
    }

    /// Every user of the gateway, by id; operators only.
    pub async fn all_users(&self, caller: &Caller, page: &PageRequest) -> Result<Page<User>> {
        caller.require(Permission::Operate)?;
        let after = cursor(page.cursor.as_deref())?;
        let rows = self.inner.db.read().await?.users(after, page).await?;
        Ok(Page::cut(rows, page.limit, |r| r.user.id.to_string()).map(|r| r.user))
    }

    /// Changes a user: oneself in part, the users of one's tenant alone as an administrator, anyone as an operator.
    pub async fn update_user(&self, caller: &Caller, id: UserId, change: UserChange) -> Result<User> {
        let outcome = self.do_update_user(caller, id, change).await;
        self.audited(caller, "user.updated", Some(format!("user:{id}")), outcome)
    }

    async fn do_update_user(&self, caller: &Caller, id: UserId, change: UserChange) -> Result<User> {
        let operates = caller.permissions.has(Permission::Operate);
        let mut tx = self.inner.db.begin().await?;
        let mut user = access::visible(&mut tx, caller, id).await?;
        let reach = reach_account(&mut tx, caller, &user).await?;
        if change.operator.is_some() && !operates {
            return Err(Error::Forbidden(Denial::Rule("only an operator makes or unmakes operators")));
        }
        if reach == Reach::Oneself && (change.disabled.is_some() || (change.verified.is_some() && !operates)) {
            return Err(Error::Forbidden(Denial::Rule("not for oneself to say")));
        }
        let user = &mut user.user;
        if let Some(email) = &change.email {
            let email = normalize_email(email)?;
            if email != user.email {
                user.email = email;
                user.verified = false;
            }
        }
        if let Some(name) = &change.username {
            user.username = access::username(name.as_deref())?;
        }
        if let Some(name) = &change.given_name {
            user.given_name = access::optional_text("given_name", name.as_deref())?;
        }
        if let Some(name) = &change.family_name {
            user.family_name = access::optional_text("family_name", name.as_deref())?;
        }
        user.verified = change.verified.unwrap_or(user.verified);
        user.disabled = change.disabled.unwrap_or(user.disabled);
        user.operator = change.operator.unwrap_or(user.operator);
        user.updated = self.clock().now();
        check_names(&mut tx, user).await?;
        tx.update_user(user).await?;
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(id));
        Ok(user.clone())
    }

    /// Removes a user's account with its memberships and API keys: oneself, the users of one's tenant alone, anyone for
    /// operators. A tenant's last owner cannot go.
    pub async fn delete_user(&self, caller: &Caller, id: UserId) -> Result<()> {
        let outcome = self.do_delete_user(caller, id).await;
        self.audited(caller, "user.deleted", Some(format!("user:{id}")), outcome)
    }

    async fn do_delete_user(&self, caller: &Caller, id: UserId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let record = access::visible(&mut tx, caller, id).await?;
        reach_account(&mut tx, caller, &record).await?;
        for membership in tx.memberships_of(id).await? {
            crate::memberships::keep_an_owner(&mut tx, &membership).await?;
        }
        tx.delete_user(id).await?;
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(id));
        Ok(())
    }

    /// Could this be somebody's new password? For those who change more than that, and want to know before. Error: Invalid(password).
    pub fn check_new_password(password: &SecretString) -> Result<()> {
        Passwords::check_new(password.expose_secret())
    }

    /// Sets a password; tokens and sessions of before end. Oneself (ask for the old one first: [`Self::change_password`]),
    /// the users of one's tenant alone, anyone for operators.
    pub async fn set_password(&self, caller: &Caller, id: UserId, password: &SecretString) -> Result<()> {
        let outcome = self.do_set_password(caller, id, password).await;
        self.audited(caller, "user.password_set", Some(format!("user:{id}")), outcome)
    }

    async fn do_set_password(&self, caller: &Caller, id: UserId, password: &SecretString) -> Result<()> {
        Passwords::check_new(password.expose_secret())?;
        let mut tx = self.inner.db.read().await?;
        let record = access::visible(&mut tx, caller, id).await?;
        reach_account(&mut tx, caller, &record).await?;
        drop(tx);
        self.store_password(id, password).await
    }

    /// One's own password, by the old one, which is checked (and limited) like any sign-in.
    pub async fn change_password(&self, caller: &Caller, old: &SecretString, new: &SecretString) -> Result<()> {
        let id = caller.user().ok_or(Error::Forbidden(Denial::Rule("only users have passwords")))?;
        Passwords::check_new(new.expose_secret())?;
        let user = self.user(caller, id).await?;
        let origin = Origin { address: caller.address, label: None, request: caller.request };
        self.prove_password(&user.email, old.expose_secret(), &origin).await?;
        let outcome = self.store_password(id, new).await;
        self.audited(caller, "user.password_set", Some(format!("user:{id}")), outcome)
    }

    pub(crate) async fn store_password(&self, id: UserId, password: &SecretString) -> Result<()> {
        let hash = self.inner.passwords.hash(password.expose_secret()).await?;
        let mut tx = self.inner.db.begin().await?;
        if !tx.set_user_password(id, Some(&hash), self.clock().now()).await? {
            return Err(Error::not_found("user"));
        }
        tx.commit().await?;
        self.inner.announce(Change::UserChanged(id));
        Ok(())
    }
}

/// The user of that e-mail address or user name.
pub(crate) async fn find(tx: &mut Tx, login: &str) -> Result<Option<UserId>> {
    let Some(login) = normalize_login(login) else { return Ok(None) };
    let record = if login.contains('@') { tx.user_by_email(&login).await? } else { tx.user_by_username(&login).await? };
    Ok(record.map(|r| r.user.id))
}

/// Does nobody else have the user's address and name?
pub(crate) async fn check_names(tx: &mut Tx, user: &User) -> Result<()> {
    if tx.user_by_email(&user.email).await?.is_some_and(|other| other.user.id != user.id) {
        return Err(Error::conflict("email", "another user has it"));
    }
    if let Some(name) = &user.username
        && tx.user_by_username(name).await?.is_some_and(|other| other.user.id != user.id)
    {
        return Err(Error::conflict("username", "another user has it"));
    }
    Ok(())
}
