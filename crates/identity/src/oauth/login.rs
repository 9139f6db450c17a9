//! Browsers that are signed in: a cookie of high entropy, its hash in the store, a list its user can see and end.

use jiff::Timestamp;
use model::{Caller, Error, Result, UserId};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{AuditEvent, Identity, Origin, secret};

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The session's id, shown on the sessions page.
    pub id: Uuid,
    /// Who.
    pub user: UserId,
    /// When the password was typed, and the code.
    pub auth_time: Timestamp,
    /// How the user proved who it is: RFC 8176 values, space-delimited.
    pub methods: String,
}

impl Login {
    /// Was a second factor part of it?
    #[must_use]
    pub fn second_factor(&self) -> bool {
        has_factor(&self.methods)
    }
}

/// Do these methods include a second factor?
pub(crate) fn has_factor(methods: &str) -> bool {
    methods.split(' ').any(|m| m == "otp")
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
    /// The session of a cookie, while it lasts and its user may sign in this way.
    pub async fn login_of_cookie(&self, cookie: &str) -> Result<Option<Login>> {
        if cookie.len() != 43 {
            return Ok(None);
        }
        let record = self.inner.db.read().await?.login_session(&secret::sha256(cookie.as_bytes())).await?;
        let Some(record) = record.filter(|r| r.expires > self.clock().now()) else { return Ok(None) };
        let standing = self.inner.directory.user(record.user).await?;
        // Who has a second factor, or must have one since, signs in again with it.
        let good = standing.is_some_and(|s| {
            let enough = has_factor(&record.methods) || !(s.factor.enrolled || s.factor.demanded());
            !s.record.user.disabled && record.auth_time >= s.record.tokens_from && enough
        });
        Ok(good.then_some(Login { id: record.id, user: record.user, auth_time: record.auth_time, methods: record.methods }))
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

    /// Does the session that an application knows go on at this browser? None where the page that asks, by its origin, is none of
    /// the application's. Without a session: is nobody signed in?
    pub async fn session_unchanged(
        &self,
        realm: &super::Realm,
        client: &str,
        session: &str,
        origin: &str,
        login: Option<&Login>,
    ) -> Result<Option<bool>> {
        let Some(known) = self.inner.directory.client(client).await? else { return Ok(None) };
        // A redirect URI's origin, with a path that both have: ports of loopback addresses are free here, too.
        let of = |uri: &str| uri.match_indices('/').nth(2).map_or(uri.to_owned(), |(at, _)| uri.get(..at).unwrap_or(uri).to_owned());
        let origins: Vec<_> = known.client.redirect_uris.iter().map(|uri| of(uri)).collect();
        if origin.is_empty() || !super::redirect::registered(&origins, origin) {
            return Ok(None);
        }
        if session.is_empty() {
            return Ok(Some(login.is_none()));
        }
        let Ok(id) = session.parse() else { return Ok(Some(false)) };
        let record = self.inner.db.read().await?.oauth_session(id).await?;
        Ok(Some(record.is_some_and(|s| {
            s.client == client && s.realm == realm.name() && login.is_some_and(|l| s.user == l.user && s.login == Some(l.id))
        })))
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
        // A changed password ended those of before.
        let tokens_from = tx.user(login.user).await?.map(|u| u.tokens_from);
        Ok(logins
            .into_iter()
            .filter(|l| l.expires > now && tokens_from.is_none_or(|from| l.auth_time >= from))
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
