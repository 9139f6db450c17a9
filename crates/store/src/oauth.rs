//! The OpenID provider's memory: browser sessions, consents, codes, and the families of refresh tokens.

use jiff::Timestamp;
use model::{SessionId, TenantId, UserId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    LOGIN = "select id, user_id, auth_time, expires, agent, address, methods from login_session where secret_hash = $1";
    LOGINS_OF = "select id, user_id, auth_time, expires, agent, address, methods from login_session where user_id = $1 order by auth_time desc limit 100";
    INSERT_LOGIN = "insert into login_session (secret_hash, id, user_id, auth_time, expires, agent, address, methods) \
                    values ($1, $2, $3, $4, $5, $6, $7, $8)";
    HOLD_LOGIN = "update login_session set expires = expires where id = $1 and expires > $2";
    DELETE_LOGIN = "delete from login_session where id = $1 and user_id = $2";
    RENEW_LOGIN = "update login_session set secret_hash = $3, auth_time = $4, methods = $5 where id = $1 and user_id = $2";
    DELETE_OTHER_LOGINS = "delete from login_session where user_id = $1 and id <> $2";
    DELETE_SESSIONS_OF_OTHERS = "delete from oauth_session where user_id = $1 and login <> $2";
    DELETE_LOGINS_OF = "delete from login_session where user_id = $1";
    CONSENT = "select scope from oauth_consent where user_id = $1 and client = $2";
    SET_CONSENT = "insert into oauth_consent (user_id, client, scope, granted) values ($1, $2, $3, $4) \
                   on conflict (user_id, client) do update set scope = excluded.scope, granted = excluded.granted";
    SESSION = "select id, tenant, user_id, client, realm, scope, login, auth_time, nonce, created, expires, methods, cnf, resources from oauth_session where id = $1";
    SESSIONS_OF = "select id, tenant, user_id, client, realm, scope, login, auth_time, nonce, created, expires, methods, cnf, resources from oauth_session \
                   where user_id = $1 order by created desc limit 100";
    INSERT_SESSION = "insert into oauth_session (id, tenant, user_id, client, realm, scope, login, auth_time, nonce, created, expires, \
                      methods, cnf, resources) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    EXTEND_SESSION = "update oauth_session set tenant = $2, expires = $3 where id = $1";
    DELETE_SESSION = "delete from oauth_session where id = $1";
    DELETE_SESSIONS_OF_LOGIN = "delete from oauth_session where login = $1";
    DELETE_SESSIONS_OF_USER = "delete from oauth_session where user_id = $1";
    INSERT_CODE = "insert into oauth_code (code_hash, session, request, expires) values ($1, $2, $3, $4)";
    CODE = "select session, request, expires, redeemed from oauth_code where code_hash = $1";
    REDEEM_CODE = "update oauth_code set redeemed = $2 where code_hash = $1 and redeemed is null";
    INSERT_REFRESH = "insert into oauth_refresh (token_hash, session, tenant, created, expires) values ($1, $2, $3, $4, $5)";
    REFRESH = "select session, tenant, created, expires, spent from oauth_refresh where token_hash = $1";
    SPEND_REFRESH = "update oauth_refresh set spent = $2 where token_hash = $1 and spent is null";
    PRUNE_LOGINS = "delete from login_session where secret_hash in (select secret_hash from login_session where expires < $1 limit 1000)";
    PRUNE_CODES = "delete from oauth_code where code_hash in (select code_hash from oauth_code where expires < $1 limit 1000)";
    PRUNE_REFRESH = "delete from oauth_refresh where token_hash in (select token_hash from oauth_refresh where expires < $1 limit 1000)";
    PRUNE_SESSIONS = "delete from oauth_session where id in (select id from oauth_session where expires < $1 limit 1000)";
}

row! {
    struct LoginRow { id: Uuid, user_id: Uuid, auth_time: i64, expires: i64, agent: String, address: Option<String>, methods: String }
}
row! {
    struct SessionRow {
        id: Uuid, tenant: Uuid, user_id: Uuid, client: String, realm: String, scope: String, login: Option<Uuid>,
        auth_time: i64, nonce: Option<String>, created: i64, expires: i64, methods: String,
        cnf: Option<String>, resources: String,
    }
}
row! {
    struct CodeRow { session: Uuid, request: String, expires: i64, redeemed: Option<i64> }
}
row! {
    struct RefreshRow { session: Uuid, tenant: Uuid, created: i64, expires: i64, spent: Option<i64> }
}
row! {
    struct ScopeRow { scope: String }
}

/// A browser that is signed in.
#[derive(Clone, Debug)]
pub struct LoginRecord {
    /// Its id, for the sessions page.
    pub id: Uuid,
    /// The user.
    pub user: UserId,
    /// When the password was typed.
    pub auth_time: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The browser, as it calls itself.
    pub agent: String,
    /// Where from.
    pub address: Option<String>,
    /// How the user proved who it is: RFC 8176 values, space-delimited.
    pub methods: String,
}

/// What a user granted a client, and the family of its refresh tokens.
#[derive(Clone, Debug)]
pub struct OAuthSession {
    /// Its id (`sid`).
    pub id: SessionId,
    /// The tenant its tokens speak for at present.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The client.
    pub client: String,
    /// The realm it was granted in.
    pub realm: String,
    /// The granted scope, space-delimited.
    pub scope: String,
    /// The browser session it came from.
    pub login: Option<Uuid>,
    /// When the user proved who it is.
    pub auth_time: Timestamp,
    /// The request's nonce, repeated in every id token.
    pub nonce: Option<String>,
    /// When it was granted.
    pub created: Timestamp,
    /// When it ends if nobody refreshes it.
    pub expires: Timestamp,
    /// How the user proved who it is: RFC 8176 values, space-delimited.
    pub methods: String,
    /// The key its refresh tokens are bound to, JSON (RFC 7800).
    pub cnf: Option<String>,
    /// What its tokens are for, space-delimited (RFC 8707); empty: this gateway.
    pub resources: String,
}

/// A code as remembered.
#[derive(Clone, Debug)]
pub struct CodeRecord {
    /// The session it becomes.
    pub session: SessionId,
    /// The request it answers, JSON.
    pub request: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Was it used?
    pub redeemed: bool,
}

/// A refresh token as remembered.
#[derive(Clone, Debug)]
pub struct RefreshRecord {
    /// Its family.
    pub session: SessionId,
    /// The tenant it was issued for.
    pub tenant: TenantId,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was exchanged.
    pub spent: Option<Timestamp>,
}

impl LoginRow {
    fn model(self) -> Result<LoginRecord, Error> {
        Ok(LoginRecord {
            id: self.id,
            user: UserId(self.user_id),
            auth_time: timestamp("login_session", "auth_time", self.auth_time)?,
            expires: timestamp("login_session", "expires", self.expires)?,
            agent: self.agent,
            address: self.address,
            methods: self.methods,
        })
    }
}

impl SessionRow {
    fn model(self) -> Result<OAuthSession, Error> {
        Ok(OAuthSession {
            id: SessionId(self.id),
            tenant: TenantId(self.tenant),
            user: UserId(self.user_id),
            client: self.client,
            realm: self.realm,
            scope: self.scope,
            login: self.login,
            auth_time: timestamp("oauth_session", "auth_time", self.auth_time)?,
            nonce: self.nonce,
            created: timestamp("oauth_session", "created", self.created)?,
            expires: timestamp("oauth_session", "expires", self.expires)?,
            methods: self.methods,
            cnf: self.cnf,
            resources: self.resources,
        })
    }
}

impl Tx {
    /// The browser session of that cookie.
    pub async fn login_session(&mut self, secret_hash: &[u8]) -> Result<Option<LoginRecord>, Error> {
        fetch_optional!(self, LoginRow, sql::LOGIN, secret_hash)?.map(LoginRow::model).transpose()
    }

    /// A user's browser sessions, newest first, 100 at most.
    pub async fn login_sessions(&mut self, user: UserId) -> Result<Vec<LoginRecord>, Error> {
        fetch_all!(self, LoginRow, sql::LOGINS_OF, user.uuid())?.into_iter().map(LoginRow::model).collect()
    }

    /// Remembers a browser that signed in.
    pub async fn insert_login_session(&mut self, secret_hash: &[u8], l: &LoginRecord) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT_LOGIN,
            secret_hash,
            l.id,
            l.user.uuid(),
            micros(l.auth_time),
            micros(l.expires),
            &l.agent,
            &l.address,
            &l.methods
        )?;
        Ok(())
    }

    /// Is that browser still signed in? It stays so until this transaction ends.
    pub async fn hold_login_session(&mut self, id: Uuid, now: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::HOLD_LOGIN, id, micros(now))? == 1)
    }

    /// Ends a user's browser session and what was granted in it; false when there is none.
    pub async fn delete_login_session(&mut self, user: UserId, id: Uuid) -> Result<bool, Error> {
        let found = execute!(self, sql::DELETE_LOGIN, id, user.uuid())? == 1;
        if found {
            execute!(self, sql::DELETE_SESSIONS_OF_LOGIN, id)?;
        }
        Ok(found)
    }

    /// Gives a user's browser session another cookie: the user just proved itself by these methods; false when it has ended.
    pub async fn renew_login_session(
        &mut self,
        user: UserId,
        id: Uuid,
        secret_hash: &[u8],
        auth_time: Timestamp,
        methods: &str,
    ) -> Result<bool, Error> {
        Ok(execute!(self, sql::RENEW_LOGIN, id, user.uuid(), secret_hash, micros(auth_time), methods)? == 1)
    }

    /// Ends a user's browser sessions but this one, and what was granted in them.
    pub async fn delete_other_logins(&mut self, user: UserId, keep: Uuid) -> Result<(), Error> {
        execute!(self, sql::DELETE_OTHER_LOGINS, user.uuid(), keep)?;
        execute!(self, sql::DELETE_SESSIONS_OF_OTHERS, user.uuid(), keep)?;
        Ok(())
    }

    /// Ends all of a user's browser sessions and grants.
    pub async fn delete_sessions_of(&mut self, user: UserId) -> Result<(), Error> {
        execute!(self, sql::DELETE_LOGINS_OF, user.uuid())?;
        execute!(self, sql::DELETE_SESSIONS_OF_USER, user.uuid())?;
        Ok(())
    }

    /// The scope a user granted a client for good.
    pub async fn consent(&mut self, user: UserId, client: &str) -> Result<Option<String>, Error> {
        Ok(fetch_optional!(self, ScopeRow, sql::CONSENT, user.uuid(), client)?.map(|row| row.scope))
    }

    /// Remembers a grant.
    pub async fn set_consent(&mut self, user: UserId, client: &str, scope: &str, at: Timestamp) -> Result<(), Error> {
        execute!(self, sql::SET_CONSENT, user.uuid(), client, scope, micros(at))?;
        Ok(())
    }

    /// A session.
    pub async fn oauth_session(&mut self, id: SessionId) -> Result<Option<OAuthSession>, Error> {
        fetch_optional!(self, SessionRow, sql::SESSION, id.uuid())?.map(SessionRow::model).transpose()
    }

    /// A user's sessions, newest first, 100 at most.
    pub async fn oauth_sessions(&mut self, user: UserId) -> Result<Vec<OAuthSession>, Error> {
        fetch_all!(self, SessionRow, sql::SESSIONS_OF, user.uuid())?.into_iter().map(SessionRow::model).collect()
    }

    /// Begins a session.
    pub async fn insert_oauth_session(&mut self, s: &OAuthSession) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT_SESSION,
            s.id.uuid(),
            s.tenant.uuid(),
            s.user.uuid(),
            &s.client,
            &s.realm,
            &s.scope,
            s.login,
            micros(s.auth_time),
            &s.nonce,
            micros(s.created),
            micros(s.expires),
            &s.methods,
            &s.cnf,
            &s.resources
        )?;
        Ok(())
    }

    /// A session goes on, perhaps in another tenant; false when it has ended.
    pub async fn extend_oauth_session(&mut self, id: SessionId, tenant: TenantId, expires: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::EXTEND_SESSION, id.uuid(), tenant.uuid(), micros(expires))? == 1)
    }

    /// Ends a session and its refresh tokens; false when there is none.
    pub async fn delete_oauth_session(&mut self, id: SessionId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_SESSION, id.uuid())? == 1)
    }

    /// Remembers a code.
    pub async fn insert_code(&mut self, code_hash: &[u8], session: SessionId, request: &str, expires: Timestamp) -> Result<(), Error> {
        execute!(self, sql::INSERT_CODE, code_hash, session.uuid(), request, micros(expires))?;
        Ok(())
    }

    /// The code, used or not.
    pub async fn code(&mut self, code_hash: &[u8]) -> Result<Option<CodeRecord>, Error> {
        let Some(row) = fetch_optional!(self, CodeRow, sql::CODE, code_hash)? else { return Ok(None) };
        let expires = timestamp("oauth_code", "expires", row.expires)?;
        Ok(Some(CodeRecord { session: SessionId(row.session), request: row.request, expires, redeemed: row.redeemed.is_some() }))
    }

    /// Uses a code up; false when somebody was quicker.
    pub async fn redeem_code(&mut self, code_hash: &[u8], at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::REDEEM_CODE, code_hash, micros(at))? == 1)
    }

    /// Adds a refresh token to its family.
    pub async fn insert_refresh(&mut self, token_hash: &[u8], r: &RefreshRecord) -> Result<(), Error> {
        execute!(self, sql::INSERT_REFRESH, token_hash, r.session.uuid(), r.tenant.uuid(), micros(r.created), micros(r.expires))?;
        Ok(())
    }

    /// The refresh token, spent or not.
    pub async fn refresh(&mut self, token_hash: &[u8]) -> Result<Option<RefreshRecord>, Error> {
        let Some(row) = fetch_optional!(self, RefreshRow, sql::REFRESH, token_hash)? else { return Ok(None) };
        Ok(Some(RefreshRecord {
            session: SessionId(row.session),
            tenant: TenantId(row.tenant),
            created: timestamp("oauth_refresh", "created", row.created)?,
            expires: timestamp("oauth_refresh", "expires", row.expires)?,
            spent: row.spent.map(|at| timestamp("oauth_refresh", "spent", at)).transpose()?,
        }))
    }

    /// Marks a refresh token as exchanged; false when it was already.
    pub async fn spend_refresh(&mut self, token_hash: &[u8], at: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::SPEND_REFRESH, token_hash, micros(at))? == 1)
    }

    /// Removes what has expired, at most 1,000 rows of each kind a step; says how many.
    pub async fn prune_oauth(&mut self, now: Timestamp) -> Result<u64, Error> {
        let mut gone = 0;
        for statement in [sql::PRUNE_LOGINS, sql::PRUNE_CODES, sql::PRUNE_REFRESH, sql::PRUNE_SESSIONS] {
            gone += execute!(self, statement, micros(now))?;
        }
        Ok(gone)
    }
}
