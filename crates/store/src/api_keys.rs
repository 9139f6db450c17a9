//! API keys: kept as hashes, told apart by a hint.

use model::{ApiKey, ApiKeyId, PageRequest, TenantId, UserId};
use uuid::Uuid;

use crate::db::{Tx, micros, timestamp};
use crate::error::Error;

sql! {
    BY_ID = "select id, tenant, user_id, label, hint, created, expires from api_key where tenant = $1 and id = $2";
    BY_HASH = "select id, tenant, user_id, label, hint, created, expires from api_key where secret_hash = $1";
    PAGE = "select id, tenant, user_id, label, hint, created, expires from api_key where tenant = $1 and id > $2 order by id limit $3";
    PAGE_OF_USER = "select id, tenant, user_id, label, hint, created, expires from api_key \
                    where tenant = $1 and user_id = $2 and id > $3 order by id limit $4";
    INSERT = "insert into api_key (id, tenant, user_id, label, hint, secret_hash, created, expires) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    UPDATE = "update api_key set label = $3, expires = $4 where tenant = $1 and id = $2";
    DELETE = "delete from api_key where tenant = $1 and id = $2";
    DELETE_OF_MEMBER = "delete from api_key where tenant = $1 and user_id = $2";
}

row! {
    struct ApiKeyRow { id: Uuid, tenant: Uuid, user_id: Uuid, label: String, hint: String, created: i64, expires: Option<i64> }
}

impl ApiKeyRow {
    fn model(self) -> Result<ApiKey, Error> {
        Ok(ApiKey {
            id: ApiKeyId(self.id),
            tenant: TenantId(self.tenant),
            user: UserId(self.user_id),
            label: self.label,
            hint: self.hint,
            created: timestamp("api_key", "created", self.created)?,
            expires: self.expires.map(|at| timestamp("api_key", "expires", at)).transpose()?,
        })
    }
}

impl Tx {
    /// The tenant's key of that id.
    pub async fn api_key(&mut self, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKey>, Error> {
        fetch_optional!(self, ApiKeyRow, sql::BY_ID, tenant.uuid(), id.uuid())?.map(ApiKeyRow::model).transpose()
    }

    /// The key whose secret has that SHA-256, whatever its tenant: sign-in knows no tenant yet.
    pub async fn api_key_by_hash(&mut self, hash: &[u8]) -> Result<Option<ApiKey>, Error> {
        fetch_optional!(self, ApiKeyRow, sql::BY_HASH, hash)?.map(ApiKeyRow::model).transpose()
    }

    /// A tenant's keys by id, one more than the page holds; of one user or of all.
    pub async fn api_keys(
        &mut self,
        tenant: TenantId,
        user: Option<UserId>,
        after: Option<ApiKeyId>,
        page: &PageRequest,
    ) -> Result<Vec<ApiKey>, Error> {
        let (after, limit) = (after.map_or(Uuid::nil(), ApiKeyId::uuid), i64::from(page.limit) + 1);
        let rows = match user {
            Some(user) => fetch_all!(self, ApiKeyRow, sql::PAGE_OF_USER, tenant.uuid(), user.uuid(), after, limit)?,
            None => fetch_all!(self, ApiKeyRow, sql::PAGE, tenant.uuid(), after, limit)?,
        };
        rows.into_iter().map(ApiKeyRow::model).collect()
    }

    /// Adds a key.
    pub async fn insert_api_key(&mut self, k: &ApiKey, hash: &[u8]) -> Result<(), Error> {
        let expires = k.expires.map(micros);
        execute!(self, sql::INSERT, k.id.uuid(), k.tenant.uuid(), k.user.uuid(), &k.label, &k.hint, hash, micros(k.created), expires)?;
        Ok(())
    }

    /// Changes a key's label and end; false when there is none.
    pub async fn update_api_key(&mut self, k: &ApiKey) -> Result<bool, Error> {
        Ok(execute!(self, sql::UPDATE, k.tenant.uuid(), k.id.uuid(), &k.label, k.expires.map(micros))? == 1)
    }

    /// Removes a key; false when there is none.
    pub async fn delete_api_key(&mut self, tenant: TenantId, id: ApiKeyId) -> Result<bool, Error> {
        Ok(execute!(self, sql::DELETE, tenant.uuid(), id.uuid())? == 1)
    }

    /// Removes a user's keys for one tenant: they open it no longer.
    pub async fn delete_api_keys_of(&mut self, tenant: TenantId, user: UserId) -> Result<u64, Error> {
        Ok(execute!(self, sql::DELETE_OF_MEMBER, tenant.uuid(), user.uuid())?)
    }
}
