//! Browsers that are signed in: a cookie of high entropy, its hash in the store, a list its user can see and end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use model::{Caller, Error, Result, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use store::LoginRecord;
use uuid::Uuid;

use super::LOGIN_LIFETIME;
use crate::{AuditEvent, Credential, Identity, Origin, TenantChoice, secret};

const AGENT_MAX: usize = 200;

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The session's id, shown on the sessions page.
    pub id: Uuid,
    /// Who.
    pub user: UserId,
    /// When the password was typed.
    pub auth_time: Timestamp,
}

/// A browser that just signed in.
#[derive(Debug)]
pub struct LoginSession {
    /// What its cookie holds.
    pub cookie: SecretString,
    /// The session.
    pub login: Login,
    /// When it ends.
    pub expires: Timestamp,
}

/// One line of the sessions page.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Its id.
    pub id: Uuid,
    /// The browser, as it calls itself.
    pub agent: String,
    /// Where from.
    pub address: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Is it the one that asks?
    pub this: bool,
    /// The applications signed in through it, by client id.
    pub clients: Vec<String>,
}

impl Identity {
    /// Signs a browser in by password.
    pub async fn log_in(&self, login: &str, password: &SecretString, origin: &Origin) -> Result<LoginSession> {
        let credential = Credential::Password { login, password: password.expose_secret() };
        let signed_in = self.sign_in(credential, TenantChoice::Home, origin).await?;
        let user = signed_in.user.ok_or(Error::Unauthenticated { reason: "only users sign in here" })?;
        let now = self.clock().now();
        let cookie = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        let record = LoginRecord {
            id: Uuid::new_v4(),
            user: user.id,
            auth_time: now,
            expires: now + LOGIN_LIFETIME,
            agent: origin.label.as_deref().unwrap_or("unknown").chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect(),
            address: origin.address.map(|a| a.to_string()),
        };
        let mut tx = self.inner.db.begin().await?;
        tx.insert_login_session(&secret::sha256(cookie.as_bytes()), &record).await?;
        tx.commit().await?;
        Ok(LoginSession {
            cookie: SecretString::from(cookie),
            login: Login { id: record.id, user: user.id, auth_time: now },
            expires: record.expires,
        })
    }

    /// The session of a cookie, while it lasts and its user may sign in.
    pub async fn login_of_cookie(&self, cookie: &str) -> Result<Option<Login>> {
        if cookie.len() != 43 {
            return Ok(None);
        }
        let record = self.inner.db.read().await?.login_session(&secret::sha256(cookie.as_bytes())).await?;
        let Some(record) = record.filter(|r| r.expires > self.clock().now()) else { return Ok(None) };
        let standing = self.inner.directory.user(record.user).await?;
        let enabled = standing.is_some_and(|s| !s.record.user.disabled && record.auth_time >= s.record.tokens_from);
        Ok(enabled.then_some(Login { id: record.id, user: record.user, auth_time: record.auth_time }))
    }

    /// The caller a signed-in browser speaks for, at home.
    pub async fn caller_of_login(&self, login: &Login, origin: &Origin) -> Result<Caller> {
        let standing = self.inner.directory.user(login.user).await?.ok_or(Error::Unauthenticated { reason: "sign in again" })?;
        let home = match standing.memberships.first() {
            Some(membership) => membership.tenant,
            None => self.default_tenant().await?.id,
        };
        Ok(Caller {
            tenant: home,
            principal: model::Principal::User(login.user),
            permissions: standing.permissions(home),
            request: origin.request,
            address: origin.address,
        })
    }

    /// Signs a browser out and ends what was granted through it.
    pub async fn log_out(&self, login: &Login) -> Result<()> {
        self.end_open_session(login, login.id).await.map(|_| ())
    }

    /// The user's signed-in browsers, newest first.
    pub async fn open_sessions(&self, login: &Login) -> Result<Vec<OpenSession>> {
        let mut tx = self.inner.db.read().await?;
        let logins = tx.login_sessions(login.user).await?;
        let grants = tx.oauth_sessions(login.user).await?;
        let now = self.clock().now();
        Ok(logins
            .into_iter()
            .filter(|l| l.expires > now)
            .map(|l| {
                let mut clients: Vec<_> = grants.iter().filter(|g| g.login == Some(l.id)).map(|g| g.client.clone()).collect();
                clients.sort();
                clients.dedup();
                OpenSession { id: l.id, agent: l.agent, address: l.address, since: l.auth_time, this: l.id == login.id, clients }
            })
            .collect())
    }

    /// Ends one of the user's sessions; false when it is not there (any more), or not the user's.
    pub async fn end_open_session(&self, login: &Login, id: Uuid) -> Result<bool> {
        let mut tx = self.inner.db.begin().await?;
        let found = tx.delete_login_session(login.user, id).await?;
        tx.commit().await?;
        if found {
            self.inner.directory.changed();
            self.record(AuditEvent {
                tenant: None,
                actor: format!("user:{}", login.user),
                action: "session.ended",
                target: Some(format!("session:{id}")),
                allowed: true,
                detail: None,
                address: None,
            });
        }
        Ok(found)
    }
}
