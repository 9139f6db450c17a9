//! Pushed authorization requests (RFC 9126), what counts once, and initial access tokens of dynamic registration (RFC 7591).

use jiff::Timestamp;
use model::{Grant, PageRequest, TenantId};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    PUSH = "insert into oauth_pushed (uri_hash, client, realm, request, created, expires) values ($1, $2, $3, $4, $5, $6)";
    PUSHED = "select client, realm, request, created, expires from oauth_pushed where uri_hash = $1";
    DELETE_PUSHED = "delete from oauth_pushed where uri_hash = $1";
    PRUNE_PUSHED = "delete from oauth_pushed where uri_hash in (select uri_hash from oauth_pushed where expires < $1 limit 1000)";
    ONCE = "insert into oauth_once (hash, expires) values ($1, $2) on conflict (hash) do nothing";
    PRUNE_ONCE = "delete from oauth_once where hash in (select hash from oauth_once where expires < $1 limit 1000)";
    INSERT_INITIAL = "insert into oauth_initial_token (id, token_hash, tenant, label, grants, scopes, uses, created, expires) \
                      values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    INITIAL_BY_HASH = "select id, tenant, label, grants, scopes, uses, created, expires from oauth_initial_token where token_hash = $1";
    INITIALS = "select id, tenant, label, grants, scopes, uses, created, expires from oauth_initial_token \
                where tenant = $1 and id > $2 order by id limit $3";
    USE_INITIAL = "update oauth_initial_token set uses = uses - 1 where id = $1 and uses > 0";
    DELETE_INITIAL = "delete from oauth_initial_token where id = $1 and tenant = $2";
    PRUNE_INITIAL = "delete from oauth_initial_token where id in (select id from oauth_initial_token where expires < $1 limit 1000)";
}

row! {
    struct PushedRow { client: String, realm: String, request: String, created: i64, expires: i64 }
}
row! {
    struct InitialRow {
        id: Uuid, tenant: Uuid, label: String, grants: String, scopes: String, uses: i64, created: i64, expires: i64,
    }
}

/// A pushed authorization request.
#[derive(Clone, Debug)]
pub struct PushedRecord {
    /// Who pushed it.
    pub client: String,
    /// In which realm.
    pub realm: String,
    /// What it asks for, JSON.
    pub request: String,
    /// When it was pushed.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// An initial access token of dynamic registration.
#[derive(Clone, Debug)]
pub struct InitialTokenRecord {
    /// Its public handle.
    pub id: Uuid,
    /// The tenant its clients belong to.
    pub tenant: TenantId,
    /// For people.
    pub label: String,
    /// The grants its clients may use at most.
    pub grants: Vec<Grant>,
    /// The scopes its clients may ask for at most.
    pub scopes: Vec<String>,
    /// How many clients it may still make.
    pub uses: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl InitialRow {
    fn model(self) -> Result<InitialTokenRecord, Error> {
        Ok(InitialTokenRecord {
            id: self.id,
            tenant: TenantId(self.tenant),
            label: self.label,
            grants: from_json("oauth_initial_token", "grants", &self.grants)?,
            scopes: from_json("oauth_initial_token", "scopes", &self.scopes)?,
            uses: self.uses,
            created: timestamp("oauth_initial_token", "created", self.created)?,
            expires: timestamp("oauth_initial_token", "expires", self.expires)?,
        })
    }
}

impl Tx {
    /// Remembers a pushed request.
    pub async fn push_request(&mut self, uri_hash: &[u8], p: &PushedRecord) -> Result<(), Error> {
        execute!(self, sql::PUSH, uri_hash, &p.client, &p.realm, &p.request, micros(p.created), micros(p.expires))?;
        Ok(())
    }

    /// A pushed request, if it has not been answered.
    pub async fn pushed_request(&mut self, uri_hash: &[u8]) -> Result<Option<PushedRecord>, Error> {
        let Some(row) = fetch_optional!(self, PushedRow, sql::PUSHED, uri_hash)? else { return Ok(None) };
        Ok(Some(PushedRecord {
            client: row.client,
            realm: row.realm,
            request: row.request,
            created: timestamp("oauth_pushed", "created", row.created)?,
            expires: timestamp("oauth_pushed", "expires", row.expires)?,
        }))
    }

    /// A pushed request is answered; false when it was already.
    pub async fn delete_pushed_request(&mut self, uri_hash: &[u8]) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_PUSHED, uri_hash)? == 1)
    }

    /// Notes something that counts once until `expires`; false when it was noted before.
    pub async fn once(&mut self, hash: &[u8], expires: Timestamp) -> Result<bool, Error> {
        Ok(execute!(self, sql::ONCE, hash, micros(expires))? == 1)
    }

    /// Adds an initial access token.
    pub async fn insert_initial_token(&mut self, token_hash: &[u8], t: &InitialTokenRecord) -> Result<(), Error> {
        execute!(
            self,
            sql::INSERT_INITIAL,
            t.id,
            token_hash,
            t.tenant.uuid(),
            &t.label,
            to_json(&t.grants),
            to_json(&t.scopes),
            t.uses,
            micros(t.created),
            micros(t.expires)
        )?;
        Ok(())
    }

    /// The initial access token of that hash.
    pub async fn initial_token(&mut self, token_hash: &[u8]) -> Result<Option<InitialTokenRecord>, Error> {
        fetch_optional!(self, InitialRow, sql::INITIAL_BY_HASH, token_hash)?.map(InitialRow::model).transpose()
    }

    /// A tenant's initial access tokens by id, one more than the page holds.
    pub async fn initial_tokens(
        &mut self,
        tenant: TenantId,
        after: Option<Uuid>,
        page: &PageRequest,
    ) -> Result<Vec<InitialTokenRecord>, Error> {
        let after = after.unwrap_or(Uuid::nil());
        fetch_all!(self, InitialRow, sql::INITIALS, tenant.uuid(), after, i64::from(page.limit) + 1)?
            .into_iter()
            .map(InitialRow::model)
            .collect()
    }

    /// Uses an initial access token once; false when it is used up.
    pub async fn use_initial_token(&mut self, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::USE_INITIAL, id)? == 1)
    }

    /// Removes an initial access token of that tenant; false when there is none.
    pub async fn delete_initial_token(&mut self, tenant: TenantId, id: Uuid) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE_INITIAL, id, tenant.uuid())? == 1)
    }

    /// Removes what has expired, at most 1,000 rows of each kind a step; says how many.
    pub async fn prune_oauth_more(&mut self, now: Timestamp) -> Result<u64, Error> {
        let mut gone = 0;
        for statement in [sql::PRUNE_PUSHED, sql::PRUNE_ONCE, sql::PRUNE_INITIAL] {
            gone += execute!(self, statement, micros(now))?;
        }
        Ok(gone)
    }
}
